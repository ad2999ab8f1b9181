"""Dividing planes into parts that do not look into each other."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage

LOOK_DISTANCE = 0.06
"""Planes nearer than this in the space of `look` belong to one group."""


def look(image: NDArray[Any]) -> NDArray[np.float64]:
    """Describe how an image looks, without knowing what is in it.

    Parameters
    ----------
    image : (H, W) or (H, W, C) array
        Intensities.

    Returns
    -------
    (8,) float64
        Logarithms of height and width (weighed heavily: same size, same microscope), of mean and spread of the
        brightness, and how the first and last channel differ from it.
    """
    pixels = np.asarray(image, np.float64)
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels[..., :3]
    grey = pixels.mean(axis=-1)
    top = max(float(np.abs(pixels).max()), 1e-9)
    reference = 255.0 if image.dtype == np.uint8 else top
    red, blue = (pixels[..., 0] - grey) / reference, (pixels[..., -1] - grey) / reference
    return np.array(
        [
            4 * np.log(grey.shape[0]),
            4 * np.log(grey.shape[1]),
            0.5 * np.log(grey.mean() / reference + 0.01),
            0.5 * np.log(grey.std() / reference + 0.01),
            4 * red.mean(),
            4 * blue.mean(),
            4 * red.std(),
            4 * blue.std(),
        ]
    )


def group_by_look(images: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    """Number the groups of images that look alike (average linkage on `look`), from 0."""
    if len(images) < 2:
        return np.zeros(len(images), np.int64)
    tree = linkage(np.array([look(image) for image in images]), "average")
    return np.asarray(fcluster(tree, LOOK_DISTANCE, "distance"), np.int64) - 1


def split_groups(
    groups: Sequence[int] | NDArray[np.int64],
    fractions: dict[str, float],
    strata: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> list[str]:
    """Give whole groups to parts.

    Parameters
    ----------
    groups : sequence of int
        The group of each item.
    fractions : dict of str to float
        Wanted share of the items by part; the first part takes the groups too large for any other.
    strata : sequence of hashable, optional
        Kind of each item; the shares are kept within each kind as well as its groups allow. A group is of the
        kind of its first item.
    seed : int
        Order in which groups are given out.

    Returns
    -------
    list of str
        The part of each item.
    """
    strata = [None] * len(groups) if strata is None else list(strata)
    members: dict[Hashable, dict[int, list[int]]] = {}
    kinds: dict[int, Hashable] = {}
    for item, (kind, group) in enumerate(zip(strata, np.asarray(groups).tolist(), strict=True)):
        members.setdefault(kinds.setdefault(group, kind), {}).setdefault(group, []).append(item)
    rng = np.random.default_rng(seed)
    first = next(iter(fractions))
    parts = [first] * len(groups)
    for by_group in members.values():
        total = sum(len(items) for items in by_group.values())
        left = {part: share * total for part, share in fractions.items()}
        numbers = list(by_group)
        for index in rng.permutation(len(numbers)).tolist():
            items = by_group[numbers[index]]
            room = [part for part in fractions if left[part] >= len(items)]
            part = max(room or [first], key=lambda name: left[name] / fractions[name])
            left[part] -= len(items)
            for item in items:
                parts[item] = part
    return parts
