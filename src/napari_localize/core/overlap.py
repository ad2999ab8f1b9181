"""Which boxes lie on which others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_PAIRS = 2_000_000
"""Pairs of boxes that are compared at once."""


def overlapping(boxes: NDArray[np.float32], others: NDArray[np.float32], iou: float) -> NDArray[np.bool_]:
    """Return for each of (N, 4) boxes whether its IoU with any of (M, 4) others is above a limit.

    Only others that reach the rows of a box are compared with it, so that many small boxes are quick.
    """
    result = np.zeros(len(boxes), bool)
    if not len(others) or not len(boxes):
        return result
    others = others[np.argsort(others[:, 1], kind="stable")]
    tallest = float((others[:, 3] - others[:, 1]).max())
    first = np.searchsorted(others[:, 1], boxes[:, 1] - tallest, "left")
    number = np.searchsorted(others[:, 1], boxes[:, 3], "right") - first
    ends = np.cumsum(number)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1)
    start = 0
    while start < len(boxes):
        done = ends[start] - number[start]
        stop = max(start + 1, int(np.searchsorted(ends, done + _PAIRS, "right")))
        here = number[start:stop]
        left = np.repeat(np.arange(start, stop), here)
        right = np.arange(len(left)) - np.repeat(np.cumsum(here) - here, here) + np.repeat(first[start:stop], here)
        a, b = boxes[left], others[right]
        sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
        shared = np.prod(np.clip(sides, 0, None), axis=1)
        union = np.prod(a[:, 2:] - a[:, :2], axis=1) + areas[right] - shared
        result[left[shared > iou * union]] = True
        start = stop
    return result
