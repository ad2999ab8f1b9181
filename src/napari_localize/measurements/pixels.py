"""Which pixels belong to a box and to the ring around it, and in which tiles they lie."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RING_PART = 0.25
"""Width of the background ring as a part of the object diameter, sqrt(width x height)."""

RING_WIDTHS = (3, 25)
"""Least and greatest width of the ring, in pixels."""

TILE = (512, 4096)
"""Rows and columns that are read at once at most: a wide tile, as many files keep their pixels in rows."""


class Extents(NamedTuple):
    """(N, 4) int64 ``x0, y0, x1, y1`` of whole pixels, ends not included: of each box, and of box and ring."""

    inner: NDArray[np.int64]
    outer: NDArray[np.int64]


def extents(boxes: NDArray[np.float64], height: int, width: int) -> Extents:
    """Return the pixels of boxes that are cut at the borders of their image.

    A pixel belongs to a box when its centre does, the left and the upper side included. Boxes without area, which lay
    outside the image, have neither pixels nor a ring.
    """
    size = boxes[:, 2:] - boxes[:, :2]
    inner = np.ceil(boxes - 0.5).astype(np.int64)
    ring = np.clip(np.ceil(RING_PART * np.sqrt(size.prod(axis=1))), *RING_WIDTHS).astype(np.int64)[:, None]
    outer = np.clip(inner + np.hstack([-ring, -ring, ring, ring]), 0, [width, height, width, height])
    outer[(size <= 0).any(axis=1)] = 0
    inner[(size <= 0).any(axis=1)] = 0
    return Extents(inner, outer)


class TilePlan(NamedTuple):
    """Which tiles hold pixels of which boxes.

    Tiles are numbered row by row, so that all of a box has been seen with the tile of its lower right corner.
    """

    tiles: NDArray[np.int64]
    """(P,) in ascending order, with `boxes`: the pairs of both."""
    boxes: NDArray[np.int64]
    """(P,) in ascending order for each tile."""
    last: NDArray[np.int64]
    """(N,) last tile of each box."""
    single: NDArray[np.bool_]
    """(N,) whether a box lies in only one tile."""


def plan_tiles(outer: NDArray[np.int64], width: int) -> TilePlan:
    """Find the tiles that boxes with their rings touch, on a plane of some width in pixels."""
    across = -(-width // TILE[1])
    first = outer[:, [1, 0]] // TILE
    # Those without pixels, which end where they begin, touch none.
    last = (outer[:, [3, 2]] - 1) // TILE
    down, along = np.maximum(last - first + 1, 0).T
    boxes = np.repeat(np.arange(len(outer)), down * along)
    nth = _counted(down * along)
    row, column = np.divmod(nth, np.repeat(along, down * along))
    tiles = (first[boxes, 0] + row) * across + first[boxes, 1] + column
    order = np.argsort(tiles, kind="stable")
    return TilePlan(tiles[order], boxes[order], last[:, 0] * across + last[:, 1], down * along == 1)


def tile_corners(number: int, width: int) -> NDArray[np.int64]:
    """Return ``x0, y0, x1, y1`` of a tile, which may stick out of its plane."""
    row, column = divmod(number, -(-width // TILE[1]))
    return np.array([column * TILE[1], row * TILE[0], (column + 1) * TILE[1], (row + 1) * TILE[0]])


def ring_strips(inner: NDArray[np.int64], outer: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rectangles above, left, right and below each box that make up its ring: (N, 4, 4)."""
    ox0, oy0, ox1, oy1 = outer.T
    ix0, iy0, ix1, iy1 = inner.T
    strips = [(ox0, oy0, ox1, iy0), (ox0, iy0, ix0, iy1), (ix1, iy0, ox1, iy1), (ox0, iy1, ox1, oy1)]
    return np.stack([np.stack(strip, axis=1) for strip in strips], axis=1)


class Runs(NamedTuple):
    """The rows of rectangles, one after the other, in an image that is read row by row."""

    rectangle: NDArray[np.int64]
    """(R,) which one, in ascending order."""
    start: NDArray[np.int64]
    """(R,) where in the image the row begins."""
    length: NDArray[np.int64]
    """(R,) how many pixels it has, at least one."""


def row_runs(rectangles: NDArray[np.int64], width: int) -> Runs:
    """List the rows of ``x0, y0, x1, y1`` rectangles in an image of some width; those without pixels have none."""
    x0, y0, x1, y1 = rectangles.T
    rows = np.where(x1 > x0, np.maximum(y1 - y0, 0), 0)
    rectangle = np.repeat(np.arange(len(rows)), rows)
    return Runs(rectangle, (y0[rectangle] + _counted(rows)) * width + x0[rectangle], (x1 - x0)[rectangle])


def flat_indices(runs: Runs) -> NDArray[np.int64]:
    """Return where the pixels of the runs lie in the image, one after the other."""
    before = np.cumsum(runs.length) - runs.length
    index = np.repeat(runs.start - before, runs.length)
    index += np.arange(len(index))
    return index


def _counted(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 0 to n - 1 for each n, one after the other."""
    total = np.cumsum(numbers)
    return np.arange(int(total[-1]) if len(total) else 0) - np.repeat(total - numbers, numbers)
