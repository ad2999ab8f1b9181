"""What an evaluation came to: numbers, a threshold that acts at once, plots, and the way to every mistake."""

from __future__ import annotations

from html import escape
from typing import Any

from qtpy.QtCore import QSignalBlocker, Qt, QTimer
from qtpy.QtWidgets import QHeaderView, QLabel, QTreeWidget, QTreeWidgetItem, QVBoxLayout, QWidget
from superqt import QDoubleSlider

from napari_localize.evaluation.evaluation import SAME
from napari_localize.evaluation.plots import PLOTS
from napari_localize.evaluation.report import EvaluationReport
from napari_localize.evaluation.rows import confused
from napari_localize.plugin.evaluating import Outcome
from napari_localize.widgets._evaluate_plot import PlotView
from napari_localize.widgets._evaluate_words import NOTHING, class_table, confusion_table, error_links, headline
from napari_localize.widgets._findings import FindingsBar
from napari_localize.widgets._parts import SPACING, button, combo, hint, line, row, say, shown_key, titled

BEST_KEY = "Ctrl+Alt+B"
CONFUSION = "Which class for which"
MOST_ROWS = 500
_SETTLE_MS = 60
_ROWS_IN_VIEW = 6
_COLUMNS = ("image", "wrong", "true", "found")


class ResultBox(QWidget):
    """Shows an outcome at a threshold; hidden while there is none."""

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._outcome: Outcome | None = None
        self._threshold = 0.0
        self.report: EvaluationReport | None = None
        self.numbers: QLabel = hint()
        self.numbers.setToolTip(
            "AP50: 1 is every object found and nothing else. Precision: the share of what was found that is there. Recall: "
            "the share of what is there that was found. F1: the balance of both. Count error: how far the number of a plane "
            "is from the true one. On the right: 95 % bootstrap intervals over planes."
        )
        self.notes: QLabel = hint()
        self.classes: QLabel = hint()
        self.slider = QDoubleSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0.0, 1.0)
        self.slider.setSingleStep(0.01)
        self.slider.setToolTip("Lowest score that counts; acts at once, no model is run again. AP takes all scores.")
        self._value: QLabel = QLabel()
        self.best_button = button("Best", "Take the threshold with the highest F1.", self.take_best, BEST_KEY, self)
        self.errors: QLabel = hint()
        self.errors.setToolTip("Click to go through them on the image.")
        self.errors.linkActivated.connect(self.follow)
        self.findings = FindingsBar(viewer)
        self.plot_choice = combo("What is drawn.", [*PLOTS, CONFUSION])
        self.plot = PlotView(viewer.theme)
        self.confusion: QLabel = hint()
        self.confusion.setToolTip("Rows: what is there. Columns: what it was found as. Click a number to look at them.")
        self.confusion.linkActivated.connect(self.follow)
        self.images = QTreeWidget()
        self.images.setToolTip("Worst image first; click one to go through what is wrong on it.")
        self.images.setHeaderLabels(list(_COLUMNS))
        self.images.setRootIsDecorated(False)
        self.images.setUniformRowHeights(True)
        header = self.images.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in range(1, len(_COLUMNS)):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLE_MS)
        self._settle.timeout.connect(self._show)
        self.slider.valueChanged.connect(self._moved)
        self.plot_choice.currentIndexChanged.connect(self._show_plot)
        # A click, or Enter on the row that the arrow keys have reached.
        self.images.itemClicked.connect(self._image_chosen)
        self.images.itemActivated.connect(self._image_chosen)
        self._build()

    def _build(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING)
        for part in (line(), self.notes, self.numbers):
            column.addWidget(part)
        column.addLayout(row(titled("Score"), self.slider, self._value, stretch=1))
        for part in (self.best_button, self.errors, self.findings, self.classes, self.images):
            column.addWidget(part)
        column.addLayout(row(titled("Plot"), self.plot_choice, stretch=1))
        column.addWidget(self.plot)
        column.addWidget(self.confusion)
        self.hide()

    @property
    def threshold(self) -> float:
        """Lowest score that counts."""
        return self._threshold

    def present(self, outcome: Outcome) -> None:
        """Show an outcome at its own threshold."""
        self._outcome = outcome
        self.findings.clear()
        self.set_threshold(outcome.threshold)
        self.show()

    def clear(self) -> None:
        """Forget the outcome, and take the mark off the image."""
        self._outcome = self.report = None
        self.findings.clear()
        self.hide()

    def set_threshold(self, threshold: float) -> None:
        """Take a threshold, exactly and at once."""
        self._threshold = threshold
        with QSignalBlocker(self.slider):
            self.slider.setValue(threshold)
        self._show()

    def take_best(self) -> None:
        """Take the threshold with the highest F1."""
        if self._outcome is not None:
            self.set_threshold(self._outcome.evaluation.best[0])

    def follow(self, link: str) -> None:
        """Go through what a number stands for."""
        report, outcome = self.report, self._outcome
        if report is None or outcome is None:
            return
        kind, _, rest = link.partition(":")
        if kind == "kind":
            self.findings.set_findings("What is wrong, worst image first", report.findings, rest)
            return
        true, predicted = map(int, rest.split(":"))
        evaluation = outcome.evaluation
        chosen = confused(evaluation.names, evaluation.matches, true, predicted, self._threshold)
        names = [*(each.name for each in report.classes), NOTHING]
        self.findings.set_findings(f"{escape(names[true])} found as {escape(names[predicted])}", chosen)

    def set_theme(self, theme: str) -> None:
        """Take the colours of another napari theme."""
        self.plot.set_theme(theme)

    def _moved(self, value: float) -> None:
        self._threshold = round(value, 3)
        self._value.setText(f"{self._threshold:.2f}")
        if not self._settle.isActive():
            self._settle.start()

    def _show(self) -> None:
        outcome = self._outcome
        if outcome is None:
            return
        report = self.report = outcome.numbers(self._threshold)
        self._value.setText(f"{self._threshold:.2f}")
        say(self.notes, "<br>".join(escape(note) for note in report.notes))
        say(self.numbers, headline(report.intervals))
        say(self.classes, class_table(report))
        say(self.errors, error_links(report))
        self.best_button.setText(
            f"Best {report.all.best_threshold:.2f}, F1 {report.all.best_f1:.2f}   {shown_key(BEST_KEY)}"
        )
        self.best_button.setEnabled(abs(report.all.best_threshold - self._threshold) > SAME)
        self.findings.clear()
        self._fill_images(report)
        self._show_plot()

    def _show_plot(self) -> None:
        if self.report is None:
            return
        title = self.plot_choice.currentText()
        matrix = title == CONFUSION
        self.plot.setVisible(not matrix)
        say(self.confusion, confusion_table(self.report) if matrix else "")
        if not matrix:
            self.plot.show_plot(self.report, title)

    def _fill_images(self, report: EvaluationReport) -> None:
        self.images.clear()
        items = []
        for plane in report.planes[:MOST_ROWS]:
            item = QTreeWidgetItem([plane.name, *(f"{n:,}" for n in (plane.errors, plane.true, plane.found))])
            item.setToolTip(0, escape(plane.name))
            for column in range(1, len(_COLUMNS)):
                item.setTextAlignment(column, Qt.AlignmentFlag.AlignRight)
            items.append(item)
        self.images.addTopLevelItems(items)
        rows = min(max(len(items), 1), _ROWS_IN_VIEW)
        height = self.images.sizeHintForRow(0) if items else 0
        self.images.setFixedHeight(self.images.header().sizeHint().height() + rows * height + 6)

    def _image_chosen(self, item: QTreeWidgetItem) -> None:
        if self.report is not None:
            name = item.text(0)
            wrong = [finding for finding in self.report.findings if finding.name == name]
            self.findings.set_findings(f"What is wrong on {escape(name)}", wrong)
