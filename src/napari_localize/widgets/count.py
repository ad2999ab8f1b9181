"""The dock that counts: with an interval, from planes that were drawn by lot and reviewed."""

from __future__ import annotations

import os
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

from napari.utils.notifications import show_info
from qtpy.QtCore import QSignalBlocker, QTimer
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QComboBox, QFileDialog, QLabel, QMessageBox, QVBoxLayout, QWidget

from napari_localize.core.errors import UserError
from napari_localize.core.files import atomic_path
from napari_localize.core.lots import Lot, Place
from napari_localize.evaluation.counts import Counting, CountReport
from napari_localize.evaluation.paper import for_a_paper
from napari_localize.plugin.boxes import BoxLayer, box_layer
from napari_localize.plugin.counting import (
    UNSAVED,
    Counted,
    CountedLayer,
    CountedProject,
    Planes,
    card_of,
    draw_by_lot,
    next_drawn,
)
from napari_localize.plugin.keeping import keeper_of
from napari_localize.plugin.layers import is_box_layer
from napari_localize.widgets._boxes_picker import BoxesPicker
from napari_localize.widgets._count_planes import PlaneTable
from napari_localize.widgets._count_result import CountResult
from napari_localize.widgets._count_sample import SampleBar
from napari_localize.widgets._dock import Dock, warn
from napari_localize.widgets._jobs import JobRunner
from napari_localize.widgets._memory import remember, remembered
from napari_localize.widgets._parts import (
    CancelButton,
    ProgressRow,
    Section,
    button,
    combo,
    hint,
    line,
    row,
    say,
    titled,
)
from napari_localize.widgets._project_actions import Task

SAVE_KEY, TEXT_KEY, COMMAND_KEY = "Alt+Shift+E", "Alt+Shift+C", "Alt+Shift+K"

_NO_BOXES = "Run a model in <b>Localize</b> on all planes of a stack, or on the images of a project; what it finds is counted here."
_NO_MODEL = "No model has worked on these planes. Run one on all of them in <b>Localize</b>, then count what it finds."
_ONE_PLANE = (
    "This layer has a single plane, so there are no others to estimate. Open a stack, or keep your images in a "
    "<b>Project</b> and count the whole of it."
)
_EDIT_MS = 200
_LAYER, _PROJECT = 0, 1


class CountWidget(Dock):
    """Draw planes by lot, and see how many objects there are on all of them, at any threshold."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self._keeper = keeper_of(self._viewer)
        self.counted: Counted | None = None
        """What is counted: a layer, or a project."""
        self._watched: list[BoxLayer] = []
        self._stored: Planes = {}
        self._open: set[int] = set()
        self._planes: Planes = {}
        self._lot = Lot()
        self._counting: Counting | None = None
        self.report: CountReport | None = None
        self._model = ""
        self._jobs = JobRunner(self)
        self._jobs.news.connect(self._on_news)
        self._jobs.finished.connect(self._on_read)
        self._jobs.failed.connect(self._on_failed)
        self._jobs.cancelled.connect(self._on_cancelled)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(_EDIT_MS)
        self._later.timeout.connect(self.recount)
        self.boxes = BoxesPicker(self._viewer)
        self._build()
        self.boxes.changed.connect(self._on_boxes)
        self.scope.currentIndexChanged.connect(self._choose)
        self.sample.draw.connect(self._draw)
        self.sample.go_on.connect(self.go_on)
        self.result.threshold_changed.connect(self._show_report)
        self.planes.chosen.connect(self._show_plane)
        self.open()

    def _build(self) -> None:
        for choice in self.boxes.findChildren(QComboBox):
            choice.setToolTip("The layer whose boxes are counted; a click on one in the layer list chooses it, too.")
        tooltip = "Count the planes of this layer, or those of all images of the project."
        self.scope = combo(tooltip, ("This layer", "Whole project"))
        self.progress = ProgressRow()
        self.cancel_button = CancelButton("Stop reading the project.", self.cancel)
        self.cancel_button.hide()
        self.status: QLabel = hint()
        self.sample = SampleBar()
        self.result = CountResult()
        self.planes = PlaneTable()
        self.planes_section = Section("Planes", "What was found on each plane, and how many objects there are.")
        self.planes_section.rows.addWidget(self.planes)
        self.save_button = button(
            "Save as CSV ...", "Write the tables of classes and of planes as files.", self.save, SAVE_KEY, self
        )
        self.text_button = button(
            "Copy text", "Copy the count as sentences for a paper, with what to cite.", self.copy_text, TEXT_KEY, self
        )
        self.command_button = button(
            "Copy command", "Copy the command line that counts the same.", self.copy_command, COMMAND_KEY, self
        )
        self._body = QWidget()
        body = QVBoxLayout(self._body)
        body.setContentsMargins(0, 0, 0, 0)
        for part in (
            self.sample,
            line(),
            self.result,
            self.planes_section,
            self.save_button,
            self.text_button,
            self.command_button,
        ):
            body.addWidget(part)
        self.column.addWidget(self.boxes)
        self.column.addLayout(row(titled("Count", tooltip), self.scope, stretch=1))
        for part in (self.status, self.progress, self.cancel_button, self._body):
            self.column.addWidget(part)
        self.column.addStretch(1)

    # The viewer

    def connect_viewer(self) -> None:
        """Begin to follow the viewer."""
        self.boxes.connect_viewer()
        for event in (self._viewer.layers.events.inserted, self._viewer.layers.events.removed):
            event.connect(self._on_layers)
        self._keeper.project_changed.connect(self._on_project)
        self._choose()

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        self._jobs.abandon()
        self._later.stop()
        self._watch([])
        for event in (self._viewer.layers.events.inserted, self._viewer.layers.events.removed):
            event.disconnect(self._on_layers)
        self._keeper.project_changed.disconnect(self._on_project)
        self.boxes.disconnect_viewer()

    @property
    def busy(self) -> bool:
        """Whether a project is being read."""
        return self._jobs.busy

    def cancel(self) -> None:
        """Stop reading a project."""
        self._jobs.cancel()

    def _watch(self, layers: list[BoxLayer]) -> None:
        for boxes in self._watched:
            boxes.changed.disconnect(self._edited, missing_ok=True)
        self._watched = layers
        for boxes in layers:
            boxes.changed.connect(self._edited, unique=True)

    def _edited(self) -> None:
        self._later.start()

    def _on_layers(self, event: Any = None) -> None:
        if isinstance(self.counted, CountedProject):
            self._watch_open()
            self._later.start()
        else:
            self._show_scopes()

    def _on_boxes(self) -> None:
        """Count another layer; a project is the same, whichever of its images is open."""
        project = self._keeper.project or self._keeper.unnamed
        if not (isinstance(self.counted, CountedProject) and self.counted.project is project):
            self._choose()

    def _on_project(self) -> None:
        """Read a project again that has become another one, or has got or lost images or boxes."""
        if isinstance(self.counted, CountedProject):
            self._choose()
        else:
            self._show_scopes()

    def _watch_open(self) -> None:
        self._watch([box_layer(layer) for layer in self._viewer.layers if is_box_layer(layer)])

    def _show_scopes(self) -> None:
        """Offer a project where there is one."""
        project = self._keeper.project or self._keeper.unnamed
        name = "Whole project" if self._keeper.project is None else f"Project {self._keeper.project.path.stem}"
        with QSignalBlocker(self.scope):
            self.scope.setItemText(_PROJECT, name)
            self.scope.model().item(_PROJECT).setEnabled(project is not None)
            if project is None:
                self.scope.setCurrentIndex(_LAYER)

    def _choose(self, event: Any = None) -> None:
        """Count another layer, or the project."""
        self._jobs.abandon()
        self._end()
        self._show_scopes()
        layer = self.boxes.layer
        project = self._keeper.project or self._keeper.unnamed
        self._stored, self._open = {}, set()
        if self.scope.currentIndex() == _PROJECT and project is not None:
            self.counted = CountedProject(self._viewer, project)
            self._watch_open()
            self._read(self.counted)
            return
        # A layer of shapes from elsewhere is not taken charge of by being looked at.
        fits = layer is not None and is_box_layer(layer)
        self.counted = CountedLayer(self._viewer, layer) if fits else None
        self._watch([box_layer(layer)] if fits else [])
        if fits:
            # What is shown is counted, unless the model's card tells more.
            self.result.begin_at(box_layer(layer).filter[0])
        self.recount()

    def _read(self, counted: Counted) -> None:
        for boxes in self._watched:
            boxes.reconcile()
        say(self.status, "Reading the project ...")
        self.progress.begin()
        self.cancel_button.show()
        self.cancel_button.setEnabled(True)
        self._body.setEnabled(False)
        self._jobs.start(lambda on_event: Task(counted.stored_planes, on_event))

    def _on_news(self, news: dict[str, Any]) -> None:
        self.progress.update_to(news["done"], news["total"])

    def _on_read(self, planes: Planes) -> None:
        self._stored = planes
        self._end()
        self.recount()

    def _on_failed(self, text: str) -> None:
        self._end()
        say(self.status, escape(text))

    def _on_cancelled(self) -> None:
        self._end()
        self.scope.setCurrentIndex(_LAYER)

    def _end(self) -> None:
        self.progress.hide()
        self.cancel_button.hide()
        self.cancel_button.setEnabled(False)
        self._body.setEnabled(True)

    # Counting

    def recount(self) -> None:
        """Look at the boxes again."""
        counted = self.counted
        if self.busy:
            return
        if isinstance(counted, CountedLayer) and counted.layer not in self._viewer.layers:
            counted = self.counted = None
        self._planes, self._counting, self.report = {}, None, None
        if counted is not None:
            try:
                self._lot = counted.lot
                # This may read images anew that were closed.
                opened = self._now_open(counted)
                self._planes = self._marked({**self._stored, **opened})
            except UserError as error:
                say(self.status, escape(str(error)))
                self._body.hide()
                return
        problem = self._nothing_to_count()
        say(self.status, problem)
        self._body.setVisible(not problem)
        if problem:
            return
        self._counting = Counting(tuple(self._planes.values()), says_how_chosen=True)
        card = card_of(self._planes)
        self._model = "" if card is None else card.reference
        with QSignalBlocker(self.result):
            self.result.set_card(None if card is None else card.threshold, None if card is None else card.calibration)
        self.sample.show_lot(self._lot, self._planes)
        self.result.show_curve(self._counting.curve())
        self._show_report()

    def _now_open(self, counted: Counted) -> Planes:
        """Return the planes of open layers; images of a project that were closed are read again."""
        planes = counted.open_planes()
        images = {image for image, _ in planes}
        if isinstance(counted, CountedProject):
            self._stored.update(counted.planes_of(self._open - images))
        self._open = images
        return planes

    def _marked(self, planes: Planes) -> Planes:
        drawn = set(self._lot.places)
        return {place: replace(plane, drawn=place in drawn) for place, plane in planes.items()}

    def _nothing_to_count(self) -> str:
        if self.counted is None or not self._planes:
            return _NO_BOXES
        if not any(len(plane.found) for plane in self._planes.values()):
            return _NO_MODEL
        return _ONE_PLANE if len(self._planes) == 1 else ""

    def _show_report(self, threshold: Any = None) -> None:
        if self._counting is None:
            return
        self.report = self._counting.at(self.result.threshold)
        self.result.show_report(self.report)
        places = list(self._planes)
        self.planes.rows.show_planes(self.report.planes, places, [plane.drawn for plane in self._planes.values()])

    # The planes

    def _draw(self, number: int) -> None:
        if self.counted is None:
            return
        left = sum(plane.drawn and plane.known is None for plane in self._planes.values())
        if left and not self._asked_for_more(left, number):
            return
        try:
            lot = draw_by_lot(self.counted, self._planes, number)
        except UserError as error:
            warn(str(error), self)
            return
        self.recount()
        self._go(next_drawn(lot, self._planes))

    def _asked_for_more(self, left: int, number: int) -> bool:
        """Ask before planes are added to a lot that is not done: none of them can be left out again."""
        text = (
            f"{left} of the planes drawn by lot {'is' if left == 1 else 'are'} not finished yet. Draw {number} more, all of "
            "which are to be finished, too?"
        )
        answer = QMessageBox.question(self, "More planes by lot", text)
        return bool(answer == QMessageBox.StandardButton.Yes)

    def go_on(self) -> None:
        """Go to the next plane that was drawn and is not finished."""
        for boxes in self._watched:
            boxes.reconcile()
        self.recount()
        place = next_drawn(self._lot, self._planes)
        if place is None:
            warn("All planes that were drawn are finished; draw more of them, or read the count.", self)
        self._go(place)

    def _show_plane(self, place: Place) -> None:
        self._go(place)

    def _go(self, place: Place | None) -> None:
        if place is None or self.counted is None:
            return
        try:
            self.counted.show(place)
        except UserError as error:
            warn(str(error), self)

    # What is taken along

    def save(self) -> None:
        """Ask where to, and write the tables there."""
        if self.report is None:
            return
        start = Path(remembered("folder of tables", str(Path.home()))) / "count.csv"
        name, _ = QFileDialog.getSaveFileName(
            self,
            "Table of the planes; that of the classes gets a file beside it",
            str(start),
            "Tables (*.csv)",
            options=QFileDialog.Option.DontConfirmOverwrite,
        )
        if not name:
            return
        planes = Path(name if name.lower().endswith(".csv") else name + ".csv")
        classes = planes.with_name(f"{planes.stem}_classes.csv")
        taken = [path.name for path in (planes, classes) if os.path.lexists(path)]
        if taken:
            verb = "exists" if len(taken) == 1 else "exist"
            text = f"{' and '.join(taken)} {verb} already in {planes.parent}. Replace?"
            if QMessageBox.question(self, "Replace tables", text) != QMessageBox.StandardButton.Yes:
                return
        remember("folder of tables", str(planes.parent))
        try:
            for path, table in ((planes, self.report.planes), (classes, self.report.classes)):
                with atomic_path(path, overwrite=bool(taken)) as temporary:
                    table.to_csv(temporary)
        except UserError as error:
            warn(str(error), self)
            return
        show_info(f"{planes.name} and {classes.name} written to {planes.parent}.")

    def copy_text(self) -> None:
        """Copy the count as text for a paper."""
        if self.report is None or self._counting is None:
            return
        from napari_localize import __version__

        seed = self._lot.seed if self._counting.units.by_lot else None
        self._copy(for_a_paper(self.report, self._model, __version__, seed), "The text")

    def copy_command(self) -> None:
        """Copy the command line that counts the same."""
        if self.counted is None or self.report is None:
            return
        source = self.counted.command
        self._copy(f"napari-localize count {source} --threshold {self.result.threshold:.2f}", "The command")
        if source == f'"{UNSAVED}"':
            show_info(f"Save the boxes as {UNSAVED} before you use the command (File, Save Selected Layers).")

    def _copy(self, text: str, what: str) -> None:
        clipboard = QGuiApplication.clipboard()
        assert clipboard is not None
        clipboard.setText(text)
        show_info(f"{what} is in the clipboard.")
