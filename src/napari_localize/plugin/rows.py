"""What a layer of boxes or points holds at this moment, and which of its shapes or points is which box.

Indices say nothing: pasting sends no event and copies ids, assigning `data` keeps feature rows by position,
removing the last vertices of a polygon drops the shape but not its row, and other plugins write features.
So a shape is recognised by its id and its place together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.core.boxes import Box, PlaneIndex
from napari_localize.core.detections import HUMAN, STATES
from napari_localize.core.table import BoxTable
from napari_localize.plugin.layers import COLUMNS, vertices_to_boxes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SMALLEST = 1.0
"""Sides in pixels of the smallest box that can be drawn."""

_SAME_SIDE = 1e-2

NEW = -1
"""Id of a shape that is no known box."""


@dataclass
class Rows:
    """The shapes of a layer, read at one moment; None where a feature is missing or makes no sense."""

    boxes: NDArray[np.float32]
    indices: NDArray[np.int64]
    exact: NDArray[np.bool_]
    ids: list[int]
    labels: list[str | None]
    scores: list[float | None]
    origins: list[str | None]
    states: list[str | None]
    aligned: bool = True
    points: bool = False

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def keys(self) -> list[bytes]:
        """Where each shape lies, to compare it with others."""
        parts = [np.ascontiguousarray(part) for part in (self.boxes, self.indices) if part.size]
        if not parts:
            return []
        joined = np.hstack([part.view(np.uint8) for part in parts])
        width, data = joined.shape[1], joined.tobytes()
        return [data[start : start + width] for start in range(0, len(data), width)]

    def key(self, row: int) -> bytes:
        """Where a shape lies."""
        return self.keys[row]

    def xyxy(self, row: int) -> tuple[float, float, float, float]:
        """Return the box around a shape."""
        x0, y0, x1, y1 = self.boxes[row].tolist()
        return x0, y0, x1, y1

    def plane(self, row: int) -> tuple[int, ...]:
        """Return the plane of a shape."""
        return tuple(self.indices[row].tolist())

    def sides(self, row: int) -> tuple[float, float]:
        """Width and height of a box in pixels; NaN when a vertex is not finite."""
        if not np.isfinite(self.boxes[row]).all():
            return math.nan, math.nan
        width, height = (self.boxes[row, 2:] - self.boxes[row, :2]).tolist()
        return width, height

    def has_area(self, row: int) -> bool:
        """Whether a shape encloses anything."""
        return min(self.sides(row)) > 0


def rows_of(shapes: Sequence[NDArray[Any]], kinds: Sequence[str], features: Any, ndim: int) -> Rows:
    """Read shapes that need not be in a layer, with their table of features."""
    boxes, indices, exact = vertices_to_boxes(shapes, ndim)
    exact &= np.array([str(kind) == "rectangle" for kind in kinds], bool)
    return rows_from(boxes, indices, exact, features)


def rows_from(boxes: NDArray[np.float32], indices: NDArray[Any], exact: NDArray[np.bool_], features: Any) -> Rows:
    """Join places with their table of features."""
    n = len(boxes)
    aligned = len(features) == n
    columns = {
        name: features[name].to_numpy().tolist() if aligned and name in features else [None] * n for name in COLUMNS
    }
    return Rows(
        boxes,
        indices,
        exact,
        ids=[_integer(value) for value in columns["id"]],
        labels=[_text(value) for value in columns["class"]],
        scores=[_score(value) for value in columns["score"]],
        origins=[_text(value) for value in columns["origin"]],
        states=[value if value in STATES else None for value in map(_text, columns["state"])],
        aligned=aligned,
    )


def _integer(value: Any) -> int:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return NEW
    return int(number) if number >= 0 and number.is_integer() else NEW


def _text(value: Any) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _score(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 <= number <= 1 else None


def identify(rows: Rows, last: Rows) -> list[int]:
    """Say which box each shape is, given what the layer held before.

    Returns
    -------
    list of int
        An id of `last` for each row, each at most once; `NEW` for shapes that were not there.
    """
    where = {key: row for row, key in enumerate(last.ids)}
    found = [NEW] * len(rows)
    free = set(last.ids)

    def take(row: int, key: int) -> None:
        found[row] = key
        free.discard(key)

    for row, key in enumerate(rows.ids):
        if key in free and rows.key(row) == last.key(where[key]):
            take(row, key)
    if not free:
        return found
    lost = [row for row, key in enumerate(found) if key == NEW]
    places: dict[bytes, list[int]] = {}
    for key in sorted(free, reverse=True):
        places.setdefault(last.key(where[key]), []).append(key)
    for row in lost:
        if same_place := places.get(rows.key(row)):
            take(row, same_place.pop())
    for row in lost:
        if found[row] == NEW and rows.ids[row] in free:
            take(row, rows.ids[row])
    return found


@dataclass
class Edit:
    """What a person has done to a layer since it was read last.

    Parameters
    ----------
    ids : list of int
        Which box each shape is by now; `NEW` for shapes that are to be taken out again.
    changes : dict of int to Box
        Boxes that were added or changed, as they are by now.
    gone : list of int
        Boxes that are no longer in the layer.
    text : str
        What was done, for the history.
    outside : int
        How many shapes were drawn, or moved, where the image has no plane; they are in none of the others.
    """

    ids: list[int]
    changes: dict[int, Box] = field(default_factory=dict)
    gone: list[int] = field(default_factory=list)
    text: str = ""
    outside: int = 0


def find_edit(
    rows: Rows, last: Rows, table: BoxTable, default_class: str, click: float, planes: Sequence[int] = ()
) -> Edit:
    """Compare a layer with the table.

    Parameters
    ----------
    rows, last : Rows
        The layer now and when it was read last.
    table : BoxTable
        All boxes.
    default_class : str
        Class of new shapes that have none.
    click : float
        Side of the square that a mere click leaves with the tool for rectangles.
    planes : sequence of int
        How many planes the image has along each leading axis, where that is known.
    """
    edit = Edit(identify(rows, last))
    added, moved, changed = 0, 0, 0
    before = {key: row for row, key in enumerate(last.ids)}
    for row, key in enumerate(edit.ids):
        if key == NEW:
            if not (rows.has_area(row) if rows.points else _meant(rows.sides(row), click)):
                continue
            if not has_plane(planes, rows.plane(row)):
                edit.outside += 1
                continue
            edit.ids[row] = key = table.new_id()
            label = rows.labels[row] or default_class
            edit.changes[key] = Box(rows.plane(row), rows.xyxy(row), label, None, HUMAN, "added")
            added += 1
            continue
        was = before[key]
        if _untouched(rows, row, last, was):
            continue
        new = old = table.boxes.get(key) or _box_of(last, was, default_class)
        if rows.ids[row] == key:
            new = _with_features(new, rows, row, last, was)
            changed += new is not old
        moves = rows.key(row) != last.key(was) and rows.has_area(row)
        if moves and not has_plane(planes, rows.plane(row)):
            edit.outside += 1
        elif moves:
            # The size of a point is none of its own.
            same = rows.points and _same_centre(rows, row, last, was)
            state = new.state if same or new.state != old.state else edited_state(new)
            new = new._replace(plane=rows.plane(row), xyxy=rows.xyxy(row), state=state)
            moved += 1
        if new is not old:
            edit.changes[key] = new
    edit.gone = sorted(set(last.ids).difference(edit.ids))
    parts = (("add", added), ("move", moved), ("change", changed), ("delete", len(edit.gone)))
    edit.text = " and ".join(f"{verb} {table.counted(number)}" for verb, number in parts if number)
    return edit


def has_plane(planes: Sequence[int], plane: PlaneIndex) -> bool:
    """Whether an image has a plane; another layer can lengthen napari's sliders beyond its own.

    Parameters
    ----------
    planes : sequence of int
        How many planes it has along each leading axis; where that is not known, only those before the first are none.
    plane : tuple of int
    """
    if len(planes) != len(plane):
        return min(plane, default=0) >= 0
    return all(0 <= at < number for at, number in zip(plane, planes, strict=True))


def _same_centre(rows: Rows, row: int, last: Rows, was: int) -> bool:
    doubled = [box[:2] + box[2:] for box in (rows.boxes[row], last.boxes[was])]
    same_plane = np.array_equal(rows.indices[row], last.indices[was])
    return same_plane and bool(np.abs(doubled[0] - doubled[1]).max() < _SAME_SIDE)


def _untouched(rows: Rows, row: int, last: Rows, was: int) -> bool:
    """Whether a shape and its features are as they were read last."""
    return (
        rows.key(row) == last.key(was)
        and rows.labels[row] == last.labels[was]
        and rows.states[row] == last.states[was]
        and rows.scores[row] == last.scores[was]
    )


def edited_state(box: Box) -> str:
    """State of a box after a person has changed it."""
    return "added" if box.origin == HUMAN else "edited"


def _meant(sides: tuple[float, float], click: float) -> bool:
    # NaN is not large enough either.
    return min(sides) >= SMALLEST and max(abs(side - click) for side in sides) > _SAME_SIDE


def _box_of(rows: Rows, row: int, default_class: str) -> Box:
    """Return a box as the layer held it; a model run may have dropped it while a person was dragging it."""
    return Box(
        rows.plane(row),
        rows.xyxy(row),
        rows.labels[row] or default_class,
        rows.scores[row],
        rows.origins[row] or HUMAN,
        rows.states[row] or "added",
    )


def _with_features(box: Box, rows: Rows, row: int, last: Rows, was: int) -> Box:
    """Take over class, state and score that were written into the feature table since it was read last."""
    label, state, score = rows.labels[row], rows.states[row], rows.scores[row]
    if label is not None and label != last.labels[was]:
        box = box._replace(label=label, state=edited_state(box))
    if state is not None and state != last.states[was]:
        box = box._replace(state=state)
    if score is not None and score != last.scores[was]:
        box = box._replace(score=score)
    return box
