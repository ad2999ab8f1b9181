"""What is held back to judge a model on: guessed, and asked once for each data set."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_localize.core.groups import plural
from napari_localize.widgets._memory import remember_for, remembered_for
from napari_localize.widgets._parts import SPACING, combo, hint, row, say

_MEMORY = "held back"
_TIP = (
    "A model is judged on what it has not learnt from. Planes of one well, one animal or one movie look alike: "
    "so whole ones are held back. What there is to choose is told by the names of files and folders."
)


class HeldBackBox(QWidget):
    """A choice, and under it in a sentence what it comes to."""

    changed = Signal()
    """Somebody has chosen otherwise: `show_choice` is wanted."""

    def __init__(self) -> None:
        super().__init__()
        self._home = ""
        self._kinds: list[str] = []
        self.combo = combo(_TIP)
        self.combo.activated.connect(self._chosen)
        self._text: QLabel = hint()
        self._text.setToolTip(_TIP)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING)
        title = QLabel("Held back")
        title.setToolTip(_TIP)
        column.addLayout(row(title, self.combo, stretch=1))
        column.addWidget(self._text)
        self.hide()

    @property
    def hold_back(self) -> str:
        """The choice, as `core.groups.HOLD_BACK` calls it."""
        return str(self.combo.currentData() or "auto")

    def offer(self, kinds: Sequence[str], home: str) -> None:
        """Show what can be chosen for the data in a folder; what was chosen for them before is so again."""
        if list(kinds) == self._kinds and home == self._home:
            return
        chosen = remembered_for(_MEMORY, home) or self.hold_back
        self._home, self._kinds = home, list(kinds)
        with QSignalBlocker(self.combo):
            self.combo.clear()
            for kind in kinds:
                self.combo.addItem(_label(kind), kind)
            self.combo.setCurrentIndex(max(self.combo.findData(chosen), 0))

    def show_choice(self, guessed: str, text: str) -> None:
        """Show what was guessed, and in a sentence what is held back."""
        self.combo.setItemText(0, f"automatic: {_label(guessed)}")
        say(self._text, escape(text))
        self.show()

    def text(self) -> str:
        """Return the sentence."""
        return self._text.text()

    def _chosen(self) -> None:
        remember_for(_MEMORY, self._home, self.hold_back)
        self.changed.emit()


def _label(kind: str) -> str:
    return {"auto": "automatic", "blocks": "blocks"}.get(kind) or plural(kind, 2)
