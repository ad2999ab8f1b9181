"""What holds a project open: its lock, its connection, its writer and the ids that are free."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.errors import UserError
from napari_localize.core.steps import Change
from napari_localize.project.database import FILE, Database
from napari_localize.project.folder import LOCK, autosave_folder
from napari_localize.project.journal import has_entry, record_change
from napari_localize.project.lock import Lock
from napari_localize.project.writer import Writer

_CLOSE_TIMEOUT = 20.0


class Store:
    """The folder of an open project: locked, connected, written to. It is a context manager that closes it.

    Attributes
    ----------
    path : Path
        Its folder.
    read_only_reason : str or None
        Why nothing can be changed; None where it can.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._lock: Lock | None = None
        self.read_only_reason: str | None = f"{path} was opened for reading only." if read_only else None
        if not read_only:
            self._lock = Lock(path / LOCK)
            self.read_only_reason = self._lock.reason or _not_writable(path / FILE)
        try:
            self.database = Database(path, read_only=self.read_only_reason is not None)
            if self.database.newer:
                self.read_only_reason = (
                    f"{path} was made by a newer version of napari-localize, so it is opened for reading only; "
                    "update to change it."
                )
            self._ids = threading.Lock()
            self._attempt: tuple[list[tuple[int, Change]] | None, int] = (None, 0)
            with self.database.reading() as connection:
                self._next_id = _next_id(connection)
        except BaseException:
            if hasattr(self, "database"):
                self.database.close()
            self._unlock()
            raise
        self.writer = Writer(self.write)
        self.closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Project: {self.path}>"

    def write(self, changes: list[tuple[int, Change]]) -> None:
        """Store changes of images, given by number, in one transaction.

        Raises
        ------
        UserError
            When they cannot be stored; none of them is.
        """
        with self.database.transaction() as connection:
            tried, entry = self._attempt
            self._attempt = (None, 0)
            if tried is changes and has_entry(connection, entry):
                return  # The disk had failed only after they were on it.
            # Images that nobody has put into a project together share no more than the file.
            alone = self.path.parent == autosave_folder()
            for image, change in changes:
                entry = record_change(connection, image, change, alone=alone)
            self.keep_next_id(connection)
            self._attempt = (changes, entry)
        self._attempt = (None, 0)

    def keep_next_id(self, connection: sqlite3.Connection) -> None:
        """Note which ids have been given out, within the transaction of the caller."""
        with self._ids:
            number = self._next_id
        connection.execute(
            "INSERT INTO meta VALUES ('next_id', ?) ON CONFLICT DO UPDATE SET value = excluded.value", (str(number),)
        )

    def reserve_ids(self, n: int) -> NDArray[np.int64]:
        """Return (n,) ids that no box of the project has had."""
        with self._ids:
            first, self._next_id = self._next_id, self._next_id + n
        return np.arange(first, first + n, dtype=np.int64)

    def settle(self, image: int | None = None) -> None:
        """Wait for edits that are on their way to the disk: all, or those of an image given by number.

        Raises
        ------
        UserError
            When they cannot be stored.
        """
        # Within an edit the writer waits for us.
        if not self.database.is_mine and not self.writer.flush(image=image):
            raise UserError(self.writer.error or f"the edits of {self.path} cannot be saved; check its disk.")

    def has_content(self) -> bool:
        """Whether there is anything that a person or a model has done; images alone are nothing."""
        self.settle()
        with self.database.reading() as connection:
            tables = ("summary", "planes WHERE finished", "areas")
            return any(connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() for table in tables)

    def close(self, *, force: bool = False) -> None:
        """Store what is not stored yet, and let others open the project.

        Parameters
        ----------
        force : bool
            Whether to close even if edits cannot be stored, which are lost then.

        Raises
        ------
        UserError
            When edits cannot be stored; the project stays open.
        """
        if self.closed:
            return
        if not self.writer.flush(_CLOSE_TIMEOUT) and not force:
            reason = self.writer.error or "the disk does not answer"
            raise UserError(f"{self.path} stays open, as {reason}")
        self.closed = True
        # A disk that hangs keeps the lock, as what it is writing may still arrive.
        if self.writer.close(_CLOSE_TIMEOUT):
            self.database.close()
            self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()


def _not_writable(file: Path) -> str | None:
    if not file.exists() or os.access(file, os.W_OK):
        return None
    return f"{file} cannot be written to, so it is opened for reading only."


def _next_id(connection: sqlite3.Connection) -> int:
    """Return the first id that no box has had, also where the note of it was lost or forged."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'next_id'").fetchone()
    (last,) = connection.execute("SELECT MAX(id) FROM boxes").fetchone()
    noted = int(row[0]) if row and row[0].isdecimal() and len(row[0]) < 16 else 1
    return max(noted, (last or 0) + 1)
