"""Which layer of boxes belongs to which image, and the planes of it that a person has judged."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

import numpy as np

from napari_localize.core.annotations import plane_name
from napari_localize.core.detections import Detections
from napari_localize.core.known import EVERYWHERE, KnownArea
from napari_localize.core.steps import Area
from napari_localize.core.table import APPROVED
from napari_localize.plugin.boxes import BoxLayer, box_layer
from napari_localize.plugin.layers import image_planes, is_box_layer, is_points, transform_of

if TYPE_CHECKING:
    from napari.layers import Image, Layer, Shapes

    from napari_localize.core.planes import PlaneSource

_images: weakref.WeakKeyDictionary[Shapes, weakref.ref[Image]] = weakref.WeakKeyDictionary()
_places: weakref.WeakKeyDictionary[Shapes, _Place] = weakref.WeakKeyDictionary()


class _Place:
    """Keeps a layer of boxes where an image lies, as long as both are there.

    The events of the image hold bound methods weakly: with this object the connections go, too.
    """

    def __init__(self, boxes: Shapes, image: Image) -> None:
        self._boxes = weakref.ref(boxes)
        self._image = weakref.ref(image)
        for name in transform_of(image):
            getattr(image.events, name).connect(self._take)
        self._take()

    def is_on(self, image: Image) -> bool:
        """Whether this is the image that is followed."""
        return self._image() is image

    def _take(self, event: object = None) -> None:
        boxes, image = self._boxes(), self._image()
        if boxes is None or image is None or not fits(boxes, image):
            return
        old, new = transform_of(boxes), transform_of(image, 0 if boxes.ndim < image.ndim else None)
        for name, value in new.items():
            if not np.array_equal(old[name], value):
                setattr(boxes, name, value)


def pair(boxes: Shapes, image: Image) -> None:
    """Remember that a layer of boxes was made for an image, whatever they are renamed to, and keep it there."""
    _images[boxes] = weakref.ref(image)
    _lay(boxes, image)


def lay_on_images(layers: Iterable[Layer]) -> None:
    """Put the boxes of files where the images lie that they name, such as by the size of a pixel, and keep them there.

    What a person does to the place of a layer of boxes afterwards stays until that of the image changes.
    """
    layers = list(layers)
    for layer in layers:
        if is_box_layer(layer) and (image := _own_image(layer, layers)) is not None:
            _lay(layer, image)


def _lay(boxes: Shapes, image: Image) -> None:
    place = _places.get(boxes)
    if place is None or not place.is_on(image):
        _places[boxes] = _Place(boxes, image)


def image_of(boxes: Shapes, layers: Iterable[Layer]) -> Image | None:
    """Return the image that a layer of boxes belongs to.

    That is the one it was made for in this session, else the one that its metadata name, else the only
    image there is, if this is the only layer of boxes and was not made for another image or another size.
    """
    layers = list(layers)
    own = _own_image(boxes, layers)
    if own is not None or boxes in _images:
        return own
    images = _images_in(layers)
    # Of a file about several images the boxes of all would come to lie on the one that is open.
    if len(images) != 1 or any(is_box_layer(layer) and layer is not boxes for layer in layers):
        return None
    size = box_layer(boxes).image_info.get("size")
    fitting = size is None or tuple(size) == _plane_size(images[0])
    return images[0] if fitting and fits(boxes, images[0]) else None


def _own_image(boxes: Shapes, layers: Sequence[Layer]) -> Image | None:
    """Return the image that a layer of boxes was made for or, when that is not there, the one it names."""
    images = _images_in(layers)
    remembered = _images.get(boxes)
    made_for = remembered() if remembered is not None else None
    if made_for is not None and made_for in images:
        return made_for
    name = str(box_layer(boxes).image_info.get("name", ""))
    named = [image for image in images if name in names_of(image)]
    if not named:
        file = _file_of(boxes)
        named = [image for image in images if file.name in names_of(image)]
        # Files of one name in several folders: nothing says which of them the image is.
        alike = {_file_of(layer) for layer in layers if is_box_layer(layer)} | {file}
        folders = {other.parent for other in alike if other.name == file.name} - {PurePath()}
        if len(named) > 1 or len(folders) > 1:
            return None
    return next((image for image in named if fits(boxes, image)), None)


def _images_in(layers: Iterable[Layer]) -> list[Image]:
    return [layer for layer in layers if type(layer).__name__ == "Image"]


def _file_of(boxes: Shapes) -> PurePath:
    info = box_layer(boxes).image_info
    return PurePath(str(info.get("file") or info.get("name", "")))


def fits(boxes: Shapes, image: Image) -> bool:
    """Whether a layer of boxes has as many axes as lie on the planes of an image."""
    return bool(image.ndim >= boxes.ndim >= 2 and image.ndim - boxes.ndim <= 1)


def _plane_size(image: Image) -> tuple[int, int]:
    data = image.data[0] if image.multiscale else image.data
    height, width = data.shape[-3:-1] if image.rgb else data.shape[-2:]
    return int(height), int(width)


def boxes_of(
    image: Image, layers: Iterable[Layer], channel_axis: int | None, *, points: bool = False
) -> BoxLayer | None:
    """Return the boxes or points of an image, if there are any that fit its planes; of several layers the topmost.

    Boxes of files are put where their images lie first.
    """
    layers = list(layers)
    lay_on_images(layers)
    for layer in reversed(layers):
        if not is_box_layer(layer) or is_points(layer) != points or layer.ndim != image.ndim - (channel_axis == 0):
            continue
        if image_of(layer, layers) is image:
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
        What a person has accepted, changed or made, also outside of the known area.
    denied : Detections
        Proposals that a person has rejected, also outside of the known area.
    known : KnownArea
        Where the boxes count: the areas that the person has finished, or else the whole plane; without those that
        are to be ignored.
    finished : bool
        Whether the person has said that everything on the plane is right.
    wrong : Detections
        The rejected proposals, also outside of the known area.
    path : str
        The file of the image; empty where it has none.
    points : bool
        Whether the objects are points.
    """

    name: str
    source: PlaneSource
    approved: Detections
    denied: Detections
    known: KnownArea
    finished: bool
    path: str = ""
    points: bool = False

    @property
    def reviewed(self) -> bool:
        """Whether the plane or a part of it is finished."""
        return self.finished or self.known.reviewed is not None

    @property
    def counted(self) -> Detections:
        """The approved boxes in the known area."""
        return self.approved[self.known.holds(self.approved.boxes)]

    @property
    def rejected(self) -> int:
        """How many proposals were rejected in the known area."""
        return int(self.known.holds(self.denied.boxes).sum())

    @property
    def judged(self) -> Detections:
        """All boxes that a person has judged, for a training that tells of them."""
        return Detections.concatenate([self.approved, self.denied])


def judged_planes(layers: Iterable[Layer]) -> list[Judged]:
    """List the planes of all images that are finished, wholly or in part, or have judged boxes; reads no pixels.

    Of several layers of boxes on one plane the topmost counts in which something is finished, else the topmost.
    """
    planes: dict[object, Judged] = {}
    for key, plane in _judged(list(layers)):
        if key not in planes or plane.reviewed or not planes[key].reviewed:
            planes[key] = plane
    return list(planes.values())


def _judged(layers: list[Layer]) -> Iterator[tuple[object, Judged]]:
    """Yield the judged planes of all layers of boxes from the bottom up, with a key by image and plane."""
    for layer in layers:
        if not is_box_layer(layer) or (image := image_of(layer, layers)) is None:
            continue
        boxes = box_layer(layer)
        planes = {plane.index: plane for plane in image_planes(image, channel_axis_of(boxes, image))}
        approved, rejected = boxes.by_plane(APPROVED), boxes.by_plane(("rejected",))
        areas: dict[tuple[int, ...], list[Area]] = {}
        for area in boxes.areas:
            areas.setdefault(area.plane, []).append(area)
        reviewed = {area.plane for area in boxes.areas if area.kind == "reviewed"}
        for index in sorted({*approved, *boxes.finished, *reviewed} & set(planes)):
            here, finished = areas.get(index, ()), index in boxes.finished
            known = KnownArea.of(here, finished or index not in reviewed) or EVERYWHERE
            nothing = Detections.empty(tuple(boxes.classes))
            plane = Judged(
                name=plane_name(image.name, planes[index].position),
                source=planes[index].source,
                approved=approved.get(index, nothing),
                denied=rejected.get(index, nothing),
                known=known,
                finished=finished,
                path=str(image.source.path or ""),
                points=is_points(layer),
            )
            yield (id(image), index), plane


def channel_axis_of(boxes: BoxLayer, image: Image) -> int | None:
    """Return the axis of an image that was taken for channels when its boxes were made."""
    data = image.data[0] if image.multiscale else image.data
    leading = [int(n) for n in data.shape[: -3 if image.rgb else -2]]
    if boxes.layer.ndim < image.ndim:
        return 0
    planes = boxes.image_info.get("planes", leading)
    differing = [axis for axis, (ours, size) in enumerate(zip(planes, leading, strict=False)) if ours == 1 < size]
    return differing[0] if differing else None


def names_of(image: Image) -> set[str]:
    """Return what annotation files may call an image: the layer, its file, and that without its ending."""
    path = PurePath(image.source.path or image.name)
    return {image.name, path.name, path.stem}
