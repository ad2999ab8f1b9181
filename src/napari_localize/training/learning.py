"""Learning from planes that are read: a new model from a base, its optimisation, and the best weights on the way."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
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
from napari_localize.training.compare import counting, within
from napari_localize.training.crops import CropRecipe, TrainingPlane, make_batch
from napari_localize.training.optimise import Optimisation, Recipe
from napari_localize.training.planes import busiest_windows
from napari_localize.training.record import ancestors_of

OBJECT_DIAMETER = 28.0
"""Object diameter, in pixels, to which images are rescaled for a new model."""

SCRATCH = Recipe()
FINE_TUNE = Recipe(
    averaging=0.95,
    head_factor=5.0,
    crops=CropRecipe(diameters=(16.0, 50.0), invert=0.0, grey=0.05),
)

DEFAULT_SECONDS = 60.0
CHECKS = 6
"""How often a training is validated."""

EPOCH_CROPS = 16
"""Crops taken from each plane in an epoch."""

VALIDATION_SIDE = 1024
"""Largest side of the part of a plane that the live curve looks at, and the comparison after a cancel."""

VALIDATION_PARTS = 8
"""At most so many parts of planes are looked at for the live curve."""

VALIDATION_TIME = 0.25
"""Part of a training that goes into its validation, if there is a limit of time."""

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
    best_ap50: float = -1.0

    def run(
        self, classes: tuple[str, ...], train: list[TrainingPlane], validation: list[TrainingPlane]
    ) -> tuple[Model, bool]:
        """Return a model with the best weights on the validation planes, and whether it was stopped before its time.

        Raises
        ------
        Cancelled
            When it was stopped before the first step.
        """
        model = self._new_model(classes)
        cancelled = self._optimise(model, train, validation)
        if self.best is not None:
            model.network.load_state_dict(self.best)
        return Model(model.network, model.card, self.settings.device), cancelled

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
            diameter_range=self.recipe.crops.diameters,
            pixel_size=pixel_size,
            channels=intensity.RULE,
            intensity=f"percentiles {intensity.PERCENTILES[0]} to {intensity.PERCENTILES[1]}",
            threshold=0.4,
            created=datetime.now(UTC).date().isoformat(),
        )
        return Model(network, card, self.settings.device)

    @property
    def recipe(self) -> Recipe:
        return SCRATCH if self.base is None else FINE_TUNE

    def _optimise(self, model: Model, train: list[TrainingPlane], validation: list[TrainingPlane]) -> bool:
        """Train; leave the best averaged weights in `best`. Return whether it was cancelled."""
        recipe, settings = self.recipe, self.settings
        classes = len(model.card.classes)
        epoch = max(1, EPOCH_CROPS * len(train) // recipe.batch_size)
        steps = settings.epochs * epoch if settings.epochs else None
        seconds = settings.seconds or DEFAULT_SECONDS
        rng = np.random.default_rng([settings.seed, 1])
        checked = [make_batch(validation, classes, recipe.batch_size, recipe.crops, rng) for _ in range(2)]
        chosen = np.unique(np.linspace(0, len(validation) - 1, VALIDATION_PARTS).round().astype(int))
        validation = [validation[index] for index in chosen.tolist()]
        self.tell({"event": "message", "text": f"Training. {model.device_text}"})
        with Optimisation(model.network, train, recipe, model.device, settings.seed) as training:
            if self._base_answers(model):
                # The base is the first candidate, so that a training that only does harm changes nothing.
                self._validate(training.average, model, validation)
            started, next_check, fraction = time.monotonic(), 1 / CHECKS, 0.0
            while fraction < 1 and not self.should_stop():
                loss = training.step(fraction)
                elapsed = time.monotonic() - started
                fraction = training.steps / steps if steps else elapsed / seconds
                point = {"event": "curve", "step": training.steps, "seconds": elapsed, "train_loss": loss}
                validation_loss = ap50 = None
                if fraction >= min(next_check, 1.0):
                    validation_loss = training.loss_on(checked)
                    ap50 = self._validate(training.average, model, validation)
                    next_check = fraction + 1 / CHECKS
                    if not steps:
                        # Where looking takes long there is less of it, so that most of the time is for learning.
                        spent = (time.monotonic() - started - elapsed) / seconds
                        fraction += spent
                        next_check = fraction + max(1 / CHECKS, spent / VALIDATION_TIME)
                self.tell({**point, "validation_loss": validation_loss, "ap50": ap50})
                done, total = (training.steps / epoch, settings.epochs) if settings.epochs else (elapsed, seconds)
                self.tell({"event": "progress", "done": min(done, total), "total": total})
            if not training.steps:
                raise Cancelled
            if self.best is None:
                self.best = copy.deepcopy(training.average.state_dict())
        return fraction < 1

    def _base_answers(self, model: Model) -> bool:
        """Whether the base's weights already mean the classes that are learnt."""
        if self.base is None:
            return False
        known, wanted = self.base.card.classes, model.card.classes
        return set(wanted) <= set(known) or len(known) == len(wanted) == 1

    def _validate(self, average: HeatmapNetwork, model: Model, validation: list[TrainingPlane]) -> float | None:
        """AP50 of the weights as they are now, None if it is stopped; they are kept if they are the best so far."""
        now = Model(copy.deepcopy(average), model.card, "cpu")
        now.move_to(model.device)
        predicted, true = [], []
        names = tuple(model.card.classes)
        for plane in validation:
            boxes = Detections(plane.boxes.numpy(), plane.labels.numpy(), class_names=names)
            height, width = plane.pixels.shape[1:]
            (part,) = busiest_windows(boxes.clip(height, width), height, width, VALIDATION_SIDE, 1, plane.known)
            source = ArrayPlane(plane.pixels.permute(1, 2, 0).numpy())
            settings = PredictSettings(object_diameter=plane.diameter, threshold=FLOOR)
            try:
                found = predict_plane(now, source, settings, region=part, should_stop=self.should_stop)
            except Cancelled:
                return None
            predicted.append(counting(found, plane.known))
            true.append(within(boxes, part))
        ap50 = float(np.nan_to_num(summarize(predicted, true)["AP50"]))
        if ap50 >= self.best_ap50:
            self.best_ap50 = ap50
            self.best = {name: value.detach().cpu().clone() for name, value in average.state_dict().items()}
        return ap50


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
