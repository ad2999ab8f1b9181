"""How large the objects in an image are, found by the model itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.planes import PlaneSource
from napari_localize.core.tiling import Rectangle

ZOOMS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Scales at which the plane is looked at."""

SIDE = 384
"""Largest side, in pixels of the network, of the window that is looked at."""

LARGEST_WINDOW = 6144
"""Largest side of a window in pixels of the plane: more is not read at once, however large the objects are."""

AGREEMENT = 0.5
"""Spread, in natural logarithms, of the sizes that count as seen at the right scale."""

SURE = 0.3
"""Detections with a lower score do not count."""

CERTAIN = 0.4
"""Detections with a higher score are measured once the scale is known."""

CERTAINTY = 4
"""Power of the score in a vote: many doubtful details must not outvote the few objects they are part of."""

FEWEST_ACROSS = 2
"""Objects of which fewer than this fit across a window are not judged by it: at a small enough scale a whole image
looks like one object."""

LEAST_SUPPORT = 0.001
"""What a vote counts where the next scales see nothing."""

SMALLEST_SHARE = 1 / 16
"""Scales at which less of the plane than this was looked at count as if it had been so much."""

SHARE_POWER = 0.25
"""How much more objects count that were seen where only a part of the plane was looked at."""

SAME = 0.6
"""Sizes that differ by less than this, in natural logarithms, belong to one kind of object."""

CLEAR = 0.6
FEWEST_OBJECTS = 5
"""When less than this part of the votes is for one size, or fewer objects voted, more of the plane is looked at."""

OTHER_SIZE = 2.0
"""Objects that seem so many times larger or smaller than usual are taken for images of another magnification."""

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


@dataclass(frozen=True)
class _Look:
    """What the model saw at one zoom, in one window or several."""

    zoom: float
    windows: tuple[Rectangle, ...]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]

    def __add__(self, other: _Look) -> _Look:
        return _Look(
            self.zoom,
            self.windows + other.windows,
            np.concatenate([self.boxes, other.boxes]),
            np.concatenate([self.scores, other.scores]),
        )


@dataclass(frozen=True)
class _Count:
    """Result of a vote: the diameter, how many objects voted, and whether most of them agree."""

    diameter: float | None
    objects: int = 0
    clear: bool = False


def estimate_diameter(plane: PlaneSource, detect: Detect, wanted: float, *, measure: bool = True) -> ScaleEstimate:
    """Look at a plane at several scales and see at which one the model recognises most.

    Every object is best seen at the scale that brings it to the size the model was trained at. So each
    detection votes with its score and with how near its size, at the scale it was seen at, comes to that. Objects
    are also seen, if less well, at the next scales, which tells them from noise that looks like objects when it is
    enlarged; so votes count by what the next scales see there. Of detections of one object the one with most votes
    stays. The typical diameter is their weighted median, where objects count for more that were seen at a scale at
    which only a part of the plane was looked at.

    The middle of the plane is looked at first; when that does not give a clear answer, its corners too. At the scale
    that is found, the objects in the middle are measured.

    Parameters
    ----------
    plane : PlaneSource
        The image.
    detect : callable
        Runs the model on a rectangle of the plane at a zoom.
    wanted : float
        Object diameter the model was trained at, in pixels.
    measure : bool
        Whether to measure the objects once the scale is known. Where there are several kinds of them, their mixture in
        one window would decide.
    """
    height, width, _ = plane.shape

    def look(zoom: float, window: Rectangle) -> _Look:
        return _Look(zoom, (window,), *detect(window, zoom))

    looks = [
        look(zoom, middle)
        for zoom in ZOOMS
        if min(_sides(middle := _middle(height, width, SIDE / zoom))) * zoom >= wanted * FEWEST_ACROSS / 2
    ]
    count = _count(looks, height * width, wanted)
    if not count.clear:
        for index, seen in enumerate(looks):
            for corner in _corners(height, width, seen.windows[0]):
                looks[index] += look(seen.zoom, corner)
        count = _count(looks, height * width, wanted)
    if count.diameter is None:
        return ScaleEstimate(None, "No object was recognised at any scale, so the image is searched as it is.")
    zoom, diameter = wanted / count.diameter, count.diameter
    if measure:
        diameter = _measured(look(zoom, _middle(height, width, min(SIDE / zoom, LARGEST_WINDOW))), diameter)
    text = f"Typical object diameter: {diameter:.0f} px, found from {count.objects} objects."
    return ScaleEstimate(diameter, text)


def usual_instead(found: ScaleEstimate, usual: tuple[float, float] | None) -> ScaleEstimate:
    """Believe what is known of the size of objects rather than what one image shows, unless that is quite different.

    Parameters
    ----------
    found : ScaleEstimate
        What an image shows.
    usual : (float, float) or None
        Smallest and largest typical diameter of the images that the model has learnt from.
    """
    if usual is None:
        return found
    low, high = usual
    if found.diameter is None:
        middle = float(np.sqrt(low * high))
        text = "No object was recognised at any scale, so their diameter is taken to be that of the training images"
        return ScaleEstimate(middle, f"{text}: {middle:.0f} px.")
    if low <= found.diameter <= high or not low / OTHER_SIZE <= found.diameter <= high * OTHER_SIZE:
        return found
    diameter = float(np.clip(found.diameter, low, high))
    return ScaleEstimate(diameter, f"Typical object diameter: {diameter:.0f} px, as in the training images.")


def _measured(seen: _Look, diameter: float) -> float:
    """Measure the objects at the scale that the vote has found: votes favour large and easy ones."""
    sizes = np.sqrt((seen.boxes[:, 2:] - seen.boxes[:, :2]).prod(axis=1))[seen.scores > CERTAIN]
    sizes = sizes[np.abs(np.log(sizes / diameter)) < SAME]
    return float(np.median(sizes)) if len(sizes) >= FEWEST_OBJECTS else diameter


def _count(looks: Sequence[_Look], area: int, wanted: float) -> _Count:
    """Let what was seen at several scales vote."""
    found, votes, shares = [], [], []
    for index, seen in enumerate(looks):
        sides = np.sqrt((seen.boxes[:, 2:] - seen.boxes[:, :2]).prod(axis=1))
        judged = (seen.scores > SURE) & (sides * FEWEST_ACROSS < min(_sides(seen.windows[0])))
        boxes, scores, sides = seen.boxes[judged], seen.scores[judged], sides[judged]
        agreement = np.exp(-0.5 * (np.log(np.maximum(sides * seen.zoom, 1e-3) / wanted) / AGREEMENT) ** 2)
        support = np.full(len(boxes), LEAST_SUPPORT)
        for other in [*looks[max(0, index - 1) : index], *looks[index + 1 : index + 2]]:
            near = other.scores > SURE / 2
            support = np.maximum(support, _support(boxes, other.boxes[near], other.scores[near]))
        seen_area = sum(rows * columns for rows, columns in map(_sides, seen.windows))
        found.append(np.column_stack([boxes, sides]))
        votes.append(scores**CERTAINTY * agreement * support)
        shares.append(np.full(len(boxes), max(seen_area / area, SMALLEST_SHARE)))
    if not sum(map(len, votes)):
        return _Count(None)
    objects, vote, share = np.concatenate(found), np.concatenate(votes), np.concatenate(shares)
    best = _best_of_each(objects, vote)
    sizes, weights = np.log(objects[best, 4]), vote[best] * share[best] ** -SHARE_POWER
    order = np.argsort(sizes)
    total = np.cumsum(weights[order])
    middle = sizes[order[np.searchsorted(total, total[-1] / 2)]]
    same = weights[np.abs(sizes - middle) < SAME].sum() / total[-1]
    # Kish's effective number: how many equal votes would say as much.
    number = weights.sum() ** 2 / (weights**2).sum()
    return _Count(float(np.exp(middle)), len(best), bool(same >= CLEAR and number >= FEWEST_OBJECTS))


def _sides(window: Rectangle) -> tuple[int, int]:
    return window.y1 - window.y0, window.x1 - window.x0


def _middle(height: int, width: int, side: float) -> Rectangle:
    """Middle of a plane, `side` pixels at most in each direction."""
    rows, columns = min(height, round(side)), min(width, round(side))
    y0, x0 = (height - rows) // 2, (width - columns) // 2
    return Rectangle(y0, y0 + rows, x0, x0 + columns)


def _corners(height: int, width: int, middle: Rectangle) -> list[Rectangle]:
    """Windows as large as the middle one in the corners of a plane; two at the ends where it is as narrow as they."""
    rows, columns = _sides(middle)
    if (rows, columns) == (height, width):
        return []
    return [
        Rectangle(y0, y0 + rows, x0, x0 + columns)
        for y0 in sorted({0, height - rows})
        for x0 in sorted({0, width - columns})
    ]


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
