"""All boxes of an image, with those that are not shown: what may be done to them and what it means."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.boxes import ROUNDING, STATE_CODES, BoxRows, PlaneIndex
from napari_localize.core.colors import class_colors, next_color
from napari_localize.core.columns import BoxColumns
from napari_localize.core.detections import HUMAN, STATES, Detections
from napari_localize.core.errors import UserError
from napari_localize.core.points import to_points
from napari_localize.core.proposing import Region, proposing
from napari_localize.core.steps import Areas, Change, Classes, Finished, History, Journal, Step

APPROVED = frozenset({"accepted", "edited", "added"})
"""States of boxes of which a person has said that they are right."""


_PROPOSED, _ACCEPTED, _EDITED, _ADDED, _REJECTED = (
    STATE_CODES[state] for state in ("proposed", "accepted", "edited", "added", "rejected")
)

Filter = tuple[float, tuple[float, float]]
"""Lowest score, and smallest and largest diameter in pixels, of the guesses that are shown."""

Ids = Iterable[int] | NDArray[np.int64]
Mask = NDArray[np.bool_]


class Count(NamedTuple):
    """How many boxes of a class are shown, and how many of those a person has approved."""

    shown: int
    accepted: int


class BoxTable:
    """Boxes by id, the class list, the finished planes, what is filtered out, and the history.

    Parameters
    ----------
    classes : dict of str to str
        Colour by class name.
    finished : frozenset of plane indices
        Planes that a person has finished.
    areas : frozenset of Area
        Rectangles that a person has finished, or wants to be left out.
    point_size : float, optional
        Where the objects are points: the side in pixels of the boxes that stand for them.
    """

    def __init__(
        self,
        classes: Classes,
        finished: Finished = frozenset(),
        areas: Areas = frozenset(),
        point_size: float | None = None,
    ) -> None:
        self.boxes = BoxColumns()
        self.classes = classes
        self.finished = finished
        self.areas = areas
        self.point_size = point_size
        self.history = History()
        self.journal: Journal | None = None
        self.min_score = 0.0
        self.diameter_range = (0.0, math.inf)
        self.shown_states = frozenset(STATES) - {"rejected"}
        self._last_id = 0

    @property
    def kind(self) -> Literal["box", "point"]:
        """What the objects are; of a point only the centre counts."""
        return "box" if self.point_size is None else "point"

    def counted(self, number: int) -> str:
        """Say how many objects there are, such as ``2 boxes`` or ``1 point``."""
        return f"{number} {self.kind}{'' if number == 1 else 's' if self.kind == 'point' else 'es'}"

    def new_ids(self, number: int) -> NDArray[np.int64]:
        """Return ids that no box has had."""
        reserve = getattr(self.journal, "reserve_ids", None)
        if reserve is not None:
            return np.asarray(reserve(number), np.int64)
        first = self._last_id + 1
        self._last_id += number
        return np.arange(first, first + number)

    def new_id(self) -> int:
        """Return an id that no box has had."""
        return int(self.new_ids(1)[0])

    def load(self, boxes: BoxRows) -> None:
        """Put boxes into the table as they are; this is no step to be undone."""
        self.boxes.put(boxes)
        if len(boxes):
            self._last_id = max(self._last_id, int(boxes.ids.max()))
        self._know_classes(boxes.used_classes())

    def keep(self, journal: Journal) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Have a journal note all that there is, and whatever happens from now on.

        Returns
        -------
        old, new : (N,) int64
            The boxes get the ids that the journal gives; `old` is in rising order.
        """
        self.journal = journal
        old = np.union1d(self.boxes.ids, self.history.ids())
        new = self.new_ids(len(old))
        self.boxes.renumber(new[np.searchsorted(old, self.boxes.ids)])
        self.history.renumber(old, new)
        nothing = np.zeros(0, np.int64)
        journal.record(
            Change("propose", "begin", self.take(), nothing, None, dict(self.classes), self.finished, self.areas)
        )
        return old, new

    def take(self, ids: Ids | None = None) -> BoxRows:
        """Return boxes by id, or all."""
        return self.boxes.take(slice(None) if ids is None else self.boxes.rows(ids))

    def _know_classes(self, names: Iterable[str]) -> None:
        missing = [name for name in dict.fromkeys(names) if name not in self.classes]
        if missing:
            self.classes = class_colors([*self.classes, *missing], self.classes)

    # What is seen

    def passing(self) -> Mask:
        """Return which boxes score and size let through; only guesses of a model are filtered.

        The size of a point is a nominal one, so it does not count.
        """
        table = self.boxes
        mask: Mask = ~(table.scores < self.min_score - ROUNDING)
        low, high = self.diameter_range
        if self.point_size is None and (low > 0 or math.isfinite(high)):
            diameters = self.diameters()
            mask &= (diameters >= low) & (diameters <= high)
        mask |= table.states != _PROPOSED
        return mask

    def diameters(self) -> NDArray[np.float32]:
        """Return the square root of each box's area, in pixels."""
        corners = self.boxes.boxes
        return np.sqrt((corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1]))

    def in_states(self, states: Iterable[str]) -> Mask:
        """Return which boxes are in one of some states."""
        wanted = np.zeros(len(STATES), bool)
        wanted[[STATE_CODES[state] for state in states]] = True
        mask: Mask = wanted[self.boxes.states]
        return mask

    def on(self, plane: PlaneIndex | None) -> Mask:
        """Return which boxes lie on a plane; all for None."""
        if plane is None:
            return np.ones(len(self.boxes), bool)
        mask: Mask = self.boxes.planes == self.boxes.plane_code(plane)
        return mask

    def showing(self, plane: PlaneIndex | None = None) -> Mask:
        """Return which boxes are to be seen, of one plane or of all."""
        return self.passing() & self.in_states(self.shown_states) & self.on(plane)

    def shown(self, plane: PlaneIndex | None = None) -> BoxRows:
        """Return the boxes to be seen, of one plane or of all."""
        return self.boxes.take(self.showing(plane))

    def guesses(self, plane: PlaneIndex | None = None) -> NDArray[np.int64]:
        """Return the ids of the proposals to be seen, of one plane or of all."""
        ids: NDArray[np.int64] = self.boxes.ids[self.showing(plane) & (self.boxes.states == _PROPOSED)]
        return ids

    def counts(self, plane: PlaneIndex | None = None) -> dict[str, Count]:
        """Count the shown boxes per class, of one plane or of all; rejected ones are none."""
        mask = self.showing(plane) & (self.boxes.states != _REJECTED)
        shown = self._per_class(mask)
        accepted = self._per_class(mask & self.in_states(APPROVED))
        return {name: Count(shown[name], accepted[name]) for name in self.classes}

    def totals(self, plane: PlaneIndex | None = None) -> dict[str, int]:
        """Count the boxes per class, shown or not, of one plane or of all; only rejected ones are left out."""
        return self._per_class(self.on(plane) & (self.boxes.states != _REJECTED))

    def by_state(self, plane: PlaneIndex | None = None) -> dict[str, int]:
        """Count the boxes per state, shown or not, of one plane or of all."""
        numbers = np.bincount(self.boxes.states[self.on(plane)], minlength=len(STATES)).tolist()
        return dict(zip(STATES, numbers, strict=True))

    def _per_class(self, mask: Mask) -> dict[str, int]:
        names = self.boxes.class_names
        numbers = dict(zip(names, np.bincount(self.boxes.labels[mask], minlength=len(names)).tolist(), strict=True))
        return {name: numbers.get(name, 0) for name in self.classes}

    def largest(self) -> float:
        """Return the diameter of the largest box, 0 without any."""
        return float(self.diameters().max(initial=0.0))

    def planes(self) -> list[PlaneIndex]:
        """Return the planes that have boxes, shown or not, or are finished."""
        codes = np.unique(self.boxes.planes).tolist()
        return sorted({self.boxes.plane_indices[code] for code in codes} | self.finished)

    def detections(self, plane: PlaneIndex, states: Iterable[str] | None = None) -> Detections:
        """Return the boxes of a plane that pass score and size; rejected ones only when asked for by state."""
        wanted = frozenset(STATES) - {"rejected"} if states is None else states
        rows = self.boxes.take(self.on(plane) & self.passing() & self.in_states(wanted))
        return rows.detections(plane, self.classes)

    def by_plane(
        self, states: Iterable[str], *, hidden: bool = False, also: Iterable[PlaneIndex] = ()
    ) -> dict[PlaneIndex, Detections]:
        """Return the boxes in some states, of every plane that has any.

        Parameters
        ----------
        states : iterable of str
        hidden : bool
            Whether to return those that score and size hide, too.
        also : iterable of plane index
            Planes that are there even without a box.
        """
        mask = self.in_states(states)
        parts = self.boxes.take(mask if hidden else mask & self.passing()).parts()
        none = BoxRows.empty()
        return {plane: parts.get(plane, none).detections(plane, self.classes) for plane in sorted({*parts, *also})}

    # What a person does

    def edit(
        self,
        text: str,
        put: BoxRows | None = None,
        removed: Ids = (),
        *,
        classes: Classes | None = None,
        finished: Finished | None = None,
        areas: Areas | None = None,
    ) -> Step | None:
        """Change boxes, classes, finished planes or areas in one step that can be undone.

        Parameters
        ----------
        text : str
            What is done, in a few words.
        put : BoxRows, optional
            Boxes as they shall be; those with a new id are added.
        removed : ids, optional
            Boxes that shall go.
        classes, finished, areas : optional
            What these shall be.

        Returns
        -------
        Step or None
            None when nothing changes.
        """
        put = self.boxes.encode(BoxRows.empty() if put is None else put)
        put = put[self.boxes.changed(put)]
        gone = self.boxes.ids[self.boxes.rows(removed)]
        known = dict(self.classes)
        if classes is None:
            self._know_classes(put.used_classes())
            classes = self.classes
        step = Step(
            text,
            before=self.take(np.concatenate([put.ids, gone])),
            after=put,
            classes=None if list(known.items()) == list(classes.items()) else (known, dict(classes)),
            finished=None if finished is None or finished == self.finished else (self.finished, finished),
            areas=None if areas is None or areas == self.areas else (self.areas, areas),
        )
        if step.empty:
            return None
        self.history.push(step)
        self._apply(step, "do")
        return step

    def undo(self) -> Step | None:
        """Take the last step back."""
        step = self.history.undo()
        if step is not None:
            self._apply(step, "undo")
        return step

    def redo(self) -> Step | None:
        """Take the step again that was taken back last."""
        step = self.history.redo()
        if step is not None:
            self._apply(step, "redo")
        return step

    def _apply(self, step: Step, action: Any) -> None:
        old, new = (step.after, step.before) if action == "undo" else (step.before, step.after)
        side = int(action != "undo")
        removed = old.ids[~np.isin(old.ids, new.ids)]
        if action != "do":
            new = new[~self._replaced(step, new.ids)]
        self.boxes.remove(removed)
        self.boxes.put(new)
        if step.classes is not None:
            # There is always one to draw with, also before the first step of a project that had none.
            self.classes = dict(step.classes[side]) or self.classes
        if step.finished is not None:
            self.finished = step.finished[side]
        if step.areas is not None:
            self.areas = step.areas[side]
        # A model may have brought classes since that an older class list does not know.
        self._know_classes(self.boxes.class_names[code] for code in np.unique(self.boxes.labels).tolist())
        if self.journal is not None:
            self.journal.record(
                Change(
                    action,
                    step.text,
                    new,
                    removed,
                    step if action == "do" else None,
                    classes=None if step.classes is None else dict(self.classes),
                    finished=None if step.finished is None else self.finished,
                    areas=None if step.areas is None else self.areas,
                )
            )

    def _replaced(self, step: Step, ids: NDArray[np.int64]) -> Mask:
        """Return which boxes were guesses before and after a step and have been replaced by a later run."""
        guesses = np.intersect1d(
            step.before.ids[step.before.states == _PROPOSED], step.after.ids[step.after.states == _PROPOSED]
        )
        there = np.fromiter((key in self.boxes for key in ids.tolist()), bool, len(ids))
        mask: Mask = np.isin(ids, guesses) & ~there
        return mask

    def accept(self, ids: Ids) -> Step | None:
        """Accept boxes; those that a person has made or changed are right as they are."""
        return self.edit_boxes("accept", self.accepting(ids))

    def reject(self, ids: Ids) -> Step | None:
        """Reject boxes: those of a model are kept as knowledge, those of a person go."""
        return self.edit_boxes("reject", *self.rejecting(ids))

    def delete(self, ids: Ids) -> Step | None:
        """Delete boxes: as `reject`, but a box that was rejected already goes for good."""
        return self.edit_boxes("delete", *self.deleting(ids))

    def set_class(self, ids: Ids, label: str) -> Step | None:
        """Give boxes another class."""
        rows = self.take(ids)
        rows = rows[rows.labels != self.boxes.class_code(label)]
        put = replace(
            rows, labels=np.zeros(len(rows), np.int32), class_names=(label,), states=self._by_origin(rows, _EDITED)
        )
        return self.edit_boxes("change class of", put)

    def edit_boxes(self, verb: str, put: BoxRows, removed: Ids = ()) -> Step | None:
        """Change boxes in one step whose text says how many they are."""
        removed = list(removed)
        put = self.boxes.encode(put)
        number = int(self.boxes.changed(put).sum()) + len(removed)
        return self.edit(f"{verb} {self.counted(number)}", put, removed)

    def accepting(self, ids: Ids) -> BoxRows:
        """Return what boxes are once accepted."""
        rows = self.take(ids)
        rows = rows[(rows.states == _PROPOSED) | (rows.states == _REJECTED)]
        return replace(rows, states=self._by_origin(rows, _ACCEPTED))

    def rejecting(self, ids: Ids) -> tuple[BoxRows, list[int]]:
        """Return what boxes are once rejected, and the ids of those that go."""
        rows = self.take(ids)
        human = self._of_human(rows)
        kept = rows[~human]
        return replace(kept, states=np.full(len(kept), _REJECTED, np.int8)), rows.ids[human].tolist()

    def deleting(self, ids: Ids) -> tuple[BoxRows, list[int]]:
        """Return what boxes are once deleted, and the ids of those that go."""
        rows = self.take(ids)
        gone = rows.states == _REJECTED
        put, removed = self.rejecting(rows.ids[~gone])
        return put, removed + rows.ids[gone].tolist()

    def _of_human(self, rows: BoxRows) -> Mask:
        mask: Mask = rows.origins == self.boxes.origin_code(HUMAN)
        return mask

    def _by_origin(self, rows: BoxRows, state: int) -> NDArray[np.int8]:
        """Return a state for each box of a model; what a person has made is and stays added."""
        return np.where(self._of_human(rows), _ADDED, state).astype(np.int8)

    def add_class(self, name: str, color: str | None = None) -> Step | None:
        """Add a class to the end of the list."""
        name = self._check_new_name(name)
        color = color or next_color(self.classes.values())
        return self.edit(f"add class {name}", classes={**self.classes, name: color})

    def rename_class(self, old: str, new: str) -> Step | None:
        """Rename a class and with it all of its boxes; their states stay."""
        if new.strip() == old:
            return None
        new = self._check_new_name(new)
        classes = {new if name == old else name: color for name, color in self.classes.items()}
        rows = self.boxes.take(self.boxes.labels == self.boxes.class_code(old))
        put = replace(rows, labels=np.zeros(len(rows), np.int32), class_names=(new,))
        return self.edit(f"rename class {old} to {new}", put, classes=classes)

    def follow_rename(self, old: str, new: str) -> None:
        """Take over the new name that a class got by another image; this is no step, and the journal knows it."""
        self.classes = {new if name == old else name: color for name, color in self.classes.items()}
        rows = self.boxes.take(self.boxes.labels == self.boxes.class_code(old))
        self.boxes.put(replace(rows, labels=np.zeros(len(rows), np.int32), class_names=(new,)))
        self.history.rename_class(old, new)

    def recolor_class(self, name: str, color: str) -> Step | None:
        """Give a class another colour."""
        return self.edit(f"recolour class {name}", classes={**self.classes, name: color})

    def remove_class(self, name: str) -> Step | None:
        """Remove a class that has no boxes.

        Raises
        ------
        UserError
            When it has boxes, shown or not, or is the only one.
        """
        used = int((self.boxes.labels == self.boxes.class_code(name)).sum())
        if used:
            raise UserError(f"class {name!r} has {used} boxes, some perhaps hidden; give them another class first.")
        if len(self.classes) == 1:
            raise UserError(f"{name!r} is the only class; rename it instead.")
        return self.edit(f"remove class {name}", classes={k: c for k, c in self.classes.items() if k != name})

    def _check_new_name(self, name: str) -> str:
        name = name.strip()
        if not name:
            raise UserError("a class needs a name; type one.")
        if name in self.classes:
            raise UserError(f"there is a class {name!r} already; choose another name.")
        return name

    # What a model does

    def propose(
        self,
        proposals: Mapping[PlaneIndex, Detections],
        origin: str,
        *,
        replace: bool = True,
        region: Region | None = None,
    ) -> int:
        """Put what a model found on some planes in the place of what models had guessed there.

        What a person has made, changed, accepted or rejected stays, and a proposal that overlaps such a box
        (IoU above 0.5) is left out. This is no step of a person and cannot be undone.

        Parameters
        ----------
        proposals : mapping of plane index to Detections
            A plane with no detections loses its old proposals.
        origin : str
            ``name@version`` of the model.
        replace : bool
            False adds to the proposals that are there, while a run is still going on.
        region : (y0, y1, x0, x1), optional
            Where the model has looked; proposals with their centre elsewhere stay.

        Returns
        -------
        int
            Number of proposals, of those whose score is shown, left out because a person has judged the same object.
        """
        left_out = 0
        puts, gone = [], []
        for plane, found in proposals.items():
            if self.point_size is not None:
                found = to_points(found, self.point_size)
            put, stale, out = proposing(self, plane, found, origin, replace, region)
            self._know_classes(found.class_names)
            puts.append(put)
            gone.append(stale)
            left_out += out
        removed = np.concatenate(gone) if gone else np.zeros(0, np.int64)
        self.boxes.remove(removed)
        for put in puts:
            self.boxes.put(put)
        # Steps taken back may speak of proposals that are gone.
        self.history.forget_redo()
        if self.journal is not None:
            put = self.take(np.concatenate([part.ids for part in puts])) if puts else BoxRows.empty()
            self.journal.record(Change("propose", origin, put, removed, classes=dict(self.classes)))
        return left_out
