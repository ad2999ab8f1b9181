"""An engine that finds bright squares on a dark ground: what the docks run instead of a network.

The name of the model says what shall happen: ``slow`` waits to be cancelled, ``broken`` fails, ``fatal`` dies.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from napari_localize.core.detections import Detections
from napari_localize.core.errors import Cancelled, UserError
from napari_localize.engine.server import Task, serve
from napari_localize.models.card import HEADER_KEY, ModelCard
from napari_localize.models.registry import checks_path


def squares(pixels: np.ndarray, y0: int, x0: int) -> Detections:
    """One box for each square; the score is its brightness, the class says whether it is wider than 12."""
    grey = pixels.max(axis=2).astype(float)
    slices = ndimage.find_objects(ndimage.label(grey > 10)[0])
    boxes = np.array([[c.start + x0, r.start + y0, c.stop + x0, r.stop + y0] for r, c in slices], np.float32)
    scores = [float(grey[where].max()) / 255 for where in slices]
    wide = np.array([c.stop - c.start > 12 for _, c in slices], np.int64)
    return Detections(boxes, wide, np.array(scores, np.float32), class_names=("small", "large"))


def predict(task: Task) -> list[Detections]:
    name = task.arguments["model"]
    misbehave(task, name)
    results = []
    for index, plane in enumerate(task.planes):
        height, width, _ = plane.shape
        region = (task.arguments["regions"] or [None] * len(task.planes))[index]
        y0, y1, x0, x1 = region or (0, height, 0, width)
        found = squares(plane.read(y0, y1, x0, x1), y0, x0)
        channel = task.arguments["settings"]["channel"]
        if channel is not None:
            found = squares(plane.read(y0, y1, x0, x1)[:, :, channel : channel + 1], y0, x0)
        task.emit(
            {"event": "diameter", "plane": index, "object_diameter": 10.0, "text": "Typical object diameter: 10 px."}
        )
        task.emit({"event": "boxes", "plane": index, "detections": found})
        task.emit({"event": "progress", "plane": index, "done": 1, "total": 1})
        if name.startswith("slow"):
            wait_for_cancel(task)
        task.emit({"event": "plane", "plane": index, "detections": found})
        results.append(found)
    return results


def train(task: Task) -> dict[str, Any]:
    settings = task.arguments["settings"]
    misbehave(task, settings["base"])
    for step in range(4):
        checked = step % 2 == 1
        task.emit(
            {
                "event": "curve",
                "step": step,
                "seconds": float(step),
                "train_loss": 1 / (step + 1),
                "validation_loss": 1.2 / (step + 1) if checked else None,
                "ap50": 0.3 * step if checked else None,
            }
        )
        task.emit({"event": "progress", "done": step + 1, "total": 4})
    if settings["base"].startswith("slow"):
        while not task.should_stop():
            time.sleep(0.01)
    names = task.arguments["annotations"][0].class_names
    path = Path(task.folder) / f"candidate-{task.number}.safetensors"
    write_model(path, "candidate", names)
    checks_path(path).write_bytes(b"planes")
    forgets = settings["base"].startswith("forgets")
    word = "worse" if settings["base"].startswith("worse") else "undecided" if forgets else "better"
    return {
        "path": str(path),
        "card": {},
        "comparison": {
            "planes": task.arguments["names"][:1],
            "old": {"AP50": 0.71, "F1": 0.70, "count_error": 0.09},
            "new": {"AP50": 0.86, "F1": 0.84, "count_error": 0.03},
            "note": "One plane was kept back.",
            "held_back": True,
            "gate": {"word": word, "sentence": "Said on 1."},
            "domains": [
                {"name": name, "word": "", "forgets": lost, "planes": 2, "boxes": 90, "held_back": True}
                | {"old": {"F1": 0.91}, "new": {"F1": 0.74 if lost else 0.9}}
                for name, lost in (("nuclei (sample)", True), ("tissue (sample)", False))
            ]
            if forgets
            else [],
            "changes": [
                {
                    "name": task.arguments["names"][0],
                    "box": [5.0, 5.0, 13.0, 13.0],
                    "kind": kind,
                    "text": f"small 0.9{number}, rightly",
                    "other": None,
                    "score": 0.9,
                }
                for number, kind in enumerate(("gained", "lost", "gained"))
            ],
        },
        "cancelled": task.should_stop(),
        "recipe": "Recipe for 3 boxes: as ever.",
        "steps": 4,
    }


def write_model(path: Path, name: str, classes: tuple[str, ...], threshold: float = 0.5) -> None:
    """Write a model file with a card and without a network that could run."""
    from safetensors.numpy import save_file

    card = ModelCard(
        name=name,
        architecture={"kind": "none"},
        classes=list(classes),
        object_diameter=10,
        diameter_range=(5, 20),
        threshold=threshold,
        metrics={"test": {"AP50": 0.9, "F1": 0.88}},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"nothing": np.zeros(1, np.float32)}, path, metadata={HEADER_KEY: card.model_dump_json()})


def misbehave(task: Task, name: str) -> None:
    if name.startswith("broken"):
        raise UserError("the image has no pixels; choose another.")
    if name.startswith("fatal"):
        os._exit(3)


def wait_for_cancel(task: Task) -> None:
    while not task.should_stop():
        time.sleep(0.01)
    raise Cancelled("The job was cancelled.")


def prepare() -> str:
    return "Computing on nothing."


if __name__ == "__main__":
    serve({"predict": predict, "train": train}, prepare)
