"""How far each object is from the next one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def nearest_neighbors(centers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance of each point to the nearest other one; NaN where there is none.

    Parameters
    ----------
    centers : (N, 2) float64
    """
    if len(centers) < 2:
        return np.full(len(centers), np.nan)
    from scipy.spatial import cKDTree

    # The nearest of all is the point itself, or one in the same place.
    distances, _ = cKDTree(centers).query(centers, k=2)
    return np.asarray(distances[:, 1], np.float64)


def nearest_of_same_class(centers: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the distance of each point to the nearest other one with its label; NaN where there is none."""
    distances = np.full(len(centers), np.nan)
    for label in np.unique(labels).tolist():
        mine = labels == label
        distances[mine] = nearest_neighbors(centers[mine])
    return distances
