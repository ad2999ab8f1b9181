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

CERTAINTY = 4
"""Power of the score in a vote: many doubtful details must not outvote the few objects they are part of."""

FEWEST_ACROSS = 2
"""Objects of which fewer than this fit across a window are not judged by it: at a small enough scale a whole image
looks like one object."""

LEAST_SUPPORT = 0.02
"""What a vote counts where the next scales see nothing."""

SMALLEST_SHARE = 1 / 16
"""Windows that show less of the plane than this count as if they showed so much."""

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
    detection votes with its score and with how near its size, at the scale it was seen at, comes to that. Objects
    are also seen, if less well, at the next scales, which tells them from noise that looks like objects when it is
    enlarged; so votes count by what the next scales see there. Of detections of one object the one with most votes
    stays. The typical diameter is their weighted median, where
    objects seen in a window that shows only a part of the plane count for more.

    Parameters
    ----------
    plane : PlaneSource
        The image.
    detect : callable
        Runs the model on a rectangle of the plane at a zoom.
    wanted : float
        Object diameter the model was trained at, in pixels.
    """
    height, width, _ = plane.shape
    seen = []
    for zoom in ZOOMS:
        window = _window(plane, SIDE / zoom)
        if min(window.y1 - window.y0, window.x1 - window.x0) * zoom >= wanted * FEWEST_ACROSS / 2:
            seen.append((zoom, window, *detect(window, zoom)))
    found, votes, weights = [], [], []
    for index, (zoom, window, boxes, scores) in enumerate(seen):
        rows, columns = window.y1 - window.y0, window.x1 - window.x0
        sides = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
        counts = (scores > SURE) & (sides * FEWEST_ACROSS < min(rows, columns))
        boxes, scores, sides = boxes[counts], scores[counts], sides[counts]
        agreement = np.exp(-0.5 * (np.log(np.maximum(sides * zoom, 1e-3) / wanted) / AGREEMENT) ** 2)
        support = np.full(len(boxes), LEAST_SUPPORT)
        for _, _, others, other_scores in seen[max(0, index - 1) : index] + seen[index + 1 : index + 2]:
            near = other_scores > SURE / 2
            support = np.maximum(support, LEAST_SUPPORT + _support(boxes, others[near], other_scores[near]))
        share = max(rows * columns / (height * width), SMALLEST_SHARE)
        found.append(np.column_stack([boxes, sides]))
        votes.append(scores**CERTAINTY * agreement * support)
        weights.append(np.full(len(boxes), share**-0.5))
    if not sum(len(vote) for vote in votes):
        return ScaleEstimate(None, "No object was recognised at any scale, so the image is searched as it is.")
    objects, vote = np.concatenate(found), np.concatenate(votes)
    best = _best_of_each(objects, vote)
    sides, weight = objects[best, 4], vote[best] * np.concatenate(weights)[best]
    order = np.argsort(sides)
    total = np.cumsum(weight[order])
    diameter = float(sides[order[np.searchsorted(total, total[-1] / 2)]])
    return ScaleEstimate(diameter, f"Typical object diameter: {diameter:.0f} px, found from {len(best)} objects.")


def _window(plane: PlaneSource, side: float) -> Rectangle:
    """Middle of the plane, `side` pixels at most in each direction."""
    height, width, _ = plane.shape
    rows, columns = min(height, round(side)), min(width, round(side))
    y0, x0 = (height - rows) // 2, (width - columns) // 2
    return Rectangle(y0, y0 + rows, x0, x0 + columns)


def _support(
    boxes: NDArray[np.float32], others: NDArray[np.float32], scores: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Highest product of score and overlap (intersection over union) that other detections have with each box."""
    support = np.zeros(len(boxes), np.float32)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    for other, score in zip(others, scores, strict=True):
        shared = np.minimum(boxes[:, 2:], other[2:]) - np.maximum(boxes[:, :2], other[:2])
        shared = np.clip(shared, 0, None).prod(axis=1)
        support = np.maximum(support, score * shared / (areas + (other[2:] - other[:2]).prod() - shared))
    return support


def _best_of_each(found: NDArray[np.float64], votes: NDArray[np.float64]) -> list[int]:
    """Of detections whose boxes overlap, choose the one with the most votes; rows."""
    boxes = found[:, :4]
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    left = np.argsort(-votes)
    kept: list[int] = []
    while len(left):
        best, left = int(left[0]), left[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[left, :2])
        high = np.minimum(boxes[best, 2:], boxes[left, 2:])
        shared = np.clip(high - low, 0, None).prod(axis=1)
        left = left[shared < 0.4 * np.minimum(areas[best], areas[left])]
    return kept
