"""Points as boxes of a nominal size: their centre is what counts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError

Objects = TypeVar("Objects", Detections, Annotations)

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


def to_points(boxes: Objects, size: float | None = None) -> Objects:
    """Turn boxes into points: squares of one nominal size around their centres.

    Class, score, id, origin and state stay.

    Parameters
    ----------
    boxes : Detections or Annotations
        Boxes of any size, of one plane or of many.
    size : float, optional
        Nominal size in pixels; by default the median diameter of all the boxes.

    Raises
    ------
    UserError
        When the size is not above 0.
    """
    parts = boxes.values() if isinstance(boxes, Annotations) else [boxes]
    return _resized(boxes, checked_size(typical_size(parts) or POINT_SIZE if size is None else size), points=True)


def to_boxes(points: Objects, size: float | None = None) -> Objects:
    """Turn points into boxes of a size; by default of the nominal size that they have.

    Class, score, id, origin and state stay.

    Parameters
    ----------
    points : Detections or Annotations
        Points, which are squares around their centres, of one plane or of many.
    size : float, optional
        Side of the boxes in pixels.

    Raises
    ------
    UserError
        When the size is not above 0.
    """
    return _resized(points, None if size is None else checked_size(size), points=False)


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


def _resized(objects: Objects, size: float | None, points: bool) -> Objects:
    if isinstance(objects, Detections):
        return objects if size is None else replace(objects, boxes=centered(objects.centers, size))
    return Annotations(
        {name: _resized(part, size, points) for name, part in objects.items()},
        objects.sizes,
        objects.class_names,
        objects.notes,
        reviewed=objects.reviewed,
        areas=objects.areas,
        points=points,
    )
