"""Image files as arrays for napari's layers, read when they are looked at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.core.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_localize.formats.images import ImageFile

_COLOURS = 3


@dataclass(frozen=True)
class Pixels:
    """What an image layer is made of.

    Attributes
    ----------
    data : array-like
        A numpy array for a single plane, else a `LazyStack`.
    rgb : bool
        Whether the last axis holds red, green and blue.
    axes : str
        A small letter for each axis but that of the colours.
    channel_axis : int or None
        0 where the first axis holds channels. They come first, as there they are no axis of the boxes.
    """

    data: Any
    rgb: bool
    axes: str
    channel_axis: int | None


def pixels_of(file: ImageFile, planes: Sequence[int] | None = None) -> Pixels:
    """Lay an image file out so that its planes are numbered as those of its boxes.

    Parameters
    ----------
    file : ImageFile
    planes : sequence of int, optional
        How many planes the boxes know along each axis; by default those of the file.

    Raises
    ------
    UserError
        When the file has other planes.
    """
    sizes = dict(zip(file.axes, file.shape, strict=True))
    outer = [axis for axis in file.axes if axis not in "YXCS"]
    channels = file.plane_shape[2]
    own = [sizes[axis] for axis in outer]
    wanted = own if planes is None else list(planes)
    letters = _letters(outer, own, wanted)
    split = channels > 1
    if letters is None and "C" in sizes and math.prod(wanted) == math.prod(own) * channels:
        # Boxes on a layer whose channels were taken for planes, such as those of napari's own reader.
        order = [axis for axis in file.axes if axis not in "YXS"]
        letters = _letters(order, [sizes[axis] for axis in order], wanted)
        outer, split = order, False
    if letters is None:
        raise UserError(
            f"{file.path} has planes of {_times(own)}, but its boxes were made on {_times(wanted)}, so they do not fit; "
            "add the file as a new image."
        )
    rgb = split and "S" in sizes and sizes.get("C", 1) == 1 and channels == _COLOURS
    stack = LazyStack(file, outer, wanted, channels if split else 0, rgb=rgb)
    axes = ("c" if split and not rgb else "") + letters + "yx"
    data = np.asarray(stack) if math.prod(wanted) == 1 else stack
    return Pixels(data, rgb, axes, 0 if split and not rgb else None)


def _letters(axes: Sequence[str], own: Sequence[int], wanted: Sequence[int]) -> str | None:
    """Return a letter for each wanted axis when they are those of the file, give or take axes of length 1."""
    if [n for n in own if n != 1] != [n for n in wanted if n != 1]:
        return None
    if list(own) == list(wanted):
        return "".join(axes).lower()
    known = iter([axis.lower() for axis, n in zip(axes, own, strict=True) if n != 1])
    free = iter([letter for letter in "zpabdefghijk" if letter.upper() not in axes])
    return "".join(next(known) if n != 1 else next(free) for n in wanted)


def _times(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes)) if sizes else "a single plane"


class LazyStack:
    """The planes of an image file as one array, of which only what is asked for is read.

    Parameters
    ----------
    file : ImageFile
    outer : sequence of str
        Axes of the file, in capitals, that are axes of the stack; ``C`` may be among them.
    planes : sequence of int
        Their lengths, give or take axes of length 1.
    channels : int
        Length of an axis of channels in front or, with `rgb`, at the end; 0 for none.
    rgb : bool
        Whether channels are colours.
    """

    def __init__(
        self, file: ImageFile, outer: Sequence[str], planes: Sequence[int], channels: int, *, rgb: bool
    ) -> None:
        self._file, self._outer = file, list(outer)
        sizes = dict(zip(file.axes, file.shape, strict=True))
        self._sizes = [sizes[axis] for axis in self._outer]
        self._rgb, self._split = rgb, bool(channels) and not rgb
        height, width, _ = file.plane_shape
        front = (channels,) if self._split else ()
        self._planes = tuple(int(n) for n in planes)
        self.shape = (*front, *self._planes, height, width, *((channels,) if rgb else ()))
        self._last: tuple[Any, NDArray[Any] | None] = (None, None)
        self.dtype = self._plane(0, (0, 1), (0, 1)).dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of pixels, counting channels."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        nothing = np.broadcast_to(np.zeros((), self.dtype), self.shape)[index]
        if not nothing.size:
            return nothing.copy()
        parts = _whole(index, self.ndim)
        leading = len(self._planes) + self._split
        numbers = np.arange(math.prod(self.shape[:leading])).reshape(self.shape[:leading])[tuple(parts[:leading])]
        rows, columns = (_span(parts[leading + at], self.shape[leading + at]) for at in (0, 1))
        count = math.prod(self._planes)
        blocks = []
        for number in np.ravel(numbers).tolist():
            channel, plane = divmod(number, count)
            block = self._plane(plane, rows[0], columns[0])
            block = block if self._rgb else block[..., channel if self._split else 0]
            blocks.append(block[(rows[1], columns[1], *parts[leading + 2 :])])
        return np.stack(blocks).reshape(*np.shape(numbers), *blocks[0].shape)

    def _plane(self, number: int, rows: tuple[int, int], columns: tuple[int, int]) -> NDArray[Any]:
        """Return the (H, W, C) pixels of a part of a plane; the last one is at hand for its other channels."""
        key = (number, rows, columns)
        last, pixels = self._last
        if last == key and pixels is not None:
            return pixels
        at = np.unravel_index(number, self._sizes) if self._sizes else ()
        fixed = {axis: int(i) for axis, i in zip(self._outer, at, strict=True)}
        pixels = self._file.read(fixed, slice(*rows), slice(*columns))
        self._last = (key, pixels)
        return pixels


def _whole(index: Any, ndim: int) -> list[Any]:
    """Return an index with one entry for each axis."""
    parts = list(index) if isinstance(index, tuple) else [index]
    dots = next((at for at, part in enumerate(parts) if part is Ellipsis), None)
    if dots is not None:
        parts[dots : dots + 1] = [slice(None)] * (ndim - len(parts) + 1)
    return parts + [slice(None)] * (ndim - len(parts))


def _span(index: Any, length: int) -> tuple[tuple[int, int], Any]:
    """Return the range of pixels that an index needs, and the index within that range."""
    needed = np.arange(length)[index]
    low, high = int(np.min(needed)), int(np.max(needed)) + 1
    inside = slice(int(needed[0]) - low, None, index.step) if isinstance(index, slice) else needed - low
    return (low, high), inside
