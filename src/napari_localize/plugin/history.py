"""Undo and redo of what a person does to a table of boxes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

LIMIT = 1000
"""Steps that are kept; the oldest goes first."""


class Box(NamedTuple):
    """One box: ``x0, y0, x1, y1`` as pixel edges on a plane; a score of None means that a person made it."""

    plane: tuple[int, ...]
    xyxy: tuple[float, float, float, float]
    label: str
    score: float | None
    origin: str
    state: str


Classes = dict[str, str]
"""Colour by class name, in the order of the class list."""

Finished = frozenset[tuple[int, ...]]
"""Planes of which a person has said that everything on them is right."""


@dataclass(frozen=True)
class Step:
    """One thing that a person did, as it was before and after.

    Parameters
    ----------
    text : str
        What was done, to be shown behind "Undo".
    boxes : dict of int to (Box or None, Box or None)
        By id; None where there was, or is, no box.
    classes, finished : pair, optional
        Where these changed as well.
    """

    text: str
    boxes: dict[int, tuple[Box | None, Box | None]] = field(default_factory=dict)
    classes: tuple[Classes, Classes] | None = None
    finished: tuple[Finished, Finished] | None = None

    @property
    def planes(self) -> set[tuple[int, ...]]:
        """The planes on which something happened."""
        planes = {box.plane for pair in self.boxes.values() for box in pair if box is not None}
        if self.finished is not None:
            planes |= self.finished[0] ^ self.finished[1]
        return planes

    @property
    def empty(self) -> bool:
        """Whether nothing changed at all."""
        return not (self.boxes or self.classes or self.finished)


class History:
    """The steps taken and the steps taken back."""

    def __init__(self) -> None:
        self._done: list[Step] = []
        self._undone: list[Step] = []

    def push(self, step: Step) -> None:
        """Note a step; what had been taken back can no longer be redone."""
        self._done.append(step)
        self._undone.clear()
        del self._done[:-LIMIT]

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

    @property
    def undo_text(self) -> str | None:
        """What would be taken back."""
        return self._done[-1].text if self._done else None

    @property
    def redo_text(self) -> str | None:
        """What would be taken again."""
        return self._undone[-1].text if self._undone else None
