"""Cutting a plane into overlapping tiles, and putting what was found in them together."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SEAM_MARGIN = 2.0
"""A box that ends nearer than this, in pixels of the network, to a cut through the plane may be a part."""

SAME_OBJECT = 0.6
"""A part of which a larger fraction than this lies in another box is of that box's object."""


class Rectangle(NamedTuple):
    """Part of a plane: rows y0 to y1 and columns x0 to x1, the ends not included, in pixels."""

    y0: int
    y1: int
    x0: int
    x1: int


def plan_tiles(height: int, width: int, tile: int, overlap: int) -> list[Rectangle]:
    """Cover a plane with tiles of one size (smaller only where the plane is), evenly spread.

    Parameters
    ----------
    height, width : int
        Size of the plane in pixels.
    tile : int
        Side of a tile.
    overlap : int
        Neighbouring tiles share at least this; every object not larger lies whole in one tile.

    Raises
    ------
    ValueError
        When the overlap is not smaller than the tile.
    """
    if not 0 <= overlap < tile:
        raise ValueError(f"the overlap {overlap} must be smaller than the tile {tile}")
    rows, columns = _starts(height, tile, overlap), _starts(width, tile, overlap)
    return [
        Rectangle(y, min(y + tile, height), x, min(x + tile, width)) for y in rows for x in columns
    ]


def cut_by_seam(
    boxes: NDArray[np.float32], tile: Rectangle, height: int, width: int, margin: float
) -> NDArray[np.bool_]:
    """Tell which boxes end at a side of the tile that is not a side of the plane.

    Parameters
    ----------
    boxes : (N, 4) float32
        x0, y0, x1, y1 in pixels of the plane.
    tile : Rectangle
        Where they were found.
    height, width : int
        Size of the plane.
    margin : float
        Nearer than this is at the side, in pixels of the plane.
    """
    x0, y0, x1, y1 = boxes.T
    return np.asarray(
        ((x0 < tile.x0 + margin) & (tile.x0 > 0))
        | ((y0 < tile.y0 + margin) & (tile.y0 > 0))
        | ((x1 > tile.x1 - margin) & (tile.x1 < width))
        | ((y1 > tile.y1 - margin) & (tile.y1 < height))
    )


def join_parts(
    boxes: NDArray[np.float32], labels: NDArray[np.int64], scores: NDArray[np.float32], cut: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    """Make one box of the parts of each object that lies on a seam.

    A part that lies mostly in a whole box is dropped; parts that overlap each other (of an object larger than
    the tiles' overlap) become the box around them.

    Parameters
    ----------
    boxes, labels, scores : (N, 4), (N,), (N,) arrays
        Boxes of all tiles, whole ones without doubles.
    cut : (N,) bool
        Which may be parts, see `cut_by_seam`.
    """
    whole = ~cut
    kept = [boxes[whole]], [labels[whole]], [scores[whole]]
    whole_boxes, whole_labels = kept[0][0], kept[1][0]
    order = np.argsort(whole_boxes[:, 0], kind="stable")
    starts = whole_boxes[order, 0]
    widest = float((whole_boxes[:, 2] - whole_boxes[:, 0]).max(initial=0))
    rows = np.flatnonzero(cut)
    free = []
    for row in rows.tolist():
        box = boxes[row]
        # Only whole boxes that begin near enough to reach this one are compared.
        first, last = np.searchsorted(starts, [box[0] - widest, box[2]])
        near = order[first:last]
        near = near[whole_labels[near] == labels[row]]
        if not (_shared(box, whole_boxes[near]) > SAME_OBJECT).any():
            free.append(row)
    for group in _groups(boxes[free], labels[free]):
        members = np.array(free)[group]
        low, high = boxes[members, :2].min(axis=0), boxes[members, 2:].max(axis=0)
        kept[0].append(np.concatenate([low, high])[None])
        kept[1].append(labels[members[:1]])
        kept[2].append(scores[members].max(keepdims=True))
    return np.concatenate(kept[0]), np.concatenate(kept[1]), np.concatenate(kept[2])


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    if length <= tile:
        return [0]
    count = -(-(length - overlap) // (tile - overlap))
    return [int(start) for start in np.linspace(0, length - tile, count)]


def _shared(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over the smaller area, of one box with others."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    smaller = np.minimum((box[2:] - box[:2]).prod(), (others[:, 2:] - others[:, :2]).prod(axis=1))
    return np.asarray(shared / smaller)


def _groups(boxes: NDArray[np.float32], labels: NDArray[np.int64]) -> list[list[int]]:
    """Sets of boxes of one class that are linked by overlaps."""
    left = set(range(len(boxes)))
    groups = []
    while left:
        group, frontier = [], [left.pop()]
        while frontier:
            row = frontier.pop()
            group.append(row)
            others = np.array(sorted(left), np.int64)
            same = others[labels[others] == labels[row]]
            linked = same[_shared(boxes[row], boxes[same]) > SAME_OBJECT].tolist()
            left.difference_update(linked)
            frontier.extend(linked)
        groups.append(group)
    return groups
