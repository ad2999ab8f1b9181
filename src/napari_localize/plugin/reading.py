"""What can be asked of the boxes of a layer."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.core.boxes import ROUNDING, Box
from napari_localize.core.detections import STATES, Detections
from napari_localize.core.errors import UserError
from napari_localize.core.known import KnownArea, Rectangles
from napari_localize.core.steps import Areas, Finished
from napari_localize.core.table import APPROVED, BoxTable, Filter
from napari_localize.plugin.layers import METADATA
from napari_localize.plugin.rows import has_plane

if TYPE_CHECKING:
    from collections.abc import Iterable

    from napari.layers import Points, Shapes
    from numpy.typing import NDArray

    from napari_localize.core.table import Count
    from napari_localize.core.window import View


class BoxReading(ABC):
    """The reading half of `plugin.boxes.BoxLayer`: nothing here changes a box."""

    _table: BoxTable
    _drawn: NDArray[np.int64]
    _view: View | None

    @property
    @abstractmethod
    def layer(self) -> Shapes | Points:
        """The layer; it is not kept alive by this object."""

    @abstractmethod
    def reconcile(self) -> None:
        """Find out now what a person or another plugin has done to the layer."""

    @property
    def classes(self) -> dict[str, str]:
        """Colour by class name, in the order of the class list."""
        self.reconcile()
        return dict(self._table.classes)

    @property
    def finished(self) -> Finished:
        """Indices of the planes that a person has finished."""
        return self._table.finished

    @property
    def areas(self) -> Areas:
        """Rectangles that a person has finished, or wants to be left out."""
        return self._table.areas

    @property
    def table(self) -> BoxTable:
        """All boxes, shown or not; to be read. Edits go through this object."""
        self.reconcile()
        return self._table

    @property
    def drawn(self) -> NDArray[np.int64]:
        """(N,) ids of the boxes that are shapes of the layer."""
        return self._drawn

    @property
    def filter(self) -> Filter:
        """Lowest score, and smallest and largest diameter, of proposals that are shown."""
        return self._table.min_score, self._table.diameter_range

    @property
    def shown_states(self) -> frozenset[str]:
        """States of boxes that are shown."""
        return self._table.shown_states

    @property
    def undo_text(self) -> str | None:
        """What `undo` would take back."""
        self.reconcile()
        return self._table.history.undo_text

    @property
    def redo_text(self) -> str | None:
        """What `redo` would do again."""
        self.reconcile()
        return self._table.history.redo_text

    @property
    def image_info(self) -> dict[str, Any]:
        """What is known about the image: ``name``, ``size`` (H, W), ``planes`` and ``axes`` of the leading axes."""
        return dict(self.layer.metadata.get(METADATA, {}).get("image", {}))

    def has_plane(self, plane: tuple[int, ...]) -> bool:
        """Whether the image has a plane; another layer can lengthen napari's sliders beyond its own."""
        return has_plane(self.image_info.get("planes") or (), plane)

    def _check_plane(self, plane: tuple[int, ...]) -> None:
        if not self.has_plane(plane):
            at = ", ".join(map(str, plane))
            raise UserError(f"the image of {self.layer.name!r} has no plane {at}; move the sliders onto it.")

    def _guesses_in(self, plane: tuple[int, ...], reviewed: Rectangles | None) -> NDArray[np.int64]:
        """Return the guesses to be seen with their centre in some rectangles, or anywhere, and not in an ignored one."""
        table, ids = self._table.boxes, self._table.guesses(plane)
        ignored = tuple(area.xyxy for area in self.areas if area.plane == plane and area.kind == "ignored")
        return ids[KnownArea(reviewed, ignored).holds(table.boxes[table.rows(ids)])]

    def guesses_by_score(
        self, plane: tuple[int, ...], lowest: float = 0.0, below: float = math.inf
    ) -> NDArray[np.int64]:
        """Return the ids of the guesses to be seen on a plane with scores in a range; without a score they are sure."""
        self.reconcile()
        table = self._table.boxes
        ids = self._table.guesses(plane)
        # Scores come from float32 numbers, and 0.8 of those is not quite 0.8.
        scores = np.nan_to_num(table.scores[table.rows(ids)], nan=1.0) + ROUNDING
        return ids[(scores >= lowest) & (scores < below)]

    def guesses_in_view(self) -> NDArray[np.int64]:
        """Return the ids of the guesses whose middle is in view; all of them where nothing is known of a view."""
        self.reconcile()
        table, view = self._table.boxes, self._view
        ids = self._table.guesses(None if view is None else view.plane)
        if view is None:
            return ids
        corners = table.boxes[table.rows(ids)]
        x, y = (corners[:, 0] + corners[:, 2]) / 2, (corners[:, 1] + corners[:, 3]) / 2
        y0, y1, x0, x1 = view.rectangle
        return ids[(y >= y0) & (y <= y1) & (x >= x0) & (x <= x1)]

    def __len__(self) -> int:
        self.reconcile()
        return len(self._table.boxes)

    def get(self, key: int) -> Box | None:
        """Return a box by its id, shown or not."""
        self.reconcile()
        return self._table.boxes.get(key)

    def planes(self) -> list[tuple[int, ...]]:
        """Return the indices of planes that have boxes, shown or not, or are finished."""
        self.reconcile()
        return self._table.planes()

    def counts(self, plane: tuple[int, ...] | None = None) -> dict[str, Count]:
        """Count the boxes shown per class, of one plane or of all, and how many a person has approved."""
        self.reconcile()
        return self._table.counts(plane)

    def totals(self, plane: tuple[int, ...] | None = None) -> dict[str, int]:
        """Count the boxes per class, shown or not, of one plane or of all; only rejected ones are left out."""
        self.reconcile()
        return self._table.totals(plane)

    def by_state(self, plane: tuple[int, ...] | None = None) -> dict[str, int]:
        """Count the boxes per state that score and size let through, of one plane or of all."""
        self.reconcile()
        states = self._table.boxes.states[self._table.on(plane) & self._table.passing()]
        return dict(zip(STATES, np.bincount(states, minlength=len(STATES)).tolist(), strict=True))

    def known(self, plane: tuple[int, ...]) -> KnownArea | None:
        """Return where on a plane a person has finished everything; None for nowhere."""
        return KnownArea.of((area for area in self.areas if area.plane == plane), plane in self.finished)

    def reviewed(self, plane: tuple[int, ...]) -> int | None:
        """Count the boxes in what a person has finished on a plane, those approved; None where nothing is."""
        self.reconcile()
        known, table = self.known(plane), self._table
        if known is None:
            return None
        return int(known.holds(table.boxes.boxes[table.on(plane) & table.in_states(APPROVED)]).sum())

    def largest(self) -> float:
        """Return the diameter in pixels of the largest box, 0 without any."""
        self.reconcile()
        return self._table.largest()

    def detections(self, plane: tuple[int, ...] = (), states: Iterable[str] | None = None) -> Detections:
        """Return the boxes of a plane.

        Parameters
        ----------
        plane : tuple of int
            Index of the plane.
        states : iterable of str, optional
            Which boxes; by default all but the rejected. Proposals count when their score and size pass
            the filter; the choice of `set_shown_states` is for the eye only.
        """
        self.reconcile()
        return self._table.detections(plane, states)

    def approved(self, plane: tuple[int, ...] = ()) -> Detections:
        """Return the boxes of a plane that a person has accepted, changed or made: what a model learns from."""
        return self.detections(plane, ("accepted", "edited", "added"))

    def by_plane(
        self, states: Iterable[str], *, hidden: bool = False, also: Iterable[tuple[int, ...]] = ()
    ) -> dict[tuple[int, ...], Detections]:
        """Return the boxes in some states of every plane that has any, and of those that are named.

        Boxes that the filter hides are among them if asked for.
        """
        self.reconcile()
        return self._table.by_plane(states, hidden=hidden, also=also)

    def shown(self, plane: tuple[int, ...] | None = None) -> dict[int, Box]:
        """Return the boxes to be seen by id, of one plane or of all."""
        self.reconcile()
        return dict(self._table.shown(plane).items())

    def number_of_guesses(self, plane: tuple[int, ...] | None = None) -> int:
        """Count the proposals to be seen, of one plane or of all."""
        self.reconcile()
        return len(self._table.guesses(plane))

    @property
    def not_drawn(self) -> int:
        """How many boxes to be seen are not shapes of the layer, because napari would stand still."""
        self.reconcile()
        return int(np.count_nonzero(self._table.showing())) - len(self._drawn)

    def least_certain(self, plane: tuple[int, ...], after: int | None = None, step: int = 1) -> int | None:
        """Return the proposal in the layer with the next lowest score on a plane, or None at the end.

        Parameters
        ----------
        plane : tuple of int
            Index of the plane.
        after : int, optional
            Id of the box to go on from; by default from the lowest score.
        step : int
            1 for the next, -1 for the one before.
        """
        self.reconcile()
        table = self._table.boxes
        rows = table.rows(self._table.guesses(plane))
        scores, ids = np.nan_to_num(table.scores[rows]), table.ids[rows]
        start = table.get(after) if after is not None else None
        if after is None or start is None or start.plane != plane:
            if step < 0:
                return None
            ahead = np.ones(len(rows), bool)
        else:
            score = start.score or 0.0
            further = (scores > score) if step > 0 else (scores < score)
            ahead = further | ((scores == score) & ((ids > after) if step > 0 else (ids < after)))
        order = np.lexsort((ids[ahead], scores[ahead]))
        return int(ids[ahead][order[0 if step > 0 else -1]]) if len(order) else None
