"""Whether one model is better than another, in words that promise no more than the numbers hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

SMALL = 0.02
"""A difference of AP50 or F1 below this is called none: so much changes between two equal trainings."""

FEW_PLANES = 3
"""Below so many planes a comparison is called little evidence."""


class Verdict(NamedTuple):
    """Which of two models to prefer, and how sure one can be of it."""

    word: str
    """``better``, ``worse``, ``about the same``, ``mixed``, or nothing where there is nothing to compare."""
    sentence: str


def verdict(old: Mapping[str, float] | None, new: Mapping[str, float], n_planes: int) -> Verdict:
    """Compare two models by AP50 and F1 on the same planes.

    Parameters
    ----------
    old, new : mapping
        Metrics with the keys ``AP50`` and ``F1``; `old` is None where the new model started from scratch.
    n_planes : int
        On how many planes the metrics were taken.
    """
    if n_planes == 0:
        return Verdict("", "Nothing was left to compare the models on: finish more planes to see which is better.")
    measured = "1 plane" if n_planes == 1 else f"{n_planes} planes"
    doubt = " That is little evidence: finish more planes to be sure." if n_planes < FEW_PLANES else ""
    if old is None:
        return Verdict("", f"Measured on {measured}; there is no old model to compare with.{doubt}")
    changes = [new[key] - old[key] for key in ("AP50", "F1")]
    if all(abs(change) < SMALL for change in changes):
        word = "about the same"
    elif min(changes) > -SMALL:
        word = "better"
    elif max(changes) < SMALL:
        word = "worse"
    else:
        up, down = ("AP50", "F1") if changes[0] > 0 else ("F1", "AP50")
        return Verdict("mixed", f"On {measured} {up} is better and {down} is worse.{doubt}")
    return Verdict(word, f"The new model is {word} on {measured}.{doubt}")
