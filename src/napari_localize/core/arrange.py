"""Which boxes a person wants to look at, and in which order: by score, size, class, place, or by how they look."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.boxes import ROUNDING, STATE_CODES, BoxRows, PlaneIndex
from napari_localize.core.detections import STATES
from napari_localize.core.table import BoxTable

SURE_FIRST, UNSURE_FIRST, GUESSES_FIRST = "highest score", "lowest score", "least certain guesses"
LARGE_FIRST, SMALL_FIRST, BY_CLASS, BY_PLACE = "largest", "smallest", "class", "plane and place"
ORDERS = (SURE_FIRST, UNSURE_FIRST, GUESSES_FIRST, LARGE_FIRST, SMALL_FIRST, BY_CLASS, BY_PLACE)
"""Orders that need no look at the image."""


@dataclass(frozen=True)
class Wanted:
    """Which boxes are wanted.

    Attributes
    ----------
    states : frozenset of str
        States of `core.detections.STATES`.
    label : str or None
        A class; None for all.
    plane : tuple of int or None
        Index of a plane; None for all.
    scores : (float, float)
        Lowest and highest score. What has no score was made by a person and counts as sure.
    """

    states: frozenset[str] = frozenset(STATES)
    label: str | None = None
    plane: PlaneIndex | None = None
    scores: tuple[float, float] = (0.0, 1.0)

    def rows(self, table: BoxTable) -> BoxRows:
        """Return the boxes of a table that are wanted; guesses that its score and size filter hides are not."""
        boxes = table.boxes
        mask = table.passing() & table.in_states(self.states) & table.on(self.plane)
        if self.label is not None:
            mask &= boxes.labels == boxes.class_code(self.label)
        low, high = self.scores
        scores = np.nan_to_num(boxes.scores, nan=1.0)
        mask &= (scores >= low - ROUNDING) & (scores <= high + ROUNDING)
        return boxes.take(mask)


def arrange(rows: BoxRows, order: str, classes: Sequence[str] = ()) -> NDArray[np.int64]:
    """Put boxes into an order.

    Parameters
    ----------
    rows : BoxRows
    order : str
        One of `ORDERS`.
    classes : sequence of str
        All classes in the order of the class list.

    Returns
    -------
    (N,) int64
        Indices of the rows; equals follow each other by id.
    """
    scores = np.nan_to_num(rows.scores, nan=1.0)
    sides = (rows.boxes[:, 2:] - rows.boxes[:, :2]).astype(np.float64)
    keys: list[NDArray[np.float64]]
    if order == SURE_FIRST:
        keys = [-scores]
    elif order == UNSURE_FIRST:
        keys = [scores]
    elif order == GUESSES_FIRST:
        keys = [(rows.states != STATE_CODES["proposed"]).astype(float), scores]
    elif order in (LARGE_FIRST, SMALL_FIRST):
        keys = [sides.prod(axis=1) * (-1 if order == LARGE_FIRST else 1)]
    elif order == BY_CLASS:
        rank = {name: at for at, name in enumerate(classes)}
        ranks = np.array([rank.get(name, len(rank)) for name in rows.class_names] or [0], float)
        keys = [ranks[rows.labels], -scores]
    elif order == BY_PLACE:
        keys = _reading_order(rows, sides)
    else:
        raise ValueError(f"there is no order {order!r}")
    return np.lexsort((rows.ids, *reversed(keys)))


def _reading_order(rows: BoxRows, sides: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Sort by plane, then in lines as high as an object is, from left to right."""
    ranked = sorted(set(rows.plane_indices))
    ranks = np.array([ranked.index(plane) for plane in rows.plane_indices] or [0], float)
    x, y = (rows.boxes[:, :2] + rows.boxes[:, 2:]).T.astype(np.float64) / 2
    height = float(np.median(sides[:, 1])) if len(sides) else 1.0
    return [ranks[rows.planes], np.floor(y / max(height, 1.0)), x]


def standardised(features: NDArray[np.floating]) -> NDArray[np.float64]:
    """Bring (N, C) columns in any units to a mean of 0 and a standard deviation of 1; constant ones become 0."""
    values = np.nan_to_num(np.asarray(features, np.float64))
    if not len(values):
        return values
    values = values - values.mean(axis=0)
    spread = values.std(axis=0)
    standard: NDArray[np.float64] = values / np.where(spread > 0, spread, 1.0)
    return standard


def unlikeness(features: NDArray[np.floating], examples: Iterable[int]) -> NDArray[np.float64]:
    """Say how little each object is like some of them.

    Parameters
    ----------
    features : (N, C) array
        In any units, such as of `engine.client.Engine.describe`.
    examples : iterable of int
        Rows of at least one of them.

    Returns
    -------
    (N,) float64
        Cosine distance, 0 to 2, of the `standardised` features to the nearest example. Whitening them would give the
        many directions in which only noise differs the same weight as those that tell kinds apart.
    """
    standard = standardised(features)
    length = np.linalg.norm(standard, axis=1, keepdims=True)
    directions = standard / np.where(length > 0, length, 1.0)
    nearest = np.full(len(standard), 2.0)
    for example in (chosen := list(examples)):
        nearest = np.minimum(nearest, np.clip(1 - directions @ directions[example], 0.0, 2.0))
    nearest[chosen] = 0.0
    return nearest


def strangeness(features: NDArray[np.floating]) -> NDArray[np.float64]:
    """Say how unusual each object is: (N,) Euclidean distances of the `standardised` features to their median."""
    standard = standardised(features)
    if not len(standard):
        return np.zeros(0)
    distances: NDArray[np.float64] = np.linalg.norm(standard - np.median(standard, axis=0), axis=1)
    return distances
