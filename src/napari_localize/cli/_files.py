"""Which files go in and which come out; all of it is settled before anything is computed."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from napari_localize.core.errors import UserError
from napari_localize.core.folders import check_folder
from napari_localize.formats import FORMATS, writable_formats
from napari_localize.formats.images import find_images

if TYPE_CHECKING:
    from collections.abc import Sequence


def find_inputs(given: Sequence[str]) -> tuple[dict[str, Path], dict[str, str]]:
    """Find the images that files, folders, patterns and zarr stores stand for.

    Returns
    -------
    found, failed
        Paths by name, as in `find_images`; and why the inputs that give none, which must not stop the others, do not.

    Raises
    ------
    UserError
        When no input gives an image.
    """
    failed: dict[str, str] = {}
    found = dict(find_images(given, failed))
    if not found:
        first = next(iter(failed.values()))
        raise UserError(first if len(failed) == 1 else f"none of the {len(failed)} inputs can be used: {first}")
    return found, failed


def check_output_file(path: Path, *, overwrite: bool) -> None:
    """Make sure that a file can be written.

    Raises
    ------
    UserError
        When it exists and may not be overwritten, is a folder, or its folder is missing or not writable.
    """
    if os.path.isdir(path):
        raise UserError(f"{path} is a folder; give a file name.")
    if os.path.exists(path) and not overwrite:
        raise UserError(f"{path} exists already; choose another name or add --overwrite.")
    if not os.path.isdir(path.parent):
        raise UserError(f"the folder {path.parent} does not exist; create it first.")
    _check_writable(path.parent)


def check_output(path: Path, format: str, *, overwrite: bool) -> None:
    """Make sure that annotations can be written: a file, or a folder in formats that are folders.

    Raises
    ------
    UserError
        When it exists and may not be replaced, or its folder is missing or not writable.
    """
    entry = FORMATS[format]
    if not entry.writes_folder(path):
        check_output_file(path, overwrite=overwrite)
        return
    if os.path.isdir(path) and not overwrite and any(path.iterdir()):
        raise UserError(f"{path} exists already; choose another name or add --overwrite.")
    check_folder(path, entry.suffixes, overwrite=True)
    if not os.path.isdir(path.parent):
        raise UserError(f"the folder {path.parent} does not exist; create it first.")
    _check_writable(path.parent)


def _check_writable(folder: Path) -> None:
    try:
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            # An empty file fits on a full disk.
            file.write(b"x" * 4096)
            file.flush()
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {error.strerror}; choose another folder.") from error


def format_of(path: Path, name: str | None) -> str:
    """Return the format of an annotation file that is to be written.

    Raises
    ------
    UserError
        When the name is not one, or there is none and the extension tells no format.
    """
    if name is not None:
        if name.lower() not in writable_formats():
            raise UserError(
                f"the format {name!r} cannot be written; those that can are {', '.join(writable_formats())}."
            )
        return name.lower()
    for entry in FORMATS.values():
        if path.suffix.lower() in entry.extensions:
            return entry.name
    known = ", ".join(f"{extension} ({entry.name})" for entry in FORMATS.values() for extension in entry.extensions)
    raise UserError(f"the extension of {path} tells no format; use {known} or add --format, such as --format yolo.")


@dataclass(frozen=True)
class Target:
    """Where the boxes go: one file or one data set for all images, or a folder with one file an image.

    Attributes
    ----------
    path : Path
        The file or folder.
    format : str
        Name of the annotation format.
    files : dict of str to Path, or None
        In a folder, the file of each input by its name.
    """

    path: Path
    format: str
    files: dict[str, Path] | None

    @classmethod
    def of(cls, output: str, format: str | None, names: Sequence[str], *, overwrite: bool) -> Target:
        """Plan the output, and make sure that it can be written.

        What is a folder, or has no extension, is taken for a folder and made where it is missing; data sets that
        are folders, such as YOLO's, are made anew.

        Raises
        ------
        UserError
            When something exists and may not be overwritten, or cannot be written.
        """
        path = Path(output)
        if format is not None and FORMATS[format_of(path, format)].writes_folder(path):
            check_output(path, format.lower(), overwrite=overwrite)
            return cls(path, format.lower(), None)
        if path.suffix and not os.path.isdir(path) and not output.endswith(("/", os.sep)):
            name = format_of(path, format)
            check_output_file(path, overwrite=overwrite)
            return cls(path, name, None)
        name = format_of(path, format or "coco")
        extension = (FORMATS[name].extensions or FORMATS[name].suffixes)[0]
        files = {key: path / file for key, file in _file_names(names, extension).items()}
        taken = [file for file in files.values() if os.path.exists(file)]
        if taken and not overwrite:
            more = f" and {len(taken) - 1} more files exist" if len(taken) > 1 else " exists"
            raise UserError(f"{taken[0]}{more} already; choose another folder or add --overwrite.")
        existing = next(folder for folder in (path, *path.absolute().parents) if os.path.exists(folder))
        if not existing.is_dir():
            raise UserError(f"{existing} is a file, not a folder; choose another folder.")
        _check_writable(existing)
        return cls(path, name, files)


def _file_names(names: Sequence[str], extension: str) -> dict[str, str]:
    """Return ``a.json`` for ``a.tif``, and ``a.tif.json`` where there is an ``a.png`` too."""
    stems = {name: PurePosixPath(name).with_suffix("") for name in names}
    count = Counter(stems.values())
    return {name: (str(stem) if count[stem] == 1 else name) + extension for name, stem in stems.items()}
