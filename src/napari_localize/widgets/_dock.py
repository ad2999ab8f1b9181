"""What every dock is: a scrollable body that follows the viewer, joins the others, and keeps what it has to say in view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from napari.utils.notifications import show_error, show_warning
from qtpy.QtCore import QEvent, QObject, Qt, QTimer, Signal
from qtpy.QtWidgets import QDockWidget, QFrame, QLabel, QMainWindow, QScrollArea, QVBoxLayout, QWidget

from napari_localize.plugin.recovery import tell_of_boxes_left_behind
from napari_localize.widgets._parts import SPACING

if TYPE_CHECKING:
    from qtpy.QtGui import QMouseEvent, QResizeEvent

_OURS = "napari-localize"
"""Property of the window's docks that hold one of this plugin's."""
_WARNING, _TOLD_MS = "#E69F00", 20_000
Found = TypeVar("Found", bound=QObject)


class Dock(QScrollArea):
    """A dock's scrollable body that knows when napari has put it away.

    napari closes a dock by taking its content out of it, and does not tell; a subclass implements
    `connect_viewer` and `disconnect_viewer`, which are called when it comes and goes.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        # Plugins may get the viewer inside a proxy, through which no layer is ever identical to itself.
        self._viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self._connected = False
        self.told = _Told(self)
        self.told.gone.connect(self._make_room)
        # The window lays a new dock out before it can be moved.
        self._joining = QTimer(self)
        self._joining.setSingleShot(True)
        self._joining.timeout.connect(self._join_others)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        body = QWidget()
        self.column = QVBoxLayout(body)
        self.column.setContentsMargins(SPACING, SPACING, SPACING, SPACING)
        self.column.setSpacing(SPACING)
        self.setWidget(body)
        self.setMinimumWidth(260)

    def tell(self, text: str) -> None:
        """Show a sentence above everything else in the dock, for some time."""
        self.told.tell(text)
        self._make_room()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._make_room()

    def _make_room(self) -> None:
        height = 0 if self.told.isHidden() else self.told.heightForWidth(self.width())
        if self.viewportMargins().top() != height:
            self.setViewportMargins(0, height, 0, 0)
        self.told.setGeometry(0, 0, self.width(), height)

    def connect_viewer(self) -> None:
        """Begin to follow the viewer."""

    def disconnect_viewer(self) -> None:
        """Let go of the viewer and stop whatever is running."""

    def open(self) -> None:
        """Follow the viewer, if that has not begun."""
        if not self._connected:
            self._connected = True
            self.connect_viewer()
            tell_of_boxes_left_behind()

    def close_down(self) -> None:
        """Let go of the viewer, if that has not been done."""
        if self._connected:
            self._connected = False
            self.disconnect_viewer()

    def event(self, event: QEvent) -> bool:
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is None:
                self.close_down()
            else:
                self.open()
        elif event.type() == QEvent.Type.Show:
            self._joining.start()
        return bool(super().event(event))

    def _join_others(self) -> None:
        """Become a tab beside other docks of ours; below each other they are strips too low to work in."""
        dock = _first_above(self, QDockWidget)
        if dock is None or dock.property(_OURS):
            return
        dock.setProperty(_OURS, True)
        window = dock.parent()
        if not isinstance(window, QMainWindow) or dock.isFloating():
            return
        area = window.dockWidgetArea(dock)
        for other in window.findChildren(QDockWidget):
            beside = other is not dock and other.property(_OURS) and not (other.isFloating() or other.isHidden())
            if beside and window.dockWidgetArea(other) == area:
                window.tabifyDockWidget(other, dock)
                dock.raise_()
                return


def _first_above(part: QObject | None, kind: type[Found]) -> Found | None:
    """Return the first object of a kind among something and its parents."""
    while part is not None and not isinstance(part, kind):
        part = part.parent()
    return part


class _Told(QLabel):
    """A sentence that stays until it is clicked or its time is over; napari's own is cut off and soon gone."""

    gone = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setToolTip("Click to put this away.")
        self.setMargin(SPACING)
        self.setStyleSheet(f"background: {_WARNING}; color: black;")
        self._time = QTimer(self)
        self._time.setSingleShot(True)
        self._time.setInterval(_TOLD_MS)
        self._time.timeout.connect(self.put_away)
        self.hide()

    def tell(self, text: str) -> None:
        """Show a sentence."""
        self.setText(text)
        self.ensurePolished()
        self.show()
        self._time.start()

    def put_away(self) -> None:
        """Take it away."""
        self._time.stop()
        self.hide()
        self.gone.emit()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.put_away()


def warn(text: str, where: QObject) -> None:
    """Tell the user what to do otherwise, also in the dock that something is a part of."""
    show_warning(text)
    _tell_in_dock(text, where)


def fail(text: str, where: QObject) -> None:
    """Tell the user that something went wrong, also in the dock that something is a part of."""
    show_error(text)
    _tell_in_dock(text, where)


def _tell_in_dock(text: str, where: QObject) -> None:
    dock = _first_above(where, Dock)
    if dock is not None:
        dock.tell(text)
