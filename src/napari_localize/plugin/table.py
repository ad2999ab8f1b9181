"""All boxes of a layer, with those that are not shown: what may be done to them and what it means.

Nothing here knows about napari; `plugin.boxes.BoxLayer` keeps a Shapes layer in step with a table.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from napari_localize.core.detections import HUMAN, STATES, Detections
from napari_localize.core.errors import UserError
from napari_localize.plugin.colors import class_colors, next_color
from napari_localize.plugin.history import Box, Classes, Finished, History, Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

APPROVED = frozenset({"accepted", "edited", "added"})
"""States of boxes of which a person has said that they are right."""

SAME_OBJECT = 0.5
"""A proposal that overlaps a box a person has judged by more than this (IoU) is the same object."""

_ROUNDING = 1e-6  # a float32 score of 0.7 is a little less than 0.7

Changes = dict[int, Box | None]
Region = tuple[float, float, float, float]


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
    """

    def __init__(self, classes: Classes, finished: Finished = frozenset()) -> None:
        self.boxes: dict[int, Box] = {}
        self.classes = classes
        self.finished = finished
        self.history = History()
        self.min_score = 0.0
        self.diameter_range = (0.0, math.inf)
        self.shown_states = frozenset(STATES) - {"rejected"}
        self._last_id = 0

    def new_id(self) -> int:
        """Return an id that no box has had."""
        self._last_id += 1
        return self._last_id

    def load(self, boxes: Mapping[int, Box]) -> None:
        """Put boxes into the table as they are; this is no step to be undone."""
        self.boxes.update(boxes)
        self._last_id = max([self._last_id, *boxes])
        self._know_classes(box.label for box in boxes.values())

    def _know_classes(self, names: Iterable[str]) -> None:
        missing = [name for name in dict.fromkeys(names) if name not in self.classes]
        if missing:
            self.classes = class_colors([*self.classes, *missing], self.classes)

    # What is seen

    def passes(self, box: Box) -> bool:
        """Whether the score and the size of a box let it through; only guesses of a model are filtered."""
        if box.state != "proposed":
            return True
        if box.score is not None and box.score < self.min_score - _ROUNDING:
            return False
        x0, y0, x1, y1 = box.xyxy
        low, high = self.diameter_range
        return low <= math.sqrt((x1 - x0) * (y1 - y0)) <= high

    def is_shown(self, box: Box) -> bool:
        """Whether a box belongs into the layer."""
        return box.state in self.shown_states and self.passes(box)

    def shown(self, plane: tuple[int, ...] | None = None) -> Iterator[tuple[int, Box]]:
        """Yield the shown boxes with their ids, of one plane or of all."""
        for key, box in self.boxes.items():
            if (plane is None or box.plane == plane) and self.is_shown(box):
                yield key, box

    def drawn(self, most: int) -> dict[int, Box]:
        """Return the boxes to be put into the layer: those shown, or the surest ones when there are too many."""
        shown = dict(self.shown())
        if len(shown) <= most:
            return shown
        surest = sorted(shown.items(), key=lambda item: (item[1].state == "proposed", -(item[1].score or 0.0)))
        return dict(surest[:most])

    def counts(self, plane: tuple[int, ...] | None = None) -> dict[str, Count]:
        """Count the shown boxes per class, of one plane or of all."""
        shown = dict.fromkeys(self.classes, 0)
        accepted = dict.fromkeys(self.classes, 0)
        for _, box in self.shown(plane):
            if box.state != "rejected":
                shown[box.label] += 1
                accepted[box.label] += box.state in APPROVED
        return {name: Count(shown[name], accepted[name]) for name in self.classes}

    def totals(self, plane: tuple[int, ...] | None = None) -> dict[str, int]:
        """Count the boxes per class, shown or not, of one plane or of all; only rejected ones are left out."""
        totals = dict.fromkeys(self.classes, 0)
        for box in self.boxes.values():
            if box.state != "rejected" and (plane is None or box.plane == plane):
                totals[box.label] += 1
        return totals

    def largest(self) -> float:
        """Return the diameter of the largest box, 0 without any."""
        corners = (box.xyxy for box in self.boxes.values())
        return max((math.sqrt((x1 - x0) * (y1 - y0)) for x0, y0, x1, y1 in corners), default=0.0)

    def detections(self, plane: tuple[int, ...], states: Iterable[str] | None = None) -> Detections:
        """Return the boxes of a plane that pass score and size; rejected ones only when asked for by state."""
        wanted = frozenset(STATES) - {"rejected"} if states is None else frozenset(states)
        return self._packed(
            [
                (key, box)
                for key, box in self.boxes.items()
                if box.plane == plane and box.state in wanted and self.passes(box)
            ]
        )

    def by_plane(self, states: Iterable[str]) -> dict[tuple[int, ...], Detections]:
        """Return the boxes in some states of every plane that has any, in one pass over all boxes."""
        wanted = frozenset(states)
        rows: dict[tuple[int, ...], list[tuple[int, Box]]] = {}
        for key, box in self.boxes.items():
            if box.state in wanted and self.passes(box):
                rows.setdefault(box.plane, []).append((key, box))
        return {plane: self._packed(rows[plane]) for plane in sorted(rows)}

    def _packed(self, rows: list[tuple[int, Box]]) -> Detections:
        names = list(self.classes) or ["object"]
        return Detections(
            boxes=np.array([box.xyxy for _, box in rows], np.float32),
            labels=np.array([names.index(box.label) for _, box in rows], np.int64),
            scores=np.array([math.nan if box.score is None else box.score for _, box in rows], np.float32),
            ids=np.array([key for key, _ in rows], np.int64),
            class_names=tuple(names),
            origins=np.array([box.origin for _, box in rows], np.str_),
            states=np.array([box.state for _, box in rows], np.str_),
        )

    # What a person does

    def edit(
        self, text: str, changes: Changes, *, classes: Classes | None = None, finished: Finished | None = None
    ) -> Step | None:
        """Change boxes, classes or finished planes in one step that can be undone; None when nothing changes."""
        boxes = {key: (self.boxes.get(key), box) for key, box in changes.items() if self.boxes.get(key) != box}
        before = dict(self.classes)
        if classes is None:
            self._know_classes(box.label for box in changes.values() if box is not None)
            classes = self.classes
        step = Step(
            text,
            boxes,
            classes=None if list(before.items()) == list(classes.items()) else (before, dict(classes)),
            finished=None if finished is None or finished == self.finished else (self.finished, finished),
        )
        if step.empty:
            return None
        self._apply(step, forward=True)
        self.history.push(step)
        return step

    def undo(self) -> Step | None:
        """Take the last step back."""
        step = self.history.undo()
        if step is not None:
            self._apply(step, forward=False)
        return step

    def redo(self) -> Step | None:
        """Take the step again that was taken back last."""
        step = self.history.redo()
        if step is not None:
            self._apply(step, forward=True)
        return step

    def _apply(self, step: Step, *, forward: bool) -> None:
        side = int(forward)
        for key, pair in step.boxes.items():
            box = pair[side]
            if key not in self.boxes and all(each is not None and each.state == "proposed" for each in pair):
                continue  # A guess that a later run has replaced.
            if box is None:
                self.boxes.pop(key, None)
            else:
                self.boxes[key] = box
        if step.classes is not None:
            self.classes = dict(step.classes[side])
        if step.finished is not None:
            self.finished = step.finished[side]
        # A model may have brought classes since that an older class list does not know.
        self._know_classes(box.label for box in self.boxes.values())

    def accepting(self, ids: Iterable[int]) -> Changes:
        """Accept boxes; those that a person has made or changed are right as they are."""
        found = {key: self.boxes[key] for key in ids if key in self.boxes}
        return {
            key: box._replace(state=_approved_state(box)) for key, box in found.items() if box.state not in APPROVED
        }

    def rejecting(self, ids: Iterable[int]) -> Changes:
        """Reject boxes: those of a model are kept as knowledge, those of a person go."""
        found = {key: self.boxes[key] for key in ids if key in self.boxes}
        return {key: None if box.origin == HUMAN else box._replace(state="rejected") for key, box in found.items()}

    def deleting(self, ids: Iterable[int]) -> Changes:
        """Delete boxes: as `rejecting`, but a box that was rejected already goes for good."""
        ids = list(ids)
        gone: Changes = {key: None for key in ids if key in self.boxes and self.boxes[key].state == "rejected"}
        return {**self.rejecting(ids), **gone}

    def classing(self, ids: Iterable[int], label: str) -> Changes:
        """Give boxes another class."""
        found = {key: self.boxes[key] for key in ids if key in self.boxes}
        return {
            key: box._replace(label=label, state=edited_state(box)) for key, box in found.items() if box.label != label
        }

    def add_class(self, name: str, color: str | None = None) -> Step | None:
        """Add a class to the end of the list."""
        name = self._check_new_name(name)
        color = color or next_color(self.classes.values())
        return self.edit(f"add class {name}", {}, classes={**self.classes, name: color})

    def rename_class(self, old: str, new: str) -> Step | None:
        """Rename a class and with it all of its boxes; their states stay."""
        if new.strip() == old:
            return None
        new = self._check_new_name(new)
        classes = {new if name == old else name: color for name, color in self.classes.items()}
        changes: Changes = {k: box._replace(label=new) for k, box in self.boxes.items() if box.label == old}
        return self.edit(f"rename class {old} to {new}", changes, classes=classes)

    def recolor_class(self, name: str, color: str) -> Step | None:
        """Give a class another colour."""
        return self.edit(f"recolour class {name}", {}, classes={**self.classes, name: color})

    def remove_class(self, name: str) -> Step | None:
        """Remove a class that has no boxes.

        Raises
        ------
        UserError
            When it has boxes, shown or not, or is the only one.
        """
        used = sum(box.label == name for box in self.boxes.values())
        if used:
            raise UserError(f"class {name!r} has {used} boxes, some perhaps hidden; give them another class first.")
        if len(self.classes) == 1:
            raise UserError(f"{name!r} is the only class; rename it instead.")
        return self.edit(f"remove class {name}", {}, classes={k: c for k, c in self.classes.items() if k != name})

    def _check_new_name(self, name: str) -> str:
        name = name.strip()
        if not name:
            raise UserError("a class needs a name; type one.")
        if name in self.classes:
            raise UserError(f"there is a class {name!r} already; choose another name.")
        return name

    # What a model does

    def propose(
        self, proposals: Mapping[tuple[int, ...], Detections], origin: str, *, replace: bool, region: Region | None
    ) -> int:
        """Put what a model found on some planes in the place of what models had guessed there.

        See `plugin.boxes.BoxLayer.set_proposals`. Returns the number of proposals left out because a
        person has judged the same object already.
        """
        known: dict[tuple[tuple[int, ...], tuple[float, ...], str], int] = {}
        judged: dict[tuple[int, ...], list[Box]] = {plane: [] for plane in proposals}
        beside: dict[tuple[int, ...], list[Box]] = {plane: [] for plane in proposals}
        stale: set[int] = set()
        for key, box in self.boxes.items():
            if box.plane not in judged:
                continue
            if box.state != "proposed":
                judged[box.plane].append(box)
                continue
            known[box.plane, box.xyxy, box.label] = key
            if region is not None and not _inside(box, region):
                beside[box.plane].append(box)
            elif replace:
                stale.add(key)
        left_out = 0
        for plane, found in proposals.items():
            self._know_classes(found.class_names)
            taken = overlapping(found.boxes, _corners(judged[plane]), SAME_OBJECT)
            left_out += int(taken.sum())
            # An object on the border of the region may have been found from the other side before.
            fresh = found[~taken & ~overlapping(found.boxes, _corners(beside[plane]), SAME_OBJECT)]
            for corners, label, score in zip(
                fresh.boxes.tolist(), fresh.labels.tolist(), fresh.scores.tolist(), strict=True
            ):
                box = Box(plane, tuple(corners), fresh.class_names[label], score, origin, "proposed")
                # A box that was there before keeps its id, so that selection and layer stay as they are.
                key = known.pop((box.plane, box.xyxy, box.label), 0) or self.new_id()
                stale.discard(key)
                self.boxes[key] = box
        for key in stale:
            del self.boxes[key]
        # Steps taken back may speak of proposals that are gone.
        self.history.forget_redo()
        return left_out


def edited_state(box: Box) -> str:
    """State of a box after a person has changed it."""
    return "added" if box.origin == HUMAN else "edited"


def _approved_state(box: Box) -> str:
    return "added" if box.origin == HUMAN else "accepted"


def _corners(boxes: list[Box]) -> NDArray[np.float32]:
    return np.array([box.xyxy for box in boxes], np.float32).reshape(-1, 4)


def _inside(box: Box, region: Region) -> bool:
    x0, y0, x1, y1 = box.xyxy
    top, bottom, left, right = region
    return top <= (y0 + y1) / 2 < bottom and left <= (x0 + x1) / 2 < right


def overlapping(boxes: NDArray[np.float32], others: NDArray[np.float32], iou: float) -> NDArray[np.bool_]:
    """Return for each of (N, 4) boxes whether its IoU with any of (M, 4) others is above a limit."""
    result = np.zeros(len(boxes), bool)
    if not len(others):
        return result
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1)
    rows = max(1, 2_000_000 // len(others))
    for start in range(0, len(boxes), rows):
        part = boxes[start : start + rows, None]
        sides = np.minimum(part[..., 2:], others[:, 2:]) - np.maximum(part[..., :2], others[:, :2])
        shared = np.prod(np.clip(sides, 0, None), axis=2)
        union = np.prod(part[..., 2:] - part[..., :2], axis=2) + areas - shared
        result[start : start + rows] = (shared > iou * union).any(axis=1)
    return result
