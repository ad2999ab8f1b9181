"""What has happened to the images, in rows that are only ever added, and what of it can be undone or redone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import datetime
from typing import Literal, NamedTuple

from napari_localize.core.boxes import PlaneIndex
from napari_localize.core.errors import UserError
from napari_localize.core.steps import LIMIT, Area, Areas, Change, Classes, Finished, History, Step
from napari_localize.project.codec import Record, decode, encode
from napari_localize.project.names import drop_classes, plane_ids, position_of, set_classes
from napari_localize.project.rows import write_rows
from napari_localize.project.runs import forget_run

MOST_BOXES = 400_000
"""Boxes in the steps that are read for a history; older steps stay in the file until they are asked for."""

_PAGE = 512


class Entry(NamedTuple):
    """A step in the journal, and what has become of it; a step that is over has been undone for good."""

    id: int
    image: int
    step: int | None
    text: str
    boxes: int
    state: Literal["done", "undone", "over"]


def entries(connection: sqlite3.Connection, image: int | None = None) -> Iterator[Entry]:
    """Give the steps of an image, or of all, the latest first, with what later entries say of them."""
    marks: dict[int, Literal["done", "undone", "over"]] = {}
    latest = True
    for key, of, step, action, target, text, boxes in _rows(connection, image):
        if action in ("undo", "redo"):
            marks.setdefault(target, "done" if action == "redo" else "undone" if latest else "over")
            continue
        if action == "do":
            yield Entry(key, of, step, text, boxes, marks.pop(key, "done"))
        # What was undone before this happened cannot be redone.
        latest = False


def _rows(connection: sqlite3.Connection, image: int | None) -> Iterator[tuple[int, int, int, str, int, str, int]]:
    where, values = ("", ()) if image is None else (" AND image = ?", (image,))
    last = 1 << 62
    # Page by page, as the journal may change between two steps of the caller.
    while page := connection.execute(
        "SELECT id, image, step, action, target, text, boxes FROM journal "
        f"WHERE id < ?{where} ORDER BY id DESC LIMIT {_PAGE}",
        (last, *values),
    ).fetchall():
        yield from page
        last = page[-1][0]


def to_undo(connection: sqlite3.Connection, image: int | None = None) -> Entry | None:
    """Return the last step that has not been undone."""
    return next((entry for entry in entries(connection, image) if entry.state == "done"), None)


def to_redo(connection: sqlite3.Connection, image: int | None = None) -> Entry | None:
    """Return the step that was undone last, if it can be redone."""
    found = None
    for entry in entries(connection, image):
        if entry.state == "done":
            break
        found = entry if entry.state == "undone" else found
    return found


def payload_of(connection: sqlite3.Connection, entry: int) -> Record:
    """Return what a step did.

    Raises
    ------
    UserError
        When it is damaged.
    """
    (payload,) = connection.execute("SELECT payload FROM journal WHERE id = ?", (entry,)).fetchone()
    return decode(payload)


def history(connection: sqlite3.Connection, image: int) -> History:
    """Return the recent steps of an image, for its table."""
    state = finished_of(connection, image), areas_of(connection, image)
    done: list[Entry] = []
    undone: list[Entry] = []
    boxes = 0
    for entry in entries(connection, image):
        boxes += entry.boxes
        if len(done) >= LIMIT or (done and boxes > MOST_BOXES):
            break
        if entry.state != "over":
            (done if entry.state == "done" else undone).append(entry)
    return History(
        _steps(connection, done, state, forward=False)[::-1],
        _steps(connection, undone[::-1], state, forward=True)[::-1],
    )


def _steps(
    connection: sqlite3.Connection, found: list[Entry], state: tuple[Finished, Areas], *, forward: bool
) -> list[Step]:
    """Read steps one after the other, starting with the one next to how things are now."""
    steps = []
    for entry in found:
        try:
            record = payload_of(connection, entry.id)
        except UserError:
            break  # What lies beyond a damaged step cannot be reached.
        other = (record if forward else record.reversed()).apply(*state)
        before, after = (state, other) if forward else (other, state)
        steps.append(record.step(entry.text, (before[0], after[0]), (before[1], after[1])))
        state = other
    return steps


def record_change(
    connection: sqlite3.Connection, image: int, change: Change, step: int | None = None, *, alone: bool = False
) -> int:
    """Store a change and its entry in the journal, within the transaction of the caller.

    Parameters
    ----------
    connection : sqlite3.Connection
    image : int
        Its number.
    change : Change
    step : int, optional
        The first entry of the step that this is a part of.
    alone : bool
        Whether the other images have nothing to do with this one, so that their boxes keep their classes.

    Returns
    -------
    int
        Number of the entry.

    Raises
    ------
    UserError
        When the image is gone, or the boxes make no sense or are not its own.
    """
    target = to_undo(connection, image) if change.action == "undo" else None
    target = to_redo(connection, image) if change.action == "redo" else target
    apply_change(connection, image, change, target, alone=alone)
    record = None if change.step is None else Record.of(change.step)
    boxes = len(change.put) + len(change.removed) if record is None else max(len(record.before), len(record.after))
    entry = connection.execute(
        "INSERT INTO journal (image, step, time, action, target, text, boxes, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            image,
            step,
            now(),
            change.action,
            None if target is None else target.id,
            change.text,
            boxes,
            None if record is None else encode(record),
        ),
    ).lastrowid
    assert entry is not None
    return entry


def apply_change(
    connection: sqlite3.Connection, image: int, change: Change, target: Entry | None = None, *, alone: bool = False
) -> None:
    """Store what has become of an image, without an entry in the journal, within the transaction of the caller.

    Parameters
    ----------
    connection : sqlite3.Connection
    image : int
        Its number.
    change : Change
    target : Entry, optional
        The step that is undone or redone.
    alone : bool
        See `record_change`.
    """
    if not connection.execute("SELECT 1 FROM images WHERE id = ?", (image,)).fetchone():
        raise UserError("the image has been taken out of the project; nothing more is kept of it.")
    if change.action == "propose":
        forget_run(connection, image)
    before = change.classes or {}
    if change.classes is not None:
        before = _classes_before(connection, change, target)
        set_classes(connection, before, change.classes, image if alone else None)
    write_rows(connection, image, change.put, change.removed)
    if change.finished is not None:
        _set_finished(connection, image, change.finished)
    if change.areas is not None:
        _set_areas(connection, image, change.areas)
    if change.classes is not None:
        drop_classes(connection, before.keys() - change.classes.keys())


def _classes_before(connection: sqlite3.Connection, change: Change, target: Entry | None) -> Classes:
    """Return which classes an image had, as far as it matters for those that it has."""
    if change.step is not None and change.step.classes is not None:
        return change.step.classes[0]
    pair = None if target is None else payload_of(connection, target.id).classes
    return change.classes or {} if pair is None else pair[change.action == "undo"]


def has_entry(connection: sqlite3.Connection, entry: int) -> bool:
    """Whether an entry has reached the file."""
    return connection.execute("SELECT 1 FROM journal WHERE id = ?", (entry,)).fetchone() is not None


def finished_of(connection: sqlite3.Connection, image: int) -> Finished:
    """Return the finished planes of an image."""
    found = connection.execute("SELECT position FROM planes WHERE image = ? AND finished", (image,))
    return frozenset(position_of(text) for (text,) in found)


def areas_of(connection: sqlite3.Connection, image: int) -> Areas:
    """Return the reviewed and ignored areas of an image."""
    found = connection.execute(
        "SELECT position, x0, y0, x1, y1, kind FROM areas JOIN planes ON planes.id = plane WHERE image = ?", (image,)
    )
    return frozenset(Area(position_of(row[0]), row[1:5], row[5]) for row in found)


def _set_finished(connection: sqlite3.Connection, image: int, finished: Finished) -> None:
    before = finished_of(connection, image)
    for planes, value in ((finished - before, 1), (before - finished, 0)):
        keys = plane_ids(connection, image, planes).tolist()
        connection.executemany("UPDATE planes SET finished = ? WHERE id = ?", ((value, key) for key in keys))


def _set_areas(connection: sqlite3.Connection, image: int, areas: Areas) -> None:
    before = areas_of(connection, image)
    for found, statement in (
        (before - areas, "DELETE FROM areas WHERE (plane, x0, y0, x1, y1, kind) = (?, ?, ?, ?, ?, ?)"),
        (areas - before, "INSERT INTO areas VALUES (?, ?, ?, ?, ?, ?)"),
    ):
        rows: list[Area] = list(found)
        planes: list[PlaneIndex] = [area.plane for area in rows]
        keys = plane_ids(connection, image, planes).tolist()
        connection.executemany(statement, ((key, *area.xyxy, area.kind) for key, area in zip(keys, rows, strict=True)))


def now() -> str:
    """Return the time, with its zone."""
    return datetime.now().astimezone().isoformat(timespec="milliseconds")
