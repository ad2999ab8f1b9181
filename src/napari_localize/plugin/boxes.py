"""A Shapes layer of boxes, or a Points layer, under control: the whole table, what is shown of it, undo, and every way to edit."""

from __future__ import annotations

import math
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np
from app_model.types import KeyCode, KeyMod
from napari.utils.notifications import show_warning
from psygnal import Signal

from napari_localize.core.boxes import BoxRows
from napari_localize.core.detections import STATES, Detections
from napari_localize.core.errors import UserError
from napari_localize.core.points import POINT_SIZE
from napari_localize.core.steps import Area, Areas, Journal, Step
from napari_localize.core.table import BoxTable
from napari_localize.core.window import View, choose
from napari_localize.plugin.layers import METADATA, MOST_POINTS, MOST_SHAPES
from napari_localize.plugin.mirror import (
    Kept,
    drawn_class,
    editor_of,
    save_metadata,
    set_defaults,
    take_over,
    write_rows,
)
from napari_localize.plugin.reading import BoxReading
from napari_localize.plugin.rows import Rows, find_edit
from napari_localize.plugin.timer import single_shot
from napari_localize.plugin.whole import give_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from napari.layers import Points, Shapes
    from numpy.typing import NDArray

    from napari_localize.core.table import Region

_DEBOUNCE_MS = 15
_UNDO_KEYS = (KeyMod.CtrlCmd | KeyCode.KeyZ, KeyMod.CtrlCmd | KeyMod.Shift | KeyCode.KeyZ)

_controllers: weakref.WeakKeyDictionary[Shapes | Points, BoxLayer] = weakref.WeakKeyDictionary()


def box_layer(layer: Shapes | Points) -> BoxLayer:
    """Return the controller of a layer; the first call for a layer takes charge of it."""
    controller = _controllers.get(layer)
    if controller is None:
        controller = _controllers[layer] = BoxLayer(layer)
    return controller


class BoxLayer(BoxReading):
    """The boxes of one Shapes layer or the points of one Points layer, 2-D or with planes along leading axes.

    A point is a box of a nominal size, that of the point in napari.
    The layer shows those boxes that pass the filter, of very many those in view; this object knows all.
    Whatever a person does with napari's tools is found by comparing the layer with the table, shortly after any event or when
    `reconcile` is called, and becomes one step that can be undone. Get it by `box_layer(layer)`.

    A plane is given by its index, a tuple of ints along the leading axes: ``()`` in a 2-D layer.
    """

    changed = Signal()
    """Boxes, classes, finished planes, the filter or the history are no longer what they were."""
    selection_changed = Signal()
    """Other boxes are selected."""
    drawn_changed = Signal()
    """Other boxes are shapes of the layer."""
    stepped = Signal(Step, str)
    """A step was taken back ("Undid ...") or again ("Redid ...")."""

    def __init__(self, layer: Shapes | Points) -> None:
        self._layer = weakref.ref(layer)
        self._editor = editor_of(layer)
        self._line_width = 2.0
        self._next_class = ""
        self._dirty = False
        self._applying = False
        self._timer: Any = None
        self._view = None
        self._pinned: set[int] = set()
        self.revision = 0
        """Rises whenever `changed` is emitted."""
        self._drawn = np.zeros(0, np.int64)
        rows = self._editor.read(layer)
        self._table, ids = take_over(layer.metadata.get(METADATA, {}), rows)
        self._set_kind(self._table)
        self._kept = Kept(self._table, self._drawn)
        self._last = rows
        self._write(rows, ids)
        for name in self._editor.changes:
            getattr(layer.events, name).connect(self._on_event)
        layer.selected_data.events.items_changed.connect(self._on_selection)
        _bind_undo(layer)
        give_whole(layer, self._whole)

    @property
    def points(self) -> bool:
        """Whether the objects are points of a Points layer."""
        return self._editor.draw_mode == "add"

    @property
    def draw_mode(self) -> str:
        """Mode of the layer in which a person adds objects."""
        return self._editor.draw_mode

    @property
    def layer(self) -> Shapes | Points:
        """The layer; it is not kept alive by this object."""
        layer = self._layer()
        if layer is None:
            raise ReferenceError("the layer of these boxes is gone")
        return layer

    @property
    def alive(self) -> bool:
        """Whether the layer is still there."""
        return self._layer() is not None

    # Selection

    @property
    def selected_ids(self) -> list[int]:
        """Ids of the selected boxes."""
        self.reconcile()
        ids = self._last.ids
        return [ids[row] for row in sorted(self.layer.selected_data) if row < len(ids)]

    def selected_on(self, plane: tuple[int, ...]) -> list[int]:
        """Return the ids of the selected boxes that lie on a plane."""
        boxes = ((key, self._table.boxes.get(key)) for key in self.selected_ids)
        return [key for key, box in boxes if box is not None and box.plane == plane]

    def select(self, ids: Iterable[int]) -> None:
        """Select boxes that are shown; those that are no shapes yet become some."""
        self.reconcile()
        wanted = set(ids)
        if not wanted <= set(self._last.ids):
            self._pinned = wanted
            self._sync()
        rows = {row for row, key in enumerate(self._last.ids) if key in wanted}
        if rows != set(self.layer.selected_data):
            self.layer.selected_data = rows

    # Editing: each call is one step that can be undone

    def accept(self, ids: Iterable[int]) -> None:
        """Accept boxes."""
        self.reconcile()
        self._commit(self._table.accept(ids))

    def reject(self, ids: Iterable[int]) -> None:
        """Reject boxes: those of a model are kept, hidden, as knowledge; those of a person go."""
        self.reconcile()
        self._commit(self._table.reject(ids))

    def delete(self, ids: Iterable[int]) -> None:
        """Delete boxes; a box of a model stays known as rejected until it is deleted again."""
        self.reconcile()
        self._commit(self._table.delete(ids))

    def set_class(self, ids: Iterable[int], label: str) -> None:
        """Give boxes another class."""
        self.reconcile()
        self._commit(self._table.set_class(ids, label))

    def set_areas(self, areas: Areas, text: str) -> None:
        """Declare rectangles finished, or to be left out."""
        self.reconcile()
        self._commit(self._table.edit(text, areas=areas))

    def finish_area(self, plane: tuple[int, ...], xyxy: tuple[float, float, float, float]) -> None:
        """Declare that everything in a rectangle is right: the guesses to be seen there are accepted.

        Raises
        ------
        UserError
            When the image has no such plane.
        """
        self._check_plane(plane)
        self.reconcile()
        put = self._table.accepting(self._guesses_in(plane, (xyxy,)))
        self._commit(self._table.edit("finish an area", put, areas=self.areas | {Area(plane, xyxy, "reviewed")}))

    def ignore_area(self, plane: tuple[int, ...], xyxy: tuple[float, float, float, float]) -> None:
        """Declare that a rectangle is of no concern; its boxes stay as they are.

        Raises
        ------
        UserError
            When the image has no such plane.
        """
        self._check_plane(plane)
        self.set_areas(self.areas | {Area(plane, xyxy, "ignored")}, "ignore an area")

    def remove_area(self, area: Area) -> None:
        """Take an area back; its boxes stay as they are."""
        self.set_areas(self.areas - {area}, "take an area back")

    def finish(self, plane: tuple[int, ...]) -> None:
        """Declare that everything on a plane is right: the guesses to be seen there are accepted.

        Raises
        ------
        UserError
            When the image has no such plane.
        """
        self._check_plane(plane)
        self.reconcile()
        put = self._table.accepting(self._guesses_in(plane, None))
        self._commit(self._table.edit("finish the plane", put, finished=self.finished | {plane}))

    def unfinish(self, plane: tuple[int, ...]) -> None:
        """Take a plane back into work; its boxes stay as they are."""
        self.reconcile()
        self._commit(self._table.edit("take the plane back into work", finished=self.finished - {plane}))

    def add_class(self, name: str, color: str | None = None) -> None:
        """Add a class; raises UserError when the name is empty or taken."""
        self.reconcile()
        self._commit(self._table.add_class(name, color))

    def rename_class(self, old: str, new: str) -> None:
        """Rename a class and with it its boxes; raises UserError when the name is empty or taken."""
        self.reconcile()
        following = self.next_class == old
        self._commit(self._table.rename_class(old, new))
        if following:
            self.next_class = new.strip()

    def follow_rename(self, old: str, new: str) -> None:
        """Take over the new name that a class of the same project got by another image; this is no step."""
        self.reconcile()
        following = self.next_class == old
        self._table.follow_rename(old, new)
        if following:
            self._next_class = new
            set_defaults(self.layer, new)
        self._sync()
        self._announce()

    def recolor_class(self, name: str, color: str) -> None:
        """Give a class another colour, ``#RRGGBB``."""
        self.reconcile()
        self._commit(self._table.recolor_class(name, color))

    def remove_class(self, name: str) -> None:
        """Remove a class; raises UserError when it has boxes or is the only one."""
        self.reconcile()
        self._commit(self._table.remove_class(name))

    @property
    def next_class(self) -> str:
        """The class that the next drawn box gets."""
        name = drawn_class(self.layer)
        if name is not None:
            self._next_class = name
        return self._next_class if self._next_class in self._table.classes else next(iter(self._table.classes))

    @next_class.setter
    def next_class(self, name: str) -> None:
        if name not in self._table.classes:
            raise UserError(f"there is no class {name!r}; add it first.")
        self._next_class = name
        set_defaults(self.layer, name)
        self._announce()

    def undo(self) -> Step | None:
        """Take the last step back; None when there is none."""
        return self._step(self._table.undo, "Undid")

    def redo(self) -> Step | None:
        """Take the step again that was taken back last; None when there is none."""
        return self._step(self._table.redo, "Redid")

    def _step(self, move: Any, word: str) -> Step | None:
        self.reconcile()
        step: Step | None = move()
        if step is not None:
            self._commit(step)
            self.stepped.emit(step, word)
        return step

    # The model and the filter

    def set_proposals(
        self,
        proposals: Mapping[tuple[int, ...], Detections],
        origin: str,
        *,
        replace: bool = True,
        region: Region | None = None,
    ) -> int:
        """Show what a model has found, and return how many of its boxes a person has judged already.

        The parameters are those of `core.table.BoxTable.propose`.
        """
        self.reconcile()
        left_out = self._table.propose(proposals, origin, replace=replace, region=region)
        self._sync()
        self._announce()
        return left_out

    def set_filter(self, min_score: float = 0.0, diameter_range: tuple[float, float] = (0.0, math.inf)) -> None:
        """Show only proposals with so high a score and a diameter (pixels) in the range; nothing is lost."""
        self.reconcile()
        if (min_score, diameter_range) == self.filter:
            return
        self._table.min_score, self._table.diameter_range = min_score, diameter_range
        self._sync()
        self._announce()

    def set_shown_states(self, states: Iterable[str]) -> None:
        """Show only boxes in these states."""
        self.reconcile()
        self._table.shown_states = frozenset(states) & frozenset(STATES)
        self._sync()
        self._announce()

    @property
    def line_width(self) -> float:
        """Width of the edges in data pixels."""
        return self._line_width

    @line_width.setter
    def line_width(self, width: float) -> None:
        self._line_width = width
        self._editor.set_line_width(self.layer, self._last.states, width)

    @property
    def journal(self) -> Journal | None:
        """Where the boxes are kept besides in the layer."""
        return self._table.journal

    def keep(self, journal: Journal) -> None:
        """Have a journal note all boxes, and whatever happens to them from now on."""
        self.reconcile()
        old, new = self._table.keep(journal)
        number = dict(zip(old.tolist(), new.tolist(), strict=True))
        self._last.ids = [number.get(key, key) for key in self._last.ids]
        self._pinned.clear()
        self._sync()
        self._announce()

    def show_table(self, table: BoxTable) -> None:
        """Show the boxes of a table instead of those that there are, which are not touched by that."""
        table.min_score, table.diameter_range = self._table.min_score, self._table.diameter_range
        table.shown_states = self._table.shown_states
        self._set_kind(table)
        self._table = table
        self._kept = Kept(table, self._drawn)
        self._sync()
        self._announce()

    def look_at(self, view: View | None) -> None:
        """Make shapes of the boxes where a person looks; needed only when they are too many for all to be shapes."""
        if view == self._view:
            return
        moved = view is None or self._view is None or view.plane != self._view.plane
        self._view = view
        if moved:
            self._pinned.clear()
        if self.not_drawn or len(self._drawn) > self._most:
            self._sync()

    @property
    def _most(self) -> int:
        return MOST_POINTS if self.points else MOST_SHAPES

    def _set_kind(self, table: BoxTable) -> None:
        if self.points and table.point_size is None:
            table.point_size = float(self.layer.current_size) or POINT_SIZE

    # Keeping the layer and the table in step

    def reconcile(self) -> None:
        """Find out now what a person or another plugin has done to the layer."""
        layer = self.layer
        if not self._dirty or self._editor.in_use(layer):
            return
        rows = self._editor.read(layer)
        planes = self.image_info.get("planes") or ()
        edit = find_edit(rows, self._last, self._table, self.next_class, self._editor.click_side(layer), planes)
        put, removed = self._table.deleting(edit.gone)
        changes = BoxRows.concatenate([BoxRows.from_boxes(edit.changes), put])
        step = self._table.edit(edit.text, changes, removed)
        self._write(rows, edit.ids)
        self._dirty = False
        if step is not None:
            self._announce()
        if edit.outside:
            what = self._table.counted(edit.outside)
            show_warning(
                f"Not kept: {what} where the image of {layer.name!r} has no plane; move the sliders onto it first."
            )

    def close(self) -> None:
        """Let go of the layer: it stays as it is, and later edits are no longer followed."""
        layer = self.layer
        for name in self._editor.changes:
            getattr(layer.events, name).disconnect(self._on_event)
        layer.selected_data.events.items_changed.disconnect(self._on_selection)
        for key in _UNDO_KEYS:
            layer.bind_key(key, None)
        if self._timer is not None:
            self._timer.stop()
        del layer.as_layer_data_tuple
        _controllers.pop(layer, None)

    def _whole(self) -> tuple[BoxTable, NDArray[np.int64]]:
        self.reconcile()
        return self._table, self._drawn

    def _commit(self, step: Step | None) -> None:
        if step is not None:
            self._sync()
            self._announce()

    def _announce(self) -> None:
        self.revision += 1
        self.changed.emit()

    def _on_event(self) -> None:
        if not self._applying:
            self._dirty = True
            self._wake()

    def _on_selection(self) -> None:
        if self._applying:
            return
        if self.points:
            # napari tells nobody of points that were pasted, and takes the features of those selected for the next.
            self._dirty = self._dirty or len(self.layer.data) != len(self._last)
            self._wake()
        self.selection_changed.emit()

    def _wake(self) -> None:
        """Reconcile when the event loop comes round; without one, the next call of any method does."""
        if self._timer is None:
            self._timer = single_shot(self._on_timer)
        if self._timer is not None and not self._timer.isActive():
            self._timer.start(_DEBOUNCE_MS)

    def _on_timer(self) -> None:
        layer = self._layer()
        if layer is not None and self._editor.in_use(layer):
            self._wake()
        elif layer is not None:
            self.reconcile()
            set_defaults(layer, self.next_class)

    def _sync(self) -> None:
        """Make the layer show what the table says, as soon as no box is being dragged or drawn."""
        layer = self.layer
        if self._editor.in_use(layer):
            self._dirty = True
            self._wake()
        else:
            self._write(self._editor.read(layer), list(self._last.ids))

    def _write(self, rows: Rows, ids: list[int]) -> None:
        layer, table, next_class = self.layer, self._table, self.next_class
        chosen = [ids[row] for row in layer.selected_data if row < len(ids)]
        pinned = np.array(sorted(self._pinned.union(chosen)), np.int64)
        drawn = choose(table, self._view, self._most, pinned, self._drawn)
        wanted = dict(table.boxes.take(table.boxes.rows(drawn)).items())
        self._applying = True
        try:
            write_rows(layer, rows, ids, wanted, table.classes, self._line_width, next_class, self._last)
            self._last = self._editor.read(layer)
        finally:
            self._applying = False
        different = not np.array_equal(drawn, self._drawn)
        self._drawn = self._kept.drawn = drawn
        save_metadata(layer, table, self._kept)
        if different:
            self.drawn_changed.emit()


def _bind_undo(layer: Shapes | Points) -> None:
    for key, action in zip(_UNDO_KEYS, (_undo, _redo), strict=True):
        layer.bind_key(key, action, overwrite=True)


def _undo(layer: Shapes | Points) -> None:
    """Take back the last change of a box."""
    box_layer(layer).undo()


def _redo(layer: Shapes | Points) -> None:
    """Make the change again that was taken back."""
    box_layer(layer).redo()
