"""Chances that boxes are right, revised by what a person says of some: a logistic regression that begins with the model's own.

Where the first guesses of a kind turn out wrong, others that look like them become doubtful. Prior: the model's chances are
right (slope 1), and neither class nor looks matter; the maximum a posteriori is found by Newton's method.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_LESSONS = 2000
"""So many of the latest judgements are learned from."""

_SLOPE, _OFFSET, _LOOKS = 0.5, 1.0, 1.0
"""Standard deviations of the prior: of the slope, of the offset, and of the weight of each of the looks."""

_STEPS = 2
_SHORTEST = 1e-4
_EDGE = 1e-3


class Reviser:
    """Learns from judgements, one by one.

    Parameters
    ----------
    chances : (N,) array
        The model's.
    looks : (N, C) array
        With distances of about 1; class and size, or features.
    """

    def __init__(self, chances: NDArray[Any], looks: NDArray[Any]) -> None:
        self._middle = looks.mean(axis=0) if len(looks) else np.zeros(looks.shape[1])
        self._table = self._rows_of(chances, looks)
        self._prior = np.zeros(self._table.shape[1])
        self._prior[1] = 1.0
        self._weight = self._prior.copy()
        self._precision = np.full(len(self._prior), _LOOKS**-2.0)
        self._precision[:2] = _OFFSET**-2.0, _SLOPE**-2.0
        self._lessons = self._table[:0]
        self._answers = np.zeros(0)
        self._own: dict[int, bool] = {}

    def _rows_of(self, chances: NDArray[Any], looks: NDArray[Any]) -> NDArray[np.float64]:
        p = np.clip(np.asarray(chances, float), _EDGE, 1 - _EDGE)
        logit = np.log(p) - np.log1p(-p)
        return np.concatenate([np.ones((len(p), 1)), logit[:, None], looks - self._middle], axis=1)

    def study(self, chances: NDArray[Any], looks: NDArray[Any], right: NDArray[Any]) -> None:
        """Learn from boxes beside these, of which it is known whether they are right."""
        self._lessons = self._rows_of(chances[-MOST_LESSONS:], looks[-MOST_LESSONS:])
        self._answers = np.asarray(right[-MOST_LESSONS:], float)
        self._fit(10)

    def learn(self, row: int, right: bool) -> None:
        """Note what a person says of one of the boxes."""
        self._own.pop(row, None)
        self._own[row] = right
        self._fit()

    def forget(self, row: int) -> None:
        """Take back what a person said of a box."""
        if self._own.pop(row, None) is not None:
            self._fit()

    def chances(self) -> NDArray[np.float64]:
        """Return the revised chances of all boxes; (N,)."""
        answer: NDArray[np.float64] = np.exp(-np.logaddexp(0, -(self._table @ self._weight)))
        return answer

    def _fit(self, steps: int = _STEPS) -> None:
        own = list(self._own)[-MOST_LESSONS:]
        table = np.concatenate([self._lessons, self._table[own]])
        right = np.concatenate([self._answers, [float(self._own[row]) for row in own]])
        for _ in range(steps):
            p = np.exp(-np.logaddexp(0, -(table @ self._weight)))
            slope = table.T @ (right - p) - self._precision * (self._weight - self._prior)
            bend = (table * (p * (1 - p))[:, None]).T @ table + np.diag(self._precision)
            step, before = np.linalg.solve(bend, slope), self._loss(table, right, self._weight)
            # Where the model is sure and wrong, a full step leads beyond the maximum.
            size = 1.0
            while size > _SHORTEST and self._loss(table, right, self._weight + size * step) > before:
                size /= 2
            if size > _SHORTEST:
                self._weight = self._weight + size * step

    def _loss(self, table: NDArray[np.float64], right: NDArray[Any], weight: NDArray[np.float64]) -> float:
        z = table @ weight
        return float((np.logaddexp(0, z) - right * z).sum() + (self._precision * (weight - self._prior) ** 2).sum() / 2)
