"""The boxes of a gallery, in the order in which they were put, however they are judged meanwhile."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractListModel, QModelIndex, QObject, Qt

from napari_localize.core.boxes import STATE_CODES, Box, BoxRows
from napari_localize.core.table import BoxTable
from napari_localize.plugin.crops import Spot, squares, typical_side

BOX = Qt.ItemDataRole.UserRole
_PROPOSED = STATE_CODES["proposed"]
_NO_PARENT = QModelIndex()


class GalleryModel(QAbstractListModel):
    """Boxes by row. A row keeps its place until the order is made anew, and is grey once it was judged."""

    def __init__(self, parent: QObject | None) -> None:
        super().__init__(parent)
        self._table: BoxTable | None = None
        self._rows = BoxRows.empty()
        self._row_of: dict[int, int] = {}
        self._at: NDArray[np.int64] = np.zeros(0, np.int64)
        self._seen: set[int] = set()
        self._typical = 0.0
        self.side = 96
        """Side of a crop in pixels of the screen."""

    # What Qt asks

    def rowCount(self, parent: QModelIndex = _NO_PARENT) -> int:
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or role not in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole, BOX):
            return None
        box = self.box(index.row())
        if role == BOX:
            return box
        score = "" if box.score is None else f" {box.score:.2f}"
        plane = f", plane {', '.join(map(str, box.plane))}" if box.plane else ""
        x0, y0, x1, y1 = box.xyxy
        return f"{box.label}{score}, {box.state}\n{x1 - x0:.0f} x {y1 - y0:.0f} px at {x0:.0f}, {y0:.0f}{plane}"

    # What is shown

    @property
    def ids(self) -> NDArray[np.int64]:
        """(N,) ids of the boxes by row."""
        return self._rows.ids

    def set_boxes(self, table: BoxTable | None, rows: BoxRows) -> None:
        """Show boxes in their order; none of them is judged."""
        self.beginResetModel()
        self._take(table, rows)
        self._seen.clear()
        self.endResetModel()

    def follow(self, table: BoxTable, *, keep_gone: bool) -> bool:
        """Look at the boxes as they are now; say whether rows went, which are those whose box is gone.

        With `keep_gone` they stay, grey, as the person who is judging has just done that.
        """
        self._table, self._at = table, table.boxes.where(self.ids)
        there = self._at >= 0
        if keep_gone:
            self._seen.update(self.ids[~there].tolist())
        known = np.fromiter(self._seen, np.int64, len(self._seen))
        stay = there | np.isin(self.ids, known)
        if stay.all():
            return False
        self.beginResetModel()
        self._take(table, self._rows[stay])
        self.endResetModel()
        return True

    def append(self, rows: BoxRows) -> None:
        """Show more boxes, at the end."""
        first = len(self._rows)
        self.beginInsertRows(QModelIndex(), first, first + len(rows) - 1)
        self._take(self._table, BoxRows.concatenate([self._rows, rows]))
        self.endInsertRows()

    def keep(self, stay: NDArray[np.bool_]) -> None:
        """Show only some of the rows."""
        self.beginResetModel()
        self._take(self._table, self._rows[stay])
        self.endResetModel()

    def _take(self, table: BoxTable | None, rows: BoxRows) -> None:
        self._table, self._rows = table, rows
        self._at = np.full(len(rows), -1) if table is None else table.boxes.where(rows.ids)
        self._row_of = dict(zip(rows.ids.tolist(), range(len(rows)), strict=True))
        self._typical = typical_side(rows.boxes)

    # Boxes by row

    def row(self, key: int) -> int | None:
        """Return where a box is."""
        return self._row_of.get(key)

    def key(self, row: int) -> int:
        """Return the id of a box."""
        return int(self._rows.ids[row])

    def box(self, row: int) -> Box:
        """Return a box as it is now; of one that is gone, as it was."""
        box = None if self._table is None else self._table.boxes.get(self.key(row))
        return box if box is not None else dict(self._rows[row : row + 1].items())[self.key(row)]

    def spot(self, row: int, side: int) -> Spot:
        """Return what the crop of a row shows, with so many pixels."""
        box = self.box(row)
        x0, y0, length = squares(np.array([box.xyxy]), self._typical)[0].tolist()
        return Spot(self.key(row), box.plane, (x0, y0, length), side)

    # What was judged

    def saw(self, ids: list[int]) -> None:
        """Remember that a person has judged boxes, also those that are as they were."""
        self._seen.update(ids)

    def forget_seen(self) -> None:
        """Go by the states alone, as after undo."""
        if self._table is not None:
            self._seen.intersection_update(self.ids[self._at < 0].tolist())

    def is_judged(self, row: int) -> bool:
        """Whether a box is no longer in the state that it had when the order was made."""
        key = self.key(row)
        if key in self._seen or self._table is None:
            return True
        box = self._table.boxes.get(key)
        return box is None or STATE_CODES[box.state] != self._rows.states[row]

    def judged(self) -> NDArray[np.bool_]:
        """Return which rows are judged."""
        seen = np.isin(self.ids, np.fromiter(self._seen, np.int64, len(self._seen)))
        there, states = self._states()
        return seen | ~there | (states != self._rows.states)

    def guesses(self) -> NDArray[np.bool_]:
        """Return which rows are guesses that nobody has judged."""
        there, states = self._states()
        mask: NDArray[np.bool_] = there & (states == _PROPOSED)
        return mask

    def _states(self) -> tuple[NDArray[np.bool_], NDArray[np.int8]]:
        there = self._at >= 0
        states = self._rows.states.copy()
        if self._table is not None:
            states[there] = self._table.boxes.states[self._at[there]]
        return there, states
