"""All annotation formats, and reading and writing with the one that fits. A new format is one line here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.files import atomic_path
from napari_localize.formats import coco, csv
from napari_localize.formats.base import Format, ReadOptions

FORMATS: dict[str, Format] = {
    entry.name: entry
    for entry in (
        coco.FORMAT,
        csv.FORMAT,
    )
}

_LARGEST = 1 << 30
_HEAD = 1 << 16


def find_format(path: str | os.PathLike[str]) -> Format | None:
    """Return the format that a file is in, judged by its first bytes, or None.

    Formats whose extension the name has are asked first.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return None
    entries = sorted(FORMATS.values(), key=lambda entry: path.suffix.lower() not in entry.extensions)
    return next((entry for entry in entries if entry.sniff(head)), None)


def read_annotations(
    path: str | os.PathLike[str],
    *,
    reference: str | os.PathLike[str] | None = None,
    point_size: float | None = None,
) -> Annotations:
    """Read the boxes of a file in any of the known formats.

    Parameters
    ----------
    path : path
        The format is found from the content.
    reference : path, optional
        For a list of COCO results: the data set that it belongs to.
    point_size : float, optional
        Side in pixels of the boxes that stand for points. By default the typical size of the boxes in
        the file, or else the typical distance between neighbouring points.

    Returns
    -------
    Annotations
        Its `notes` say what was mended or left out.

    Raises
    ------
    UserError
        When the file cannot be read or holds something else.
    """
    path = Path(path)
    if point_size is not None and not 0 < point_size < float("inf"):
        raise UserError(f"the point size is {point_size}; it must be above 0 pixels.")
    # Those of os.path have an answer for every name, however long.
    if not os.path.isfile(path):
        what = "is a folder" if os.path.isdir(path) else "does not exist"
        raise UserError(f"{path} {what}; give an annotation file.")
    size = path.stat().st_size
    if size == 0:
        raise UserError(f"{path} is empty; an annotation file without boxes still has its header.")
    if size > _LARGEST:
        raise UserError(f"{path} has {size >> 20} MiB, but at most {_LARGEST >> 20} are read; split it.")
    if not os.access(path, os.R_OK):
        raise UserError(f"{path} may not be read; change its permissions.")
    entry = find_format(path)
    if entry is None:
        raise UserError(f"{path} is in none of the known formats: {_known()}.")
    options = ReadOptions(reference=None if reference is None else Path(reference), point_size=point_size)
    return entry.read(path, options)


def write_annotations(
    path: str | os.PathLike[str],
    data: Mapping[str, Detections] | Detections,
    format: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write boxes to a file.

    Parameters
    ----------
    path : path
        Its extension tells the format unless `format` does.
    data : Annotations, mapping of plane name to Detections, or Detections
        `Detections` alone become the plane named like the file without its extension: ``A1`` in ``A1.json``.
        Give ``{"A1.tif": detections}`` where the name must be that of the image.
    format : str, optional
        ``coco`` or ``csv``.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    UserError
        When the format is not known, the file exists, or it cannot be written.
    """
    path = Path(path)
    if isinstance(data, Detections):
        data = {path.stem: data}
    if not isinstance(data, Mapping):
        raise UserError(f"cannot write {type(data).__name__}; give Detections, or Detections by plane names.")
    if not isinstance(data, Annotations):
        for name, part in data.items():
            if not isinstance(name, str) or not isinstance(part, Detections):
                raise UserError(
                    f"cannot write {type(part).__name__} of plane {name!r}; give Detections by plane names "
                    "such as 'cells.tif', or 'movie.tif#t=3' for a plane of a stack."
                )
        data = Annotations(data)
    entry = _format_to_write(path, format)
    with atomic_path(path, overwrite=overwrite) as temporary:
        entry.write(temporary, data)


def _format_to_write(path: Path, name: str | None) -> Format:
    if name is not None:
        if name.lower() in FORMATS:
            return FORMATS[name.lower()]
        raise UserError(f"the format {name!r} is not known; known are {', '.join(FORMATS)}.")
    for entry in FORMATS.values():
        if path.suffix.lower() in entry.extensions:
            return entry
    raise UserError(f"the extension of {path.name} tells no format; known are {_known()}.")


def _known() -> str:
    return ", ".join(f"{entry.title} ({entry.extensions[0]})" for entry in FORMATS.values())
