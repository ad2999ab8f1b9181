"""Images as users give them: arrays of any kind, files, and folders of files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from napari_localize.core.errors import UserError
from napari_localize.core.planes import ArrayPlane, PlaneSource
from napari_localize.core.stacks import stack_planes

MOST_CHANNELS = 16
"""An array without named axes whose last one is longer than this is taken for a stack, not for channels."""

SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".lsm", ".svs", ".ndpi", ".zarr")
"""What is taken for an image when a folder is searched."""

_ZARR_FILES = ("zarr.json", ".zarray", ".zgroup", ".zattrs")


def planes_of(
    image: Any, axes: str | None = None, notes: list[str] | None = None
) -> Iterator[tuple[dict[str, int], PlaneSource]]:
    """Give the planes of an image or a stack with their positions, reading as little as possible.

    Parameters
    ----------
    image : array-like or path
        (H, W) or (H, W, C), or a stack whose axes are named; or an image file.
    axes : str, optional
        One letter for each axis, such as ``"TYX"``; a file's own by default.
    notes : list of str, optional
        What the user should know about the file is added to it.

    Yields
    ------
    position, plane
        The position by axis in small letters, ``{"t": 0}``; empty for a single plane.

    Raises
    ------
    UserError
        When it is not an image, or its axes have to be named.
    """
    if isinstance(image, str | os.PathLike):
        from napari_localize.formats.images import open_image

        file = open_image(Path(image), axes=axes)
        if notes is not None:
            notes += file.notes
        yield from file.planes()
        return
    data = as_array(image)
    shape = tuple(data.shape)
    if axes is not None:
        yield from stack_planes(data, axes)
        return
    if len(shape) > 3 or (len(shape) == 3 and shape[2] > MOST_CHANNELS):
        example = "TYX" if len(shape) == 3 else "TCYX"
        raise UserError(
            f"the image has the shape {shape}, which is neither (H, W) nor (H, W, C); "
            f"name its axes, for example axes={example!r}."
        )
    yield {}, ArrayPlane(data)


def as_array(image: Any) -> Any:
    """Return what has a shape, a numpy dtype and slices like an array; lazy arrays stay lazy.

    Raises
    ------
    UserError
        When it cannot be made into an array.
    """
    try:
        np.dtype(image.dtype)
        len(image.shape)
    except (AttributeError, TypeError):
        pass
    else:
        return image
    try:
        return np.asarray(image)
    except (ValueError, TypeError, RuntimeError) as error:
        raise UserError(f"an object of type {type(image).__name__} cannot be used as an image: {error}.") from error


def is_zarr(path: Path) -> bool:
    """Whether a folder is a zarr array or group."""
    return os.path.isdir(path) and (path.suffix == ".zarr" or any((path / name).is_file() for name in _ZARR_FILES))


def list_images(folder: Path) -> list[Path]:
    """Return the image files and zarr stores in a folder and the folders in it, sorted; hidden ones are left out.

    Raises
    ------
    UserError
        When the folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise UserError(f"cannot read the folder {error.filename}: {error.strerror}; change its permissions.")

    found = []
    seen = {os.path.realpath(folder)}
    for parent, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        here = Path(parent)
        stores = [name for name in folders if is_zarr(here / name)]
        inner = [name for name in folders if name not in stores and not name.startswith(".")]
        folders.clear()
        # Each folder once, however many links lead to it, and above all not round in a circle.
        for name in sorted(inner, key=lambda name: ((here / name).is_symlink(), name)):
            if (real := os.path.realpath(here / name)) not in seen:
                seen.add(real)
                folders.append(name)
        found += [
            here / name
            for name in (*files, *stores)
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES
        ]
    return sorted(found)
