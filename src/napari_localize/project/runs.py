"""What is noted of the last run of a model on a whole image, so that it need not be done again."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping


def as_noted(connection: sqlite3.Connection, image: int, how: Mapping[str, object]) -> str:
    """Return the note of a run on an image as its file is now.

    Parameters
    ----------
    connection : sqlite3.Connection
    image : int
        Its number.
    how : mapping
        Model and settings, of what JSON can hold.
    """
    found = connection.execute("SELECT fingerprint FROM images WHERE id = ?", (image,)).fetchone()
    return json.dumps({**how, "file": found and found[0]})


def noted(connection: sqlite3.Connection, image: int) -> str | None:
    """Return the note of the last run, None where there is none."""
    found = connection.execute("SELECT value FROM meta WHERE key = ?", (_key(image),)).fetchone()
    return None if found is None else str(found[0])


def note_run(connection: sqlite3.Connection, image: int, how: Mapping[str, object]) -> None:
    """Note a run, within the transaction of the caller."""
    connection.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
        (_key(image), as_noted(connection, image, how)),
    )


def forget_run(connection: sqlite3.Connection, image: int) -> None:
    """Forget it, as the guesses are others now, within the transaction of the caller."""
    connection.execute("DELETE FROM meta WHERE key = ?", (_key(image),))


def _key(image: int) -> str:
    return f"run:{image}"
