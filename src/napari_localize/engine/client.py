"""Running jobs in the engine from a process that must neither block nor import torch."""

from __future__ import annotations

import itertools
import logging
import shutil
import tempfile
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from napari_localize.core.detections import Detections
from napari_localize.core.errors import Cancelled, UserError
from napari_localize.core.known import EVERYWHERE, KnownArea
from napari_localize.core.planes import PlaneSource
from napari_localize.core.settings import PredictSettings, TrainSettings
from napari_localize.engine import launch
from napari_localize.engine.connection import Connection
from napari_localize.engine.errors import EngineDied, EngineError
from napari_localize.engine.job import Job, OnEvent
from napari_localize.engine.protocol import Message

logger = logging.getLogger(__name__)

KILL_AFTER = 5.0
"""Seconds after which a cancelled job that does not react is ended by force."""

STOPPING_AFTER = {"train": 60.0}
"""Seconds by kind of job that one which has said that it is stopping may take, to keep its result."""


class Engine:
    """The child process that computes, started when it is first needed.

    Events are dicts with their name under ``"event"``. They are given to `on_event` in a thread of the client, one at
    a time and in order; a callback must return soon. ``queued`` (ahead, text), ``starting`` (text), ``ready`` (text:
    the device), ``started``, then those of the computation: ``message`` (text), ``progress`` (done, total),
    ``diameter``, ``boxes`` (plane, detections: the provisional boxes of finished tiles), ``plane`` (plane, detections:
    the final boxes of a finished plane), ``curve``; ``stopping`` after a cancel; and last exactly one of ``done``
    (result), ``failed`` (text, error) and ``cancelled`` (text).

    Parameters
    ----------
    command : sequence of str, optional
        What starts the child; by default this package's engine in this Python environment.
    idle_seconds : float
        The child is stopped after so long without a job.

    Attributes
    ----------
    device_text : str
        The sentence of the last ``ready`` event; empty before.
    """

    def __init__(self, command: Sequence[str] | None = None, *, idle_seconds: float = 600.0) -> None:
        self._command = command
        self._idle_seconds = idle_seconds
        self._lock = threading.RLock()
        self._numbers = itertools.count(1)
        self._jobs: dict[int, Job] = {}
        self._connection: Connection | None = None
        self._idle_timer: threading.Timer | None = None
        self._folder: Path | None = None
        self.device_text = ""

    @property
    def running(self) -> bool:
        """Whether the child runs, and so may hold memory of the GPU."""
        connection = self._connection
        return connection is not None and connection.alive

    @property
    def busy(self) -> bool:
        """Whether a job runs or waits."""
        return bool(self._jobs)

    @property
    def pid(self) -> int | None:
        """Process number of the child."""
        connection = self._connection
        return connection.pid if connection is not None and connection.alive else None

    @property
    def idle_seconds(self) -> float:
        """The child is stopped after so long without a job."""
        return self._idle_seconds

    @idle_seconds.setter
    def idle_seconds(self, seconds: float) -> None:
        with self._lock:
            self._idle_seconds = seconds
            self._arm_idle_timer()

    def start(self) -> None:
        """Start the child now, so that the first job finds it warm."""
        with self._lock:
            self._connected()
            self._arm_idle_timer()

    def predict(
        self,
        planes: Sequence[PlaneSource],
        model: str,
        settings: PredictSettings,
        *,
        regions: Sequence[tuple[int, int, int, int] | None] | None = None,
        on_event: OnEvent | None = None,
    ) -> Job:
        """Find the objects of some planes.

        Parameters
        ----------
        planes : sequence of PlaneSource
            Read tile by tile in a thread of this process.
        model : str
            Name, name@version or file.
        settings : PredictSettings
        regions : sequence of (y0, y1, x0, x1) or None, optional
            For each plane the part to look at, in pixels.
        on_event : callable, optional

        Returns
        -------
        Job
            Its result is a list with the `Detections` of each plane, down to a low floor of the score.
        """
        arguments = {"model": _absolute(model), "settings": asdict(settings), "regions": regions}
        if regions is not None and len(regions) != len(planes):
            raise UserError(f"there are {len(planes)} planes but {len(regions)} regions; give one for each plane.")
        return self.submit("predict", planes, arguments, on_event=on_event)

    def train(
        self,
        planes: Sequence[PlaneSource],
        annotations: Sequence[Detections],
        settings: TrainSettings,
        *,
        names: Sequence[str],
        known: Sequence[KnownArea] | None = None,
        places: Sequence[str] | None = None,
        on_event: OnEvent | None = None,
    ) -> Job:
        """Train a model on the boxes of some planes: wholly, or where they are known to tell everything.

        Parameters
        ----------
        planes, annotations, settings, names, known, places, on_event
            As for `training.train.train_model`.

        Returns
        -------
        Job
            Its result is a dict with ``path`` (str, the candidate model in a temporary folder of this process),
            ``card``, ``comparison``, ``cancelled`` (bool: stopped early; the candidate is the best so far), ``recipe``
            (str: how it learnt) and ``steps``.
        """
        known = [EVERYWHERE] * len(planes) if known is None else known
        if not len(planes) == len(annotations) == len(names) == len(known):
            raise UserError(
                f"there are {len(planes)} planes, {len(annotations)} sets of boxes and {len(names)} names; "
                "give one of each for every plane."
            )
        chosen = asdict(settings)
        if settings.base is not None:
            chosen["base"] = _absolute(settings.base)
        areas = [[area.reviewed, area.ignored] for area in known]
        arguments = {"annotations": list(annotations), "settings": chosen, "names": list(names), "known": areas}
        arguments["places"] = [""] * len(planes) if places is None else list(places)
        return self.submit("train", planes, arguments, on_event=on_event)

    def teach(
        self,
        planes: Sequence[PlaneSource],
        keys: Sequence[str],
        examples: Sequence[Detections],
        rejected: Sequence[Detections],
        model: str,
        *,
        device: str = "auto",
        center: tuple[float, float],
        on_event: OnEvent | None = None,
    ) -> Job:
        """Find what is like some examples.

        Parameters
        ----------
        planes : sequence of PlaneSource
            First the one to look at, then others that examples lie on.
        keys : sequence of str
            For each plane a text that no other plane has; a plane with a known key is not read again.
        examples, rejected : sequence of Detections
            For each plane, in its pixels; all with the same class names, and at least one example in all.
        model : str
            Name, name@version or file of the model whose features are used.
        device : str
            Where it runs.
        center : (x, y)
            Where to look on a plane that is too large to be looked at as a whole: around the example next to this place,
            or here where it has none. The listener hears of it: ``event`` is ``part``, ``region`` y0, y1, x0, x1.

        Returns
        -------
        Job
            Its result are the `Detections` of the first plane.
        """
        if not len(planes) == len(keys) == len(examples) == len(rejected):
            raise UserError(f"there are {len(planes)} planes but examples for {len(examples)}; give one for each.")
        if not any(len(boxes) for boxes in examples):
            raise UserError("there is no example yet; draw a box around one object.")
        arguments = {
            "model": _absolute(model),
            "device": device,
            "keys": list(keys),
            "examples": list(examples),
            "rejected": list(rejected),
            "center": list(center),
        }
        return self.submit("teach", planes, arguments, on_event=on_event)

    def describe(
        self,
        planes: Sequence[PlaneSource],
        keys: Sequence[str],
        boxes: Sequence[Detections],
        model: str,
        *,
        device: str = "auto",
        on_event: OnEvent | None = None,
    ) -> Job:
        """Describe how the objects in some boxes look, so that those that are alike can be found.

        Parameters
        ----------
        planes : sequence of PlaneSource
        keys : sequence of str
            For each plane a text that no other plane has; what is remembered of a plane is used again, as in `teach`.
        boxes : sequence of Detections
            For each plane, in its pixels.
        model : str
            Name, name@version or file of the model whose features are used.
        device : str
            Where it runs.
        on_event : callable, optional
            Gets ``progress`` with the number of planes, also parts of them.

        Returns
        -------
        Job
            Its result is a list with an (N, C) float32 array for each plane, comparable between the planes.
        """
        if not len(planes) == len(keys) == len(boxes):
            raise UserError(f"there are {len(planes)} planes but boxes for {len(boxes)}; give those of each plane.")
        arguments = {"model": _absolute(model), "device": device, "keys": list(keys), "boxes": list(boxes)}
        return self.submit("describe", planes, arguments, on_event=on_event)

    def doctor(self, *, on_event: OnEvent | None = None) -> Job:
        """Examine the engine's surroundings; the result is the dict of `napari_localize.engine.doctor.diagnose`."""
        return self.submit("doctor", [], {}, on_event=on_event)

    def submit(
        self,
        kind: str,
        planes: Sequence[PlaneSource],
        arguments: Mapping[str, Any],
        *,
        on_event: OnEvent | None = None,
    ) -> Job:
        """Queue a job of any kind that the child knows.

        Raises
        ------
        EngineDied
            When the child cannot be started.
        """
        job = Job(kind, planes, arguments, on_event, self._cancel)
        self._dispatch(job)
        return job

    def release(self) -> None:
        """Stop the child and so free the GPU; open jobs end as cancelled. The next job starts a new child."""
        with self._lock:
            connection, self._connection = self._connection, None
            self._disarm_idle_timer()
        if connection is not None:
            connection.stop()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _dispatch(self, job: Job) -> None:
        job.number = next(self._numbers)
        shapes = [plane.shape for plane in job.planes]
        message = {"op": "job", "job": job.number, "kind": job.kind, "planes": shapes, "arguments": job.arguments}
        with self._lock:
            connection = self._connected()
            connection.send(message)
            job.connection = connection
            self._jobs[job.number] = job
            self._disarm_idle_timer()

    def _connected(self) -> Connection:
        if self._connection is None or not self._connection.alive:
            if self._folder is None:
                self._folder = Path(tempfile.mkdtemp(prefix="napari-localize-"))
                weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            command = self._command or launch.command()
            self.device_text = ""
            self._connection = Connection(command, self._folder, self._handle, self._ended, self._planes_of)
        return self._connection

    def _planes_of(self, number: int) -> Sequence[PlaneSource]:
        job = self._jobs.get(number)
        if job is None:
            raise Cancelled("the job is over.")
        return job.planes

    def _handle(self, message: Message) -> None:
        number = message.pop("job", None)
        event = message.get("event")
        with self._lock:  # which `_dispatch` holds until the job is entered
            job = self._jobs.get(number) if number is not None else None
            jobs = list(self._jobs.values())
        if event == "ready":
            self.device_text = str(message["text"])
            for each in jobs:
                each.emit(message)
        if job is None:
            return
        if event in ("done", "failed"):
            self._close(job, message.get("result"), None if event == "done" else _error(message["error"]))
            return
        if event == "started":
            job.started = True
        elif event == "stopping" and job.kind in STOPPING_AFTER:
            self._kill_later(job, STOPPING_AFTER[job.kind])
        job.emit(message)

    def _close(self, job: Job, result: Any, error: Exception | None) -> None:
        with self._lock:
            if self._jobs.pop(job.number, None) is None:
                return
            self._arm_idle_timer()
        job.finish(result, error)

    def _ended(self, connection: Connection, sentence: str) -> None:
        with self._lock:
            by_force = connection is not self._connection
            if not by_force:
                self._connection = None
            jobs = [job for job in self._jobs.values() if job.connection is connection]
        if not (by_force or connection.stopped):
            logger.error("%s", sentence)
        for job in jobs:
            if job.cancelling or connection.stopped:
                self._close(job, None, Cancelled("The job was cancelled."))
            elif by_force and not job.started:
                self._again(job)
            else:
                self._close(job, None, EngineDied(sentence))

    def _again(self, job: Job) -> None:
        """Send a job that was waiting behind one that had to be killed to a new child."""
        with self._lock:
            del self._jobs[job.number]
        try:
            self._dispatch(job)
        except EngineDied as error:
            job.finish(error=error)

    def _cancel(self, job: Job) -> None:
        with self._lock:
            if job.done or job.cancelling or job.connection is None:
                return
            job.cancelling = True
            job.connection.send({"op": "cancel", "job": job.number})
        self._kill_later(job, KILL_AFTER)

    def _kill_later(self, job: Job, seconds: float) -> None:
        timer = threading.Timer(seconds, self._kill, (job,))
        timer.daemon = True
        with self._lock:
            if job.kill_timer is not None:
                job.kill_timer.cancel()
            if job.done:
                return
            job.kill_timer = timer
            timer.start()

    def _kill(self, job: Job) -> None:
        with self._lock:
            connection = job.connection
            if job.number not in self._jobs or connection is None:
                return
            if self._connection is connection:
                self._connection = None
        connection.kill()

    def _arm_idle_timer(self) -> None:
        self._disarm_idle_timer()
        if self._jobs or self._connection is None:
            return
        timer = threading.Timer(self._idle_seconds, self._stop_idle)
        timer.daemon = True
        self._idle_timer = timer
        timer.start()

    def _disarm_idle_timer(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    def _stop_idle(self) -> None:
        with self._lock:
            if self._jobs or self._idle_timer is not threading.current_thread():
                return
            connection, self._connection = self._connection, None
        if connection is not None:
            logger.info("The engine was idle for %g s and is stopped.", self._idle_seconds)
            connection.stop()


@cache
def shared_engine() -> Engine:
    """Return the engine that all parts of this process share."""
    return Engine()


def _absolute(model: str) -> str:
    """Return a model file by its full path: this process may change its folder while the child keeps it."""
    return str(Path(model).absolute()) if model.endswith(".safetensors") else model


def _error(error: Mapping[str, Any]) -> Exception:
    kind, text, details = error["kind"], str(error["text"]), str(error.get("details", ""))
    if kind == "cancelled":
        return Cancelled(text)
    if kind == "user":
        return UserError(text)
    logger.error("%s\n%s", text, details)
    return EngineError(text, details)
