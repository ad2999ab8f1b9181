"""Areas made of rectangles that may overlap: how large they are, and which points lie in them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_localize.core.errors import UserError


def union_area(rectangles: ArrayLike, height: int, width: int, minus: ArrayLike = ()) -> float:
    """Return the area that some rectangles cover together, where the image is and others are not.

    Parameters
    ----------
    rectangles, minus : (N, 4) array-like
        ``x0, y0, x1, y1`` in pixels, from edge to edge as in `Detections`; fractions count as such.
    height, width : int
        Size of the image in pixels.

    Returns
    -------
    float
        In square pixels; what is covered twice counts once.

    Raises
    ------
    UserError
        When a rectangle is not finite or ends before it begins.

    Notes
    -----
    Between two neighbouring y coordinates of corners the covered stretches of x do not change, so that the area is
    a sum over such slabs (coordinate compression).
    """
    limit = np.array([width, height, width, height], np.float64)
    added = np.clip(as_rectangles(rectangles), 0, limit)
    removed = np.clip(as_rectangles(minus), 0, limit)
    xs = np.unique(np.concatenate([added[:, [0, 2]], removed[:, [0, 2]]]))
    ys = np.unique(np.concatenate([added[:, [1, 3]], removed[:, [1, 3]]]))
    lengths = np.diff(xs)
    area = 0.0
    for low, high in zip(ys[:-1].tolist(), ys[1:].tolist(), strict=True):
        kept = _stretches(added, low, high, xs) & ~_stretches(removed, low, high, xs)
        area += (high - low) * float(lengths[kept].sum())
    return area


def inside(points: ArrayLike, rectangles: ArrayLike, minus: ArrayLike = ()) -> NDArray[np.bool_]:
    """Tell which points lie in any of some rectangles and in none of others.

    Parameters
    ----------
    points : (N, 2) array-like
        x and y in pixels.
    rectangles, minus : (M, 4) array-like
        ``x0, y0, x1, y1``; the left and the upper side belong to a rectangle, the right and the lower one do not,
        so that a point between two that touch lies in one of them.

    Raises
    ------
    UserError
        When a rectangle is not finite or ends before it begins.
    """
    x, y = np.asarray(points, np.float64).reshape(-1, 2).T
    return _in_any(x, y, as_rectangles(rectangles)) & ~_in_any(x, y, as_rectangles(minus))


def as_rectangles(rectangles: ArrayLike) -> NDArray[np.float64]:
    """Return rectangles as an (N, 4) array of ``x0, y0, x1, y1``.

    Raises
    ------
    UserError
        When they are not that, not finite, or end before they begin.
    """
    array = np.asarray(rectangles, np.float64)
    if array.size == 0:
        return np.zeros((0, 4))
    if array.ndim != 2 or array.shape[1] != 4:
        raise UserError(f"rectangles must have the shape (N, 4), but have {array.shape}; give x0, y0, x1, y1 of each.")
    wrong = ~np.isfinite(array).all(axis=1) | (array[:, 2:] < array[:, :2]).any(axis=1)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise UserError(
            f"rectangle {first} has x0, y0, x1, y1 = {array[first].tolist()}; all must be finite, x1 not below x0 and "
            "y1 not below y0."
        )
    return array


def _stretches(rectangles: NDArray[np.float64], low: float, high: float, xs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which stretches between neighbours in `xs` are covered in a slab that no corner lies in."""
    active = rectangles[(rectangles[:, 1] <= low) & (rectangles[:, 3] >= high)]
    changes = np.zeros(len(xs), np.int64)
    np.add.at(changes, np.searchsorted(xs, active[:, 0]), 1)
    np.add.at(changes, np.searchsorted(xs, active[:, 2]), -1)
    return np.asarray(np.cumsum(changes)[:-1] > 0)


def _in_any(x: NDArray[np.float64], y: NDArray[np.float64], rectangles: NDArray[np.float64]) -> NDArray[np.bool_]:
    found = np.zeros(len(x), bool)
    for x0, y0, x1, y1 in rectangles.tolist():
        found |= (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
    return found
