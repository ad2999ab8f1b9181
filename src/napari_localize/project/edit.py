"""Edits of a script: one transaction and one step, however many boxes of however many images they change."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.boxes import STATE_CODES, BoxRows
from napari_localize.core.columns import BoxColumns
from napari_localize.core.detections import HUMAN, Detections
from napari_localize.core.errors import UserError
from napari_localize.core.steps import Area, Areas, Change, Finished, Step
from napari_localize.core.table import BoxTable
from napari_localize.project.journal import apply_change, areas_of, finished_of, record_change
from napari_localize.project.listing import ProjectPlane
from napari_localize.project.names import classes_of
from napari_localize.project.places import Place, find_place, rows_at
from napari_localize.project.points import point_size_of
from napari_localize.project.rows import rows_by_id

if TYPE_CHECKING:
    from napari_localize.project.project import Project

Ids = Iterable[int] | NDArray[np.int64]

UNKNOWN = "unknown"
"""Origin of a box with a score that does not say which model made it."""


@dataclass
class _Before:
    """An image as it was before the first change."""

    finished: Finished
    areas: Areas
    boxes: BoxColumns = field(default_factory=BoxColumns)
    touched: set[int] = field(default_factory=set)


class _Notes:
    """The journal of the tables of an edit: writes at once, and keeps what was there before."""

    def __init__(self, edit: Edit, image: int) -> None:
        self._edit, self._image = edit, image

    def record(self, change: Change) -> None:
        self._edit.apply(self._image, change)

    def reserve_ids(self, n: int) -> NDArray[np.int64]:
        return self._edit.project.reserve_ids(n)


class Edit:
    """What a script changes within `Project.edit`. Planes are given by name or as `Project.planes` gives them."""

    def __init__(self, project: Project, connection: sqlite3.Connection, text: str) -> None:
        self.project = project
        self._connection = connection
        self._text = text
        self._classes = classes_of(connection)
        self._images: dict[int, _Before] = {}

    def add(self, plane: str | ProjectPlane, detections: Detections) -> NDArray[np.int64]:
        """Add boxes with their scores, origins and states.

        Returns
        -------
        (N,) int64
            Their ids in the project; those in `detections` do not matter.

        Raises
        ------
        UserError
            When there is no such plane.
        """
        place = find_place(self._connection, plane)
        ids = self.project.reserve_ids(len(detections))
        unknown = np.where(np.isnan(detections.scores), HUMAN, UNKNOWN)
        origins = np.where(detections.origins == "", unknown, detections.origins)
        rows = BoxRows.from_detections(place.plane, replace(detections, origins=origins), ids)
        self._table(place.image).edit(self._text, rows)
        return ids

    def update(self, plane: str | ProjectPlane, detections: Detections) -> None:
        """Give boxes, told by the ids in `detections`, another place and class, as a person does it by hand.

        Raises
        ------
        UserError
            When there is no such plane, or one of the boxes is not on it.
        """
        place = find_place(self._connection, plane)
        table = self._table(place.image, rows_by_id(self._connection, place.image, detections.ids))
        old = table.take(detections.ids)
        old = old[np.array([index == place.plane for index in old.plane_indices] or [False])[old.planes]]
        if len(old) < len(detections):
            missing = np.setdiff1d(detections.ids, old.ids)
            raise UserError(f"box {missing[0]} is not on {plane}; see the ids that detections() gives.")
        new = BoxRows.from_detections(place.plane, detections)
        human = np.array([name == HUMAN for name in old.origin_names] or [False])[old.origins]
        states = np.where(human, STATE_CODES["added"], STATE_CODES["edited"]).astype(np.int8)
        table.edit(
            self._text,
            replace(new, scores=old.scores, origins=old.origins, origin_names=old.origin_names, states=states),
        )

    def accept(self, ids: Ids) -> None:
        """Accept boxes; those that a person has made or changed are right as they are."""
        self._each(ids, BoxTable.accept)

    def reject(self, ids: Ids) -> None:
        """Reject boxes: those of a model are kept as knowledge, those of a person go."""
        self._each(ids, BoxTable.reject)

    def delete(self, ids: Ids) -> None:
        """Delete boxes: as `reject`, but a box that was rejected already goes for good."""
        self._each(ids, BoxTable.delete)

    def set_class(self, ids: Ids, label: str) -> None:
        """Give boxes another class; a new one is added to the list."""
        self._each(ids, lambda table, found: table.set_class(found, label))

    def finish(self, plane: str | ProjectPlane, finished: bool = True) -> None:
        """Say that everything on a plane is right, or that it is not finished after all.

        Guesses that are left there count as wrong, as a person has looked at everything; accept those that are right
        before.
        """
        place = find_place(self._connection, plane)
        table = self._table(place.image)
        change = table.finished | {place.plane} if finished else table.finished - {place.plane}
        table.edit(self._text, finished=change)

    def set_area(
        self,
        plane: str | ProjectPlane,
        xyxy: tuple[float, float, float, float],
        kind: Literal["reviewed", "ignored"] | None,
    ) -> None:
        """Say that everything in a rectangle is right, or of no concern; None takes that back.

        Parameters
        ----------
        plane : str or ProjectPlane
        xyxy : (x0, y0, x1, y1)
            In pixels.
        kind : {"reviewed", "ignored"} or None

        Raises
        ------
        UserError
            When there is no such plane, or the rectangle has no area.
        """
        place = find_place(self._connection, plane)
        corners = np.asarray(xyxy, np.float64)
        if corners.shape != (4,) or not np.isfinite(corners).all() or (corners[2:] <= corners[:2]).any():
            raise UserError(f"the area {tuple(xyxy)} must be x0, y0, x1, y1 with x0 < x1 and y0 < y1.")
        x0, y0, x1, y1 = corners.tolist()
        table = self._table(place.image)
        kept = {area for area in table.areas if (area.plane, area.xyxy) != (place.plane, (x0, y0, x1, y1))}
        new = set() if kind is None else {Area(place.plane, (x0, y0, x1, y1), kind)}
        table.edit(self._text, areas=frozenset(kept | new))

    def _each(self, ids: Ids, action: Callable[[BoxTable, NDArray[np.int64]], object]) -> None:
        wanted = np.unique(np.asarray(list(ids), np.int64))
        by_image: dict[int, list[int]] = defaultdict(list)
        for key, image in self._connection.execute(
            "SELECT boxes.id, image FROM boxes JOIN planes ON planes.id = plane "
            "WHERE boxes.id IN (SELECT value FROM json_each(?))",
            (str(wanted.tolist()),),
        ):
            by_image[image].append(key)
        if sum(map(len, by_image.values())) < len(wanted):
            missing = np.setdiff1d(wanted, [key for keys in by_image.values() for key in keys])
            raise UserError(f"the project has no box {missing[0]}; see the ids that detections() gives.")
        for image, keys in by_image.items():
            found = rows_by_id(self._connection, image, keys)
            action(self._table(image, found), found.ids)

    def _table(self, image: int, rows: BoxRows | None = None) -> BoxTable:
        table = BoxTable(
            classes_of(self._connection),
            finished_of(self._connection, image),
            areas_of(self._connection, image),
            point_size_of(self._connection, image),
        )
        table.load(BoxRows.empty() if rows is None else rows)
        table.journal = _Notes(self, image)
        return table

    def apply(self, image: int, change: Change) -> None:
        """Write a change of a table, and remember what was there before."""
        before = self._images.get(image)
        if before is None:
            before = _Before(finished_of(self._connection, image), areas_of(self._connection, image))
            self._images[image] = before
        assert change.step is not None
        old = change.step.before
        first = ~np.isin(old.ids, np.fromiter(before.touched, np.int64, len(before.touched)))
        before.boxes.put(old[first])
        before.touched.update(change.put.ids.tolist(), np.asarray(change.removed).tolist())
        apply_change(self._connection, image, change)

    def finish_step(self) -> None:
        """Put what was done into the journal, as one step."""
        first: int | None = None
        classes = classes_of(self._connection)
        for image, before in self._images.items():
            finished, areas = finished_of(self._connection, image), areas_of(self._connection, image)
            new_classes = first is None and list(classes.items()) != list(self._classes.items())
            step = Step(
                self._text,
                before.boxes.take(slice(None)),
                rows_by_id(self._connection, image, sorted(before.touched)),
                (self._classes, classes) if new_classes else None,
                (before.finished, finished) if finished != before.finished else None,
                (before.areas, areas) if areas != before.areas else None,
            )
            if not step.empty:
                change = Change("do", self._text, BoxRows.empty(), np.zeros(0, np.int64), step)
                entry = record_change(self._connection, image, change, first)
                first = entry if first is None else first


def proposing_table(connection: sqlite3.Connection, place: Place) -> BoxTable:
    """Return a table with the boxes of one plane, for the proposals of a model."""
    table = BoxTable(classes_of(connection), point_size=point_size_of(connection, place.image))
    table.load(rows_at(connection, place))
    return table
