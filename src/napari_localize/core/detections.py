"""The boxes of one plane, as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_localize.core.errors import UserError

STATES = ("proposed", "accepted", "edited", "added", "rejected")
"""What has happened to a box: made by a model, or by a person, or judged by one."""

HUMAN = "human"
"""The origin of a box that a person has drawn; a model's is ``name@version``."""

EXAMPLES = "examples"
"""The origin of a box that was proposed as it is like others that a person has drawn."""


@dataclass(frozen=True, eq=False)
class Detections:
    """Boxes of one plane with class, score and identity.

    Parameters
    ----------
    boxes : (N, 4) float32
        ``x0, y0, x1, y1`` in full-resolution pixels. The upper left pixel spans 0 to 1, so a box over
        the whole of an image of width W has ``x0 = 0`` and ``x1 = W``.
    labels : (N,) int64, optional
        Index of each box's class in `class_names`; 0 by default.
    scores : (N,) float32, optional
        In [0, 1]; NaN (the default) means that a person made the box.
    ids : (N,) int64, optional
        Unique within the plane; 1 to N by default.
    class_names : sequence of str
        The names that `labels` index.
    origins : (N,) str, optional
        ``name@version`` of the model, or ``"human"``. Empty where unknown.
    states : (N,) str, optional
        One of `STATES`; by default ``"proposed"`` with a score and ``"added"`` without.

    Raises
    ------
    UserError
        When the arrays do not fit together or a box is not finite or has no area.
    """

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64] = field(default=None)  # type: ignore[arg-type]
    scores: NDArray[np.float32] = field(default=None)  # type: ignore[arg-type]
    ids: NDArray[np.int64] = field(default=None)  # type: ignore[arg-type]
    class_names: tuple[str, ...] = ("object",)
    origins: NDArray[np.str_] = field(default=None)  # type: ignore[arg-type]
    states: NDArray[np.str_] = field(default=None)  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        # A copy: the caller's array may change later, or not be writable. Too large a number becomes infinite.
        with np.errstate(over="ignore"):
            boxes = np.array(self.boxes, dtype=np.float32)
        if boxes.size == 0:
            boxes = boxes.reshape(0, 4)
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise UserError(f"boxes must have the shape (N, 4), but have {boxes.shape}.")
        n = len(boxes)
        given: dict[str, NDArray[Any]] = {
            "boxes": boxes,
            "labels": _column(self.labels, n, np.int64, "labels", 0),
            "scores": _column(self.scores, n, np.float32, "scores", np.nan),
        }
        ids = np.arange(1, n + 1) if self.ids is None else self.ids
        given["ids"] = _column(ids, n, np.int64, "ids", 0)
        given["origins"] = _column(self.origins, n, np.str_, "origins", "")
        states = self.states
        if states is None:
            states = np.where(np.isnan(given["scores"]), "added", "proposed")
        given["states"] = _column(states, n, np.str_, "states", "")
        for name, value in given.items():
            object.__setattr__(self, name, value)
        if isinstance(self.class_names, str):
            raise UserError(f"class_names is the text {self.class_names!r}; give a list of names.")
        object.__setattr__(self, "class_names", tuple(str(name) for name in self.class_names))
        self._check()

    def _check(self) -> None:
        boxes, labels = self.boxes, self.labels
        if not np.isfinite(boxes).all():
            raise UserError(f"box {int(np.argmax(~np.isfinite(boxes).all(axis=1)))} is not finite.")
        if len(set(self.class_names)) < len(self.class_names):
            raise UserError(f"a class is named twice: {', '.join(self.class_names)}; give each name once.")
        flat = (boxes[:, 2:] <= boxes[:, :2]).any(axis=1)
        if flat.any():
            first = int(np.argmax(flat))
            raise UserError(
                f"box {first} has no area: x0, y0, x1, y1 = {boxes[first].tolist()}; "
                "x1 must be above x0 and y1 above y0."
            )
        if len(labels) and (labels.min() < 0 or labels.max() >= len(self.class_names)):
            raise UserError(
                f"labels run from {labels.min()} to {labels.max()}, but there are {len(self.class_names)} class names."
            )
        scores = self.scores[~np.isnan(self.scores)]
        if len(scores) and (scores.min() < 0 or scores.max() > 1):
            raise UserError(f"scores run from {scores.min()} to {scores.max()}; they must lie in 0 to 1.")
        if len(np.unique(self.ids)) != len(self.ids):
            raise UserError("two boxes of one plane have the same id; ids must be unique.")
        unknown = set(np.unique(self.states).tolist()) - set(STATES)
        if unknown:
            raise UserError(f"unknown state {sorted(unknown)[0]!r}; known are {', '.join(STATES)}.")

    @classmethod
    def empty(cls, class_names: Sequence[str] = ("object",)) -> Detections:
        """No boxes."""
        return cls(np.zeros((0, 4), np.float32), class_names=tuple(class_names))

    @classmethod
    def concatenate(cls, parts: Iterable[Detections]) -> Detections:
        """Join detections of one plane that share their class names; ids are numbered anew."""
        parts = list(parts)
        names = {part.class_names for part in parts}
        if len(names) != 1:
            raise UserError("only detections with the same class names can be joined.")
        return cls(
            np.concatenate([part.boxes for part in parts]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.scores for part in parts]),
            class_names=names.pop(),
            origins=np.concatenate([part.origins for part in parts]),
            states=np.concatenate([part.states for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: ArrayLike | slice) -> Detections:
        """Return the rows that a mask, a slice or an array of indices selects."""
        index = rows if isinstance(rows, slice) else np.atleast_1d(np.asarray(rows))
        if not isinstance(index, slice) and index.size == 0:
            index = index.astype(np.int64)
        return replace(
            self,
            boxes=self.boxes[index],
            labels=self.labels[index],
            scores=self.scores[index],
            ids=self.ids[index],
            origins=self.origins[index],
            states=self.states[index],
        )

    @property
    def centers(self) -> NDArray[np.float32]:
        """(N, 2) centres, x and y."""
        return (self.boxes[:, :2] + self.boxes[:, 2:]) / np.float32(2)

    @property
    def diameters(self) -> NDArray[np.float32]:
        """(N,) square roots of the box areas, in pixels."""
        size = self.boxes[:, 2:] - self.boxes[:, :2]
        return np.sqrt(size[:, 0] * size[:, 1])

    def counts(self) -> dict[str, int]:
        """Return how many boxes each class has, in the order of `class_names`."""
        numbers = np.bincount(self.labels, minlength=len(self.class_names))
        return dict(zip(self.class_names, numbers.tolist(), strict=True))

    def with_classes(self, class_names: Sequence[str]) -> Detections:
        """Return the same boxes with their labels indexing another list of names.

        Raises
        ------
        UserError
            When a class that has boxes is missing from the new list.
        """
        names = tuple(class_names)
        used = {self.class_names[label] for label in np.unique(self.labels).tolist()}
        missing = sorted(used - set(names))
        if missing:
            raise UserError(f"class {missing[0]!r} is not one of {', '.join(names)}.")
        table = np.array([names.index(n) if n in names else 0 for n in self.class_names], np.int64)
        labels = table[self.labels] if len(self) else self.labels
        return replace(self, labels=labels, class_names=names)

    def clip(self, height: float, width: float) -> Detections:
        """Cut the boxes at the borders of an image; boxes wholly outside are left out."""
        limit = np.array([width, height, width, height], np.float32)
        boxes = np.clip(self.boxes, 0, limit)
        inside = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        return replace(self[inside], boxes=boxes[inside])


def _column(value: Any, n: int, dtype: Any, name: str, default: Any) -> NDArray[Any]:
    column = np.full(n, default, dtype=dtype) if value is None else np.asarray(value)
    if column.size == 0:
        column = column.reshape(0)
    if column.shape != (n,):
        raise UserError(f"{name} must have the shape ({n},), but have {column.shape}.")
    if (
        dtype is np.int64
        and column.dtype.kind == "f"
        and not (np.isfinite(column) & (column == np.trunc(column))).all()
    ):
        raise UserError(f"{name} must be whole numbers.")
    with np.errstate(over="ignore"):
        return column.astype(dtype)
