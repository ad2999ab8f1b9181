"""A model run on all images of the project, open in the viewer or not."""

from __future__ import annotations

from html import escape
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from napari_localize.core.errors import Cancelled, UserError
from napari_localize.core.settings import PredictSettings
from napari_localize.engine.client import shared_engine
from napari_localize.engine.errors import EngineDied, EngineError
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.keeping import keeper_of
from napari_localize.plugin.opening import close_image, layer_of, open_in
from napari_localize.project.running import Found, RunReport, run_on
from napari_localize.widgets._jobs import Job, JobRunner, OnEvent
from napari_localize.widgets._memory import idle_seconds
from napari_localize.widgets._parts import number
from napari_localize.widgets._scope import AGAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_localize.core.detections import Detections
    from napari_localize.core.planes import PlaneSource
    from napari_localize.core.table import Filter
    from napari_localize.project import Project, ProjectImage

DEATHS = 2
"""After so many images in a row at which the engine has died the fault is not theirs."""

_ANSWER_S = 0.2


class _Sweep:
    """A run over images as one job: the engine is asked for one image after the other."""

    def __init__(
        self,
        work: Callable[[_Sweep], RunReport],
        model: str,
        settings: PredictSettings,
        idle: float,
        on_event: OnEvent,
    ) -> None:
        self._work, self._model, self._settings, self._on_event = work, model, settings, on_event
        self._idle = idle
        self._deaths = 0
        self._job: Job | None = None
        self._stop = False

    def cancel(self) -> None:
        self._stop = True
        if self._job is not None:
            self._job.cancel()

    def result(self, timeout: float | None = None) -> RunReport:
        return self._work(self)

    def find(self, planes: Sequence[PlaneSource], tell: Callable[[float], None]) -> list[Detections]:
        def on_event(event: dict[str, Any]) -> None:
            if event["event"] == "progress":
                tell((event["plane"] + event["done"] / max(event["total"], 1)) / len(planes))
            elif event["event"] in ("queued", "starting", "message", "ready"):
                self._on_event(event)

        if self._stop:
            raise Cancelled
        engine = shared_engine()
        engine.idle_seconds = self._idle
        try:
            self._job = engine.predict(planes, self._model, self._settings, on_event=on_event)
            if self._stop:
                self._job.cancel()
            found: list[Detections] = self._job.result()
        except EngineError as error:
            # Something about this image; the others may be well.
            raise UserError(str(error)) from error
        except EngineDied as error:
            self._deaths += 1
            if self._deaths == DEATHS:
                raise
            raise UserError(str(error)) from error
        self._deaths = 0
        return found

    def tell(self, done: float, total: int, name: str) -> None:
        self._on_event({"event": "images", "done": done, "total": total, "name": name})

    def show(self, image: ProjectImage, found: Found) -> int | None:
        """Ask the thread of the window, which alone may touch a layer, to show what was found if the image is open."""
        answers: SimpleQueue[int | UserError | None] = SimpleQueue()
        self._on_event({"event": "found", "image": image, "found": found, "answers": answers})
        while not self._stop:
            try:
                answer = answers.get(timeout=_ANSWER_S)
            except Empty:
                continue
            if isinstance(answer, UserError):
                raise answer
            return answer
        raise Cancelled

    def stored(self, image: ProjectImage) -> None:
        self._on_event({"event": "stored", "image": image})


class ProjectRun(QObject):
    """Runs a model on the images of a project; what is done stays when it is stopped."""

    said = Signal(str)
    """What is going on, as rich text."""
    ready = Signal(str)
    """On what the engine runs."""
    progressed = Signal(float, int)
    """How many images of how many."""
    shown = Signal()
    """The boxes of an image that is open are others."""
    ended = Signal(str)
    """What has become of it, as rich text."""
    failed = Signal(str)
    """One sentence."""

    def __init__(self, viewer: Any, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._project: Project | None = None
        self._origin = ""
        self._points = False
        self._shown: Filter = (0.0, (0.0, 0.0))
        self._text = ""
        self._cancelling = False
        self._closed: set[int] = set()
        self._jobs = JobRunner(self)
        self._jobs.news.connect(self._on_news)
        self._jobs.finished.connect(self._on_finished)
        self._jobs.failed.connect(self._on_failed)
        self._jobs.cancelled.connect(self._on_cancelled)

    @property
    def busy(self) -> bool:
        """Whether a model is running."""
        return self._jobs.busy

    def start(
        self,
        project: Project,
        model: str,
        origin: str,
        settings: PredictSettings,
        *,
        again: bool,
        points: bool,
        shown: Filter,
    ) -> None:
        """Begin with the first image; the parameters are those of `project.running.run_on`."""
        self._project, self._origin, self._points, self._shown = project, origin, points, shown
        self._text, self._cancelling = "", False
        self._closed.clear()

        def work(sweep: _Sweep) -> RunReport:
            return run_on(
                project,
                project.images(),
                sweep.find,
                origin,
                settings,
                again=again,
                points=points,
                shown=shown,
                progress=sweep.tell,
                show=sweep.show,
                stored=sweep.stored,
            )

        keeper_of(self._viewer).note_model_in(project, origin)
        idle = idle_seconds()
        self._jobs.start(lambda on_event: _Sweep(work, model, settings, idle, on_event))

    def cancel(self) -> None:
        """Stop; images that are done keep their boxes."""
        self._cancelling = True
        self._jobs.cancel()

    def follow(self) -> None:
        """Stop when another project is opened."""
        keeper_of(self._viewer).project_changed.connect(self._project_changed)

    def abandon(self) -> None:
        """Stop, as nobody waits for it, and follow the project no more."""
        keeper_of(self._viewer).project_changed.disconnect(self._project_changed)
        self._jobs.abandon()

    def _on_news(self, news: dict[str, Any]) -> None:
        kind = news["event"]
        if kind == "images":
            self._text = f"image {int(news['done']) + 1} of {news['total']}"
            if not self._cancelling:
                self.progressed.emit(news["done"], news["total"])
                self.said.emit(escape(f"{self._text.capitalize()}: {news['name']}"))
        elif kind == "found":
            try:
                news["answers"].put(self._show(news["image"], news["found"]))
            except UserError as error:
                news["answers"].put(error)
        elif kind == "stored":
            self._on_stored(news["image"])
        elif kind == "ready":
            self.ready.emit(escape(str(news["text"])))
        else:
            self.said.emit(escape(str(news["text"])))

    def _show(self, image: ProjectImage, found: Found) -> int | None:
        layer = layer_of(self._viewer, image)
        if layer is None:
            return None
        boxes = box_layer(layer)
        if self._points and not boxes.points and not len(boxes):
            # Where nothing is yet there will be points, in a layer that is made for them.
            self._closed.add(image.id)
            close_image(self._viewer, image)
            return None
        boxes.set_filter(*self._shown)
        kept = boxes.set_proposals(found, self._origin)
        self.shown.emit()
        return kept

    def _on_stored(self, image: ProjectImage) -> None:
        try:
            now = image.project.image(image.id)
            layer = layer_of(self._viewer, now)
            if layer is not None:
                # It was opened while its boxes were on their way to the disk.
                close_image(self._viewer, now)
            if layer is not None or image.id in self._closed:
                open_in(self._viewer, now)
        except UserError as error:
            self.said.emit(escape(str(error)))
        else:
            keeper_of(self._viewer).image_stored.emit(now)

    def _project_changed(self) -> None:
        if self.busy and keeper_of(self._viewer).project is not self._project:
            self._jobs.abandon()
            self.ended.emit("Stopped, as another project was opened; images that are done keep their boxes.")

    def _refresh(self) -> None:
        keeper_of(self._viewer).project_changed.emit()

    def _on_finished(self, report: RunReport) -> None:
        self._refresh()
        self.ended.emit(escape(_sentence(report), quote=False))

    def _on_failed(self, sentence: str) -> None:
        self._refresh()
        self.failed.emit(sentence)

    def _on_cancelled(self) -> None:
        self._refresh()
        where = f" at {self._text}" if self._text else ""
        self.ended.emit(f"Cancelled{where}. What is done stays, and Run goes on from there.")


def _sentence(report: RunReport) -> str:
    parts = []
    if report.images or not report.before:
        boxes = number(report.boxes, "box", "boxes")
        parts.append(f"{number(report.images, 'image')} done, {number(report.planes, 'plane')}: {boxes} found.")
    if report.before:
        parts.append(
            f"On {number(len(report.before), 'image')} this model had run in the same way; "
            f"tick {AGAIN!r} to do that once more."
        )
    if report.kept:
        parts.append(
            f"{number(report.kept, 'box', 'boxes')} of the model lie on boxes that you have judged; yours stay."
        )
    if report.failed:
        name, reason = next(iter(report.failed.items()))
        more = f" and {len(report.failed) - 1} more" if len(report.failed) > 1 else ""
        parts.append(f"Not done: {Path(name).name}{more}; {reason}")
    return " ".join(parts)
