"""What the review queue asks the engine: how boxes look, and what the model finds where a person has reviewed."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

from napari_localize.core.errors import UserError
from napari_localize.core.settings import PredictSettings
from napari_localize.engine.client import shared_engine
from napari_localize.plugin.boxes import BoxLayer
from napari_localize.plugin.doubting import check
from napari_localize.plugin.queueing import Looks, Request, model_of, to_check, to_describe
from napari_localize.plugin.teaching import MODEL
from napari_localize.widgets._jobs import Job, JobRunner
from napari_localize.widgets._memory import preference
from napari_localize.widgets._parts import say


class QueueEngine:
    """The part of the queue's bar that waits for the engine."""

    _asked: Request | None
    _boxes: BoxLayer | None
    _build: Any
    _doubts: dict[int, float] | None
    _jobs: JobRunner
    _looks: Looks | None
    _viewer: Any
    _wanted: list[str]
    cancel: Any
    current: Any
    news: Any
    next: Any
    on: Any
    progress: Any

    def _ask(self, *wanted: str) -> None:
        """Ask for how boxes look, and for what the model finds on reviewed planes, one after the other."""
        self._wanted += [one for one in wanted if one not in self._wanted]
        boxes = self._boxes
        while self._wanted and not self._jobs.busy and boxes is not None and boxes.alive:
            what = self._wanted[0]
            try:
                begin = self._looks_job(boxes) if what == "looks" else self._doubts_job(boxes)
            except UserError as error:
                self._wanted.pop(0)
                say(self.news, escape(str(error)))
                continue
            say(self.news, "Looking at the boxes ..." if what == "looks" else "Looking at what is reviewed ...")
            self._jobs.start(begin)

    def _looks_job(self, boxes: BoxLayer) -> Callable[[Any], Job]:
        request = self._asked = to_describe(boxes, self._viewer.layers)
        device = str(preference("engine", "device", "auto"))

        def begin(on_event: Any) -> Job:
            job = shared_engine().describe(
                request.planes, request.keys, request.boxes, MODEL, device=device, on_event=on_event
            )
            return _Looking(job, request)

        return begin

    def _doubts_job(self, boxes: BoxLayer) -> Callable[[Any], Job]:
        request = self._asked = to_check(boxes, self._viewer.layers)
        model = model_of(boxes)
        if model is None:
            raise UserError(
                "The model that made these boxes is not installed; their own scores tell what is suspicious."
            )
        settings = PredictSettings(device=str(preference("engine", "device", "auto")))
        return lambda on_event: shared_engine().predict(request.planes, model, settings, on_event=on_event)

    def _on_news(self, news: dict[str, Any]) -> None:
        if news.get("event") == "progress":
            self.progress.update_to(float(news["done"]), float(news["total"]))
        elif news.get("event") in ("queued", "starting"):
            say(self.news, escape(str(news["text"])))

    def _on_answer(self, answer: Any) -> None:
        boxes, request = self._boxes, self._asked
        what = self._wanted.pop(0)
        if boxes is None or not boxes.alive or request is None or not self.on:
            return
        if what == "looks":
            self._looks = answer
        else:
            self._doubts = check(boxes, request, answer, model_of(boxes) or "")
        say(self.news, "")
        self._build()
        if self.current is None:
            self.next()
        self._ask()

    def _on_failed(self, text: str) -> None:
        self._wanted.clear()
        say(self.news, f"{escape(text)} The queue goes by scores and classes.")

    def _on_cancelled(self) -> None:
        self._wanted.clear()
        say(self.news, "Cancelled; the queue goes by scores and classes.")

    def _on_busy(self, busy: bool) -> None:
        self.cancel.setVisible(busy)
        self.cancel.setEnabled(busy)
        if busy:
            self.progress.begin()
        else:
            self.progress.hide()


class _Looking:
    """A job that describes boxes, and what is made of its answer outside of the GUI thread."""

    def __init__(self, job: Job, request: Request) -> None:
        self._job, self._request = job, request

    def cancel(self) -> None:
        self._job.cancel()

    def result(self, timeout: float | None = None) -> Looks:
        return self._request.looks(self._job.result(timeout))
