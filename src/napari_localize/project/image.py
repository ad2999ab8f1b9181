"""An image of a project: what is known about it, its boxes, and where its edits are kept."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_localize.core.annotations import plane_name
from napari_localize.core.boxes import BoxRows, PlaneIndex
from napari_localize.core.errors import UserError
from napari_localize.core.steps import Areas, Classes, Finished, History, Journal
from napari_localize.core.table import BoxTable, Filter
from napari_localize.project.entries import empty
from napari_localize.project.files import fingerprint, found_path, measure
from napari_localize.project.filters import filter_of, set_filter
from napari_localize.project.journal import areas_of, finished_of, history
from napari_localize.project.names import classes_of
from napari_localize.project.points import point_size_of, set_point_size
from napari_localize.project.rows import rows_of_image
from napari_localize.project.writer import BackgroundJournal, DirectJournal, OnError, OnSaved

if TYPE_CHECKING:
    from napari_localize.project.project import Project

Status = Literal["untouched", "predicted", "in work", "finished"]

Counts = dict[str, dict[str, int]]
"""Number of boxes by class and state; those that are 0 are left out."""


@dataclass(frozen=True)
class LoadedImage:
    """All that is stored about the boxes of an image.

    Attributes
    ----------
    rows : BoxRows
        All boxes, in the order of their ids.
    classes : dict of str to str
        Colours of the classes of the project.
    finished, areas : frozenset
        Planes and areas that a person has finished, or wants to be ignored.
    history : History
        The recent steps, which can be undone and redone.
    warning : str or None
        A sentence when the file has gone or has changed since the boxes were made.
    point_size : float or None
        Where the objects are points: the side in pixels of the boxes that stand for them.
    """

    rows: BoxRows
    classes: Classes
    finished: Finished
    areas: Areas
    history: History
    warning: str | None
    point_size: float | None = None
    filter: Filter | None = None

    def table(self, journal: Journal | None = None) -> BoxTable:
        """Return all of it as a table to work with, whose changes go to a journal; see `ProjectImage.journal`."""
        table = BoxTable(dict(self.classes), self.finished, self.areas, self.point_size)
        table.load(self.rows)
        table.history, table.journal = self.history, journal
        return table


@dataclass(frozen=True)
class ProjectImage:
    """An image as it was when the project was asked for it.

    Attributes
    ----------
    id : int
    name : str
        Unique within the project.
    stored : str or None
        Its file relative to the project's folder; None for an image that was never in a file.
    axes : str
        A letter for each axis of the array, such as ``TYX``; empty where nothing is known yet.
    shape : tuple of int
    status : {"untouched", "predicted", "in work", "finished"}
    counts : dict of str to dict of str to int
        Number of boxes by class and state.
    finished : int
        How many of its planes are finished.
    """

    project: Project = field(repr=False)
    id: int
    name: str
    stored: str | None
    axes: str
    shape: tuple[int, ...]
    status: Status
    counts: Counts
    finished: int

    @property
    def path(self) -> Path | None:
        """Where the file should be; None for an image that was never in a file."""
        return None if self.stored is None else found_path(self.stored, self.project.path)

    @property
    def plane_count(self) -> int:
        """How many planes the stack has."""
        return math.prod(n for axis, n in zip(self.axes, self.shape, strict=True) if axis not in "YXCS")

    def planes(self) -> list[PlaneIndex]:
        """Return all planes of the stack, in order."""
        sizes = [n for axis, n in zip(self.axes, self.shape, strict=True) if axis not in "YXCS"]
        return list(np.ndindex(*sizes))

    def plane_name(self, plane: PlaneIndex) -> str:
        """Return the name of a plane, such as ``movie.tif#t=3``."""
        outer = [axis.lower() for axis in self.axes if axis not in "YXCS"]
        if len(outer) != len(plane):
            outer = list("tzpabdefghijklm"[: len(plane)])
        return plane_name(self.name, dict(zip(outer, plane, strict=True)))

    def load(self) -> LoadedImage:
        """Read all that is stored about the boxes; edits that are on their way to the disk are waited for.

        Raises
        ------
        UserError
            When they cannot be read.
        """
        self.project.settle(self.id)
        with self.project.database.reading() as connection:
            return LoadedImage(
                rows_of_image(connection, self.id),
                classes_of(connection),
                finished_of(connection, self.id),
                areas_of(connection, self.id),
                history(connection, self.id),
                self.problem(),
                point_size_of(connection, self.id),
                filter_of(connection, self.id),
            )

    @property
    def point_size(self) -> float | None:
        """Where the objects are points: the side in pixels of the boxes that stand for them; None for boxes."""
        with self.project.database.reading() as connection:
            return point_size_of(connection, self.id)

    def set_point_size(self, size: float | None) -> None:
        """Say that the objects are points of a nominal size in pixels, or boxes; these stay as they are.

        Raises
        ------
        UserError
            When the project cannot be written.
        """
        self.project.settle(self.id)
        with self.project.database.transaction() as connection:
            set_point_size(connection, self.id, size)

    def set_filter(self, shown: Filter) -> None:
        """Note which guesses are shown; `load` returns it.

        Raises
        ------
        UserError
            When the project cannot be written.
        """
        with self.project.database.transaction() as connection:
            set_filter(connection, self.id, shown)

    def clear(self) -> None:
        """Take away all boxes and areas, what is finished, and the steps; none of it can be undone.

        Raises
        ------
        UserError
            When the project cannot be written.
        """
        self.project.settle(self.id)
        with self.project.database.transaction() as connection:
            empty(connection, self.id)

    def history(self) -> History:
        """Return the recent steps as they are now; after many an undo these are older ones than `load` gave.

        Raises
        ------
        UserError
            When they cannot be read.
        """
        self.project.settle(self.id)
        with self.project.database.reading() as connection:
            return history(connection, self.id)

    def journal(
        self, background: bool = False, on_error: OnError | None = None, on_saved: OnSaved | None = None
    ) -> DirectJournal:
        """Return where a table of this image puts down its changes.

        Parameters
        ----------
        background : bool
            Whether to return at once and write on another thread, within a second. What the disk refuses is kept
            and tried again. Otherwise `record` raises when it cannot be stored.
        on_error, on_saved : callable, optional
            With `background`: called on the writing thread with a sentence, or with the time when all is stored.
        """
        if not background:
            return DirectJournal(self.id, self.project.write, self.project.reserve_ids)
        self.project.writer.listen(self.id, on_error, on_saved)
        return BackgroundJournal(self.id, self.project.writer, self.project.reserve_ids)

    def problem(self) -> str | None:
        """Return a sentence when the file is missing or no longer what the boxes were made on, else None."""
        path = self.path
        if path is None:
            return None
        with self.project.database.reading() as connection:
            row = connection.execute("SELECT fingerprint, size, changed FROM images WHERE id = ?", (self.id,))
            known, size, changed = row.fetchone() or (None, None, None)
        try:
            found = measure(path)
        except OSError:
            return f"{path} is missing; find it again with Relink, or put it back."
        if known is None or found == (size, changed) or (found[0] == size and fingerprint(path) == known):
            return None
        return f"{path} has changed since its boxes were made; put the old file back, or take the new one on purpose."

    def file(self) -> Path:
        """Return the file, which is the one that the boxes were made on.

        Raises
        ------
        UserError
            When it is missing or has changed, or the image was never in a file.
        """
        problem = self.problem()
        if problem is not None:
            raise UserError(problem)
        if self.path is None:
            raise UserError(f"{self.name} was never in a file; save the layer as TIFF and add it.")
        return self.path
