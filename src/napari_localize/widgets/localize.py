"""The dock that runs a model."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QLabel, QSpinBox

from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.points import POINT_SIZE, typical_size
from napari_localize.core.settings import PredictSettings
from napari_localize.engine.client import shared_engine
from napari_localize.plugin.boxes import BoxLayer, box_layer
from napari_localize.plugin.keeping import keeper_of
from napari_localize.plugin.layers import Plane, box_index, new_box_layer, view_index
from napari_localize.plugin.pairs import boxes_of, pair
from napari_localize.plugin.regions import Region
from napari_localize.plugin.window import windows_of
from napari_localize.widgets._channels import ChannelPicker
from napari_localize.widgets._dock import Dock, fail, warn
from napari_localize.widgets._filter import FilterBox
from napari_localize.widgets._jobs import JobRunner
from napari_localize.widgets._layers import ImagePicker
from napari_localize.widgets._memory import idle_seconds, preference
from napari_localize.widgets._models import ModelPicker, model_news
from napari_localize.widgets._parts import (
    CancelButton,
    ProgressRow,
    Section,
    button,
    combo,
    hint,
    row,
    say,
    shown_key,
    titled,
)
from napari_localize.widgets._preview import Preview
from napari_localize.widgets._project_run import ProjectRun
from napari_localize.widgets._scope import ScopePicker, count_planes
from napari_localize.widgets._size import SizePicker
from napari_localize.widgets._view import LineWidths

if TYPE_CHECKING:
    from napari.layers import Image

    from napari_localize.models.card import ModelCard
    from napari_localize.project import Project

RUN_KEY, RELEASE_KEY = "Ctrl+Shift+L", "Ctrl+Shift+G"
DEVICES = ("auto", "cpu", "cuda", "cuda:1", "cuda:2", "cuda:3", "mps")
ANSWERS = ("boxes", "points")
_FLUSH_MS = 300


@dataclass
class _Run:
    """What has to be known of the run that is under way."""

    image: Image
    channel_axis: int | None
    planes: list[Plane]
    regions: list[Region | None]
    model: str
    reference: str
    classes: tuple[str, ...]
    preview: Preview
    score: float
    sizes: tuple[float, float]
    points: bool
    waiting: dict[tuple[int, ...], Detections] = field(default_factory=dict)
    done: int = 0
    found: int = 0
    strong: int = 0
    kept: int = 0
    cancelling: bool = False


class LocalizeWidget(Dock):
    """Choose an image and a model, run it, and see as much of the result as score and size let through."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self._widths = LineWidths(self._viewer, self)
        windows_of(self._viewer)
        keeper_of(self._viewer)
        self._jobs = JobRunner(self)
        self._run: _Run | None = None
        self._boxes: BoxLayer | None = None
        self._last_model = ""
        self.image = ImagePicker(self._viewer)
        self.model = ModelPicker("Model", "model", "The model that looks for objects; (i) says what it was trained on.")
        self.scope = ScopePicker(self._viewer)
        self.size = SizePicker()
        self.channels = ChannelPicker()
        self.filter = FilterBox()
        self._build()
        self._flush = QTimer(self)
        self._flush.setSingleShot(True)
        self._flush.setInterval(_FLUSH_MS)
        self._flush.timeout.connect(self._put_waiting)
        self._recount = QTimer(self)
        self._recount.setSingleShot(True)
        self._recount.setInterval(0)
        self._recount.timeout.connect(self._show_counts)
        self.image.changed.connect(self._image_changed)
        self.channels.changed.connect(self._image_changed)
        self.answer.currentIndexChanged.connect(self._find_boxes)
        self.model.changed.connect(self._model_changed)
        self.size.from_box.connect(self.take_size)
        self.filter.changed.connect(self._apply_filter)
        self._jobs.news.connect(self._on_news)
        self._jobs.finished.connect(self._on_finished)
        self._jobs.failed.connect(self._on_failed)
        self._jobs.cancelled.connect(self._on_cancelled)
        self.everywhere = ProjectRun(self._viewer, self)
        self.everywhere.said.connect(lambda text: say(self.status, text))
        self.everywhere.ready.connect(lambda text: say(self._device_text, text))
        self.everywhere.progressed.connect(self._on_images)
        self.everywhere.shown.connect(self._show_filter)
        self.everywhere.ended.connect(self._on_everywhere_ended)
        self.everywhere.failed.connect(self._on_failed)
        model_news().kept.connect(self.model.choose)
        model_news().use.connect(self.model.choose)
        self._model_changed()
        self.open()
        # napari reads the settings of all plugins at the first question: not while the dock opens.
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.timeout.connect(self._read_preferences)
        self._later.start(0)

    def _build(self) -> None:
        self.run_button = button("Run", "Look for objects.", self.run, RUN_KEY, self)
        self.cancel_button = CancelButton("Stop the run; finished planes stay.", self.cancel)
        self.progress = ProgressRow()
        self.status: QLabel = hint()
        self._empty: QLabel = hint()
        self.device = combo("Where the model runs; auto takes a graphics card when there is one that works.", DEVICES)
        self.batch = QSpinBox()
        self.batch.setRange(0, 256)
        self.batch.setSpecialValueText("automatic")
        self.batch.setToolTip("Tiles at a time; fewer need less memory.")
        self.release_button = button(
            "Release GPU",
            "Stop the engine and give its memory back; the next run starts it again.",
            self._release,
            RELEASE_KEY,
            self,
        )
        self._device_text: QLabel = hint()
        say(self._device_text, "The engine starts with the first run.")
        self.answer = combo("What a run gives: boxes, or points at their centres.", ANSWERS)
        advanced = Section("Channels, answer, device", "Which channels the model sees, what it gives, where it runs.")
        advanced.rows.addWidget(self.channels)
        advanced.rows.addLayout(row(titled("Answer", self.answer.toolTip()), self.answer, stretch=1))
        advanced.rows.addLayout(row(titled("Device", self.device.toolTip()), self.device, stretch=1))
        advanced.rows.addLayout(row(titled("Batch", self.batch.toolTip()), self.batch, stretch=1))
        advanced.rows.addWidget(self._device_text)
        advanced.rows.addWidget(self.release_button)
        for part in (self.image, self.model, self.scope, self.size, advanced):
            self.column.addWidget(part)
        self.column.addLayout(row(self.run_button, self.cancel_button))
        for part in (self.progress, self.status, self._empty, self.filter):
            self.column.addWidget(part)
        self.column.addStretch(1)
        self.setMinimumWidth(300)

    def _read_preferences(self) -> None:
        self.device.setCurrentText(str(preference("engine", "device", "auto")))

    # The viewer

    def connect_viewer(self) -> None:
        self.image.connect_viewer()
        self._viewer.dims.events.current_step.connect(self._recount_soon)
        self._viewer.layers.events.inserted.connect(self._find_boxes)
        self._viewer.layers.events.removed.connect(self._find_boxes)
        keeper_of(self._viewer).project_changed.connect(self._project_changed)
        self._project_changed()
        self.everywhere.follow()
        self._widths.start()
        self._image_changed()

    def disconnect_viewer(self) -> None:
        self._jobs.abandon()
        self.everywhere.abandon()
        self._end_run()
        self.image.disconnect_viewer()
        self._viewer.dims.events.current_step.disconnect(self._recount_soon)
        self._viewer.layers.events.inserted.disconnect(self._find_boxes)
        self._viewer.layers.events.removed.disconnect(self._find_boxes)
        keeper_of(self._viewer).project_changed.disconnect(self._project_changed)
        self._widths.stop()
        self._follow(None)

    def _project_changed(self) -> None:
        self.scope.set_project(keeper_of(self._viewer).project)

    def _image_changed(self) -> None:
        image = self.image.layer
        self.channels.set_image(image)
        self.scope.set_planes(count_planes(image, self.channels.axis))
        self._find_boxes()

    @property
    def points(self) -> bool:
        """Whether a run gives points."""
        return self.answer.currentText() == ANSWERS[1]

    def _find_boxes(self) -> None:
        image = self.image.layer
        layers, axis = self._viewer.layers, self.channels.axis
        self._follow(None if image is None else boxes_of(image, layers, axis, points=self.points))

    def _follow(self, boxes: BoxLayer | None) -> None:
        if boxes is not self._boxes:
            if self._boxes is not None:
                self._boxes.changed.disconnect(self._recount_soon)
            self._boxes = boxes
            if boxes is not None:
                boxes.changed.connect(self._recount_soon)
                self.filter.set_limits(boxes.largest())
                # The size of a point is a nominal one.
                self.filter.size_slider.setEnabled(not boxes.points)
                run = self._run
                # The boxes of an image that a model runs on get the filter of the run sooner or later.
                if run is not None and run.image is self.image.layer:
                    self.filter.set_filter(run.score, run.sizes)
                else:
                    self.filter.set_filter(*boxes.filter)
        self._show_counts()

    def _recount_soon(self) -> None:
        self._recount.start()

    # Running

    @property
    def busy(self) -> bool:
        """Whether a model is running."""
        return self._jobs.busy or self.everywhere.busy

    def run(self) -> None:
        """Look for objects in the chosen part of the chosen image, or in all images of the project."""
        if self.busy:
            return
        image, card = self.image.layer, self.model.card
        project = keeper_of(self._viewer).project if self.scope.project.isChecked() else None
        try:
            if card is None:
                raise UserError("There is no model; import one with 'napari-localize models import FILE'.")
            settings = PredictSettings(
                object_diameter=self.size.diameter,
                channel=self.channels.channel,
                device=self.device.currentText(),
                batch_size=self.batch.value() or None,
            )
            if project is not None:
                self._run_project(project, card, settings)
                return
            if image is None:
                raise UserError("There is no image; open one, or choose one from File > Open Sample.")
            planes, regions = self.scope.resolve(image, self.channels.axis)
        except UserError as error:
            warn(str(error), self)
            return
        self._take_threshold(card)
        axis = self.channels.axis
        score, sizes = self.filter.score, self.filter.sizes
        preview = Preview(self._viewer, image, axis, score)
        self._run = _Run(
            image,
            axis,
            planes,
            regions,
            self.model.name,
            card.reference,
            tuple(card.classes),
            preview,
            score,
            sizes,
            self.points,
        )
        self._begin()
        sources, model = [plane.source for plane in planes], self.model.name
        idle = idle_seconds()

        def begin(on_event: Any) -> Any:
            engine = shared_engine()
            engine.idle_seconds = idle
            return engine.predict(sources, model, settings, regions=regions, on_event=on_event)

        self._jobs.start(begin)

    def _run_project(self, project: Project, card: ModelCard, settings: PredictSettings) -> None:
        if not project.images():
            raise UserError(f"{project.path.name} has no images yet; add some in the Project dock.")
        self._take_threshold(card)
        self._begin()
        self.everywhere.start(
            project,
            self.model.name,
            card.reference,
            settings,
            again=self.scope.again.isChecked(),
            points=self.points,
            shown=(self.filter.score, self.filter.sizes),
        )

    def _take_threshold(self, card: ModelCard) -> None:
        if self.model.name != self._last_model:
            self._last_model = self.model.name
            self.filter.set_score(card.threshold)

    def _begin(self) -> None:
        self.run_button.setEnabled(False)
        self.cancel_button.setEnabled(True)
        self.progress.begin()
        say(self.status, "Starting ...")
        say(self._empty, "")
        self.size.say_found("")

    def cancel(self) -> None:
        """Stop the run; planes that are finished, or images of the project that are, keep their boxes."""
        if not self.busy:
            return
        self.cancel_button.setEnabled(False)
        self.progress.stopping()
        say(self.status, "Cancelling ...")
        if self._run is not None:
            self._run.cancelling = True
            self._jobs.cancel()
        else:
            self.everywhere.cancel()

    def _on_images(self, done: float, total: int) -> None:
        self.progress.update_to(done, total)

    def _show_filter(self) -> None:
        if self._boxes is not None:
            self.filter.set_filter(*self._boxes.filter)

    def _on_everywhere_ended(self, text: str) -> None:
        self._end_run()
        say(self.status, text)

    def _on_news(self, news: dict[str, Any]) -> None:
        run = self._run
        if run is None:
            return
        kind, plane = news.get("event"), int(news.get("plane", 0))
        if kind in ("queued", "starting", "message"):
            say(self.status, escape(str(news["text"])))
        elif kind == "ready":
            say(self._device_text, escape(str(news["text"])))
            say(self.status, "")
        elif kind == "progress" and not run.cancelling:
            part = news["done"] / max(news["total"], 1)
            self.progress.update_to(plane + part, len(run.planes))
        elif kind == "diameter":
            self.size.say_found(escape(str(news["text"])))
        elif kind == "boxes":
            run.preview.add(run.planes[plane].index, news["detections"])
        elif kind == "plane":
            run.done += 1
            run.found += len(news["detections"])
            run.strong += int((news["detections"].scores >= run.score).sum())
            run.waiting[run.planes[plane].index] = news["detections"]
            if not self._flush.isActive():
                self._flush.start()

    def _put_waiting(self) -> None:
        """Show the planes that are finished; many together, for each call draws the layer anew."""
        run = self._run
        if run is None or not run.waiting or run.image not in self._viewer.layers:
            return
        proposals, run.waiting = run.waiting, {}
        boxes = boxes_of(run.image, self._viewer.layers, run.channel_axis, points=run.points)
        if boxes is None:
            size = typical_size(found[found.scores >= run.score] for found in proposals.values())
            layer = new_box_layer(
                run.image,
                run.classes,
                channel_axis=run.channel_axis,
                point_size=size or POINT_SIZE if run.points else None,
            )
            pair(layer, run.image)
            boxes = box_layer(layer)
            boxes.set_filter(run.score, run.sizes)
            self._viewer.add_layer(layer)
        keeper_of(self._viewer).note_model(boxes.layer, run.reference)
        boxes.set_filter(run.score, run.sizes)
        run.kept += boxes.set_proposals(proposals, run.reference, region=run.regions[0])
        self._widths.apply()
        if self.image.layer is run.image and self.points == run.points:
            self._follow(boxes)

    def _on_finished(self, _: object) -> None:
        run = self._run
        self._flush.stop()
        self._put_waiting()
        self._end_run()
        if run is None:
            return
        if run.image not in self._viewer.layers:
            say(self.status, f"{escape(repr(run.image.name))} was closed meanwhile, so nothing is shown.")
        elif not run.found:
            say(self.status, "Nothing was found. Try another size, another channel or another model.")
        elif not run.strong:
            score = f"{run.score:.3f}"
            say(
                self.status, f"Nothing has a score of {score} or more; lower the score to see {run.found} weaker boxes."
            )
        elif run.kept:
            say(self.status, f"{run.kept} boxes of the model lie on boxes that you have judged; yours stay.")
        else:
            say(self.status, "")

    def _on_failed(self, text: str) -> None:
        self._flush.stop()
        self._put_waiting()
        self._end_run()
        say(self.status, escape(text))
        fail(text, self)

    def _on_cancelled(self) -> None:
        run = self._run
        self._flush.stop()
        self._put_waiting()
        self._end_run()
        if run is not None:
            whole = len(run.planes)
            say(self.status, f"Cancelled; {run.done} of {whole} planes are done." if whole > 1 else "Cancelled.")

    def _end_run(self) -> None:
        if self._run is not None:
            self._run.preview.close()
            self._run = None
        self.run_button.setEnabled(True)
        self.cancel_button.setEnabled(False)
        self.progress.hide()

    def _release(self) -> None:
        engine = shared_engine()
        if not engine.running:
            say(self._device_text, "The engine is not running; nothing is held.")
            return
        if self.busy or engine.busy:
            warn("The engine is at work; cancel the run in Localize or the training in Retrain first.", self)
            return
        # Waiting for the child to end may take seconds.
        threading.Thread(target=engine.release, daemon=True).start()
        say(self._device_text, "Released; the engine starts again with the next run.")

    # The result

    def _model_changed(self) -> None:
        card = self.model.card
        if card is not None and self._boxes is None:
            self.filter.set_score(card.threshold)

    def take_size(self) -> None:
        """Take the object diameter from the box that is selected."""
        self.size.take_from(self._viewer.layers.selection.active, self.image.layer)

    def _apply_filter(self) -> None:
        if self._run is not None and self._run.image is self.image.layer:
            self._run.score, self._run.sizes = self.filter.score, self.filter.sizes
        if self._boxes is not None:
            self._boxes.set_filter(self.filter.score, self.filter.sizes)

    def _show_counts(self) -> None:
        boxes, image = self._boxes, self.image.layer
        self.filter.setVisible(boxes is not None)
        ready = boxes is None and image is not None and not self.busy
        say(self._empty, f"Press Run to find objects, or {shown_key(RUN_KEY)}." if ready else "")
        if boxes is None or image is None:
            return
        self.filter.set_limits(boxes.largest())
        many = count_planes(image, self.channels.axis) > 1
        here = box_index(view_index(image, self._viewer.dims.point), self.channels.axis) if many else None
        self.filter.show_counts(boxes.counts(here), boxes.totals(here), boxes.classes)
        if many:
            shown, total = sum(count.shown for count in boxes.counts().values()), sum(boxes.totals().values())
            self.filter.show_whole(f"On all planes {shown} of {total}.")
        else:
            self.filter.show_whole("")
