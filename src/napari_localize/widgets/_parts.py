"""Small pieces that every dock is built from."""

from __future__ import annotations

from collections.abc import Iterable
from time import perf_counter
from typing import Any

from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLayout,
    QProgressBar,
    QPushButton,
    QShortcut,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

CANCEL_KEY = "Ctrl+Shift+X"
SPACING = 6


class Section(QWidget):
    """A heading that shows and hides what is under it."""

    toggled = Signal(bool)

    def __init__(self, title: str, tooltip: str) -> None:
        super().__init__()
        self._head = QToolButton()
        self._head.setText(title)
        self._head.setToolTip(tooltip)
        self._head.setCheckable(True)
        self._head.setAutoRaise(True)
        self._head.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._head.setArrowType(Qt.ArrowType.RightArrow)
        self._head.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._body = QWidget()
        self.rows = QVBoxLayout(self._body)
        self.rows.setContentsMargins(12, 0, 0, 0)
        self.rows.setSpacing(SPACING)
        self._body.hide()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self._head)
        column.addWidget(self._body)
        self._head.toggled.connect(self._toggle)

    def set_title(self, title: str) -> None:
        """Change the heading."""
        self._head.setText(title)

    def set_open(self, is_open: bool) -> None:
        """Show or hide what is under the heading."""
        self._head.setChecked(is_open)

    def _toggle(self, is_open: bool) -> None:
        self._head.setArrowType(Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow)
        self._body.setVisible(is_open)
        self.toggled.emit(is_open)


class ProgressRow(QWidget):
    """How far a job is, how long it will still take, and what it is doing."""

    def __init__(self) -> None:
        super().__init__()
        self.bar = QProgressBar()
        self.bar.setTextVisible(True)
        self.bar.setToolTip("How much is done, and about how long the rest will take.")
        self._started = 0.0
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.bar)
        self.hide()

    def begin(self) -> None:
        """Show that something has started of which nothing is known yet."""
        self._started = 0.0
        self.bar.setRange(0, 0)
        self.show()

    def update_to(self, done: float, total: float) -> None:
        """Show that `done` of `total` has been done."""
        if total <= 0:
            return
        now = perf_counter()
        part = min(max(done / total, 0.0), 1.0)
        self._started = self._started or now
        self.bar.setRange(0, 1000)
        self.bar.setValue(round(1000 * part))
        elapsed = now - self._started
        left = f", {duration(elapsed * (1 - part) / part)} left" if part > 0.02 and elapsed > 0.5 else ""
        self.bar.setFormat(f"{100 * part:.0f} %{left}")

    def stopping(self) -> None:
        """Show that Cancel was heard."""
        self.bar.setRange(0, 0)


def duration(seconds: float) -> str:
    """Put a time into words.

    >>> duration(12.2), duration(200)
    ('12 s', '3 min')
    """
    return f"{max(round(seconds), 1)} s" if seconds < 100 else f"{round(seconds / 60)} min"


def hint() -> QLabel:
    """Return a label for one line of quiet text that wraps."""
    label = QLabel()
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.RichText)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    label.hide()
    return label


def say(label: QLabel, text: str) -> None:
    """Show a text in a label, which takes no room while it is empty."""
    label.setText(text)
    label.setVisible(bool(text))


def row(*parts: QWidget | QLayout | None, stretch: int | None = None) -> QHBoxLayout:
    """Lay widgets side by side; None is empty room. The one at `stretch` grows, by default all in equal parts."""
    layout = QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(SPACING)
    for index, part in enumerate(parts):
        if part is None:
            layout.addStretch(1)
        elif isinstance(part, QWidget):
            layout.addWidget(part, int(stretch is None or index == stretch))
        else:
            layout.addLayout(part, int(stretch is None or index == stretch))
    return layout


def titled(title: str, tooltip: str = "", width: int = 58) -> QLabel:
    """Return the name of a row; those of a dock have the same width, in pixels, so that the rows line up."""
    label = QLabel(title)
    label.setToolTip(tooltip)
    label.setFixedWidth(width)
    return label


def combo(tooltip: str, items: Iterable[str] = ()) -> QComboBox:
    """Return a combo box that takes the room there is, however long its texts are."""
    widget = QComboBox()
    widget.addItems(list(items))
    widget.setToolTip(tooltip)
    widget.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    widget.setMinimumWidth(60)
    return widget


def line() -> QFrame:
    """Return a thin horizontal line."""
    frame = QFrame()
    frame.setFrameShape(QFrame.Shape.HLine)
    frame.setFixedHeight(1)
    frame.setStyleSheet("background-color: rgba(128, 128, 128, 80);")
    return frame


def button(text: str, tooltip: str, slot: Any, key: str = "", owner: QWidget | None = None) -> QPushButton:
    """Return a push button; with a key, the key is shown on it and works in the whole window."""
    widget = QPushButton(f"{text}   {shown_key(key)}" if key else text)
    widget.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    widget.setMinimumWidth(60)
    widget.setToolTip(f"{tooltip} Key: {shown_key(key)}." if key else tooltip)
    # A signal, or a bound method as it is: wrapped into a lambda it would keep its dock alive for ever.
    widget.clicked.connect(slot)
    if key and owner is not None:
        shortcut = QShortcut(QKeySequence(key), owner)
        shortcut.activated.connect(widget.click)
        # Two docks of the same kind may be open: then Qt tells each of them in turn.
        shortcut.activatedAmbiguously.connect(widget.click)
    return widget


class CancelButton(QPushButton):
    """A button that stops a job; it is enabled while there is one.

    So long its key belongs to the window, as Qt takes no keys for a dock that is behind another; the rest of the
    time it belongs to nobody, so that the docks do not contend for it.
    """

    def __init__(self, tooltip: str, slot: Any) -> None:
        super().__init__(f"Cancel   {shown_key(CANCEL_KEY)}")
        self._shortcut: QShortcut | None = None
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setMinimumWidth(60)
        self.setToolTip(f"{tooltip} Key: {shown_key(CANCEL_KEY)}.")
        self.clicked.connect(slot)
        self.setEnabled(False)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.EnabledChange:
            self._bind()

    def _bind(self) -> None:
        if self._shortcut is not None:
            self._shortcut.setEnabled(False)
            self._shortcut.deleteLater()
            self._shortcut = None
        if self.isEnabled():
            # A dock that floats has the main window as its parent, too.
            top: QWidget = self
            while (parent := top.parentWidget()) is not None:
                top = parent
            self._shortcut = QShortcut(QKeySequence(CANCEL_KEY), top)
            for pressed in (self._shortcut.activated, self._shortcut.activatedAmbiguously):
                pressed.connect(self.click)


def shown_key(key: str) -> str:
    """Write a key as napari does, with an arrow for Shift.

    >>> shown_key("Ctrl+Shift+L")
    'Ctrl+⇧+L'
    """
    return str(QKeySequence(key).toString(QKeySequence.SequenceFormat.NativeText)).replace("Shift", "⇧")


def number(n: int, one: str, many: str = "") -> str:
    """Write how many of something there are.

    >>> number(1, "box", "boxes"), number(2000, "image")
    ('1 box', '2,000 images')
    """
    return f"{n:,} {one if n == 1 else many or one + 's'}"
