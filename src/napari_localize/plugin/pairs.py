"""Which layer of boxes belongs to which image, and the planes of it that a person has judged."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from napari_localize.core.annotations import plane_name
from napari_localize.core.detections import Detections
from napari_localize.plugin.boxes import BoxLayer, box_layer
from napari_localize.plugin.layers import image_planes, is_box_layer
from napari_localize.plugin.table import APPROVED

if TYPE_CHECKING:
    from napari.layers import Image, Layer, Shapes

    from napari_localize.core.planes import PlaneSource

_images: weakref.WeakKeyDictionary[Shapes, weakref.ref[Image]] = weakref.WeakKeyDictionary()


def pair(boxes: Shapes, image: Image) -> None:
    """Remember that a layer of boxes was made for an image, whatever they are renamed to."""
    _images[boxes] = weakref.ref(image)


def image_of(boxes: Shapes, layers: Iterable[Layer]) -> Image | None:
    """Return the image that a layer of boxes belongs to.

    That is the one it was made for in this session, else the one that its metadata name, else the only
    image there is.
    """
    images = [layer for layer in layers if type(layer).__name__ == "Image"]
    remembered = _images.get(boxes)
    if remembered is not None:
        made_for = remembered()
        return made_for if made_for in images else None
    info = box_layer(boxes).image_info
    named = [image for image in images if str(info.get("name", "")) in _names(image)]
    for image in named or images[: len(images) == 1]:
        if image.ndim >= boxes.ndim >= 2 and image.ndim - boxes.ndim <= 1:
            return image
    return None


def boxes_of(image: Image, layers: Iterable[Layer], channel_axis: int | None) -> BoxLayer | None:
    """Return the boxes of an image, if there are any that fit its planes; of several the topmost."""
    layers = list(layers)
    for layer in reversed(layers):
        if is_box_layer(layer) and image_of(layer, layers) is image and layer.ndim == image.ndim - (channel_axis == 0):
            return box_layer(layer)
    return None


@dataclass(frozen=True)
class Judged:
    """A plane of which a person has judged boxes.

    Parameters
    ----------
    name : str
        The image, and where the plane lies in it.
    source : PlaneSource
        Its pixels.
    approved : Detections
        What a person has accepted, changed or made.
    rejected : int
        How many proposals were rejected.
    finished : bool
        Whether the person has said that everything on the plane is right.
    """

    name: str
    source: PlaneSource
    approved: Detections
    rejected: int
    finished: bool


def judged_planes(layers: Iterable[Layer]) -> list[Judged]:
    """List the planes of all images that are finished or have judged boxes, without reading pixels."""
    return list(_judged(list(layers)))


def _judged(layers: list[Layer]) -> Iterator[Judged]:
    for layer in layers:
        if not is_box_layer(layer) or (image := image_of(layer, layers)) is None:
            continue
        boxes = box_layer(layer)
        planes = {plane.index: plane for plane in image_planes(image, channel_axis_of(boxes, image))}
        approved, rejected = boxes.by_plane(APPROVED), boxes.by_plane(("rejected",))
        for index in sorted({*approved, *boxes.finished} & set(planes)):
            yield Judged(
                name=plane_name(image.name, planes[index].position),
                source=planes[index].source,
                approved=approved.get(index, Detections.empty(tuple(boxes.classes))),
                rejected=len(rejected.get(index, ())),
                finished=index in boxes.finished,
            )


def channel_axis_of(boxes: BoxLayer, image: Image) -> int | None:
    """Return the axis of an image that was taken for channels when its boxes were made."""
    data = image.data[0] if image.multiscale else image.data
    leading = [int(n) for n in data.shape[: -3 if image.rgb else -2]]
    if boxes.layer.ndim < image.ndim:
        return 0
    planes = boxes.image_info.get("planes", leading)
    differing = [axis for axis, (ours, size) in enumerate(zip(planes, leading, strict=False)) if ours == 1 < size]
    return differing[0] if differing else None


def _names(image: Image) -> set[str]:
    path = PurePath(image.source.path or image.name)
    return {image.name, path.name, path.stem}
