"""Teach by example in a viewer: which boxes are examples, and what is found becomes proposals."""

from __future__ import annotations

import itertools
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_localize.core.detections import EXAMPLES, Detections
from napari_localize.core.errors import UserError
from napari_localize.core.table import APPROVED
from napari_localize.plugin.boxes import BoxLayer
from napari_localize.plugin.layers import image_planes
from napari_localize.plugin.pairs import channel_axis_of, image_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.layers import Image, Layer

    from napari_localize.core.planes import PlaneSource
    from napari_localize.core.proposing import Region

MODEL = "generalist"
"""The model whose features tell what is alike; it knows objects of many kinds."""


MOST_OTHER_PLANES = 2
"""Beside the plane in view, examples of so many others are used, where it has fewer than `ENOUGH`."""

ENOUGH = 5

_count = itertools.count()
_numbers: weakref.WeakKeyDictionary[Image, tuple[Any, int]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Lesson:
    """What is taught: planes, the one in view first, with examples and counterexamples of each."""

    plane: tuple[int, ...]
    planes: list[PlaneSource]
    keys: list[str]
    examples: list[Detections]
    rejected: list[Detections]
    center: tuple[float, float]

    @property
    def fingerprint(self) -> int:
        """Another number for other examples."""
        parts = (part for side in (self.examples, self.rejected) for part in side)
        return hash((self.plane, *((part.boxes.tobytes(), part.labels.tobytes(), part.class_names) for part in parts)))


def lesson(boxes: BoxLayer, layers: Iterable[Layer], plane: tuple[int, ...], center: tuple[float, float]) -> Lesson:
    """Gather the examples for a plane: what a person has drawn, changed or accepted there, or on other planes.

    Parameters
    ----------
    boxes : BoxLayer
        What is to get the proposals.
    layers : iterable of Layer
        Of the viewer.
    plane : tuple of int
        Index of the plane in view.
    center : (x, y)
        What is in view, in pixels.

    Raises
    ------
    UserError
        Without an example, or without the image.
    """
    image = image_of(boxes.layer, layers)
    if image is None:
        raise UserError("The image of these boxes is not open; open it first.")
    sources = {one.index: one.source for one in image_planes(image, channel_axis_of(boxes, image))}
    if plane not in sources:
        raise UserError("The image has no such plane; move the sliders to one of its planes.")
    approved, rejected = boxes.by_plane(APPROVED), boxes.by_plane(("rejected",))
    chosen = [plane]
    if len(approved.get(plane, ())) < ENOUGH:
        others = [index for index in approved if index != plane and index in sources]
        others.sort(key=lambda index: (-len(approved[index]), index))
        chosen += others[:MOST_OTHER_PLANES]
    none = Detections.empty(tuple(boxes.classes))
    taught = Lesson(
        plane,
        [sources[index] for index in chosen],
        [plane_key(image, index) for index in chosen],
        [approved.get(index, none) for index in chosen],
        [rejected.get(index, none) for index in chosen],
        center,
    )
    if not any(len(part) for part in taught.examples):
        raise UserError("There is no example yet: draw a box around one object, or accept one, then ask again.")
    return taught


def withdraw(boxes: BoxLayer, taught: Lesson) -> None:
    """Take the guesses of a lesson away of which no example is left."""
    boxes.set_proposals({taught.plane: Detections.empty(tuple(boxes.classes))}, EXAMPLES)


def plane_key(image: Image, index: tuple[int, ...]) -> str:
    """Return a text for a plane that no other one has in this session, by which the engine remembers it."""
    return f"{_number_of(image)} {index}"


def _number_of(image: Image) -> int:
    """Return a number that no other image has had in this session, nor this one with other data.

    The identity of the data alone would be given out again when the data are gone.
    """
    known = _numbers.get(image)
    if known is None or known[0] is not image.data:
        known = _numbers[image] = (image.data, next(_count))
    return known[1]


def propose(boxes: BoxLayer, taught: Lesson, found: Detections, region: Region | None = None) -> int:
    """Show what is alike as proposals in the place of older ones; return how many there are.

    With a region (y0, y1, x0, x1), guesses outside of it stay.
    """
    boxes.set_proposals({taught.plane: found}, EXAMPLES, region=region)
    return len(found) if region else boxes.number_of_guesses(taught.plane)
