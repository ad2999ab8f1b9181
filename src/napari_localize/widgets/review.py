"""The dock in which a person corrects what a model has found."""

from __future__ import annotations

from html import escape
from math import inf, prod
from typing import Any

from app_model.types import KeyCode, KeyMod
from napari.layers import Image
from qtpy.QtCore import QTimer
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QLabel, QShortcut, QVBoxLayout, QWidget

from napari_localize.core.errors import UserError
from napari_localize.core.points import POINT_SIZE
from napari_localize.core.steps import Step
from napari_localize.plugin.areas import AreaPen, areas_on, tints_of
from napari_localize.plugin.boxes import BoxLayer, box_layer
from napari_localize.plugin.keeping import keeper_of
from napari_localize.plugin.layers import new_box_layer
from napari_localize.plugin.mirror import in_use
from napari_localize.plugin.pairs import lay_on_images, pair
from napari_localize.plugin.window import show_plane, windows_of
from napari_localize.widgets._area_actions import AreaActions
from napari_localize.widgets._areas import AreaBar
from napari_localize.widgets._boxes_picker import BoxesPicker
from napari_localize.widgets._classes import ClassTable
from napari_localize.widgets._dock import Dock, warn
from napari_localize.widgets._judge import JudgeBar, StateBar, no_guesses
from napari_localize.widgets._keys import LayerKeys
from napari_localize.widgets._many import ABOVE, BELOW, IN_VIEW, ON_PLANE, ManyBar
from napari_localize.widgets._parts import button, hint, line, row, say, shown_key
from napari_localize.widgets._planes import PlaneBar, neighbour, number_of
from napari_localize.widgets._queue import QueueBar
from napari_localize.widgets._queue_actions import QueueActions
from napari_localize.widgets._teach import TeachBar
from napari_localize.widgets._view import LineWidths, plane_counts, plane_in_view, show_box

NO_BOXES = (
    "There are no boxes to review yet. Run a model in <b>Localize</b>, open an annotation file, "
    "or make a new layer and draw boxes, or click points."
)
_CLOCK_MS = 400
NO_IMAGE = "Open an image first: File &gt; Open, File &gt; Open Sample, or drag a file onto the window."


class ReviewWidget(AreaActions, QueueActions, Dock):
    """Choose a layer of boxes and go through it: accept, reject, reclass, draw, finish plane by plane."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self._boxes: BoxLayer | None = None
        self._queued: int | None = None
        self._plane: tuple[int, ...] | None = None
        self.picker = BoxesPicker(self._viewer)
        self.planes = PlaneBar()
        self.areas = AreaBar()
        self._pen = AreaPen(self._viewer)
        self.classes = ClassTable()
        self.judge = JudgeBar()
        self.queue = QueueBar(self._viewer)
        self.many = ManyBar()
        self.teach = TeachBar(self._viewer)
        self.states = StateBar()
        self._widths = LineWidths(self._viewer, self)
        windows_of(self._viewer)
        tints_of(self._viewer)
        self._keeper = keeper_of(self._viewer)
        self._clock = QTimer(self)
        self._clock.setInterval(_CLOCK_MS)
        self._clock.timeout.connect(self._show_saved)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(0)
        self._later.timeout.connect(self._refresh)
        self._build()
        self._connect()
        self._keys = LayerKeys(
            {
                KeyCode.KeyQ: self.accept,
                KeyCode.KeyW: self.reject,
                KeyCode.KeyN: self.next_guess,
                KeyMod.Shift | KeyCode.KeyN: self.previous_guess,
                KeyCode.KeyJ: self.go_back,
                KeyCode.KeyK: self.go_on,
                KeyMod.CtrlCmd | KeyCode.Enter: self.toggle_finished,
                KeyCode.KeyU: self.finish_area,
                KeyMod.Shift | KeyCode.KeyU: self.ignore_area,
                KeyMod.Shift | KeyCode.KeyT: self.take_back_area,
                KeyMod.Shift | KeyCode.KeyY: self.teach.toggle,
                KeyMod.Shift | KeyCode.KeyC: self.add_class,
                KeyMod.Shift | KeyCode.KeyX: self.remove_class,
                **self.queue.keys(),
                **self.many.keys(),
                **self.states.keys(),
            }
        )
        self.open()

    def _build(self) -> None:
        self._empty: QLabel = hint()
        self.new_button = button(
            "New layer of boxes", "Make an empty layer of boxes on the image.", self.new_boxes, "Shift+B", self
        )
        self.points_button = button(
            "New layer of points", "Make an empty layer of points on the image.", self.new_points, "Shift+M", self
        )
        self.add_button = button("+ class   ⇧C", "Add a class. Key: Shift+C.", self.add_class)
        self.remove_button = button(
            "- class   ⇧X", "Remove the selected class, if it has no boxes. Key: Shift+X.", self.remove_class
        )
        undo, redo = (shown_key(key) for key in ("Ctrl+Z", "Ctrl+Shift+Z"))
        self.undo_button = button(f"Undo   {undo}", "Take the last step back.", self.undo)
        self.redo_button = button(f"Redo   {redo}", "Take the step again that was taken back last.", self.redo)
        self._undo_tips = (
            f"Take back: {{}}. Key: {undo}.",
            f"Do again: {{}}. Key: {redo}.",
        )
        self.saved: QLabel = hint()
        self.status: QLabel = hint()
        self._body = QWidget()
        body = QVBoxLayout(self._body)
        body.setContentsMargins(0, 0, 0, 0)
        body.addWidget(self.planes)
        body.addWidget(self.areas)
        body.addWidget(line())
        body.addWidget(self.classes)
        body.addLayout(row(self.add_button, self.remove_button))
        body.addWidget(line())
        body.addWidget(self.judge)
        body.addWidget(self.queue)
        body.addWidget(self.many)
        body.addWidget(self.teach)
        body.addWidget(line())
        body.addWidget(self.states)
        body.addWidget(line())
        body.addLayout(row(self.undo_button, self.redo_button))
        body.addWidget(self.saved)
        body.addWidget(self.status)
        for part in (self.picker, self._empty, self.new_button, self.points_button, self._body):
            self.column.addWidget(part)
        self.column.addStretch(1)
        self.setMinimumWidth(300)

    def _connect(self) -> None:
        self.picker.changed.connect(self._layer_changed)
        self.planes.step.connect(self._go)
        self.planes.finish.connect(self.toggle_finished)
        self.areas.draw.connect(self._draw_area)
        self.areas.taken_back.connect(self._take_back)
        self._pen.changed.connect(self._soon)
        self._pen.refused.connect(self._say)
        self.destroyed.connect(self._pen.abandon)
        self.classes.chosen.connect(self._choose_class)
        self.classes.renamed.connect(self._rename_class)
        self.classes.recolored.connect(self._recolor_class)
        self.judge.accept.clicked.connect(self.accept)
        self.judge.reject.clicked.connect(self.reject)
        self.judge.delete.clicked.connect(self.delete)
        self.judge.draw.clicked.connect(self.draw)
        self.judge.next.clicked.connect(self.next_guess)
        self.judge.back.clicked.connect(self.previous_guess)
        self.queue.unhidden.connect(self._states_unhidden)
        self.queue.go.toggled.connect(self.judge.show_walk)
        self.many.asked.connect(self._judge_many)
        self.many.opened.connect(self._count_many)
        self.judge.class_picked.connect(self._give_class)
        self.states.changed.connect(self._show_states)
        for number in range(9):
            # napari drops Shift from keys that are not letters, so these cannot be bound to the layer.
            shortcut = QShortcut(QKeySequence(f"Shift+{number + 1}"), self)
            shortcut.setProperty("number", number)
            shortcut.activated.connect(self._class_key)
            shortcut.activatedAmbiguously.connect(self._class_key)

    # Following the viewer and the layer

    def connect_viewer(self) -> None:
        """Begin to follow the viewer."""
        self._viewer.dims.events.current_step.connect(self._soon)
        self._viewer.layers.events.inserted.connect(self._soon)
        self._viewer.layers.events.removed.connect(self._soon)
        self.picker.connect_viewer()
        self._widths.start()
        self._clock.start()
        self._refresh()

    def disconnect_viewer(self) -> None:
        """Let go of the viewer, the layer and its keys."""
        self.picker.disconnect_viewer()
        self._pen.stop()
        self._let_go()
        self._later.stop()
        self._widths.stop()
        self._clock.stop()
        self._viewer.dims.events.current_step.disconnect(self._soon)
        self._viewer.layers.events.inserted.disconnect(self._soon)
        self._viewer.layers.events.removed.disconnect(self._soon)

    def _show_saved(self) -> None:
        """Say whether all changes are on disk."""
        text = "" if self._boxes is None else escape(self._keeper.state_of(self._boxes.layer))
        if text != self.saved.text():
            say(self.saved, text)

    def showEvent(self, event: Any) -> None:
        # Another dock on the same layer may have taken the keys.
        if self._boxes is not None:
            self._keys.bind(self._boxes.layer)
        super().showEvent(event)

    @property
    def boxes(self) -> BoxLayer | None:
        """The boxes under review."""
        return self._boxes

    def _layer_changed(self) -> None:
        self._let_go()
        layer = self.picker.layer
        if layer is not None:
            self._boxes = boxes = box_layer(layer)
            boxes.changed.connect(self._soon)
            boxes.selection_changed.connect(self._soon)
            boxes.drawn_changed.connect(self._soon)
            boxes.stepped.connect(self._on_step)
            layer.events.mode.connect(self._soon)
            self._keys.bind(layer)
            self.states.set_shown(boxes.shown_states)
            self.teach.set_boxes(boxes)
            self.queue.set_boxes(boxes)
        self._refresh()

    def _let_go(self) -> None:
        boxes, self._boxes, self._queued, self._plane = self._boxes, None, None, None
        self._keys.release()
        self.teach.set_boxes(None)
        self.queue.set_boxes(None)
        if boxes is not None and boxes.alive:
            boxes.changed.disconnect(self._soon)
            boxes.selection_changed.disconnect(self._soon)
            boxes.drawn_changed.disconnect(self._soon)
            boxes.stepped.disconnect(self._on_step)
            boxes.layer.events.mode.disconnect(self._soon)

    def _soon(self, event: Any = None) -> None:
        self._later.start()

    def _refresh(self) -> None:
        boxes = self._boxes
        lay_on_images(self._viewer.layers)
        self._widths.apply()
        self._body.setVisible(boxes is not None)
        image = self._image()
        say(self._empty, "" if boxes is not None else NO_IMAGE if image is None else NO_BOXES)
        to_begin = boxes is None and image is not None
        for widget in (self.new_button, self.points_button):
            widget.setVisible(to_begin)
            # The key of a hidden button would still work.
            widget.setEnabled(to_begin)
        if boxes is None:
            return
        here, planes = self._here(boxes), plane_counts(self._viewer, boxes)
        if self._plane is not None and here != self._plane:
            # Guesses of other planes are not to be replaced just because somebody looks at them.
            self.teach.stop()
        if here != self._plane and not in_use(boxes.layer):
            # napari keeps boxes selected that are no longer in view, and its own keys would act on them.
            self._plane = here
            boxes.select(self._selected(boxes))
        self.planes.show_plane(
            number_of(planes, here) + 1, prod(planes), here in boxes.finished, self._summary(boxes, prod(planes))
        )
        self.classes.show_classes(boxes.classes, boxes.counts(here), boxes.next_class)
        chosen = [box for box in map(boxes.get, self._selected(boxes)) if box is not None]
        guesses = boxes.number_of_guesses(here)
        drawing = str(boxes.layer.mode) == boxes.draw_mode
        self.judge.show_boxes(chosen, boxes.classes, guesses, drawing, boxes.points)
        self.judge.show_walk(self.queue.on)
        self.queue.refresh()
        self.many.allow(guesses)
        self.states.show_counts(boxes.by_state(here))
        self.areas.show_areas(areas_on(boxes, here), self._pen.kind, boxes.reviewed(here))
        texts = (boxes.undo_text, boxes.redo_text)
        for widget, text, tip in zip((self.undo_button, self.redo_button), texts, self._undo_tips, strict=True):
            widget.setEnabled(text is not None)
            widget.setToolTip(tip.format(text or "nothing"))

    def _summary(self, boxes: BoxLayer, planes: int) -> str:
        parts, what = [], "points" if boxes.points else "boxes"
        if planes > 1:
            number = sum(count.shown for count in boxes.counts().values())
            parts.append(f"{number} {what} on all planes, {len(boxes.finished)} of {planes} planes finished")
        if missing := boxes.not_drawn:
            number = len(boxes.drawn)
            parts.append(
                f"{number:,} of {number + missing:,} {what} can be edited now, the others are dots: zoom in on them"
            )
        return "<br>".join(parts)

    def _image(self) -> Image | None:
        active = self._viewer.layers.selection.active
        images = [layer for layer in self._viewer.layers if isinstance(layer, Image)]
        return active if active in images else images[-1] if images else None

    def _here(self, boxes: BoxLayer) -> tuple[int, ...]:
        return plane_in_view(self._viewer, boxes.layer)

    def _selected(self, boxes: BoxLayer) -> list[int]:
        """Return the ids of the selected boxes on the plane in view."""
        return boxes.selected_on(self._here(boxes))

    # What the buttons and keys do

    def new_boxes(self) -> None:
        """Make an empty layer of boxes on the image."""
        self._new_layer(None)

    def new_points(self) -> None:
        """Make an empty layer of points on the image; a click adds one."""
        self._new_layer(POINT_SIZE)

    def _new_layer(self, point_size: float | None) -> None:
        image = self._image()
        if image is None:
            warn("There is no image to draw on: open one first.", self)
            return
        try:
            layer = new_box_layer(image, point_size=point_size)
        except UserError as error:
            warn(str(error), self)
            return
        pair(layer, image)
        self._viewer.add_layer(layer)
        self.picker.choose(layer)

    def accept(self) -> None:
        """Accept the selected boxes."""
        if self._boxes is not None:
            self._judge(self._boxes.accept)

    def reject(self) -> None:
        """Reject the selected boxes."""
        if self._boxes is not None:
            self._judge(self._boxes.reject)

    def delete(self) -> None:
        """Delete the selected boxes."""
        if self._boxes is not None:
            self._boxes.delete(self._selected(self._boxes))

    def _judge(self, action: Any) -> None:
        boxes = self._boxes
        if boxes is None:
            return
        ids = self._selected(boxes)
        if not ids:
            say(self.status, "Select boxes first: click one, or press N.")
            return
        action(ids)
        self._go_on(ids)

    def _many(self, boxes: BoxLayer, which: str) -> Any:
        """Return the ids of the guesses that one of the menus speaks of."""
        here, score = self._here(boxes), self.many.score.value()
        if which == IN_VIEW:
            return boxes.guesses_in_view()
        if which == ABOVE:
            return boxes.guesses_by_score(here, score)
        return boxes.guesses_by_score(here, below=score if which == BELOW else inf)

    def _count_many(self) -> None:
        boxes = self._boxes
        if boxes is not None:
            kinds = (IN_VIEW, ON_PLANE, ABOVE, BELOW)
            self.many.show_counts({which: len(self._many(boxes, which)) for which in kinds})

    def _judge_many(self, verb: str, which: str) -> None:
        boxes = self._boxes
        if boxes is None:
            return
        ids = self._many(boxes, which)
        (boxes.accept if verb == "accept" else boxes.reject)(ids)
        done = (
            f"{verb.capitalize()}ed {len(ids):,} guess{'es' * (len(ids) != 1)}" if len(ids) else "There are no guesses"
        )
        say(self.status, f"{done} {self.many.words(which)}.")

    def draw(self) -> None:
        """Switch drawing on, or back to selecting."""
        boxes = self._boxes
        if boxes is not None:
            self._viewer.layers.selection.active = boxes.layer
            boxes.layer.mode = "select" if str(boxes.layer.mode) == boxes.draw_mode else boxes.draw_mode
            self._refresh()

    def _guess(self, step: int) -> None:
        boxes = self._boxes
        if boxes is None:
            return
        selected = boxes.selected_ids
        after = self._queued if self._queued is not None and (not selected or selected == [self._queued]) else None
        if after is None and len(selected) == 1:
            after = selected[0]
        key = boxes.least_certain(self._here(boxes), after, step)
        if key is None and step > 0:
            # Those with lower scores that were passed over come round again.
            key = boxes.least_certain(self._here(boxes))
        self._queued = key
        if key is None:
            if step > 0:
                boxes.select([])
            say(self.status, no_guesses(boxes) if step > 0 else "This is the first guess.")
            return
        say(self.status, "")
        if str(boxes.layer.mode) != "select":
            boxes.layer.mode = "select"
        self._viewer.layers.selection.active = boxes.layer
        boxes.select([key])
        show_box(self._viewer, boxes, key)

    def toggle_finished(self) -> None:
        """Finish this plane, or take it back into work."""
        boxes = self._boxes
        if boxes is not None:
            here = self._here(boxes)
            try:
                (boxes.unfinish if here in boxes.finished else boxes.finish)(here)
            except UserError as error:
                warn(str(error), self)
            self._refresh()

    def _say(self, text: str) -> None:
        say(self.status, text)

    def go_back(self) -> None:
        """Go to the plane before."""
        self._go(-1)

    def go_on(self) -> None:
        """Go to the next plane."""
        self._go(1)

    def _go(self, step: int) -> None:
        boxes = self._boxes
        if boxes is not None:
            plane = neighbour(plane_counts(self._viewer, boxes), self._here(boxes), step)
            if plane is not None:
                show_plane(self._viewer, boxes.layer, plane)

    def undo(self) -> None:
        """Take the last edit back."""
        if self._boxes is not None:
            self._boxes.undo()

    def redo(self) -> None:
        """Make the edit again that was taken back last."""
        if self._boxes is not None:
            self._boxes.redo()

    def _on_step(self, step: Step, word: str) -> None:
        boxes = self._boxes
        if boxes is None:
            return
        say(self.status, f"{word}: {step.text}")
        if step.planes and self._here(boxes) not in step.planes:
            # What has changed must be seen.
            show_plane(self._viewer, boxes.layer, min(step.planes))
        self.queue.on_step(step, word)

    def _show_states(self) -> None:
        if self._boxes is not None:
            self._boxes.set_shown_states(self.states.shown)
