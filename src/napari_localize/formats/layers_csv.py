"""The CSV files that napari itself writes for layers of shapes and of points.

They know neither images nor classes nor scores; points may have columns ``class`` and ``score``. napari opens them
itself, so they are read here only for Python and the command line.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np

from napari_localize.core.annotations import Annotations, plane_name, split_plane_name
from napari_localize.core.errors import UserError
from napari_localize.formats.base import Format, ReadOptions
from napari_localize.formats.beside import image_of
from napari_localize.formats.csv import Cells, read_header
from napari_localize.formats.points import square_points
from napari_localize.formats.table import BoxTable, assemble, rounded

_SHAPES = ("index", "shape-type", "vertex-index", "axis-0", "axis-1")
_AXES = "abcdefgptz"
_HALF = 0.5
"""napari counts from the middle of the first pixel."""


def sniff(head: bytes) -> bool:
    """Say whether the first line of a file is that of a layer."""
    header, _ = read_header(head.decode("utf-8-sig", errors="replace"))
    return {"axis-0", "axis-1"} <= set(header)


def read(path: Path, options: ReadOptions) -> Annotations:
    """Read shapes as the boxes around them, points as squares of a nominal size."""
    cells = Cells(path)
    axes = [name for name in cells.header if name.startswith("axis-")]
    letters = _AXES[len(_AXES) - len(axes) + 2 :] if len(axes) > 2 else ""
    if len(axes) - 2 > len(_AXES):
        raise UserError(f"{path} has {len(axes)} axes, which no image has; save the layer again.")
    places = np.array([cells.floats(axis) for axis in axes], np.float64).T.reshape(-1, len(axes))
    image, size = image_of(path, options)
    shapes = set(_SHAPES) <= set(cells.header)
    numbers = cells.integers("index") if shapes else range(len(places))
    _, first, which = np.unique(np.array(numbers, np.int64), return_index=True, return_inverse=True)
    low, high = np.full((len(first), len(axes)), np.inf), np.full((len(first), len(axes)), -np.inf)
    np.minimum.at(low, which, places)
    np.maximum.at(high, which, places)
    names, scores = (cells.texts("class"), cells.floats("score"))
    planes: dict[str, int] = {}
    classes: dict[str, int] = {}
    table, notes, points = BoxTable(), list[str](), dict[int, float]()
    for row, start, end in zip(first.tolist(), (low + _HALF).tolist(), (high + _HALF).tolist(), strict=True):
        middle = [min(max((a + b - 1) / 2, 0), 1e9) for a, b in zip(start[:-2], end[:-2], strict=True)]
        position = {axis: round(at) if at == at else 0 for axis, at in zip(letters, middle, strict=True)}
        plane = planes.setdefault(plane_name(image, position), len(planes))
        if not shapes:
            points[len(table.box)] = math.nan
        label = classes.setdefault(names[row] or "object", len(classes))
        table.add(plane, (start[-1], start[-2], end[-1], end[-2]), label, score=scores[row])
    square_points(table, points, options.point_size, notes)
    sizes = {} if size is None else dict.fromkeys(planes, size)
    return assemble(table, list(planes), list(classes), sizes, notes)


def write(path: Path, data: Annotations) -> list[str]:
    """Write a layer of rectangles; the axes of a stack become axes of the layer, in their order."""
    positions = [split_plane_name(name)[1] for name in data]
    axes = list(dict.fromkeys(axis for position in positions for axis in position))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*_SHAPES[:3], *(f"axis-{number}" for number in range(len(axes) + 2))])
        number = 0
        for part, position in zip(data.values(), positions, strict=True):
            at = [position.get(axis, 0) for axis in axes]
            corners = rounded(part.boxes.astype(np.float64) - _HALF, part.boxes)
            for x0, y0, x1, y1 in corners.tolist():
                ring = enumerate(((y0, x0), (y0, x1), (y1, x1), (y1, x0)))
                writer.writerows([number, "rectangle", vertex, *at, y, x] for vertex, (y, x) in ring)
                number += 1
    images = {split_plane_name(name)[0] for name in data}
    if len(images) > 1:
        raise UserError(
            f"a layer of napari lies on one image, but these boxes are of {len(images)} images; split them."
        )
    return []


FORMAT = Format(
    name="napari",
    title="napari layer CSV",
    sniff=sniff,
    read=read,
    write=write,
    holds=frozenset(),
    suffixes=(".csv",),
)
