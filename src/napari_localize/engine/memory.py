"""Memory that client and engine share: pixels go through it, everything else through the pipes.

There is no file to clean up. On POSIX the memory is a file without a name whose descriptor the child inherits; on
Windows it is a named mapping. Both vanish with the last process that has them, however that ends.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
import uuid
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

SLOT = 16 * 2**20
"""Bytes of one slot; a larger rectangle travels in several parts."""

SLOTS = 2
"""Slots, so that one rectangle can be read while another one is used."""


class SharedMemory:
    """The client's side, which makes the memory.

    Attributes
    ----------
    descriptors : tuple of int
        What the child has to inherit; closed by `close_descriptors`.
    address : dict
        What tells the child how to attach.
    """

    def __init__(self, size: int = SLOT * SLOTS) -> None:
        self.descriptors: tuple[int, ...] = ()
        if sys.platform == "win32":
            name = f"napari-localize-{uuid.uuid4().hex}"
            self.map = mmap.mmap(-1, size, tagname=name)
            self.address: dict[str, Any] = {"name": name, "size": size}
        else:
            descriptor = _unnamed_file(size)
            self.map = mmap.mmap(descriptor, size)
            self.descriptors = (descriptor,)
            self.address = {"descriptor": descriptor, "size": size}

    def close_descriptors(self) -> None:
        """Close what only the child needs; the mapping stays."""
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = ()


def attach(address: dict[str, Any]) -> mmap.mmap:
    """Map, in the child, the memory that the client has made."""
    size = int(address["size"])
    if sys.platform == "win32":
        return mmap.mmap(-1, size, tagname=str(address["name"]))
    descriptor = int(address["descriptor"])
    try:
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)


def store(memory: mmap.mmap, offset: int, room: int, pixels: NDArray[Any]) -> tuple[tuple[int, ...], str]:
    """Write as many of the leading rows of `pixels` as fit into `room` bytes; return the shape and dtype written."""
    dtype = pixels.dtype.newbyteorder("=")
    if dtype.kind == "f" and dtype.itemsize > 8:
        dtype = np.dtype(np.float64)
    per_row = int(np.prod(pixels.shape[1:])) * dtype.itemsize
    rows = min(len(pixels), room // max(per_row, 1))
    shape = (rows, *pixels.shape[1:])
    target = np.ndarray(shape, dtype, buffer=memory, offset=offset)
    target[...] = pixels[:rows]
    return shape, dtype.str


def load(memory: mmap.mmap, offset: int, room: int, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Return a copy of what `store` has written.

    Raises
    ------
    ValueError
        When shape and dtype are not those of pixels in the given room.
    """
    kind = np.dtype(dtype)
    if kind.kind not in "buif" or int(np.prod(shape)) * kind.itemsize > room:
        raise ValueError(f"pixels of the shape {shape} and the type {dtype} cannot be in shared memory.")
    return np.ndarray(shape, kind, buffer=memory, offset=offset).copy()


def _unnamed_file(size: int) -> int:
    # /dev/shm is 64 MB in many containers, and writing beyond what is free there kills the process. So an anonymous
    # memory file comes first, and the space is reserved before it is used.
    if sys.platform == "linux":
        with suppress(OSError):
            return _reserved(os.memfd_create("napari-localize"), size)
    handle, name = tempfile.mkstemp(prefix="napari-localize-")
    os.unlink(name)
    return _reserved(handle, size)


def _reserved(descriptor: int, size: int) -> int:
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size)
        else:
            os.ftruncate(descriptor, size)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
