"""The review queue: from box to box across planes, the most useful next, and when it is enough."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from math import prod
from time import monotonic
from typing import Any, cast

import numpy as np
from app_model.types import KeyCode, KeyMod
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QLabel, QVBoxLayout, QWidget

from napari_localize.core.steps import Step
from napari_localize.evaluation.budget import NARROW, advise, pace
from napari_localize.evaluation.queue import Entry, Order, ReviewQueue
from napari_localize.plugin.boxes import BoxLayer
from napari_localize.plugin.queueing import (
    Looks,
    Request,
    Stock,
    newest_guess,
    plane_order,
    standing,
    stock,
)
from napari_localize.plugin.window import show_plane
from napari_localize.widgets._jobs import JobRunner
from napari_localize.widgets._memory import remember, remembered, remembered_number
from napari_localize.widgets._parts import SPACING, CancelButton, ProgressRow, button, combo, hint, row, say
from napari_localize.widgets._planes import number_of
from napari_localize.widgets._queue_engine import QueueEngine
from napari_localize.widgets._view import plane_counts, plane_in_view, show_box

ORDERS: dict[str, Order] = {
    "most useful": "useful",
    "least certain": "uncertain",
    "different": "different",
    "suspicious": "suspicious",
    "by lot": "lot",
}
_WHY = {
    "uncertain": "uncertain",
    "different": "unlike the others",
    "suspicious": "suspicious",
    "lot": "by lot",
}
_TIP = (
    "What comes next. Most useful: where the model is least certain, where objects look unlike those seen before, what is "
    "suspicious, and every fifth by lot. Suspicious: what you have judged and the model sees otherwise. By lot: the "
    "quickest way to know how many of all are right."
)


class QueueBar(QueueEngine, QWidget):
    """Goes through the boxes of all planes in an order that is worth the time, and says when it is enough."""

    unhidden = Signal()
    """Boxes in other states are shown than before."""

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._boxes: BoxLayer | None = None
        self._forget()
        self._jobs = JobRunner(self)
        self._jobs.news.connect(self._on_news)
        self._jobs.finished.connect(self._on_answer)
        self._jobs.failed.connect(self._on_failed)
        self._jobs.cancelled.connect(self._on_cancelled)
        self._jobs.busy_changed.connect(self._on_busy)
        self.go = button(
            "Queue   ⇧O",
            "Go through the boxes of all planes in the order beside. While this is pressed: N passes a box over, ⇧N goes "
            "back, Q, W and ⇧1 to ⇧9 judge and go on. Key: Shift+O.",
            self._pressed,
        )
        self.go.setCheckable(True)
        self.order = combo(_TIP, ORDERS)
        self.order.setCurrentText(remembered("queue order", "most useful"))
        self.order.currentTextChanged.connect(self._order_changed)
        self.plane = button(
            "Best plane   ⇧K",
            "For those who finish planes: go to the one that is most worth finishing; every fifth is drawn by lot. "
            "Key: Shift+K.",
            self.next_plane,
        )
        self.go_on = QCheckBox("go on after each   ⇧I")
        self.go_on.setToolTip("Show the next box of the queue as soon as one is judged. Key: Shift+I.")
        self.go_on.setChecked(remembered("queue goes on", "yes") == "yes")
        self.go_on.toggled.connect(self._remember_go_on)
        self.narrow = QDoubleSpinBox()
        self.narrow.setRange(1.0, 50.0)
        self.narrow.setDecimals(0)
        self.narrow.setPrefix("± ")
        self.narrow.setSuffix(" %")
        self.narrow.setValue(remembered_number("queue narrow", 100 * NARROW))
        self.narrow.setToolTip("How well the count must be known: with a narrower interval you are told to stop.")
        self.narrow.valueChanged.connect(self._narrow_changed)
        self.text: QLabel = hint()
        self.text.setToolTip(
            "Why this box is shown, and how likely it is right: where the model's card tells what scores mean, "
            "this is not the score."
        )
        self.advice: QLabel = hint()
        self.news: QLabel = hint()
        self.progress = ProgressRow()
        self.cancel = CancelButton("Go on without knowing how the boxes look.", self._jobs.cancel)
        self.cancel.hide()
        self._options = QWidget()
        options = QVBoxLayout(self._options)
        options.setContentsMargins(0, 0, 0, 0)
        options.setSpacing(SPACING)
        options.addLayout(row(self.go_on))
        options.addLayout(row(QLabel("Enough when known to"), self.narrow, stretch=1))
        for part in (self.text, self.advice, self.news, self.progress, self.cancel):
            options.addWidget(part)
        self._options.hide()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING)
        column.addLayout(row(self.go, self.order))
        column.addLayout(row(self.plane))
        column.addWidget(self._options)

    def _forget(self) -> None:
        """Begin anew: nothing has been shown yet."""
        self._stock: Stock | None = None
        self._queue: ReviewQueue | None = None
        self._looks: Looks | None = None
        self._doubts: dict[int, float] | None = None
        self._history: list[tuple[int, str]] = []
        self._at = -1
        self._skipped: dict[int, None] = {}
        self._suspicious: set[int] = set()
        self._done: set[int] = set()
        self._times: list[float] = []
        self._newest = 0
        self._walk: list[Entry] = []
        self._asked: Request | None = None
        self._wanted: list[str] = []

    # What the dock asks

    @property
    def on(self) -> bool:
        """Whether the queue is gone through."""
        return bool(self.go.isChecked())

    @property
    def busy(self) -> bool:
        """Whether the engine is asked something for the queue."""
        return self._jobs.busy

    @property
    def current(self) -> int | None:
        """Id of the box that is shown, None when the queue is off or at its end."""
        return self._history[self._at][0] if self.on and 0 <= self._at < len(self._history) else None

    def keys(self) -> dict[int, Callable[[], None]]:
        """Return what the keys do."""
        return {
            KeyMod.Shift | KeyCode.KeyO: self.toggle,
            KeyMod.Shift | KeyCode.KeyK: self.next_plane,
            KeyMod.Shift | KeyCode.KeyI: self.toggle_going_on,
        }

    def set_boxes(self, boxes: BoxLayer | None) -> None:
        """Work with another layer of boxes."""
        self.stop()
        self._boxes = boxes

    def toggle(self) -> None:
        """Begin, or stop, going through the queue."""
        self.go.click()

    def toggle_going_on(self) -> None:
        """Go on after each judgement, or no longer."""
        self.go_on.toggle()

    def stop(self) -> None:
        """Leave the queue."""
        self._jobs.abandon()
        self._forget()
        self.go.setChecked(False)
        self._options.hide()
        for label in (self.text, self.advice, self.news):
            say(label, "")

    def refresh(self) -> None:
        """Follow what has happened to the boxes."""
        boxes = self._boxes
        if boxes is None or not boxes.alive:
            return
        self.plane.setVisible(prod(plane_counts(self._viewer, boxes)) > 1)
        if self.on and self._stock is not None:
            if newest_guess(boxes) > self._newest:
                # A model has run again.
                self._build()
                self._ask("looks")
            self._tell()

    # Going through

    def next(self) -> None:
        """Show the next box; the one shown is passed over, if it was not judged."""
        boxes = self._boxes
        if boxes is not None and self._queue is not None and boxes.filter != self._filter:
            self._build()
        queue = self._queue
        if boxes is None or queue is None:
            return
        key = self.current
        if key is not None and not self._is_judged(boxes, key):
            self._skipped[key] = None
        while self._at + 1 < len(self._history):
            self._at += 1
            if not self._is_judged(boxes, self._history[self._at][0]):
                self._show(boxes)
                return
        for entry in queue:
            key = self._id_of(entry)
            if entry.reason == "suspicious":
                self._suspicious.add(key)
            if not self._is_judged(boxes, key):
                self._history.append((key, entry.reason))
                self._at = len(self._history) - 1
                self._show(boxes)
                return
        for key in list(self._skipped):
            # Those come last that were passed over, again and again.
            del self._skipped[key]
            if not self._is_judged(boxes, key):
                reason = next(why for one, why in self._history if one == key)
                self._history.append((key, reason))
                self._at = len(self._history) - 1
                self._show(boxes)
                return
        self._at = len(self._history)
        boxes.select([])
        self._tell()

    def back(self) -> None:
        """Show the box before."""
        boxes = self._boxes
        if boxes is None or not self._history:
            return
        at = self._at - 1
        while at >= 0 and boxes.get(self._history[at][0]) is None:
            at -= 1
        if at >= 0:
            self._at = at
            self._show(boxes)

    def judged(self) -> None:
        """Note that the box that is shown was judged, and go on."""
        key = self.current
        if key is None:
            return
        self._done.add(key)
        self._skipped.pop(key, None)
        self._times.append(monotonic())
        self._learn(key)
        if self.go_on.isChecked():
            self.next()
        else:
            self._tell()

    def on_step(self, step: Step, word: str) -> None:
        """Show a box again whose judgement was taken back."""
        boxes = self._boxes
        if boxes is None or not self.on or word != "Undid":
            return
        touched = {*step.before.ids.tolist(), *step.after.ids.tolist()}
        for at in range(len(self._history) - 1, -1, -1):
            key = self._history[at][0]
            if key in touched and key in self._done:
                self._done.discard(key)
                self._learn(key)
                del self._times[-1:]
                self._at = at
                self._show(boxes)
                return

    def _learn(self, key: int) -> None:
        """Let the queue know what was said of a box, or that it was taken back."""
        boxes, row = self._boxes, None if self._stock is None else self._stock.row(key)
        box = None if boxes is None else boxes.get(key)
        if box is not None and row is not None and self._queue is not None:
            self._queue.judge(row, None if box.state == "proposed" else box.state != "rejected")

    def next_plane(self) -> None:
        """Go to the plane that is most worth finishing."""
        boxes = self._boxes
        if boxes is None:
            return
        sizes = plane_counts(self._viewer, boxes)
        finished = {number_of(sizes, plane) for plane in boxes.finished}
        here = number_of(sizes, plane_in_view(self._viewer, boxes.layer))
        for _ in range(2):
            while self._walk:
                entry = self._walk.pop(0)
                if entry.row not in finished and entry.row != here:
                    show_plane(self._viewer, boxes.layer, np.unravel_index(entry.row, sizes))
                    why = "drawn by lot" if entry.reason == "lot" else "most to learn from"
                    self._options.show()
                    say(self.news, f"Plane {entry.row + 1}: {why}. Finish it with Ctrl+Return.")
                    return
            self._walk = plane_order(boxes, self._stock or stock(boxes), sizes, self._looks)
        self._options.show()
        say(self.news, "No other plane is left to finish.")

    def _id_of(self, entry: Entry) -> int:
        return int(self._stock.candidates.keys[entry.row]) if self._stock is not None else 0

    def _is_judged(self, boxes: BoxLayer, key: int) -> bool:
        """Whether nothing is to be done about a box of the queue any more, also as score or size hide it now."""
        box = boxes.get(key)
        if box is None or key in self._done:
            return True
        if box.state == "proposed":
            return not boxes.table.passing()[boxes.table.boxes.where(np.array([key]))].all()
        return key not in self._suspicious

    def _show(self, boxes: BoxLayer) -> None:
        key = self._history[self._at][0]
        box = boxes.get(key)
        if box is None:
            return
        if box.state not in boxes.shown_states:
            boxes.set_shown_states({*boxes.shown_states, box.state})
            self.unhidden.emit()
        if str(boxes.layer.mode) != "select":
            boxes.layer.mode = "select"
        self._viewer.layers.selection.active = boxes.layer
        boxes.select([key])
        show_box(self._viewer, boxes, key)
        self._tell()

    def _tell(self) -> None:
        """Say which box is shown, why, and how far the review has come."""
        boxes, of = self._boxes, self._stock
        if boxes is None or of is None:
            return
        sizes = plane_counts(self._viewer, boxes)
        state = standing(
            boxes,
            of,
            skipped=self._skipped,
            done=self._done,
            seconds=pace(self._times),
            order=self._order,
            planes=prod(sizes),
        )
        done = f"{state.total - state.left:,} of {state.total:,} done"
        key = self.current
        box = None if key is None else boxes.get(key)
        if box is None:
            again = f", {len(self._skipped)} were passed over (N)" if self._skipped else ""
            say(self.text, f"The end of the queue{again}; {done}.")
        else:
            where = f", plane {number_of(sizes, box.plane) + 1} of {prod(sizes)}" if prod(sizes) > 1 else ""
            chance = "" if box.score is None else f" {of.chance(cast('int', key), box.score):.2f}"
            why = _WHY[self._history[self._at][1]]
            say(self.text, f"<b>{why}{chance}</b>, class {escape(box.label)}{where}; {done}")
        advice = advise(state, self.narrow.value() / 100)
        told = escape(advice.text).replace(" %", "\N{NO-BREAK SPACE}%")
        say(self.advice, f"<b>{told}</b>" if advice.stop else told)

    # What is chosen

    @property
    def _order(self) -> Order:
        return ORDERS[self.order.currentText()]

    def _pressed(self) -> None:
        if not self.on:
            self.stop()
            return
        boxes = self._boxes
        if boxes is None:
            self.go.setChecked(False)
            return
        self._options.show()
        self._build()
        self.next()
        self._ask("doubts", "looks") if self._order == "suspicious" else self._ask("looks")

    def _order_changed(self, text: str) -> None:
        remember("queue order", text)
        if self.on:
            key = self.current
            if key is not None and self._boxes is not None and not self._is_judged(self._boxes, key):
                # It was not passed over, its turn comes by the other order.
                del self._history[self._at :]
                self._at = len(self._history)
            self._build()
            self.next()
            if self._order == "suspicious" and self._doubts is None:
                self._ask("doubts")

    def _remember_go_on(self, wanted: bool) -> None:
        remember("queue goes on", "yes" if wanted else "no")

    def _narrow_changed(self, percent: float) -> None:
        remember("queue narrow", percent)
        if self.on:
            self._tell()

    def _build(self) -> None:
        """Put those boxes in order that have not had their turn; it takes some milliseconds for thousands."""
        boxes = self._boxes
        if boxes is not None:
            self._newest, self._filter = newest_guess(boxes), boxes.filter
            self._stock = stock(boxes, self._looks, self._doubts, [key for key, _ in self._history])
            self._queue = self._stock.queue(self._order)
            self._walk = []
