"""Training a model from annotated planes: from a base model in a minute, or from nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from napari_localize.core.detections import Detections
from napari_localize.core.errors import Cancelled
from napari_localize.core.groups import Grouping, group_planes
from napari_localize.core.known import EVERYWHERE, KnownArea
from napari_localize.core.planes import PlaneSource
from napari_localize.core.settings import TrainSettings
from napari_localize.core.splitting import Fold, Split, split_planes
from napari_localize.core.tiling import Rectangle
from napari_localize.models import intensity
from napari_localize.models.checks import CheckSet
from napari_localize.models.intensity import IntensityMap
from napari_localize.models.localizer import Model, load_model
from napari_localize.training.compare import Part, compare_models, counting
from napari_localize.training.crops import TrainingPlane
from napari_localize.training.domains import SECONDS_AFTER_CANCEL, check_domains, earlier_domains, make_checks
from napari_localize.training.duplicates import merge_duplicates
from napari_localize.training.learning import DEFAULT_SECONDS, VALIDATION_SIDE, Learning, OnEvent
from napari_localize.training.planes import (
    MOST_PIXELS,
    busiest_windows,
    check_annotations,
    read_training_plane,
    training_windows,
)
from napari_localize.training.record import Curve, corrections, describe
from napari_localize.training.turns import Learnt, learn_in_turns

PLANES_AFTER_CANCEL = 4
"""Validation planes that a cancelled training is compared on."""


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
        the new model's measures are those of models trained for a cross-validation; ``gate``, ``changes`` and ``change
        counts``: see `compare_models`; ``domains``: see `training.domains.check_domains`, empty without a base.
    cancelled : bool
        Whether it was stopped before its time.
    checks : CheckSet
        Windows of the planes compared on, to be kept beside the model (`models.checks.save_checks`).
    recipe : str
        How it learnt, in words.
    steps : int
        How many batches the whole network has learnt from.
    """

    model: Model
    comparison: dict[str, Any]
    cancelled: bool
    checks: CheckSet
    recipe: str = ""
    steps: int = 0


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
        The boxes of each; where one was rejected there is no object, which is learnt, too, also outside of `known`.
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
    job = _Training(settings, of_kept(names), Curve(tell), should_stop)
    job.grouping = grouping.of(merged.kept)
    return job.run(of_kept(planes), merged.annotations, merged.known, merged.fingerprints)


@dataclass
class _Training:
    settings: TrainSettings
    names: list[str]
    tell: Curve
    should_stop: Callable[[], bool]
    began: float = field(default_factory=time.monotonic)
    grouping: Grouping | None = None

    def run(
        self,
        planes: Sequence[PlaneSource],
        annotations: Sequence[Detections],
        known: Sequence[KnownArea],
        fingerprints: Sequence[str],
    ) -> TrainResult:
        self.base = load_model(self.settings.base, self.settings.device) if self.settings.base else None
        base_classes = () if self.base is None else self.base.card.classes
        boxes, classes, notes = check_annotations(planes, annotations, self.names, known, base_classes)
        rejected = [found.boxes[found.states == "rejected"] for found in annotations]
        counted = [counting(found, area) for found, area in zip(boxes, known, strict=True)]
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
            return windows, [
                read_training_plane(plane, found, typical, part, seen[index], area, rejected[index]) for part in windows
            ]

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
                Part(self.names[index], planes[index], counted[index], part, known[index], group=split.groups[index])
                for index in fold.validation
                for part in windows[index]
            ]

        learnt, learning = self._learn(classes, split, read, learnt_from)
        model = learnt.model
        if learnt.judges and learnt.judges[-1][1] is model:
            split = split.stopped_in(learnt.judges[-1][0], self.names)
        self.tell({"event": "message", "text": "Comparing the models on the validation planes."})
        turns = learnt.judges or [(Fold(split.train, split.validation), model)]
        judged = [(judge, part) for number, (fold, judge) in enumerate(turns) for part in judged_on(fold, f"{number}")]
        comparison = self._compare(model, judged, split)
        comparison["domains"] = self._look_back(model, fingerprints)
        describe(
            model.card,
            settings=self.settings,
            recipe=learning.described,
            names=self.names,
            fingerprints=fingerprints,
            counted=counted,
            corrected=corrections(annotations, known),
            split=split,
            comparison=comparison,
            curve=self.tell,
            steps=learning.steps,
            seconds=time.monotonic() - self.began,
            device=model.device_text,
            stopped=learnt.cancelled,
        )
        checks = make_checks(planes, boxes, known, self.names, fingerprints, split)
        return TrainResult(model, comparison, learnt.cancelled, checks, learning.recipe_text, learning.steps)

    def _learn(
        self,
        classes: tuple[str, ...],
        split: Split,
        read: Sequence[list[TrainingPlane]],
        learnt_from: Callable[[Fold], list[TrainingPlane]],
    ) -> tuple[Learnt, Learning]:
        """Train the model to keep, and those of a cross-validation before it; return how it has learnt, too."""
        made: list[tuple[Model, Learning]] = []

        def learn(
            train: list[TrainingPlane], settings: TrainSettings, tell: OnEvent, watched: Sequence[TrainingPlane] = ()
        ) -> tuple[Model, bool]:
            learning = Learning(settings, self.base, tell, self.should_stop)
            model, cancelled = learning.run(classes, train, watched)
            made.append((model, learning))
            return model, cancelled

        train, validation = (
            [part for index in side for part in read[index]] for side in (split.train, split.validation)
        )
        if not split.folds:
            learnt = Learnt(*learn(train, self.settings, self.tell, validation))
        else:
            seconds = self.settings.seconds or DEFAULT_SECONDS
            learnt = learn_in_turns(
                learn, split.folds, learnt_from, train, self.settings, seconds, self.tell, time.monotonic
            )
        return learnt, next(learning for model, learning in made if model is learnt.model)

    def _compare(self, model: Model, judged: Sequence[tuple[Model, Part]], split: Split) -> dict[str, Any]:
        """Compare base and new model on the validation planes; on parts of a few when somebody waits for the end."""
        # The verdict says of a cross-validation what there is to say.
        note = "" if split.cross_validated else split.text

        def compare(judged: Sequence[tuple[Model, Part]], should_stop: Callable[[], bool]) -> dict[str, Any]:
            judges, parts = [judge for judge, _ in judged], [part for _, part in judged]
            compared = compare_models(model, self.base, parts, note, should_stop, split.honest, judges, split.kind)
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

    def _look_back(self, model: Model, fingerprints: Sequence[str]) -> list[dict[str, Any]]:
        """Compare base and new model on what earlier models could do; in little time when somebody waits."""
        if self.base is None:
            return []
        domains = earlier_domains(model.card, self.base, fingerprints)
        if domains:
            self.tell({"event": "message", "text": "Looking at what earlier models could do."})
        if self.should_stop():
            return check_domains(model, self.base, domains, lambda: False, SECONDS_AFTER_CANCEL)
        return check_domains(model, self.base, domains, self.should_stop)
