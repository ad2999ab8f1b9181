"""Evaluating in the window: a task is taken from the layers, a job does it, and its outcome is asked at any threshold."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from napari_localize.core.annotations import Annotations, split_plane_name
from napari_localize.core.errors import Cancelled, UserError
from napari_localize.core.settings import PredictSettings
from napari_localize.engine.client import Engine
from napari_localize.evaluation.evaluation import Evaluation
from napari_localize.evaluation.making import finish_report
from napari_localize.evaluation.receipt import fingerprint, models_of, notes_on
from napari_localize.models.identity import identify, identify_only
from napari_localize.plugin.sides import Side, on_planes_of

if TYPE_CHECKING:
    from napari_localize.core.detections import Detections
    from napari_localize.evaluation.report import EvaluationReport

    OnEvent = Callable[[dict[str, Any]], None]

_MODEL_PART = 0.9
"""How much of the time a model takes, where one is run."""


@dataclass(frozen=True)
class EvaluatingTask:
    """What is to be compared; holds pixels of layers, but no layers.

    Attributes
    ----------
    truth : Side
    found : Side or None
        None to run a model on the planes of the truth.
    model : str
        The name of the model that is to be run.
    iou : float
    distance : float or None
        Largest distance of a hit in pixels, where centres are compared.
    ignore_classes : bool
        Take all objects for ones of the same class.
    settings : PredictSettings
        For the run.
    threshold : float or None
        Where the filter of the layer, or the card of the model, sets it.
    """

    truth: Side
    found: Side | None
    model: str = ""
    iou: float = 0.5
    distance: float | None = None
    ignore_classes: bool = False
    settings: PredictSettings = PredictSettings()  # noqa: RUF009 - frozen
    threshold: float | None = None

    @property
    def stamp(self) -> str:
        """Changes with the boxes of either side."""
        sides = (self.truth, self.found)
        known = [
            f"{sorted(side.planes.reviewed)} {sorted(side.planes.areas.items())}" for side in sides if side is not None
        ]
        return " ".join([*known, *(fingerprint(side.planes) for side in sides if side is not None)])


@dataclass(frozen=True)
class Outcome:
    """What a task came to.

    Attributes
    ----------
    task : EvaluatingTask
    found : Annotations
        What was compared with the truth.
    evaluation : Evaluation
    model : dict or None
        What is known of the model.
    threshold : float
        To begin with: that of the layer or the model, or else the best one.
    stamp : str
    """

    task: EvaluatingTask
    found: Annotations
    evaluation: Evaluation
    model: dict[str, Any] | None
    threshold: float
    stamp: str

    def numbers(self, threshold: float) -> EvaluationReport:
        """Return the numbers at a threshold, at once; without receipt and pictures."""
        return self.evaluation.report(threshold)

    def report(self, threshold: float) -> EvaluationReport:
        """Return the numbers at a threshold, with receipt, methods and pictures; files are read for their hashes."""
        task = self.task
        sources: dict[str, str | os.PathLike[str]] = {
            "annotations": task.truth.path or task.truth.words,
            "predictions": self.words,
        }
        return finish_report(
            self.evaluation,
            self.found,
            task.truth.planes,
            threshold=threshold,
            sources=sources,
            model=self.model,
            images=task.truth.sources,
        )

    @property
    def words(self) -> str:
        """What is judged."""
        if self.task.found is not None:
            return self.task.found.words
        return f"{self.task.model}, run on these planes"


class EvaluatingJob:
    """Runs the model where one is wanted, and compares, in the thread that asks for the result.

    Parameters
    ----------
    task : EvaluatingTask
    engine : callable
        Returns the engine; only called when a model is run.
    on_event : callable
        Gets the events of the engine, and ``{"event": "progress", "done": ..., "total": 1, "text": ...}`` of the whole.
    """

    def __init__(self, task: EvaluatingTask, engine: Callable[[], Engine], on_event: OnEvent) -> None:
        self._task, self._engine, self._on_event = task, engine, on_event
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._run: Any = None

    def cancel(self) -> None:
        """Stop the model, or the comparison before its next step."""
        self._stop.set()
        with self._lock:
            run = self._run
        if run is not None:
            run.cancel()

    def result(self, timeout: float | None = None) -> Outcome:
        """Do it.

        Raises
        ------
        Cancelled
            When `cancel` was called.
        UserError
            When the two sides do not fit together, or the model cannot be run.
        """
        task = self._task
        before = 0.0 if task.found is not None else _MODEL_PART
        stamp = task.stamp
        if task.found is not None:
            found, notes = on_planes_of(task.found, task.truth)
        else:
            found, notes = self._predict(), []

        def heed(done: float, total: float) -> None:
            if self._stop.is_set():
                raise Cancelled
            self._tell(before + (1 - before) * done / total, "Comparing ...")

        evaluation = Evaluation.of(
            found,
            task.truth.planes,
            iou=task.iou,
            distance=task.distance,
            pixel_size=task.truth.pixel_size,
            ignore_classes=task.ignore_classes,
            on_step=heed,
        )
        evaluation = replace(evaluation, notes=(*task.truth.planes.notes, *notes, *notes_on(found), *evaluation.notes))
        model = identify(task.model) if task.found is None else identify_only(models_of(found))
        threshold = task.threshold
        if threshold is None:
            threshold = (model or {}).get("threshold") or evaluation.best[0]
        return Outcome(task, found, evaluation, model, float(threshold), stamp)

    def _predict(self) -> Annotations:
        """Run the model on the planes of the truth, image by image: the objects of each have a size of their own."""
        truth = self._task.truth
        images: dict[str, list[str]] = {}
        for name in truth.planes:
            images.setdefault(split_plane_name(name)[0], []).append(name)
        found: dict[str, Detections] = {}
        for names in images.values():
            run = self._engine().predict(
                [truth.sources[name] for name in names],
                self._task.model,
                self._task.settings,
                on_event=partial(self._heard, len(found)),
            )
            with self._lock:
                self._run = run
            if self._stop.is_set():
                run.cancel()
            found.update(zip(names, run.result(), strict=True))
        return Annotations({name: found[name] for name in truth.planes})

    def _heard(self, before: int, event: dict[str, Any]) -> None:
        if event.get("event") == "progress":
            done = before + int(event.get("plane", 0)) + event["done"] / max(event["total"], 1)
            self._tell(_MODEL_PART * done / max(len(self._task.truth.planes), 1), "Looking for objects ...")
        else:
            self._on_event(event)

    def _tell(self, part: float, text: str) -> None:
        self._on_event({"event": "progress", "done": part, "total": 1, "text": text})


class SavingJob:
    """Writes a report, whose pictures need pixels that may be slow to read."""

    def __init__(self, outcome: Outcome, threshold: float, path: str, overwrite: bool) -> None:
        self._outcome, self._threshold, self._path, self._overwrite = outcome, threshold, path, overwrite

    def cancel(self) -> None:
        """Half a report is of no use."""

    def result(self, timeout: float | None = None) -> str:
        """Write it, and return the path.

        Raises
        ------
        UserError
            When it cannot be written.
        """
        self._outcome.report(self._threshold).save(self._path, overwrite=self._overwrite)
        return self._path


def check_task(task: EvaluatingTask) -> None:
    """Find what is wrong before anything is computed.

    Raises
    ------
    UserError
        When the two sides do not fit together, or there is no model to run.
    """
    if task.found is not None:
        on_planes_of(task.found, task.truth)
    elif not task.model:
        raise UserError("there is no model to run; import one with 'napari-localize models import FILE'.")
