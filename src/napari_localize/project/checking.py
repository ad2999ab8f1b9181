"""What is wrong with a project, as sentences."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import TYPE_CHECKING

from napari_localize.core.errors import UserError
from napari_localize.project.journal import payload_of
from napari_localize.project.names import REPAIR
from napari_localize.project.rows import rows_of_image

if TYPE_CHECKING:
    from napari_localize.project.project import Project

_SUMMARY = """SELECT COUNT(*) FROM (
    SELECT plane, class, state, boxes FROM summary EXCEPT
    SELECT plane, class, state, COUNT(*) FROM boxes GROUP BY plane, class, state)"""

_UNCOUNTED = """SELECT COUNT(*) FROM (
    SELECT plane, class, state, COUNT(*) FROM boxes GROUP BY plane, class, state EXCEPT
    SELECT plane, class, state, boxes FROM summary)"""

# The R*Tree holds float32 numbers, as the boxes are.
_TREE = """SELECT COUNT(*) FROM boxes LEFT JOIN box_index USING (id) WHERE
    box_index.id IS NULL OR plane0 <> plane OR plane1 <> plane
    OR box_index.x0 <> boxes.x0 OR box_index.x1 <> boxes.x1
    OR box_index.y0 <> boxes.y0 OR box_index.y1 <> boxes.y1"""

_ORPHANS = (
    ("boxes on planes", "SELECT COUNT(*) FROM boxes WHERE plane NOT IN (SELECT id FROM planes)"),
    ("planes of images", "SELECT COUNT(*) FROM planes WHERE image NOT IN (SELECT id FROM images)"),
    ("areas on planes", "SELECT COUNT(*) FROM areas WHERE plane NOT IN (SELECT id FROM planes)"),
    ("steps of images", "SELECT COUNT(*) FROM journal WHERE image NOT IN (SELECT id FROM images)"),
)


def check_database(connection: sqlite3.Connection) -> list[str]:
    """Return what is wrong with the database itself; nothing is changed."""
    found = [str(text) for (text,) in connection.execute("PRAGMA integrity_check(10)")]
    problems = [f"The database is damaged: {text}; {REPAIR}" for text in found if text != "ok"]
    wrong = _number(connection, _SUMMARY) + _number(connection, _UNCOUNTED)
    if wrong:
        problems.append(f"{wrong} counts do not agree with the boxes; {REPAIR}")
    lost = _number(connection, _TREE)
    extra = _number(connection, "SELECT COUNT(*) FROM box_index") - _number(connection, "SELECT COUNT(*) FROM boxes")
    if lost or extra:
        problems.append(f"The index of places does not agree with {max(lost, abs(extra))} boxes; {REPAIR}")
    for what, query in _ORPHANS:
        number = _number(connection, query)
        if number:
            problems.append(f"{number} {what} that are not in the project; {REPAIR}")
    return problems


def check_content(connection: sqlite3.Connection) -> Iterator[str]:
    """Give what is wrong with boxes and steps that SQLite itself finds nothing wrong with."""
    for key, name in connection.execute("SELECT id, name FROM images ORDER BY id").fetchall():
        try:
            rows_of_image(connection, key)
        except UserError as error:
            yield f"{name}: {error}"
    damaged = 0
    for (entry,) in connection.execute("SELECT id FROM journal WHERE payload IS NOT NULL").fetchall():
        try:
            payload_of(connection, entry)
        except UserError:
            damaged += 1
    if damaged:
        yield f"{damaged} steps in the journal are damaged; they and older ones can no longer be undone."


def check_project(project: Project) -> list[str]:
    """See `Project.check`."""
    project.settle()
    with project.database.reading() as connection:
        problems = check_database(connection)
        problems += check_content(connection)
    problems += [text for image in project.images() if (text := image.problem()) is not None]
    return problems


def _number(connection: sqlite3.Connection, query: str) -> int:
    (number,) = connection.execute(query).fetchone()
    return int(number)
