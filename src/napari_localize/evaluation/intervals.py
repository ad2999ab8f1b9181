"""Intervals of measures by a bootstrap over planes: how far off they may be, as other planes would give others.

Planes are drawn again, as objects of one plane are found or missed together (Efron and Tibshirani, "An Introduction to
the Bootstrap", 1993); the levels of the percentiles are widened for few planes (Hesterberg, The American Statistician 69,
2015, section 5.3), as in `evaluation.gate`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.evaluation.average import falling, precision_at_recalls
from napari_localize.evaluation.estimates import Estimate
from napari_localize.evaluation.gate import FEWEST_PLANES, draws, levels, mean_count_error, pooled_f1

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_localize.evaluation.matches import Matches

NAME = "95 % bootstrap intervals over planes"

AP_REPLICATES = 1000
"""Average precision is costlier than F1, which gets more."""


def count_intervals(counts: NDArray[np.int64], seed: int = 0) -> dict[str, Estimate]:
    """Return precision, recall, F1 and the mean error of the count with their intervals.

    Parameters
    ----------
    counts : (planes, 3) int64
        Hits, objects found and objects there on each plane.
    seed : int
        The same counts and seed give the same answer.
    """
    planes = len(counts)
    drawn = draws(planes, seed) if planes >= FEWEST_PLANES else None
    measures: dict[str, Callable[[Any, Any], NDArray[np.float64]]] = {
        "precision": _precision,
        "recall": _recall,
        "F1": _f1,
        "count_error": mean_count_error,
    }
    return {name: _estimate(measure, counts, drawn) for name, measure in measures.items()}


def average_precision_interval(matches: Matches, limit: float, value: float, seed: int = 0) -> Estimate:
    """Return the interval of the average precision at a limit, the mean over classes.

    Parameters
    ----------
    matches : Matches
    limit : float
        IoU or distance of a hit.
    value : float
        The average precision of the planes as they are.
    seed : int
    """
    planes = matches.planes
    if planes < FEWEST_PLANES or not math.isfinite(value):
        return Estimate(value, math.nan, math.nan)
    hits = (matches.partner if limit == matches.limit else matches.assigned(limit)) >= 0
    classes = []
    for label in np.unique(matches.true_labels).tolist():
        mine = np.flatnonzero(matches.labels == label)
        mine = mine[falling(matches.scores[mine])]
        there = np.bincount(matches.true_plane[matches.true_labels == label], minlength=planes)
        classes.append((hits[mine], matches.plane[mine], there))
    answers = []
    for weights in draws(planes, seed, AP_REPLICATES):
        parts = [
            precision_at_recalls(hit, float(weights @ there), weights[plane]).mean() for hit, plane, there in classes
        ]
        known = [part for part in parts if part == part]
        answers.append(sum(known) / len(known) if known else math.nan)
    low, high = np.nanquantile(answers, levels(planes))
    return Estimate(value, float(low), float(high))


def _estimate(
    measure: Callable[[Any, Any], NDArray[np.float64]], counts: NDArray[np.int64], drawn: NDArray[Any] | None
) -> Estimate:
    planes = len(counts)
    value = float(measure(np.ones((1, planes)), counts)[0]) if planes else math.nan
    if drawn is None or not math.isfinite(value):
        return Estimate(value, math.nan, math.nan)
    low, high = np.nanquantile(measure(drawn, counts), levels(planes))
    return Estimate(value, float(low), float(high))


def _precision(weights: NDArray[Any], counts: NDArray[Any]) -> NDArray[np.float64]:
    hits, found, _ = (weights @ counts).T
    return _share(hits, found)


def _recall(weights: NDArray[Any], counts: NDArray[Any]) -> NDArray[np.float64]:
    hits, _, there = (weights @ counts).T
    return _share(hits, there)


def _f1(weights: NDArray[Any], counts: NDArray[Any]) -> NDArray[np.float64]:
    # Unlike a comparison of models, a report says that F1 is undefined where nothing is and nothing was found.
    empty = (weights @ counts)[:, 1:].sum(axis=1) == 0
    return np.where(empty, np.nan, pooled_f1(weights, counts))


def _share(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
