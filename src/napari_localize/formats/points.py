"""Boxes for annotations that are only points."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_localize.formats.table import BoxTable, note

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FALLBACK, _SMALLEST = 20.0, 3.0


def square_points(table: BoxTable, points: Mapping[int, float], side: float | None, notes: list[str]) -> None:
    """Give squares to the boxes of a table that are only points.

    Parameters
    ----------
    table : BoxTable
        Changed in place.
    points : mapping of int to float
        The rows whose boxes have no extent, and the sides, in pixels, of their squares, NaN where the file says none.
    side : float, optional
        Side of all squares in pixels; by default what the file says, or else one `nominal_side` for all.
    notes : list of str
        Gets a sentence.
    """
    if not points:
        return
    table.points = len(points) == len(table.box)
    unknown = [row for row, own in points.items() if side is not None or not 0 < own < math.inf]
    if side is None and unknown:
        by_plane: dict[int, list[tuple[float, float]]] = {}
        for row in unknown:
            by_plane.setdefault(table.plane[row], []).append(table.box[row][:2])
        real = np.array([box for row, box in enumerate(table.box) if row not in points]).reshape(-1, 4)
        extent = real[:, 2:] - real[:, :2]
        side = nominal_side(by_plane, np.sqrt(extent[(extent > 0).all(axis=1)].prod(axis=1)))
    sides = dict(points) if side is None else {**points, **dict.fromkeys(unknown, side)}
    for row, own in sides.items():
        x, y = table.box[row][:2]
        table.box[row] = (x - own / 2, y - own / 2, x + own / 2, y + own / 2)
    if side is not None:
        note(notes, f"Points that stand in the file without a box and got a square of {side:.4g} pixels", len(unknown))


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
