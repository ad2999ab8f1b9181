"""The planes of a count as a table that can be sorted; a click goes to the plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from napari_localize.core.lots import Place

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_TITLES = ("plane", "", "found", "count", "interval")
_TIPS = (
    "The plane; a click goes there.",
    "✓ finished, ● drawn by lot and not finished yet.",
    "What the model has found at the threshold.",
    "What is there: counted where the plane is finished, otherwise estimated.",
    "Holds the true number in 95 of 100 cases, for one plane.",
)
_ROWS = 7


class PlaneTableModel(QAbstractTableModel):
    """Rows of a `CountReport`, in the order that was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._names: list[str] = []
        self._numbers: NDArray[np.float64] = np.zeros((0, 4))
        self._marks: list[str] = []
        self._places: list[Place] = []
        self._order: NDArray[np.int64] = np.zeros(0, np.int64)
        self._sorted_by = (0, Qt.SortOrder.AscendingOrder)

    def show_planes(self, planes: pd.DataFrame, places: Sequence[Place], drawn: Sequence[bool]) -> None:
        """Show these planes."""
        self.beginResetModel()
        names = [str(name) for name in planes.index]
        file = names[0].rpartition("#")[0] + "#" if names else ""
        # Of a single stack every plane has the same name up to its place in it.
        short = len(file) > 1 and all(name.startswith(file) for name in names)
        self._names, self._places = [name.removeprefix(file) if short else name for name in names], list(places)
        self._numbers = planes[["found", "count", "low", "high"]].to_numpy(float)
        self._marks = [
            "✓" if done else "●" if by_lot else ""
            for done, by_lot in zip(planes["reviewed"].tolist(), drawn, strict=True)
        ]
        self._put_in_order()
        self.endResetModel()

    def place(self, row: int) -> Place:
        """Return the plane of a row."""
        return self._places[int(self._order[row])]

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        self.beginResetModel()
        self._sorted_by = (column, order)
        self._put_in_order()
        self.endResetModel()

    def _put_in_order(self) -> None:
        column, order = self._sorted_by
        at = np.arange(len(self._places))
        if column >= 2:
            numbers = self._numbers
            width = numbers[:, 3] - numbers[:, 2]
            at = np.argsort(np.nan_to_num((numbers[:, 0], numbers[:, 1], width)[column - 2]), kind="stable")
        elif column == 1:
            at = np.argsort(np.array(["✓●".find(mark or "-") % 3 for mark in self._marks], int), kind="stable")
        self._order = at if order == Qt.SortOrder.AscendingOrder else at[::-1]

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(self._places)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        return 0 if parent is not None and parent.isValid() else len(_TITLES)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return _TITLES[section]
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.ToolTipRole:
            return _TIPS[section]
        return None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        at, column = int(self._order[index.row()]), index.column()
        if role == Qt.ItemDataRole.TextAlignmentRole and column >= 2:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role == Qt.ItemDataRole.ToolTipRole and column == 0:
            return self._names[at]
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        found, count, low, high = self._numbers[at].tolist()
        if column == 4:
            return "" if low != low or low == high else f"{low:,.0f}-{high:,.0f}"
        return (self._names[at], self._marks[at], f"{found:,.0f}", f"{count:,.0f}")[column]


class PlaneTable(QTableView):
    """The table."""

    chosen = Signal(object)
    """The place of a plane to go to."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = PlaneTableModel()
        self.setModel(self.rows)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setWordWrap(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 6)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(20)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        width = self.fontMetrics().horizontalAdvance("0")
        for column, letters in ((1, 3), (2, 7), (3, 7), (4, 9)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            header.resizeSection(column, letters * width)
        self.setSortingEnabled(True)
        self.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.setFixedHeight((_ROWS + 1) * (self.fontMetrics().height() + 8))
        self.setToolTip("A click on a plane goes there; a click on a title sorts by it.")
        self.clicked.connect(self._go)
        self.activated.connect(self._go)

    def _go(self, index: QModelIndex) -> None:
        self.chosen.emit(self.rows.place(index.row()))
