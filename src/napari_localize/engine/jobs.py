"""What the engine does for each kind of job. Torch is imported here, and only when a job or the preparation runs."""

from __future__ import annotations

import math
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_localize.core.known import KnownArea
from napari_localize.core.settings import PredictSettings, TrainSettings
from napari_localize.core.tiling import Rectangle
from napari_localize.engine.server import JobFunction, Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_localize.core.detections import Detections
    from napari_localize.core.planes import PlaneSource
    from napari_localize.models.exemplars import Look
    from napari_localize.models.localizer import Model

_CACHED_MODELS = 3
_LOOK_BYTES = 1 << 29
"""Of the features of planes so much is kept, and always those of the last one."""
_models: dict[tuple[Path, int, str], Model] = {}
_looks: dict[tuple[str, str, str], Look] = {}
_SAME_SIZE = 0.2
"""Sizes whose logarithms differ by less are looked for at the same zoom."""


def prepare() -> str:
    """Import what predicting needs, wake the device, and say which it is."""
    from napari_localize.models import localizer, predict  # noqa: F401
    from napari_localize.models.device import pick_device

    _, text = pick_device("auto")
    return text


def predict(task: Task) -> list[Detections]:
    """Find the objects of each plane."""
    settings = PredictSettings(**task.arguments["settings"])
    model = _model(task.arguments["model"], settings.device)
    device = model.device
    try:
        return _predict_all(task, model, settings)
    finally:
        if model.device != device:
            _models.clear()  # it went to the CPU for want of memory, which need not be so the next time


def _predict_all(task: Task, model: Model, settings: PredictSettings) -> list[Detections]:
    from napari_localize.models.predict import predict_plane, settings_for_stack

    settings = settings_for_stack(
        model, task.planes, settings, on_event=partial(_messages, task), should_stop=task.should_stop
    )
    regions = task.arguments["regions"] or [None] * len(task.planes)
    results = []
    for index, (plane, region) in enumerate(zip(task.planes, regions, strict=True)):

        def tell(event: dict[str, Any], index: int = index) -> None:
            task.emit({**event, "plane": index})

        found = predict_plane(
            model,
            plane,
            settings,
            region=None if region is None else tuple(region),
            on_event=tell,
            should_stop=task.should_stop,
            full=True,
        )
        task.emit({"event": "plane", "plane": index, "detections": found})
        results.append(found)
    return results


def _messages(task: Task, event: dict[str, Any]) -> None:
    """Pass on what is said while a size is found, such as that the memory is full, and no progress."""
    if event["event"] == "message":
        task.emit({**event, "plane": 0})


def train(task: Task) -> dict[str, Any]:
    """Train a candidate and leave it in the client's folder."""
    from napari_localize.models.checks import save_checks
    from napari_localize.models.registry import checks_path
    from napari_localize.training.train import train_model

    task.reads_to_the_end = True
    _models.clear()  # the memory is needed
    _looks.clear()
    try:
        result = train_model(
            task.planes,
            task.arguments["annotations"],
            TrainSettings(**task.arguments["settings"]),
            names=task.arguments["names"],
            known=[KnownArea(*area) for area in task.arguments["known"]],
            places=task.arguments["places"],
            on_event=task.emit,
            should_stop=task.should_stop,
        )
    finally:
        _give_back_memory()
    path = Path(task.folder) / f"candidate-{os.getpid()}-{task.number}.safetensors"
    result.model.save(path)
    if result.checks.windows:
        save_checks(checks_path(path), result.checks)
    return {
        "path": str(path),
        "card": result.model.card.model_dump(mode="json"),
        "comparison": result.comparison,
        "cancelled": result.cancelled,
        "recipe": result.recipe,
        "steps": result.steps,
    }


def teach(task: Task) -> Detections:
    """Find what is like some examples on the first plane; the examples may lie on others.

    Of a large plane a part around the example next to the place in question is looked at, and said in an event.
    """
    from napari_localize.models.exemplars import Lesson, diameter_of, find_alike, next_to

    model = _model(task.arguments["model"], task.arguments["device"])
    taught = list(zip(task.arguments["examples"], task.arguments["rejected"], strict=True))
    boxes = [examples for examples, _ in taught if len(examples)]
    diameter = diameter_of(boxes)
    seen = []
    for plane, key, (examples, _) in zip(task.planes, task.arguments["keys"], taught, strict=True):
        place = next_to(task.arguments["center"], examples)
        seen.append(_look(model, plane, diameter, place, key=key))
    window, (height, width, _) = seen[0].window, task.planes[0].shape
    if window != Rectangle(0, height, 0, width):
        task.emit({"event": "part", "region": [window.y0, window.y1, window.x0, window.x1]})
    lessons = [Lesson(look, *pair) for look, pair in zip(seen, taught, strict=True) if len(pair[0]) + len(pair[1])]
    return find_alike(seen[0], lessons)


def describe(task: Task) -> list[NDArray[np.float32]]:
    """Describe how the boxes of each plane look."""
    from napari_localize.models.describe import describe_boxes

    model = _model(task.arguments["model"], task.arguments["device"])
    tables = []
    for index, (plane, key, boxes) in enumerate(
        zip(task.planes, task.arguments["keys"], task.arguments["boxes"], strict=True)
    ):

        def tell(share: float, index: int = index) -> None:
            task.emit({"event": "progress", "done": index + share, "total": len(task.planes)})

        looker = partial(_look, key=key)
        tables.append(
            describe_boxes(model, plane, boxes, looker=looker, should_stop=task.should_stop, on_progress=tell)
        )
    return tables


def doctor(_: Task) -> dict[str, Any]:
    """Examine the surroundings."""
    from napari_localize.engine.doctor import diagnose

    return diagnose()


JOBS: dict[str, JobFunction] = {
    "predict": predict,
    "train": train,
    "teach": teach,
    "describe": describe,
    "doctor": doctor,
}


def _give_back_memory() -> None:
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _look(model: Model, plane: PlaneSource, diameter: float, center: tuple[float, float], *, key: str) -> Look:
    """Return what is remembered of a plane; it is looked at again for objects of another size, or far away."""
    from napari_localize.models.exemplars import look

    for known, seen in list(_looks.items()):
        fits = abs(math.log(diameter / seen.diameter)) < _SAME_SIZE
        if known == (model.card.reference, str(model.device), key) and fits and seen.shows(*center):
            _looks[known] = _looks.pop(known)
            return seen
    seen = look(model, plane, diameter, center)
    _looks[model.card.reference, str(model.device), key] = seen
    while len(_looks) > 1 and sum(one.features.nbytes for one in _looks.values()) > _LOOK_BYTES:
        del _looks[next(iter(_looks))]
    return seen


def _model(name: str, device: str) -> Model:
    """Return a loaded model; those used last are kept."""
    from napari_localize.models.localizer import load_model
    from napari_localize.models.registry import find_model

    path = find_model(name)
    key = (path, path.stat().st_mtime_ns, device)
    model = _models.pop(key, None) or load_model(str(path), device=device)
    _models[key] = model
    while len(_models) > _CACHED_MODELS:
        del _models[next(iter(_models))]
    return model
