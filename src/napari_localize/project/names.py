"""Numbers in the database that stand for planes, classes and origins."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.boxes import PlaneIndex
from napari_localize.core.colors import class_colors, renamed_classes
from napari_localize.core.errors import UserError
from napari_localize.core.steps import Classes

MOST_PLANES = 1 << 23
"""Planes of an image; more can only be an attack."""

REPAIR = "mend the project with: napari-localize project check --repair"


def position_of(text: str) -> PlaneIndex:
    """Return a plane from how it is stored.

    Raises
    ------
    UserError
        When it was not stored by us.
    """
    parts = text.split(",") if text else []
    if not all(part.isascii() and part.isdecimal() and len(part) < 10 for part in parts):
        raise UserError(f"the stored plane {text[:40]!r} makes no sense; {REPAIR}")
    return tuple(int(part) for part in parts)


def shape_of(axes: str, text: str) -> tuple[int, ...]:
    """Return the shape of an image from how it is stored.

    Raises
    ------
    UserError
        When it was not stored by us.
    """
    try:
        shape = json.loads(text)
    except (ValueError, RecursionError):
        shape = None
    if (
        not isinstance(shape, list)
        or len(shape) != len(axes)
        or not all(type(n) is int and 0 <= n < 1 << 48 for n in shape)
        or math.prod(n for axis, n in zip(axes, shape, strict=True) if axis not in "YXCS") > MOST_PLANES
    ):
        raise UserError(f"the stored shape {text[:40]!r} of an image makes no sense; {REPAIR}")
    return tuple(shape)


def text_of(plane: PlaneIndex) -> str:
    """Return how a plane is stored."""
    return ",".join(str(int(n)) for n in plane)


def plane_ids(connection: sqlite3.Connection, image: int, planes: Iterable[PlaneIndex]) -> NDArray[np.int64]:
    """Return the numbers of planes; those that are new get one.

    Raises
    ------
    UserError
        When one is before the first; nobody could read it again.
    """
    texts = [text_of(plane) for plane in planes]
    for text in texts:
        if "-" in text:
            raise UserError(f"an image has no plane {text}; planes are counted from 0.")
    connection.executemany(
        "INSERT INTO planes (image, position) VALUES (?, ?) ON CONFLICT DO NOTHING", ((image, text) for text in texts)
    )
    known = dict(connection.execute("SELECT position, id FROM planes WHERE image = ?", (image,)))
    return np.array([known[text] for text in texts], np.int64)


def class_ids(connection: sqlite3.Connection, names: Iterable[str]) -> NDArray[np.int64]:
    """Return the numbers of classes; those that are new get one, at the end of the list."""
    names = list(names)
    known: dict[str, int | None] = dict(connection.execute("SELECT name, id FROM classes"))
    missing = [name for name in names if name not in known]
    if missing:
        colors = class_colors([*known, *missing], classes_of(connection))
        for name in missing:
            known[name] = connection.execute(
                "INSERT INTO classes (name, color, rank) VALUES (?, ?, (SELECT COUNT(*) FROM classes))",
                (name, colors[name]),
            ).lastrowid
    return np.array([known[name] for name in names], np.int64)


def origin_ids(connection: sqlite3.Connection, names: Iterable[str]) -> NDArray[np.int64]:
    """Return the numbers of origins; those that are new get one."""
    names = list(names)
    connection.executemany("INSERT INTO origins (name) VALUES (?) ON CONFLICT DO NOTHING", ((n,) for n in names))
    known = dict(connection.execute("SELECT name, id FROM origins"))
    return np.array([known[name] for name in names], np.int64)


def classes_of(connection: sqlite3.Connection) -> Classes:
    """Return the colours of the classes in the order of the list."""
    return dict(connection.execute("SELECT name, color FROM classes ORDER BY rank, id"))


def set_classes(
    connection: sqlite3.Connection, before: Mapping[str, str], after: Mapping[str, str], alone: int | None = None
) -> None:
    """Do with the class list of the project what was done with that of one image, before its boxes are written.

    A name that took the place and the colour of another one is the same class under a new name, so that boxes
    of other images follow. Classes that the image does not know stay, at the end of the list.

    Parameters
    ----------
    connection : sqlite3.Connection
    before, after : mapping of str to str
        Colours of the classes of the image.
    alone : int, optional
        Number of the image where the others have nothing to do with it: a class that they have boxes of keeps its name.
    """
    known = classes_of(connection)
    for was, name in renamed_classes(before, after).items():
        taken = was not in known or name in known
        if not taken and (alone is None or not _is_used_elsewhere(connection, was, alone)):
            connection.execute("UPDATE classes SET name = ? WHERE name = ?", (name, was))
    connection.execute("UPDATE classes SET rank = rank + ?", (len(after),))
    for rank, (name, color) in enumerate(after.items()):
        connection.execute(
            "INSERT INTO classes (name, color, rank) VALUES (?, ?, ?) "
            "ON CONFLICT (name) DO UPDATE SET color = excluded.color, rank = excluded.rank",
            (name, color, rank),
        )
    for rank, name in enumerate(classes_of(connection)):
        connection.execute("UPDATE classes SET rank = ? WHERE name = ?", (rank, name))


def _is_used_elsewhere(connection: sqlite3.Connection, name: str, image: int) -> bool:
    found = connection.execute(
        "SELECT 1 FROM summary JOIN planes ON planes.id = plane JOIN classes ON classes.id = class "
        "WHERE name = ? AND image <> ? LIMIT 1",
        (name, image),
    )
    return found.fetchone() is not None


def drop_classes(connection: sqlite3.Connection, names: Iterable[str]) -> None:
    """Take classes off the list, unless some image has boxes of them; after its boxes are written."""
    connection.executemany(
        "DELETE FROM classes WHERE name = ? AND id NOT IN (SELECT class FROM summary)", ((name,) for name in names)
    )


def class_keys(connection: sqlite3.Connection) -> dict[str, str]:
    """Return the keys that give boxes a class, by its name; classes without one are left out."""
    return dict(connection.execute("SELECT name, key FROM classes WHERE key IS NOT NULL ORDER BY rank, id"))


def set_class_key(connection: sqlite3.Connection, name: str, key: str | None) -> None:
    """Give a class a key, which another class that had it loses.

    Raises
    ------
    UserError
        When there is no such class.
    """
    connection.execute("UPDATE classes SET key = NULL WHERE key = ?", (key,))
    if not connection.execute("UPDATE classes SET key = ? WHERE name = ?", (key, name)).rowcount:
        raise UserError(f"there is no class {name!r} in the project; add it first.")
