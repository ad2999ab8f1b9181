"""What a trained model's card says of its training, so that a model never loses its history."""

from __future__ import annotations

import math
import platform
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import torch
import torchvision

from napari_localize.core.detections import STATES, Detections
from napari_localize.core.known import KnownArea
from napari_localize.core.settings import TrainSettings
from napari_localize.core.splitting import Split
from napari_localize.models.card import Ancestor, ModelCard
from napari_localize.models.digest import weights_digest
from napari_localize.models.history import lineage
from napari_localize.models.localizer import Model

MOST_POINTS = 200
"""Points of the curve that a card keeps."""

MOST_PLANES = 5000
"""Planes that a card lists; of more it says how many there were."""

MOST_HELD_BACK = 2000
"""Of what is held back, and of what each turn of a cross-validation is judged on, so many are listed."""

MOST_ANCESTORS = 50

_LONGEST_NAME = 200
_CURVE = ("seconds", "train_loss", "validation_loss", "ap50")


@dataclass
class Curve:
    """Listens to a training, passes its events on, and keeps what a card needs of its curve.

    Parameters
    ----------
    tell : callable
        Gets every event.
    """

    tell: Callable[[dict[str, Any]], None]
    steps: int = 0
    _points: list[tuple[float | None, ...]] = field(default_factory=list)
    _stride: int = 1

    def __call__(self, event: dict[str, Any]) -> None:
        """Take an event."""
        self.tell(event)
        if event["event"] != "curve":
            return
        self.steps = int(event["step"])
        point = tuple(_number(event[name]) for name in _CURVE)
        if self.steps % self._stride == 0 or point[2] is not None:
            self._points.append(point)
        if len(self._points) > 2 * MOST_POINTS:
            # Every second one goes, but for the few at which the training was validated.
            self._stride *= 2
            self._points = _thinned(self._points, MOST_POINTS)

    def as_dict(self) -> dict[str, list[float | None]]:
        """Return ``seconds``, ``train_loss``, ``validation_loss`` and ``ap50``, at most `MOST_POINTS` of each."""
        points = _thinned(self._points, MOST_POINTS)
        return {name: [point[index] for point in points] for index, name in enumerate(_CURVE)}


def _thinned(points: list[tuple[float | None, ...]], most: int) -> list[tuple[float | None, ...]]:
    """Leave out points evenly; those with a validation stay, as far as there is room, and the last one does."""
    checked = [index for index, point in enumerate(points) if point[2] is not None]
    kept = set(_evenly(checked, most // 2)) | set(_evenly(range(len(points)), most - min(len(checked), most // 2)))
    return [points[index] for index in sorted(kept)]


def _evenly(values: Sequence[int], most: int) -> list[int]:
    if len(values) <= most:
        return list(values)
    return [values[round(index * (len(values) - 1) / (most - 1))] for index in range(most)]


def corrections(annotations: Sequence[Detections], known: Sequence[KnownArea]) -> dict[str, Any]:
    """Count what a person has done: boxes in known areas by state, planes and areas reviewed, areas ignored."""
    boxes: Counter[str] = Counter()
    for found, area in zip(annotations, known, strict=True):
        boxes.update(found.states[area.holds(found.boxes)].tolist())
    return {
        "boxes": {state: boxes[state] for state in STATES if boxes[state]},
        "reviewed planes": sum(area.reviewed is None for area in known),
        "reviewed areas": sum(len(area.reviewed or ()) for area in known),
        "ignored areas": sum(len(area.ignored) for area in known),
    }


def ancestors_of(base: Model) -> list[Ancestor]:
    """Return the chain of models that a model trained from `base` goes back to, its parent first."""
    card = base.card
    digest = weights_digest(base.path) if base.path else ""
    parent = Ancestor(reference=card.reference, created=card.created[:40], sha256=digest)
    return [parent, *lineage(card)][:MOST_ANCESTORS]


def versions() -> dict[str, str]:
    """Return the versions of what a training depends on."""
    return {
        "napari-localize": version("napari-localize"),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "python": platform.python_version(),
    }


def describe(
    card: ModelCard,
    *,
    settings: TrainSettings,
    recipe: Mapping[str, Any],
    names: Sequence[str],
    fingerprints: Sequence[str],
    counted: Sequence[Detections],
    corrected: Mapping[str, Any],
    split: Split,
    comparison: Mapping[str, Any],
    curve: Curve,
    steps: int,
    seconds: float,
    device: str,
    stopped: bool,
) -> None:
    """Write the history of a training into the card of its model.

    Parameters
    ----------
    card : ModelCard
        Of the new model; its `training` and `metrics` are set.
    settings : TrainSettings
        What was asked for.
    recipe : mapping
        How it was trained, see `learning.Learning.described`.
    names, fingerprints, counted : sequence
        For each plane its name, its `duplicates.fingerprint`, and its boxes.
    corrected : mapping
        See `corrections`.
    split : Split
        How the planes were divided.
    comparison : mapping
        See `train.TrainResult`.
    curve : Curve
        That has listened to the training.
    steps : int
        How many batches this model has learnt from; those of a cross-validation's other models do not count.
    seconds, device : float, str
        How long it took, and where.
    stopped : bool
        Whether a person has ended the training before its time.
    """
    boxes: Counter[str] = Counter()
    for found in counted:
        boxes.update(found.counts())
    planes = [
        {"name": name[:_LONGEST_NAME], "sha256": sha256}
        for name, sha256 in zip(names[:MOST_PLANES], fingerprints[:MOST_PLANES], strict=True)
    ]
    card.training = {
        "planes": planes,
        **({"planes not listed": len(names) - MOST_PLANES} if len(names) > MOST_PLANES else {}),
        "boxes": dict(boxes),
        "corrections": dict(corrected),
        **split.describe([name[:_LONGEST_NAME] for name in names], MOST_HELD_BACK),
        "recipe": plain(recipe),
        "seconds": round(seconds, 1),
        "stopped": stopped,
        "asked for": {"seconds": settings.seconds, "epochs": settings.epochs},
        "epochs": settings.epochs,
        "steps": steps,
        "seed": settings.seed,
        "device": device,
        "versions": versions(),
        "curve": curve.as_dict(),
    }
    where = "validation" if split.held_back else "cross-validation" if split.folds else "training planes"
    card.metrics = {where: {**plain(comparison["new"]), "planes": len(comparison["planes"])}}
    if comparison.get("gate") is not None:
        card.metrics["compared with the parent"] = plain(comparison["gate"])
    if comparison.get("domains"):
        card.metrics["earlier domains"] = plain(comparison["domains"])


def plain(value: Any) -> Any:
    """Return values that JSON has: rounded numbers, None for those that are not finite."""
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return _number(value) if isinstance(value, float) else value


def _number(value: float | None) -> float | None:
    return round(float(value), 5) if value is not None and math.isfinite(value) else None
