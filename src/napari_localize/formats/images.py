"""Image files of any kind, read plane by plane and rectangle by rectangle."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.errors import UserError
from napari_localize.core.planes import PlaneSource
from napari_localize.formats.listing import find_images
from napari_localize.formats.pictures import Picture
from napari_localize.formats.pixel_size import UNKNOWN, PixelSize, tiff_pixel_size
from napari_localize.formats.sources import MOST_CHANNELS, is_zarr
from napari_localize.formats.tiff import MissingCodecError, TiffImage
from napari_localize.formats.zarrs import open_zarr

__all__ = ["ImageFile", "find_images", "open_image"]

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_Colour = Callable[[NDArray[Any]], NDArray[Any]]


class ImageFile:
    """An image file or zarr store.

    Attributes
    ----------
    path : Path
    axes : str
        A letter for each axis of the stored array: Y, X, C and S (channels and samples), others for a stack.
    shape : tuple of int
        Shape of the stored array.
    notes : list of str
        What the user should know, for example about further images in the same file.
    """

    def __init__(
        self,
        path: Path,
        data: Any,
        axes: str,
        channels: int,
        colour: _Colour | None,
        size: Callable[[], PixelSize] = lambda: UNKNOWN,
    ) -> None:
        self.path, self.axes, self.shape = path, axes, tuple(int(n) for n in data.shape)
        self.notes: list[str] = []
        self._data, self._colour, self._find_size = data, colour, size
        self._sizes = dict(zip(axes, self.shape, strict=True))
        self._channels = channels
        self._outer = [axis for axis in axes if axis not in "YXCS"]

    def planes(self) -> Iterator[tuple[dict[str, int], PlaneSource]]:
        """Give the planes with their positions, such as ``{"t": 0, "z": 1}``; nothing is read yet."""
        for index in np.ndindex(*(self._sizes[axis] for axis in self._outer)):
            fixed = dict(zip(self._outer, index, strict=True))
            yield {axis.lower(): at for axis, at in fixed.items()}, _FilePlane(self, fixed)

    @property
    def plane_shape(self) -> tuple[int, int, int]:
        """Height, width and number of channels of every plane."""
        return self._sizes["Y"], self._sizes["X"], self._channels

    @property
    def pixel_size(self) -> float | None:
        """Micrometres per pixel; None where the file does not say, or width and height differ by more than 1 %."""
        return self._size.value

    @property
    def pixel_size_note(self) -> str:
        """A sentence when the pixels are not square; else empty."""
        return self._size.note

    @cached_property
    def _size(self) -> PixelSize:
        return self._find_size()

    def read(self, fixed: dict[str, int], rows: slice, columns: slice) -> NDArray[Any]:
        """Return the (H, W, C) pixels of a rectangle of the plane at a position, by axes in capitals."""
        wanted: dict[str, int | slice] = {**fixed, "Y": rows, "X": columns}
        index = tuple(wanted.get(axis, slice(None)) for axis in self.axes)
        kept = [axis for axis in self.axes if axis not in fixed]
        with _told(self.path):
            part = np.asarray(self._data[index]).transpose([kept.index(axis) for axis in "YXCS" if axis in kept])
            # A copy in the byte order of this machine: nothing refers to the file afterwards.
            part = np.array(part.reshape(*part.shape[:2], -1), dtype=part.dtype.newbyteorder("="))
        return part if self._colour is None else self._colour(part)


class _FilePlane:
    """One plane of an image file."""

    def __init__(self, file: ImageFile, fixed: dict[str, int]) -> None:
        self._file, self._fixed = file, fixed

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._file.plane_shape

    def read(self, y0: int, y1: int, x0: int, x1: int) -> NDArray[Any]:
        return self._file.read(self._fixed, slice(y0, y1), slice(x0, x1))


def open_image(path: str | os.PathLike[str], axes: str | None = None) -> ImageFile:
    """Open an image file without reading its pixels.

    Parameters
    ----------
    path : path
        TIFF (also OME, ImageJ, pyramids, slides), zarr and OME-Zarr, or anything that Pillow reads. Of
        pyramids, the full resolution is taken; palettes and CMYK become RGB; transparency is dropped.
    axes : str, optional
        One letter for each axis of the stored array, such as ``"TYX"``: Y, X, C or S for channels, and any
        others for a stack. By default those that the file names or that are plain from its shape.

    Raises
    ------
    UserError
        When the file is no image, is damaged, holds numbers that are not real, or the axes do not fit.
    """
    path = Path(path)
    if not os.path.exists(path):
        raise UserError(f"{path} does not exist.")
    if path.is_file() and path.stat().st_size == 0:
        raise UserError(f"{path} is empty; copy it again.")
    with _told(path):
        data, named, tiff, size = _open(path)
    shape = tuple(int(n) for n in data.shape)
    if 0 in shape:
        raise UserError(f"{path} is empty: its shape is {shape}.")
    if np.dtype(data.dtype).kind not in "buif":
        raise UserError(f"{path} holds {data.dtype} numbers; convert it to real numbers first.")
    letters = _chosen(path, axes, named, shape) if axes else _guessed(path, named, shape)
    channels = int(np.prod([n for axis, n in zip(letters, shape, strict=True) if axis in "CS"]))
    colour: _Colour | None = None
    if tiff is not None:
        colour, channels = _colour_of(tiff, channels)
    file = ImageFile(path, data, letters, channels, colour, size)
    if tiff is not None and tiff.images > 1:
        file.notes.append(f"{path} holds {tiff.images} images; the first one is used.")
    return file


def _open(path: Path) -> tuple[Any, str | None, TiffImage | None, Callable[[], PixelSize]]:
    if path.is_dir():
        if not is_zarr(path):
            raise UserError(f"{path} is a folder; give an image file.")
        data, named, found = open_zarr(path)
        return data, named, None, lambda: found
    with path.open("rb") as file:
        magic = file.read(4)
    if magic in _TIFF:
        # The notes of a file with many pages are long; they are looked at by whoever wants to know.
        size = partial(tiff_pixel_size, path)
        try:
            tiff = TiffImage(path)
        except MissingCodecError as error:
            return *_by_pillow(path, error), None, size
        return tiff.data, tiff.axes, tiff, size
    picture = Picture(path)
    # The resolution of other pictures is that of a printer or a screen.
    return picture, picture.axes, None, lambda: UNKNOWN


def _by_pillow(path: Path, error: MissingCodecError) -> tuple[Picture, str]:
    """Read a TIFF whose compression only Pillow knows, unless Pillow would lose something."""
    try:
        picture = Picture(path)
    except OSError:
        raise error from None
    if picture.dtype.itemsize * 8 < error.bits or np.prod(picture.shape) < error.pixels:
        raise error
    return picture, picture.axes


def _guessed(path: Path, named: str | None, shape: tuple[int, ...]) -> str:
    """Return the letters of the axes from those in the file, where I and Q stand for unknown ones."""
    if named is None:
        named = {2: "YX", 3: "YXC"}.get(len(shape), "")
        if not named or (len(shape) == 3 and shape[2] > MOST_CHANNELS):
            raise UserError(f"the axes of {path}, whose shape is {shape}, are not known; name them, for example TYX.")
    letters = named.upper()
    if len(letters) == 3 and letters[0] in "IQ" and shape[2] <= MOST_CHANNELS < min(shape[:2]):
        return "YXC"  # (H, W, C) that was saved as H pages of W x C pixels
    for unknown in re.findall("[IQ]", letters):
        free = next((axis for axis in "TZPAB" if axis not in letters), unknown)
        letters = letters.replace(unknown, free, 1)
    if not set("YX") <= set(letters) or len(set(letters)) != len(letters):
        raise UserError(f"{path} has the axes {named}, in which Y and X are not plain; name them, for example TYX.")
    return letters


def _chosen(path: Path, axes: str, named: str | None, shape: tuple[int, ...]) -> str:
    letters = axes.upper()
    # The colours of a picture are not thought of as an axis: TYX is right for a colour movie.
    if len(letters) == len(shape) - 1 and named is not None and named[-1:] == "S" and "S" not in letters:
        letters += "S"
    if len(letters) != len(shape):
        theirs = f" ({named})" if named else ""
        raise UserError(
            f"the axes {axes} are {len(axes)}, but {path} has {len(shape)}{theirs} with the shape {shape}; "
            "give one letter for each."
        )
    if (
        not (letters.isascii() and letters.isalpha())
        or len(set(letters)) < len(letters)
        or not set("YX") <= set(letters)
    ):
        raise UserError(f"the axes are {axes!r}; give each axis its own letter, with Y and X among them, such as TCYX.")
    return letters


def _colour_of(tiff: TiffImage, channels: int) -> tuple[_Colour | None, int]:
    """Return what turns stored samples into channels, if anything does, and the number of channels."""
    if tiff.palette is not None and channels == 1:
        table = tiff.palette.T
        colours = (table >> 8 if table.max() > 255 else table).astype(np.uint8)
        return lambda part: colours[part[..., 0]], 3
    if tiff.cmyk and channels == 4:
        return _without_inks, 3
    if 0 < tiff.alpha < channels == tiff.samples:
        return lambda part: part[..., : channels - tiff.alpha], channels - tiff.alpha
    return None, channels


def _without_inks(part: NDArray[Any]) -> NDArray[Any]:
    full = float(np.iinfo(part.dtype).max) if part.dtype.kind in "ui" else 1.0
    light: NDArray[Any] = (full - part[..., :3]) * (full - part[..., 3:]) / full
    return light.round().astype(part.dtype) if part.dtype.kind in "ui" else light.astype(part.dtype)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn whatever a reader raises on a damaged file into one sentence."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"{path} cannot be read as an image ({reason}); if it is not damaged, save it as TIFF."
        ) from error
