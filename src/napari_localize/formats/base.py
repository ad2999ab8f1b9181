"""What an annotation format is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from napari_localize.core.annotations import Annotations

EVERYTHING = frozenset({"scores", "ids", "origins", "states", "rejected", "reviewed", "sizes", "empty", "classes"})
"""What a file may hold beside boxes with a class: columns of the boxes, boxes that a person has rejected, which planes
are reviewed, their sizes, planes without boxes, and classes without boxes. Only some have ``areas`` or ``points``
beside that."""


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """What a reader may need to know beside its file.

    Parameters
    ----------
    reference : Path, optional
        The data set that names the images and classes of a list of results.
    point_size : float, optional
        Side in pixels of the boxes that stand for points; found from the file by default.
    images : Path, optional
        The folder of the images, for formats that need their sizes or do not name them.
    """

    reference: Path | None = None
    point_size: float | None = None
    images: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Format:
    """One way to store annotations in a file or a folder.

    Parameters
    ----------
    name, title : str
        What the user types and what the user reads.
    extensions : tuple of str
        In lower case with the dot; new files of the first one are written in this format. Formats without any have
        to be named for writing.
    sniff : callable
        Says from the first bytes of a file whether it is in this format.
    read, write : callable
        Raise `UserError` for content that cannot be used. Writing returns sentences on what was left out;
        formats that are only read have no `write`.
    holds : frozenset of str
        What of `EVERYTHING` is there again when a file that was written is read.
    sniff_folder : callable, optional
        Says of a folder whether it is in this format. Such formats write folders, unless the name of the output
        has one of their extensions.
    suffixes : tuple of str
        Endings of the files in a folder that was written.
    """

    name: str
    title: str
    extensions: tuple[str, ...] = ()
    sniff: Callable[[bytes], bool]
    read: Callable[[Path, ReadOptions], Annotations]
    write: Callable[[Path, Annotations], list[str]] | None = None
    holds: frozenset[str] = EVERYTHING
    sniff_folder: Callable[[Path], bool] | None = None
    suffixes: tuple[str, ...] = ()

    def writes_folder(self, path: Path) -> bool:
        """Whether output of this name is a folder."""
        return self.sniff_folder is not None and path.suffix.lower() not in self.extensions


def portable_name(name: str) -> str:
    """Return a file name with forward slashes, as all names of planes have, whatever wrote it."""
    return name.replace("\\", "/")
