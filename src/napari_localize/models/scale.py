"""How large the objects in an image are, found by the model itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.planes import PlaneSource
from napari_localize.core.tiling import Rectangle

ZOOMS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Scales at which the plane is looked at."""

SIDE = 384
"""Largest side, in pixels of the network, of the window that is looked at."""

AGREEMENT = 0.5
"""Spread, in natural logarithms, of the sizes that count as seen at the right scale."""

SURE = 0.3
"""Detections with a lower score do not count."""

Detect = Callable[[Rectangle, float], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Gives the boxes, in pixels of the plane, and scores in a rectangle at a zoom."""


@dataclass(frozen=True)
class ScaleEstimate:
    """What was found about the size of the objects.

    Attributes
    ----------
    diameter : float or None
        Typical sqrt(width x height) in pixels of the plane; None where nothing was found.
    text : str
        A sentence.
    """

    diameter: float | None
    text: str


def estimate_diameter(plane: PlaneSource, detect: Detect, wanted: float) -> ScaleEstimate:
    """Look at a plane at several scales and see at which one the model recognises most.

    Every object is best seen at the scale that brings it to the size the model was trained at. So each
    detection counts by its score and by how near its size, at the scale it was seen at, comes to that; of
    detections of one object the one that counts most stays, and the typical diameter is their weighted median.

    Parameters
    ----------
    plane : PlaneSource
        The image.
    detect : callable
        Runs the model on a rectangle of the plane at a zoom.
    wanted : float
        Object diameter the model was trained at, in pixels.
    """
    found, votes = [], []
    for zoom in ZOOMS:
        window = _window(plane, SIDE / zoom)
        if min(window.y1 - window.y0, window.x1 - window.x0) * zoom < wanted / 2:
            continue
        boxes, scores = detect(window, zoom)
        sides = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
        agreement = np.exp(-0.5 * (np.log(np.maximum(sides * zoom, 1e-3) / wanted) / AGREEMENT) ** 2)
        sure = scores > SURE
        found.append(np.column_stack([boxes, sides])[sure])
        votes.append((scores * agreement)[sure])
    if not sum(len(vote) for vote in votes):
        return ScaleEstimate(None, "No object was recognised at any scale, so the image is searched as it is.")
    objects, weights = _best_of_each(np.concatenate(found), np.concatenate(votes))
    order = np.argsort(objects[:, 4])
    total = np.cumsum(weights[order])
    diameter = float(objects[order[np.searchsorted(total, total[-1] / 2)], 4])
    return ScaleEstimate(diameter, f"Typical object diameter: {diameter:.0f} px, found from {len(objects)} objects.")


def _window(plane: PlaneSource, side: float) -> Rectangle:
    """Middle of the plane, `side` pixels at most in each direction."""
    height, width, _ = plane.shape
    rows, columns = min(height, round(side)), min(width, round(side))
    y0, x0 = (height - rows) // 2, (width - columns) // 2
    return Rectangle(y0, y0 + rows, x0, x0 + columns)


def _best_of_each(
    found: NDArray[np.float64], votes: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of detections whose boxes overlap, keep the one with the most votes."""
    boxes = found[:, :4]
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    left = np.argsort(-votes)
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[left, :2])
        high = np.minimum(boxes[best, 2:], boxes[left, 2:])
        shared = np.clip(high - low, 0, None).prod(axis=1)
        left = left[shared < 0.4 * np.minimum(areas[best], areas[left])]
    return found[kept], votes[kept]
