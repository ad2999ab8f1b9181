"""How the boxes of a layer look, as numbers of the engine: which planes and boxes it is asked for, and what it said."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_localize.core.detections import STATES, Detections
from napari_localize.core.errors import UserError
from napari_localize.plugin.layers import image_planes
from napari_localize.plugin.pairs import channel_axis_of, image_of
from napari_localize.plugin.teaching import plane_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from napari.layers import Image, Layer
    from numpy.typing import NDArray

    from napari_localize.core.planes import PlaneSource
    from napari_localize.plugin.boxes import BoxLayer


@dataclass(frozen=True, eq=False)
class Question:
    """What the engine is asked: planes, and the boxes on each."""

    image: Image
    indices: list[tuple[int, ...]]
    planes: list[PlaneSource]
    keys: list[str]
    boxes: list[Detections]


class Described:
    """What is known of how the boxes of a layer look; boxes that have not changed are not asked for again."""

    def __init__(self) -> None:
        self._image: weakref.ref[Image] | None = None
        self._data: object = None
        self._known: dict[tuple[int, ...], tuple[bytes, NDArray[np.int64], NDArray[np.float32]]] = {}

    def question(self, boxes: BoxLayer, layers: Iterable[Layer], indices: Iterable[tuple[int, ...]]) -> Question:
        """Return what must be asked to know all boxes of some planes; it has no planes when all is known.

        All boxes of a plane are described together, as its typical size of object decides how it is looked at.

        Raises
        ------
        UserError
            Without the image, or when it lacks a plane.
        """
        image = image_of(boxes.layer, layers)
        if image is None:
            raise UserError("The image of these boxes is not open; open it first.")
        if self._image is None or self._image() is not image or self._data is not image.data:
            self._image, self._data = weakref.ref(image), image.data
            self._known.clear()
        sources = {plane.index: plane.source for plane in image_planes(image, channel_axis_of(boxes, image))}
        there = boxes.by_plane(STATES)
        wanted = [index for index in sorted(set(indices)) if index in there]
        if missing := [index for index in wanted if index not in sources]:
            raise UserError(f"The image has no plane {missing[0]}, on which there are boxes; open the whole image.")
        asked = [index for index in wanted if self._known.get(index, (b"",))[0] != _fingerprint(there[index])]
        return Question(
            image,
            asked,
            [sources[index] for index in asked],
            [plane_key(image, index) for index in asked],
            [there[index] for index in asked],
        )

    def learn(self, question: Question, answer: Sequence[NDArray[np.float32]]) -> None:
        """Remember what the engine said."""
        for index, boxes, features in zip(question.indices, question.boxes, answer, strict=True):
            self._known[index] = (_fingerprint(boxes), np.array(boxes.ids), features)

    def features(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Return which of some boxes are known, and the (M, C) features of those in their order."""
        if not self._known:
            return np.zeros(len(ids), bool), np.zeros((0, 1), np.float32)
        known = np.concatenate([own for _, own, _ in self._known.values()])
        table = np.concatenate([features for _, _, features in self._known.values()])
        order = np.argsort(known, kind="stable")
        at = np.minimum(np.searchsorted(known, ids, sorter=order), len(known) - 1)
        rows = order[at]
        there = known[rows] == ids
        return there, table[rows[there]]


def _fingerprint(boxes: Detections) -> bytes:
    order = np.argsort(boxes.ids)
    return bytes(boxes.ids[order].tobytes() + boxes.boxes[order].tobytes())
