"""Numbers that say how objects look, to tell which are alike: the network's own features at the middle of each box."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.detections import Detections
from napari_localize.core.errors import Cancelled
from napari_localize.core.planes import PlaneSource
from napari_localize.core.tiling import Rectangle, plan_tiles
from napari_localize.models.exemplars import Look, features_at, largest_side, look
from napari_localize.models.localizer import Model

Looker = Callable[[Model, PlaneSource, float, tuple[float, float]], Look]
"""Looks at a plane for objects of a diameter around a place, both in pixels; `models.exemplars.look` is one."""


def describe_boxes(
    model: Model,
    plane: PlaneSource,
    boxes: Detections,
    *,
    looker: Looker = look,
    should_stop: Callable[[], bool] = lambda: False,
    on_progress: Callable[[float], object] = lambda _: None,
) -> NDArray[np.float32]:
    """Describe how the objects of a plane look.

    A plane that is too large for one look is divided into parts as large as each other, of which those with boxes are
    looked at, with an object's diameter around them. Coarser looks would cost less, but tell less: at half the zoom
    kinds of blood cells are taken for each other.

    Parameters
    ----------
    model : Model
        Whose features they are.
    plane : PlaneSource
    boxes : Detections
        On the plane.
    looker : callable, optional
        Looks at a plane that fits into one look; it may remember what it has seen.
    should_stop : callable, optional
        Asked before each look.
    on_progress : callable, optional
        Told after each look which share of the boxes is described, 0 to 1.

    Returns
    -------
    (N, C) float32
        Comparable between planes that one model has looked at; the columns have different units.

    Raises
    ------
    Cancelled
        When `should_stop` said so.
    """
    if not len(boxes):
        return np.zeros((0, 1), np.float32)
    diameter, centers = float(np.median(boxes.diameters)), boxes.centers
    height, width, _ = plane.shape
    side = largest_side(model, diameter)
    whole = height * width <= side**2
    rows, columns = ([(0, length)] if whole else _parts(length, int(side), diameter) for length in (height, width))
    own = _part_of(centers[:, 1], rows) * len(columns) + _part_of(centers[:, 0], columns)
    table, done = np.zeros((0, 0), np.float32), 0
    for part in np.unique(own).tolist():
        if should_stop():
            raise Cancelled
        here = np.flatnonzero(own == part)
        x, y = centers[here].mean(axis=0).tolist()
        window = Rectangle(*rows[part // len(columns)], *columns[part % len(columns)])
        seen = looker(model, plane, diameter, (x, y)) if whole else None
        if seen is None or seen.window != window:  # what is remembered may be a part, at a zoom a little higher
            seen = look(model, plane, diameter, (x, y), window)
        found = features_at(seen, boxes.boxes[here]) * seen.spread + seen.center
        if not done:
            table = np.zeros((len(boxes), found.shape[1]), np.float32)
        table[here] = found.numpy()
        done += len(here)
        on_progress(done / len(boxes))
    return table


def _parts(length: int, most: int, diameter: float) -> list[tuple[int, int]]:
    """Return the fewest parts of a side of a plane, all as long as each other, that share two diameters."""
    overlap = min(math.ceil(2 * diameter), most // 2)
    count = max(1, math.ceil((length - overlap) / (most - overlap)))
    size = math.ceil((length + (count - 1) * overlap) / count)
    return [(part.y0, part.y1) for part in plan_tiles(length, 1, size, min(overlap, size - 1))]


def _part_of(places: NDArray[np.floating], parts: list[tuple[int, int]]) -> NDArray[np.intp]:
    """Return the part in which each place has the most around it."""
    seams = [(end + start) / 2 for (_, end), (start, _) in pairwise(parts)]
    return np.searchsorted(seams, places)
