"""The boxes of all planes of an image, as arrays: what is edited, journalled and stored."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_localize.core.detections import STATES, Detections

PlaneIndex = tuple[int, ...]
"""Where a plane lies along the leading axes of its image: ``()`` in a 2-D image."""

STATE_CODES: Mapping[str, int] = {state: code for code, state in enumerate(STATES)}
"""The number that stands for a state in `BoxRows.states`."""

ROUNDING = 1e-6
"""By so much a score may be below a limit: as a float32, 0.7 is a little less than 0.7."""

COLUMNS: Mapping[str, Any] = {
    "ids": np.int64,
    "planes": np.int32,
    "boxes": np.float32,
    "labels": np.int32,
    "scores": np.float64,
    "origins": np.int32,
    "states": np.int8,
}
"""Type of each column of `BoxRows`."""


class Box(NamedTuple):
    """One box: ``x0, y0, x1, y1`` as pixel edges on a plane; a score of None means that a person made it."""

    plane: PlaneIndex
    xyxy: tuple[float, float, float, float]
    label: str
    score: float | None
    origin: str
    state: str

    @property
    def diameter(self) -> float:
        """Square root of the area, in pixels."""
        x0, y0, x1, y1 = self.xyxy
        return math.sqrt((x1 - x0) * (y1 - y0))


@dataclass(frozen=True, eq=False)
class BoxRows:
    """Some boxes of an image as columns, with the names that their codes stand for.

    Parameters
    ----------
    ids : (N,) int64
        Unique within the image.
    planes : (N,) int32
        Index of each box's plane in `plane_indices`.
    boxes : (N, 4) float32
        ``x0, y0, x1, y1`` as pixel edges in full-resolution pixels.
    labels : (N,) int32
        Index of the class in `class_names`.
    scores : (N,) float64
        In [0, 1]; NaN where a person made the box.
    origins : (N,) int32
        Index in `origin_names`: ``name@version`` of a model, or ``human``.
    states : (N,) int8
        Index in `core.detections.STATES`.
    plane_indices, class_names, origin_names : tuple
        What the codes stand for; they may name more than the rows use.
    """

    ids: NDArray[np.int64]
    planes: NDArray[np.int32]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int32]
    scores: NDArray[np.float64]
    origins: NDArray[np.int32]
    states: NDArray[np.int8]
    plane_indices: tuple[PlaneIndex, ...] = ()
    class_names: tuple[str, ...] = ()
    origin_names: tuple[str, ...] = ()

    @classmethod
    def empty(cls) -> Self:
        """No boxes."""
        columns: dict[str, Any] = {n: np.zeros((0, 4) if n == "boxes" else 0, kind) for n, kind in COLUMNS.items()}
        return cls(**columns)

    @classmethod
    def from_boxes(cls, boxes: Mapping[int, Box]) -> Self:
        """Make columns of single boxes, given by id."""
        planes = {plane: code for code, plane in enumerate(dict.fromkeys(box.plane for box in boxes.values()))}
        names = {name: code for code, name in enumerate(dict.fromkeys(box.label for box in boxes.values()))}
        origins = {name: code for code, name in enumerate(dict.fromkeys(box.origin for box in boxes.values()))}
        return cls(
            ids=np.fromiter(boxes, np.int64, len(boxes)),
            planes=np.array([planes[box.plane] for box in boxes.values()], np.int32),
            boxes=np.array([box.xyxy for box in boxes.values()], np.float32).reshape(-1, 4),
            labels=np.array([names[box.label] for box in boxes.values()], np.int32),
            scores=np.array([math.nan if box.score is None else box.score for box in boxes.values()], np.float64),
            origins=np.array([origins[box.origin] for box in boxes.values()], np.int32),
            states=np.array([STATE_CODES[box.state] for box in boxes.values()], np.int8),
            plane_indices=tuple(planes),
            class_names=tuple(names),
            origin_names=tuple(origins),
        )

    @classmethod
    def from_detections(cls, plane: PlaneIndex, found: Detections, ids: NDArray[np.int64] | None = None) -> Self:
        """Make columns of the boxes of one plane."""
        origin_names, origins = np.unique(found.origins, return_inverse=True)
        state_names, states = np.unique(found.states, return_inverse=True)
        codes = np.array([STATE_CODES[str(name)] for name in state_names], np.int8)
        n = len(found)
        return cls(
            ids=np.asarray(found.ids if ids is None else ids, np.int64),
            planes=np.zeros(n, np.int32),
            boxes=found.boxes,
            labels=found.labels.astype(np.int32),
            scores=found.scores.astype(np.float64),
            origins=origins.reshape(n).astype(np.int32),
            states=codes[states.reshape(n)] if n else np.zeros(0, np.int8),
            plane_indices=(plane,),
            class_names=found.class_names,
            origin_names=tuple(str(name) for name in origin_names),
        )

    @classmethod
    def concatenate(cls, parts: Iterable[BoxRows]) -> Self:
        """Join boxes with ids that differ."""
        parts = list(parts)
        names: dict[str, dict[Any, int]] = {"plane_indices": {}, "class_names": {}, "origin_names": {}}
        columns: dict[str, list[NDArray[Any]]] = {name: [getattr(cls.empty(), name)] for name in COLUMNS}
        for part in parts:
            for column, kind in (("planes", "plane_indices"), ("labels", "class_names"), ("origins", "origin_names")):
                codes = [names[kind].setdefault(name, len(names[kind])) for name in getattr(part, kind)]
                columns[column].append(np.array(codes or [0], COLUMNS[column])[getattr(part, column)])
            for column in ("ids", "boxes", "scores", "states"):
                columns[column].append(getattr(part, column))
        joined: dict[str, Any] = {name: np.concatenate(values) for name, values in columns.items()}
        joined.update({kind: tuple(codes) for kind, codes in names.items()})
        return cls(**joined)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: ArrayLike | slice) -> Self:
        """Return the rows that a mask, a slice or an array of indices selects."""
        index: Any = rows if isinstance(rows, slice) else np.asarray(rows)
        if not isinstance(index, slice) and index.size == 0:
            index = np.zeros(0, np.int64)
        return replace(self, **{name: getattr(self, name)[index] for name in COLUMNS})

    def items(self) -> Iterator[tuple[int, Box]]:
        """Yield id and box of each row."""
        columns = (self.ids, self.planes, self.boxes, self.labels, self.scores, self.origins, self.states)
        for key, plane, corners, label, score, origin, state in zip(*(c.tolist() for c in columns), strict=True):
            yield (
                key,
                Box(
                    self.plane_indices[plane],
                    tuple(corners),
                    self.class_names[label],
                    None if math.isnan(score) else score,
                    self.origin_names[origin],
                    STATES[state],
                ),
            )

    def used_planes(self) -> set[PlaneIndex]:
        """Return the planes that the rows lie on."""
        return {self.plane_indices[code] for code in np.unique(self.planes).tolist()}

    def used_classes(self) -> list[str]:
        """Return the classes that the rows have."""
        return [self.class_names[code] for code in np.unique(self.labels).tolist()]

    def parts(self) -> dict[PlaneIndex, Self]:
        """Return the rows of each plane that has any, in the order of their ids; they know of no other plane."""
        rows = self[np.lexsort((self.ids, self.planes))]
        codes, starts = np.unique(rows.planes, return_index=True)
        ends = [*starts[1:].tolist(), len(rows)]
        return {
            self.plane_indices[code]: replace(
                rows[start:end], planes=np.zeros(end - start, np.int32), plane_indices=(self.plane_indices[code],)
            )
            for code, start, end in zip(codes.tolist(), starts.tolist(), ends, strict=False)
        }

    def detections(self, plane: PlaneIndex, class_names: Iterable[str]) -> Detections:
        """Return the rows of a plane, in the order of their ids, with labels that index another list of names."""
        names = tuple(class_names)
        code = self.plane_indices.index(plane) if plane in self.plane_indices else -1
        rows = self[self.planes == code]
        rows = rows[np.argsort(rows.ids, kind="stable")]
        table = np.array([names.index(name) if name in names else -1 for name in self.class_names] or [0], np.int64)
        origin_names = np.array(self.origin_names or ("",), np.str_)
        return Detections(
            boxes=rows.boxes,
            labels=table[rows.labels],
            scores=rows.scores.astype(np.float32),
            ids=rows.ids,
            class_names=names or ("object",),
            origins=origin_names[rows.origins],
            states=np.array(STATES)[rows.states],
        )
