"""Buttons for the selected boxes, and which boxes are shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from app_model.types import KeyCode, KeyMod
from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPainter, QPen, QPixmap
from qtpy.QtWidgets import (
    QCheckBox,
    QGridLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_localize.core.boxes import Box
from napari_localize.core.colors import STATE_FACES, STATE_WIDTHS
from napari_localize.widgets._parts import SPACING, row

if TYPE_CHECKING:
    from qtpy.QtGui import QAction

    from napari_localize.plugin.boxes import BoxLayer

_ICON = 14  # pixels
_DRAW = ("Draw   R", "Draw boxes of the class selected above by dragging. Key: R.")
_NEXT = (
    "Next guess   N",
    "Go to the guess with the next lowest score on this plane; after that Q and W go on by themselves. Key: N.",
)
_PASS = ("Pass over   N", "Go to the next box of the queue; this one comes again at the end. Key: N.")
_ADD = ("Add   P", "Add points of the class selected above by clicking. Key: P.")
_WORDS = {"proposed": "guess", "accepted": "accepted", "edited": "corrected", "added": "drawn", "rejected": "rejected"}


class JudgeBar(QWidget):
    """What is selected, and what can be done with it."""

    class_picked = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._text = QLabel()
        self._text.setWordWrap(True)
        self._text.setTextFormat(Qt.TextFormat.RichText)
        self._text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self._text.setMinimumHeight(2 * self._text.fontMetrics().height() + 4)
        self.accept = _push("Accept   Q", "The selected boxes are right. Key: Q.")
        self.reject = _push(
            "Reject   W", "The selected boxes are wrong: they vanish, and models learn from that. Key: W."
        )
        self.draw = _push(*_DRAW)
        self.draw.setCheckable(True)
        self.delete = _push("Delete   Del", "Take the selected boxes away. Key: Delete.")
        self.next = _push(*_NEXT)
        self.back = _push("Back   ⇧N", "Go back to the guess before. Key: Shift+N.")
        self._menu = QMenu(self)
        self._menu.triggered.connect(self._picked)
        self.classes = _push("Class ", "Give the selected boxes another class. Keys: Shift+1 to Shift+9.")
        self.classes.setMenu(self._menu)
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(SPACING)
        pairs = ((self.accept, self.reject), (self.draw, self.delete), (self.next, self.back))
        for number, widget in enumerate(part for pair in pairs for part in pair):
            grid.addWidget(widget, number // 2, number % 2)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING)
        column.addLayout(row(self._text, self.classes, stretch=0))
        column.addLayout(grid)

    def show_boxes(
        self, chosen: Sequence[Box], colors: Mapping[str, str], guesses: int, drawing: bool, points: bool = False
    ) -> None:
        """Describe the selected boxes, or points, and allow what makes sense."""
        self._text.setText(describe(chosen, colors, points))
        text, tip = _ADD if points else _DRAW
        if self.draw.text() != text:
            self.draw.setText(text)
            self.draw.setToolTip(tip)
        for widget in (self.accept, self.reject, self.delete, self.classes):
            widget.setEnabled(bool(chosen))
        self.next.setEnabled(guesses > 0)
        self.back.setEnabled(guesses > 0)
        self.draw.setChecked(drawing)
        if [action.data() for action in self._menu.actions()] != list(colors):
            self._menu.clear()
            for number, name in enumerate(colors):
                action = self._menu.addAction(name if number > 8 else f"{name}\t⇧{number + 1}")
                if action is not None:
                    action.setData(name)

    def show_walk(self, queue: bool) -> None:
        """Say what N does: in the queue it passes a box over, on whatever plane the next one is."""
        text, tip = _PASS if queue else _NEXT
        self.next.setText(text)
        self.next.setToolTip(tip)
        if queue:
            self.next.setEnabled(True)
            self.back.setEnabled(True)

    def _picked(self, action: QAction) -> None:
        self.class_picked.emit(action.data())


def describe(chosen: Sequence[Box], colors: Mapping[str, str], points: bool = False) -> str:
    """Say in a line or two which boxes, or points, are selected."""
    if not chosen:
        return f"<i>Nothing is selected: click a {'point' if points else 'box'}, drag around several, or press N.</i>"
    if len(chosen) > 1:
        counts = Counter(box.label for box in chosen).most_common(4)
        return f"<b>{len(chosen)} {'points' if points else 'boxes'}</b><br>" + ", ".join(
            f"{number} {_dot(colors, label)} {escape(label)}" for label, number in counts
        )
    box = chosen[0]
    x0, y0, x1, y1 = box.xyxy
    score = "" if box.score is None else f" {box.score:.2f}"
    place, size = f"at {(x0 + x1) / 2:.1f}, {(y0 + y1) / 2:.1f}", f"{x1 - x0:.0f} x {y1 - y0:.0f} px"
    by = "" if box.origin in ("", "human") else f" by {escape(box.origin)}"
    return (
        f"{_dot(colors, box.label)} <b>{escape(box.label)}</b>{score}<br>"
        f"{_WORDS[box.state]}{by}, {place if points else size}"
    )


def _dot(colors: Mapping[str, str], label: str) -> str:
    return f"<span style='color: {colors.get(label, '#888888')}'>■</span>"


class StateBar(QWidget):
    """Which boxes are shown, by what a person has done to them, and how many there are."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.guesses = _check("guesses", "boxes of a model that nobody has judged yet.", "H")
        self.accepted = _check("accepted", "boxes of a model that a person has accepted.", "Shift+H")
        self.corrected = _check("corrected", "boxes that a person has changed or drawn.", "G")
        self.rejected = _check(
            "rejected", "boxes that a person has rejected; select one and accept it to bring it back.", "Shift+G"
        )
        self._boxes: tuple[tuple[QCheckBox, tuple[str, ...]], ...] = (
            (self.guesses, ("proposed",)),
            (self.accepted, ("accepted",)),
            (self.corrected, ("edited", "added")),
            (self.rejected, ("rejected",)),
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        self._texts = [box.text() for box, _ in self._boxes]
        for box, states in self._boxes:
            box.setIcon(state_icon(states[0]))
            box.toggled.connect(self.changed)
            box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            column.addWidget(box)

    @property
    def shown(self) -> frozenset[str]:
        """The states that are shown."""
        return frozenset(state for box, states in self._boxes if box.isChecked() for state in states)

    def set_shown(self, states: Iterable[str]) -> None:
        """Show how it stands without telling anyone."""
        states = set(states)
        for box, own in self._boxes:
            with QSignalBlocker(box):
                box.setChecked(bool(states.intersection(own)))

    def show_counts(self, counts: Mapping[str, int]) -> None:
        """Say how many boxes there are in each state."""
        for text, (box, states) in zip(self._texts, self._boxes, strict=True):
            box.setText(f"{sum(counts.get(state, 0) for state in states):,} {text}")

    def toggle_guesses(self) -> None:
        """Show or hide guesses."""
        self.guesses.toggle()

    def toggle_accepted(self) -> None:
        """Show or hide accepted boxes."""
        self.accepted.toggle()

    def toggle_corrected(self) -> None:
        """Show or hide changed and drawn boxes."""
        self.corrected.toggle()

    def toggle_rejected(self) -> None:
        """Show or hide rejected boxes."""
        self.rejected.toggle()

    def keys(self) -> dict[int, Callable[[], None]]:
        """Return what the keys do."""
        return {
            KeyCode.KeyH: self.toggle_guesses,
            KeyMod.Shift | KeyCode.KeyH: self.toggle_accepted,
            KeyCode.KeyG: self.toggle_corrected,
            KeyMod.Shift | KeyCode.KeyG: self.toggle_rejected,
        }


def state_icon(state: str) -> QIcon:
    """Return a box as it looks in a state: its fill, and the width of its edge."""
    pixmap = QPixmap(_ICON, _ICON)
    pixmap.fill(QColor("#404040"))
    painter = QPainter(pixmap)
    red, green, blue, alpha = STATE_FACES[state]
    # Stronger than on an image, where there is more of it to be seen.
    painter.setBrush(QColor.fromRgbF(red, green, blue, min(1.0, 2.5 * alpha)))
    width = 1.5 * STATE_WIDTHS[state]
    painter.setPen(QPen(QColor("#E69F00"), width))
    inset = round(width / 2) + 1
    painter.drawRect(inset, inset, _ICON - 2 * inset - 1, _ICON - 2 * inset - 1)
    painter.end()
    return QIcon(pixmap)


def _check(text: str, tooltip: str, key: str) -> QCheckBox:
    box = QCheckBox(f"{text}   {key.replace('Shift+', '⇧')}")
    box.setToolTip(f"Show {tooltip} Key: {key}.")
    return box


def _push(text: str, tooltip: str) -> QPushButton:
    widget = QPushButton(text)
    widget.setToolTip(tooltip)
    return widget


def no_guesses(boxes: BoxLayer) -> str:
    """Say that no guesses are left on the plane in view, and where there are others."""
    others = boxes.number_of_guesses()
    return "No guesses are left on this plane" + (f", {others} on others: press K." if others else ".")
