"""CSV of places only: a header with ``x`` and ``y``, in pixels from the upper left corner of the image, a row a point.

Such tables come from spot detectors, from Fiji's results (``X``, ``Y``, ``Slice``) and from spreadsheets. Also read are
the columns ``class`` (or ``label``, ``type``, ``category``), ``score`` (or ``confidence``, ``probability``), ``file`` (or
``image``, ``filename``), the indices ``t`` (or ``frame``) and ``z``, which count from 0, and ``slice``, which counts
from 1. Other columns are passed over.
"""

from __future__ import annotations

import math
from pathlib import Path

from napari_localize.core.annotations import Annotations, plane_name, split_plane_name
from napari_localize.formats.base import Format, ReadOptions, portable_name
from napari_localize.formats.beside import image_of
from napari_localize.formats.csv import Cells, read_header
from napari_localize.formats.points import square_points
from napari_localize.formats.table import BoxTable, assemble

_CLASS = ("class", "label", "type", "category")
_SCORE = ("score", "confidence", "probability")
_FILE = ("file", "image", "filename")
_INDEX = (("t", "t", 0), ("t", "frame", 0), ("z", "z", 0), ("z", "slice", 1))
"""Axis, column, and what its first plane is called."""


def sniff(head: bytes) -> bool:
    """Say whether the first line of a file names two coordinates, and no box."""
    header, _ = read_header(head.decode("utf-8-sig", errors="replace"))
    return {"x", "y"} <= set(header) and not {"x0", "x1", "width", "height", "bx"} & set(header)


def read(path: Path, options: ReadOptions) -> Annotations:
    """Read the rows of a file as points."""
    cells = Cells(path)
    image, size = image_of(path, options)
    files, labels = (cells.texts(_first(names, cells)) for names in (_FILE, _CLASS))
    scores = cells.floats(_first(_SCORE, cells))
    indices = [(axis, start, cells.integers(column)) for axis, column, start in _INDEX if column in cells.header]
    table, notes, points = BoxTable(), list[str](), dict[int, float]()
    planes: dict[str, int] = {}
    classes: dict[str, int] = {}
    for row, (x, y) in enumerate(zip(cells.floats("x"), cells.floats("y"), strict=True)):
        position: dict[str, int] = {}
        for axis, start, steps in indices:
            if steps[row] >= start:
                position.setdefault(axis, steps[row] - start)
        plane = plane_name(portable_name(files[row]) or image, position)
        points[len(table.box)] = math.nan
        label = classes.setdefault(labels[row] or "object", len(classes))
        table.add(planes.setdefault(plane, len(planes)), (x, y, x, y), label, score=scores[row])
    square_points(table, points, options.point_size, notes)
    sizes = {} if size is None else {name: size for name in planes if split_plane_name(name)[0] == image}
    return assemble(table, list(planes), list(classes), sizes, notes)


FORMAT = Format(name="xy", title="CSV of points", sniff=sniff, read=read, holds=frozenset(), suffixes=(".csv",))


def _first(names: tuple[str, ...], cells: Cells) -> str:
    """Return the column that is there; none at all is blank."""
    return next((name for name in names if name in cells.header), names[0])
