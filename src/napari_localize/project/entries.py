"""The entry of an image in a project's database: its number, and what goes with it when it is emptied or taken out."""

from __future__ import annotations

import sqlite3

from napari_localize.project.lots import drop_image, stored_lot
from napari_localize.project.runs import forget_run

_PLANES = "(SELECT id FROM planes WHERE image = ?)"


def next_number(connection: sqlite3.Connection) -> int:
    """Return the first number that no image has had, also where no note of it was made yet."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'next_image'").fetchone()
    (last,) = connection.execute("SELECT MAX(id) FROM images").fetchone()
    if row and row[0].isdecimal() and len(row[0]) < 16:
        return max(int(row[0]), (last or 0) + 1)
    # Older versions left planes of removed images in the lot; what is larger than any number given out is forged.
    drawn = (number for number, _ in stored_lot(connection).places if number < 1 << 32)
    return max(last or 0, *drawn, 0) + 1


def keep_next_number(connection: sqlite3.Connection, number: int) -> None:
    """Note the number that the next image gets."""
    connection.execute(
        "INSERT INTO meta VALUES ('next_image', ?) ON CONFLICT DO UPDATE SET value = excluded.value", (str(number),)
    )


def empty(connection: sqlite3.Connection, image: int) -> None:
    """Take away all boxes and areas of an image, what is finished and its steps, within the transaction of the caller."""
    for statement in (
        f"DELETE FROM box_index WHERE id IN (SELECT id FROM boxes WHERE plane IN {_PLANES})",
        f"DELETE FROM boxes WHERE plane IN {_PLANES}",
        f"DELETE FROM areas WHERE plane IN {_PLANES}",
        f"DELETE FROM summary WHERE plane IN {_PLANES}",
        "DELETE FROM planes WHERE image = ?",
        "DELETE FROM journal WHERE image = ?",
    ):
        connection.execute(statement, (image,))
    forget_run(connection, image)


def remove(connection: sqlite3.Connection, image: int) -> None:
    """Take an image out with all that is noted of it, within the transaction of the caller."""
    # Lots and pictures in memory know images by number, so the next one must not get this number.
    keep_next_number(connection, next_number(connection))
    drop_image(connection, image)
    empty(connection, image)
    # What is noted of an image ends with its number.
    connection.execute("DELETE FROM meta WHERE key LIKE '%:' || ?", (image,))
    connection.execute("DELETE FROM images WHERE id = ?", (image,))
