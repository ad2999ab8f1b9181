"""Which plane is looked at, whether it is finished, and going to the next."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QLabel, QPushButton, QVBoxLayout, QWidget

from napari_localize.widgets._parts import SPACING, button, hint, row, say


class PlaneBar(QWidget):
    """Plane x of y, one back, one on, and "this plane is finished"."""

    step = Signal(int)
    finish = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._text = QLabel()
        self._text.setTextFormat(Qt.TextFormat.RichText)
        self.back = button("J   ◀", "Go to the plane before. Key: J.", self._back)
        self.on = button("▶   K", "Go to the next plane. Key: K.", self._on)
        key = QKeySequence("Ctrl+Return").toString(QKeySequence.SequenceFormat.NativeText)
        self._finish_text = f"This plane is finished   {key}"
        self.done: QPushButton = button(
            self._finish_text,
            "Everything on this plane is right: what is shown is accepted, and models learn from the plane. "
            f"Press again to take it back into work. Key: {key}.",
            self._finish,
        )
        self.done.setCheckable(True)
        self._all: QLabel = hint()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING)
        column.addLayout(row(self._text, None, self.back, self.on))
        column.addWidget(self.done)
        column.addWidget(self._all)

    def show_plane(self, number: int, total: int, finished: bool, summary: str) -> None:
        """Show which plane it is, counted from 1, and how it stands with all of them."""
        state = "<span style='color: #44BB99'>finished</span>" if finished else "in work"
        place = f"Plane <b>{number}</b> of {total}" if total > 1 else "This image"
        self._text.setText(f"{place} &nbsp;<i>{state}</i>")
        for arrow in (self.back, self.on):
            arrow.setVisible(total > 1)
        self.back.setEnabled(number > 1)
        self.on.setEnabled(number < total)
        self.done.setChecked(finished)
        say(self._all, summary)

    def _back(self) -> None:
        self.step.emit(-1)

    def _on(self) -> None:
        self.step.emit(1)

    def _finish(self) -> None:
        self.finish.emit()


def neighbour(planes: Sequence[int], index: Sequence[int], step: int) -> tuple[int, ...] | None:
    """Return the plane so many steps on in a stack, or None beyond its ends.

    >>> neighbour((2, 3), (0, 2), 1)
    (1, 0)
    """
    flat = number_of(planes, index) + step
    total = 1
    for count in planes:
        total *= count
    if not 0 <= flat < total:
        return None
    result = []
    for count in reversed(planes):
        flat, at = divmod(flat, count)
        result.append(at)
    return tuple(reversed(result))


def number_of(planes: Sequence[int], index: Sequence[int]) -> int:
    """Return the place of a plane in the order of a stack, from 0."""
    flat = 0
    for count, at in zip(planes, index, strict=True):
        flat = flat * count + min(max(at, 0), count - 1)
    return flat
