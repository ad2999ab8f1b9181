"""Steps as bytes for the journal: columns in little-endian order, compressed; nothing in them is ever executed."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.boxes import COLUMNS, BoxRows, PlaneIndex
from napari_localize.core.detections import STATES
from napari_localize.core.errors import UserError
from napari_localize.core.steps import Area, Areas, Classes, Finished, Step

LARGEST = 1 << 29
"""Bytes of an unpacked step, several times those of two million boxes; more is refused."""

_MAGIC = b"NLS1"
_NAMES = {"planes": "plane_indices", "labels": "class_names", "origins": "origin_names"}


@dataclass(frozen=True)
class Record:
    """A step as it is journalled: what was added to and taken from the sets instead of the whole sets.

    Parameters
    ----------
    before, after : BoxRows
        As in `Step`.
    classes : pair of dict, optional
        As in `Step`.
    finished, areas : pair of frozenset
        What was taken out, what was put in.
    """

    before: BoxRows = field(default_factory=BoxRows.empty)
    after: BoxRows = field(default_factory=BoxRows.empty)
    classes: tuple[Classes, Classes] | None = None
    finished: tuple[Finished, Finished] = (frozenset(), frozenset())
    areas: tuple[Areas, Areas] = (frozenset(), frozenset())

    @classmethod
    def of(cls, step: Step) -> Record:
        """Return what is to be kept of a step."""
        finished, areas = step.finished or (frozenset(), frozenset()), step.areas or (frozenset(), frozenset())
        return cls(
            step.before,
            step.after,
            step.classes,
            (finished[0] - finished[1], finished[1] - finished[0]),
            (areas[0] - areas[1], areas[1] - areas[0]),
        )

    def reversed(self) -> Record:
        """Return what takes this back."""
        return Record(
            self.after,
            self.before,
            None if self.classes is None else self.classes[::-1],
            self.finished[::-1],
            self.areas[::-1],
        )

    def apply(self, finished: Finished, areas: Areas) -> tuple[Finished, Areas]:
        """Return what finished planes and areas have become by this."""
        return (finished - self.finished[0]) | self.finished[1], (areas - self.areas[0]) | self.areas[1]

    def step(self, text: str, finished: tuple[Finished, Finished], areas: tuple[Areas, Areas]) -> Step:
        """Return the step, given the finished planes and the areas before and after it."""
        return Step(
            text,
            self.before,
            self.after,
            self.classes,
            finished if any(self.finished) else None,
            areas if any(self.areas) else None,
        )


def encode(record: Record) -> bytes:
    """Return a record as bytes, for `decode`."""
    before, after = trimmed(record.before), trimmed(record.after)
    # Most steps change one column of many boxes: what stays the same is written once.
    same = [name for name in COLUMNS if _is_same(name, before, after)]
    head = {
        "before": _head(before),
        "after": _head(after),
        "same": same,
        "classes": None if record.classes is None else [list(side.items()) for side in record.classes],
        "finished": [sorted(side) for side in record.finished],
        "areas": [[[area.plane, area.xyxy, area.kind] for area in sorted(side)] for side in record.areas],
    }
    parts = [_bytes(before, name) for name in COLUMNS]
    parts += [_bytes(after, name) for name in COLUMNS if name not in same]
    text = json.dumps(head, separators=(",", ":")).encode()
    return _MAGIC + zlib.compress(len(text).to_bytes(4, "little") + text + b"".join(parts), 1)


def decode(payload: bytes) -> Record:
    """Return the record in some bytes, which may come from anybody.

    Raises
    ------
    UserError
        When they are damaged, or too large.
    """
    try:
        if not isinstance(payload, bytes) or payload[:4] != _MAGIC:
            raise ValueError("it is in no known form")
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(payload[4:], LARGEST)
        if not unpacker.eof:
            raise ValueError("it is cut off or too large")
        end = 4 + int.from_bytes(data[:4], "little")
        head = json.loads(data[4:end])
        before, at = _rows(head["before"], data, end, {})
        shared = {name: getattr(before, name) for name in head["same"] if name in COLUMNS}
        after, at = _rows(head["after"], data, at, shared)
        if at != len(data):
            raise ValueError("its length is wrong")
        return Record(
            before,
            after,
            None if head["classes"] is None else _pair([_classes(side) for side in head["classes"]]),
            _pair([frozenset(map(_index, side)) for side in head["finished"]]),
            _pair([frozenset(map(_area, side)) for side in head["areas"]]),
        )
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError, zlib.error) as error:
        raise UserError(f"a step in the journal is damaged ({' '.join(str(error).split())[:100]}).") from error


def trimmed(rows: BoxRows) -> BoxRows:
    """Return the rows with only those names that they use."""
    for column, names in _NAMES.items():
        used, codes = np.unique(getattr(rows, column), return_inverse=True)
        every: tuple[Any, ...] = getattr(rows, names)
        changes: dict[str, Any] = {
            column: codes.reshape(-1).astype(np.int32),
            names: tuple(every[code] for code in used.tolist()),
        }
        rows = replace(rows, **changes)
    return rows


def _is_same(name: str, before: BoxRows, after: BoxRows) -> bool:
    names = _NAMES.get(name)
    return (names is None or getattr(before, names) == getattr(after, names)) and (
        _bytes(before, name) == _bytes(after, name)
    )


def _head(rows: BoxRows) -> list[Any]:
    return [len(rows), rows.plane_indices, rows.class_names, rows.origin_names]


def _bytes(rows: BoxRows, name: str) -> bytes:
    return np.ascontiguousarray(getattr(rows, name), _little(name)).tobytes()


def _little(name: str) -> np.dtype[Any]:
    kind: np.dtype[Any] = np.dtype(COLUMNS[name])
    return kind.newbyteorder("<")


def _rows(head: Any, data: bytes, at: int, shared: dict[str, NDArray[Any]]) -> tuple[BoxRows, int]:
    n, planes, classes, origins = head
    if type(n) is not int or not 0 <= n <= LARGEST:
        raise ValueError("its number of boxes makes no sense")
    columns = dict(shared)
    for name in COLUMNS:
        if name in shared:
            continue
        kind, width = _little(name), 4 if name == "boxes" else 1
        values = np.frombuffer(data, kind, n * width, at)
        at += values.nbytes
        columns[name] = values.reshape(-1, 4) if width == 4 else values
    columns = {name: value.astype(COLUMNS[name]) for name, value in columns.items()}
    rows = BoxRows(
        **columns,
        plane_indices=tuple(_index(plane) for plane in planes),
        class_names=tuple(_text(name) for name in classes),
        origin_names=tuple(_text(name) for name in origins),
    )
    check_rows(rows)
    return rows, at


def check_rows(rows: BoxRows) -> None:
    """Make sure that rows read from a file make sense.

    Raises
    ------
    ValueError
        When a code stands for nothing, a box is not finite or has no area, or an id occurs twice.
    """
    n = len(rows)
    if any(len(getattr(rows, name)) != n for name in COLUMNS):
        raise ValueError("its columns differ in length")
    for column, count in (
        (rows.planes, len(rows.plane_indices)),
        (rows.labels, len(rows.class_names)),
        (rows.origins, len(rows.origin_names)),
        (rows.states, len(STATES)),
    ):
        if n and not (int(column.min()) >= 0 and int(column.max()) < count):
            raise ValueError("a code in it stands for nothing")
    if not np.isfinite(rows.boxes).all() or not (rows.boxes[:, 2:] > rows.boxes[:, :2]).all():
        raise ValueError("a box in it is not finite or has no area")
    known = rows.scores[~np.isnan(rows.scores)]
    if len(known) and not (known.min() >= 0 and known.max() <= 1):
        raise ValueError("a score in it is not within 0 to 1")
    # Most are in order already, for which no sorting is needed.
    ordered = bool((rows.ids[1:] > rows.ids[:-1]).all())
    if (not ordered and len(np.unique(rows.ids)) != n) or (n and rows.ids.min() < 1):
        raise ValueError("its ids make no sense")


def _pair(items: list[Any]) -> tuple[Any, Any]:
    first, second = items
    return first, second


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a name in it is no text")
    return value


def _classes(items: Iterable[Any]) -> Classes:
    return {_text(name): _text(color) for name, color in items}


def _index(value: Any) -> PlaneIndex:
    if not isinstance(value, list) or not all(type(n) is int and 0 <= n < 1 << 31 for n in value):
        raise ValueError("a plane in it makes no sense")
    return tuple(value)


def _area(value: Any) -> Area:
    plane, xyxy, kind = value
    corners = [float(x) for x in xyxy]
    if len(corners) != 4 or kind not in ("reviewed", "ignored") or not np.isfinite(corners).all():
        raise ValueError("an area in it makes no sense")
    return Area(_index(plane), (corners[0], corners[1], corners[2], corners[3]), kind)
