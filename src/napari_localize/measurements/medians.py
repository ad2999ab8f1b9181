"""Medians of many groups of numbers at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def group_medians(values: NDArray[Any], group: NDArray[np.int64], groups: int) -> NDArray[np.float64]:
    """Return the median of the finite values of each group; NaN where there is none.

    Parameters
    ----------
    values : (P,) numbers
    group : (P,) int64
        From 0 to `groups` - 1, in ascending order.
    groups : int
    """
    finite = np.isfinite(values)
    if not finite.all():
        values, group = values[finite], group[finite]
    # Four bytes do where they are exact: sorting them takes half the time.
    values = values.astype(np.promote_types(values.dtype, np.float32), copy=False)
    counts = np.bincount(group, minlength=groups)
    medians = np.full(groups, np.nan)
    # Groups of similar size form the rows of one table, in which sorting is fast.
    power = np.frexp(counts)[1]
    for size in np.unique(power[counts > 0]).tolist():
        rows = np.flatnonzero(power == size)
        table = np.full((len(rows), int(counts[rows].max())), np.inf, values.dtype)
        table[np.arange(table.shape[1]) < counts[rows, None]] = values[power[group] == size]
        table.sort(axis=1)
        at = np.arange(len(rows))
        low, high = (counts[rows] - 1) // 2, counts[rows] // 2
        medians[rows] = (table[at, low].astype(np.float64) + table[at, high]) / 2
    return medians
