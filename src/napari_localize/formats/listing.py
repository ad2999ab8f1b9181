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


def find_images(
    inputs: Iterable[str | os.PathLike[str]], failed: dict[str, str] | None = None
) -> list[tuple[str, Path]]:
    """Find the image files that are meant by files, folders (with the folders in them), globs and zarr stores.

    Parameters
    ----------
    inputs : iterable of path
        Files, folders, globs and zarr stores.
    failed : dict of str to str, optional
        Gets the inputs that give no images, with a sentence that says why, so that they do not stop the others.

    Returns
    -------
    list of (str, Path)
        Name, with forward slashes and relative to the folder it was found in, and path; each file once, in the
        order of the inputs and in natural order (2 before 10) within each. Where two files would have the same
        name, all names are relative to the folder that all files share.

    Raises
    ------
    UserError
        When an input does not exist or holds no images, unless `failed` is given.
    """
    found: dict[Path, str] = {}
    for entry in inputs:
        try:
            root, files = _files_of(os.fspath(entry))
        except UserError as error:
            if failed is None:
                raise
            failed[os.fspath(entry)] = str(error)
            continue
        for file in sorted(files, key=_natural):
            found.setdefault(file, file.relative_to(root).as_posix())
    if len(set(found.values())) < len(found):
        shared = os.path.commonpath([os.path.abspath(file.parent) for file in found])
        return [(Path(os.path.abspath(file)).relative_to(shared).as_posix(), file) for file in found]
    return [(name, file) for file, name in found.items()]


def _files_of(text: str) -> tuple[Path, list[Path]]:
    """Return the images that an input means, and the folder to which their names are relative."""
    path = Path(text)
    # Those of os.path have an answer for every name, however long.
    if os.path.isdir(path) and not is_zarr(path):
        root, files = path, list_images(path)
    elif os.path.exists(path):
        root, files = path.parent, [path]
    elif glob.has_magic(text):
        root = Path(*_plain_parts(path))
        files = [p for p in map(Path, glob.glob(text, recursive=True)) if p.is_file() or is_zarr(p)]
    else:
        raise UserError(f"{path} does not exist; give image files, folders or patterns such as 'plate/*.tif'.")
    if not files:
        raise UserError(f"{path} holds no images; give image files, folders or patterns such as 'plate/*.tif'.")
    return root, files


def _plain_parts(pattern: Path) -> list[str]:
    """Return the folders in front of the first one with a wildcard."""
    return list(itertools.takewhile(lambda part: not glob.has_magic(part), pattern.parts))


def _natural(path: Path) -> list[str | int]:
    return [int(part) if part.isdigit() else part.casefold() for part in re.split(r"([0-9]+)", path.as_posix())]
