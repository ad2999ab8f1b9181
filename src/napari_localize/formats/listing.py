"""Which image files are meant by files, folders and patterns."""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections.abc import Iterable
from pathlib import Path

from napari_localize.core.errors import UserError
from napari_localize.formats.sources import is_zarr, list_images


def find_images(inputs: Iterable[str | os.PathLike[str]]) -> list[tuple[str, Path]]:
    """Find the image files that are meant by files, folders (with the folders in them), globs and zarr stores.

    Returns
    -------
    list of (str, Path)
        Name, with forward slashes and relative to the folder it was found in, and path; each file once, in the
        order of the inputs and in natural order (2 before 10) within each. Where two files would have the same
        name, all names are relative to the folder that all files share.

    Raises
    ------
    UserError
        When an input does not exist or holds no images.
    """
    found: dict[Path, str] = {}
    for entry in inputs:
        text = os.fspath(entry)
        path = Path(text)
        if path.is_dir() and not is_zarr(path):
            root, files = path, list_images(path)
        elif path.exists():
            root, files = path.parent, [path]
        elif glob.has_magic(text):
            root = Path(*_plain_parts(path))
            files = [p for p in map(Path, glob.glob(text, recursive=True)) if p.is_file() or is_zarr(p)]
        else:
            raise UserError(f"{path} does not exist; give image files, folders or patterns such as 'plate/*.tif'.")
        if not files:
            raise UserError(f"{path} holds no images; give image files, folders or patterns such as 'plate/*.tif'.")
        for file in sorted(files, key=_natural):
            found.setdefault(file, file.relative_to(root).as_posix())
    if len(set(found.values())) < len(found):
        shared = os.path.commonpath([os.path.abspath(file.parent) for file in found])
        return [(Path(os.path.abspath(file)).relative_to(shared).as_posix(), file) for file in found]
    return [(name, file) for file, name in found.items()]


def _plain_parts(pattern: Path) -> list[str]:
    """Return the folders in front of the first one with a wildcard."""
    return list(itertools.takewhile(lambda part: not glob.has_magic(part), pattern.parts))


def _natural(path: Path) -> list[str | int]:
    return [int(part) if part.isdigit() else part.casefold() for part in re.split(r"([0-9]+)", path.as_posix())]
