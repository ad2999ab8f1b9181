"""Undo and redo for scripts, which have no table: the steps are taken from the journal."""

from __future__ import annotations

import sqlite3
from typing import Literal

import numpy as np

from napari_localize.core.boxes import STATE_CODES, BoxRows
from napari_localize.core.steps import Change
from napari_localize.project.codec import Record
from napari_localize.project.journal import (
    Entry,
    areas_of,
    entries,
    finished_of,
    payload_of,
    record_change,
    to_redo,
    to_undo,
)
from napari_localize.project.rows import rows_by_id

_PROPOSED = STATE_CODES["proposed"]


def walk(connection: sqlite3.Connection, action: Literal["undo", "redo"]) -> str | None:
    """Take back the last step of the project, or do the one again that was taken back last; return its text."""
    last = (to_undo if action == "undo" else to_redo)(connection)
    if last is None:
        return None
    parts = _parts(connection, last, "done" if action == "undo" else "undone")
    first: int | None = None
    for part in parts:
        entry = record_change(connection, part.image, _change(connection, part, action), first)
        first = entry if first is None else first
    return last.text


def _parts(connection: sqlite3.Connection, last: Entry, state: str) -> list[Entry]:
    """Return the entries of a step that spans images."""
    step = last.step or last.id
    found = []
    for entry in entries(connection):
        if entry.id < step:
            break
        if step in (entry.id, entry.step) and entry.state == state:
            found.append(entry)
    return found


def _change(connection: sqlite3.Connection, entry: Entry, action: Literal["undo", "redo"]) -> Change:
    record = payload_of(connection, entry.id)
    if action == "undo":
        record = record.reversed()
    finished, areas = record.apply(finished_of(connection, entry.image), areas_of(connection, entry.image))
    removed = record.before.ids[~np.isin(record.before.ids, record.after.ids)]
    return Change(
        action,
        entry.text,
        _still_there(connection, entry.image, record),
        removed,
        classes=None if record.classes is None else record.classes[1],
        finished=finished if any(record.finished) else None,
        areas=areas if any(record.areas) else None,
    )


def _still_there(connection: sqlite3.Connection, image: int, record: Record) -> BoxRows:
    """Return the boxes to be written: not those that were guesses all along and that a later run has replaced."""
    rows = record.after
    guesses = np.intersect1d(rows.ids[rows.states == _PROPOSED], record.before.ids[record.before.states == _PROPOSED])
    there = rows_by_id(connection, image, guesses).ids
    return rows[~np.isin(rows.ids, np.setdiff1d(guesses, there))]
