"""Going through findings one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_localize.core.errors import UserError
from napari_localize.core.findings import Finding
from napari_localize.plugin.marks import marks_of
from napari_localize.plugin.opening import in_project, open_in
from napari_localize.widgets._dock import warn
from napari_localize.widgets._parts import SPACING, button, combo, hint, row, say

BACK_KEY, NEXT_KEY, CLOSE_KEY = "Alt+Shift+B", "Alt+Shift+N", "Alt+Shift+X"
_ALL = "all"
_LINK = "#56B4E9"


class FindingsBar(QWidget):
    """Steps through findings, each outlined on its image; hidden while there are none."""

    shown = Signal(object)
    """The finding that is looked at now."""

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._findings: list[Finding] = []
        self._chosen: list[Finding] = []
        self._at = 0
        self._title: QLabel = hint()
        self._text: QLabel = hint()
        self._text.linkActivated.connect(self._open)
        self.kinds = combo("Which of them to go through.")
        self.kinds.currentIndexChanged.connect(self._choose)
        self.back_button = button("◀", "Look at the one before.", self.back, BACK_KEY, self)
        self.next_button = button("▶", "Look at the next one.", self.next, NEXT_KEY, self)
        self.close_button = button("Done", "Take the mark off the image.", self.clear, CLOSE_KEY, self)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING)
        column.addWidget(self._title)
        column.addWidget(self.kinds)
        column.addWidget(self._text)
        column.addLayout(row(self.back_button, self.next_button))
        column.addLayout(row(self.close_button))
        self.hide()

    def set_findings(self, title: str, findings: Sequence[Finding], kind: str = _ALL) -> None:
        """Take other findings, and look at the first of a kind."""
        self._findings = list(findings)
        counts = Counter(finding.kind for finding in findings)
        self.kinds.blockSignals(True)
        self.kinds.clear()
        self.kinds.addItem(f"all {len(findings)}", _ALL)
        for name, count in counts.items():
            self.kinds.addItem(f"{name} {count}", name)
        self.kinds.setCurrentIndex(max(self.kinds.findData(kind), 0))
        self.kinds.blockSignals(False)
        self.kinds.setVisible(len(counts) > 1)
        say(self._title, title)
        self.setVisible(bool(findings))
        self._choose()

    @property
    def finding(self) -> Finding | None:
        """The finding that is looked at."""
        return self._chosen[self._at] if self._chosen else None

    def back(self) -> None:
        """Look at the one before; before the first comes the last."""
        self._go(-1)

    def next(self) -> None:
        """Look at the next one; after the last comes the first."""
        self._go(1)

    def clear(self) -> None:
        """Take the mark off the image and hide."""
        self._findings, self._chosen = [], []
        marks_of(self._viewer).clear()
        self.hide()

    def text(self) -> str:
        """Return all that is written here."""
        return f"{self._title.text()} {self._text.text()}"

    def _choose(self) -> None:
        kind = self.kinds.currentData()
        self._chosen = [finding for finding in self._findings if kind in (_ALL, finding.kind)]
        self._at = 0
        self._show()

    def _go(self, step: int) -> None:
        if self._chosen:
            self._at = (self._at + step) % len(self._chosen)
            # Whoever goes through them wants to see them; the boxes of the image before are on disk.
            self._show(opening=True)

    def _open(self, link: str) -> None:
        self._show(opening=True)

    def _show(self, opening: bool = False) -> None:
        finding = self.finding
        if finding is None:
            return
        there = marks_of(self._viewer).show(finding)
        image = None if there else in_project(self._viewer, finding.name)
        if image is not None and opening:
            try:
                open_in(self._viewer, image, replace=True)
            except UserError as error:
                warn(str(error), self)
            else:
                there = marks_of(self._viewer).show(finding)
        what = f"<b style='color: {finding.color}'>{escape(finding.kind)}</b>: {escape(finding.text)}"
        where = escape(finding.name)
        if not there:
            how = "open it" if image is None else f"<a href='open' style='color: {_LINK}'>open it</a>"
            where += f" is not open; {how} to see this."
        say(self._text, f"{self._at + 1} of {len(self._chosen)} &nbsp; {what}<br>{where}")
        self.shown.emit(finding)
