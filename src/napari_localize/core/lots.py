"""Planes that were chosen by lot, so that what is found on them speaks for the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from napari_localize.core.boxes import PlaneIndex

MOST_DRAWN = 100_000

Place = tuple[int, PlaneIndex]
"""Number of an image, and where a plane lies in it."""


@dataclass(frozen=True)
class Lot:
    """Planes in the order in which they were drawn: any first part of them is a random sample, too.

    Attributes
    ----------
    seed : int
        The same seed and planes give the same lot.
    places : tuple of (image, plane index)
    """

    seed: int = 0
    places: tuple[Place, ...] = ()

    def drawn(self, number: int, among: Iterable[Place]) -> Lot:
        """Return a lot with so many more planes, drawn from those given that are not in it yet.

        Planes that are finished should not be among them: what is known already is no matter of chance.
        """
        taken = set(self.places)
        free = [place for place in among if place not in taken]
        order = np.random.default_rng([self.seed, len(self.places)]).permutation(len(free))[:number]
        return Lot(self.seed, (*self.places, *(free[at] for at in order.tolist())))

    def as_values(self) -> dict[str, Any]:
        """Return plain values for JSON and metadata."""
        return {"seed": self.seed, "places": [[image, list(index)] for image, index in self.places]}

    @classmethod
    def from_values(cls, values: Any) -> Self:
        """Return a lot from what `as_values` gave; an empty one where that makes no sense."""
        try:
            places = [(int(image), tuple(int(at) for at in index)) for image, index in values["places"][:MOST_DRAWN]]
            return cls(abs(int(values["seed"])), tuple(dict.fromkeys(places)))
        except (KeyError, TypeError, ValueError, OverflowError):
            return cls()
