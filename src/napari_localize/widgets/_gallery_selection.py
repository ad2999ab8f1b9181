"""What the gallery does with the selection: it goes by the ids of boxes, and follows that of the layer and is followed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.widgets._view import show_box

if TYPE_CHECKING:
    from qtpy.QtCore import QTimer

    from napari_localize.plugin.boxes import BoxLayer
    from napari_localize.widgets._gallery_model import GalleryModel
    from napari_localize.widgets._gallery_view import GalleryView

_MOST_SELECTED = 200
"""So many boxes are selected in the layer at most: napari draws each with handles."""


class GallerySelection:
    """The part of the gallery that knows which boxes are selected."""

    model: GalleryModel
    view: GalleryView
    _acting: bool
    _boxes: BoxLayer | None
    _plane: tuple[int, ...] | None
    _push_soon: QTimer
    _selecting: bool
    _viewer: Any
    _here: Any
    _show_counts: Any

    def _selected_ids(self) -> list[int]:
        return [self.model.key(at) for at in self.view.selected_rows()]

    def _current_id(self) -> int | None:
        at = self.view.current_row
        return self.model.key(at) if 0 <= at < self.model.rowCount() else None

    def _select_ids(self, ids: list[int], current: int | None = None) -> None:
        rows = [at for at in map(self.model.row, ids) if at is not None]
        at = None if current is None else self.model.row(current)
        self._selecting = True
        self.view.select_rows(rows, at if at is not None else rows[0] if rows else None)
        self._selecting = False

    def _selected(self) -> None:
        if not self._selecting:
            self._push_soon.start()
        self._show_counts()

    def _selectable(self, boxes: BoxLayer) -> list[int]:
        """Return the selected boxes that the layer can show as selected: those to be seen on the plane in view."""
        ids = np.array(self._selected_ids(), np.int64)
        if not len(ids) or len(ids) > _MOST_SELECTED:
            return []
        table = boxes.table
        rows = table.boxes.rows(ids)
        seen = table.showing(self._here(boxes))[rows]
        return [int(key) for key in table.boxes.ids[rows[seen]]]

    def _push_selection(self) -> None:
        """Select in the layer what is selected here."""
        boxes = self._boxes
        if boxes is None or not boxes.alive:
            return
        wanted = self._selectable(boxes)
        self._selecting = True
        if set(wanted) != set(boxes.selected_ids):
            boxes.select(wanted)
        self._selecting = False

    def _layer_selected(self) -> None:
        """Select here what a person has selected in the layer."""
        boxes = self._boxes
        if self._selecting or self._acting or self._push_soon.isActive() or boxes is None:
            return
        if self._here(boxes) != self._plane:
            return  # the sliders have moved, and with them what is selected
        chosen = boxes.selected_on(self._here(boxes))
        if set(chosen) != set(self._selectable(boxes)) and (chosen or len(self._selected_ids()) <= _MOST_SELECTED):
            self._select_ids(chosen)
            self._show_counts()

    def show_on_image(self) -> None:
        """Bring the current box into the middle of the canvas."""
        boxes, key = self._boxes, self._current_id()
        if boxes is None or key is None:
            return
        self._viewer.layers.selection.active = boxes.layer
        show_box(self._viewer, boxes, key)
        self._plane = self._here(boxes)
        self._push_selection()
