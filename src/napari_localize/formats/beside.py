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
    folder = options.images or path.parent
    stem = path.name.removesuffix(path.suffix)
    try:
        names = [entry.name for entry in os.scandir(folder)]
    except OSError:
        names = []
    found = [name for name in names if Path(name).suffix.lower() in SUFFIXES and Path(name).stem in (stem, path.stem)]
    if len(found) == 1:
        return found[0], image_size(folder / found[0])
    return stem, None


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
