"""Cutting a plane into overlapping tiles, and putting what was found in them together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SEAM_MARGIN = 2.0
"""A box that ends nearer than this, in pixels of the network, to a cut through the plane may be a part."""

SAME_OBJECT = 0.5
"""A part of which more than this lies in a whole box is of that box's object; so are parts found in two tiles that
agree by more than this (intersection over union) where the tiles overlap."""


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
    return [Rectangle(y, min(y + tile, height), x, min(x + tile, width)) for y in rows for x in columns]


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
    boxes: NDArray[np.float32],
    labels: NDArray[np.int64],
    scores: NDArray[np.float32],
    cut: NDArray[np.bool_],
    found_in: NDArray[np.int64],
    tiles: Sequence[Rectangle],
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
    """Make one box of the parts of each object that lies on a seam.

    A part that lies mostly in a whole box is dropped; parts from different tiles that agree where the tiles
    overlap (of an object larger than the overlap) become the box around them. Parts go when another tile shows
    their place with its surroundings: an object that is recognised only where it is cut is none.

    Parameters
    ----------
    boxes, labels, scores : (N, 4), (N,), (N,) arrays
        Boxes of all tiles, whole ones without doubles.
    cut : (N,) bool
        Which may be parts, see `cut_by_seam`.
    found_in : (N,) int64
        The tile that each box was found in.
    tiles : sequence of Rectangle
        All tiles of the plane.
    """
    corners = np.array([[tile.x0, tile.y0, tile.x1, tile.y1] for tile in tiles], np.float32)
    whole = ~cut
    free = np.flatnonzero(cut)
    free = free[~_mostly_within(boxes[free], labels[free], boxes[whole], labels[whole])]
    kept = [boxes[whole]], [labels[whole]], [scores[whole]]
    groups = _groups(boxes[free], labels[free], corners[found_in[free]])
    for number in np.unique(groups).tolist():
        members = free[groups == number]
        box = np.concatenate([boxes[members, :2].min(axis=0), boxes[members, 2:].max(axis=0)])
        if _shown_elsewhere(box, corners, found_in[members]):
            continue
        kept[0].append(box[None])
        kept[1].append(labels[members[:1]])
        kept[2].append(scores[members].max(keepdims=True))
    return np.concatenate(kept[0]), np.concatenate(kept[1]), np.concatenate(kept[2])


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    if length <= tile:
        return [0]
    count = -(-(length - overlap) // (tile - overlap))
    return [int(start) for start in np.linspace(0, length - tile, count)]


def _mostly_within(
    boxes: NDArray[np.float32],
    labels: NDArray[np.int64],
    others: NDArray[np.float32],
    other_labels: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Tell which boxes lie, by most of their area, in one of the others of their class."""
    order = np.argsort(others[:, 0], kind="stable")
    others, other_labels = others[order], other_labels[order]
    widest = (others[:, 2] - others[:, 0]).max(initial=0)
    # Only those that begin near enough to reach a box are compared with it.
    first = np.searchsorted(others[:, 0], boxes[:, 0] - widest)
    last = np.searchsorted(others[:, 0], boxes[:, 2])
    within = np.zeros(len(boxes), bool)
    for row, (start, end) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        near = others[start:end][other_labels[start:end] == labels[row]]
        within[row] = (_shared(boxes[row], near) > SAME_OBJECT * _areas(boxes[row])).any()
    return within


def _groups(boxes: NDArray[np.float32], labels: NDArray[np.int64], tiles: NDArray[np.float32]) -> NDArray[np.int64]:
    """Number the sets of boxes that are linked by agreeing where their tiles overlap."""
    groups = np.full(len(boxes), -1)
    for number in range(len(boxes)):
        frontier = [number] if groups[number] < 0 else []
        groups[frontier] = number
        while frontier:
            row = frontier.pop()
            others = np.flatnonzero((groups < 0) & (labels == labels[row]) & (tiles != tiles[row]).any(axis=1))
            linked = others[_agree(boxes[row], tiles[row], boxes[others], tiles[others])].tolist()
            groups[linked] = number
            frontier.extend(linked)
    return groups


def _shown_elsewhere(box: NDArray[np.float32], tiles: NDArray[np.float32], own: NDArray[np.int64]) -> bool:
    """Whether another tile holds a box with as much around it as it measures itself, or all that there is."""
    size = box[2:] - box[:2]
    low = np.maximum(box[:2] - size, tiles[:, :2].min(axis=0))
    high = np.minimum(box[2:] + size, tiles[:, 2:].max(axis=0))
    holds = ((tiles[:, :2] <= low) & (tiles[:, 2:] >= high)).all(axis=1)
    holds[own] = False
    return bool(holds.any())


def _agree(
    box: NDArray[np.float32], tile: NDArray[np.float32], boxes: NDArray[np.float32], tiles: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Tell which boxes look the same as one box in what their tiles share with its tile."""
    low, high = np.maximum(tile[:2], tiles[:, :2]), np.minimum(tile[2:], tiles[:, 2:])
    mine = np.hstack([np.maximum(box[:2], low), np.minimum(box[2:], high)])
    theirs = np.hstack([np.maximum(boxes[:, :2], low), np.minimum(boxes[:, 2:], high)])
    shared = _shared(mine, theirs)
    return np.asarray(shared > SAME_OBJECT * (_areas(mine) + _areas(theirs) - shared))


def _shared(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Areas of the intersections of boxes."""
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., 2:], second[..., 2:])
    return _areas(np.concatenate([low, high], axis=-1))


def _areas(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.clip(boxes[..., 2:] - boxes[..., :2], 0, None).prod(axis=-1))
