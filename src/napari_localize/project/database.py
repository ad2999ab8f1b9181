"""The connection to a project's database: opened with care, one transaction at a time, faults as sentences."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from napari_localize.core.errors import UserError
from napari_localize.project.schema import VERSION, check_header, check_tables, migrate

FILE = "project.sqlite"

_REMOTE = ("nfs", "cifs", "smb", "afs", "9p", "fuse.sshfs", "lustre", "beegfs", "gpfs", "ceph", "glusterfs", "ncpfs")
_LARGEST_LOG = 1 << 26
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 1 << 29,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 1 << 16,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
}


class Database:
    """The connections of this process to a project: one that writes and one that reads, shared by its threads.

    So that a window can look something up while a large change is being written.

    Parameters
    ----------
    folder : Path
        The project.
    read_only : bool
        Whether nothing may be written; a project made by a newer version never is.

    Attributes
    ----------
    newer : bool
        Whether a newer version of the program has made the project.
    """

    def __init__(self, folder: Path, *, read_only: bool) -> None:
        self.folder = folder
        self.path = folder / FILE
        self.read_only = read_only
        self.newer = False
        self._lock, self._read_lock = threading.RLock(), threading.RLock()
        self._depth = 0
        self._owner: int | None = None
        self._stale = self._read_stale = False
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        check_header(self.path)
        with told(self.path):
            self._connection = self._open()
            try:
                self._reader = self._connect()
            except BaseException:
                self._connection.close()
                raise

    def _open(self) -> sqlite3.Connection:
        connection = self._connect()
        try:
            version = check_tables(connection, self.path)
            self.newer = version > VERSION
            self.read_only = self.read_only or self.newer
            if not self.read_only:
                # A write-ahead log needs memory that all readers share, which file servers do not give.
                mode = "DELETE" if is_remote(self.folder) else "WAL"
                connection.execute(f"PRAGMA journal_mode = {mode}").fetchone()
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute(f"PRAGMA journal_size_limit = {_LARGEST_LOG}")
                if version < VERSION:
                    migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self) -> sqlite3.Connection:
        path, options = self.path, "mode=rw"
        if self.read_only:
            options = "mode=ro"
            if not os.access(self.folder, os.W_OK):
                path, options = self._for_reading()
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?{options}", uri=True, timeout=5, isolation_level=None, check_same_thread=False
        )
        try:
            for limit, value in _LIMITS.items():
                connection.setlimit(limit, value)
            for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "cache_size = -65536"):
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _for_reading(self) -> tuple[Path, str]:
        """Where SQLite may not make its own files beside the database: read as it is, or a copy with its log."""
        log = Path(f"{self.path}-wal")
        if not log.exists() or not log.stat().st_size:
            return self.path, "mode=ro&immutable=1"
        if self._copy is None:
            self._copy = tempfile.TemporaryDirectory(prefix="localize-")
            for file in (self.path, log):
                shutil.copyfile(file, Path(self._copy.name) / file.name)
        return Path(self._copy.name) / FILE, "mode=rw"

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Give a connection for queries, which all see the same state, in a transaction of this thread its own.

        Raises
        ------
        UserError
            When the database cannot be read.
        """
        if self.is_mine:
            with told(self.path, self._failed):
                yield self._connection
            return
        with self._read_lock, told(self.path, self._failed_to_read):
            if self._read_stale:
                self._reader.close()
                self._reader, self._read_stale = self._connect(), False
            reader = self._reader
            if reader.in_transaction:
                yield reader
                return
            reader.execute("BEGIN")
            try:
                yield reader
            finally:
                # It has changed nothing; this only lets go of the state that it sees.
                with contextlib.suppress(sqlite3.Error):
                    reader.execute("ROLLBACK")

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for changes, all of which are on disk afterwards, or none; may be nested.

        Raises
        ------
        UserError
            When the project is read-only or the database cannot be written.
        """
        if self.read_only:
            raise UserError(f"{self.folder} is open for reading only; nothing can be changed in it.")
        with self._lock, told(self.path, self._failed):
            connection = self._ready()
            if self._depth:
                yield connection
                return
            connection.execute("BEGIN IMMEDIATE")
            self._depth, self._owner = 1, threading.get_ident()
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                raise
            finally:
                self._depth, self._owner = 0, None

    def backup(self, target: Path) -> None:
        """Copy all that is stored into a new file."""
        with self.alone(), told(self.path):
            copy = sqlite3.connect(target)
            try:
                self._reader.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE").fetchone()
            finally:
                copy.close()

    @property
    def is_mine(self) -> bool:
        """Whether this thread is within a transaction."""
        return self._owner == threading.get_ident()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep the other threads of this process from the database."""
        with self._lock, self._read_lock:
            yield

    def move_to(self, folder: Path, *, read_only: bool) -> None:
        """Go on with the database in another folder; when that cannot be opened, with this one.

        Raises
        ------
        UserError
            When the other one cannot be opened.
        """
        with self.alone():
            other = Database(folder, read_only=read_only)
            self.close()
            self.folder, self.path = folder, other.path
            self.read_only, self.newer = other.read_only, other.newer
            self._connection, self._reader, self._copy = other._connection, other._reader, other._copy
            self._stale = self._read_stale = False

    def close(self) -> None:
        """Let go of the file."""
        with self.alone():
            self._reader.close()
            self._connection.close()
            if self._copy is not None:
                self._copy.cleanup()
                self._copy = None

    def _ready(self) -> sqlite3.Connection:
        if self._stale and not self._depth:
            # After an error of the disk or the share the old connection may never work again.
            self._connection.close()
            self._connection = self._open()
            self._stale = False
        return self._connection

    def _failed(self, error: sqlite3.Error) -> None:
        self._stale = self._stale or name_of(error).startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN"))

    def _failed_to_read(self, error: sqlite3.Error) -> None:
        self._read_stale = self._read_stale or name_of(error).startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN"))


@contextmanager
def told(path: Path, on_error: Any = None) -> Iterator[None]:
    """Turn what SQLite says into one sentence."""
    try:
        yield
    except sqlite3.Error as error:
        if on_error is not None:
            on_error(error)
        raise UserError(f"{path}: {_sentence(error, path)}") from error


def name_of(error: sqlite3.Error) -> str:
    """Return SQLite's own name of an error, "" where it has none."""
    return getattr(error, "sqlite_errorname", None) or ""


def _sentence(error: sqlite3.Error, path: Path) -> str:
    name, text = name_of(error), " ".join(str(error).split())
    if name == "SQLITE_FULL" or "is full" in text:
        return "the disk is full; free some space, and what is not saved yet will be."
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT")) or "malformed" in text:
        return f'the database is damaged ({text}); try: napari-localize project check --repair "{path.parent}"'
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return "another program is writing to the project; wait until it is done."
    if name.startswith("SQLITE_READONLY"):
        return "the project cannot be written to; check its permissions and its disk."
    if name.startswith(("SQLITE_IOERR", "SQLITE_CANTOPEN")) or "disk I/O" in text:
        return f"the disk or the share cannot be reached ({text}); check the connection."
    return f"the project cannot be used ({text}); see: napari-localize project check"


def is_remote(folder: Path) -> bool:
    """Whether a folder lies on a file server, as far as the system says."""
    text = str(folder.absolute())
    if sys.platform == "win32" or text.startswith(("\\\\", "//")):
        return text.startswith(("\\\\", "//"))
    best, kind = "", ""
    try:
        for line in Path("/proc/self/mounts").read_text(errors="replace").splitlines():
            _, mount, found = line.split(" ")[:3]
            mount = mount.replace("\\040", " ")
            if len(mount) >= len(best) and (text == mount or text.startswith(mount.rstrip("/") + "/")):
                best, kind = mount, found
    except (OSError, ValueError):
        return False
    return kind.startswith(_REMOTE)
