"""Mending a damaged project: what can be read goes into a new database, the old one stays beside it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from napari_localize.core.errors import UserError
from napari_localize.project.database import FILE
from napari_localize.project.folder import LOCK
from napari_localize.project.lock import Lock
from napari_localize.project.names import position_of
from napari_localize.project.schema import migrate

_TABLES = ("meta", "images", "planes", "classes", "origins", "boxes", "areas", "journal", "models", "evaluations")
_PAGE = 512

# What stands for nothing any more, or makes no sense, cannot be kept.
_USELESS = (
    "DELETE FROM planes WHERE image NOT IN (SELECT id FROM images)",
    "DELETE FROM areas WHERE plane NOT IN (SELECT id FROM planes)",
    "DELETE FROM boxes WHERE plane NOT IN (SELECT id FROM planes) OR id < 1 OR NOT (x1 > x0 AND y1 > y0)"
    " OR MAX(ABS(x0), ABS(y0), ABS(x1), ABS(y1)) > 3e38 OR NOT (score IS NULL OR score BETWEEN 0 AND 1)",
    "DELETE FROM journal WHERE image NOT IN (SELECT id FROM images)",
)

_REBUILT = (
    "INSERT INTO box_index SELECT id, plane, plane, x0, x1, y0, y1 FROM boxes",
    "INSERT INTO summary SELECT plane, class, state, COUNT(*) FROM boxes GROUP BY plane, class, state",
)

_LOST_NAME = "lost"


def repair_project(folder: Path) -> list[str]:
    """Read what can be read of a project's database into a new one.

    The old one is kept beside it, as ``damaged-DATE.sqlite``.

    Parameters
    ----------
    folder : Path
        The project, which must not be open.

    Returns
    -------
    list of str
        Sentences on what was kept and what was lost.

    Raises
    ------
    UserError
        When the project is open elsewhere, cannot be written, or nothing of it can be read.
    """
    lock = Lock(folder / LOCK)
    try:
        if lock.reason is not None:
            raise UserError(f"{lock.reason.partition(',')[0]}; close it first.")
        return _repair(folder)
    finally:
        lock.release()


def _repair(folder: Path) -> list[str]:
    new, old = folder / f".{FILE}.part", folder / FILE
    kept = folder / f"damaged-{datetime.now():%Y-%m-%d-%H%M%S}.sqlite"
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    try:
        try:
            report = _salvage(old, new)
        except sqlite3.OperationalError as error:
            raise UserError(f"{folder} cannot be mended: {error}; free space, or copy it to another disk.") from error
        except sqlite3.DatabaseError as error:
            raise UserError(f"nothing can be read of {old}; take a copy of the project from a backup.") from error
        # The log holds what was written last: it belongs to the old database.
        for end in ("-wal", "-shm"):
            if os.path.exists(f"{old}{end}"):
                shutil.move(f"{old}{end}", f"{kept}{end}")
        shutil.move(old, kept)
        os.replace(new, old)
    except OSError as error:
        raise UserError(f"{folder} cannot be mended: {error.strerror or error}; free space or copy it.") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
    return [*report, f"The old database is kept as {kept}."]


def _salvage(old: Path, new: Path) -> list[str]:
    source = sqlite3.connect(f"{old.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    target = sqlite3.connect(new, isolation_level=None)
    try:
        source.execute("PRAGMA trusted_schema = OFF")
        migrate(target)
        target.execute("BEGIN")
        expected = _expected(source)
        kept = {table: _copy(source, target, table) for table in _TABLES}
        if not kept["images"]:
            raise UserError(f"nothing can be read of {old}; take a copy of the project from a backup.")
        _name_lost(target)
        _drop_nowhere(target)
        for statement in (*_USELESS, *_REBUILT):
            target.execute(statement)
        (boxes,) = target.execute("SELECT COUNT(*) FROM boxes").fetchone()
        target.execute("COMMIT")
        report = [f"{kept['images']} images, {boxes} boxes and {kept['journal']} entries of the journal were kept."]
        if expected is None:
            report.append("How many boxes there had been can no longer be read.")
        elif expected > boxes:
            report.append(f"{expected - boxes} boxes were lost.")
        return report
    finally:
        source.close()
        target.close()


def _expected(source: sqlite3.Connection) -> int | None:
    try:
        (number,) = source.execute("SELECT SUM(boxes) FROM summary").fetchone()
    except sqlite3.Error:
        return None
    return int(number or 0)


def _copy(source: sqlite3.Connection, target: sqlite3.Connection, table: str) -> int:
    """Copy the rows of a table that can be read; return how many they are."""
    kind = source.execute("SELECT type FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    if kind != ("table",):
        return 0
    columns = [row[1] for row in target.execute(f"PRAGMA table_info({table})")]
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    number = 0
    for rows in _read(source, table, names, by_number=columns[0] == "id"):
        for row in rows:
            # A row that breaks a rule of ours was damaged.
            with contextlib.suppress(sqlite3.IntegrityError):
                number += target.execute(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})", row).rowcount
    return number


def _read(source: sqlite3.Connection, table: str, names: str, *, by_number: bool) -> Iterator[list[tuple[Any, ...]]]:
    """Give the rows of a table page by page, leaping over what cannot be read."""
    if not by_number:
        try:
            yield source.execute(f"SELECT {names} FROM {table}").fetchall()
        except sqlite3.Error:
            return
        return
    first, last = _ends(source, table)
    spans = [(first, last)]
    while spans:
        low, high = spans.pop()
        if low > high:
            continue
        try:
            # The table itself is read, as its indices may be what is damaged.
            rows = source.execute(
                f"SELECT {names} FROM {table} NOT INDEXED WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?",
                (low, high, _PAGE),
            ).fetchall()
        except sqlite3.Error:
            if low < high:
                middle = (low + high) // 2
                spans += [(middle + 1, high), (low, middle)]
            continue
        if rows:
            yield rows
            spans.append((int(rows[-1][0]) + 1, high))


def _ends(source: sqlite3.Connection, table: str) -> tuple[int, int]:
    """Return the first and last number in a table, wide enough where they cannot be read."""
    ends = []
    for way, otherwise in (("ASC", 1), ("DESC", 1 << 32)):
        try:
            row = source.execute(f"SELECT id FROM {table} NOT INDEXED ORDER BY id {way} LIMIT 1").fetchone()
            ends.append(int(row[0]) if row else 0)
        except (sqlite3.Error, ValueError, TypeError):
            ends.append(otherwise)
    return ends[0], ends[1]


def _name_lost(target: sqlite3.Connection) -> None:
    """Give names to classes and origins whose own have been lost, so that their boxes can be kept."""
    for table, column, extra in (("classes", "class", ", color, rank"), ("origins", "origin", "")):
        values = ", '#DDDDDD', (SELECT COUNT(*) FROM classes)" if extra else ""
        target.execute(
            f"INSERT INTO {table} (id, name{extra}) SELECT DISTINCT {column}, '{_LOST_NAME} ' || {column}{values} "
            f"FROM boxes WHERE {column} NOT IN (SELECT id FROM {table})"
        )


def _drop_nowhere(target: sqlite3.Connection) -> None:
    """Drop planes that are none, with which their image could not be read; what lies on them goes with them."""
    for key, text in target.execute("SELECT id, position FROM planes").fetchall():
        try:
            position_of(text)
        except UserError:
            target.execute("DELETE FROM planes WHERE id = ?", (key,))
