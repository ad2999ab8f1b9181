"""Where the pixels of one plane come from."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.errors import UserError


class PlaneSource(Protocol):
    """One 2-D image, read piece by piece; nothing larger than asked for is ever in memory."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and number of channels."""

    def read(self, y0: int, y1: int, x0: int, x1: int) -> NDArray[Any]:
        """Return the (y1 - y0, x1 - x0, C) pixels of a rectangle inside the plane."""


class ArrayPlane:
    """A plane in anything that slices like an array (numpy, dask, zarr, a memory map) or can be made one.

    Parameters
    ----------
    data : (H, W) or (H, W, C) array-like
        Real or boolean numbers.

    Raises
    ------
    UserError
        When the shape or the kind of number is not that of an image.
    """

    def __init__(self, data: Any) -> None:
        if not isinstance(getattr(data, "dtype", None), np.dtype):
            data = np.asarray(data)
        shape = tuple(int(n) for n in data.shape)
        if len(shape) not in (2, 3):
            raise UserError(
                f"an image must have the shape (H, W) or (H, W, C), but has {shape}; name the axes of a stack."
            )
        if 0 in shape:
            raise UserError(f"the image is empty: its shape is {shape}.")
        if data.dtype.kind not in "buif":
            raise UserError(f"the image holds {data.dtype} numbers; convert it to real numbers first.")
        self._data = data
        self._shape = (shape[0], shape[1], shape[2] if len(shape) == 3 else 1)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and number of channels."""
        return self._shape

    def read(self, y0: int, y1: int, x0: int, x1: int) -> NDArray[Any]:
        """Return the (y1 - y0, x1 - x0, C) pixels of a rectangle inside the plane."""
        part = np.asarray(self._data[y0:y1, x0:x1])
        return part.reshape(y1 - y0, x1 - x0, self._shape[2])
