"""Training a model from annotated planes: from a base model in a minute, or from nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_localize.core.detections import Detections
from napari_localize.core.errors import Cancelled
from napari_localize.core.known import EVERYWHERE, KnownArea
from napari_localize.core.planes import PlaneSource
from napari_localize.core.settings import TrainSettings
from napari_localize.core.tiling import Rectangle
from napari_localize.models import intensity
from napari_localize.models.checks import CheckSet
from napari_localize.models.localizer import Model, load_model
from napari_localize.training.compare import Part, compare_models, counting
from napari_localize.training.domains import SECONDS_AFTER_CANCEL, check_domains, earlier_domains, make_checks
from napari_localize.training.learning import VALIDATION_SIDE, Learning, OnEvent
from napari_localize.training.planes import (
    MOST_PIXELS,
    Split,
    busiest_windows,
    check_annotations,
    read_training_plane,
    split_planes,
    training_windows,
)
from napari_localize.training.record import Curve, corrections, describe, fingerprint

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
        them (``old`` is None without a base); ``note``: how the planes were divided; ``gate`` and ``changes``: see
        `compare_models`; ``domains``: see `training.domains.check_domains`, empty without a base.
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
    job = _Training(settings, list(names), Curve(on_event or (lambda event: None)), should_stop or (lambda: False))
    return job.run(planes, annotations, [EVERYWHERE] * len(planes) if known is None else list(known))


@dataclass
class _Training:
    settings: TrainSettings
    names: list[str]
    tell: Curve
    should_stop: Callable[[], bool]
    began: float = field(default_factory=time.monotonic)

    def run(
        self, planes: Sequence[PlaneSource], annotations: Sequence[Detections], known: Sequence[KnownArea]
    ) -> TrainResult:
        boxes, classes, notes = check_annotations(planes, annotations, self.names, known)
        rejected = [found.boxes[found.states == "rejected"] for found in annotations]
        counted = [counting(found, area) for found, area in zip(boxes, known, strict=True)]
        self.base = load_model(self.settings.base, self.settings.device) if self.settings.base else None
        split = split_planes(counted, self.names, self.settings.seed)
        for text in notes:
            self.tell({"event": "message", "text": text, "warning": True})
        self.tell({"event": "message", "text": split.text})
        typical = float(np.median(np.concatenate([plane.diameters for plane in counted])))
        share = MOST_PIXELS // len(planes)
        windows, read = [], []
        for plane, found, area, wrong in zip(planes, boxes, known, rejected, strict=True):
            if self.should_stop():
                raise Cancelled
            seen = intensity.find_intensity_map(plane)
            windows.append(training_windows(plane, found, typical, share, area))
            parts = [read_training_plane(plane, found, typical, part, seen, area, wrong) for part in windows[-1]]
            read.append(parts)
        train = [part for index in split.train for part in read[index]]
        validation = [part for index in split.validation for part in read[index]]
        learning = Learning(self.settings, self.base, self.tell, self.should_stop)
        model, cancelled = learning.run(classes, train, validation)
        self.tell({"event": "message", "text": "Comparing the models on the validation planes."})
        comparison = self._compare(model, planes, counted, known, windows, split)
        fingerprints = [fingerprint(parts) for parts in read]
        comparison["domains"] = self._look_back(model, fingerprints)
        describe(
            model.card,
            settings=self.settings,
            recipe=learning.described,
            names=self.names,
            fingerprints=fingerprints,
            counted=counted,
            corrected=corrections(annotations, known),
            split=split.text,
            held_back=split.held_back,
            comparison=comparison,
            curve=self.tell,
            seconds=time.monotonic() - self.began,
            device=model.device_text,
        )
        checks = make_checks(planes, boxes, known, self.names, fingerprints, split)
        return TrainResult(model, comparison, cancelled, checks, learning.recipe_text, learning.steps)

    def _compare(
        self,
        model: Model,
        planes: Sequence[PlaneSource],
        boxes: Sequence[Detections],
        known: Sequence[KnownArea],
        windows: Sequence[Sequence[Rectangle]],
        split: Split,
    ) -> dict[str, Any]:
        """Compare base and new model on the validation planes; on parts of a few when somebody waits for the end."""
        if not self.should_stop():
            parts = [
                Part(self.names[i], planes[i], boxes[i], part, known[i])
                for i in split.validation
                for part in windows[i]
            ]
            with suppress(Cancelled):
                return compare_models(model, self.base, parts, split.text, self.should_stop, split.held_back)
        few = []
        for i in split.validation[:PLANES_AFTER_CANCEL]:
            height, width, _ = planes[i].shape
            (window,) = busiest_windows(boxes[i], height, width, VALIDATION_SIDE, 1, known[i])
            few.append(Part(self.names[i], planes[i], boxes[i], window, known[i]))
        return compare_models(model, self.base, few, split.text, lambda: False, split.held_back)

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
