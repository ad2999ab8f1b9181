"""The dock with small pictures of all boxes of a layer, in which many are judged at a glance."""

from __future__ import annotations

from html import escape
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QLabel, QMenu, QPushButton, QSizePolicy

from napari_localize.core.arrange import SURE_FIRST, arrange, strangeness, unlikeness
from napari_localize.core.boxes import BoxRows
from napari_localize.core.errors import UserError
from napari_localize.core.steps import Step
from napari_localize.engine.client import shared_engine
from napari_localize.plugin.boxes import BoxLayer, box_layer
from napari_localize.plugin.crops import Crops, channels_shown, images_shown
from napari_localize.plugin.describing import Described, Question
from napari_localize.plugin.keeping import keeper_of
from napari_localize.plugin.teaching import MODEL
from napari_localize.widgets._boxes_picker import BoxesPicker
from napari_localize.widgets._gallery_filter import ALIKE, STRANGE, GalleryFilter, quiet
from napari_localize.widgets._gallery_model import GalleryModel
from napari_localize.widgets._gallery_view import GalleryView
from napari_localize.widgets._jobs import JobRunner
from napari_localize.widgets._memory import preference
from napari_localize.widgets._parts import CancelButton, Dock, ProgressRow, button, hint, number, row, say
from napari_localize.widgets._view import plane_counts, plane_in_view, show_box

NO_BOXES = (
    "There are no boxes to look at yet. Run a model in <b>Localize</b>, open an annotation file, "
    "or make a layer of boxes in <b>Review</b>."
)
NO_IMAGE = "The image of these boxes is not open, so there are no pictures of them; open it."
_SELECT_MS, _LOOK_MS = 30, 120
_MOST_SELECTED = 200
"""So many boxes are selected in the layer at most: napari draws each with handles."""

_LOOKS = ("contrast_limits", "gamma", "colormap", "opacity", "visible", "blending", "data")


class GalleryWidget(Dock):
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
        self._jobs.news.connect(self._on_news)
        self._jobs.finished.connect(self._on_described)
        self._jobs.failed.connect(self._on_failed)
        self._jobs.cancelled.connect(self._on_cancelled)
        self._jobs.busy_changed.connect(self._show_busy)

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

    @property
    def busy(self) -> bool:
        """Whether the engine looks at the boxes."""
        return self._jobs.busy

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
        rows = self.filter.wanted(self._here(boxes)).rows(boxes.table)
        chosen, current = self._selected_ids(), self._current_id()
        self.model.set_boxes(boxes.table, rows[ordering(rows)])
        self._select_ids(chosen, current)
        self._show_state()

    def _ask(self, boxes: BoxLayer, order: str) -> None:
        """Have the engine look at the boxes of which it is not known yet how they look."""
        self._jobs.abandon()
        self._examples = self._selected_ids()
        if order == ALIKE and not self._examples:
            say(self.status, "Select one or more boxes; then those that look like them come first.")
            self.filter.set_order(SURE_FIRST)
            self.refresh()
            return
        rows = self.filter.wanted(self._here(boxes)).rows(boxes.table)
        examples = (boxes.get(key) for key in self._examples)
        planes = rows.used_planes() | {box.plane for box in examples if box is not None}
        try:
            question = self._described.question(boxes, self._viewer.layers, planes)
        except UserError as error:
            say(self.status, escape(str(error)))
            self.filter.set_order(SURE_FIRST)
            self.refresh()
            return
        if not question.planes:
            self._put_by_look(boxes)
            return
        self._question = question
        device = str(preference("engine", "device", "auto"))
        count = sum(map(len, question.boxes))
        say(self.status, f"Looking at {number(count, 'box', 'boxes')} ...")
        self._jobs.start(
            lambda on_event: shared_engine().describe(
                question.planes, question.keys, question.boxes, MODEL, device=device, on_event=on_event
            )
        )

    def _put_by_look(self, boxes: BoxLayer) -> None:
        examples, alike = self._examples, self.filter.order.currentText() == ALIKE

        def ordering(rows: BoxRows) -> NDArray[np.int64]:
            # An example that the filter leaves out is one nevertheless.
            ids = np.concatenate([rows.ids, np.setdiff1d(examples, rows.ids).astype(np.int64)])
            known, features = self._described.features(ids)
            distance = np.full(len(ids), np.inf)
            there = np.flatnonzero(np.isin(ids[known], examples)).tolist()
            if alike and there:
                distance[known] = unlikeness(features, there)
            elif not alike:
                distance[known] = -strangeness(features)
            return np.lexsort((ids[: len(rows)], distance[: len(rows)]))

        self._put(boxes, ordering)
        self.view.scrollToTop()
        what = f"like {number(len(examples), 'selected box', 'selected boxes')}" if alike else "unlike most"
        say(self.status, f"Those {what} come first.")

    def sort_by_likeness(self) -> None:
        """Put those first that look like the selected ones."""
        self.filter.set_order(ALIKE)
        self.refresh()

    def cancel(self) -> None:
        """Stop looking; the order stays as it is."""
        if self.busy:
            self.cancel_button.setEnabled(False)
            self.progress.stopping()
            self._jobs.cancel()

    def _show_busy(self, busy: bool) -> None:
        self.cancel_button.setVisible(busy)
        self.cancel_button.setEnabled(busy)
        if busy:
            self.progress.begin()
        else:
            self.progress.hide()

    def _on_news(self, news: dict[str, Any]) -> None:
        if news.get("event") == "progress":
            self.progress.update_to(news["done"], news["total"])
        elif news.get("event") in ("queued", "starting"):
            say(self.status, escape(str(news["text"])))

    def _on_described(self, answer: Any) -> None:
        boxes, question = self._boxes, self._question
        if boxes is not None and boxes.alive and question is not None:
            self._described.learn(question, answer)
            self._put_by_look(boxes)

    def _on_failed(self, text: str) -> None:
        self.filter.set_order(SURE_FIRST)
        self.refresh()
        say(self.status, escape(text))

    def _on_cancelled(self) -> None:
        say(self.status, "Cancelled; the order is as it was.")

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

    # Selection

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

    def _to_crops(self) -> None:
        self.view.setFocus(Qt.FocusReason.OtherFocusReason)

    def show_on_image(self) -> None:
        """Bring the current box into the middle of the canvas."""
        boxes, key = self._boxes, self._current_id()
        if boxes is None or key is None:
            return
        self._viewer.layers.selection.active = boxes.layer
        show_box(self._viewer, boxes, key)
        self._plane = self._here(boxes)
        self._push_selection()

    # Judging: each is one step

    def accept(self) -> None:
        """Accept the selected boxes and go to the next."""
        if self._boxes is not None:
            self._judge("Accepted", self._boxes.accept)

    def reject(self) -> None:
        """Reject the selected boxes and go to the next."""
        if self._boxes is not None:
            self._judge("Rejected", self._boxes.reject)

    def _judge(self, word: str, action: Any) -> None:
        rows = self.view.selected_rows()
        if not rows:
            say(self.status, "Select boxes first: click one, drag around several, or use the arrow keys.")
            return
        ids = [self.model.key(at) for at in rows]
        unjudged = ~self.model.judged()
        unjudged[rows] = False
        after = np.flatnonzero(unjudged)
        # The next below; at the end those that were passed over.
        later = after[after > rows[-1]]
        following = later[0] if len(later) else after[0] if len(after) else None
        key = None if following is None else self.model.key(int(following))
        self._act(action, ids)
        self.model.saw(ids)
        if key is not None:
            self._select_ids([key], key)
        if self.filter.hide_judged.isChecked():
            self._hide_judged()
        self._push_soon.start()
        say(self.status, f"{word} {number(len(ids), 'box', 'boxes')}.")
        self._show_state()

    def accept_all(self) -> None:
        """Accept all guesses in the gallery."""
        self._judge_guesses("accept", self.model.guesses())

    def reject_all(self) -> None:
        """Reject all guesses in the gallery."""
        self._judge_guesses("reject", self.model.guesses())

    def accept_to_here(self) -> None:
        """Accept all guesses down to the current one."""
        guesses, at = self.model.guesses(), self.view.current_row
        guesses[at + 1 :] = False
        self._judge_guesses("accept", guesses)

    def _judge_guesses(self, verb: str, which: NDArray[np.bool_]) -> None:
        boxes, ids = self._boxes, self.model.ids[which].tolist()
        if boxes is None or not ids:
            say(self.status, "There are no guesses here to judge.")
            return
        self._act(boxes.accept if verb == "accept" else boxes.reject, ids)
        say(self.status, f"{verb.capitalize()}ed {number(len(ids), 'guess', 'guesses')}; one Undo takes it back.")

    def _act(self, action: Any, ids: list[int]) -> None:
        self._acting = True
        try:
            action(ids)
        finally:
            self._acting = False
        self._show_state()

    def _give_class(self, name: str) -> None:
        boxes, ids = self._boxes, self._selected_ids()
        if boxes is None or not ids:
            say(self.status, "Select boxes first: click one, drag around several, or use the arrow keys.")
            return
        self._act(lambda chosen: boxes.set_class(chosen, name), ids)
        say(self.status, f"{number(len(ids), 'box is', 'boxes are')} {escape(name)} now.")

    def _class_picked(self, action: Any) -> None:
        self._give_class(str(action.data()))

    def _class_key(self, digit: int) -> None:
        names = [] if self._boxes is None else list(self._boxes.classes)
        if digit <= len(names):
            self._give_class(names[digit - 1])

    def undo(self) -> None:
        """Take the last step back."""
        if self._boxes is not None:
            self._boxes.undo()

    def redo(self) -> None:
        """Take the step again that was taken back."""
        if self._boxes is not None:
            self._boxes.redo()

    # What is said

    def _show_state(self) -> None:
        boxes = self._boxes
        self.view.viewport().update()
        there = boxes is not None
        self.filter.setVisible(there)
        self.view.setVisible(there)
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
