"""What a count has come to: the total, the classes, how it moves with the threshold, and whether scores can be believed."""

from __future__ import annotations

import math
from html import escape
from typing import Any

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QSlider, QVBoxLayout, QWidget

from napari_localize.evaluation.calibration import Calibration
from napari_localize.evaluation.counts import CountCurve, CountReport
from napari_localize.widgets._parts import SPACING, Section, button, hint, row, say, titled
from napari_localize.widgets._plot import Line, Plot

COUNT, PRECISION, RECALL = "#E69F00", "#56B4E9", "#2DB48E"
_WARNING = "#E69F00"
_STEPS = 100
CARD_KEY = "Alt+Shift+T"


class CountResult(QWidget):
    """The total with its interval, and a slider for the threshold that moves it."""

    threshold_changed = Signal(float)

    def __init__(self) -> None:
        super().__init__()
        self._card: float | None = None
        self.total: QLabel = hint()
        self.sentence: QLabel = hint()
        self.notes: QLabel = hint()
        self.classes: QLabel = hint()
        tooltip = "Lowest score of a box that counts as found; nothing is run again."
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, _STEPS - 1)
        self.slider.setToolTip(tooltip)
        self.value = QLabel()
        self.card_button = button(
            "Model's threshold", "Back to the threshold in the model's card.", self._to_card, CARD_KEY, self
        )
        self.plot = Plot(
            "How count, precision and recall move with the threshold, with their 95 % intervals. The dashed line is the "
            "threshold in the model's card, the solid one the slider.",
            "threshold",
        )
        self.trust = Section(
            "Can the scores be believed?", "What part of the boxes with a score was right, on planes kept back."
        )
        self.reliability = Plot(
            "Boxes in groups of neighbouring scores: what part of them was right. Scores that can be taken for "
            "probabilities lie on the dotted line.",
            "score",
        )
        self.calibration: QLabel = hint()
        self.trust.rows.addWidget(self.reliability)
        self.trust.rows.addWidget(self.calibration)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING)
        for part in (self.total, self.sentence, self.notes):
            column.addWidget(part)
        column.addLayout(row(titled("Score", tooltip), self.slider, self.value, stretch=1))
        column.addWidget(self.card_button)
        for part in (self.plot, self.classes, self.trust):
            column.addWidget(part)
        self.slider.valueChanged.connect(self._moved)

    @property
    def threshold(self) -> float:
        """The lowest score that counts."""
        return self.slider.value() / _STEPS

    def begin_at(self, threshold: float) -> None:
        """Move the slider where no card tells a threshold."""
        self._card = None
        self.slider.setValue(round(threshold * _STEPS))

    def set_card(self, threshold: float | None, calibration: Calibration | None) -> None:
        """Take the threshold of another model, unless it is the same, and show what its scores mean."""
        self.card_button.setVisible(threshold is not None)
        if threshold != self._card:
            self._card = threshold
            self._to_card()
        self.plot.mark("card", threshold)
        self._show_calibration(calibration)

    def show_report(self, report: CountReport) -> None:
        """Show a count."""
        total: Any = report.classes.loc["all"]
        text = f"<span style='font-size: large'><b>{total['count']:,.0f}</b></span> objects"
        if not math.isnan(total["low"]) and total["low"] < total["high"]:
            text += f", 95 % interval <b>{total['low']:,.0f}</b> to <b>{total['high']:,.0f}</b>"
        say(self.total, text)
        say(self.sentence, escape(report.basis[:1].upper() + report.basis[1:]))
        say(self.notes, "<br>".join(f"<span style='color: {_WARNING}'>{escape(note)}</span>" for note in report.notes))
        say(self.classes, _table(report))
        self.value.setText(f"{self.threshold:.2f}")
        self.plot.mark("", self.threshold)

    def show_curve(self, curve: CountCurve) -> None:
        """Show how the count moves with the threshold."""
        x = curve.thresholds
        self.plot.show_lines(
            [
                Line("count", COUNT, x, *curve.count),
                Line("precision", PRECISION, x, *curve.precision, on_the_right=True),
                Line("recall", RECALL, x, *curve.recall, on_the_right=True),
            ],
            float(x[0]) if len(x) else 0.0,
        )

    def _show_calibration(self, calibration: Calibration | None) -> None:
        self.reliability.setVisible(calibration is not None)
        if calibration is None:
            say(
                self.calibration,
                "The model's card does not tell. Retrain it with planes kept back, and it will learn from these what its "
                "scores mean.",
            )
            return
        ends = np.array([0.0, 1.0])
        lines = [Line("", "#999999", ends, ends, on_the_right=True, dashed=True)]
        for name, color, bins in (
            ("scores", COUNT, calibration.before),
            ("calibrated", PRECISION, calibration.after),
        ):
            said, right = np.array([(one.said, one.right) for one in bins]).reshape(-1, 2).T
            lines.append(Line(name, color, said, right, on_the_right=True, dots=True))
        self.reliability.show_lines(lines)
        say(self.calibration, escape(calibration.sentence))

    def _to_card(self) -> None:
        if self._card is not None:
            self.slider.setValue(round(self._card * _STEPS))

    def _moved(self, value: int) -> None:
        self.value.setText(f"{self.threshold:.2f}")
        self.plot.mark("", self.threshold)
        self.threshold_changed.emit(self.threshold)


def _table(report: CountReport) -> str:
    head = "".join(
        f"<th align='right' style='padding-left: 4px; font-weight: normal'>{title}</th>"
        for title in ("found", "count", "precision", "recall")
    )
    lines = [f"<tr><th></th>{head}</tr>"]
    rows = report.classes if len(report.classes) > 2 else report.classes.iloc[:1]
    for name, one in rows.iterrows():
        values = (
            (f"{one['found']:,.0f}", ""),
            (f"{one['count']:,.0f}", _interval(one["low"], one["high"], 1)),
            *(
                (_percent(one[key]), _interval(one[f"{key}_low"], one[f"{key}_high"], 100))
                for key in ("precision", "recall")
            ),
        )
        cells = "".join(
            f"<td align='right' style='white-space: nowrap; padding-left: 4px'>{number}<br>"
            f"<span style='color: gray; font-size: small'>{interval}</span></td>"
            for number, interval in values
        )
        lines.append(f"<tr><td>{escape(str(name))}</td>{cells}</tr>")
    return f"<table width='100%'>{''.join(lines)}</table>"


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.0f} %"


def _interval(low: float, high: float, times: float) -> str:
    return "" if math.isnan(low) or low == high else f"{times * low:,.0f}-{times * high:,.0f}"
