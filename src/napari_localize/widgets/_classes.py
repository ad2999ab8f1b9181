"""The table of classes: colour, name, key, and how many boxes there are."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import QSignalBlocker, QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QColorDialog,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_localize.core.table import Count

COLOR, NAME, KEY, SHOWN, ACCEPTED = range(5)
_HEADS = ("", "Class", "Key", "Shown", "Accepted")
_TIPS = (
    "Click a colour to change it.",
    "Click a class to draw with it; double-click to rename it.",
    "Shift and the number give the class to the selected boxes and to the next drawn one.",
    "Boxes of the class that are shown on this plane.",
    "Those of them that a person has accepted, corrected or drawn.",
)
_MOST_ROWS = 8


class ClassTable(QTableWidget):
    """One row per class; the selected row is the class of the next drawn box."""

    chosen = Signal(str)
    renamed = Signal(str, str)
    recolored = Signal(str, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(_HEADS), parent)
        self._names: list[str] = []
        self.setHorizontalHeaderLabels(_HEADS)
        for column, text in enumerate(_TIPS):
            item = self.horizontalHeaderItem(column)
            if item is not None:
                item.setToolTip(text)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked | QAbstractItemView.EditTrigger.EditKeyPressed)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setShowGrid(False)
        # Keys are for the boxes on the canvas; only the editor of a name takes them.
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setIconSize(QSize(16, 16))
        rows, head = self.verticalHeader(), self.horizontalHeader()
        if rows is not None and head is not None:
            rows.hide()
            rows.setDefaultSectionSize(26)
            head.setHighlightSections(False)
            head.setMinimumSectionSize(24)
            head.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            head.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        self.itemChanged.connect(self._on_edited)
        self.cellClicked.connect(self._on_clicked)

    @property
    def current(self) -> str | None:
        """The class of the selected row."""
        line = self.currentRow()
        return self._names[line] if 0 <= line < len(self._names) else None

    def show_classes(self, colors: Mapping[str, str], counts: Mapping[str, Count], next_class: str) -> None:
        """Fill the table."""
        with QSignalBlocker(self):
            names = list(colors)
            if names != self._names:
                self._names = names
                self.setRowCount(len(names))
                for line in range(len(names)):
                    self._new_row(line)
                self._fit_height()
            for line, name in enumerate(names):
                count = counts.get(name, Count(0, 0))
                self._cell(line, COLOR).setIcon(_swatch(colors[name]))
                self._cell(line, COLOR).setData(Qt.ItemDataRole.UserRole, colors[name])
                self._cell(line, NAME).setText(name)
                self._cell(line, SHOWN).setText(str(count.shown))
                self._cell(line, ACCEPTED).setText(str(count.accepted))
            if next_class in names:
                self.selectRow(names.index(next_class))

    def _cell(self, line: int, column: int) -> QTableWidgetItem:
        item = self.item(line, column)
        if item is None:
            item = QTableWidgetItem()
            self.setItem(line, column, item)
        return item

    def _new_row(self, line: int) -> None:
        for column in range(len(_HEADS)):
            item = self._cell(line, column)
            item.setToolTip(_TIPS[column])
            flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
            item.setFlags(flags | Qt.ItemFlag.ItemIsEditable if column == NAME else flags)
            if column >= KEY:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._cell(line, KEY).setText(f"⇧{line + 1}" if line < 9 else "")

    def _fit_height(self) -> None:
        rows, head = self.verticalHeader(), self.horizontalHeader()
        if rows is not None and head is not None:
            lines = max(1, min(len(self._names), _MOST_ROWS))
            self.setFixedHeight(head.sizeHint().height() + lines * rows.defaultSectionSize() + 4)

    def _on_clicked(self, line: int, column: int) -> None:
        name = self._names[line]
        if column == COLOR:
            color = QColorDialog.getColor(
                QColor(self._cell(line, COLOR).data(Qt.ItemDataRole.UserRole)), self, f"Colour of {name}"
            )
            if color.isValid():
                self.recolored.emit(name, color.name().upper())
        else:
            self.chosen.emit(name)

    def _on_edited(self, item: QTableWidgetItem) -> None:
        if item.column() == NAME and item.text() != self._names[item.row()]:
            old, self._names = self._names[item.row()], []
            self.renamed.emit(old, item.text())


def _swatch(color: str) -> QIcon:
    pixmap = QPixmap(16, 16)
    pixmap.fill(QColor(color))
    return QIcon(pixmap)
