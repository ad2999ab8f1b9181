"""Planes of a project that were chosen by lot."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

from napari_localize.core.lots import Lot

if TYPE_CHECKING:
    from napari_localize.project.project import Project


def lot_of(project: Project, image: int | None = None) -> Lot:
    """Return the planes drawn from a whole project, or from one image; an empty lot where none were.

    Raises
    ------
    UserError
        When the project cannot be read.
    """
    with project.database.reading() as connection:
        return stored_lot(connection, image)


def stored_lot(connection: sqlite3.Connection, image: int | None = None) -> Lot:
    """Return what `lot_of` does, for a caller that reads already."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key_of(image),)).fetchone()
    try:
        return Lot.from_values(json.loads(row[0])) if row else Lot()
    except (ValueError, RecursionError):
        return Lot()


def set_lot(project: Project, lot: Lot, image: int | None = None) -> None:
    """Keep the planes that were drawn.

    Raises
    ------
    UserError
        When the project cannot be written.
    """
    with project.database.transaction() as connection:
        _store(connection, lot, image)


def drop_image(connection: sqlite3.Connection, image: int) -> None:
    """Take the planes of an image out of the lot of the whole project, within the transaction of the caller."""
    lot = stored_lot(connection)
    kept = tuple(place for place in lot.places if place[0] != image)
    if len(kept) < len(lot.places):
        _store(connection, Lot(lot.seed, kept), None)


def _store(connection: sqlite3.Connection, lot: Lot, image: int | None) -> None:
    connection.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
        (key_of(image), json.dumps(lot.as_values())),
    )


def key_of(image: int | None) -> str:
    """Return the entry in which a lot is kept."""
    return "lot" if image is None else f"lot:{image}"
