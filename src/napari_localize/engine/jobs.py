"""What the engine does for each kind of job. Torch is imported here, and only when a job or the preparation runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_localize.core.known import KnownArea
from napari_localize.core.settings import PredictSettings, TrainSettings
from napari_localize.engine.server import JobFunction, Task

if TYPE_CHECKING:
    from napari_localize.core.detections import Detections
    from napari_localize.models.localizer import Model

_CACHED_MODELS = 3
_models: dict[tuple[Path, int, str], Model] = {}


def prepare() -> str:
    """Import what predicting needs, wake the device, and say which it is."""
    from napari_localize.models import localizer, predict  # noqa: F401
    from napari_localize.models.device import pick_device

    _, text = pick_device("auto")
    return text


def predict(task: Task) -> list[Detections]:
    """Find the objects of each plane."""
    from napari_localize.models.predict import predict_plane, settings_for_stack

    settings = PredictSettings(**task.arguments["settings"])
    model = _model(task.arguments["model"], settings.device)
    settings = settings_for_stack(model, task.planes, settings, should_stop=task.should_stop)
    device = model.device
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
    if model.device != device:
        _models.clear()  # it went to the CPU for want of memory, which need not be so the next time
    return results


def train(task: Task) -> dict[str, Any]:
    """Train a candidate and leave it in the client's folder."""
    from napari_localize.training.train import train_model

    task.reads_to_the_end = True
    _models.clear()  # the memory is needed
    try:
        result = train_model(
            task.planes,
            task.arguments["annotations"],
            TrainSettings(**task.arguments["settings"]),
            names=task.arguments["names"],
            known=[KnownArea(*area) for area in task.arguments["known"]],
            on_event=task.emit,
            should_stop=task.should_stop,
        )
    finally:
        _give_back_memory()
    path = Path(task.folder) / f"candidate-{os.getpid()}-{task.number}.safetensors"
    result.model.save(path)
    return {
        "path": str(path),
        "card": result.model.card.model_dump(mode="json"),
        "comparison": result.comparison,
        "cancelled": result.cancelled,
    }


def doctor(_: Task) -> dict[str, Any]:
    """Examine the surroundings."""
    from napari_localize.engine.doctor import diagnose

    return diagnose()


JOBS: dict[str, JobFunction] = {"predict": predict, "train": train, "doctor": doctor}


def _give_back_memory() -> None:
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


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
