"""A small plot, painted: lines with the band of their interval, dots, and marks; it needs no plotting library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 40, 20, 32
_BAND = 60
"""How dense the band of an interval is, of 255."""


@dataclass(frozen=True)
class Line:
    """One line of a plot.

    Attributes
    ----------
    name, color : str
    x, y : (N,) array
        NaN is left out.
    low, high : (N,) array or None
        The band around it.
    on_the_right : bool
        Whether it belongs to the axis on the right, which runs from 0 to 1.
    dots : bool
        Whether dots are drawn as well.
    dashed : bool
    """

    name: str
    color: str
    x: NDArray[Any]
    y: NDArray[Any]
    low: NDArray[Any] | None = None
    high: NDArray[Any] | None = None
    on_the_right: bool = False
    dots: bool = False
    dashed: bool = False


class Plot(QWidget):
    """Lines against a number between 0 and 1, with vertical marks."""

    def __init__(self, tooltip: str, x_title: str) -> None:
        super().__init__()
        self._x_title = x_title
        self.lines: tuple[Line, ...] = ()
        self.marks: dict[str, float] = {}
        """Vertical lines by name; the one without a name is solid."""
        self._top = 1.0
        self._x0 = 0.0
        self._left_axis = False
        self.setToolTip(tooltip)
        self.setFixedHeight(150)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_lines(self, lines: Sequence[Line], x0: float = 0.0) -> None:
        """Draw these lines, from a value of x on."""
        self.lines, self._x0 = tuple(lines), x0
        highest = [part for line in lines if not line.on_the_right for part in (line.y, line.high) if part is not None]
        finite = [float(part[np.isfinite(part)].max(initial=0.0)) for part in highest]
        self._left_axis = bool(finite)
        # The band of few objects at a low threshold may be endless; the line itself is always seen.
        lines_top = max(
            (float(np.nanmax(line.y)) for line in lines if not line.on_the_right and len(line.y)), default=0.0
        )
        self._top = max(min(max(finite, default=1.0), 2 * lines_top), 1e-9)
        self.update()

    def mark(self, name: str, x: float | None) -> None:
        """Draw a vertical line, or take it away."""
        if x is None:
            self.marks.pop(name, None)
        else:
            self.marks[name] = x
        self.update()

    def paintEvent(self, event: Any) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        font = painter.font()
        font.setPointSizeF(max(font.pointSizeF() * 0.8, 6.0))
        painter.setFont(font)
        left = _LEFT if self._left_axis else _RIGHT
        area = QRectF(left, _TOP, self.width() - left - _RIGHT, self.height() - _TOP - _BOTTOM)
        self._axes(painter, area)
        painter.setClipRect(area.adjusted(-1, -3, 1, 3))
        for line in self.lines:
            self._line(painter, area, line)
        for name, x in self.marks.items():
            pen = QPen(self._quiet(255))
            pen.setStyle(Qt.PenStyle.DashLine if name else Qt.PenStyle.SolidLine)
            painter.setPen(pen)
            at = self._at(area, x, 0.0, False).x()
            painter.drawLine(QPointF(at, area.top()), QPointF(at, area.bottom()))
        painter.setClipping(False)
        self._legend(painter)

    def _quiet(self, alpha: int) -> QColor:
        color = self.palette().text().color()
        color.setAlpha(alpha)
        return color

    def _at(self, area: QRectF, x: float, y: float, right: bool) -> QPointF:
        across = (x - self._x0) / max(1 - self._x0, 1e-9)
        up = y if right else y / self._top
        return QPointF(area.left() + across * area.width(), area.bottom() - up * area.height())

    def _axes(self, painter: QPainter, area: QRectF) -> None:
        painter.setPen(self._quiet(90))
        painter.drawRect(area)
        painter.setPen(self._quiet(220))
        aside = Qt.AlignmentFlag.AlignVCenter
        for part in (0.0, 0.5, 1.0):
            y = area.bottom() - part * area.height()
            shares = QRectF(area.right() + 4, y - 8, _RIGHT - 4, 16)
            painter.drawText(shares, aside | Qt.AlignmentFlag.AlignLeft, f"{100 * part:.0f} %")
            if self._left_axis:
                numbers = QRectF(0, y - 8, _LEFT - 4, 16)
                painter.drawText(numbers, aside | Qt.AlignmentFlag.AlignRight, _short(part * self._top))
        for x in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
            if x >= self._x0:
                at = self._at(area, x, 0.0, False).x()
                painter.drawText(QRectF(at - 15, area.bottom() + 1, 30, 15), Qt.AlignmentFlag.AlignCenter, f"{x:.1f}")
        title = QRectF(area.left(), area.bottom() + 15, area.width(), 16)
        painter.drawText(title, Qt.AlignmentFlag.AlignCenter, self._x_title)

    def _line(self, painter: QPainter, area: QRectF, line: Line) -> None:
        def points(values: NDArray[Any], there: NDArray[np.bool_]) -> list[QPointF]:
            return [
                self._at(area, x, y, line.on_the_right)
                for x, y in zip(line.x[there].tolist(), values[there].tolist(), strict=True)
            ]

        if line.low is not None and line.high is not None:
            there = np.isfinite(line.low) & np.isfinite(line.high)
            outline = [*points(line.high, there), *reversed(points(line.low, there))]
            fill = QColor(line.color)
            fill.setAlpha(_BAND)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(fill)
            painter.drawPolygon(QPolygonF(outline))
        pen = QPen(QColor(line.color), 1.8)
        if line.dashed:
            pen.setStyle(Qt.PenStyle.DotLine)
        painter.setPen(pen)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        along = points(line.y, np.isfinite(line.y))
        painter.drawPolyline(QPolygonF(along))
        if line.dots:
            painter.setBrush(QColor(line.color))
            for point in along:
                painter.drawEllipse(point, 2.5, 2.5)

    def _legend(self, painter: QPainter) -> None:
        metrics = painter.fontMetrics()
        named = [line for line in self.lines if line.name]
        width = sum(metrics.horizontalAdvance(f"— {line.name}") + 10 for line in named)
        x = max((self.width() - width) / 2, 2.0)
        for line in named:
            painter.setPen(QColor(line.color))
            text = f"— {line.name}"
            painter.drawText(QPointF(x, _TOP - 7), text)
            x += metrics.horizontalAdvance(text) + 10


def _short(number: float) -> str:
    """Write a number with few letters.

    >>> _short(1842.0), _short(23400.0), _short(2.4)
    ('1,842', '23 k', '2.4')
    """
    if number >= 10_000:
        return f"{number / 1000:,.0f} k"
    return f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:.1f}"
