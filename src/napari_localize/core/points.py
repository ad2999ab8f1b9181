"""Points as boxes of a nominal size: their centre is what counts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError

POINT_SIZE = 12.0
"""Nominal size in pixels where nothing says what it is."""


def centered(centers: NDArray[np.floating], size: float) -> NDArray[np.float32]:
    """Return squares around points.

    Parameters
    ----------
    centers : (N, 2)
        ``x, y`` in pixels.
    size : float
        Side of the squares.

    Returns
    -------
    (N, 4) float32
        ``x0, y0, x1, y1``; near the border of an image they reach beyond it, so that the centre stays.
    """
    middle = np.asarray(centers, np.float64).reshape(-1, 2)
    return np.hstack([middle - size / 2, middle + size / 2]).astype(np.float32)


def typical_size(found: Iterable[Detections]) -> float | None:
    """Return the median diameter of all boxes, None without any; rejected boxes do not count."""
    parts = [part.diameters[part.states != "rejected"] for part in found]
    diameters = np.concatenate(parts) if parts else np.zeros(0)
    return float(np.median(diameters)) if len(diameters) else None


def to_points(boxes: Detections, size: float | None = None) -> Detections:
    """Turn boxes into points: squares of one nominal size around their centres.

    Class, score, id, origin and state stay.

    Parameters
    ----------
    boxes : Detections
        Boxes of any size.
    size : float, optional
        Nominal size in pixels; by default the median diameter of the boxes.

    Raises
    ------
    UserError
        When the size is not above 0.
    """
    size = checked_size(typical_size([boxes]) or POINT_SIZE if size is None else size)
    return replace(boxes, boxes=centered(boxes.centers, size))


def to_boxes(points: Detections, size: float | None = None) -> Detections:
    """Turn points into boxes of a size; by default of the nominal size that they have.

    Class, score, id, origin and state stay.

    Parameters
    ----------
    points : Detections
        Points, which are squares around their centres.
    size : float, optional
        Side of the boxes in pixels.

    Raises
    ------
    UserError
        When the size is not above 0.
    """
    return points if size is None else replace(points, boxes=centered(points.centers, checked_size(size)))


def annotations_to_points(data: Annotations, size: float | None = None) -> Annotations:
    """Turn the boxes of all planes into points of one size; see `to_points`."""
    size = typical_size(data.values()) or POINT_SIZE if size is None else size
    return _changed(data, {name: to_points(part, size) for name, part in data.items()}, points=True)


def annotations_to_boxes(data: Annotations, size: float | None = None) -> Annotations:
    """Turn the points of all planes into boxes; see `to_boxes`."""
    return _changed(data, {name: to_boxes(part, size) for name, part in data.items()}, points=False)


def checked_size(size: float) -> float:
    """Return a nominal size if it is one.

    Raises
    ------
    UserError
        When it is not above 0.
    """
    if not (math.isfinite(size) and size > 0):
        raise UserError(f"the size of points is {size}; it must be above 0 pixels.")
    return float(size)


def _changed(data: Annotations, planes: dict[str, Detections], points: bool) -> Annotations:
    return Annotations(
        planes, data.sizes, data.class_names, data.notes, reviewed=data.reviewed, areas=data.areas, points=points
    )
