"""Stacks: arrays with axes beside height, width and channels, taken apart into planes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.core.errors import UserError
from napari_localize.core.planes import ArrayPlane, PlaneSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


def check_axes(axes: str, shape: tuple[int, ...]) -> str:
    """Return the axes in capitals when they name the axes of an array.

    Parameters
    ----------
    axes : str
        One letter an axis: Y and X, C (or S) for channels, any other letter for an axis of the stack.
    shape : tuple of int
        Shape of the array.

    Raises
    ------
    UserError
        When the letters do not fit the array.
    """
    named = axes.upper().replace("S", "C")
    if len(named) != len(shape):
        raise UserError(
            f"the axes {axes!r} name {len(named)} axes, but the image has {len(shape)}: its shape is {shape}."
        )
    if not (named.isascii() and named.isalpha()) or len(set(named)) != len(named) or not set("YX") <= set(named):
        raise UserError(f"the axes are {axes!r}; give each axis one letter, with Y and X among them, such as TCYX.")
    return named


def stack_planes(data: Any, axes: str) -> Iterator[tuple[dict[str, int], PlaneSource]]:
    """Give the planes of a stack with their positions, reading nothing yet.

    Parameters
    ----------
    data : array-like
        Numpy, dask, zarr or anything else that slices like them.
    axes : str
        As in `check_axes`, such as ``"TYX"``.

    Yields
    ------
    position, plane
        The position by axis, in small letters and in the order of `axes`: ``{"t": 0}``; empty for a single plane.
    """
    shape = tuple(int(n) for n in data.shape)
    named = check_axes(axes, shape)
    outer = [axis for axis in named if axis not in "YXC"]
    for index in np.ndindex(*(shape[named.index(axis)] for axis in outer)):
        fixed = dict(zip(outer, index, strict=True))
        position = {axis.lower(): i for axis, i in fixed.items()}
        yield position, ArrayPlane(_Slice(data, named, fixed))


class _Slice:
    """One (H, W) or (H, W, C) part of a stack that slices like an array and reads only what is asked for."""

    def __init__(self, data: Any, axes: str, fixed: dict[str, int]) -> None:
        self._data, self._axes, self._fixed = data, axes, fixed
        self._kept = [axis for axis in axes if axis not in fixed]
        self._order = [self._kept.index(axis) for axis in "YXC" if axis in self._kept]
        sizes = dict(zip(axes, data.shape, strict=True))
        self.shape = tuple(int(sizes[axis]) for axis in "YXC" if axis in self._kept)
        self.dtype = data.dtype

    def __getitem__(self, rectangle: tuple[slice, slice]) -> NDArray[Any]:
        wanted: dict[str, int | slice] = {**self._fixed, "Y": rectangle[0], "X": rectangle[1]}
        index = tuple(wanted.get(axis, slice(None)) for axis in self._axes)
        return np.asarray(self._data[index]).transpose(self._order)
