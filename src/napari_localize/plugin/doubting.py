"""What a model that looks again doubts of a review, and what it finds that nobody has said anything of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from napari_localize.core.boxes import PlaneIndex
from napari_localize.core.detections import Detections
from napari_localize.core.points import centered
from napari_localize.core.table import APPROVED
from napari_localize.evaluation.calibration import probability
from napari_localize.evaluation.doubts import doubt, misses
from napari_localize.plugin.boxes import BoxLayer
from napari_localize.plugin.queueing import Request, calibration_of


def check(boxes: BoxLayer, request: Request, found: Sequence[Detections], model: str) -> dict[int, float]:
    """Compare what a person has said with what a model finds; what it is sure of and nobody has said becomes a guess.

    Returns
    -------
    dict of int to float
        How much the model doubts each judged box.
    """
    calibration = calibration_of(model)
    doubts: dict[int, float] = {}
    mine_on = boxes.by_plane((*APPROVED, "rejected", "proposed"), also=request.indices)
    new: dict[PlaneIndex, Detections] = {}
    for plane, reviewed, there in zip(request.indices, request.boxes, found, strict=True):
        names: Any = np.array(there.class_names)[there.labels]
        chances = probability(there.scores, names, calibration)
        seen = _compared(there, boxes)
        doubts.update(
            zip(reviewed.ids.tolist(), doubt(_compared(reviewed, boxes), seen, chances).tolist(), strict=True)
        )
        known = boxes.known(plane)
        if known is not None:
            mine = mine_on[plane]
            missed = there[misses(_compared(mine, boxes), seen, chances)]
            missed = missed[known.holds(missed.boxes)]
            if len(missed):
                new[plane] = missed
    if new:
        boxes.set_proposals(new, model, replace=False)
    return doubts


def _compared(found: Detections, boxes: BoxLayer) -> Detections:
    """Return boxes as they are, of points squares that overlap by a half when they are half a nominal size apart."""
    size = boxes.table.point_size
    return found if size is None else replace(found, boxes=centered(found.centers, 1.5 * size))
