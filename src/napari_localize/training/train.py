"""Training a model from annotated planes: from a base model in a minute, or from nothing."""

from __future__ import annotations

import copy
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_localize.core.detections import Detections
from napari_localize.core.errors import Cancelled
from napari_localize.core.planes import ArrayPlane, PlaneSource
from napari_localize.core.settings import PredictSettings, TrainSettings
from napari_localize.models import intensity
from napari_localize.models.card import ModelCard
from napari_localize.models.heatmap.network import HeatmapNetwork, NetworkConfig
from napari_localize.models.localizer import Model, load_model
from napari_localize.models.predict import FLOOR, predict_plane
from napari_localize.training.crops import CropRecipe, TrainingPlane, make_batch
from napari_localize.training.evaluation import best_threshold, summarize
from napari_localize.training.optimise import Optimisation, Recipe
from napari_localize.training.planes import Split, check_annotations, read_training_plane, split_planes

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

PLANES_AFTER_CANCEL = 4
"""Validation planes that a cancelled training is compared on."""

EPOCH_CROPS = 16
"""Crops taken from each plane in an epoch."""

VALIDATION_SIDE = 1024
"""Largest side of the part of a plane that the live curve looks at."""

OnEvent = Callable[[dict[str, Any]], None]


@dataclass
class TrainResult:
    """What a training gave.

    Attributes
    ----------
    model : Model
        With the best weights on the validation planes.
    comparison : dict
        ``planes``: names of the validation planes; ``old``, ``new``: measures of the base and the new model on
        them (``old`` is None without a base); ``note``: how the planes were divided.
    cancelled : bool
        Whether it was stopped before its time.
    """

    model: Model
    comparison: dict[str, Any]
    cancelled: bool


def train_model(
    planes: Sequence[PlaneSource],
    annotations: Sequence[Detections],
    settings: TrainSettings,
    *,
    names: Sequence[str] | None = None,
    on_event: OnEvent | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> TrainResult:
    """Train a model.

    Parameters
    ----------
    planes : sequence of PlaneSource
        Wholly annotated images.
    annotations : sequence of Detections
        The boxes of each; rejected ones are not objects.
    settings : TrainSettings
        Base, time, device, seed.
    names : sequence of str, optional
        What the planes are called.
    on_event : callable, optional
        Gets dictionaries with ``event``: ``message`` (text), ``progress`` (done, total: seconds or epochs),
        ``curve`` (step, seconds, train_loss, validation_loss, ap50; the last two None between validations).
    should_stop : callable, optional
        Asked after every step; the best weights so far are returned then.

    Raises
    ------
    UserError
        When there is nothing to learn from or the base does not exist.
    Cancelled
        When it was stopped before the first step.
    """
    names = [f"plane {index + 1}" for index in range(len(planes))] if names is None else names
    job = _Training(settings, list(names), on_event or (lambda event: None), should_stop or (lambda: False))
    return job.run(planes, annotations)


@dataclass
class _Training:
    settings: TrainSettings
    names: list[str]
    tell: OnEvent
    should_stop: Callable[[], bool]
    began: float = field(default_factory=time.monotonic)
    best: dict[str, Tensor] | None = None
    best_ap50: float = -1.0

    def run(self, planes: Sequence[PlaneSource], annotations: Sequence[Detections]) -> TrainResult:
        boxes, classes, notes = check_annotations(planes, annotations, self.names)
        self.base = load_model(self.settings.base, self.settings.device) if self.settings.base else None
        split = split_planes(boxes, self.names, self.settings.seed)
        for text in [*notes, split.text]:
            self.tell({"event": "message", "text": text})
        typical = float(np.median(np.concatenate([plane.diameters for plane in boxes])))
        read = []
        for plane, plane_boxes in zip(planes, boxes, strict=True):
            if self.should_stop():
                raise Cancelled
            read.append(read_training_plane(plane, plane_boxes, typical))
        model = self._new_model(classes)
        cancelled = self._optimise(model, [read[i] for i in split.train], [read[i] for i in split.validation])
        if self.best is not None:
            model.network.load_state_dict(self.best)
        model = Model(model.network, model.card, self.settings.device)
        self.tell({"event": "message", "text": "Comparing the models on the validation planes."})
        comparison = self._compare(model, planes, boxes, split)
        self._describe(model.card, split, comparison, boxes, read)
        return TrainResult(model, comparison, cancelled)

    def _new_model(self, classes: tuple[str, ...]) -> Model:
        torch.manual_seed(self.settings.seed)
        if self.base is None:
            network = HeatmapNetwork(NetworkConfig(classes=len(classes)))
            diameter, pixel_size, parent = OBJECT_DIAMETER, None, None
        else:
            config = self.base.network.config.model_copy(update={"classes": len(classes)})
            network = HeatmapNetwork(config)
            start_from(network, classes, self.base.network, tuple(self.base.card.classes))
            card = self.base.card
            diameter, pixel_size, parent = card.object_diameter, card.pixel_size, card.reference
        card = ModelCard(
            name="untitled",
            parent=parent,
            architecture={"kind": "heatmap", **network.config.model_dump()},
            classes=list(classes),
            object_diameter=diameter,
            diameter_range=self._recipe.crops.diameters,
            pixel_size=pixel_size,
            channels=intensity.RULE,
            intensity=f"percentiles {intensity.PERCENTILES[0]} to {intensity.PERCENTILES[1]}",
            threshold=0.4,
            created=datetime.now(UTC).date().isoformat(),
        )
        return Model(network, card, self.settings.device)

    @property
    def _recipe(self) -> Recipe:
        return SCRATCH if self.base is None else FINE_TUNE

    def _optimise(self, model: Model, train: list[TrainingPlane], validation: list[TrainingPlane]) -> bool:
        """Train; leave the best averaged weights in `best`. Return whether it was cancelled."""
        recipe, settings = self._recipe, self.settings
        classes = len(model.card.classes)
        epoch = max(1, EPOCH_CROPS * len(train) // recipe.batch_size)
        steps = settings.epochs * epoch if settings.epochs else None
        seconds = settings.seconds or DEFAULT_SECONDS
        rng = np.random.default_rng([settings.seed, 1])
        checked = [make_batch(validation, classes, recipe.batch_size, recipe.crops, rng) for _ in range(2)]
        started, next_check, fraction = time.monotonic(), 1 / CHECKS, 0.0
        self.tell({"event": "message", "text": f"Training. {model.device_text}"})
        with Optimisation(model.network, train, recipe, model.device, settings.seed) as training:
            if self._base_answers(model):
                # The base is the first candidate, so that a training that only does harm changes nothing.
                self._validate(training.average, model, validation)
            while fraction < 1 and not self.should_stop():
                loss = training.step(fraction)
                elapsed = time.monotonic() - started
                fraction = training.steps / steps if steps else elapsed / seconds
                point = {"event": "curve", "step": training.steps, "seconds": elapsed, "train_loss": loss}
                validation_loss = ap50 = None
                if fraction >= min(next_check, 1.0):
                    next_check += 1 / CHECKS
                    validation_loss = training.loss_on(checked)
                    ap50 = self._validate(training.average, model, validation)
                self.tell({**point, "validation_loss": validation_loss, "ap50": ap50})
                done, total = (training.steps / epoch, settings.epochs) if steps else (elapsed, seconds)
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
            height, width = plane.pixels.shape[1:]
            bottom, right = min(height, VALIDATION_SIDE), min(width, VALIDATION_SIDE)
            source = ArrayPlane(plane.pixels.permute(1, 2, 0).numpy()[:bottom, :right])
            settings = PredictSettings(object_diameter=plane.diameter, threshold=FLOOR)
            try:
                predicted.append(predict_plane(now, source, settings, should_stop=self.should_stop))
            except Cancelled:
                return None
            boxes = Detections(plane.boxes.numpy(), plane.labels.numpy(), class_names=names)
            true.append(boxes.clip(bottom, right))
        ap50 = float(np.nan_to_num(summarize(predicted, true)["AP50"]))
        if ap50 >= self.best_ap50:
            self.best_ap50 = ap50
            self.best = {name: value.detach().cpu().clone() for name, value in average.state_dict().items()}
        return ap50

    def _compare(
        self, model: Model, planes: Sequence[PlaneSource], boxes: Sequence[Detections], split: Split
    ) -> dict[str, Any]:
        # After a cancel somebody is waiting; a few planes tell enough to decide whether to keep the model.
        chosen = split.validation[:PLANES_AFTER_CANCEL] if self.should_stop() else split.validation
        true = [boxes[index] for index in chosen]
        sources = [planes[index] for index in chosen]
        settings = PredictSettings(threshold=FLOOR)
        found = [predict_plane(model, source, settings) for source in sources]
        model.card.threshold = float(np.clip(best_threshold(found, true), FLOOR, 0.95))
        new = measure(found, true, model.card.threshold)
        note, old = split.text, None
        if self.base is not None:
            before = [predict_plane(self.base, source, settings) for source in sources]
            if not set(self.base.card.classes) & set(model.card.classes):
                note += " The models' classes differ, so both are compared without regard to class."
                before, true, found = (
                    [_one_class(x) for x in before],
                    [_one_class(x) for x in true],
                    [_one_class(x) for x in found],
                )
                new = measure(found, true, model.card.threshold)
            else:
                names = tuple(dict.fromkeys([*model.card.classes, *self.base.card.classes]))
                before = [x.with_classes(names) for x in before]
            old = measure(before, true, self.base.card.threshold)
        return {"planes": [self.names[i] for i in chosen], "old": old, "new": new, "note": note}

    def _describe(
        self,
        card: ModelCard,
        split: Split,
        comparison: dict[str, Any],
        boxes: Sequence[Detections],
        read: Sequence[TrainingPlane],
    ) -> None:
        counts: dict[str, int] = {}
        for plane in boxes:
            for name, number in plane.counts().items():
                counts[name] = counts.get(name, 0) + number
        card.training = {
            "planes": [
                {"name": name, "sha256": hashlib.sha256(plane.pixels.numpy().tobytes()).hexdigest()}
                for name, plane in zip(self.names, read, strict=True)
            ],
            "boxes": counts,
            "split": split.text,
            "seconds": round(time.monotonic() - self.began, 1),
            "epochs": self.settings.epochs,
            "seed": self.settings.seed,
            "torch": torch.__version__,
        }
        where = "validation" if split.held_back else "training planes"
        card.metrics = {where: comparison["new"]}


def measure(found: Sequence[Detections], true: Sequence[Detections], threshold: float) -> dict[str, float]:
    """AP50 and AP of all boxes; precision, recall, F1 and count error of those above the threshold."""
    everything = summarize(found, true)
    chosen = summarize([boxes[boxes.scores >= threshold] for boxes in found], true)
    return {**chosen, "AP50": everything["AP50"], "AP": everything["AP"]}


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


def _one_class(boxes: Detections) -> Detections:
    return Detections(boxes.boxes, scores=boxes.scores, class_names=("object",))
