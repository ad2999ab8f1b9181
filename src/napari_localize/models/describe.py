"""Numbers that say how objects look, to tell which are alike: the network's own features at the middle of each box."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.detections import Detections
from napari_localize.core.errors import Cancelled
from napari_localize.models.exemplars import Look, features_at

Looker = Callable[[float, tuple[float, float]], Look]
"""Looks at a plane for objects of a diameter around a place, both in pixels."""


def describe_boxes(
    looker: Looker, boxes: Detections, should_stop: Callable[[], bool] = lambda: False
) -> NDArray[np.float32]:
    """Describe how the objects of a plane look.

    Parameters
    ----------
    looker : callable
        `models.exemplars.look` with its model and plane; it is called again where the plane is too large for one look.
    boxes : Detections
        On the plane.
    should_stop : callable, optional
        Asked before each look.

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
    left = np.ones(len(boxes), bool)
    parts: list[tuple[NDArray[np.intp], NDArray[np.float32]]] = []
    while left.any():
        if should_stop():
            raise Cancelled
        first = int(np.argmax(left))
        seen = looker(diameter, (float(centers[first, 0]), float(centers[first, 1])))
        x, y = centers.T
        window = seen.window
        here = left & (x >= window.x0) & (x < window.x1) & (y >= window.y0) & (y < window.y1)
        here[first] = True  # a centre on the plane's far edge lies in no window
        rows = np.flatnonzero(here)
        raw = features_at(seen, boxes.boxes[rows]) * seen.spread + seen.center
        parts.append((rows, raw.numpy()))
        left &= ~here
    table = np.zeros((len(boxes), parts[0][1].shape[1]), np.float32)
    for rows, values in parts:
        table[rows] = values
    return table
