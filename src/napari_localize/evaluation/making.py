"""From predictions and annotations, in files or in memory, to a report."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from napari_localize.core.detections import Detections
from napari_localize.evaluation.evaluation import Evaluation
from napari_localize.evaluation.pictures import planes_from
from napari_localize.evaluation.receipt import command_line, notes_on, receipt
from napari_localize.evaluation.report import EvaluationReport


def make_report(
    predictions: Mapping[Any, Detections],
    annotations: Mapping[Any, Detections],
    *,
    sources: Mapping[str, str | os.PathLike[str]],
    iou: float = 0.5,
    threshold: float | None = None,
    distance: float | None = None,
    pixel_size: float | None = None,
    ignore_classes: bool = False,
    images: Any = None,
    model: Mapping[str, Any] | None = None,
    title: str | None = None,
) -> EvaluationReport:
    """Compare predictions with annotations; see `napari_localize.report`.

    Parameters
    ----------
    predictions, annotations : mapping of name to Detections
    sources : mapping
        The files that ``predictions`` and ``annotations`` were read from, where they were.
    model : mapping, optional
        What `models.identity.identify` says of the model.
    """
    evaluation = Evaluation.of(
        predictions, annotations, iou=iou, distance=distance, pixel_size=pixel_size, ignore_classes=ignore_classes
    )
    given = {"predictions": predictions, "annotations": annotations}
    read = [f"{os.fspath(sources[name])}: {note}" for name in sources for note in getattr(given[name], "notes", ())]
    return finish_report(
        replace(evaluation, notes=(*read, *notes_on(predictions), *evaluation.notes)),
        predictions,
        annotations,
        threshold=threshold,
        sources=sources,
        model=model,
        title=title,
        folder=os.fspath(images) if isinstance(images, str | os.PathLike) else None,
        images={} if images is None else planes_from(images, evaluation.names),
    )


def finish_report(
    evaluation: Evaluation,
    predictions: Mapping[Any, Detections],
    annotations: Mapping[Any, Detections],
    *,
    threshold: float | None,
    sources: Mapping[str, str | os.PathLike[str]],
    model: Mapping[str, Any] | None = None,
    title: str | None = None,
    folder: str | None = None,
    images: Mapping[str, Any] | None = None,
) -> EvaluationReport:
    """Add to an evaluation what it needs to be believed: the receipt, the command line, and where the pixels are."""
    settings = {
        "threshold": threshold,
        "iou": None if evaluation.points else evaluation.matches.limit,
        "distance_px": evaluation.matches.limit if evaluation.points else None,
        "pixel_size_um": evaluation.pixel_size,
        "ignore_classes": evaluation.ignore_classes,
    }
    files = [
        os.fspath(sources[name]) if os.path.exists(sources.get(name, "")) else f"{name}.json"
        for name in ("predictions", "annotations")
    ]
    command = command_line(
        *files,
        iou=evaluation.matches.limit,
        threshold=threshold,
        distance=evaluation.matches.limit if evaluation.points else None,
        images=folder,
        ignore_classes=evaluation.ignore_classes,
    )
    named = model.get("reference") if model else None
    return evaluation.report(
        threshold,
        title=title or (f"Evaluation of {named}" if named else "Evaluation"),
        receipt=receipt(predictions, annotations, settings, sources=sources, model=model, command=command),
        command=command,
        images=images,
    )
