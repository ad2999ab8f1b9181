"""What a model has found, beside what a person has judged and what models had guessed before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.boxes import ROUNDING, STATE_CODES, BoxRows, PlaneIndex
from napari_localize.core.detections import Detections
from napari_localize.core.overlap import overlapping

if TYPE_CHECKING:
    from napari_localize.core.table import BoxTable

SAME_OBJECT = 0.5
"""A proposal that overlaps a box a person has judged by more than this (IoU) is the same object."""

Region = tuple[float, float, float, float]
"""``y0, y1, x0, x1`` in pixels."""

_PROPOSED = STATE_CODES["proposed"]


def proposing(
    table: BoxTable, plane: PlaneIndex, found: Detections, origin: str, replacing: bool, region: Region | None
) -> tuple[BoxRows, NDArray[np.int64], int]:
    """Return what becomes of the boxes of a plane when a model has found something there.

    Parameters
    ----------
    table : BoxTable
        Not changed, but for the ids that are given out.
    plane, found, origin, replacing, region
        As in `BoxTable.propose`, for one plane.

    Returns
    -------
    put : BoxRows
        Proposals that are new or have another score.
    stale : (N,) int64
        Ids of proposals that go.
    left_out : int
        Number of boxes of the model, of those whose score is shown, that a person has judged already.
    """
    boxes = table.boxes
    on = table.on(plane)
    guess = on & (boxes.states == _PROPOSED)
    near = _near(boxes.boxes, found.boxes)
    if region is None:
        beside = np.zeros(len(boxes), bool)
    else:
        top, bottom, left, right = region
        x, y = (boxes.boxes[:, 0] + boxes.boxes[:, 2]) / 2, (boxes.boxes[:, 1] + boxes.boxes[:, 3]) / 2
        beside = guess & ~((top <= y) & (y < bottom) & (left <= x) & (x < right))
    taken = overlapping(found.boxes, boxes.boxes[on & ~guess & near], SAME_OBJECT)
    # An object on the border of the region may have been found from the other side before.
    fresh = found[~taken & ~overlapping(found.boxes, boxes.boxes[beside & near], SAME_OBJECT)]
    stale = set(boxes.ids[guess & ~beside].tolist()) if replacing else set()
    known = {
        (corners.tobytes(), boxes.class_names[label]): key
        for corners, label, key in zip(
            boxes.boxes[guess & near],
            boxes.labels[guess & near].tolist(),
            boxes.ids[guess & near].tolist(),
            strict=True,
        )
    }
    # A box that was there before keeps its id, so that selection and layer stay as they are.
    ids = np.array(
        [
            known.pop((corners.tobytes(), fresh.class_names[label]), -1)
            for corners, label in zip(fresh.boxes, fresh.labels.tolist(), strict=True)
        ],
        np.int64,
    )
    stale.difference_update(ids.tolist())
    new = ids < 0
    ids[new] = table.new_ids(int(new.sum()))
    n = len(fresh)
    rows = BoxRows(
        ids=ids,
        planes=np.zeros(n, np.int32),
        boxes=fresh.boxes,
        labels=fresh.labels.astype(np.int32),
        scores=fresh.scores.astype(np.float64),
        origins=np.zeros(n, np.int32),
        states=np.full(n, _PROPOSED, np.int8),
        plane_indices=(plane,),
        class_names=fresh.class_names,
        origin_names=(origin,),
    )
    return rows, np.array(sorted(stale), np.int64), int((taken & ~(found.scores < table.min_score - ROUNDING)).sum())


def _near(boxes: NDArray[np.float32], found: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which boxes touch the rectangle around all that was found."""
    if not len(found):
        return np.zeros(len(boxes), bool)
    low, high = found[:, :2].min(axis=0), found[:, 2:].max(axis=0)
    mask: NDArray[np.bool_] = (boxes[:, 2:] >= low).all(axis=1) & (boxes[:, :2] <= high).all(axis=1)
    return mask
