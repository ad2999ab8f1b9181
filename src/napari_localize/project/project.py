"""A project: images, boxes and all that was done to them, in one folder."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.errors import UserError
from napari_localize.core.steps import Change, Classes
from napari_localize.project.database import FILE, Database, create_database
from napari_localize.project.image import ProjectImage
from napari_localize.project.journal import has_entry, now, record_change
from napari_localize.project.listing import ProjectPlane, list_images, list_planes
from napari_localize.project.lock import Lock
from napari_localize.project.names import classes_of
from napari_localize.project.writer import Writer

SUFFIX = ".localize"
LOCK = "lock"

_CLOSE_TIMEOUT = 20.0


class Project:
    """An open project; see `open_project`. It is also a context manager that closes it.

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

    def __enter__(self) -> Project:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Project: {self.path}>"

    # Images

    def images(self) -> list[ProjectImage]:
        """Return the images, in the order in which they were added.

        Raises
        ------
        UserError
            When the project cannot be read.
        """
        with self.database.reading() as connection:
            return list_images(self, connection)

    def image(self, name_or_id: str | int) -> ProjectImage:
        """Return one image.

        Raises
        ------
        UserError
            When there is none with this name or number.
        """
        for image in self.images():
            if name_or_id in (image.name, image.id):
                return image
        raise UserError(f"{self.path} has no image {name_or_id!r}; see its images with: napari-localize project status")

    def planes(self, image: ProjectImage | None = None) -> list[ProjectPlane]:
        """Return the planes of an image, or of all.

        Raises
        ------
        UserError
            When the project cannot be read.
        """
        with self.database.reading() as connection:
            return list_planes(self, connection, image)

    def add_array(self, name: str, shape: Sequence[int], axes: str, fingerprint: str | None = None) -> ProjectImage:
        """Add an image that is not in a file.

        Parameters
        ----------
        name : str
            A number is put behind it where another image has it.
        shape : sequence of int
        axes : str
            A letter for each axis, such as ``TYX``.
        fingerprint : str, optional
            See `project.files.array_fingerprint`.

        Raises
        ------
        UserError
            When the axes do not fit, or the project cannot be written.
        """
        if len(axes) != len(shape) or not axes.isalpha():
            raise UserError(f"the axes {axes!r} do not fit the shape {tuple(shape)}; give one letter for each.")
        key = self._insert_image(name, None, fingerprint, None, axes.upper(), shape)
        return self.image(key)

    def _insert_image(
        self,
        name: str,
        stored: str | None,
        fingerprint: str | None,
        measured: tuple[int, int] | None,
        axes: str,
        shape: Sequence[int],
    ) -> int:
        with self.database.transaction() as connection:
            taken = {found for (found,) in connection.execute("SELECT name FROM images")}
            unique, number = name, 2
            while unique in taken:
                unique, number = f"{name} ({number})", number + 1
            key = connection.execute(
                "INSERT INTO images (name, path, fingerprint, size, changed, axes, shape, added) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    unique,
                    stored,
                    fingerprint,
                    *(measured or (None, None)),
                    axes,
                    json.dumps([int(n) for n in shape]),
                    now(),
                ),
            ).lastrowid
        assert key is not None
        return key

    def remove_image(self, image: ProjectImage) -> None:
        """Take an image out of the project with all of its boxes and its history; its file stays.

        Raises
        ------
        UserError
            When the project cannot be written.
        """
        self.settle()
        mine = "(SELECT id FROM planes WHERE image = ?)"
        with self.database.transaction() as connection:
            for statement in (
                f"DELETE FROM box_index WHERE id IN (SELECT id FROM boxes WHERE plane IN {mine})",
                f"DELETE FROM boxes WHERE plane IN {mine}",
                f"DELETE FROM areas WHERE plane IN {mine}",
                f"DELETE FROM summary WHERE plane IN {mine}",
                "DELETE FROM planes WHERE image = ?",
                "DELETE FROM journal WHERE image = ?",
                "DELETE FROM images WHERE id = ?",
            ):
                connection.execute(statement, (image.id,))

    @property
    def classes(self) -> Classes:
        """Colours of the classes, in the order of the list."""
        with self.database.reading() as connection:
            return classes_of(connection)

    # Changes

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
            for image, change in changes:
                entry = record_change(connection, image, change)
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

    def settle(self) -> None:
        """Wait for edits that are on their way to the disk.

        Raises
        ------
        UserError
            When they cannot be stored.
        """
        if not self.writer.flush():
            raise UserError(self.writer.error or f"the edits of {self.path} cannot be saved; check its disk.")

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
        self.writer.close()
        self.database.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()


def open_project(path: str | os.PathLike[str], create: bool = False, read_only: bool = False) -> Project:
    """Open an annotation project.

    Parameters
    ----------
    path : path
        Its folder, ``NAME.localize``; the ending may be left out.
    create : bool
        Whether to make it where there is none.
    read_only : bool
        Whether to look only. A project that cannot be changed is opened like this by itself, and
        `Project.read_only_reason` says why: someone else has it open, it lies where nothing can be written, or a
        newer version has made it.

    Returns
    -------
    Project

    Raises
    ------
    UserError
        When there is none, it is damaged, or it cannot be made.

    Examples
    --------
    >>> with open_project("plate.localize") as project:  # doctest: +SKIP
    ...     print(project.images())
    """
    folder = project_folder(path)
    if not (folder / FILE).is_file():
        if not create or read_only:
            raise UserError(f"there is no project at {folder}; make one with: napari-localize project create")
        make_project(folder)
    return Project(folder, read_only=read_only)


def project_folder(path: str | os.PathLike[str]) -> Path:
    """Return the folder that is meant by a path with or without the ending."""
    folder = Path(path).absolute()
    if folder.suffix != SUFFIX and not (folder / FILE).is_file():
        folder = folder.with_name(folder.name + SUFFIX)
    return folder


def make_project(folder: Path) -> None:
    """Make an empty project.

    Raises
    ------
    UserError
        When the folder holds something else, or cannot be made.
    """
    try:
        if folder.is_dir() and any(folder.iterdir()):
            raise UserError(f"{folder} exists already and is not empty; choose another name.")
        made = not folder.exists()
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make {folder}: {error.strerror}; choose another folder.") from error
    try:
        create_database(folder)
    except BaseException:
        if made:
            shutil.rmtree(folder, ignore_errors=True)
        raise


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
