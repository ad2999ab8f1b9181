"""All boxes of an image in growing columns, found by id."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.boxes import COLUMNS, Box, BoxRows, PlaneIndex
from napari_localize.core.detections import STATES

T = TypeVar("T", bound=Hashable)

_FEW = 64
"""Up to so many boxes are taken out one by one, more of them by copying what stays."""


class _Names(Generic[T]):
    """Things by their code; a thing keeps its code for good."""

    def __init__(self) -> None:
        self.all: list[T] = []
        self._codes: dict[T, int] = {}

    def code(self, name: T) -> int:
        """Return the code of a thing, which is known from now on."""
        code = self._codes.get(name)
        if code is None:
            code = self._codes[name] = len(self.all)
            self.all.append(name)
        return code

    def find(self, name: T) -> int:
        """Return the code of a thing, -1 when it is not known."""
        return self._codes.get(name, -1)

    def codes(self, names: Iterable[T]) -> NDArray[np.int32]:
        """Return the codes of some things."""
        return np.array([self.code(name) for name in names], np.int32)


class BoxColumns(Mapping[int, Box]):
    """Boxes by id; also as whole columns, whose rows are in no order that lasts.

    The columns (see `BoxRows`) are views: they are valid until the next change.
    """

    def __init__(self) -> None:
        self._store = {name: _room(name, kind, 0) for name, kind in COLUMNS.items()}
        self._n = 0
        self._row_of: dict[int, int] = {}
        self._planes: _Names[PlaneIndex] = _Names()
        self._classes: _Names[str] = _Names()
        self._origins: _Names[str] = _Names()

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> Iterator[int]:
        return iter(list(self._row_of))

    def __contains__(self, key: object) -> bool:
        return key in self._row_of

    def __getitem__(self, key: int) -> Box:
        row, store = self._row_of[key], self._store
        score = float(store["scores"][row])
        x0, y0, x1, y1 = store["boxes"][row].tolist()
        return Box(
            self._planes.all[store["planes"][row]],
            (x0, y0, x1, y1),
            self._classes.all[store["labels"][row]],
            None if math.isnan(score) else score,
            self._origins.all[store["origins"][row]],
            STATES[store["states"][row]],
        )

    @property
    def ids(self) -> NDArray[np.int64]:
        """(N,) ids."""
        return self._store["ids"][: self._n]

    @property
    def planes(self) -> NDArray[np.int32]:
        """(N,) codes of the planes, see `plane_code`."""
        return self._store["planes"][: self._n]

    @property
    def boxes(self) -> NDArray[np.float32]:
        """(N, 4) ``x0, y0, x1, y1``."""
        return self._store["boxes"][: self._n]

    @property
    def labels(self) -> NDArray[np.int32]:
        """(N,) codes of the classes, see `class_code`."""
        return self._store["labels"][: self._n]

    @property
    def scores(self) -> NDArray[np.float64]:
        """(N,) scores, NaN where a person made the box."""
        return self._store["scores"][: self._n]

    @property
    def origins(self) -> NDArray[np.int32]:
        """(N,) codes of the origins, see `origin_code`."""
        return self._store["origins"][: self._n]

    @property
    def states(self) -> NDArray[np.int8]:
        """(N,) indices in `STATES`."""
        return self._store["states"][: self._n]

    @property
    def class_names(self) -> Sequence[str]:
        """All classes that boxes have or had, by code."""
        return self._classes.all

    @property
    def origin_names(self) -> Sequence[str]:
        """All makers that boxes have or had, by code."""
        return self._origins.all

    @property
    def plane_indices(self) -> Sequence[PlaneIndex]:
        """All planes that boxes lie or lay on, by code."""
        return self._planes.all

    def plane_code(self, plane: PlaneIndex) -> int:
        """Return the number that stands for a plane in `planes`; -1 when no box was ever there."""
        return self._planes.find(plane)

    def class_code(self, name: str) -> int:
        """Return the number that stands for a class in `labels`; -1 when no box ever had it."""
        return self._classes.find(name)

    def origin_code(self, name: str) -> int:
        """Return the number that stands for an origin in `origins`; -1 when no box ever had it."""
        return self._origins.find(name)

    def rows(self, ids: Iterable[int] | NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows of those ids that are there, each once."""
        if isinstance(ids, np.ndarray):
            ids = ids.tolist()
        found = {row: None for key in ids if (row := self._row_of.get(key)) is not None}
        return np.fromiter(found, np.int64, len(found))

    def where(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the row of each id, -1 for those that are not there."""
        row_of = self._row_of
        return np.array([row_of.get(key, -1) for key in ids.tolist()], np.int64)

    def take(self, rows: Any) -> BoxRows:
        """Return a copy of some rows, given by index or mask."""
        columns = {name: self._store[name][: self._n][rows] for name in COLUMNS}
        return BoxRows(**columns, **self._names())

    def encode(self, rows: BoxRows) -> BoxRows:
        """Return boxes with the codes that are used here; names that are new get one."""
        planes = self._planes.codes(rows.plane_indices)
        labels = self._classes.codes(rows.class_names)
        origins = self._origins.codes(rows.origin_names)
        n = len(rows)
        return replace(
            rows,
            planes=planes[rows.planes] if n else rows.planes,
            labels=labels[rows.labels] if n else rows.labels,
            origins=origins[rows.origins] if n else rows.origins,
            **self._names(),
        )

    def changed(self, new: BoxRows) -> NDArray[np.bool_]:
        """Return which of some boxes, coded by `encode`, are not here as they are."""
        rows = self.where(new.ids)
        different = rows < 0
        there = np.flatnonzero(~different)
        at = rows[there]
        for name in COLUMNS:
            old, values = self._store[name][at], getattr(new, name)[there]
            unlike = ~((old == values) | ((old != old) & (values != values)))
            different[there] |= unlike.any(axis=1) if unlike.ndim == 2 else unlike
        return different

    def put(self, new: BoxRows) -> None:
        """Add boxes, or replace those with the same id."""
        if not len(new):
            return
        new = self.encode(new)
        rows = np.empty(len(new), np.int64)
        end = self._n
        row_of = self._row_of
        for at, key in enumerate(new.ids.tolist()):
            row = row_of.get(key)
            if row is None:
                row_of[key] = row = end
                end += 1
            rows[at] = row
        self._grow(end)
        self._n = end
        for name in COLUMNS:
            self._store[name][rows] = getattr(new, name)

    def remove(self, ids: Iterable[int] | NDArray[np.int64]) -> None:
        """Take boxes out; ids that are not there do not matter."""
        rows = self.rows(ids)
        if not len(rows):
            return
        if len(rows) > _FEW:
            kept = np.ones(self._n, bool)
            kept[rows] = False
            self._n = int(kept.sum())
            for name, column in self._store.items():
                self._store[name] = column[: len(kept)][kept]
            self._row_of = dict(zip(self.ids.tolist(), range(self._n), strict=True))
            return
        for row in sorted(rows.tolist(), reverse=True):
            last = self._n - 1
            del self._row_of[int(self._store["ids"][row])]
            if row != last:
                for column in self._store.values():
                    column[row] = column[last]
                self._row_of[int(self._store["ids"][row])] = row
            self._n = last

    def renumber(self, ids: NDArray[np.int64]) -> None:
        """Give every box another id, in the order of the rows."""
        self._store["ids"][: self._n] = ids
        self._row_of = dict(zip(ids.tolist(), range(self._n), strict=True))

    def _names(self) -> dict[str, Any]:
        return {
            "plane_indices": tuple(self._planes.all),
            "class_names": tuple(self._classes.all),
            "origin_names": tuple(self._origins.all),
        }

    def _grow(self, size: int) -> None:
        room = len(self._store["ids"])
        if size <= room:
            return
        room = max(size, room + room // 2, 256)
        for name, kind in COLUMNS.items():
            column = _room(name, kind, room)
            column[: self._n] = self._store[name][: self._n]
            self._store[name] = column


def _room(name: str, kind: Any, rows: int) -> NDArray[Any]:
    return np.zeros((rows, 4) if name == "boxes" else rows, kind)
