"""Learning from planes that are read: a new model from a base, its optimisation, and the best weights on the way."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_localize.core.detections import Detections
from napari_localize.core.errors import Cancelled
from napari_localize.core.planes import ArrayPlane
from napari_localize.core.settings import PredictSettings, TrainSettings
from napari_localize.evaluation.metrics import summarize
from napari_localize.models import intensity
from napari_localize.models.card import UNNAMED, ModelCard
from napari_localize.models.heatmap.network import HeatmapNetwork, NetworkConfig
from napari_localize.models.localizer import Model
from napari_localize.models.predict import FLOOR, predict_plane
from napari_localize.training.clock import Clock, Patience
from napari_localize.training.compare import counting, within
from napari_localize.training.crops import TrainingPlane, make_batch
from napari_localize.training.heads import STEPS_PER_STEP, HeadFirst
from napari_localize.training.mixing import HALF, SHARES, Weights, mix_with_base, mixture
from napari_localize.training.optimise import Optimisation, Recipe
from napari_localize.training.planes import busiest_windows
from napari_localize.training.recipes import FINE_TUNE, OBJECT_DIAMETER, SCRATCH, Chosen, choose_recipe
from napari_localize.training.record import ancestors_of

DEFAULT_SECONDS = 60.0
LOOK_COST = 0.4
"""Computing the features of a batch takes so much of a step."""

EPOCH_CROPS = 16
"""Crops taken from each plane in an epoch."""

VALIDATION_SIDE = 1024
"""Largest side of the part of a plane that the live curve looks at, and the comparison after a cancel."""

FEWEST_BOXES = 5
"""Planes with fewer do not tell how large objects usually are."""

USUAL = (0.1, 0.9)
"""Quantiles of the planes' typical object diameters between which sizes are usual."""

CHECKED = 4
"""Batches of crops of the validation planes on which the loss is looked at."""

LOOK_SIDE = 768
"""Largest side of such a part in pixels of the network: enlarged ones must not take the time of the training."""

VALIDATION_PARTS = 8
"""At most so many parts of planes are looked at for the live curve."""

OnEvent = Callable[[dict[str, Any]], None]


@dataclass
class Learning:
    """What a training does between reading its planes and comparing the models.

    Parameters
    ----------
    settings : TrainSettings
        Time, device and seed.
    base : Model or None
        What it starts from.
    tell : callable
        Gets the events.
    should_stop : callable
        Asked after every step.
    """

    settings: TrainSettings
    base: Model | None
    tell: OnEvent
    should_stop: Callable[[], bool]
    best: dict[str, Tensor] | None = None
    best_loss: float = math.inf
    best_ap50: float = -1.0
    recipe: Recipe = SCRATCH
    recipe_text: str = ""
    steps: int = 0
    head_steps: int = 0
    share: float = 1.0
    _base_ap50: float | None = None

    def run(
        self, classes: tuple[str, ...], train: list[TrainingPlane], validation: Sequence[TrainingPlane]
    ) -> tuple[Model, bool]:
        """Return a model with the best weights on the validation planes, and whether it was stopped before its time.

        Without validation planes the last weights are returned, and nothing but the loss is watched.

        Raises
        ------
        Cancelled
            When it was stopped before the first step.
        """
        model = self._new_model(classes)
        learnt_from = {id(plane) for plane in train}
        # Without planes held back, those that were learnt from would say that little of the base is needed.
        self._halves = self._base_answers(model) and all(id(plane) in learnt_from for plane in validation)
        chosen = self._choose_recipe(train, classes, bool(validation) or self._halves)
        self.recipe = recipe = chosen.recipe
        model.card.object_diameter, model.card.diameter_range = chosen.object_diameter, recipe.crops.diameters
        model.card.usual_diameters = usual_diameters(train)
        self._watched = bool(validation)
        self._validated = _spread(validation or train, VALIDATION_PARTS)
        self._model = model
        self._start = copy.deepcopy(model.network.state_dict())
        cancelled = self._optimise(model, recipe, train, validation)
        if self._base_ap50 is not None and self._base_ap50 > self.best_ap50:
            self.best, self.share = self._start, 0.0
            self.tell({"event": "message", "text": "Nothing that was learnt was better than the base, which stays."})
        elif not cancelled and recipe.average:
            self._mix()
        if self.best is not None:
            model.network.load_state_dict(self.best)
        return Model(model.network, model.card, self.settings.device), cancelled

    @property
    def described(self) -> dict[str, Any]:
        """What the card tells about the recipe."""
        return {
            "text": self.recipe_text,
            "chosen": self.settings.choices.as_dict(),
            "numbers": asdict(self.recipe),
            "head steps": self.head_steps,
            "share of the base": round(1 - self.share, 2),
        }

    def _choose_recipe(self, train: list[TrainingPlane], classes: tuple[str, ...], watched: bool) -> Chosen:
        base = () if self.base is None else self.base.card.classes
        chosen = choose_recipe(
            train,
            None if self.settings.epochs else self.settings.seconds or DEFAULT_SECONDS,
            SCRATCH if self.base is None else FINE_TUNE,
            base_diameter=None if self.base is None else self.base.card.object_diameter,
            mixable=watched and (bool(set(classes) & set(base)) or len(classes) == len(base) == 1),
            halves=self._halves,
            choices=self.settings.choices,
        )
        self.recipe_text = chosen.text
        self.tell({"event": "message", "text": chosen.text, "recipe": chosen.parts})
        return chosen

    def _new_model(self, classes: tuple[str, ...]) -> Model:
        config = NetworkConfig(classes=len(classes))
        diameter, pixel_size, parent = OBJECT_DIAMETER, None, None
        if self.base is not None:
            config = self.base.network.config.model_copy(update={"classes": len(classes)})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.seed)
            network = HeatmapNetwork(config)
        if self.base is not None:
            start_from(network, classes, self.base.network, tuple(self.base.card.classes))
            card = self.base.card
            diameter, pixel_size, parent = card.object_diameter, card.pixel_size, card.reference
        card = ModelCard(
            name=UNNAMED,
            parent=parent,
            ancestors=[] if self.base is None else ancestors_of(self.base),
            architecture={"kind": "heatmap", **network.config.model_dump()},
            classes=list(classes),
            object_diameter=diameter,
            diameter_range=FINE_TUNE.crops.diameters,
            pixel_size=pixel_size,
            channels=intensity.RULE,
            intensity=f"percentiles {intensity.PERCENTILES[0]} to {intensity.PERCENTILES[1]}",
            threshold=0.4,
            created=datetime.now(UTC).date().isoformat(),
        )
        return Model(network, card, self.settings.device)

    def _optimise(
        self, model: Model, recipe: Recipe, train: list[TrainingPlane], validation: Sequence[TrainingPlane]
    ) -> bool:
        """Train; leave the best averaged weights in `best`. Return whether it was cancelled."""
        settings = self.settings
        classes = len(model.card.classes)
        epoch = max(1, EPOCH_CROPS * len(train) // recipe.batch_size)
        steps = settings.epochs * epoch if settings.epochs else None
        clock = Clock(steps, settings.seconds or DEFAULT_SECONDS, recipe.most_steps or math.inf)
        rng = np.random.default_rng([settings.seed, 1])
        checked = [
            make_batch(validation or train, classes, recipe.batch_size, recipe.crops, rng) for _ in range(CHECKED)
        ]
        self.tell({"event": "message", "text": f"Training. {model.device_text}"})
        patience, stopped = Patience(recipe.patience), False
        with Optimisation(model.network, train, recipe, model.device, settings.seed) as training:
            if self._watched and self._base_answers(model):
                # The base is a candidate, too, so that a training that only does harm changes nothing.
                began = time.monotonic()
                self._base_ap50 = self._ap50(training.average.state_dict())
                # The mixtures in the end are looked at, too: the time that was asked for is that of all.
                looks = 1 + (len(SHARES) + self._halves) * recipe.average
                clock.spare(looks * (time.monotonic() - began))
            clock.start()
            self._heads_first(training, recipe, clock, epoch)
            # One step at least, however much of the time the heads took.
            while (clock.fraction < 1 or not training.steps) and not stopped and not self.should_stop():
                loss = training.step(clock.fraction)
                clock.step()
                point = {"event": "curve", "step": training.steps, "seconds": clock.seconds, "train_loss": loss}
                validation_loss = ap50 = None
                if clock.check_is_due:
                    with clock.looking():
                        validation_loss = training.loss_on(checked)
                        ap50 = self._validate(training.average.state_dict(), validation_loss)
                    stopped = patience.is_over(validation_loss) and clock.fraction < 1
                self.tell({**point, "validation_loss": validation_loss, "ap50": ap50})
                done, total = clock.done(epoch)
                self.tell({"event": "progress", "done": done, "total": total})
            self.steps = training.steps
            if not training.steps:
                raise Cancelled
            if self.best is None and self._base_ap50 is None:
                self.best = copy.deepcopy(training.average.state_dict())
        if stopped:
            self.tell({"event": "message", "text": patience.text})
        return clock.fraction < 1 and not stopped

    def _heads_first(self, training: Optimisation, recipe: Recipe, clock: Clock, epoch: int) -> None:
        """Let the last layers learn alone for the first part of the training."""
        if not recipe.head_first:
            return
        heads = HeadFirst(training)
        while not heads.ready and clock.fraction < recipe.head_first / 2 and not self.should_stop():
            heads.look()
            clock.step(LOOK_COST)
        began = clock.fraction
        while heads.looked and clock.fraction < recipe.head_first and not self.should_stop():
            heads.step((clock.fraction - began) / max(recipe.head_first - began, 1e-6))
            clock.step(1 / STEPS_PER_STEP)
            if heads.steps % STEPS_PER_STEP == 0:
                done, total = clock.done(epoch)
                self.tell({"event": "progress", "done": done, "total": total})
        heads.finish()
        self.head_steps = heads.steps

    def _mix(self) -> None:
        """Go back towards the base as far as that costs nothing on the validation planes, at least half way if need be."""
        if self.best is None:
            return
        most = 1.0
        if self._halves:
            self.best, most = mixture(self._start, self.best, HALF), HALF
        if self._halves and not self._watched:
            # One of several short trainings of a cross-validation, which have no time to look.
            self.share = most
        else:
            tuned = self.best_ap50 if self._watched and not self._halves else self._ap50(self.best)
            if tuned is None or tuned < 0:
                self.share = most
                return
            self.best, share, _ = mix_with_base(self._start, self.best, tuned, self._ap50, self._base_ap50)
            self.share = most * share
        if self.share < 1:
            text = (
                f"The new model is mixed of {self.share:.0%} of what was learnt and {1 - self.share:.0%} of the base."
            )
            self.tell({"event": "message", "text": text})

    def _base_answers(self, model: Model) -> bool:
        """Whether the base's weights already mean the classes that are learnt."""
        if self.base is None:
            return False
        known, wanted = self.base.card.classes, model.card.classes
        return set(wanted) <= set(known) or len(known) == len(wanted) == 1

    def _validate(self, weights: Weights, loss: float) -> float | None:
        """AP50 of the weights as they are now, None if it is stopped or not watched.

        They are kept if their loss is the lowest so far: on a few planes AP50 jumps by a tenth for a single object.
        """
        ap50 = self._ap50(weights) if self._watched else None
        if ap50 is not None and loss <= self.best_loss:
            self.best_loss, self.best_ap50 = loss, ap50
            self.best = {name: value.detach().cpu().clone() for name, value in weights.items()}
        return ap50

    def _ap50(self, weights: Weights) -> float | None:
        """AP50 of weights on the validation planes, None if it is stopped."""
        network = copy.deepcopy(self._model.network)
        network.load_state_dict(dict(weights))
        now = Model(network, self._model.card, "cpu")
        now.move_to(self._model.device)
        predicted, true = [], []
        names = tuple(self._model.card.classes)
        for plane in self._validated:
            boxes = Detections(plane.boxes.numpy(), plane.labels.numpy(), class_names=names)
            height, width = plane.pixels.shape[1:]
            side = min(VALIDATION_SIDE, round(LOOK_SIDE * plane.diameter / now.card.object_diameter))
            (part,) = busiest_windows(boxes.clip(height, width), height, width, side, 1, plane.known)
            source = ArrayPlane(plane.pixels.permute(1, 2, 0).numpy())
            settings = PredictSettings(object_diameter=plane.diameter, threshold=FLOOR)
            try:
                found = predict_plane(now, source, settings, region=part, should_stop=self.should_stop)
            except Cancelled:
                return None
            predicted.append(counting(found, plane.known))
            true.append(within(boxes, part))
        return float(np.nan_to_num(summarize(predicted, true)["AP50"]))


def _spread(planes: Sequence[TrainingPlane], most: int) -> list[TrainingPlane]:
    """Return at most so many of the planes, evenly from first to last."""
    chosen = np.unique(np.linspace(0, len(planes) - 1, most).round().astype(int))
    return [planes[index] for index in chosen.tolist()]


def usual_diameters(planes: Sequence[TrainingPlane]) -> tuple[float, float] | None:
    """Return between which typical object diameters most planes are, in pixels of the images.

    A plane with few boxes says little, so that those count only where there are no others.
    """
    sized = [plane for plane in planes if len(plane.boxes) and plane.sized]
    telling = [plane for plane in sized if len(plane.boxes) >= FEWEST_BOXES] or sized
    if not telling:
        return None
    low, high = np.quantile([plane.diameter * plane.reduced for plane in telling], USUAL)
    return float(low), float(high)


def start_from(
    network: HeatmapNetwork, classes: tuple[str, ...], base: HeatmapNetwork, base_classes: tuple[str, ...]
) -> None:
    """Give a network the weights of a base with other classes.

    Heat maps of classes that the base knows are taken over; a new class starts as the mean of the base's, which
    answers to objects in general.
    """
    weights = base.state_dict()
    for name in ("heatmap.weight", "heatmap.bias"):
        old = weights[name]
        rows = [old[base_classes.index(c)] if c in base_classes else old.mean(dim=0) for c in classes]
        weights[name] = torch.stack(rows)
    network.load_state_dict(weights)
