"""Intensities in boxes and around them, read tile by tile; no pixel is read twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.planes import PlaneSource
from napari_localize.measurements.medians import group_medians
from napari_localize.measurements.pixels import (
    Runs,
    TilePlan,
    extents,
    flat_indices,
    plan_tiles,
    ring_strips,
    row_runs,
    tile_corners,
)

OnTile = Callable[[int, int], None]
"""Called with how many tiles are done, and how many there are; what it raises stops the measuring."""

_BATCH = 1_000_000
"""Pixels of rings that are listed at a time."""


class Intensities(NamedTuple):
    """Measured on N boxes and C channels; NaN where there is no pixel to measure."""

    pixels: NDArray[np.int64]
    """(N,) pixels in each box."""
    integrated: NDArray[np.float64]
    """(N, C) sums over the finite ones."""
    mean: NDArray[np.float64]
    """(N, C)"""
    background: NDArray[np.float64]
    """(N, C) medians of the rings."""
    background_pixels: NDArray[np.int64]
    """(N,) pixels in each ring that lie in no box."""
    corrected: NDArray[np.float64]
    """(N, C) sums of what is above the background."""


def measure_intensities(plane: PlaneSource, boxes: NDArray[np.float64], on_tile: OnTile | None = None) -> Intensities:
    """Measure the pixels of boxes that lie in their plane, as `napari_localize.measure` says.

    Parameters
    ----------
    plane : PlaneSource
        Read in rectangles of at most `napari_localize.measurements.pixels.TILE`.
    boxes : (N, 4) float64
        x0, y0, x1, y1 within the plane; all of them, as none is background for another.
    on_tile : callable, optional
        Called before each tile is read.
    """
    height, width, channels = plane.shape
    inner, outer = extents(boxes, height, width)
    sums, counts = np.zeros((2, len(boxes), channels))
    plan = plan_tiles(outer, width)
    rings = _Rings(plan, channels)
    tiles = np.unique(plan.tiles).tolist()
    for done, number in enumerate(tiles):
        if on_tile is not None:
            on_tile(done, len(tiles))
        rows = plan.boxes[slice(*np.searchsorted(plan.tiles, [number, number + 1]))]
        corners = tile_corners(number, width)
        # Only as much of the tile as is needed.
        x0, y0 = np.maximum(outer[rows, :2].min(axis=0), corners[:2]).tolist()
        x1, y1 = np.minimum(outer[rows, 2:].max(axis=0), corners[2:]).tolist()
        part = plane.read(y0, y1, x0, x1)
        # Channel by channel in one piece: (C, P).
        values = np.ascontiguousarray(np.moveaxis(part, 2, 0)).reshape(channels, -1)
        seen = [np.clip(edges[rows], [x0, y0] * 2, [x1, y1] * 2) - [x0, y0, x0, y0] for edges in (inner, outer)]
        runs = row_runs(seen[0], x1 - x0)
        for channel in range(channels):
            found, number_of = _box_sums(values[channel], runs, len(rows))
            sums[rows, channel] += found
            counts[rows, channel] += number_of
        rings.add(values, x1 - x0, seen[0], seen[1], rows)
        rings.finish(number)
    known = np.where(counts > 0, counts, np.nan)
    integrated = np.where(counts > 0, sums, np.nan)
    return Intensities(
        pixels=np.asarray((inner[:, 2:] - inner[:, :2]).prod(axis=1)),
        integrated=integrated,
        mean=integrated / known,
        background=rings.background,
        background_pixels=rings.pixels,
        corrected=integrated - rings.background * known,
    )


def _box_sums(values: NDArray[Any], runs: Runs, boxes: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sums and the numbers of the finite pixels of each box."""
    # No integral image: in that, one huge pixel costs the precision of all that follow it.
    finite = np.isfinite(values)
    if finite.all():
        sizes: NDArray[Any] = np.bincount(runs.rectangle, weights=runs.length, minlength=boxes)
        return _sums(values, runs, boxes), sizes
    return _sums(np.where(finite, values, 0), runs, boxes), _sums(finite, runs, boxes)


def _sums(values: NDArray[Any], runs: Runs, boxes: int) -> NDArray[np.float64]:
    if not len(runs.start):
        return np.zeros(boxes)
    # `reduceat` sums from each index to the next one, or takes one value where that is not behind it. So with
    # starts that descend it sums the runs, and nothing but one value between them; the last end needs a value, too.
    padded = np.zeros(len(values) + 1)
    padded[:-1] = values
    order = np.argsort(-runs.start, kind="stable")
    start = runs.start[order]
    ends = np.stack([start, start + runs.length[order]], axis=1)
    sums = np.add.reduceat(padded, ends.ravel())[::2]
    totals: NDArray[Any] = np.bincount(runs.rectangle[order], weights=sums, minlength=boxes)
    return totals


class _Rings:
    """Medians of rings, of which those that lie in several tiles are kept until their last tile."""

    def __init__(self, plan: TilePlan, channels: int) -> None:
        self.background = np.full((len(plan.last), channels), np.nan)
        self.pixels = np.zeros(len(plan.last), np.int64)
        self._plan = plan
        self._waiting: dict[int, list[tuple[NDArray[np.int64], NDArray[Any]]]] = {}

    def add(
        self,
        values: NDArray[Any],
        width: int,
        inner: NDArray[np.int64],
        outer: NDArray[np.int64],
        rows: NDArray[np.int64],
    ) -> None:
        """Take what the (C, P) pixels of a tile show of the rings of the boxes in `rows`, in ascending order."""
        free = np.ones((values.shape[1] // width, width), bool)
        for x0, y0, x1, y1 in inner.tolist():
            free[y0:y1, x0:x1] = False
        strips = ring_strips(inner, outer)
        sizes = (outer[:, 2:] - outer[:, :2]).prod(axis=1) - (inner[:, 2:] - inner[:, :2]).prod(axis=1)
        batches = np.unique(np.cumsum(sizes) // _BATCH, return_index=True)[1][1:]
        for batch, places in zip(np.split(rows, batches), np.split(strips, batches), strict=True):
            runs = row_runs(places.reshape(-1, 4), width)
            index = flat_indices(runs)
            kept = free.ravel()[index]
            owner = np.repeat(batch[runs.rectangle // places.shape[1]], runs.length)[kept]
            seen = values[:, index[kept]]
            whole = self._plan.single[owner]
            self._measure(owner[whole], seen[:, whole])
            self._wait(owner[~whole], seen[:, ~whole])

    def finish(self, tile: int) -> None:
        """Measure the rings of which all tiles have been seen with this one."""
        pieces = self._waiting.pop(tile, [])
        if pieces:
            owner = np.concatenate([piece[0] for piece in pieces])
            order = np.argsort(owner, kind="stable")
            self._measure(owner[order], np.concatenate([piece[1] for piece in pieces], axis=1)[:, order])

    def _wait(self, owner: NDArray[np.int64], values: NDArray[Any]) -> None:
        last = self._plan.last[owner]
        for tile in np.unique(last).tolist():
            self._waiting.setdefault(tile, []).append((owner[last == tile], values[:, last == tile]))

    def _measure(self, owner: NDArray[np.int64], values: NDArray[Any]) -> None:
        first = np.diff(owner, prepend=-1) > 0
        boxes, group = owner[first], np.cumsum(first) - 1
        self.pixels[boxes] = np.bincount(group, minlength=len(boxes))
        for channel in range(len(values)):
            self.background[boxes, channel] = group_medians(values[channel], group, len(boxes))
