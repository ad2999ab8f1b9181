"""Boxes that an earlier session has left without a name: opened again, or discarded."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QLabel, QMessageBox, QTreeWidget, QTreeWidgetItem, QVBoxLayout, QWidget

from napari_localize.project import Recoverable
from napari_localize.widgets._parts import button, row

_NAMES = 3


class RecoverDialog(QDialog):
    """A list with date, number of boxes and images; after `exec`, `chosen` is what is to be opened."""

    def __init__(self, found: Sequence[Recoverable], parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Boxes of earlier sessions")
        self._found = list(found)
        self.chosen: Recoverable | None = None
        text = QLabel(
            "These boxes were kept on disk although they were not saved under a name. "
            "Open them to go on, then use Save project as; or discard them for good."
        )
        text.setWordWrap(True)
        self.table = QTreeWidget()
        self.table.setHeaderLabels(["Last change", "Boxes", "Images"])
        self.table.setRootIsDecorated(False)
        self.table.setToolTip("What was left behind, the latest first.")
        self.table.itemDoubleClicked.connect(self._take)
        self.open_button = button("Open", "Show these images and boxes in the Project dock.", self._take)
        self.discard_button = button("Discard", "Delete these boxes for good.", self._discard)
        self.close_button = button("Close", "Decide later; they stay where they are.", self.reject)
        self.open_button.setDefault(True)
        column = QVBoxLayout(self)
        column.addWidget(text)
        column.addWidget(self.table)
        column.addLayout(row(self.open_button, self.discard_button, self.close_button))
        self.resize(560, 320)
        self._fill()

    def _fill(self) -> None:
        self.table.clear()
        for each in self._found:
            names = ", ".join(each.images[:_NAMES]) + (", ..." if len(each.images) > _NAMES else "")
            item = QTreeWidgetItem([f"{each.changed:%Y-%m-%d %H:%M}", f"{each.boxes:,}", each.problem or names])
            item.setTextAlignment(1, Qt.AlignmentFlag.AlignRight)
            item.setToolTip(2, each.problem or "\n".join(each.images[:50]))
            self.table.addTopLevelItem(item)
        self.table.setCurrentItem(self.table.topLevelItem(0))
        for column in (0, 1):
            self.table.resizeColumnToContents(column)
        for each in (self.open_button, self.discard_button):
            each.setEnabled(bool(self._found))

    def _current(self) -> int | None:
        at = self.table.indexOfTopLevelItem(self.table.currentItem()) if self._found else -1
        return at if at >= 0 else None

    def _take(self) -> None:
        at = self._current()
        if at is not None:
            self.chosen = self._found[at]
            self.accept()

    def _discard(self) -> None:
        at = self._current()
        if at is None:
            return
        each = self._found[at]
        answer = QMessageBox.question(
            self, "Discard boxes", f"Delete {each.boxes:,} boxes of {each.changed:%Y-%m-%d %H:%M} for good?"
        )
        if answer == QMessageBox.StandardButton.Yes:
            each.discard()
            del self._found[at]
            self._fill()
