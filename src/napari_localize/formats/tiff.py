"""TIFF files as arrays of which only the asked part is read and decoded."""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_localize.core.errors import UserError

Index = tuple[int | slice, ...]
"""One number, or slice without a step, for each axis."""

_CACHE = 64 << 20
"""Bytes of decoded strips and tiles that are kept, because neighbouring rectangles share them."""

_JPEG = (6, 7, 33007, 34892)


class MissingCodecError(UserError):
    """The compression needs imagecodecs, which is not installed.

    Parameters
    ----------
    path : Path
    compression : str
        Its name.
    bits : int
        Of each sample.
    pixels : int
        In the whole stack, not counting samples.
    """

    def __init__(self, path: Path, compression: str, bits: int, pixels: int) -> None:
        super().__init__(
            f"{path} is compressed with {compression}, for which imagecodecs is needed; "
            "install it with: pip install imagecodecs"
        )
        self.bits, self.pixels = bits, pixels


class TiffImage:
    """The first image of a TIFF file, at full resolution.

    Parameters
    ----------
    path : Path
        Any TIFF that tifffile knows: plain, ImageJ, OME, pyramids, slides.

    Attributes
    ----------
    data : array-like
        Slices by `Index`; nothing more than the slice is read.
    axes : str
        A letter for each axis of `data`, as tifffile gives them.
    images : int
        How many images the file holds.
    alpha : int
        How many of the last samples are transparency.
    palette : (3, N) array or None
        The colours that the pixels are numbers of.
    cmyk : bool
        Whether the four samples are inks.
    samples : int
        How many there are in each pixel.
    """

    def __init__(self, path: Path) -> None:
        with _whole(path), tifffile.TiffFile(path) as tiff:
            if not tiff.series:
                raise UserError(f"{path} holds no image.")
            series = tiff.series[0].levels[0]
            frame = series.keyframe
            if frame.dtype is None:
                raise UserError(f"{path} holds {frame.bitspersample}-bit numbers of a kind that cannot be read.")
            self.axes: str = series.axes
            self.images = len(tiff.series)
            self.alpha = sum(int(sample) in (1, 2) for sample in frame.extrasamples or ())
            # In ImageJ a colour table is a way to look at the image, whose values are the numbers behind it.
            coloured = int(frame.photometric) == 3 and not tiff.is_imagej
            self.palette: NDArray[Any] | None = frame.colormap if coloured else None
            self.samples = int(frame.samplesperpixel)
            self.cmyk = int(frame.photometric) == 5 and frame.samplesperpixel == 4
            mapped = _mapped(path, tiff, series)
            self.data: Any = _Pages(path, tiff, series) if mapped is None else mapped


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Refuse a file that names pages beyond its end: tifffile only logs that and leaves them out."""
    complaints: list[str] = []
    thread = threading.get_ident()

    def listen(record: logging.LogRecord) -> bool:
        if record.thread != thread:
            return True
        complaints.append(record.getMessage())
        return False

    log = logging.getLogger("tifffile")
    log.addFilter(listen)
    try:
        yield
    finally:
        log.removeFilter(listen)
    if any("invalid page offset" in text for text in complaints):
        raise _cut_off(path, "some of its pages are missing")


def _mapped(path: Path, tiff: Any, series: Any) -> NDArray[Any] | None:
    """Return the pixels as they lie in the file, where they lie there in one piece."""
    offset, frame = series.dataoffset, series.keyframe
    if offset is None or frame.bitspersample != frame.dtype.itemsize * 8:
        return None
    missing = offset + series.nbytes - path.stat().st_size
    if missing > 0:
        raise _cut_off(path, f"the last {missing} bytes are missing")
    return np.memmap(path, np.dtype(tiff.byteorder + frame.dtype.char), "r", offset, series.shape)


class _Pages:
    """An array in pages of strips or tiles, which are decoded when they are needed."""

    def __init__(self, path: Path, tiff: Any, series: Any) -> None:
        self.shape: tuple[int, ...] = tuple(series.shape)
        self.dtype: np.dtype[Any] = series.dtype
        self._path, self._tiff, self._pages, self._frame = path, tiff, series.pages, series.keyframe
        self._inner = len(self._frame.shape)
        self._samples, depth, self._height, self._width, _ = self._frame.shaped
        pages = int(np.prod(self.shape[: -self._inner]))
        if self.shape[-self._inner :] != self._frame.shape or pages != len(self._pages) or depth > 1:
            raise UserError(f"the pages of {path} do not form a stack that can be read; save it as plain TIFF.")
        try:
            self._frame.decode(None, 0)
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            area = self._height * self._width
            raise MissingCodecError(
                path, self._frame.compression.name, self._frame.bitspersample, pages * area
            ) from error
        self._lock = threading.Lock()
        self._cache: OrderedDict[tuple[int, int], NDArray[Any]] = OrderedDict()
        self._cached = 0

    def __getitem__(self, index: Index) -> NDArray[Any]:
        numbers = np.arange(len(self._pages)).reshape(self.shape[: -self._inner])[index[: -self._inner]]
        with self._lock:
            parts = [self._part(int(number), index[-self._inner :]) for number in np.ravel(numbers)]
        return np.stack(parts).reshape(*np.shape(numbers), *parts[0].shape)

    def _part(self, page: int, index: Index) -> NDArray[Any]:
        """Return a part of one page, whose axes are YX, YXS or SYX."""
        at = 0 if self._samples == 1 else 1
        (y0, y1), rows = _span(index[at], self._height)
        (x0, x1), columns = _span(index[at + 1], self._width)
        block = np.full((self._samples, y1 - y0, x1 - x0, self._frame.shaped[-1]), self._frame.nodata, self.dtype)
        for sample, top, left, segment in self._segments(page, y0, y1, x0, x1):
            a, b = max(top, y0), min(top + segment.shape[0], y1)
            c, d = max(left, x0), min(left + segment.shape[1], x1)
            block[sample, a - y0 : b - y0, c - x0 : d - x0] = segment[a - top : b - top, c - left : d - left]
        if self._samples > 1:
            return block[..., 0][index[0], rows, columns]
        return block[0, ..., 0][rows, columns] if self._inner == 2 else block[0][rows, columns, index[2]]

    def _segments(self, page: int, y0: int, y1: int, x0: int, x1: int) -> list[tuple[int, int, int, NDArray[Any]]]:
        """Return the strips or tiles that a rectangle touches: sample, first row and column, and pixels."""
        frame = self._frame
        height = frame.tilelength if frame.is_tiled else min(frame.rowsperstrip, self._height)
        width = frame.tilewidth if frame.is_tiled else self._width
        down, across = -(-self._height // height), -(-self._width // width)
        found = []
        for sample in range(self._samples):
            for row in range(y0 // height, -(-y1 // height)):
                for column in range(x0 // width, -(-x1 // width)):
                    segment = self._segment(page, (sample * down + row) * across + column)
                    if segment is not None:
                        found.append((sample, row * height, column * width, segment))
        return found

    def _segment(self, page: int, number: int) -> NDArray[Any] | None:
        key = (page, number)
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        segment = self._decoded(page, number)
        if segment is not None:
            self._cache[key] = segment
            self._cached += segment.nbytes
            while len(self._cache) > 1 and self._cached > _CACHE:
                self._cached -= self._cache.popitem(last=False)[1].nbytes
        return segment

    def _decoded(self, page: int, number: int) -> NDArray[Any] | None:
        """Decode one strip or tile; None where the file has left it out."""
        file = self._tiff.filehandle
        # Open only while reading, so that the file can be moved or replaced meanwhile.
        file.open()
        try:
            found = self._pages[page]
            if found is None:
                return None
            owner = found.parent.filehandle
            owner.open()
            try:
                if number >= len(found.dataoffsets) or not found.databytecounts[number]:
                    return None
                owner.seek(found.dataoffsets[number])
                data = owner.read(found.databytecounts[number])
                if len(data) < found.databytecounts[number]:
                    raise _cut_off(self._path, f"page {page} is incomplete")
                tables: dict[str, Any] = {}
                if int(self._frame.compression) in _JPEG:
                    tables = {"jpegtables": found.jpegtables, "jpegheader": self._frame.jpegheader}
                segment = self._frame.decode(data, number, **tables)[0]
            finally:
                if owner is not file:
                    owner.close()
        finally:
            file.close()
        return None if segment is None else np.asarray(segment[0])


def _span(index: int | slice, length: int) -> tuple[tuple[int, int], int | slice]:
    """Return the range that an index needs, and the index within that range."""
    if isinstance(index, slice):
        start, stop, _ = index.indices(length)
        return (start, stop), slice(None)
    return (index, index + 1), 0


def _cut_off(path: str | os.PathLike[str], what: str) -> UserError:
    return UserError(f"{path} is cut off: {what}; copy it again.")
