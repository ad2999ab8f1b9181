"""Which found object is which true one on all planes, and what that comes to at any threshold of the score.

True objects are given out by falling score, so that leaving out the predictions below a score changes nothing of the
others: a threshold needs no new matching.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.core.detections import Detections
from napari_localize.evaluation.matching import assign, lowest, neighbours, overlaps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]

NEAR_IOU = 0.1
"""Boxes that overlap by this, but less than a hit, are of one object and badly placed."""

NEAR_DISTANCES = 2.0
"""Points that are this many times the distance of a hit apart, or less, are of one object and badly placed."""


@dataclass(frozen=True)
class Matches:
    """All found and true objects of all planes in one table, and who belongs to whom.

    Attributes
    ----------
    class_names : tuple of str
    planes : int
        How many there are; `plane` and `true_plane` number them.
    boxes, labels, scores, plane : (N, ...) arrays
        What was found. What has no score counts as certain.
    true_boxes, true_labels, true_plane : (M, ...) arrays
        What is there.
    limit : float
        IoU, or distance in pixels, of a hit.
    points : bool
        Whether the distance of the centres decides, and not the IoU.
    partner : (N,)
        The true object of its class that each one hits, -1 for none.
    partner_of_any_class : (N,)
        The same regardless of class.
    rows, columns, closeness : (P,)
        Pairs of found and true objects that are near each other: IoU, or distance below 0.
    """

    class_names: tuple[str, ...]
    planes: int
    boxes: NDArray[np.float64]
    labels: Rows
    scores: NDArray[np.float32]
    plane: Rows
    true_boxes: NDArray[np.float64]
    true_labels: Rows
    true_plane: Rows
    limit: float
    points: bool
    partner: Rows
    partner_of_any_class: Rows
    rows: Rows
    columns: Rows
    closeness: NDArray[np.float64]

    def above(self, threshold: float | None) -> NDArray[np.bool_]:
        """Tell which predictions have at least a score; None for all."""
        # In the type of the scores: 0.7 itself is above the score that is written so.
        return np.ones(len(self.scores), bool) if threshold is None else self.scores >= np.float32(threshold)

    def assigned(self, limit: float) -> Rows:
        """Return the partners at another, stricter limit."""
        return _assigned(self, _same_class(self) & (self.closeness >= _least(limit, self.points)))


def match_planes(
    predictions: Sequence[Detections],
    annotations: Sequence[Detections],
    class_names: Sequence[str],
    limit: float,
    *,
    points: bool = False,
    widest: float | None = None,
) -> Matches:
    """Match the objects of all planes.

    Parameters
    ----------
    predictions, annotations : sequence of Detections
        One entry a plane, in the same order; rejected ones have been left out, and no other classes are there.
    class_names : sequence of str
        The classes of the labels.
    limit : float
        IoU of a hit, or distance in pixels.
    points : bool
        Whether the distance of the centres decides.
    widest : float, optional
        The widest limit that `Matches.assigned` will be asked for.
    """
    names = tuple(class_names)
    parts = [[each.with_classes(names) for each in side] for side in (predictions, annotations)]
    reach = max(limit * NEAR_DISTANCES, widest or 0.0) if points else min(NEAR_IOU, limit, widest or 1.0)
    found: list[tuple[Any, Any, Any]] = []
    first, true_first = 0, 0
    for ours, theirs in zip(*parts, strict=True):
        if points:
            rows, columns, distances = neighbours(ours.centers, theirs.centers, reach)
            closeness = -distances
        else:
            rows, columns, closeness = overlaps(ours.boxes, theirs.boxes, lowest(reach))
        found.append((rows + first, columns + true_first, closeness))
        first, true_first = first + len(ours), true_first + len(theirs)
    all_rows, all_columns, all_closeness = ([part[column] for part in found] for column in range(3))
    bare = Matches(
        class_names=names,
        planes=len(annotations),
        boxes=_joined([part.boxes for part in parts[0]], np.float64).reshape(-1, 4),
        labels=_joined([part.labels for part in parts[0]], np.int64),
        scores=np.nan_to_num(_joined([part.scores for part in parts[0]], np.float32), nan=1.0),
        plane=np.repeat(np.arange(len(parts[0])), [len(part) for part in parts[0]]),
        true_boxes=_joined([part.boxes for part in parts[1]], np.float64).reshape(-1, 4),
        true_labels=_joined([part.labels for part in parts[1]], np.int64),
        true_plane=np.repeat(np.arange(len(parts[1])), [len(part) for part in parts[1]]),
        limit=limit,
        points=points,
        partner=np.zeros(0, np.int64),
        partner_of_any_class=np.zeros(0, np.int64),
        rows=_joined(all_rows, np.int64),
        columns=_joined(all_columns, np.int64),
        closeness=_joined(all_closeness, np.float64),
    )
    close = bare.closeness >= _least(limit, points)
    partners = {
        "partner": _assigned(bare, close & _same_class(bare)),
        "partner_of_any_class": _assigned(bare, close),
    }
    return Matches(**{**vars(bare), **partners})


def counts(matches: Matches, threshold: float | None) -> NDArray[np.int64]:
    """Count on each plane, (planes, classes, 3): hits, objects found, objects there; as `gate.tally` does."""
    kept = matches.above(threshold)
    hits = kept & (matches.partner >= 0)
    shape = (matches.planes, len(matches.class_names))
    columns = []
    for plane, labels in (
        (matches.plane[hits], matches.labels[hits]),
        (matches.plane[kept], matches.labels[kept]),
        (matches.true_plane, matches.true_labels),
    ):
        columns.append(np.bincount(plane * shape[1] + labels, minlength=shape[0] * shape[1]).reshape(shape))
    return np.stack(columns, axis=-1).astype(np.int64)


def confusion(matches: Matches, threshold: float | None) -> NDArray[np.int64]:
    """Return how many true objects of each class (rows) were found as each class (columns); the last is background.

    The surest prediction first, each takes the true object that it is closest to, whatever its class.
    """
    size = len(matches.class_names) + 1
    kept = matches.above(threshold)
    partner = matches.partner_of_any_class
    taken = kept & (partner >= 0)
    there = np.full(len(matches.labels), size - 1)
    there[taken] = matches.true_labels[partner[taken]]
    table = np.bincount(there[kept] * size + matches.labels[kept], minlength=size * size).reshape(size, size)
    missed = np.ones(len(matches.true_labels), bool)
    missed[partner[taken]] = False
    table[:, -1] += np.bincount(matches.true_labels[missed], minlength=size)
    return table.astype(np.int64)


@dataclass(frozen=True)
class Errors:
    """What is wrong at a threshold; each found and each true object is in it once at most.

    Attributes
    ----------
    false_positives : (n,) rows of what was found
    missed : (n,) rows of what is there
    poor, wrong_class : (n, 2) rows of what was found and of what is there
        Near an object of its class, but not near enough; on an object of another class.
    """

    false_positives: Rows
    missed: Rows
    poor: Rows
    wrong_class: Rows


def errors(matches: Matches, threshold: float | None) -> Errors:
    """Sort what is wrong at a threshold into four kinds.

    In precision and recall a poor overlap and a wrong class count twice: as an object found that is not there, and
    as one that is missed.
    """
    kept = matches.above(threshold)
    free = kept & (matches.partner < 0)
    missed = np.ones(len(matches.true_labels), bool)
    missed[matches.partner[kept & (matches.partner >= 0)]] = False
    close = matches.closeness >= _least(matches.limit, matches.points)
    same = _same_class(matches)
    pairs = []
    for chosen in (close & ~same, ~close & same):
        chosen &= free[matches.rows] & missed[matches.columns]
        partner = _assigned(matches, chosen)
        rows = np.flatnonzero(partner >= 0)
        pairs.append(np.stack([rows, partner[rows]], axis=1))
        free[rows], missed[partner[rows]] = False, False
    return Errors(np.flatnonzero(free), np.flatnonzero(missed), poor=pairs[1], wrong_class=pairs[0])


def _assigned(matches: Matches, chosen: NDArray[np.bool_]) -> Rows:
    return assign(
        matches.rows[chosen],
        matches.columns[chosen],
        matches.closeness[chosen],
        matches.scores,
        len(matches.true_labels),
    )


def _same_class(matches: Matches) -> NDArray[np.bool_]:
    return np.asarray(matches.labels[matches.rows] == matches.true_labels[matches.columns])


def _least(limit: float, points: bool) -> float:
    """Return the closeness of a hit."""
    return -limit if points else lowest(limit)


def _joined(parts: Sequence[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    return np.concatenate(parts).astype(dtype) if parts else np.zeros(0, dtype)
