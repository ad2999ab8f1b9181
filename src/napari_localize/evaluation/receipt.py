"""What is needed to come to the same numbers again: the model, the data by their hashes, the settings, the versions."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import shlex
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from napari_localize.core.detections import EXAMPLES, HUMAN, STATES, Detections

_CHUNK = 1 << 20


def receipt(
    predictions: Mapping[Any, Detections],
    annotations: Mapping[Any, Detections],
    settings: Mapping[str, Any],
    *,
    sources: Mapping[str, str | os.PathLike[str] | None],
    model: Mapping[str, Any] | None = None,
    command: str = "",
) -> dict[str, Any]:
    """Write down what was compared, and with what.

    Parameters
    ----------
    predictions, annotations : mapping of name to Detections
    settings : mapping
    sources : mapping
        Where ``predictions`` and ``annotations`` come from: files, or what else there is to say.
    model : mapping, optional
        ``reference``, ``sha256`` and what else is known of it.
    command : str
        The equivalent command line.

    Returns
    -------
    dict
        Plain values.
    """
    data = {"predictions": predictions, "annotations": annotations}
    return {
        "model": dict(model) if model else None,
        "data": {name: _described(part, sources.get(name)) for name, part in data.items()},
        "settings": dict(settings),
        "versions": versions(model),
        "platform": platform.platform(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command,
    }


def fingerprint(planes: Mapping[Any, Detections]) -> str:
    """Return the sha256 of boxes, classes, scores and states, by plane in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(planes, key=str):
        part = planes[name]
        labels = "\0".join(part.class_names[label] for label in part.labels.tolist())
        for piece in (str(name), labels, "\0".join(part.states.tolist())):
            digest.update(f"{len(piece)}:{piece}".encode(errors="surrogatepass"))
        for numbers in (part.boxes, part.scores):
            digest.update(np.ascontiguousarray(numbers, "<f4").tobytes())
    return digest.hexdigest()


def file_hash(path: str | os.PathLike[str]) -> str | None:
    """Return the sha256 of a file; None for a folder."""
    if not os.path.isfile(path):
        return None
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(_CHUNK):
            digest.update(part)
    return digest.hexdigest()


def models_of(predictions: Mapping[Any, Detections]) -> list[str]:
    """Return the models, ``name@version``, that the boxes say they are of; that of most of them first."""
    origins: Counter[str] = Counter()
    for part in predictions.values():
        names, numbers = np.unique(part.origins, return_counts=True)
        origins.update(dict(zip(names.tolist(), numbers.tolist(), strict=True)))
    return [name for name, _ in origins.most_common() if name not in ("", HUMAN, EXAMPLES)]


def judged_by_person(predictions: Mapping[Any, Detections]) -> dict[str, int]:
    """Return how many predictions a person has accepted, edited or added, by state; empty where none."""
    states: Counter[str] = Counter()
    for part in predictions.values():
        states.update(part.states.tolist())
    return {state: states[state] for state in STATES if states[state] and state not in ("proposed", "rejected")}


def notes_on(predictions: Mapping[Any, Detections]) -> list[str]:
    """Return what is to be known of predictions that are not those of one model alone."""
    several, judged, notes = models_of(predictions), judged_by_person(predictions), []
    if len(several) > 1:
        notes.append(f"The predictions are of several models: {', '.join(several)}.")
    if judged:
        work = ", ".join(f"{number:,} {state}" for state, number in judged.items())
        notes.append(f"A person has worked on the predictions ({work}): these numbers are not those of a model alone.")
    return notes


def versions(model: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Return the versions of what computed the numbers; that of torch is the one that the model was trained with."""
    from importlib.metadata import version

    import napari_localize

    found = {"napari-localize": napari_localize.__version__, "python": platform.python_version()}
    found |= {name: version(name) for name in ("numpy", "scipy", "faster-coco-eval")}
    if model and model.get("torch"):
        found["torch (training of the model)"] = str(model["torch"])
    return found


def command_line(
    predictions: str,
    annotations: str,
    *,
    iou: float,
    threshold: float | None,
    distance: float | None,
    images: str | None,
    ignore_classes: bool = False,
) -> str:
    """Return the call of the command line that gives the same numbers."""
    words = ["napari-localize", "evaluate", "--predictions", predictions, "--annotations", annotations]
    words += ["--iou", _exact(iou)] if distance is None else ["--distance", _exact(distance)]
    # Scores are compared as float32, and as such a threshold is short.
    words += [] if threshold is None else ["--threshold", _exact(np.float32(threshold))]
    words += ["--ignore-classes"] if ignore_classes else []
    words += [] if images is None else ["--images", images]
    return shlex.join([*words, "--report", "report.html"])


def as_json(values: Mapping[str, Any]) -> str:
    """Return JSON; numbers that are not finite become null."""
    return json.dumps(_plain(values), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def _described(planes: Mapping[Any, Detections], source: str | os.PathLike[str] | None) -> dict[str, Any]:
    said: dict[str, Any] = {"source": None if source is None else os.fspath(source)}
    if source is not None and (digest := file_hash(source)):
        said["file_sha256"] = digest
    return said | {
        "stored": source is not None and os.path.exists(source),
        "planes": len(planes),
        "boxes": sum(len(part) for part in planes.values()),
        "judged_by_person": judged_by_person(planes),
        "boxes_sha256": fingerprint(planes),
    }


def _exact(number: float | np.float32) -> str:
    """Return the shortest text that is read as the same number: a rounded threshold may leave out the best box."""
    return np.format_float_positional(number, trim="-")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        # A name of a file that is no text cannot be written as such.
        return value.encode(errors="replace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
