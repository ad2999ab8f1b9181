"""The tables of a project, how older ones become today's, and how a foreign one is told from ours."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from napari_localize.core.errors import UserError

APPLICATION_ID = 0x4E4C4F43
"""What the header of our databases says they are."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
        # A path is relative to the project's folder where that is possible; an image in memory has none.
        """CREATE TABLE images (
            id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, path TEXT, fingerprint TEXT, size INTEGER,
            changed INTEGER, axes TEXT NOT NULL, shape TEXT NOT NULL, added TEXT NOT NULL) STRICT""",
        # The position is that along the leading axes, as numbers with commas between them.
        """CREATE TABLE planes (
            id INTEGER PRIMARY KEY CHECK (id < 8388608), image INTEGER NOT NULL REFERENCES images (id),
            position TEXT NOT NULL, finished INTEGER NOT NULL DEFAULT 0 CHECK (finished IN (0, 1)),
            UNIQUE (image, position)) STRICT""",
        """CREATE TABLE classes (
            id INTEGER PRIMARY KEY CHECK (id < 1048576), name TEXT NOT NULL UNIQUE, color TEXT NOT NULL,
            key TEXT, rank INTEGER NOT NULL) STRICT""",
        "CREATE TABLE origins (id INTEGER PRIMARY KEY CHECK (id < 65536), name TEXT NOT NULL UNIQUE) STRICT",
        # The state is an index in core.detections.STATES; a kind of 1 is a point within its nominal box.
        """CREATE TABLE boxes (
            id INTEGER PRIMARY KEY, plane INTEGER NOT NULL REFERENCES planes (id),
            x0 REAL NOT NULL, y0 REAL NOT NULL, x1 REAL NOT NULL, y1 REAL NOT NULL,
            class INTEGER NOT NULL REFERENCES classes (id), score REAL,
            origin INTEGER NOT NULL REFERENCES origins (id),
            state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 4),
            kind INTEGER NOT NULL DEFAULT 0 CHECK (kind IN (0, 1))) STRICT""",
        "CREATE INDEX boxes_by_plane ON boxes (plane)",
        "CREATE VIRTUAL TABLE box_index USING rtree (id, plane0, plane1, x0, x1, y0, y1)",
        """CREATE TABLE areas (
            plane INTEGER NOT NULL REFERENCES planes (id), x0 REAL NOT NULL, y0 REAL NOT NULL,
            x1 REAL NOT NULL, y1 REAL NOT NULL, kind TEXT NOT NULL CHECK (kind IN ('reviewed', 'ignored')),
            PRIMARY KEY (plane, x0, y0, x1, y1, kind)) STRICT, WITHOUT ROWID""",
        """CREATE TABLE summary (
            plane INTEGER NOT NULL, class INTEGER NOT NULL, state INTEGER NOT NULL, boxes INTEGER NOT NULL,
            PRIMARY KEY (plane, class, state)) STRICT, WITHOUT ROWID""",
        # Rows are only ever added. An undo or redo names the entry that it takes back or does again;
        # where a step spans images, its further entries name the first one.
        """CREATE TABLE journal (
            id INTEGER PRIMARY KEY AUTOINCREMENT, image INTEGER NOT NULL, step INTEGER,
            time TEXT NOT NULL, action TEXT NOT NULL CHECK (action IN ('do', 'undo', 'redo', 'propose')),
            target INTEGER, text TEXT NOT NULL, boxes INTEGER NOT NULL, payload BLOB) STRICT""",
        "CREATE INDEX journal_by_image ON journal (image, id)",
        """CREATE TABLE models (
            reference TEXT PRIMARY KEY, sha256 TEXT NOT NULL, card TEXT NOT NULL, used TEXT NOT NULL) STRICT""",
        """CREATE TABLE evaluations (
            id INTEGER PRIMARY KEY, time TEXT NOT NULL, model TEXT NOT NULL, result TEXT NOT NULL) STRICT""",
    ),
)
"""What has been done to the tables, version by version; those that were released never change."""

VERSION = len(MIGRATIONS)

_SHADOWS = "box_index_"  # tables that SQLite makes for the R*Tree; their text differs between its versions


def migrate(connection: sqlite3.Connection, to: int = VERSION) -> None:
    """Bring the tables of an older version, or an empty database, up to a version; all of it or nothing."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version >= to:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statements in MIGRATIONS[version:to]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {to}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def check_header(path: Path) -> None:
    """Refuse what is no project before SQLite has read any of it.

    Raises
    ------
    UserError
        When the file is no database, or that of another program.
    """
    try:
        with path.open("rb") as file:
            head = file.read(100)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; check its permissions and its disk.") from error
    if len(head) < 100 or not head.startswith(b"SQLite format 3\0"):
        raise UserError(
            f"{path} is not the database of a project, or is damaged; "
            f'try: napari-localize project check --repair "{path.parent}"'
        )
    if int.from_bytes(head[68:72], "big") != APPLICATION_ID:
        raise UserError(f"{path} is the database of another program, not of a project.")


def check_tables(connection: sqlite3.Connection, path: Path) -> int:
    """Make sure that a database holds our tables and nothing that would run by itself; return its version.

    Raises
    ------
    UserError
        When it holds triggers, views or tables that we have not made, or lacks some of ours.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    found = _tables(connection)
    expected = _expected(min(version, VERSION)) if version > 0 else {}
    newer = version > VERSION
    # A later version may have more tables and columns, but nothing that runs by itself either.
    strange = sorted(
        name
        for name, (kind, text) in found.items()
        if (kind not in ("table", "index") if newer else expected.get(name) != (kind, text))
    )
    missing = sorted(name for name in expected if name not in found)
    if strange or missing or not expected:
        what = f"holds {strange[0]!r}" if strange else f"lacks {missing[0]!r}" if missing else "holds no tables"
        raise UserError(f"{path} {what}, which is not how a project is made; it is not opened.")
    return int(version)


def _expected(version: int) -> dict[str, tuple[str, str]]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        migrate(connection, version)
        return _tables(connection)
    finally:
        connection.close()


def _tables(connection: sqlite3.Connection) -> dict[str, tuple[str, str]]:
    rows = connection.execute("SELECT name, type, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite^_%' ESCAPE '^'")
    return {
        str(name): (str(kind), "" if str(name).startswith(_SHADOWS) else " ".join(str(sql).split()))
        for name, kind, sql in rows
    }
