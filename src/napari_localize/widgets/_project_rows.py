"""How an image or a plane of a project looks in the list, and the list itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import QModelIndex, QRect, QSize, Qt, Signal
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import QAbstractItemView, QListView, QStyle, QStyledItemDelegate, QStyleOptionViewItem

from napari_localize.project import ProjectImage
from napari_localize.widgets._project_model import MARKS, Entry, ProjectModel, class_counts, image_of
from napari_localize.widgets._project_thumbnails import SIDE, Thumbnails

_PAD, _ARROW = 5, 14
_STATUS = {"untouched": "#9A9A9A", "predicted": "#56B4E9", "in work": "#E69F00", "finished": "#44BB99"}
_PROBLEM = "#D55E00"


class EntryDelegate(QStyledItemDelegate):
    """Draws a picture, the name, the status and the counts of an entry."""

    def __init__(self, model: ProjectModel, thumbnails: Thumbnails, parent: Any) -> None:
        super().__init__(parent)
        self._model, self._thumbnails = model, thumbnails
        self.colors: dict[str, str] = {}
        """Colour of each class."""
        self.current: tuple[int, tuple[int, ...] | None] | None = None
        """Number of the image, and plane, that is in view."""

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        return QSize(100, SIDE + 2 * _PAD)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        entry = self._model.entry(index.row())
        painter.save()
        area = option.rect
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        if chosen:
            painter.fillRect(area, option.palette.highlight())
        if self._is_current(entry):
            painter.fillRect(QRect(area.left(), area.top(), 3, area.height()), QColor(_STATUS["finished"]))
        left = area.left() + _PAD + (2 * _ARROW if not isinstance(entry, ProjectImage) else _ARROW)
        if isinstance(entry, ProjectImage) and entry.plane_count > 1:
            self._text(painter, option, arrow_of(area), "▾" if self._model.is_unfolded(entry) else "▸", chosen)
        box = QRect(left, area.top() + _PAD, SIDE, SIDE)
        self._picture(painter, box, entry)
        text = QRect(box.right() + 2 * _PAD, area.top() + _PAD, 0, SIDE // 2)
        text.setRight(area.right() - _PAD)
        name = entry.name if isinstance(entry, ProjectImage) else entry.name.removeprefix(entry.image.name)
        self._text(painter, option, text, name, chosen, Qt.TextElideMode.ElideMiddle)
        self._second_line(painter, option, text.translated(0, SIDE // 2), entry, chosen)
        painter.restore()

    def _is_current(self, entry: Entry) -> bool:
        if self.current is None or image_of(entry).id != self.current[0]:
            return False
        return isinstance(entry, ProjectImage) or entry.index == self.current[1]

    def _picture(self, painter: QPainter, box: QRect, entry: Entry) -> None:
        picture = self._thumbnails.get(entry)
        if picture is None:
            painter.fillRect(box, QColor(128, 128, 128, 50))
            return
        place = QRect(0, 0, picture.width(), picture.height())
        place.moveCenter(box.center())
        painter.drawPixmap(place, picture)

    def _second_line(
        self, painter: QPainter, option: QStyleOptionViewItem, place: QRect, entry: Entry, chosen: bool
    ) -> None:
        if image_of(entry).id in self._thumbnails.problems:
            wrong = "missing" if "missing" in self._thumbnails.problems[image_of(entry).id] else "changed"
            place = self._word(painter, place, f"▲ file {wrong}", _PROBLEM)
        place = self._word(painter, place, f"{MARKS[entry.status]} {_short_status(entry)}", _STATUS[entry.status])
        for name, approved, guesses in class_counts(entry.counts):
            numbers = " +".join([f"{approved:,}"] * bool(approved) + [f"{guesses:,}?"] * bool(guesses))
            place = self._word(painter, place, "■", self.colors.get(name, "#FFFFFF"), gap=3)
            place = self._word(painter, place, f"{name} {numbers}", None, option, chosen)

    def _word(
        self,
        painter: QPainter,
        place: QRect,
        text: str,
        color: str | None,
        option: QStyleOptionViewItem | None = None,
        chosen: bool = False,
        gap: int = 9,
    ) -> QRect:
        """Write a word and return the room that is left."""
        if place.width() < 12:
            return place
        if color is not None:
            painter.setPen(QColor(color))
        elif option is not None:
            palette = option.palette
            painter.setPen((palette.highlightedText() if chosen else palette.text()).color())
        metrics = painter.fontMetrics()
        shown = metrics.elidedText(text, Qt.TextElideMode.ElideRight, place.width())
        painter.drawText(place, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, shown)
        return place.adjusted(metrics.horizontalAdvance(shown) + gap, 0, 0, 0)

    def _text(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        place: QRect,
        text: str,
        chosen: bool,
        elide: Qt.TextElideMode = Qt.TextElideMode.ElideNone,
    ) -> None:
        palette = option.palette
        painter.setPen((palette.highlightedText() if chosen else palette.text()).color())
        shown = painter.fontMetrics().elidedText(text, elide, place.width())
        painter.drawText(place, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, shown)


class EntryList(QListView):
    """The list: Enter or a double click opens, an arrow unfolds, Delete removes, files can be dropped on it."""

    opened = Signal(object)
    unfolded = Signal(object, bool)
    dropped = Signal(list)
    remove = Signal()

    def __init__(self, model: ProjectModel, thumbnails: Thumbnails) -> None:
        super().__init__()
        self._entries = model
        self.setModel(model)
        self.delegate = EntryDelegate(model, thumbnails, self)
        self.setItemDelegate(self.delegate)
        self.setUniformItemSizes(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumHeight(4 * SIDE)
        self.setAcceptDrops(True)
        self.setToolTip(
            "Double click or Enter opens an image; ▸ or the right arrow key shows its planes; Delete removes it from the "
            "project. Drop images, folders, annotation files or a project here."
        )
        self.doubleClicked.connect(self._open)

    @property
    def chosen(self) -> list[Entry]:
        """The selected entries, from the top down."""
        return [self._entries.entry(row) for row in sorted(index.row() for index in self.selectedIndexes())]

    def choose(self, entry: Entry) -> None:
        """Select an entry and bring it into view."""
        row = self._entries.row_of(entry)
        if row is not None:
            self.setCurrentIndex(self._entries.index(row))

    def _open(self, index: QModelIndex) -> None:
        self.opened.emit(self._entries.entry(index.row()))

    def keyPressEvent(self, event: Any) -> None:
        index, key = self.currentIndex(), event.key()
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and index.isValid():
            self._open(index)
        elif key == Qt.Key.Key_Delete:
            self.remove.emit()
        elif key in (Qt.Key.Key_Right, Qt.Key.Key_Left) and index.isValid():
            self.unfolded.emit(self._entries.entry(index.row()), key == Qt.Key.Key_Right)
        else:
            super().keyPressEvent(event)

    def mousePressEvent(self, event: Any) -> None:
        at = event.position().toPoint() if hasattr(event, "position") else event.pos()
        index = self.indexAt(at)
        if index.isValid() and arrow_of(self.visualRect(index)).contains(at):
            entry = self._entries.entry(index.row())
            if isinstance(entry, ProjectImage) and entry.plane_count > 1:
                self.unfolded.emit(entry, not self._entries.is_unfolded(entry))
                return
        super().mousePressEvent(event)

    def dragEnterEvent(self, event: Any) -> None:
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dragMoveEvent(self, event: Any) -> None:
        self.dragEnterEvent(event)

    def dropEvent(self, event: Any) -> None:
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            event.acceptProposedAction()
            self.dropped.emit(paths)


def arrow_of(area: QRect) -> QRect:
    """Return where the arrow of a row is."""
    return QRect(area.left() + _PAD, area.top(), _ARROW, area.height())


def _short_status(entry: Entry) -> str:
    if isinstance(entry, ProjectImage) and entry.plane_count > 1:
        return f"{entry.status} {entry.finished}/{entry.plane_count}"
    return entry.status
