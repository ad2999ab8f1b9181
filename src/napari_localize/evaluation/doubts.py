"""Where what a person has said and what a model says do not agree: likely mistakes of one of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.detections import Detections
from napari_localize.evaluation.matching import overlaps

SURE = 0.8
"""Chance from which a model is taken to be sure that there is an object."""

DOUBTFUL = 0.5
"""Doubt from which a reviewed box is worth a second look."""

IOU = 0.5
ELSEWHERE = 0.3
"""Overlap below which a model's box is none of those that were reviewed."""


def doubt(reviewed: Detections, found: Detections, chances: NDArray[Any], iou: float = IOU) -> NDArray[np.float64]:
    """Say of each box that a person has reviewed how much a model doubts it.

    Where none of their classes is one that the model knows, such as after renaming, classes are not compared.

    Parameters
    ----------
    reviewed : Detections
        Of one plane, with their states.
    found : Detections
        What the model finds on the plane, down to its lowest score.
    chances : (M,) array
        Probability that each of these is right.
    iou : float
        Overlap from which two boxes of the same class are one object.

    Returns
    -------
    (N,) float64
        0 to 1: of an approved box one less the chance that the model gives it, 0 where it finds none; of a rejected
        one that chance.
    """
    classes = tuple(dict.fromkeys([*reviewed.class_names, *found.class_names]))
    rows, columns, _ = overlaps(reviewed.boxes, found.boxes, iou)
    same = reviewed.with_classes(classes).labels[rows] == found.with_classes(classes).labels[columns]
    used = {reviewed.class_names[label] for label in np.unique(reviewed.labels).tolist()}
    if not used & set(found.class_names):
        same[:] = True
    given = np.zeros(len(reviewed))
    np.maximum.at(given, rows[same], np.asarray(chances, float)[columns[same]])
    answer: NDArray[np.float64] = np.where(reviewed.states == "rejected", given, 1 - given)
    return answer


def misses(reviewed: Detections, found: Detections, chances: NDArray[Any], sure: float = SURE) -> NDArray[np.intp]:
    """Return the rows of what a model is sure of and a person has said nothing of; the parameters are those of `doubt`."""
    likely = np.flatnonzero(np.asarray(chances, float) >= sure)
    rows, _, _ = overlaps(found.boxes[likely], reviewed.boxes, ELSEWHERE)
    return np.delete(likely, np.unique(rows))
