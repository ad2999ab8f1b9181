"""Telling models apart by what they hold, whatever they are called."""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path

from napari_localize.core.errors import UserError

_LENGTH = 8
"""Bytes of a safetensors file that say how long its header is."""


def weights_digest(path: str | os.PathLike[str]) -> str:
    """Return the sha256 of a model file's weights: of all that follows its header.

    Renaming and describing a model change the card in the header and leave this as it is, so that a model finds its
    parent again under another name.

    Raises
    ------
    UserError
        When the file cannot be read.
    """
    return _of(Path(path), *_stamp(path), weights_only=True)


def file_digest(path: str | os.PathLike[str]) -> str:
    """Return the sha256 of a whole file, as ``sha256sum`` prints it.

    Raises
    ------
    UserError
        When the file cannot be read.
    """
    return _of(Path(path), *_stamp(path), weights_only=False)


def _stamp(path: str | os.PathLike[str]) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError as error:
        raise UserError(f"cannot read {os.fspath(path)}: {error.strerror}.") from error
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=4096)
def _of(path: Path, changed: int, size: int, *, weights_only: bool) -> str:
    try:
        with path.open("rb") as stream:
            if weights_only:
                header = int.from_bytes(stream.read(_LENGTH), "little")
                stream.seek(min(_LENGTH + header, size))
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}.") from error
