"""Label images: every object has a number of its own, 0 is background; read only, and only when named."""

from __future__ import annotations

from pathlib import Path

from napari_localize.core.annotations import Annotations, plane_name
from napari_localize.core.errors import UserError
from napari_localize.core.labels import boxes_of_labels
from napari_localize.formats.base import Format, ReadOptions
from napari_localize.formats.images import find_images, open_image


def sniff(head: bytes) -> bool:
    """Nothing tells a label image from any other image."""
    return False


def read(path: Path, options: ReadOptions) -> Annotations:
    """Read the boxes around the objects of an image, a stack, or all images in a folder."""
    planes, sizes = {}, {}
    for name, file in find_images([path]):
        image = open_image(file)
        for position, plane in image.planes():
            height, width, channels = plane.shape
            if channels != 1:
                raise UserError(f"{file} has {channels} channels; a label image has one, of whole numbers.")
            key = plane_name(name, position)
            try:
                planes[key] = boxes_of_labels(plane.read(0, height, 0, width)[..., 0])
            except UserError as error:
                raise UserError(f"{file} is no label image: {error}") from error
            sizes[key] = (height, width)
    return Annotations(planes, sizes)


FORMAT = Format(name="labels", title="label image", sniff=sniff, read=read, sniff_folder=lambda _: False)
