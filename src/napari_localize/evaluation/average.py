"""Average precision from hits in the order of their scores, with weights for planes that are drawn again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.evaluation.metrics import RECALLS

if TYPE_CHECKING:
    from numpy.typing import NDArray


def precision_at_recalls(
    hits: NDArray[np.bool_], true: float, weights: NDArray[Any] | None = None
) -> NDArray[np.float64]:
    """Return COCO's precision at 101 recalls: the highest one at that recall or beyond.

    Parameters
    ----------
    hits : (N,) bool
        By falling score.
    true : float
        How many objects there are, in the units of the weights.
    weights : (N,), optional
        How often each prediction counts.

    Returns
    -------
    (101,) float64
        NaN where there are no objects.
    """
    if not true:
        return np.full(len(RECALLS), np.nan)
    each = np.ones(len(hits)) if weights is None else np.asarray(weights, np.float64)
    found = np.cumsum(hits * each)
    precision = found / np.maximum(np.cumsum(each), 1e-12)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(found / true, RECALLS, side="left")
    reached = at < len(envelope)
    answer = np.zeros(len(RECALLS))
    answer[reached] = envelope[at[reached]]
    return answer


def falling(scores: NDArray[Any]) -> NDArray[np.int64]:
    """Return the order of falling scores; equal ones stay as they are."""
    return np.argsort(-scores, kind="stable")
