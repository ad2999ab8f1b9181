"""What a person does to the boxes of an image, one step at a time, and how it is taken back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.boxes import BoxRows, PlaneIndex

LIMIT = 1000
"""Steps that are kept in memory; the oldest goes first."""

MOST_ROWS = 4_000_000
"""Boxes in the steps that are kept in memory, some 400 MB."""

Classes = dict[str, str]
"""Colour by class name, in the order of the class list."""

Finished = frozenset[PlaneIndex]
"""Planes of which a person has said that everything on them is right."""


class Area(NamedTuple):
    """A rectangle of a plane, ``x0, y0, x1, y1`` in pixels: all right in it, or of no concern."""

    plane: PlaneIndex
    xyxy: tuple[float, float, float, float]
    kind: Literal["reviewed", "ignored"]


Areas = frozenset[Area]


@dataclass(frozen=True)
class Step:
    """One thing that a person did, as it was before and after.

    Parameters
    ----------
    text : str
        What was done, to be shown behind "Undo".
    before, after : BoxRows
        The boxes that changed. A new box is only in `after`, one that was deleted only in `before`.
    classes, finished, areas : pair, optional
        Where these changed as well: before, after.
    """

    text: str
    before: BoxRows = field(default_factory=BoxRows.empty)
    after: BoxRows = field(default_factory=BoxRows.empty)
    classes: tuple[Classes, Classes] | None = None
    finished: tuple[Finished, Finished] | None = None
    areas: tuple[Areas, Areas] | None = None

    @property
    def planes(self) -> set[PlaneIndex]:
        """The planes on which something happened."""
        planes = self.before.used_planes() | self.after.used_planes()
        if self.finished is not None:
            planes |= self.finished[0] ^ self.finished[1]
        if self.areas is not None:
            planes |= {area.plane for area in self.areas[0] ^ self.areas[1]}
        return planes

    @property
    def empty(self) -> bool:
        """Whether nothing changed at all."""
        return not (len(self.before) or len(self.after) or self.classes or self.finished or self.areas)


@dataclass(frozen=True)
class Change:
    """What a table has just become, for whoever stores it.

    Parameters
    ----------
    action : {"do", "undo", "redo", "propose"}
        A new step; the last step taken back; the step taken again that was taken back last; guesses of a model,
        which are no step and cannot be undone, and after which nothing can be redone.
    text : str
        What was done.
    put : BoxRows
        Boxes as they are now.
    removed : (N,) int64
        Ids of boxes that are gone.
    step : Step or None
        With "do", what to journal.
    classes, finished, areas
        As they are now, where they changed.
    """

    action: Literal["do", "undo", "redo", "propose"]
    text: str
    put: BoxRows
    removed: NDArray[np.int64]
    step: Step | None = None
    classes: Classes | None = None
    finished: Finished | None = None
    areas: Areas | None = None


class Journal(Protocol):
    """Keeps what happens to a table."""

    def record(self, change: Change) -> None:
        """Take note of a change; must not block for long."""


class History:
    """The steps taken and the steps taken back."""

    def __init__(self, done: list[Step] | None = None, undone: list[Step] | None = None) -> None:
        self._done = list(done or ())
        self._undone = list(undone or ())

    def push(self, step: Step) -> None:
        """Note a step; what had been taken back can no longer be redone."""
        self._done.append(step)
        self._undone.clear()
        del self._done[:-LIMIT]
        while len(self._done) > 1 and sum(len(one.before) + len(one.after) for one in self._done) > MOST_ROWS:
            del self._done[0]

    def undo(self) -> Step | None:
        """Return the step to take back, or None."""
        if not self._done:
            return None
        self._undone.append(self._done.pop())
        return self._undone[-1]

    def redo(self) -> Step | None:
        """Return the step to take again, or None."""
        if not self._undone:
            return None
        self._done.append(self._undone.pop())
        return self._done[-1]

    def forget_redo(self) -> None:
        """Drop the steps taken back."""
        self._undone.clear()

    def ids(self) -> NDArray[np.int64]:
        """Return the ids of all boxes that the steps speak of."""
        parts = [rows.ids for step in (*self._done, *self._undone) for rows in (step.before, step.after)]
        return np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int64)

    def renumber(self, old: NDArray[np.int64], new: NDArray[np.int64]) -> None:
        """Give the boxes of the steps other ids; `old` is in rising order and holds them all."""

        def renamed(rows: BoxRows) -> BoxRows:
            return replace(rows, ids=new[old.searchsorted(rows.ids)])

        for steps in (self._done, self._undone):
            steps[:] = [replace(step, before=renamed(step.before), after=renamed(step.after)) for step in steps]

    def rename_class(self, old: str, new: str) -> None:
        """Give a class that the steps speak of another name."""

        def called(name: str) -> str:
            return new if name == old else name

        def of_boxes(rows: BoxRows) -> BoxRows:
            return replace(rows, class_names=tuple(map(called, rows.class_names)))

        def of_lists(pair: tuple[Classes, Classes] | None) -> tuple[Classes, Classes] | None:
            if pair is None:
                return None
            before, after = ({called(name): color for name, color in one.items()} for one in pair)
            return before, after

        for steps in (self._done, self._undone):
            steps[:] = [
                replace(step, before=of_boxes(step.before), after=of_boxes(step.after), classes=of_lists(step.classes))
                for step in steps
            ]

    @property
    def undo_text(self) -> str | None:
        """What would be taken back."""
        return self._done[-1].text if self._done else None

    @property
    def redo_text(self) -> str | None:
        """What would be taken again."""
        return self._undone[-1].text if self._undone else None
