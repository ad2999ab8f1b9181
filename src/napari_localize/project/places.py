"""Which plane a script means, and the boxes on it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from napari_localize.core.annotations import split_plane_name
from napari_localize.core.boxes import STATE_CODES, BoxRows, PlaneIndex
from napari_localize.core.detections import STATES, Detections
from napari_localize.core.errors import UserError
from napari_localize.project.listing import ProjectPlane
from napari_localize.project.names import classes_of, shape_of, text_of
from napari_localize.project.rows import rows_of_plane


class Place(NamedTuple):
    """Number of an image, and a plane of it."""

    image: int
    plane: PlaneIndex


def find_place(connection: sqlite3.Connection, plane: str | ProjectPlane) -> Place:
    """Return which plane is meant.

    Raises
    ------
    UserError
        When there is no such image, or no such plane in it.
    """
    if isinstance(plane, ProjectPlane):
        return Place(plane.image.id, plane.index)
    whole = connection.execute("SELECT id, axes, shape FROM images WHERE name = ?", (plane,)).fetchone()
    if whole is not None:
        sizes = _outer(whole[1], whole[2])
        if any(n != 1 for n in sizes.values()):
            example = ",".join(f"{axis}=0" for axis in sizes)
            raise UserError(f"{plane} has several planes; name one of them, such as {plane}#{example}.")
        return Place(whole[0], (0,) * len(sizes))
    name, position = split_plane_name(plane)
    row = connection.execute("SELECT id, axes, shape FROM images WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise UserError(f"there is no image {name!r} in the project; add it first.")
    sizes = _outer(row[1], row[2])
    if sizes and position.keys() == sizes.keys() and all(position[axis] < n for axis, n in sizes.items()):
        return Place(row[0], tuple(position[axis] for axis in sizes))
    if not row[1] and position:
        return Place(row[0], tuple(position.values()))  # nothing is known of the image yet
    raise UserError(f"{name} has no plane {plane.removeprefix(name)!r}: its shape is {row[2]} with the axes {row[1]}.")


def _outer(axes: str, shape: str) -> dict[str, int]:
    return {axis.lower(): n for axis, n in zip(axes, shape_of(axes, shape), strict=True) if axis not in "YXCS"}


def rows_at(connection: sqlite3.Connection, place: Place) -> BoxRows:
    """Return the boxes of a plane."""
    row = connection.execute(
        "SELECT id FROM planes WHERE image = ? AND position = ?", (place.image, text_of(place.plane))
    ).fetchone()
    return BoxRows.empty() if row is None else rows_of_plane(connection, place.image, row[0])


def detections_at(connection: sqlite3.Connection, place: Place, states: Iterable[str] | None) -> Detections:
    """Return the boxes of a plane in some states, by default in all but rejected.

    Raises
    ------
    UserError
        When a state is not known.
    """
    wanted = set(STATES) - {"rejected"} if states is None else set(states)
    unknown = sorted(wanted - set(STATES))
    if unknown:
        raise UserError(f"unknown state {unknown[0]!r}; known are {', '.join(STATES)}.")
    rows = rows_at(connection, place)
    rows = rows[np.isin(rows.states, [STATE_CODES[state] for state in wanted])]
    return rows.detections(place.plane, classes_of(connection))
