"""The live curve of a training."""

from __future__ import annotations

import importlib
import threading
from typing import Any

from napari.utils.theme import get_theme
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QLabel, QSizePolicy, QVBoxLayout, QWidget

REDRAW_MS = 400
TRAIN, VALIDATION, AP50 = "#E69F00", "#56B4E9", "#2DB48E"
"""Colours that stay apart for colour-blind eyes."""
_AXES = (0.1, 0.23, 0.79, 0.6)


class TrainingCurve(QWidget):
    """Training and validation loss, and AP50 on an axis of its own, against the seconds trained."""

    def __init__(self, theme: str) -> None:
        super().__init__()
        self._theme = theme
        self.points: dict[str, list[tuple[float, float]]] = {}
        self._axes: dict[str, Any] = {}
        self._lines: dict[str, Any] = {}
        self.canvas: Any = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REDRAW_MS)
        self._timer.timeout.connect(self._draw)
        self._waiting = QLabel("The curve begins with the first steps ...")
        self.setFixedHeight(170)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setToolTip(
            "Loss on the planes trained on and on the planes kept back (left), and AP50 on those kept back (right): "
            "1 is every object found and nothing else."
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._waiting)
        self.hide()

    def clear(self) -> None:
        """Show an empty curve, and get the plotting library ready behind the scenes."""
        self.points = {"train": [], "validation": [], "ap50": []}
        self._waiting.setVisible(self.canvas is None)
        # Importing matplotlib takes up to a second: not in the thread that draws the window.
        threading.Thread(target=importlib.import_module, args=("matplotlib.figure",), daemon=True).start()
        if self.canvas is not None:
            self._draw()
        self.show()

    def add(self, seconds: float, train_loss: float | None, validation_loss: float | None, ap50: float | None) -> None:
        """Add one point to each line that has one."""
        for name, value in (("train", train_loss), ("validation", validation_loss), ("ap50", ap50)):
            if value is not None:
                self.points[name].append((seconds, value))
        if not self._timer.isActive():
            self._timer.start()

    def set_theme(self, theme: str) -> None:
        """Take the colours of another napari theme."""
        self._theme = theme
        if self.canvas is not None:
            self._colour()
            self.canvas.draw_idle()

    def _draw(self) -> None:
        if self.canvas is None:
            self._build()
        for name, line in self._lines.items():
            points = self.points[name]
            line.set_data([x for x, _ in points], [y for _, y in points])
            # A line of one point is invisible.
            line.set_marker("o" if len(points) < 3 or name == "ap50" else "")
        for axis in self._axes.values():
            axis.relim()
            axis.autoscale_view()
        self._axes["ap50"].set_ylim(0, 1.02)
        self.canvas.draw_idle()

    def _build(self) -> None:
        from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        # Fixed margins: an automatic layout measures every text and makes each redraw twice as slow.
        figure = Figure(figsize=(3, 1.7), dpi=100)
        self.canvas = FigureCanvasQTAgg(figure)
        # A scroll area scrolls by the wheel; the canvas would swallow it.
        self.canvas.wheelEvent = lambda event: event.ignore()
        loss = figure.add_axes(_AXES)
        score = loss.twinx()
        for axis in (loss.xaxis, loss.yaxis):
            axis.set_major_locator(MaxNLocator(4))
        score.set_yticks([0, 0.5, 1])
        self._axes = {"loss": loss, "ap50": score}
        (self._lines["train"],) = loss.plot([], [], color=TRAIN, lw=1.5, ms=3, label="loss")
        (self._lines["validation"],) = loss.plot(
            [], [], color=VALIDATION, lw=1.5, ms=3, ls="--", label="validation loss"
        )
        (self._lines["ap50"],) = score.plot([], [], color=AP50, lw=1.5, ms=3, label="AP50")
        loss.margins(x=0.02)
        figure.legend(
            handles=list(self._lines.values()),
            loc="upper center",
            ncols=3,
            fontsize=7,
            frameon=False,
            handlelength=1.4,
            columnspacing=1.0,
        )
        self._colour()
        self._waiting.hide()
        layout = self.layout()
        assert layout is not None
        layout.addWidget(self.canvas)

    def _colour(self) -> None:
        theme = get_theme(self._theme)
        background, text, quiet = (
            colour.as_hex(format="long") for colour in (theme.background, theme.text, theme.secondary)
        )
        figure = self.canvas.figure
        figure.set_facecolor(background)
        for axis in self._axes.values():
            axis.set_facecolor(background)
            axis.tick_params(colors=text, labelsize=7, length=2, width=0.6)
            for name, spine in axis.spines.items():
                spine.set_color(quiet)
                spine.set_visible(name != "top")
        self._axes["ap50"].tick_params(colors=AP50)
        self._axes["loss"].set_xlabel("seconds", color=text, fontsize=7)
        for entry in figure.legends[0].get_texts():
            entry.set_color(text)
