"""A plot of a report in the colours of the window."""

from __future__ import annotations

from napari.utils.theme import get_theme
from qtpy.QtCore import QByteArray, QRectF
from qtpy.QtGui import QPainter, QPaintEvent
from qtpy.QtSvg import QSvgRenderer
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_localize.evaluation.plots import PLOTS
from napari_localize.evaluation.report import EvaluationReport
from napari_localize.evaluation.svg import HEIGHT, WIDTH


class PlotView(QWidget):
    """Draws one of `evaluation.plots.PLOTS`."""

    def __init__(self, theme: str) -> None:
        super().__init__()
        self._theme = theme
        self._report: EvaluationReport | None = None
        self._title = next(iter(PLOTS))
        self._drawing = QSvgRenderer(self)
        self.setFixedHeight(210)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_plot(self, report: EvaluationReport, title: str) -> None:
        """Draw a plot."""
        self._report, self._title = report, title
        self._draw()

    def set_theme(self, theme: str) -> None:
        """Take the colours of another napari theme."""
        self._theme = theme
        self._draw()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        if self._report is None:
            return
        scale = min(self.width() / WIDTH, self.height() / HEIGHT)
        size = WIDTH * scale, HEIGHT * scale
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._drawing.render(painter, QRectF((self.width() - size[0]) / 2, 0, *size))
        painter.end()

    def _draw(self) -> None:
        if self._report is not None:
            ink = get_theme(self._theme).text.as_hex(format="long")
            self._drawing.load(QByteArray(PLOTS[self._title](self._report, ink).encode()))
            self.update()
