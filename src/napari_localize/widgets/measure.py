"""The dock that measures the boxes of a layer and writes the tables."""

from __future__ import annotations

import os
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QFileDialog, QLabel, QMessageBox

from napari_localize.core.errors import UserError
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.measured import measured_of, put_measured
from napari_localize.plugin.measuring import Measured, MeasuringJob, measuring_task
from napari_localize.widgets._boxes_picker import BoxesPicker
from napari_localize.widgets._dock import Dock, fail, warn
from napari_localize.widgets._jobs import JobRunner
from napari_localize.widgets._memory import remember, remembered
from napari_localize.widgets._parts import CancelButton, ProgressRow, button, hint, row, say, titled

MEASURE_KEY, SAVE_KEY = "Ctrl+Shift+Y", "Ctrl+Alt+Y"

_EMPTY = "Select a layer of boxes, or make one with Localize; its boxes are measured on their image."
_LARGEST_UM = 1000.0


class MeasureWidget(Dock):
    """Measure the boxes of a layer on its image: numbers as features of the layer, and as two tables."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self._jobs = JobRunner(self)
        self._layer: Any = None
        self.boxes = BoxesPicker(self._viewer)
        self._build()
        self._jobs.news.connect(self._on_news)
        self._jobs.finished.connect(self._on_finished)
        self._jobs.failed.connect(self._on_failed)
        self._jobs.cancelled.connect(self._on_cancelled)
        self.boxes.changed.connect(self._on_layer)
        self.open()

    def _build(self) -> None:
        for choice in self.boxes.findChildren(QComboBox):
            choice.setToolTip("The layer whose boxes are measured; a click on one in the layer list chooses it, too.")
        tooltip = "Micrometres per pixel. Left as it is, the image layer is asked for its scale, and then its file."
        self.pixel_size = QDoubleSpinBox()
        self.pixel_size.setDecimals(5)
        self.pixel_size.setRange(0.0, _LARGEST_UM)
        self.pixel_size.setSingleStep(0.05)
        self.pixel_size.setSuffix(" µm")
        self.pixel_size.setSpecialValueText("as the image says")
        self.pixel_size.setToolTip(tooltip)
        self.measure_button = button(
            "Measure",
            "Measure size, intensity, background and neighbours of every box, and count them by area.",
            self.measure,
            MEASURE_KEY,
            self,
        )
        self.cancel_button = CancelButton("Stop; nothing is changed then.", self.cancel)
        self.progress = ProgressRow()
        self.status: QLabel = hint()
        self.save_button = button(
            "Save tables ...",
            "Write a table of the objects and a table of the planes as CSV files.",
            self.save,
            SAVE_KEY,
            self,
        )
        self.column.addWidget(self.boxes)
        self.column.addLayout(row(titled("Pixel", tooltip), self.pixel_size, stretch=1))
        # Below each other: side by side there is no room for their keys in a narrow dock.
        for part in (self.measure_button, self.cancel_button, self.progress, self.status, self.save_button):
            self.column.addWidget(part)
        self.column.addStretch(1)

    # The viewer

    def connect_viewer(self) -> None:
        """Begin to follow the viewer."""
        self.boxes.connect_viewer()
        self._on_layer()

    def disconnect_viewer(self) -> None:
        """Let go of the viewer and stop measuring."""
        self._jobs.abandon()
        self.boxes.disconnect_viewer()

    @property
    def busy(self) -> bool:
        """Whether boxes are being measured, or tables written."""
        return self._jobs.busy

    def _on_layer(self) -> None:
        layer = self.boxes.layer
        if not self.busy:
            measured = None if layer is None else measured_of(layer)
            say(self.status, _EMPTY if layer is None else "" if measured is None else _summary(measured))
        self._refresh()

    def _refresh(self) -> None:
        layer = self.boxes.layer
        self.measure_button.setEnabled(layer is not None and not self.busy)
        self.save_button.setEnabled(layer is not None and not self.busy and measured_of(layer) is not None)

    # Measuring

    def measure(self) -> None:
        """Measure the boxes of the chosen layer."""
        layer = self.boxes.layer
        if self.busy or layer is None:
            return
        try:
            task = measuring_task(layer, self._viewer.layers, self.pixel_size.value() or None)
        except UserError as error:
            warn(str(error), self)
            return
        self._layer = layer
        say(self.status, f"Measuring {task.boxes:,} boxes ...")
        self._begin(lambda on_event: MeasuringJob(task, on_event))
        self.cancel_button.setEnabled(True)

    def cancel(self) -> None:
        """Stop measuring; the layer stays as it is."""
        if self.busy:
            self.cancel_button.setEnabled(False)
            self.progress.stopping()
            say(self.status, "Cancelling ...")
            self._jobs.cancel()

    def _begin(self, begin: Callable[[Any], Any]) -> None:
        self.progress.begin()
        self._jobs.start(begin)
        self._refresh()

    def _end(self) -> None:
        self.progress.hide()
        self.cancel_button.setEnabled(False)
        self._refresh()

    def _on_news(self, news: dict[str, Any]) -> None:
        if self.cancel_button.isEnabled():
            self.progress.update_to(news["done"], news["total"])

    def _on_finished(self, outcome: Any) -> None:
        layer, self._layer = self._layer, None
        if isinstance(outcome, Measured):
            if layer not in self._viewer.layers:
                say(self.status, "The layer was removed meanwhile, and its numbers with it.")
            else:
                put_measured(layer, outcome)
                say(self.status, _summary(outcome))
        else:
            say(self.status, escape(outcome))
        self._end()

    def _on_failed(self, text: str) -> None:
        self._layer = None
        say(self.status, escape(text))
        fail(text, self)
        self._end()

    def _on_cancelled(self) -> None:
        self._layer = None
        say(self.status, "Cancelled; nothing was changed.")
        self._end()

    # Saving

    def save(self) -> None:
        """Ask where to, and write the tables there."""
        layer = self.boxes.layer
        measured = None if layer is None else measured_of(layer)
        if self.busy or layer is None or measured is None:
            return
        start = Path(remembered("folder of tables", str(Path.home()))) / f"{Path(measured.task.name).stem}_objects.csv"
        name, _ = QFileDialog.getSaveFileName(
            self,
            "Table of the objects; that of the planes gets a file beside it",
            str(start),
            "Tables (*.csv)",
            options=QFileDialog.Option.DontConfirmOverwrite,
        )
        if not name:
            return
        objects, planes = table_names(name)
        taken = [path.name for path in (objects, planes) if os.path.lexists(path)]
        if taken and not self._may_replace(taken, objects.parent):
            return
        remember("folder of tables", str(objects.parent))
        old = measured.task.revision != box_layer(layer).revision

        def write() -> str:
            measured.tables.save(objects, planes, overwrite=bool(taken))
            later = " The boxes have changed since they were measured." if old else ""
            return f"{objects.name} and {planes.name} written to {objects.parent}.{later}"

        say(self.status, "Writing the tables ...")
        self._begin(lambda on_event: _Writing(write))

    def _may_replace(self, names: list[str], folder: Path) -> bool:
        """Ask once for both files; the dialog knows only of one."""
        verb = "exists" if len(names) == 1 else "exist"
        answer = QMessageBox.question(
            self, "Replace tables", f"{' and '.join(names)} {verb} already in {folder}. Replace?"
        )
        return bool(answer == QMessageBox.StandardButton.Yes)


class _Writing:
    """A job that is quickly done and need not be stopped."""

    def __init__(self, write: Callable[[], str]) -> None:
        self._write = write

    def cancel(self) -> None:
        """Half a table is of no use."""

    def result(self, timeout: float | None = None) -> str:
        """Write."""
        return self._write()


def table_names(name: str) -> tuple[Path, Path]:
    """Return the files of objects and planes for the name that was chosen.

    >>> [path.name for path in table_names("cells_objects.csv")], [path.name for path in table_names("a")]
    (['cells_objects.csv', 'cells_planes.csv'], ['a.csv', 'a_planes.csv'])
    """
    path = Path(name)
    if path.suffix.lower() != ".csv":
        path = path.with_name(path.name + ".csv")
    stem = path.stem.removesuffix("_objects")
    return path, path.with_name(f"{stem}_planes{path.suffix}")


def _summary(measured: Measured) -> str:
    planes = measured.tables.planes
    number = len(planes)
    parts = [
        f"<b>{len(measured.tables.objects):,} boxes</b> on {number:,} plane{'s' if number != 1 else ''} measured, "
        f"{int(planes['count'].sum()):,} of them counted; the numbers are features of the layer."
    ]
    if measured.pixel_size:
        parts.append(f"{measured.pixel_size:.5g} µm a pixel, {escape(measured.size_from)}.")
    else:
        why = escape(measured.size_from) or "The size of a pixel is not known: type it above and measure again."
        parts.append(f"Lengths are in pixels only. {why[:1].upper()}{why[1:]}")
    if not measured.task.marked:
        parts.append("Nothing is marked as finished, so whole planes count.")
    return " ".join(parts)
