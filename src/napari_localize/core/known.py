"""Where on a plane the boxes tell everything: what a person has reviewed, without what is to be ignored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_localize.core.areas import as_rectangles, inside
from napari_localize.core.steps import Area

Rectangles = tuple[tuple[float, float, float, float], ...]
"""``x0, y0, x1, y1`` of each, in pixels."""


@dataclass(frozen=True)
class KnownArea:
    """Where on a plane the boxes tell everything, so that a model may be trained and judged there.

    Parameters
    ----------
    reviewed : (N, 4) array-like or None
        Rectangles ``x0, y0, x1, y1``, in pixels, in which everything is right; None for the whole plane.
    ignored : (M, 4) array-like
        Rectangles that are taken out of that.

    Raises
    ------
    UserError
        When a rectangle is not finite or ends before it begins.
    """

    reviewed: Rectangles | None = None
    ignored: Rectangles = ()

    def __post_init__(self) -> None:
        # As tuples, so that equal areas are equal, whatever they were given as.
        if self.reviewed is not None:
            object.__setattr__(self, "reviewed", _as_tuples(self.reviewed))
        object.__setattr__(self, "ignored", _as_tuples(self.ignored))

    @classmethod
    def of(cls, areas: Iterable[Area], finished: bool) -> Self | None:
        """Return what is known of a plane that has some areas, or None where nobody has finished anything.

        Parameters
        ----------
        areas : iterable of Area
            All of the one plane.
        finished : bool
            Whether the whole plane is finished.
        """
        areas = list(areas)
        reviewed = tuple(area.xyxy for area in areas if area.kind == "reviewed")
        ignored = tuple(area.xyxy for area in areas if area.kind == "ignored")
        if finished:
            return cls(None, ignored)
        return cls(reviewed, ignored) if reviewed else None

    @property
    def whole(self) -> bool:
        """Whether that is the whole plane."""
        return self.reviewed is None and not self.ignored

    def holds(self, boxes: ArrayLike) -> NDArray[np.bool_]:
        """Tell which of (N, 4) boxes have their centre in the area."""
        corners = np.asarray(boxes, np.float64).reshape(-1, 4)
        if self.whole:
            return np.ones(len(corners), bool)
        centers = (corners[:, :2] + corners[:, 2:]) / 2
        if self.reviewed is None:
            return ~inside(centers, self.ignored)
        return inside(centers, self.reviewed, self.ignored)

    def within(self, x0: float, y0: float, x1: float, y1: float) -> Self:
        """Return what of the area lies in a rectangle of the plane."""
        if self.reviewed is None:
            return type(self)(((x0, y0, x1, y1),), self.ignored)
        cut = [(max(a, x0), max(b, y0), min(c, x1), min(d, y1)) for a, b, c, d in self.reviewed]
        return type(self)(tuple(part for part in cut if part[0] < part[2] and part[1] < part[3]), self.ignored)

    def moved(self, x: float, y: float, reduced: float = 1.0) -> Self:
        """Return the area in a part of the plane that begins at x and y and is so many times smaller."""

        def move(rectangles: Rectangles) -> Rectangles:
            return _as_tuples((as_rectangles(rectangles) - [x, y, x, y]) / reduced)

        return type(self)(None if self.reviewed is None else move(self.reviewed), move(self.ignored))


def _as_tuples(rectangles: ArrayLike) -> Rectangles:
    return tuple((x0, y0, x1, y1) for x0, y0, x1, y1 in as_rectangles(rectangles).tolist())


EVERYWHERE = KnownArea()
