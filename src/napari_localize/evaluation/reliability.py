"""How far probabilities are from what happens: bins of equal mass, and the expected calibration error over them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 10
"""Bins at most; each has at least `FEWEST` boxes where there are so many."""

FEWEST = 20

Share = Annotated[float, Field(ge=0, le=1)]


class Bin(BaseModel):
    """Boxes with neighbouring probabilities.

    Attributes
    ----------
    said : float
        Their mean probability, or score.
    right : float
        The share of them that are right.
    boxes : int
        How many they are.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    said: Share
    right: Share
    boxes: int = Field(ge=1)


def reliability(said: NDArray[Any], right: NDArray[Any]) -> list[Bin]:
    """Put boxes into bins of equal mass, by rising probability.

    Parameters
    ----------
    said : (N,) array
        Probability or score of each box, in 0 to 1.
    right : (N,) bool array
        Whether it is.
    """
    said, right = np.asarray(said, float), np.asarray(right, bool)
    if not len(said):
        return []
    order = np.argsort(said, kind="stable")
    parts = np.array_split(order, min(BINS, max(len(order) // FEWEST, 1)))
    return [
        Bin(said=float(np.clip(said[part].mean(), 0, 1)), right=float(right[part].mean()), boxes=len(part))
        for part in parts
    ]


def calibration_error(said: NDArray[Any], right: NDArray[Any]) -> float:
    """Return the expected calibration error: by how much, on average over boxes, a bin's mean is off.

    The bins are those of `reliability`; the parameters, too (Guo et al., "On Calibration of Modern Neural Networks",
    ICML 2017; of equal mass as Nguyen and O'Connor, EMNLP 2015). NaN without boxes. A perfect model does not come to 0
    either: with n boxes in a bin chance alone brings about ``0.4 / sqrt(n)``.
    """
    bins = reliability(said, right)
    if not bins:
        return float("nan")
    return sum(one.boxes * abs(one.said - one.right) for one in bins) / sum(one.boxes for one in bins)
