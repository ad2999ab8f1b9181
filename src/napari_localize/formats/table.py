"""From the rows of an annotation file to `Annotations`: every format mends and drops boxes by the same rules."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import STATES, Detections

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_FARTHEST = 1e7
"""Coordinates beyond this many pixels are mistakes; float32 still tells whole pixels apart up to here."""

_ROUNDING = 0.01
"""Pixels by which a box may leave its image because numbers in files are rounded."""


@dataclass
class BoxTable:
    """Boxes as read from a file, one entry a box in each column."""

    plane: list[int] = field(default_factory=list)
    """Index into the plane names."""
    box: list[tuple[float, float, float, float]] = field(default_factory=list)
    """x0, y0, x1, y1; nothing is checked yet."""
    label: list[int] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    """NaN where the file has none."""
    id: list[int] = field(default_factory=list)
    """-1 where the file has none."""
    origin: list[str] = field(default_factory=list)
    state: list[str] = field(default_factory=list)
    """Empty where the file has none."""
    points: bool = False
    """Whether all of them are points: only the centres of the boxes count."""

    def add(
        self,
        plane: int,
        box: tuple[float, float, float, float],
        label: int,
        *,
        score: float = math.nan,
        id: int = -1,
        origin: str = "",
        state: str = "",
    ) -> None:
        """Add a box."""
        self.plane.append(plane)
        self.box.append(box)
        self.label.append(label)
        self.score.append(score)
        self.id.append(id)
        self.origin.append(origin)
        self.state.append(state)


def assemble(
    table: BoxTable,
    planes: Sequence[str],
    class_names: Sequence[str],
    sizes: dict[str, tuple[int, int]],
    notes: list[str],
) -> Annotations:
    """Check all boxes and sort them into planes; what is mended or left out adds a sentence to `notes`.

    Boxes are cut at the borders of images whose size is known, and at 0. Boxes that are not finite,
    without area or wholly outside are left out. Scores are cut to 0 to 1. Ids that are missing or that
    a plane has twice are given anew. Boxes that stand for points are not cut, so that the centre stays.
    """
    names = tuple(class_names) or ("object",)
    boxes = np.array(table.box, np.float64).reshape(-1, 4)
    plane = np.array(table.plane, np.int64)
    boxes, keep = _sound_boxes(boxes, plane, [sizes.get(name) for name in planes], notes, table.points)
    scores = np.array(table.score, np.float64)
    odd = (scores < 0) | (scores > 1)
    note(notes, "Boxes whose score was outside 0 to 1 and is now the nearer end", odd & keep)
    scores = np.clip(scores, 0, 1)
    states = np.array(table.state, np.str_)
    unknown = ~np.isin(states, ("", *STATES))
    note(notes, "Boxes whose state is unknown and was ignored", unknown & keep)
    states = np.where(unknown | (states == ""), np.where(np.isnan(scores), "added", "proposed"), states)

    order = np.flatnonzero(keep)[np.argsort(plane[keep], kind="stable")]
    ids, repeated = _unique_ids(np.array(table.id, np.int64)[order], plane[order])
    note(notes, "Boxes with the id of another box of their plane, which got a new one", repeated)
    bounds = np.searchsorted(plane[order], np.arange(len(planes) + 1))
    columns: dict[str, NDArray[Any]] = {
        "boxes": boxes[order].astype(np.float32),
        "labels": np.array(table.label, np.int64)[order],
        "scores": scores[order].astype(np.float32),
        "ids": ids,
        "origins": np.array(table.origin, np.str_)[order],
        "states": states[order],
    }
    parts = {}
    for name, start, stop in zip(planes, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        rows = {column: values[start:stop] for column, values in columns.items()}
        parts[name] = Detections(**rows, class_names=names)
    return Annotations(parts, sizes, names, notes, points=table.points)


def box_id(value: Any) -> int:
    """Return the id that a text from a file stands for, or -1."""
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19 else -1


def note(notes: list[str], what: str, count: int | NDArray[np.bool_]) -> None:
    """Add the sentence ``what: count.`` unless the count, or the number of true values, is 0."""
    number = int(np.sum(count))
    if number:
        notes.append(f"{what}: {number:,}.")


def rounded(values: NDArray[np.float64], boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Round numbers to a thousandth of a pixel for a file, but not those of boxes so small that it matters.

    Parameters
    ----------
    values : (N, K)
        Any coordinates of the boxes.
    boxes : (N, 4)
        x0, y0, x1, y1.
    """
    small = (boxes[:, 2:] - boxes[:, :2]).min(axis=1, initial=np.inf) < 0.1
    return np.where(small[:, None], values, np.round(values, 3))


def shortest(scores: NDArray[np.float32]) -> list[float]:
    """Return numbers that print with the fewest digits that give the same float32 back."""
    return [float(text) for text in scores.astype(str).tolist()]


def _sound_boxes(
    boxes: NDArray[np.float64],
    plane: NDArray[np.int64],
    sizes: Sequence[tuple[int, int] | None],
    notes: list[str],
    points: bool,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    finite: NDArray[np.bool_] = np.asarray((np.abs(boxes) <= _FARTHEST).all(axis=1))
    note(notes, "Boxes left out because a coordinate is not a number or is beyond all images", ~finite)
    boxes = np.where(finite[:, None], boxes, 0)
    flat = finite & _without_area(boxes)
    note(notes, "Boxes left out because they have no area (a width or height of 0 or less)", flat)
    limits = np.array([(np.inf, np.inf) if size is None else (size[1], size[0]) for size in sizes]).reshape(-1, 2)
    limit = np.tile(limits[plane], 2) if len(plane) else boxes
    cut = np.clip(boxes, 0, limit)
    if points:
        middle = np.tile((boxes[:, :2] + boxes[:, 2:]) / 2, 2)
        outside = finite & ~flat & ((middle < 0) | (middle > limit)).any(axis=1)
        note(notes, "Points left out because they lie outside their image", outside)
        return boxes, finite & ~flat & ~outside
    outside = finite & ~flat & _without_area(cut)
    note(notes, "Boxes left out because they lie wholly outside their image", outside)
    keep = finite & ~flat & ~outside
    over = keep & (np.abs(cut - boxes) > _ROUNDING).any(axis=1)
    note(notes, "Boxes cut at the border of their image", over)
    return cut, keep


def _without_area(boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    narrow = boxes.astype(np.float32)
    return np.asarray((narrow[:, 2:] <= narrow[:, :2]).any(axis=1))


def _unique_ids(ids: NDArray[np.int64], plane: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Give new ids, above all known ones of the plane, to boxes with none and to repetitions; say which repeat."""
    order = np.lexsort((ids, plane))
    again = np.asarray(np.diff(ids[order], prepend=-2) == 0) & np.asarray(np.diff(plane[order], prepend=-1) == 0)
    repeated: NDArray[np.bool_] = np.zeros(len(ids), bool)
    repeated[order] = again
    missing = ids < 0
    repeated = repeated & ~missing
    new = missing | repeated
    if not new.any():
        return ids, repeated
    # Counted within each plane, so that a file without ids gets 1, 2, 3 ... in every one.
    first = np.searchsorted(plane, plane)
    highest = np.zeros(int(plane.max()) + 1, np.int64)
    np.maximum.at(highest, plane[~new], ids[~new])
    running = np.cumsum(new)
    before: NDArray[np.int64] = running[first] - new[first]
    return np.where(new, highest[plane] + running - before, ids), repeated
