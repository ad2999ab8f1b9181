"""Two models side by side on the same planes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_localize.core.detections import Detections
from napari_localize.core.known import EVERYWHERE, KnownArea
from napari_localize.core.planes import PlaneSource
from napari_localize.core.settings import PredictSettings
from napari_localize.core.tiling import Rectangle
from napari_localize.evaluation.metrics import best_threshold, summarize
from napari_localize.models.localizer import Model
from napari_localize.models.predict import FLOOR, predict_plane


@dataclass(frozen=True)
class Part:
    """A window of an annotated plane to compare models on; `name`, `boxes` and `known` are the plane's.

    Only boxes with their centre in the known area count, true ones and found ones.
    """

    name: str
    plane: PlaneSource
    boxes: Detections
    window: Rectangle
    known: KnownArea = EVERYWHERE


def compare_models(
    model: Model, base: Model | None, parts: Sequence[Part], note: str, should_stop: Callable[[], bool]
) -> dict[str, Any]:
    """Measure a new model and its base; the new one gets the threshold that suits these parts best.

    Returns
    -------
    dict
        ``planes``: names; ``old``, ``new``: measures, the former None without a base; ``note``, with what is to be
        known added.

    Raises
    ------
    Cancelled
        When `should_stop` said so.
    """

    def run(model: Model) -> list[Detections]:
        settings = PredictSettings(threshold=FLOOR)
        return [
            counting(
                predict_plane(model, part.plane, settings, region=part.window, should_stop=should_stop), part.known
            )
            for part in parts
        ]

    true = [within(counting(part.boxes, part.known), part.window) for part in parts]
    found = run(model)
    model.card.threshold = float(np.clip(best_threshold(found, true), FLOOR, 0.95))
    new, old = measure(found, true, model.card.threshold), None
    if base is not None:
        before = run(base)
        if set(base.card.classes) & set(model.card.classes):
            names = tuple(dict.fromkeys([*model.card.classes, *base.card.classes]))
            before = [boxes.with_classes(names) for boxes in before]
        else:
            note += " The models' classes differ, so both are compared without regard to class."
            before, true, found = ([_one_class(boxes) for boxes in side] for side in (before, true, found))
            new = measure(found, true, model.card.threshold)
        old = measure(before, true, base.card.threshold)
    return {"planes": list(dict.fromkeys(part.name for part in parts)), "old": old, "new": new, "note": note}


def measure(found: Sequence[Detections], true: Sequence[Detections], threshold: float) -> dict[str, float]:
    """AP50 and AP of all boxes; precision, recall, F1 and count error of those above the threshold."""
    everything = summarize(found, true)
    chosen = summarize([boxes[boxes.scores >= threshold] for boxes in found], true)
    return {**chosen, "AP50": everything["AP50"], "AP": everything["AP"]}


def counting(boxes: Detections, known: KnownArea) -> Detections:
    """Return the boxes with their centre in the known area."""
    return boxes if known.whole else boxes[known.holds(boxes.boxes)]


def within(boxes: Detections, window: Rectangle) -> Detections:
    """Cut boxes at the sides of a window of their plane; those wholly outside are left out."""
    corner = np.array([window.x0, window.y0] * 2, np.float32)
    inside = replace(boxes, boxes=boxes.boxes - corner).clip(window.y1 - window.y0, window.x1 - window.x0)
    return replace(inside, boxes=inside.boxes + corner)


def _one_class(boxes: Detections) -> Detections:
    return Detections(boxes.boxes, scores=boxes.scores, class_names=("object",))
