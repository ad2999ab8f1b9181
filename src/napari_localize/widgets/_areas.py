"""Finishing and ignoring parts of a plane, and taking that back."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QLabel, QMenu, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_localize.core.steps import Area
from napari_localize.plugin.areas import WORDS
from napari_localize.widgets._parts import SPACING, button, hint, row, say


class AreaBar(QWidget):
    """Buttons that have an area drawn, how many boxes lie in what is finished, and a list of the areas."""

    draw = Signal(str)
    """An area of this kind is to be drawn."""
    taken_back = Signal(Area)

    def __init__(self) -> None:
        super().__init__()
        self.finish: QPushButton = button(
            "Finish an area   U",
            "Drag a rectangle in which everything is right: the guesses to be seen there are accepted, and models "
            "learn from it as from a finished plane. Key: U.",
            self._finish,
        )
        self.ignore: QPushButton = button(
            "Ignore an area   ⇧U",
            "Drag a rectangle that is of no concern, such as dirt or an object that nobody can name: nothing is learned "
            "or counted there. Key: Shift+U.",
            self._ignore,
        )
        for widget in (self.finish, self.ignore):
            widget.setCheckable(True)
        self._text: QLabel = hint()
        self._areas: list[Area] = []
        self._menu = QMenu(self)
        self.back = QPushButton("Take back   ⇧T ")
        self.back.setToolTip(
            "Take an area of this plane back; its boxes stay. Shift+T takes back the one under the mouse pointer."
        )
        self.back.setMenu(self._menu)
        self.back.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING)
        column.addLayout(row(self.finish, self.ignore))
        column.addLayout(row(self._text, self.back, stretch=0))

    def show_areas(self, areas: Sequence[Area], drawing: str | None, counted: int | None) -> None:
        """Show how it stands on a plane.

        Parameters
        ----------
        areas : sequence of Area
            The areas of the plane.
        drawing : str or None
            The kind of area that is being drawn.
        counted : int or None
            Approved boxes in what is finished on the plane; None where nothing is.
        """
        for widget, kind in ((self.finish, "reviewed"), (self.ignore, "ignored")):
            with QSignalBlocker(widget):
                widget.setChecked(drawing == kind)
        say(self._text, "" if counted is None else f"In reviewed area: <b>{counted:,}</b>")
        self.back.setVisible(bool(areas))
        if list(areas) != self._areas:
            self._areas = list(areas)
            self._menu.clear()
            for area in areas:
                action = self._menu.addAction(described(area))
                if action is not None:
                    action.setData(area)
                    action.triggered.connect(self._take_back)

    def _finish(self) -> None:
        self.draw.emit("reviewed")

    def _ignore(self) -> None:
        self.draw.emit("ignored")

    def _take_back(self) -> None:
        action = self.sender()
        for each, area in zip(self._menu.actions(), self._areas, strict=True):
            if each is action:
                self.taken_back.emit(area)
                return


def described(area: Area) -> str:
    """Say which area it is.

    >>> described(Area((), (10.0, 20.0, 110.0, 70.0), "reviewed"))
    'finished: 100 x 50 px at 10, 20'
    """
    x0, y0, x1, y1 = area.xyxy
    return f"{WORDS[area.kind]}: {x1 - x0:.0f} x {y1 - y0:.0f} px at {x0:.0f}, {y0:.0f}"
