"""Teach by example: one box drawn, everything alike proposed, and better with each box that is judged."""

from __future__ import annotations

from html import escape
from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.table import APPROVED
from napari_localize.engine.client import shared_engine
from napari_localize.plugin.boxes import BoxLayer
from napari_localize.plugin.teaching import MODEL, Lesson, lesson, propose, withdraw
from napari_localize.plugin.window import camera_of
from napari_localize.widgets._jobs import JobRunner
from napari_localize.widgets._memory import preference
from napari_localize.widgets._parts import SPACING, button, hint, number, row, say
from napari_localize.widgets._view import plane_in_view

_SETTLE_MS = 60


class TeachBar(QWidget):
    """Finds what is like the boxes of a person, and goes on doing so while they are judged."""

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._boxes: BoxLayer | None = None
        self._taught: Lesson | None = None
        self._done: int | None = None
        self._region: tuple[int, int, int, int] | None = None
        self._jobs = JobRunner(self)
        self._jobs.finished.connect(self._on_found)
        self._jobs.failed.connect(self._on_failed)
        self._jobs.news.connect(self._on_news)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(_SETTLE_MS)
        self._later.timeout.connect(self._again)
        self.find = button(
            "Find alike   ⇧Y",
            "Propose everything that is like the boxes that you have drawn or accepted on this plane. While this is "
            "pressed, each box that you draw, accept or reject makes it better; it ends with the plane. Key: Shift+Y.",
            self._pressed,
        )
        self.find.setCheckable(True)
        self._text: QLabel = hint()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING)
        column.addLayout(row(self.find))
        column.addWidget(self._text)

    def set_boxes(self, boxes: BoxLayer | None) -> None:
        """Work with another layer of boxes."""
        self.stop()
        if self._boxes is not None and self._boxes.alive:
            self._boxes.changed.disconnect(self._soon)
        self._boxes = boxes
        if boxes is not None:
            boxes.changed.connect(self._soon)

    @property
    def busy(self) -> bool:
        """Whether something is being looked for."""
        return self._jobs.busy or self._later.isActive()

    def toggle(self) -> None:
        """Begin, or stop, finding what is alike."""
        self.find.click()

    def stop(self) -> None:
        """Find no more."""
        self._later.stop()
        self._jobs.abandon()
        self._done = None
        self.find.setChecked(False)
        say(self._text, "")

    def text(self) -> str:
        """Return what is written here."""
        return self._text.text()

    def _pressed(self) -> None:
        if not self.find.isChecked():
            self.stop()
            return
        self._done = None
        self._again()

    def _soon(self) -> None:
        if self.find.isChecked():
            self._later.start()

    def _again(self) -> None:
        """Look again, if the examples are others than last time."""
        boxes = self._boxes
        if boxes is None or not boxes.alive or not self.find.isChecked() or self._jobs.busy:
            return
        try:
            taught = self._lesson(boxes)
        except UserError as error:
            taught_before = self._taught if self._done is not None else None
            self.stop()
            say(self._text, escape(str(error)))
            if taught_before is not None and not boxes.by_plane(APPROVED):
                # Whoever takes the examples back does not want to reject what they have brought.
                withdraw(boxes, taught_before)
            return
        if taught.fingerprint == self._done:
            return
        self._taught, self._done, self._region = taught, taught.fingerprint, None
        device = str(preference("engine", "device", "auto"))

        def begin(on_event: Any) -> Any:
            return shared_engine().teach(
                taught.planes,
                taught.keys,
                taught.examples,
                taught.rejected,
                MODEL,
                device=device,
                center=taught.center,
                on_event=on_event,
            )

        if not self._text.text():
            say(self._text, "Looking ...")
        self._jobs.start(begin)

    def _lesson(self, boxes: BoxLayer) -> Lesson:
        middle = [0.0] * (self._viewer.dims.ndim - 2) + list(camera_of(self._viewer).center[-2:])
        y, x = boxes.layer.world_to_data(middle[-boxes.layer.ndim :])[-2:]
        place = (float(x) + 0.5, float(y) + 0.5)
        return lesson(boxes, self._viewer.layers, plane_in_view(self._viewer, boxes.layer), place)

    def _on_news(self, news: dict[str, Any]) -> None:
        if news.get("event") in ("queued", "starting"):
            say(self._text, escape(str(news["text"])))
        elif news.get("event") == "part":
            y0, y1, x0, x1 = map(int, news["region"])
            self._region = y0, y1, x0, x1

    def _on_found(self, found: Detections) -> None:
        boxes, taught = self._boxes, self._taught
        if boxes is None or not boxes.alive or taught is None or not self.find.isChecked():
            return
        count = propose(boxes, taught, found, self._region)
        examples = sum(map(len, taught.examples))
        part = ""
        if self._region is not None:
            y0, y1, x0, x1 = self._region
            part = (
                f" On a plane so large for its objects only {x1 - x0:,} x {y1 - y0:,} pixels around an example are looked at; "
                "to go on elsewhere, draw a box there. A model retrained from what is right here runs over all."
            )
        say(
            self._text,
            f"{number(count, 'guess', 'guesses')} like {number(examples, 'example')}. Accept or reject some (N, Q, W), or "
            f"draw what is missing; each makes it better.{part}",
        )
        # What was judged meanwhile.
        self._soon()

    def _on_failed(self, text: str) -> None:
        self.stop()
        say(self._text, escape(text))
