"""Which predicted box is which true one: numpy, in memory that grows with the boxes and not their square."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.core.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROWS, _COLUMNS = 512, 4096
"""Size of the dense tables of IoUs that are in memory at a time."""

_MOST_PAIRS = 20_000_000
"""Pairs of points of one plane that fit into memory."""


def overlaps(
    boxes: NDArray[Any], others: NDArray[Any], minimum: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return all pairs of boxes with at least an intersection over union.

    Parameters
    ----------
    boxes, others : (N, 4), (M, 4)
        ``x0, y0, x1, y1``.
    minimum : float
        Above 0.

    Returns
    -------
    rows, columns, ious : (P,)
        Indices into `boxes` and `others`, and their IoU.
    """
    boxes, others = np.asarray(boxes, np.float64), np.asarray(others, np.float64)
    # Boxes sorted along the longer side of the image form narrow stripes: few of the others lie near.
    axis = int(np.argmax(np.ptp(boxes[:, :2], axis=0))) if len(boxes) else 0
    order = np.argsort(boxes[:, axis])
    found = []
    for start in range(0, len(order), _ROWS):
        rows = order[start : start + _ROWS]
        part = boxes[rows]
        low, high = part[:, axis].min(), part[:, axis + 2].max()
        near = np.flatnonzero((others[:, axis] < high) & (others[:, axis + 2] > low))
        for at in range(0, len(near), _COLUMNS):
            columns = near[at : at + _COLUMNS]
            ious = _iou_table(part, others[columns])
            i, j = np.nonzero(ious >= minimum)
            found.append((rows[i], columns[j], ious[i, j]))
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    all_rows, all_columns, values = (np.concatenate(column) for column in zip(*found, strict=True))
    return all_rows, all_columns, values


def match_boxes(
    boxes: NDArray[Any],
    labels: NDArray[np.int64],
    scores: NDArray[Any],
    true_boxes: NDArray[Any],
    true_labels: NDArray[np.int64],
    iou: float,
) -> NDArray[np.bool_]:
    """Say which predictions hit: by falling score, each takes the free true box that it overlaps most.

    Only boxes of the same class match. As the order is that of the scores, leaving out all predictions
    below a score does not change the others.
    """
    rows, columns, ious = overlaps(boxes, true_boxes, lowest(iou))
    same = labels[rows] == true_labels[columns]
    return assign(rows[same], columns[same], ious[same], scores, len(true_boxes)) >= 0


def lowest(iou: float) -> float:
    """Return the overlap from which a pair counts: an IoU of 1 is met up to rounding."""
    return min(iou, 1 - 1e-10)


def assign(
    rows: NDArray[np.int64], columns: NDArray[np.int64], closeness: NDArray[Any], scores: NDArray[Any], others: int
) -> NDArray[np.int64]:
    """Give each prediction its true object: by falling score, each takes the free one that is closest.

    Parameters
    ----------
    rows, columns, closeness : (P,)
        Pairs that may belong together: a prediction, a true object, and how close they are, more being closer.
    scores : (N,)
        Of all predictions.
    others : int
        How many true objects there are.

    Returns
    -------
    (N,) int64
        The true object of each prediction, -1 for none.
    """
    rank = np.empty(len(scores), np.int64)
    rank[np.argsort(-scores, kind="stable")] = np.arange(len(scores))
    order = np.lexsort((-columns, -closeness, rank[rows]))
    partner, taken = np.full(len(scores), -1, np.int64), np.zeros(others, bool)
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if partner[row] < 0 and not taken[column]:
            partner[row], taken[column] = column, True
    return partner


def neighbours(
    points: NDArray[Any], others: NDArray[Any], distance: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return all pairs of points that are at most so far from each other.

    Parameters
    ----------
    points, others : (N, 2), (M, 2)
        In pixels.
    distance : float
        In pixels.

    Returns
    -------
    rows, columns, distances : (P,)
        Indices into `points` and `others`, and their distance in pixels.

    Raises
    ------
    UserError
        When there are so many pairs that the distance cannot be meant.
    """
    from scipy.spatial import cKDTree

    if not len(points) or not len(others):
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    tree, other_tree = (cKDTree(np.asarray(part, np.float64)) for part in (points, others))
    if tree.count_neighbors(other_tree, distance) > _MOST_PAIRS:
        raise UserError(f"a distance of {distance:g} pixels holds most of the points of a plane; give a smaller one.")
    found = tree.sparse_distance_matrix(other_tree, distance, output_type="ndarray")
    return found["i"].astype(np.int64), found["j"].astype(np.int64), found["v"]


def split_by_overlap(boxes: NDArray[Any], others: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number the boxes so that only boxes with the same number can match at an IoU of 0.5 or more.

    Boxes are put together until a part has about a thousand.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows, columns, _ = overlaps(boxes, others, 0.5 - 1e-6)
    total = len(boxes) + len(others)
    graph = coo_array((np.ones(len(rows), bool), (rows, columns + len(boxes))), shape=(total, total))
    _, component = connected_components(graph, directed=False)
    first = np.cumsum(np.bincount(component)) - 1
    parts = (first // 1000)[component].astype(np.int64)
    return parts[: len(boxes)], parts[len(boxes) :]


def _iou_table(boxes: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    inner = np.clip(high - low, 0, None).prod(axis=2)
    area, other_area = ((b[:, 2:] - b[:, :2]).prod(axis=1) for b in (boxes, others))
    table: NDArray[np.float64] = inner / (area[:, None] + other_area[None] - inner)
    return table
