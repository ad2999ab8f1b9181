"""Image files as a project knows them: where they lie, and whether they are still the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from napari_localize.core.errors import UserError

_WHOLE = 4 << 20
_BLOCKS, _BLOCK = 32, 1 << 16
_SAMPLES = 1 << 16


def stored_path(path: Path, folder: Path) -> str:
    """Return how a project in a folder names a file: relative to it, absolute on another drive."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:
        return path.absolute().as_posix()


def found_path(stored: str, folder: Path) -> Path:
    """Return the file that `stored_path` has named."""
    return Path(os.path.normpath(folder / stored))


def measure(path: Path) -> tuple[int, int]:
    """Return size in bytes and time of the last change in nanoseconds, of a folder those of all in it.

    Raises
    ------
    OSError
        When it cannot be read.
    """
    if not path.is_dir():
        found = path.stat()
        return found.st_size, found.st_mtime_ns
    stats = [entry.stat() for _, entry in _inside(path)]
    return sum(each.st_size for each in stats), max((each.st_mtime_ns for each in stats), default=0)


def fingerprint(path: Path) -> str:
    """Return what tells the content of a file or a zarr store from that of others.

    A file of up to 4 MiB is read as a whole, of a larger one its size, its ends and blocks all over it; of a store
    the names and sizes of its files and the content of some.

    Raises
    ------
    UserError
        When it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        if path.is_dir():
            inside = list(_inside(path))
            for name, entry in inside:
                digest.update(f"{name}\0{entry.stat().st_size}\0".encode(errors="surrogateescape"))
            for _, entry in inside[:: max(1, len(inside) // _BLOCKS)]:
                _feed(digest, entry)
        else:
            _feed(digest, path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; check its permissions and its disk.") from error
    return digest.hexdigest()


def array_fingerprint(data: Any) -> str:
    """Return what tells the content of an array from that of others, from pixels all over it."""
    step = max(1, round((np.prod(data.shape) / _SAMPLES) ** (1 / max(1, len(data.shape)))))
    sample = np.ascontiguousarray(data[tuple(slice(None, None, step) for _ in data.shape)])
    return hashlib.sha256(f"{data.shape}{sample.dtype.str}".encode() + sample.tobytes()).hexdigest()


def _inside(folder: Path) -> Iterator[tuple[str, Path]]:
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            entry = Path(parent) / name
            yield entry.relative_to(folder).as_posix(), entry


def _feed(digest: Any, path: Path) -> None:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest.update(size.to_bytes(8, "little"))
        if size <= _WHOLE:
            digest.update(file.read(_WHOLE + 1))
            return
        for number in range(_BLOCKS):
            file.seek((size - _BLOCK) * number // (_BLOCKS - 1))
            digest.update(file.read(_BLOCK))
