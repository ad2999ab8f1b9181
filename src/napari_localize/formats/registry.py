"""All annotation formats, and reading and writing with the one that fits. A new format is one line here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.files import atomic_path
from napari_localize.core.folders import atomic_folder
from napari_localize.formats import coco, csv, geojson, imagej, labels, layers_csv, trackmate, voc, xy_csv, yolo
from napari_localize.formats.base import Format, ReadOptions
from napari_localize.formats.beside import add_sizes
from napari_localize.formats.loss import without_loss
from napari_localize.formats.sources import SUFFIXES

FORMATS: dict[str, Format] = {
    entry.name: entry
    for entry in (
        coco.FORMAT,
        csv.FORMAT,
        yolo.FORMAT,
        voc.FORMAT,
        geojson.FORMAT,
        imagej.FORMAT,
        layers_csv.FORMAT,
        xy_csv.FORMAT,
        trackmate.FORMAT,
        labels.FORMAT,
    )
}

_LARGEST = 1 << 30
_HEAD = 1 << 16


def find_format(path: str | os.PathLike[str]) -> Format | None:
    """Return the format that a file or a folder is in, judged by its content, or None.

    Formats whose extension the name has are asked first.
    """
    path = Path(path)
    if os.path.isdir(path):
        folders = (entry for entry in FORMATS.values() if entry.sniff_folder is not None and entry.sniff_folder(path))
        return next(folders, None)
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
    format: str | None = None,
    reference: str | os.PathLike[str] | None = None,
    point_size: float | None = None,
    images: str | os.PathLike[str] | None = None,
) -> Annotations:
    """Read the boxes of a file or a folder in any of the known formats.

    Parameters
    ----------
    path : path
        The format is found from the content.
    format : str, optional
        The format, where the content does not tell: ``"labels"`` for a label image.
    reference : path, optional
        For a list of COCO results: the data set that it belongs to.
    point_size : float, optional
        Side in pixels of the boxes that stand for points. By default the typical size of the boxes in
        the file, or else the typical distance between neighbouring points.
    images : path, optional
        The folder of the images, which gives their names and sizes where the file does not; YOLO needs the sizes.

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
    if images is not None and not os.path.isdir(images):
        raise UserError(f"{images} is not a folder; give the folder of the images.")
    options = ReadOptions(
        reference=None if reference is None else Path(reference),
        point_size=point_size,
        images=None if images is None else Path(images),
    )
    data = _format_to_read(path, format).read(path, options)
    if options.images is not None:
        add_sizes(data, options.images)
    return data


def write_annotations(
    path: str | os.PathLike[str],
    data: Mapping[str, Detections] | Detections,
    format: str | None = None,
    overwrite: bool = False,
    *,
    images: str | os.PathLike[str] | None = None,
) -> list[str]:
    """Write boxes to a file, or to a folder in formats that are folders.

    Parameters
    ----------
    path : path
        Its extension tells the format unless `format` does.
    data : Annotations, mapping of plane name to Detections, or Detections
        `Detections` alone become the plane named like the file without its extension: ``A1`` in ``A1.json``.
        Give ``{"A1.tif": detections}`` where the name must be that of the image.
    format : str, optional
        ``coco``, ``csv``, ``yolo``, ``voc``, ``geojson``, ``imagej`` or ``napari``.
    overwrite : bool
        Whether an existing file, or a folder with nothing else in it, may be replaced.
    images : path, optional
        The folder of the images, for the sizes that YOLO needs and that VOC files should have.

    Returns
    -------
    list of str
        Sentences on what the format cannot hold.

    Raises
    ------
    UserError
        When the format is not known, the file exists, or it cannot be written.
    """
    path = Path(path)
    entry = _format_to_write(path, format)
    written, notes = without_loss(entry, _annotations(path, data))
    if images is not None:
        if not os.path.isdir(images):
            raise UserError(f"{images} is not a folder; give the folder of the images.")
        add_sizes(written, Path(images))
    if entry.write is None:
        raise UserError(f"{entry.title} is only read; write another format, such as coco.")
    if entry.writes_folder(path):
        with atomic_folder(path, entry.suffixes, overwrite=overwrite) as temporary:
            return notes + entry.write(temporary, written)
    with atomic_path(path, overwrite=overwrite) as temporary:
        return notes + entry.write(temporary, written)


def writable_formats() -> list[str]:
    """Return the names of the formats that can be written."""
    return [entry.name for entry in FORMATS.values() if entry.write is not None]


def _annotations(path: Path, data: Mapping[str, Detections] | Detections) -> Annotations:
    if isinstance(data, Detections):
        data = {path.stem: data}
    if not isinstance(data, Mapping):
        raise UserError(f"cannot write {type(data).__name__}; give Detections, or Detections by plane names.")
    if isinstance(data, Annotations):
        return data
    for name, part in data.items():
        if not isinstance(name, str) or not isinstance(part, Detections):
            raise UserError(
                f"cannot write {type(part).__name__} of plane {name!r}; give Detections by plane names "
                "such as 'cells.tif', or 'movie.tif#t=3' for a plane of a stack."
            )
    return Annotations(data)


def _format_to_read(path: Path, name: str | None) -> Format:
    if name is not None and name.lower() not in FORMATS:
        raise UserError(f"the format {name!r} is not known; known are {', '.join(FORMATS)}.")
    named = None if name is None else FORMATS[name.lower()]
    # Those of os.path have an answer for every name, however long.
    if os.path.isdir(path):
        entry = named or find_format(path)
        if entry is None or entry.sniff_folder is None:
            raise UserError(f"{path} is a folder, but none of YOLO or VOC annotations; give an annotation file.")
        return entry
    if not os.path.isfile(path):
        raise UserError(f"{path} does not exist; give an annotation file.")
    size = path.stat().st_size
    if size == 0:
        raise UserError(f"{path} is empty; an annotation file without boxes still has its header.")
    if size > _LARGEST:
        raise UserError(f"{path} has {size >> 20} MiB, but at most {_LARGEST >> 20} are read; split it.")
    if not os.access(path, os.R_OK):
        raise UserError(f"{path} may not be read; change its permissions.")
    entry = named or find_format(path)
    if entry is None:
        hint = "; name the format 'labels' if it is a label image" if path.suffix.lower() in SUFFIXES else ""
        raise UserError(f"{path} is in none of the known formats: {_known()}{hint}.")
    return entry


def _format_to_write(path: Path, name: str | None) -> Format:
    if name is not None:
        if name.lower() in FORMATS:
            return FORMATS[name.lower()]
        raise UserError(f"the format {name!r} is not known; known are {', '.join(writable_formats())}.")
    for entry in FORMATS.values():
        if path.suffix.lower() in entry.extensions:
            return entry
    raise UserError(f"the extension of {path.name} tells no format; known are {_known()}.")


def _known() -> str:
    return ", ".join(
        f"{entry.title} ({entry.extensions[0]})" if entry.extensions else entry.title for entry in FORMATS.values()
    )
