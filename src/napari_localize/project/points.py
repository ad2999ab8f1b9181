"""Images whose objects are points: each with the nominal size of its boxes, in the table of notes."""

from __future__ import annotations

import math
import sqlite3


def point_size_of(connection: sqlite3.Connection, image: int) -> float | None:
    """Return the nominal size in pixels of the points of an image; None where its objects are boxes."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (_key(image),)).fetchone()
    try:
        size = float(row[0]) if row else math.nan
    except ValueError:
        return None
    return size if math.isfinite(size) and size > 0 else None


def set_point_size(connection: sqlite3.Connection, image: int, size: float | None) -> None:
    """Say that the objects of an image are points, or boxes, within the transaction of the caller."""
    connection.execute("DELETE FROM meta WHERE key = ?", (_key(image),))
    if size is not None:
        connection.execute("INSERT INTO meta VALUES (?, ?)", (_key(image), repr(float(size))))
    connection.execute(
        "UPDATE boxes SET kind = ? WHERE plane IN (SELECT id FROM planes WHERE image = ?)", (size is not None, image)
    )


def _key(image: int) -> str:
    return f"point_size:{image}"
