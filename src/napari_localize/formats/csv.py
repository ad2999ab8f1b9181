"""CSV: a header and one row for each box.

Columns: ``file``, one for each stack axis in use such as ``t`` and ``z``, ``class``, ``score`` (empty: made by
a person), ``x0``, ``y0``, ``x1``, ``y1`` in pixels, ``id``, ``origin``, ``state``. Only the four coordinates must be
there when reading. A plane without boxes is a row with nothing but its file and position, so that an empty image
is not the same as an image that nobody has looked at. A column ``kind`` says ``point`` where all boxes stand for
points. Classes without boxes are not kept. Semicolons or tabs between the cells are read as well, and decimal commas
with them.
"""

from __future__ import annotations

import csv
import io
import math
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from napari_localize.core.annotations import Annotations, plane_name, split_plane_name
from napari_localize.core.errors import UserError
from napari_localize.formats.base import EVERYTHING, Format, ReadOptions, portable_name
from napari_localize.formats.table import BoxTable, assemble, rounded, shortest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_Number = TypeVar("_Number", int, float)

_BOX = ("x0", "y0", "x1", "y1")
_COLUMNS = ("class", "score", *_BOX, "id", "origin", "state")


def sniff(head: bytes) -> bool:
    """Say whether the first line of a file names the four coordinates of a box."""
    header, _ = read_header(head.decode("utf-8-sig", errors="replace"))
    return set(_BOX) <= set(header)


def read(path: Path, options: ReadOptions) -> Annotations:
    """Read the rows of a file; the columns may be in any order."""
    cells = Cells(path)
    axes = [name for name in cells.header if len(name) == 1 and name not in "xy"]
    steps = [cells.integers(axis) for axis in axes]
    names = []
    for row, file in enumerate(cells.texts("file")):
        position = {axis: step[row] for axis, step in zip(axes, steps, strict=True) if step[row] >= 0}
        names.append(plane_name(portable_name(file), position))
    planes = {name: index for index, name in enumerate(dict.fromkeys(names))}
    boxes = list(zip(*(cells.floats(name) for name in _BOX), strict=True))
    scores, ids = cells.floats("score"), cells.integers("id")
    labels, origins, states = cells.texts("class"), cells.texts("origin"), cells.texts("state")
    classes: dict[str, int] = {}
    table = BoxTable()
    for row, box in enumerate(boxes):
        if all(map(math.isnan, box)):
            continue
        table.add(
            planes[names[row]],
            box,
            classes.setdefault(labels[row] or "object", len(classes)),
            score=scores[row],
            id=ids[row],
            origin=origins[row],
            state=states[row],
        )
    table.points = bool(table.box) and set(filter(None, cells.texts("kind"))) == {"point"}
    return assemble(table, list(planes), list(classes), {}, [])


def write(path: Path, data: Annotations) -> list[str]:
    """Write one row a box; coordinates are exact to a hundredth of a pixel, everything else wholly."""
    places = {name: split_plane_name(name) for name in data}
    axes = _order_of_axes([position for _, position in places.values()])
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        kind = ["point"] if data.points else []
        writer.writerow(["file", *axes, *_COLUMNS, *(["kind"] if kind else [])])
        for name, part in data.items():
            file_name, position = places[name]
            start = [file_name, *(position.get(axis, "") for axis in axes)]
            if not len(part):
                writer.writerow([*start, *[""] * (len(_COLUMNS) + len(kind))])
                continue
            columns = zip(
                [data.class_names[label] for label in part.labels.tolist()],
                ["" if math.isnan(score) else score for score in shortest(part.scores)],
                *rounded(part.boxes.astype(np.float64), part.boxes).T.tolist(),
                part.ids.tolist(),
                part.origins.tolist(),
                part.states.tolist(),
                strict=True,
            )
            writer.writerows([*start, *row, *kind] for row in columns)
    return []


FORMAT = Format(
    name="csv",
    title="CSV",
    extensions=(".csv",),
    sniff=sniff,
    read=read,
    write=write,
    holds=EVERYTHING - {"reviewed", "sizes", "classes"} | {"points"},
)


class Cells:
    """The cells of a file by column; cells of columns that are not there are blank."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is not UTF-8 text; save it as CSV (UTF-8).") from error
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror or error}.") from error
        self.header, delimiter = read_header(text)
        self._decimal_comma = delimiter != ","
        twice = [name for name in self.header if name and self.header.count(name) > 1]
        if twice:
            raise UserError(f"{path} has two columns {twice[0]!r}; rename or remove one.")
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        rows: list[list[str]] = []
        self._lines: list[int] = []
        try:
            next(lines)
            for row in lines:
                if any(row):
                    self._check_width(row, lines.line_num)
                    rows.append(row)
                    self._lines.append(lines.line_num)
        except csv.Error as error:
            raise UserError(f"line {lines.line_num} of {path} is not CSV ({error}).") from error
        self._columns = dict(zip(self.header, zip(*rows, strict=False), strict=False))

    def _check_width(self, row: list[str], line: int) -> None:
        width = len(self.header)
        if len(row) < width or any(row[width:]):
            raise UserError(
                f"line {line} of {self._path} has {len(row)} cells, but the header has {width}; "
                "the file may be cut off or lack quotes."
            )

    def texts(self, name: str) -> list[str]:
        """Return the cells of a column."""
        return list(self._columns.get(name, [""] * len(self._lines)))

    def floats(self, name: str) -> list[float]:
        """Return the numbers of a column, NaN where blank."""
        comma = self._decimal_comma
        return self._numbers(name, math.nan, lambda text: float(text.replace(",", ".") if comma else text))

    def integers(self, name: str) -> list[int]:
        """Return the whole numbers of a column, -1 where blank."""
        return self._numbers(name, -1, _whole)

    def _numbers(self, name: str, blank: _Number, parse: Callable[[str], _Number]) -> list[_Number]:
        numbers = []
        for row, text in enumerate(self.texts(name)):
            try:
                numbers.append(parse(text) if text else blank)
            except (ValueError, OverflowError) as error:
                raise UserError(
                    f"line {self._lines[row]} of {self._path} has {text[:40]!r} as {name}, which is not a number "
                    "of the right kind."
                ) from error
        return numbers


def _whole(text: str) -> int:
    """Return a whole number; programs that know no others write 3.0 for 3."""
    number = int(text) if text.lstrip("-").isdigit() else float(text)
    if number != int(number) or abs(number) >= 1 << 62:
        raise ValueError(text)
    return int(number)


def _order_of_axes(positions: Sequence[Mapping[str, int]]) -> list[str]:
    """Return the axes in the usual order, unless the planes have another one: a reader names them after it."""
    axes = list(dict.fromkeys(axis for position in positions for axis in position))
    usual = sorted(axes, key=lambda axis: ("tz".find(axis) < 0, axis))
    return usual if all(list(p) == [axis for axis in usual if axis in p] for p in positions) else axes


def read_header(text: str) -> tuple[list[str], str]:
    """Return the column names in lower case, and what stands between them."""
    first = text[: 1 << 16].partition("\n")[0].rstrip("\r")
    delimiter = max(",;\t", key=first.count)
    try:
        return [name.strip().lower() for name in next(csv.reader([first], delimiter=delimiter), [])], delimiter
    except csv.Error:
        return [], delimiter
