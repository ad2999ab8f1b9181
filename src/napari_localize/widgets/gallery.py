"""The dock with small pictures of all boxes of a layer, in which many are judged at a glance."""

from __future__ import annotations

from html import escape
from math import prod
from typing import Any

import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QLabel, QMenu, QPushButton, QSizePolicy, QWidget

from napari_localize.core.arrange import SURE_FIRST, arrange
from napari_localize.core.boxes import BoxRows
from napari_localize.core.errors import UserError
from napari_localize.core.steps import Step
from napari_localize.plugin.boxes import BoxLayer, box_layer
from napari_localize.plugin.crops import Crops, channels_shown, images_shown
from napari_localize.plugin.describing import Described, Question
from napari_localize.plugin.keeping import keeper_of
from napari_localize.widgets._boxes_picker import BoxesPicker
from napari_localize.widgets._dock import Dock
from napari_localize.widgets._gallery_actions import GalleryActions
from napari_localize.widgets._gallery_filter import ALIKE, STRANGE, GalleryFilter, quiet
from napari_localize.widgets._gallery_likeness import GalleryLikeness
from napari_localize.widgets._gallery_model import GalleryModel
from napari_localize.widgets._gallery_selection import GallerySelection
from napari_localize.widgets._gallery_view import GalleryView
from napari_localize.widgets._jobs import JobRunner
from napari_localize.widgets._parts import CancelButton, ProgressRow, button, hint, number, row, say
from napari_localize.widgets._view import plane_counts, plane_in_view

NO_BOXES = (
    "There are no boxes to look at yet. Run a model in <b>Localize</b>, open an annotation file, "
    "or make a layer of boxes in <b>Review</b>."
)
NO_IMAGE = "The image of these boxes is not open, so there are no pictures of them; open it."
_SELECT_MS, _LOOK_MS = 30, 120
_LOOKS = ("contrast_limits", "gamma", "colormap", "opacity", "visible", "blending", "data")


class GalleryWidget(GalleryActions, GalleryLikeness, GallerySelection, Dock):
    """Look at crops of all boxes of a layer side by side, and accept, reject and reclass them by key."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self._boxes: BoxLayer | None = None
        self._plane: tuple[int, ...] | None = None
        self._acting = self._selecting = False
        self._images: list[Any] = []
        self._described = Described()
        self._question: Question | None = None
        self._examples: list[int] = []
        self._order = SURE_FIRST
        self._jobs = JobRunner(self)
        self.crops = Crops()
        self.picker = BoxesPicker(self._viewer)
        self.filter = GalleryFilter()
        self.model = GalleryModel(self)
        self.model.side = self.filter.size.value()
        keeper_of(self._viewer)
        self.view = GalleryView(
            self.crops,
            self.model,
            {
                "Q": self.accept,
                "W": self.reject,
                "Shift+Q": self.accept_all,
                "Shift+W": self.reject_all,
                "Shift+E": self.accept_to_here,
                "Return": self.show_on_image,
                "Enter": self.show_on_image,
                "L": self.sort_by_likeness,
                "R": self.refresh,
                "H": self.toggle_hiding,
                "+": self.filter.larger,
                "=": self.filter.larger,
                "-": self.filter.smaller,
                "Ctrl+Z": self.undo,
                "Ctrl+Shift+Z": self.redo,
            },
        )
        self._push_soon = self._timer(_SELECT_MS, self._push_selection)
        self._look_soon = self._timer(_LOOK_MS, self._look)
        self._later = self._timer(0, self._follow)
        self._build()
        self._connect()
        self.open()

    def _timer(self, milliseconds: int, slot: Any) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(True)
        timer.setInterval(milliseconds)
        timer.timeout.connect(slot)
        return timer

    def _build(self) -> None:
        self.empty: QLabel = hint()
        self.counts: QLabel = hint()
        self.status: QLabel = hint()
        self.progress = ProgressRow()
        self.cancel_button = CancelButton("Stop looking; the order stays as it is.", self.cancel)
        self.cancel_button.hide()
        self.accept_button = button("Accept   Q", "The selected boxes are right. Key: Q.", self.accept)
        self.reject_button = button("Reject   W", "The selected boxes are wrong. Key: W.", self.reject)
        self.accept_all_button = button(
            "Accept all   ⇧Q", "Accept all guesses in the gallery, as one step. Key: Shift+Q.", self.accept_all
        )
        self.reject_all_button = button(
            "Reject all   ⇧W", "Reject all guesses in the gallery, as one step. Key: Shift+W.", self.reject_all
        )
        self.to_here_button = button(
            "Accept to here   ⇧E",
            "Accept all guesses from the first to the selected one, as one step. Key: Shift+E.",
            self.accept_to_here,
        )
        self.class_button = QPushButton("Class   ⇧1-9")
        self.class_button.setToolTip("Give the selected boxes another class. Keys: Shift+1 to Shift+9.")
        self.class_button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._menu = QMenu(self)
        self._menu.triggered.connect(self._class_picked)
        self.class_button.setMenu(self._menu)
        self.alike_button = button(
            "Alike   L", "Put those first that look like the selected ones. Key: L.", self.sort_by_likeness
        )
        self.show_button = button(
            "On the image   ↵",
            "Go to the selected box on the image; a double click does, too. Key: Return.",
            self.show_on_image,
        )
        self.undo_button = button("Undo   Ctrl+Z", "Take the last step back. Key: Ctrl+Z.", self.undo)
        self.redo_button = button("Redo   Ctrl+⇧+Z", "Take the step again. Key: Ctrl+Shift+Z.", self.redo)
        pairs = (
            (self.accept_button, self.reject_button),
            (self.accept_all_button, self.reject_all_button),
            (self.to_here_button, self.class_button),
            (self.alike_button, self.show_button),
            (self.undo_button, self.redo_button),
        )
        for part in (self.picker, self.empty, self.filter, self.progress, self.cancel_button):
            self.column.addWidget(part)
        self.column.addWidget(self.view, 1)
        self._room = QWidget()  # below what is said where there are no pictures
        self.column.addWidget(self._room, 1)
        self.column.addWidget(self.counts)
        self.column.addWidget(self.status)
        for pair in pairs:
            self.column.addLayout(row(*(quiet(widget) for widget in pair)))
        self._buttons = [widget for pair in pairs for widget in pair]
        self.setMinimumWidth(300)

    def _connect(self) -> None:
        self.picker.changed.connect(self._layer_changed)
        self.filter.changed.connect(self.refresh)
        self.filter.again.connect(self.refresh)
        self.filter.sized.connect(self.view.set_side)
        self.filter.hidden.connect(self._hide_judged)
        self.filter.used.connect(self._to_crops)
        self.view.selectionModel().selectionChanged.connect(self._selected)
        self.view.selectionModel().currentChanged.connect(self._selected)
        self.view.shown.connect(self.show_on_image)
        self.view.class_key.connect(self._class_key)
        self._connect_likeness()

    # Following the viewer and the layer

    def connect_viewer(self) -> None:
        """Begin to follow the viewer."""
        self._viewer.dims.events.current_step.connect(self._moved)
        for name in ("inserted", "removed", "reordered"):
            getattr(self._viewer.layers.events, name).connect(self._look_later)
        self.picker.connect_viewer()
        if self._boxes is None:  # no layer, or the one from before, of which the picker does not tell
            self._layer_changed()

    def disconnect_viewer(self) -> None:
        """Let go of the viewer and the layer, and stop whatever is running."""
        self.picker.disconnect_viewer()
        self._jobs.abandon()
        self._let_go()
        self._let_images_go()
        for timer in (self._push_soon, self._look_soon, self._later):
            timer.stop()
        self.view.stop()
        self.crops.close()
        self._viewer.dims.events.current_step.disconnect(self._moved)
        for name in ("inserted", "removed", "reordered"):
            getattr(self._viewer.layers.events, name).disconnect(self._look_later)

    @property
    def boxes(self) -> BoxLayer | None:
        """The boxes that are looked at."""
        return self._boxes

    def _layer_changed(self) -> None:
        self._jobs.abandon()
        self._let_go()
        self._described = Described()
        layer = self.picker.layer
        if layer is not None:
            self._boxes = boxes = box_layer(layer)
            boxes.changed.connect(self._changed)
            boxes.selection_changed.connect(self._layer_selected)
            boxes.stepped.connect(self._on_step)
            self._plane = self._here(boxes)
        say(self.status, "")
        self._look()
        self.refresh()

    def _let_go(self) -> None:
        boxes, self._boxes = self._boxes, None
        if boxes is not None and boxes.alive:
            boxes.changed.disconnect(self._changed)
            boxes.selection_changed.disconnect(self._layer_selected)
            boxes.stepped.disconnect(self._on_step)

    def _let_images_go(self) -> None:
        for image in self._images:
            for name in _LOOKS:
                getattr(image.events, name).disconnect(self._look_later)
        self._images = []

    def _look_later(self, event: Any = None) -> None:
        self._look_soon.start()

    def _look(self) -> None:
        """Let the crops look as the image does now."""
        self._let_images_go()
        boxes = self._boxes
        layers = list(self._viewer.layers)
        channels = []
        if boxes is not None and boxes.alive:
            # Hidden ones, too: they may be shown again.
            self._images = [layer for layer in layers if type(layer).__name__ == "Image"]
            for image in self._images:
                for name in _LOOKS:
                    getattr(image.events, name).connect(self._look_later)
            try:
                channels = channels_shown(boxes, layers, self._viewer.dims.current_step)
            except UserError as error:
                say(self.status, escape(str(error)))
        self.crops.show(channels)
        self._show_empty()
        self.view.viewport().update()

    def _moved(self, event: Any = None) -> None:
        boxes = self._boxes
        if boxes is None or not boxes.alive:
            return
        images = images_shown(boxes, self._viewer.layers)
        if images and images[0].ndim > boxes.layer.ndim:
            self._look_soon.start()  # perhaps another channel
        self._later.start()

    def _follow(self) -> None:
        """Follow the sliders."""
        boxes = self._boxes
        if boxes is None or not boxes.alive:
            return
        here, before = self._here(boxes), self._plane
        self._plane = here
        if here != before:
            if self.filter.this_plane:
                self.refresh()
            # What goes to a box on another plane, such as the queue, has selected it there before the sliders moved.
            if boxes.selected_on(here):
                self._layer_selected()
            else:
                self._push_selection()

    def _here(self, boxes: BoxLayer) -> tuple[int, ...]:
        return plane_in_view(self._viewer, boxes.layer)

    # Which boxes, in which order

    def refresh(self) -> None:
        """Choose the boxes and put them into order; those selected stay so."""
        boxes = self._boxes
        if boxes is None:
            self.model.set_boxes(None, BoxRows.empty())
            self._show_state()
            return
        self.filter.show_classes(list(boxes.classes))
        order = self.filter.order.currentText()
        if order in (ALIKE, STRANGE):
            self._ask(boxes, order)
        else:
            self._jobs.abandon()
            self._put(boxes, lambda rows: arrange(rows, order, list(boxes.classes)))

    def _put(self, boxes: BoxLayer, ordering: Any) -> None:
        self._order = self.filter.order.currentText()
        rows = self.filter.wanted(self._here(boxes)).rows(boxes.table)
        chosen, current = self._selected_ids(), self._current_id()
        self.model.set_boxes(boxes.table, rows[ordering(rows)])
        self._select_ids(chosen, current)
        self._show_state()

    # What happens to the boxes

    def _changed(self) -> None:
        """Show what has become of the boxes, each in its place."""
        boxes = self._boxes
        if boxes is None:
            return
        self.filter.show_classes(list(boxes.classes))
        chosen, current, at = self._selected_ids(), self._current_id(), self.view.verticalScrollBar().value()
        moved = self.model.follow(boxes.table, keep_gone=self._acting)
        if self.filter.hide_judged.isChecked():
            moved = self._drop_judged() or moved
        rows = self.filter.wanted(self._here(boxes)).rows(boxes.table)
        new = rows[~np.isin(rows.ids, self.model.ids)]
        if not len(self.model.ids) or len(new) > len(self.model.ids):
            self.refresh()
            return
        if len(new):
            order = self.filter.order.currentText()
            # How they look is not known yet: those at the end are in the order of their scores.
            plain = SURE_FIRST if order in (ALIKE, STRANGE) else order
            self.model.append(new[arrange(new, plain, list(boxes.classes))])
        if moved:
            self._select_ids(chosen, current)
            self.view.doItemsLayout()
            self.view.verticalScrollBar().setValue(at)
        self._show_state()

    def toggle_hiding(self) -> None:
        """Let judged boxes go from the gallery at once, or stay, grey."""
        self.filter.hide_judged.toggle()

    def _hide_judged(self) -> None:
        if self.filter.hide_judged.isChecked() and self._boxes is not None:
            chosen, current = self._selected_ids(), self._current_id()
            self._drop_judged()
            self._select_ids(chosen, current)
        self._show_state()

    def _drop_judged(self) -> bool:
        judged = self.model.judged()
        if judged.any():
            self.model.keep(~judged)
        return bool(judged.any())

    def _on_step(self, step: Step, word: str) -> None:
        self.model.forget_seen()
        say(self.status, escape(f"{word}: {step.text}."))
        self._show_state()

    def _to_crops(self) -> None:
        self.view.setFocus(Qt.FocusReason.OtherFocusReason)

    # What is said

    def _show_state(self) -> None:
        boxes = self._boxes
        self.view.viewport().update()
        there = boxes is not None
        self.filter.setVisible(there)
        self.view.setVisible(there)
        self._room.setVisible(not there)
        for widget in self._buttons:
            widget.setVisible(there)
        self._show_empty()
        if boxes is None:
            say(self.counts, "")
            return
        self.view.delegate.colors = classes = boxes.classes
        self.filter.show_counts(
            boxes.by_state(self._plane if self.filter.this_plane else None), self._has_planes(boxes)
        )
        self.undo_button.setEnabled(boxes.undo_text is not None)
        self.redo_button.setEnabled(boxes.redo_text is not None)
        if [action.data() for action in self._menu.actions()] != list(classes):
            self._menu.clear()
            for at, name in enumerate(classes):
                action = self._menu.addAction(name if at > 8 else f"{name}\t⇧{at + 1}")
                if action is not None:
                    action.setData(name)
        self._show_counts()

    def _has_planes(self, boxes: BoxLayer) -> bool:
        return prod(plane_counts(self._viewer, boxes)) > 1

    def _show_counts(self) -> None:
        if self._boxes is None:
            return
        guesses, chosen = int(self.model.guesses().sum()), len(self.view.selected_rows())
        total = self.model.rowCount()
        what = f"<b>{number(guesses, 'guess', 'guesses')}</b>"
        if total != guesses:
            what += f" of {number(total, 'box', 'boxes')}"
        say(self.counts, f"{what}, {chosen:,} selected; Q accepts, W rejects." if total else "")
        for widget in (self.accept_button, self.reject_button, self.class_button, self.alike_button, self.show_button):
            widget.setEnabled(chosen > 0)
        for widget in (self.accept_all_button, self.reject_all_button):
            widget.setEnabled(guesses > 0)
        self.to_here_button.setEnabled(guesses > 0 and chosen > 0)

    def _show_empty(self) -> None:
        boxes = self._boxes
        if boxes is None or not boxes.alive:
            text = NO_BOXES
        elif not len(boxes):
            text = "This layer has no boxes yet: run a model in <b>Localize</b>, or draw some in <b>Review</b>."
        elif not self.model.rowCount():
            text = "No box is of this kind. Show other states with the buttons below, or open <b>Which boxes</b>."
        elif not images_shown(boxes, self._viewer.layers):
            text = NO_IMAGE
        elif self.crops.problem:
            text = f"The pixels could not be read: {escape(self.crops.problem)}"
        else:
            text = ""
        if text != self.empty.text():
            say(self.empty, text)
