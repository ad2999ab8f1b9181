"""Showing only boxes of a certain score and size, without running the network again."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from math import ceil, sqrt

from qtpy.QtCore import QSignalBlocker, Qt, QTimer, Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget
from superqt import QDoubleRangeSlider, QDoubleSlider

from napari_localize.widgets._parts import hint, line, row, say, titled

FLOOR = 0.05
"""The lowest score that the engine keeps."""

_SETTLE_MS = 40
_TINY = 1e-6


class FilterBox(QWidget):
    """A slider for the score, a range for the size, and how many boxes are left of each class."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.score_slider = QDoubleSlider(Qt.Orientation.Horizontal)
        self.score_slider.setRange(FLOOR, 1.0)
        self.score_slider.setSingleStep(0.01)
        self.score_slider.setToolTip(
            "Boxes with a lower score are hidden. Boxes that a person has made or judged always stay."
        )
        self._score = FLOOR
        self._score_text = _value_label()
        # On a scale of square roots, small sizes, where it matters most, get more of the way.
        self.size_slider = QDoubleRangeSlider(Qt.Orientation.Horizontal)
        self.size_slider.setRange(0.0, 10.0)
        self.size_slider.setValue((0.0, 10.0))
        self.size_slider.setToolTip(
            "Boxes that are smaller or larger are hidden; the size is that of a square of equal area."
        )
        self._size_text = _value_label()
        self.counts: QLabel = hint()
        self.counts.setToolTip("How many boxes are shown of each class, and how many there are.")
        self.whole: QLabel = hint()
        # A drag of a slider brings more changes than the layer can draw.
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLE_MS)
        self._settle.timeout.connect(self.changed)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(line())
        column.addLayout(row(titled("Score"), self.score_slider, self._score_text, stretch=1))
        column.addLayout(row(titled("Size"), self.size_slider, self._size_text, stretch=1))
        column.addWidget(self.counts)
        column.addWidget(self.whole)
        self.score_slider.valueChanged.connect(self._score_moved)
        self.size_slider.valueChanged.connect(self._moved)
        self._write()

    @property
    def score(self) -> float:
        """Lowest score that is shown."""
        return self._score

    @property
    def sizes(self) -> tuple[float, float]:
        """Smallest and largest size that is shown, in pixels; infinite where the slider is at its end."""
        low, high = self.size_slider.value()
        limit = self.size_slider.maximum()
        return round(low * low, 1), float("inf") if high >= limit - _TINY else round(high * high, 1)

    def set_score(self, score: float) -> None:
        """Move the score slider without hiding anything yet."""
        # Not rounded: a model's threshold has to let the same boxes through here as everywhere else.
        self._score = min(max(score, FLOOR), 1.0)
        with QSignalBlocker(self.score_slider):
            self.score_slider.setValue(score)
        self._write()

    def set_filter(self, score: float, sizes: tuple[float, float]) -> None:
        """Move the sliders to what a layer shows already."""
        with QSignalBlocker(self.size_slider):
            top = self.size_slider.maximum()
            self.size_slider.setValue((min(sqrt(sizes[0]), top), min(sqrt(sizes[1]), top)))
        self.set_score(score)

    def set_limits(self, largest: float) -> None:
        """Let the size range reach up to the largest box, in pixels; what it lets through stays the same."""
        limit = sqrt(max(ceil(largest), 1))
        if abs(limit - self.size_slider.maximum()) < _TINY:
            return
        sizes = self.sizes
        with QSignalBlocker(self.size_slider):
            self.size_slider.setRange(0.0, limit)
        self.set_filter(self.score, sizes)

    def show_counts(
        self, counts: Mapping[str, tuple[int, int]], totals: Mapping[str, int], colours: Mapping[str, str]
    ) -> None:
        """Write down how many boxes of each class are shown, of how many."""
        lines = "".join(
            f"<tr><td style='color: {colours[name]}'>■&nbsp;</td><td>{escape(name)}&nbsp;&nbsp;</td>"
            f"<td align='right'><b>{counts[name][0]}</b></td><td>&nbsp;of {total}</td></tr>"
            for name, total in totals.items()
        )
        shown, total = sum(count[0] for count in counts.values()), sum(totals.values())
        say(self.counts, f"<b>{shown}</b> shown of {total}" + f"<table>{lines}</table>" * (total > 0))

    def show_whole(self, text: str) -> None:
        """Write something about all planes of a stack below the counts of the one in view."""
        say(self.whole, text)

    def _score_moved(self, score: float) -> None:
        self._score = round(score, 3)
        self._moved()

    def _moved(self) -> None:
        self._write()
        if not self._settle.isActive():
            self._settle.start()

    def _write(self) -> None:
        self._score_text.setText(f"{self.score:.3f}")
        low, high = self.sizes
        top = self.size_slider.maximum() ** 2 if high == float("inf") else high
        self._size_text.setText(f"{low:.0f} to {top:.0f} px")


def _value_label() -> QLabel:
    label = QLabel()
    label.setFixedWidth(78)
    label.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    return label
