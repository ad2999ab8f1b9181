"""Training a model from annotated planes: from a base model in a minute, or from nothing."""

from __future__ import annotations

import copy
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_localize.core.detections import Detections
from napari_localize.core.errors import Cancelled
from napari_localize.core.groups import Grouping, group_planes
from napari_localize.core.known import EVERYWHERE, KnownArea
from napari_localize.core.planes import ArrayPlane, PlaneSource
from napari_localize.core.settings import PredictSettings, TrainSettings
from napari_localize.core.splitting import Fold, Split, split_planes
from napari_localize.core.tiling import Rectangle
from napari_localize.evaluation.metrics import summarize
from napari_localize.models import intensity
from napari_localize.models.card import UNNAMED, ModelCard
from napari_localize.models.heatmap.network import HeatmapNetwork, NetworkConfig
from napari_localize.models.intensity import IntensityMap
from napari_localize.models.localizer import Model, load_model
from napari_localize.models.predict import FLOOR, predict_plane
from napari_localize.training.compare import Part, compare_models, counting, within
from napari_localize.training.crops import CropRecipe, TrainingPlane, make_batch
from napari_localize.training.duplicates import merge_duplicates
from napari_localize.training.optimise import Optimisation, Recipe
from napari_localize.training.planes import (
    MOST_PIXELS,
    busiest_windows,
    check_annotations,
    read_training_plane,
    training_windows,
)
from napari_localize.training.turns import Learnt, learn_in_turns

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
"""Largest side of the part of a plane that the live curve looks at, and the comparison after a cancel."""

VALIDATION_PARTS = 8
"""At most so many parts of planes are looked at for the live curve."""

VALIDATION_TIME = 0.25
"""Part of a training that goes into its validation, if there is a limit of time."""

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
        them (``old`` is None without a base); ``note``: how the planes were divided; ``cross_validated``: whether
        the new model's measures are those of models trained for a cross-validation; ``gate`` and ``changes``: see
        `compare_models`.
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
    known: Sequence[KnownArea] | None = None,
    places: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    on_event: OnEvent | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> TrainResult:
    """Train a model.

    Parameters
    ----------
    planes : sequence of PlaneSource
        Images that are annotated wholly, or where `known` says so.
    annotations : sequence of Detections
        The boxes of each; rejected ones are not objects.
    settings : TrainSettings
        Base, time, device, seed.
    names : sequence of str, optional
        What the planes are called.
    known : sequence of KnownArea, optional
        Where on each plane every object has its box; by default everywhere. Nothing is learnt and nothing compared
        elsewhere: neither that there are objects nor that there are none.
    places : sequence of str, optional
        The file of each plane, empty where it has none; together with the names they tell which planes are of one
        well, animal or movie, see `core.groups.group_planes`.
    groups : sequence of str, optional
        The group of each plane; groups are held back whole. By default as `TrainSettings.hold_back` says.
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
    known = [EVERYWHERE] * len(planes) if known is None else known
    tell, should_stop = on_event or (lambda event: None), should_stop or (lambda: False)
    check_annotations(planes, annotations, names, known)
    merged = merge_duplicates(planes, annotations, known, names, should_stop)
    for text in merged.notes:
        tell({"event": "message", "text": text, "warning": True})

    def of_kept(values: Sequence[Any]) -> list[Any]:
        return [values[index] for index in merged.kept]

    grouping = group_planes(names, places, settings.hold_back, groups)
    job = _Training(settings, of_kept(names), tell, should_stop)
    job.grouping = grouping.of(merged.kept)
    return job.run(of_kept(planes), merged.annotations, merged.known)


@dataclass
class _Training:
    settings: TrainSettings
    names: list[str]
    tell: OnEvent
    should_stop: Callable[[], bool]
    began: float = field(default_factory=time.monotonic)
    best: dict[str, Tensor] | None = None
    best_ap50: float = -1.0
    grouping: Grouping | None = None

    def run(
        self, planes: Sequence[PlaneSource], annotations: Sequence[Detections], known: Sequence[KnownArea]
    ) -> TrainResult:
        boxes, classes, notes = check_annotations(planes, annotations, self.names, known)
        counted = [counting(found, area) for found, area in zip(boxes, known, strict=True)]
        self.base = load_model(self.settings.base, self.settings.device) if self.settings.base else None
        shapes = [plane.shape for plane in planes]
        split = split_planes(counted, self.names, self.settings.seed, self.grouping, known, shapes)
        for text in notes:
            self.tell({"event": "message", "text": text, "warning": True})
        self.tell({"event": "message", "text": split.text})
        typical = float(np.median(np.concatenate([plane.diameters for plane in counted])))
        share = MOST_PIXELS // len(planes)
        seen: dict[int, IntensityMap] = {}

        def read_plane(index: int, area: KnownArea) -> tuple[list[Rectangle], list[TrainingPlane]]:
            if self.should_stop():
                raise Cancelled
            plane, found = planes[index], boxes[index]
            seen[index] = seen.get(index) or intensity.find_intensity_map(plane)
            windows = training_windows(plane, found, typical, share, area)
            return windows, [read_training_plane(plane, found, typical, part, seen[index], area) for part in windows]

        everything = [read_plane(index, area) for index, area in enumerate(known)]
        windows, read = [part[0] for part in everything], [part[1] for part in everything]

        def learnt_from(fold: Fold) -> list[TrainingPlane]:
            if fold.areas is not None:
                return read_plane(0, fold.areas[0])[1]
            return [part for index in fold.train for part in read[index]]

        def judged_on(fold: Fold, key: str) -> list[Part]:
            if fold.areas is not None:
                area = fold.areas[1]
                halves = training_windows(planes[0], boxes[0], typical, share, area)
                return [Part(self.names[0], planes[0], counted[0], half, area, key) for half in halves]
            return [
                Part(self.names[index], planes[index], counted[index], part, known[index])
                for index in fold.validation
                for part in windows[index]
            ]

        learnt = self._learn(classes, split, read, learnt_from)
        model = learnt.model
        if learnt.judges and learnt.judges[-1][1] is model:
            split = split.stopped_in(learnt.judges[-1][0], self.names)
        self.tell({"event": "message", "text": "Comparing the models on the validation planes."})
        turns = learnt.judges or [(Fold(split.train, split.validation), model)]
        judged = [(judge, part) for number, (fold, judge) in enumerate(turns) for part in judged_on(fold, f"{number}")]
        comparison = self._compare(model, judged, split)
        self._describe(model.card, split, comparison, counted, read)
        return TrainResult(model, comparison, learnt.cancelled)

    def _learn(
        self,
        classes: tuple[str, ...],
        split: Split,
        read: Sequence[list[TrainingPlane]],
        learnt_from: Callable[[Fold], list[TrainingPlane]],
    ) -> Learnt:
        """Train the model to keep, and those of a cross-validation before it."""

        def learn(
            train: list[TrainingPlane], watched: list[TrainingPlane], settings: TrainSettings, tell: OnEvent
        ) -> tuple[Model, bool]:
            job = _Training(settings, self.names, tell, self.should_stop)
            job.base = self.base
            model = job._new_model(classes)
            cancelled = job._optimise(model, train, watched)
            if job.best is not None:
                model.network.load_state_dict(job.best)
            return Model(model.network, model.card, settings.device), cancelled

        train, validation = (
            [part for index in side for part in read[index]] for side in (split.train, split.validation)
        )
        if not split.folds:
            return Learnt(*learn(train, validation, self.settings, self.tell))
        seconds = self.settings.seconds or DEFAULT_SECONDS
        return learn_in_turns(learn, split.folds, learnt_from, train, self.settings, seconds, self.tell, time.monotonic)

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

    def _compare(self, model: Model, judged: Sequence[tuple[Model, Part]], split: Split) -> dict[str, Any]:
        """Compare base and new model on the validation planes; on parts of a few when somebody waits for the end."""

        def compare(judged: Sequence[tuple[Model, Part]], should_stop: Callable[[], bool]) -> dict[str, Any]:
            judges, parts = [judge for judge, _ in judged], [part for _, part in judged]
            compared = compare_models(model, self.base, parts, split.text, should_stop, split.honest, judges)
            return {**compared, "cross_validated": split.cross_validated}

        if not self.should_stop():
            with suppress(Cancelled):
                return compare(judged, self.should_stop)
        few: dict[tuple[str, str], tuple[Model, Part]] = {}
        for judge, part in judged:
            if len(few) < PLANES_AFTER_CANCEL and (part.name, part.key) not in few:
                height, width, _ = part.plane.shape
                (window,) = busiest_windows(part.boxes, height, width, VALIDATION_SIDE, 1, part.known)
                few[part.name, part.key] = judge, replace(part, window=window)
        return compare(list(few.values()), lambda: False)

    def _describe(
        self,
        card: ModelCard,
        split: Split,
        comparison: dict[str, Any],
        boxes: Sequence[Detections],
        read: Sequence[Sequence[TrainingPlane]],
    ) -> None:
        counts: Counter[str] = Counter()
        for plane in boxes:
            counts.update(plane.counts())
        card.training = {
            "planes": [
                {"name": name, "sha256": _fingerprint(parts)} for name, parts in zip(self.names, read, strict=True)
            ],
            "boxes": dict(counts),
            **split.describe(self.names),
            "seconds": round(time.monotonic() - self.began, 1),
            "epochs": self.settings.epochs,
            "seed": self.settings.seed,
            "torch": torch.__version__,
        }
        where = "validation" if split.held_back else "cross-validation" if split.folds else "training planes"
        card.metrics = {where: comparison["new"]}


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


def _fingerprint(parts: Sequence[TrainingPlane]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.pixels.numpy().tobytes())
    return digest.hexdigest()
