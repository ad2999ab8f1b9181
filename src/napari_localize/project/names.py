"""Numbers in the database that stand for planes, classes and origins."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.boxes import PlaneIndex
from napari_localize.core.steps import Classes

_GREY = "#DDDDDD"  # a class that came without a colour


def position_of(text: str) -> PlaneIndex:
    """Return a plane from how it is stored.

    Raises
    ------
    ValueError
        When it was not stored by us.
    """
    plane = tuple(int(part) for part in text.split(",")) if text else ()
    if any(not 0 <= n < 1 << 31 for n in plane):
        raise ValueError(f"the plane {text!r} makes no sense")
    return plane


def text_of(plane: PlaneIndex) -> str:
    """Return how a plane is stored."""
    return ",".join(str(int(n)) for n in plane)


def plane_ids(connection: sqlite3.Connection, image: int, planes: Iterable[PlaneIndex]) -> NDArray[np.int64]:
    """Return the numbers of planes; those that are new get one."""
    texts = [text_of(plane) for plane in planes]
    connection.executemany(
        "INSERT INTO planes (image, position) VALUES (?, ?) ON CONFLICT DO NOTHING", ((image, text) for text in texts)
    )
    known = dict(connection.execute("SELECT position, id FROM planes WHERE image = ?", (image,)))
    return np.array([known[text] for text in texts], np.int64)


def class_ids(connection: sqlite3.Connection, names: Iterable[str]) -> NDArray[np.int64]:
    """Return the numbers of classes; those that are new get one, at the end of the list."""
    names = list(names)
    known = dict(connection.execute("SELECT name, id FROM classes"))
    for name in names:
        if name not in known:
            known[name] = connection.execute(
                "INSERT INTO classes (name, color, rank) VALUES (?, ?, (SELECT COUNT(*) FROM classes))", (name, _GREY)
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


def set_classes(connection: sqlite3.Connection, classes: Mapping[str, str]) -> None:
    """Make the class list of the project what it is in one image.

    A name that took the place and the colour of another one is the same class under a new name, so that boxes
    of other images follow. What is no longer in the list stays until `drop_classes`.
    """
    old = list(classes_of(connection).items())
    for (was, color), (now, new_color) in zip(old, classes.items(), strict=False):
        if was not in classes and color == new_color and now not in dict(old):
            connection.execute("UPDATE classes SET name = ? WHERE name = ?", (now, was))
    for rank, (name, color) in enumerate(classes.items()):
        connection.execute(
            "INSERT INTO classes (name, color, rank) VALUES (?, ?, ?) "
            "ON CONFLICT (name) DO UPDATE SET color = excluded.color, rank = excluded.rank",
            (name, color, rank),
        )


def drop_classes(connection: sqlite3.Connection, kept: Iterable[str]) -> None:
    """Take classes off the list that have no boxes anywhere; the others go to its end."""
    kept = list(kept)
    gone = [name for name in classes_of(connection) if name not in kept]
    for rank, name in enumerate(gone, start=len(kept)):
        connection.execute("DELETE FROM classes WHERE name = ? AND id NOT IN (SELECT class FROM summary)", (name,))
        connection.execute("UPDATE classes SET rank = ? WHERE name = ?", (rank, name))
