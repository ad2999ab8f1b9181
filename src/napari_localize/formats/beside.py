"""The images that belong to an annotation file: their names and sizes, where the file does not say."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from napari_localize.core.annotations import Annotations, split_plane_name
from napari_localize.core.errors import UserError
from napari_localize.formats.base import ReadOptions
from napari_localize.formats.images import open_image
from napari_localize.formats.sources import SUFFIXES


def image_size(path: Path) -> tuple[int, int] | None:
    """Return height and width of an image file without reading its pixels; None when it cannot be read."""
    try:
        height, width, _ = open_image(path).plane_shape
    except UserError:
        return None
    return height, width


def image_of(path: Path, options: ReadOptions) -> tuple[str, tuple[int, int] | None]:
    """Return name and size of the image that an annotation file without image names is about.

    That is the only image called like the file, in the folder of images if that is given, or else beside it.
    Without one the name is that of the file without its extension.
    """
    found = _image_called_like(path, options)
    if found is not None:
        return found.name, image_size(found)
    return path.name.removesuffix(path.suffix), None


def stack_axes(path: Path, options: ReadOptions) -> list[str]:
    """Return the axes that tell the planes of the image of `image_of` apart; none where it has one, or is not there."""
    found = _image_called_like(path, options)
    if found is None:
        return []
    try:
        image = open_image(found)
    except UserError:
        return []
    sizes = {axis.lower(): n for axis, n in zip(image.axes, image.shape, strict=True) if axis not in "YXCS"}
    return list(sizes) if any(n != 1 for n in sizes.values()) else []


def _image_called_like(path: Path, options: ReadOptions) -> Path | None:
    folder = options.images or path.parent
    stem = path.name.removesuffix(path.suffix)
    try:
        names = [entry.name for entry in os.scandir(folder)]
    except OSError:
        names = []
    found = [name for name in names if Path(name).suffix.lower() in SUFFIXES and Path(name).stem in (stem, path.stem)]
    return folder / found[0] if len(found) == 1 else None


def add_sizes(data: Annotations, images: Path) -> None:
    """Add the sizes of planes whose image is in a folder. Names that lead out of it find nothing."""
    known: dict[str, tuple[int, int] | None] = {}
    for plane in data:
        if plane in data.sizes:
            continue
        name = split_plane_name(plane)[0]
        if name not in known:
            parts = PurePosixPath(name).parts
            inside = bool(parts) and ".." not in parts and not PurePosixPath(name).is_absolute() and ":" not in parts[0]
            known[name] = image_size(images / name) if inside and os.path.exists(images / name) else None
        if (size := known[name]) is not None:
            data.sizes[plane] = size
