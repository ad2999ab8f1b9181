"""Two models side by side on the same planes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import nms

from napari_localize.core.detections import Detections
from napari_localize.core.known import EVERYWHERE, KnownArea
from napari_localize.core.planes import PlaneSource
from napari_localize.core.settings import PredictSettings
from napari_localize.core.tiling import Rectangle
from napari_localize.evaluation.calibration import Judged, calibrate
from napari_localize.evaluation.changes import changes
from napari_localize.evaluation.gate import compare, mean_count_error, tally
from napari_localize.evaluation.metrics import best_threshold, summarize
from napari_localize.evaluation.verdict import count_changes
from napari_localize.models.heatmap.decode import NMS_IOU
from napari_localize.models.localizer import Model
from napari_localize.models.predict import FLOOR, predict_plane

FOLDS = 5
"""The threshold for a plane is chosen on other planes, in so many turns, so that the comparison does not flatter it."""

NEUTRAL = 0.5
"""The threshold of a model of which nothing is known."""

MOST_CHANGES = 5000
"""Differences that are listed at most."""


@dataclass(frozen=True)
class Part:
    """A window of an annotated plane to compare models on; `name`, `boxes` and `known` are the plane's.

    Only boxes with their centre in the known area count, true ones and found ones. Parts of one plane with different
    keys get their thresholds from each other; those of a group, such as a well or a movie, get theirs from other groups.
    """

    name: str
    plane: PlaneSource
    boxes: Detections
    window: Rectangle
    known: KnownArea = EVERYWHERE
    key: str = ""
    group: str = ""


def compare_models(
    model: Model,
    base: Model | None,
    parts: Sequence[Part],
    note: str,
    should_stop: Callable[[], bool],
    held_back: bool = True,
    judges: Sequence[Model] | None = None,
    kind: str = "given",
) -> dict[str, Any]:
    """Measure a new model and its base; the new one gets the threshold that suits these parts best.

    Where the parts took no part in its training, it gets the calibration that they give, too.

    Parameters
    ----------
    judges : sequence of Model, optional
        For each part the model that stands for the new one there, in a cross-validation; see `between`.
    kind : str
        What the parts' groups are, see `core.groups.Grouping`.

    Returns
    -------
    dict
        ``planes``: names; ``old``, ``new``: measures, the former None without a base; ``note``, with what is to be
        known added; ``held_back``: as it was given, whether the parts took no part in the training; ``gate``:
        `evaluation.gate.Gate` as a dictionary, None without a base; ``changes``: `core.findings.Finding` as
        dictionaries, at most `MOST_CHANGES`, and ``change counts``: see `evaluation.verdict.count_changes`, of all;
        both are empty without a base.

    Raises
    ------
    Cancelled
        When `should_stop` said so.
    """

    def run(models: Sequence[Model]) -> list[Detections]:
        settings = PredictSettings(threshold=FLOOR)
        return [
            counting(
                predict_plane(model, part.plane, settings, region=part.window, should_stop=should_stop), part.known
            )
            for model, part in zip(models, parts, strict=True)
        ]

    true = [within(counting(part.boxes, part.known), part.window) for part in parts]
    found = run(judges or [model] * len(parts))
    names = [part.name for part in parts]
    apart = _apart(parts)
    thresholds = chosen_elsewhere(found, true, apart)
    model.card.threshold = float(np.clip(best_threshold(found, true), FLOOR, 0.95))
    judged_itself = not judges or all(judge is model for judge in judges)
    if not judged_itself:
        model.card.threshold = between(found, run([model] * len(parts)), true)
    elif not held_back:
        # Of what it has learnt by heart it is surer than of anything else.
        model.card.threshold = (model.card.threshold + (NEUTRAL if base is None else base.card.threshold)) / 2
    # What a model has learnt by heart says nothing of how sure it is elsewhere, nor does how sure another one is.
    judged = Judged(found, true, names, apart) if held_back and judged_itself else None
    model.card.calibration = calibrate(judged) if judged is not None else None
    compared: dict[str, Any] = {"planes": list(dict.fromkeys(names)), "old": None, "held_back": held_back}
    compared |= {"gate": None, "changes": [], "change counts": {}}
    if base is not None:
        before = run([base] * len(parts))
        if set(base.card.classes) & set(model.card.classes):
            classes = tuple(dict.fromkeys([*model.card.classes, *base.card.classes]))
            before = [boxes.with_classes(classes) for boxes in before]
        else:
            note += " The models' classes differ, so both are compared without regard to class."
            before, found = ([found_as_any(boxes) for boxes in side] for side in (before, found))
            true = [Detections(boxes.boxes) for boxes in true]
        compared["old"] = measure(before, true, [base.card.threshold] * len(parts), names)
        old, new = above(before, [base.card.threshold] * len(parts)), above(found, thresholds)
        compared |= _judge(parts, old, new, true, kind)
    return {**compared, "new": measure(found, true, thresholds, names), "note": note.strip()}


def between(judged: Sequence[Detections], learnt: Sequence[Detections], true: Sequence[Detections]) -> float:
    """Return the threshold of a model between that of briefer ones on what they have not seen and its own on what it has.

    Those of a cross-validation are less sure of everything: at their threshold the model that is kept finds too much, and far too
    much where there was no base. Its own on the planes that it has learnt is too high. Each counts by the F1 that it gives.
    """
    thresholds = [float(np.clip(best_threshold(found, true), FLOOR, 0.95)) for found in (judged, learnt)]
    weights = [
        float(np.nan_to_num(summarize(above(found, [threshold] * len(true)), true)["F1"]))
        for found, threshold in zip((judged, learnt), thresholds, strict=True)
    ]
    return float(np.average(thresholds, weights=weights)) if sum(weights) else thresholds[0]


def _apart(parts: Sequence[Part]) -> list[str]:
    """Name for each part those that say too little about others of the same name: its group, or its plane if all are of one."""
    groups = [part.group or part.name for part in parts]
    return groups if len(set(groups)) > 1 else [part.name + part.key for part in parts]


def chosen_elsewhere(found: Sequence[Detections], true: Sequence[Detections], names: Sequence[str]) -> list[float]:
    """Return for each part the threshold that suits those of other names best (cross-validation).

    With fewer than `FOLDS` names it is the one that suits all of them: what so few say of each other would be chance.
    """
    number = {name: index for index, name in enumerate(dict.fromkeys(names))}
    # Runs of neighbours, which are more alike than others.
    fold = np.array([number[name] * FOLDS // len(number) for name in names])
    if len(number) < FOLDS:
        return [float(np.clip(best_threshold(found, true), FLOOR, 0.95))] * len(names)
    thresholds = np.zeros(len(names))
    for turn in np.unique(fold):
        others = np.flatnonzero(fold != turn).tolist()
        best = best_threshold([found[index] for index in others], [true[index] for index in others])
        thresholds[fold == turn] = np.clip(best, FLOOR, 0.95)
    return [float(value) for value in thresholds]


def measure(
    found: Sequence[Detections],
    true: Sequence[Detections],
    thresholds: Sequence[float],
    names: Sequence[str] | None = None,
) -> dict[str, float]:
    """AP50 and AP of all boxes; precision, recall, F1 and count error of those above the threshold of their plane.

    Parts of a plane have the same name: its count is that of all of them.
    """
    everything = summarize(found, true)
    kept = above(found, thresholds)
    chosen = summarize(kept, true)
    if names is not None:
        classes = tuple(dict.fromkeys(name for boxes in (*true, *kept) for name in boxes.class_names))
        counts = _by_plane(names, tally(kept, true, classes)).sum(axis=1)
        chosen["count_error"] = float(mean_count_error(np.ones((1, len(counts))), counts)[0])
    return {**chosen, "AP50": everything["AP50"], "AP": everything["AP"]}


def above(found: Sequence[Detections], thresholds: Sequence[float]) -> list[Detections]:
    """Return the boxes with at least the score that is wanted on their plane."""
    return [boxes[boxes.scores >= threshold] for boxes, threshold in zip(found, thresholds, strict=True)]


def counting(boxes: Detections, known: KnownArea) -> Detections:
    """Return the boxes with their centre in the known area."""
    return boxes if known.whole else boxes[known.holds(boxes.boxes)]


def within(boxes: Detections, window: Rectangle) -> Detections:
    """Cut boxes at the sides of a window of their plane; those wholly outside are left out."""
    corner = np.array([window.x0, window.y0] * 2, np.float32)
    inside = replace(boxes, boxes=boxes.boxes - corner).clip(window.y1 - window.y0, window.x1 - window.x0)
    return replace(inside, boxes=inside.boxes + corner)


def _judge(
    parts: Sequence[Part],
    old: Sequence[Detections],
    new: Sequence[Detections],
    true: Sequence[Detections],
    kind: str,
) -> dict[str, Any]:
    """Return the verdict over planes, and what differs box by box."""
    names = [part.name for part in parts]
    groups = list({part.name: part.group or part.name for part in parts}.values())
    classes = tuple(dict.fromkeys(name for boxes in (*true, *new, *old) for name in boxes.class_names))
    counts = [_by_plane(names, tally(side, true, classes)) for side in (old, new)]
    every = changes(names, old, new, true)
    return {
        "gate": compare(*counts, classes, groups=groups, kind=kind).as_dict(),
        "changes": [finding.as_dict() for finding in every[:MOST_CHANGES]],
        # Of all: the wrong ones come first, so that those listed say nothing of the share that is right.
        "change counts": count_changes((finding.kind, finding.text) for finding in every),
    }


def _by_plane(names: Sequence[str], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Add the counts of the parts of each plane."""
    planes = {name: index for index, name in enumerate(dict.fromkeys(names))}
    total = np.zeros((len(planes), *counts.shape[1:]), np.int64)
    np.add.at(total, [planes[name] for name in names], counts)
    return total


def found_as_any(boxes: Detections) -> Detections:
    """Return what was found without regard to class: an object that was found as several classes is one."""
    kept = nms(torch.from_numpy(boxes.boxes), torch.from_numpy(boxes.scores), NMS_IOU).numpy()
    return Detections(boxes.boxes[kept], scores=boxes.scores[kept])
