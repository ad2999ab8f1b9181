"""Accepting and rejecting many guesses at once: those in view, those of the plane, those by score."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from app_model.types import KeyCode, KeyMod
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QDoubleSpinBox, QLabel, QMenu, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_localize.widgets._memory import remember, remembered_number
from napari_localize.widgets._parts import SPACING, row

IN_VIEW, ON_PLANE, ABOVE, BELOW = "in view", "on this plane", "above", "below"

_KEYS = {
    ("accept", IN_VIEW): "E",
    ("accept", ON_PLANE): "Q",
    ("accept", ABOVE): "S",
    ("reject", IN_VIEW): "R",
    ("reject", ON_PLANE): "W",
    ("reject", ABOVE): "D",
    ("reject", BELOW): "F",
}
"""With Shift."""


class ManyBar(QWidget):
    """Two menus, and the score that parts what is meant from the rest."""

    asked = Signal(str, str)
    """To "accept" or "reject", and which guesses."""
    opened = Signal()
    """Somebody looks into a menu: `show_counts` is wanted."""

    def __init__(self) -> None:
        super().__init__()
        self.score = QDoubleSpinBox()
        self.score.setRange(0.0, 1.0)
        self.score.setSingleStep(0.05)
        self.score.setValue(remembered_number("judge score", 0.8))
        self.score.setToolTip("The score at which the two menus part the guesses of this plane.")
        self.score.valueChanged.connect(self._remember)
        self.accept = self._menu_button("accept", "Accept many guesses at once; one step back undoes it.")
        self.reject = self._menu_button("reject", "Reject many guesses at once; one step back undoes it.")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING)
        column.addLayout(row(self.accept, self.reject))
        column.addLayout(row(QLabel("Score in the menus"), self.score, stretch=1))

    def allow(self, guesses: int) -> None:
        """Allow it where there are guesses."""
        for widget in (self.accept, self.reject):
            widget.setEnabled(guesses > 0)

    def keys(self) -> dict[int, Callable[[], None]]:
        """Return what the keys do."""
        actions = {
            ("accept", IN_VIEW): self.accept_in_view,
            ("accept", ON_PLANE): self.accept_on_plane,
            ("accept", ABOVE): self.accept_above,
            ("reject", IN_VIEW): self.reject_in_view,
            ("reject", ON_PLANE): self.reject_on_plane,
            ("reject", ABOVE): self.reject_above,
            ("reject", BELOW): self.reject_below,
        }
        return {KeyMod.Shift | KeyCode[f"Key{_KEYS[which]}"]: action for which, action in actions.items()}

    def accept_in_view(self) -> None:
        """Accept the guesses in view."""
        self.asked.emit("accept", IN_VIEW)

    def accept_on_plane(self) -> None:
        """Accept the guesses of this plane."""
        self.asked.emit("accept", ON_PLANE)

    def accept_above(self) -> None:
        """Accept the guesses of this plane from the score on."""
        self.asked.emit("accept", ABOVE)

    def reject_in_view(self) -> None:
        """Reject the guesses in view."""
        self.asked.emit("reject", IN_VIEW)

    def reject_on_plane(self) -> None:
        """Reject the guesses of this plane."""
        self.asked.emit("reject", ON_PLANE)

    def reject_above(self) -> None:
        """Reject the guesses of this plane from the score on."""
        self.asked.emit("reject", ABOVE)

    def reject_below(self) -> None:
        """Reject the guesses of this plane below the score."""
        self.asked.emit("reject", BELOW)

    def words(self, which: str) -> str:
        """Return which guesses are meant, as a person reads it."""
        marks = {ABOVE: "with a score from", BELOW: "with a score below"}
        return f"{marks[which]} {self.score.value():.2f}" if which in marks else which

    def _menu_button(self, verb: str, tooltip: str) -> QPushButton:
        widget = QPushButton(f"{verb.capitalize()} many ")
        widget.setToolTip(tooltip)
        widget.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        menu = QMenu(widget)
        for (own, which), key in _KEYS.items():
            action = menu.addAction(which) if own == verb else None
            if action is not None:
                action.setData((which, key))
                action.triggered.connect(getattr(self, f"{verb}_{which.replace('this ', '').replace(' ', '_')}"))
        menu.aboutToShow.connect(self.opened)
        widget.setMenu(menu)
        return widget

    def show_counts(self, counts: Mapping[str, int]) -> None:
        """Say how many guesses there are of each kind."""
        for widget in (self.accept, self.reject):
            menu = widget.menu()
            for action in menu.actions() if menu is not None else ():
                which, key = action.data()
                number = counts[which]
                action.setText(f"{number:,} {self.words(which)}\t⇧{key}")
                action.setEnabled(number > 0)

    def _remember(self, score: float) -> None:
        remember("judge score", score)
