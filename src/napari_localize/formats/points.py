"""Boxes for annotations that are only points."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_localize.formats.table import BoxTable, note

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FALLBACK, _SMALLEST = 20.0, 3.0


def square_points(table: BoxTable, points: Collection[int], side: float | None, notes: list[str]) -> None:
    """Give squares of one size to the boxes of a table that are only points.

    Parameters
    ----------
    table : BoxTable
        Changed in place.
    points : collection of int
        The rows whose boxes have no extent.
    side : float, optional
        Side of the squares in pixels; `nominal_side` by default.
    notes : list of str
        Gets a sentence.
    """
    if not points:
        return
    table.points = len(points) == len(table.box)
    if side is None:
        by_plane: dict[int, list[tuple[float, float]]] = {}
        for row in points:
            by_plane.setdefault(table.plane[row], []).append(table.box[row][:2])
        real = np.array([box for row, box in enumerate(table.box) if row not in points]).reshape(-1, 4)
        extent = real[:, 2:] - real[:, :2]
        side = nominal_side(by_plane, np.sqrt(extent[(extent > 0).all(axis=1)].prod(axis=1)))
    for row in points:
        x, y = table.box[row][:2]
        table.box[row] = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    note(notes, f"Points that stand in the file without a box and got a square of {side:.4g} pixels", len(points))


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
    sides = sides[np.isfinite(sides)]
    if len(sides):
        return max(float(np.median(sides)), _SMALLEST)
    from scipy.spatial import KDTree

    distances = [
        KDTree(places).query(places, k=2)[0][:, 1]
        for places in (_places(part) for part in points.values())
        if len(places) > 1
    ]
    return max(float(np.median(np.concatenate(distances))), _SMALLEST) if distances else _FALLBACK


def _places(points: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    places = np.unique(np.array(points, float), axis=0)
    near: NDArray[np.bool_] = np.asarray((np.abs(places) < 1e9).all(axis=1))
    return places[near]
