"""What an annotation format is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from napari_localize.core.annotations import Annotations


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What a reader may need to know beside its file.

    Parameters
    ----------
    reference : Path, optional
        The data set that names the images and classes of a list of results.
    point_size : float, optional
        Side in pixels of the boxes that stand for points; found from the file by default.
    """

    reference: Path | None = None
    point_size: float | None = None


@dataclass(frozen=True)
class Format:
    """One way to store annotations in a file.

    Parameters
    ----------
    name, title : str
        What the user types and what the user reads.
    extensions : tuple of str
        In lower case with the dot; new files of the first one are written in this format.
    sniff : callable
        Says from the first bytes of a file whether it is in this format.
    read, write : callable
        Raise `UserError` for content that cannot be used.
    """

    name: str
    title: str
    extensions: tuple[str, ...]
    sniff: Callable[[bytes], bool]
    read: Callable[[Path, ReadOptions], Annotations]
    write: Callable[[Path, Annotations], None]


def portable_name(name: str) -> str:
    """Return a file name with forward slashes, as all names of planes have, whatever wrote it."""
    return name.replace("\\", "/")
