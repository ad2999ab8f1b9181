"""Which guesses of an image are shown: lowest score and range of diameters, in the table of notes."""

from __future__ import annotations

import json
import math
import sqlite3

from napari_localize.core.table import Filter


def filter_of(connection: sqlite3.Connection, image: int) -> Filter | None:
    """Return what is noted; None where nothing is, or nothing that makes sense."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (_key(image),)).fetchone()
    try:
        score, low, high = (float(value) for value in json.loads(row[0])) if row else (math.nan,) * 3
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None
    return (score, (low, high)) if 0 <= score <= 1 and 0 <= low <= high else None


def set_filter(connection: sqlite3.Connection, image: int, shown: Filter) -> None:
    """Note what is shown of an image, within the transaction of the caller."""
    score, (low, high) = shown
    connection.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
        (_key(image), json.dumps([score, low, high])),
    )


def _key(image: int) -> str:
    return f"filter:{image}"
