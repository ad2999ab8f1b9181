"""Boxes for annotations that are only points."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_FALLBACK, _SMALLEST = 20.0, 3.0


def nominal_side(points: Mapping[int, Sequence[tuple[float, float]]], sides: NDArray[np.float64]) -> float:
    """Return the side, in pixels, of the squares that stand for points.

    The typical size of the real boxes in the same file, or else the typical distance from a point to its
    nearest neighbour, which in crowded images is about one object, but at least 3; or else 20.

    Parameters
    ----------
    points : mapping of int to sequence of (x, y)
        Points by plane.
    sides : (N,)
        Square roots of the areas of the real boxes.
    """
    if len(sides):
        return max(float(np.median(sides)), _SMALLEST)
    from scipy.spatial import KDTree

    distances = [
        KDTree(places).query(places, k=2)[0][:, 1]
        for places in (np.unique(np.array(part, float), axis=0) for part in points.values())
        if len(places) > 1
    ]
    return max(float(np.median(np.concatenate(distances))), _SMALLEST) if distances else _FALLBACK
