"""What a new model does otherwise than the old one, box by box."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.detections import Detections
from napari_localize.core.findings import Finding
from napari_localize.evaluation.matching import match_boxes, overlaps

SAME_OBJECT = 0.5
"""Boxes that overlap (IoU) by this are of one object."""

SAME_PLACE = 0.75
"""Boxes of one object that overlap by less have moved."""


def changes(
    names: Sequence[str], old: Sequence[Detections], new: Sequence[Detections], true: Sequence[Detections]
) -> list[Finding]:
    """List what differs between the boxes of two models.

    Parameters
    ----------
    names : sequence of str
        Of the planes; a plane of which parts are compared may be there several times.
    old, new : sequence of Detections
        What each model has found on each, at the threshold of each.
    true : sequence of Detections
        What is there.

    Returns
    -------
    list of Finding
        Of the kinds ``gained``, ``lost``, ``moved`` and ``reclassed``; the text ends in ``rightly`` or ``wrongly``.
        Wrong changes of all planes come first; of each plane the surest ones.
    """
    order = {name: index for index, name in enumerate(dict.fromkeys(names))}
    found = [change for one in zip(names, old, new, true, strict=True) for change in _on_plane(*one)]
    found.sort(key=lambda item: (item[0], order[item[1].name], -np.nan_to_num(item[1].score, nan=1.0)))
    return [finding for _, finding in found]


def _on_plane(name: str, old: Detections, new: Detections, true: Detections) -> list[tuple[bool, Finding]]:
    names = tuple(dict.fromkeys([*new.class_names, *old.class_names, *true.class_names]))
    old, new, true = (boxes.with_classes(names) for boxes in (old, new, true))
    rows, columns, ious = _pairs(old, new)
    right_old, right_new = (_right(boxes, true) for boxes in (old, new))
    found: list[tuple[bool, Finding]] = []

    def add(kind: str, boxes: Detections, row: int, right: bool, text: str, other: Detections, at: int) -> None:
        corners = _corners(other, at) if at >= 0 else None
        score = float(boxes.scores[row])
        line = f"{text} {score:.2f}" if score == score else text
        word = "rightly" if right else "wrongly"
        found.append((right, Finding(name, _corners(boxes, row), kind, f"{line}, {word}", corners, score)))

    for row in np.setdiff1d(np.arange(len(new)), columns).tolist():
        add("gained", new, row, bool(right_new[row]), names[new.labels[row]], old, -1)
    for row in np.setdiff1d(np.arange(len(old)), rows).tolist():
        add("lost", old, row, not right_old[row], names[old.labels[row]], new, -1)
    for before, after, iou in zip(rows.tolist(), columns.tolist(), ious.tolist(), strict=True):
        was, now = names[old.labels[before]], names[new.labels[after]]
        right = bool(right_new[after])
        if was != now:
            add("reclassed", new, after, right, f"{was} -> {now}", old, before)
        elif iou < SAME_PLACE:
            add("moved", new, after, right or not right_old[before], now, old, before)
    return found


def _pairs(old: Detections, new: Detections) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return rows of boxes of one object, whatever their classes, and their IoU; those that overlap most first."""
    rows, columns, ious = overlaps(old.boxes, new.boxes, SAME_OBJECT)
    taken_old, taken_new = np.zeros(len(old), bool), np.zeros(len(new), bool)
    chosen = []
    for index in np.argsort(-ious, kind="stable").tolist():
        row, column = int(rows[index]), int(columns[index])
        if not (taken_old[row] or taken_new[column]):
            taken_old[row] = taken_new[column] = True
            chosen.append(index)
    return rows[chosen], columns[chosen], ious[chosen]


def _right(boxes: Detections, true: Detections) -> NDArray[np.bool_]:
    scores = np.nan_to_num(boxes.scores, nan=1.0)
    return match_boxes(boxes.boxes, boxes.labels, scores, true.boxes, true.labels, SAME_OBJECT)


def _corners(boxes: Detections, row: int) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = boxes.boxes[row].tolist()
    return (x0, y0, x1, y1)
