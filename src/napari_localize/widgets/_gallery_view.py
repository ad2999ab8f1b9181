"""The grid of crops: how it is drawn, and which keys it takes while it has the focus."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, QItemSelection, QItemSelectionModel, QModelIndex, QRect, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QColor, QImage, QKeySequence, QPainter, QPen
from qtpy.QtWidgets import QAbstractItemView, QListView, QStyle, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from napari_localize.core.boxes import Box
from napari_localize.core.colors import STATE_WIDTHS
from napari_localize.plugin.crops import Crops
from napari_localize.widgets._gallery_model import BOX, GalleryModel
from napari_localize.widgets._judge import state_icon

_GAP, _FRAME, _ICON, _LINE = 3, 3, 14, 16
_GREY = 0.3
_POLL_MS = 30
_MARKS = {"accepted": "✓", "edited": "✓", "added": "✓", "rejected": "✗"}


class CropDelegate(QStyledItemDelegate):
    """Draws a crop with a frame in the colour of its class and, below, its state and score."""

    def __init__(self, crops: Crops, parent: QWidget) -> None:
        super().__init__(parent)
        self._crops = crops
        self._icons: dict[str, Any] = {}
        self.colors: Mapping[str, str] = {}

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        return cell(index.model().side)

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        model = index.model()
        if painter is None or not isinstance(model, GalleryModel):
            return
        box: Box = model.data(index, BOX)
        grey = model.is_judged(index.row())
        width = model.side + 2 * _FRAME
        left = option.rect.left() + (option.rect.width() - width) // 2
        frame = QRect(left, option.rect.top() + _GAP, width, width)
        painter.save()
        if option.state & QStyle.StateFlag.State_Selected:
            around = QRect(left - _GAP, option.rect.top(), width + 2 * _GAP, cell(model.side).height())
            painter.fillRect(around, option.palette.highlight())
            # napari's themes are sparing with contrast.
            painter.setPen(QPen(option.palette.text().color(), 1))
            painter.drawRect(around.adjusted(0, 0, -1, -1))
        inner = frame.adjusted(_FRAME, _FRAME, -_FRAME, -_FRAME)
        painter.setOpacity(_GREY if grey else 1.0)
        colour = QColor(self.colors.get(box.label, "#888888"))
        self._paint_crop(painter, model, index.row(), inner, box, colour)
        painter.setPen(QPen(colour, 1.5 * STATE_WIDTHS[box.state]))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(frame.adjusted(1, 1, -2, -2))
        painter.setOpacity(0.7 if grey else 1.0)
        self._paint_line(painter, option, QRect(left, frame.bottom() + 2, width, _LINE), box)
        painter.restore()

    def _paint_crop(
        self, painter: QPainter, model: GalleryModel, row: int, inner: QRect, box: Box, colour: QColor
    ) -> None:
        spot = model.spot(row, pixels_of(model.side, self.parent()))
        pixels = self._crops.get(spot)
        if pixels is None:
            painter.fillRect(inner, QColor(128, 128, 128, 40))
            return
        size = pixels.shape[0]
        painter.drawImage(inner, QImage(pixels.data, size, size, 4 * size, QImage.Format.Format_RGBA8888))
        # Which of several objects in the crop is meant: the corners of its box.
        x0, y0, length = spot.square
        scale = inner.width() / length
        left, top = inner.left() + (box.xyxy[0] - x0) * scale, inner.top() + (box.xyxy[1] - y0) * scale
        right, bottom = inner.left() + (box.xyxy[2] - x0) * scale, inner.top() + (box.xyxy[3] - y0) * scale
        arm = min(right - left, bottom - top) / 5
        painter.setPen(QPen(colour, 1))
        for x, along in ((left, arm), (right, -arm)):
            for y, down in ((top, arm), (bottom, -arm)):
                painter.drawLine(round(x), round(y), round(x + along), round(y))
                painter.drawLine(round(x), round(y), round(x), round(y + down))

    def _paint_line(self, painter: QPainter, option: QStyleOptionViewItem, place: QRect, box: Box) -> None:
        icon = self._icons.get(box.state)
        if icon is None:
            icon = self._icons[box.state] = state_icon(box.state).pixmap(_ICON, _ICON)
        painter.drawPixmap(place.left(), place.top() + 1, icon)
        selected = option.state & QStyle.StateFlag.State_Selected
        painter.setPen((option.palette.highlightedText() if selected else option.palette.text()).color())
        text = "drawn" if box.score is None else f"{box.score:.2f}"
        mark = _MARKS.get(box.state, "")
        right = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight
        painter.drawText(place.adjusted(_ICON + 4, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, text)
        painter.drawText(place, right, mark)


def cell(side: int) -> QSize:
    """Return the room that a crop takes with its frame and its line."""
    width = side + 2 * (_FRAME + _GAP)
    return QSize(width, width + _LINE + 2)


def pixels_of(side: int, widget: Any) -> int:
    """Return how many pixels of the screen a length is."""
    return max(1, round(side * widget.devicePixelRatioF()))


class GalleryView(QListView):
    """A grid of crops of which only those in view are made.

    Parameters
    ----------
    crops : Crops
    model : GalleryModel
    keys : mapping of str to callable
        What keys do while the grid has the focus. They are taken before any shortcut of the window sees them, so they
        may be the same as those of other docks.
    """

    shown = Signal()
    """The current box is to be shown on the image."""
    class_key = Signal(int)
    """Shift and a digit, 1 to 9, were pressed."""

    def __init__(self, crops: Crops, model: GalleryModel, keys: Mapping[str, Callable[[], object]]) -> None:
        super().__init__()
        self._crops = crops
        self._keys = {QKeySequence(key).toString(): weakref.WeakMethod(action) for key, action in keys.items()}
        self._made = -1
        self.delegate = CropDelegate(crops, self)
        self.setModel(model)
        self.setItemDelegate(self.delegate)
        # Laid out as wrapped lines: that takes a tenth of the time of icons that could be moved.
        self.setViewMode(QListView.ViewMode.ListMode)
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(True)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setUniformItemSizes(True)
        self.setMovement(QListView.Movement.Static)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setSelectionRectVisible(True)
        self.setDragEnabled(False)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        # The grid would be laid out again each time that the bar comes or goes.
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.setMinimumHeight(220)
        self._ask_soon = QTimer(self)
        self._ask_soon.setSingleShot(True)
        self._ask_soon.setInterval(0)
        self._ask_soon.timeout.connect(self._ask)
        self._poll = QTimer(self)
        self._poll.setInterval(_POLL_MS)
        self._poll.timeout.connect(self._collect)
        self.doubleClicked.connect(self.shown)
        self.set_side(model.side)

    def set_side(self, side: int) -> None:
        """Give the crops another size, and keep the same ones in view."""
        top = self.visible_rows().start
        self.model().side = side
        self._fit()
        self.verticalScrollBar().setSingleStep(cell(side).height() // 3)
        if top:
            self.doItemsLayout()
            self.scrollTo(self.model().index(top, 0), QAbstractItemView.ScrollHint.PositionAtTop)

    def _fit(self) -> None:
        """Share the width out between as many crops as have room beside each other."""
        room = cell(self.model().side)
        wide = self.viewport().width() - 1
        columns = max(1, wide // room.width())
        size = QSize(max(room.width(), wide // columns), room.height())
        if size != self.gridSize():
            self.setGridSize(size)

    def resizeEvent(self, event: Any) -> None:
        self._fit()
        super().resizeEvent(event)

    def stop(self) -> None:
        """Ask for no more crops."""
        self._ask_soon.stop()
        self._poll.stop()

    # Rows and selection

    @property
    def columns(self) -> int:
        """How many crops stand beside each other."""
        return max(1, (self.viewport().width() - 1) // self.gridSize().width())

    def visible_rows(self) -> range:
        """Return the rows that are in view, wholly or in part."""
        high = max(1, self.gridSize().height())
        at = self.verticalScrollBar().value()
        first = at // high * self.columns
        last = (at + self.viewport().height()) // high * self.columns + self.columns
        return range(min(first, self.model().rowCount()), min(last, self.model().rowCount()))

    @property
    def current_row(self) -> int:
        """The row of the keyboard; -1 for none."""
        return self.currentIndex().row()

    def selected_rows(self) -> list[int]:
        """Return the selected rows from the top down."""
        ranges = self.selectionModel().selection()
        return sorted({row for part in ranges for row in range(part.top(), part.bottom() + 1)})

    def select_rows(self, rows: list[int], current: int | None = None) -> None:
        """Select rows, and go to one of them."""
        model, selection = self.model(), QItemSelection()
        ordered = np.unique(np.array(rows, np.int64))
        for part in np.split(ordered, np.flatnonzero(np.diff(ordered) > 1) + 1):
            if len(part):
                selection.select(model.index(int(part[0]), 0), model.index(int(part[-1]), 0))
        flags = QItemSelectionModel.SelectionFlag
        if current is None and len(ordered):
            current = int(ordered[0])
        if current is not None:
            self.selectionModel().setCurrentIndex(model.index(current, 0), flags.NoUpdate)
        self.selectionModel().select(selection, flags.ClearAndSelect)
        if current is not None:
            self.scrollTo(model.index(current, 0))

    # Keys

    def event(self, event: QEvent | None) -> bool:
        if event is not None and event.type() == QEvent.Type.ShortcutOverride and self._action(event) is not None:
            # What is accepted here comes as a key press, and no shortcut of the window hears of it.
            event.accept()
            return True
        return bool(super().event(event))

    def keyPressEvent(self, event: Any) -> None:
        action = self._action(event)
        if action is None:
            super().keyPressEvent(event)
        elif not event.isAutoRepeat() or self._repeats(event):
            action()

    def _action(self, event: Any) -> Callable[[], object] | None:
        keys = event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        method = self._keys.get(QKeySequence(int(keys.value) | int(event.key())).toString())
        if method is not None:
            return method()
        if keys == Qt.KeyboardModifier.ShiftModifier and (digit := _digit(event)) is not None:
            return partial(self.class_key.emit, digit)
        return None

    def _repeats(self, event: Any) -> bool:
        """Whether a key may be held: to judge hundreds by leaning on one is no judgement."""
        return bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier) or event.key() in (
            Qt.Key.Key_Plus,
            Qt.Key.Key_Minus,
        )

    def keyboardSearch(self, search: str | None) -> None:
        """Letters are keys here, not the beginning of a name."""

    # Crops

    def paintEvent(self, event: Any) -> None:
        super().paintEvent(event)
        if not self._ask_soon.isActive():
            self._ask_soon.start()

    def _ask(self) -> None:
        model = self.model()
        side = pixels_of(model.side, self)
        spots = [model.spot(row, side) for row in self.visible_rows()]
        missing = [spot for spot in spots if self._crops.get(spot) is None]
        if missing:
            self._crops.ask(missing)
            self._poll.start()

    def _collect(self) -> None:
        idle, made = self._crops.idle, self._crops.made
        if made != self._made:
            self._made = made
            self.viewport().update()
        if idle:
            self._poll.stop()


_FIRST_DIGIT = {"linux": 10, "win32": 2}
"""Number of the key of the digit 1, as the system counts keys."""

_MAC_DIGITS = (0x12, 0x13, 0x14, 0x15, 0x17, 0x16, 0x1A, 0x1C, 0x19)


def _digit(event: Any) -> int | None:
    """Return the digit of the key that was pressed: with Shift its sign is another one on each keyboard."""
    if Qt.Key.Key_1 <= event.key() <= Qt.Key.Key_9:
        return int(event.key()) - int(Qt.Key.Key_1) + 1
    if sys.platform == "darwin":
        code = int(event.nativeVirtualKey())
        return _MAC_DIGITS.index(code) + 1 if code in _MAC_DIGITS else None
    digit = int(event.nativeScanCode()) - _FIRST_DIGIT.get(sys.platform, 10) + 1
    return digit if 1 <= digit <= 9 else None
