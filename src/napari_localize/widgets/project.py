"""The dock that shows the images and planes of a project, how far they are, and opens them."""

from __future__ import annotations

from html import escape
from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QLabel, QLineEdit, QOpenGLWidget

from napari_localize.core.errors import UserError
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.keeping import keeper_of
from napari_localize.plugin.layers import view_index
from napari_localize.plugin.opening import layer_of, open_images, open_in
from napari_localize.plugin.recovery import left_behind
from napari_localize.plugin.standing import image_now, planes_now
from napari_localize.plugin.window import windows_of
from napari_localize.project import ProjectImage, ProjectPlane
from napari_localize.widgets._dock import Dock
from napari_localize.widgets._jobs import JobRunner
from napari_localize.widgets._memory import remember, remembered
from napari_localize.widgets._parts import CancelButton, ProgressRow, button, combo, hint, row, say, shown_key
from napari_localize.widgets._project_actions import ProjectActions, Task
from napari_localize.widgets._project_header import RELINK_KEY, ProjectHeader
from napari_localize.widgets._project_model import FILTERS, Entry, ProjectModel, image_of
from napari_localize.widgets._project_ranking import Ranking
from napari_localize.widgets._project_rows import EntryList
from napari_localize.widgets._project_thumbnails import Thumbnails
from napari_localize.widgets._view import LineWidths

NEXT_KEY, FILES_KEY, FOLDER_KEY = "Ctrl+Shift+N", "Ctrl+Shift+A", "Ctrl+Shift+F"

_CLOCK_MS = 400
_REPLACE = "project_replace"
_USEFUL = "project_useful"


class ProjectWidget(Dock):
    """The images of the project that is open, else of the boxes that were kept without one."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        windows_of(self._viewer)
        self._keeper = keeper_of(self._viewer)
        self.tasks = ProjectActions(self._viewer, self._keeper, self)
        self.thumbnails = Thumbnails(self)
        self.model = ProjectModel(self.thumbnails.problems, self)
        self.list = EntryList(self.model, self.thumbnails)
        self._widths = LineWidths(self._viewer, self)
        self._shown: tuple[Any, ...] = ()
        self._seen: dict[int, int] = {}
        self._refused: ProjectImage | None = None
        self._look = JobRunner(self)
        self._ranking = Ranking(self)
        self._clock = QTimer(self)
        self._clock.setInterval(_CLOCK_MS)
        self._clock.timeout.connect(self.follow)
        self._build()
        self._connect()
        self.open()

    def _build(self) -> None:
        self.head = ProjectHeader(self.tasks, self.remove_chosen, self)
        self.files_button = button("+ files", "Add image files.", self.tasks.add_files, FILES_KEY, self)
        self.folder_button = button(
            "+ folder", "Add all images in a folder and the folders in it.", self.tasks.add_folder, FOLDER_KEY, self
        )
        self.pattern = QLineEdit()
        self.pattern.setPlaceholderText("+ pattern, such as plate/**/*_w1.tif")
        self.pattern.setToolTip("Adds the images that a pattern means, relative to the folder used last. Key: Enter.")
        self.search = QLineEdit()
        self.search.setPlaceholderText("search")
        self.search.setClearButtonEnabled(True)
        self.search.setToolTip("Show only images with this text in their names.")
        self.status_choice = combo("Show only images and planes with this status.", FILTERS)
        self.open_button = button("Open  ⏎", "Show the selected image with its boxes. Key: Enter.", self.open_chosen)
        self.next_button = button(
            "Next unfinished", "Open the next plane that is not finished.", self.next_unfinished, NEXT_KEY, self
        )
        self.useful_choice = QCheckBox("most useful first")
        self.useful_choice.setToolTip(
            "Go to the planes first where a model is in doubt about most boxes, and to every fifth by lot; "
            "else in the order of the list. Run a model on the whole project in Localize before."
        )
        self.useful_choice.setChecked(remembered(_USEFUL, "no") == "yes")
        self.replace_choice = QCheckBox("replace the last")
        self.replace_choice.setToolTip(
            "Close the image that was opened here before; else it stays in the layer list. Its boxes are on disk anyway."
        )
        self.replace_choice.setChecked(remembered(_REPLACE, "yes") == "yes")
        self.progress = ProgressRow()
        self.cancel_button = CancelButton("Stop; nothing of it stays.", self.tasks.cancel)
        self.cancel_button.hide()
        self.message: QLabel = hint()
        # The key is that of the menu.
        self.relink_button = button(
            f"Relink ...   {shown_key(RELINK_KEY)}", "Look for missing images in a folder.", self.tasks.relink
        )
        self.changed_button = button(
            "Use the changed file", "Keep the boxes and go on with the file as it is now.", self._take_changed
        )
        self.column.addWidget(self.head)
        self.column.addLayout(row(self.files_button, self.folder_button))
        self.column.addWidget(self.pattern)
        self.column.addLayout(row(self.search, self.status_choice))
        self.column.addWidget(self.list, 1)
        for widget in (self.progress, self.cancel_button, self.message):
            self.column.addWidget(widget)
        self.column.addLayout(row(self.relink_button, self.changed_button))
        self.column.addWidget(self.next_button)
        self.column.addWidget(self.useful_choice)
        self.column.addLayout(row(self.open_button, self.replace_choice))
        self.setMinimumSize(300, 340)

    def _connect(self) -> None:
        self.tasks.said.connect(self._say)
        self.tasks.progressed.connect(self._on_progress)
        self.tasks.busy_changed.connect(self._busy_changed)
        self.tasks.recovered.connect(self._look_for_left)
        self._look.finished.connect(self.head.show_left)
        self.thumbnails.ready.connect(self.model.touch)
        self.list.opened.connect(self.open_entry)
        self.list.unfolded.connect(self._unfold)
        self.list.dropped.connect(self.tasks.take)
        self.list.remove.connect(self.remove_chosen)
        self.search.textChanged.connect(self._filter)
        self.status_choice.currentIndexChanged.connect(self._filter)
        self.pattern.returnPressed.connect(self._add_pattern)
        self.replace_choice.toggled.connect(self._remember_choice)
        self.useful_choice.toggled.connect(self._remember_useful)
        self._ranking.ready.connect(self._open_ranked)
        self._ranking.failed.connect(self._say)

    # Following the viewer and the project

    def connect_viewer(self) -> None:
        """Begin to follow the viewer."""
        self._widths.start()
        self._clock.start()
        self._keeper.project_changed.connect(self._project_changed)
        self._keeper.image_stored.connect(self._image_stored)
        self.refresh()
        self._look_for_left()

    def disconnect_viewer(self) -> None:
        """Let go of the viewer and stop whatever is running."""
        self._clock.stop()
        self._keeper.project_changed.disconnect(self._project_changed)
        self._keeper.image_stored.disconnect(self._image_stored)
        self._widths.stop()
        self._look.abandon()
        self._ranking.abandon()
        self.tasks.abandon()
        self.thumbnails.forget()

    def _project_changed(self) -> None:
        self._ranking.abandon()
        self.refresh()

    def _image_stored(self, image: ProjectImage) -> None:
        if image.project is self.tasks.project:
            self.model.update_image(image, self._planes(image) if self.model.is_unfolded(image) else None)

    def refresh(self) -> None:
        """Read the images of the project again."""
        project, before = self.tasks.project, self._shown
        self._shown = self._state()
        if before[:1] != (project,):
            self.thumbnails.forget()
            self._refused = None
            say(self.message, "")
        images: list[ProjectImage] = []
        try:
            if project is not None:
                images = project.images()
                self.list.delegate.colors = dict(project.classes)
        except UserError as error:
            self._say(str(error))
        if self._refused is not None:
            self._refused = next((image for image in images if image.id == self._refused.id), None)
        self.thumbnails.look_again()
        chosen = self.list.chosen
        self._seen.clear()
        self.model.show_images(images)
        self.follow()
        if chosen:
            self.list.choose(chosen[0])
        self._show_state()

    def _state(self) -> tuple[Any, ...]:
        """Return what the list has to be read again for when it changes."""
        project = self.tasks.project
        loose = self._keeper.images(project) if project is not None and project is self._keeper.unnamed else []
        return project, project and project.path, len(loose)

    def follow(self) -> None:
        """Show what has happened to the images that are open."""
        project = self.tasks.project
        if self._state() != self._shown:
            self.refresh()
            return
        if project is None:
            return
        news = False
        for layer, image in open_images(self._viewer, project):
            boxes = box_layer(layer)
            if self._seen.get(image.id) == boxes.revision:
                continue
            self._seen[image.id] = boxes.revision
            news = True
            now = image_now(image, boxes.table)
            self.list.delegate.colors = dict(boxes.table.classes)
            self.model.update_image(now, planes_now(now, boxes.table) if self.model.is_unfolded(image) else None)
        self._mark_current()
        if news:
            self._show_state()

    def _mark_current(self) -> None:
        current = self.current
        key = None if current is None else (current.image.id, current.index)
        if key != self.list.delegate.current:
            self.list.delegate.current = key
            self.list.viewport().update()

    @property
    def current(self) -> ProjectPlane | None:
        """The plane in view, of the image that is open and selected, or of the last one that is open."""
        project = self.tasks.project
        opened = open_images(self._viewer, project) if project is not None else []
        active = self._viewer.layers.selection.active
        opened.sort(key=lambda each: each[0] is active)
        if not opened:
            return None
        layer, image = opened[-1]
        index = view_index(layer, self._viewer.dims.point)
        return ProjectPlane(image.plane_name(index), image, index, image.status, {})

    def _planes(self, image: ProjectImage) -> list[ProjectPlane]:
        layer = layer_of(self._viewer, image)
        return image.project.planes(image) if layer is None else planes_now(image, box_layer(layer).table)

    def _show_state(self) -> None:
        images = self.model.images
        self.head.show_project(self.tasks.project, images, any_fits=self.model.rowCount() > 0)
        for widget in (self.open_button, self.next_button, self.search, self.status_choice):
            widget.setEnabled(bool(images))
        problem = self._refused.problem() if self._refused is not None else None
        self.relink_button.setVisible(problem is not None and "missing" in problem)
        self.changed_button.setVisible(problem is not None and "changed" in problem)

    # What the buttons and keys do

    def open_chosen(self) -> None:
        """Open the selected entry."""
        chosen = self.list.chosen
        if chosen:
            self.open_entry(chosen[0])
        else:
            self._say("Select an image in the list first.")

    def open_entry(self, entry: Entry) -> None:
        """Show an image with its boxes, a stack at its first plane that is not finished."""
        # What was done last to an image that may be closed now is to be seen in the list, too.
        self.follow()
        if isinstance(entry, ProjectImage) and entry.plane_count > 1:
            planes = self._planes(entry)
            entry = next((plane for plane in planes if plane.status != "finished"), planes[0])
        try:
            layer = open_in(self._viewer, entry, replace=self.replace_choice.isChecked())
        except UserError as error:
            self._refused = image_of(entry)
            self._say(str(error))
            self._show_state()
            return
        self._refused = None
        alone = image_of(entry).path is None and not any(type(each).__name__ == "Image" for each in self._viewer.layers)
        self._say(f"{image_of(entry).name} was never in a file: its boxes are shown without it." if alone else "")
        self._widths.apply()
        self.list.choose(entry)
        self.follow()
        self._show_state()
        canvas = self.window().findChild(QOpenGLWidget)
        if canvas is not None:
            # So that the keys for boxes work at once.
            canvas.setFocus()
        self._viewer.layers.selection.active = layer

    def next_unfinished(self) -> None:
        """Open the next plane that is not finished, in the order of the list or of use."""
        self.follow()
        if self.useful_choice.isChecked():
            self._next_useful()
            return
        chosen = self.list.chosen
        after = self.current or (chosen[0] if chosen else None)
        plane = self.model.next_unfinished(after, self._planes)
        if plane is None:
            self._say("All is finished." if self.model.images else "There are no images yet.")
        else:
            self.open_entry(plane)

    def _next_useful(self) -> None:
        project = self.tasks.project
        images = self.model.searched
        if project is None or not images:
            self._say("There are no images yet.")
        elif not self._ranking.covers(project, images):
            if not self._ranking.busy:
                self._say("Looking for the planes that are most worth finishing ...")
                self._ranking.begin(project, images)
        else:
            self._open_ranked()

    def _open_ranked(self) -> None:
        current = self.current
        here = None if current is None else (current.image.id, current.index)
        by_id = {image.id: image for image in self.model.searched}
        for ranked in self._ranking.rest():
            image = by_id.get(ranked.image)
            planes = [] if image is None else self._planes(image)
            plane = next((each for each in planes if each.index == ranked.index), None)
            if plane is not None and plane.status != "finished" and (ranked.image, ranked.index) != here:
                why = "drawn by lot" if ranked.reason == "lot" else "most to learn from"
                self._say("")
                self.open_entry(plane)
                if not self.message.text():
                    self._say(f"{plane.name}: {why}.")
                return
        self._ranking.forget()
        planes = [] if current is None else self._planes(current.image)
        left = any(here == (plane.image.id, plane.index) and plane.status != "finished" for plane in planes)
        self._say("No other plane is left to finish." if left else "All is finished.")

    def remove_chosen(self) -> None:
        """Ask, and take the selected images out of the project."""
        images = {image_of(entry).id: image_of(entry) for entry in self.list.chosen}
        if images:
            self.tasks.remove(list(images.values()))
        else:
            self._say("Select the images to be removed first.")

    def _take_changed(self) -> None:
        if self._refused is not None:
            image, self._refused = self._refused, None
            self.tasks.take_changed(image)

    def _unfold(self, entry: Entry, unfolded: bool) -> None:
        image = image_of(entry)
        if image.plane_count > 1 and unfolded != self.model.is_unfolded(image):
            self.model.unfold(image, self._planes(image) if unfolded else None)
            self.list.choose(image)

    def _filter(self) -> None:
        self.model.set_filter(self.search.text(), self.status_choice.currentText())
        self._show_state()

    def _add_pattern(self) -> None:
        self.tasks.add_pattern(self.pattern.text())
        self.pattern.clear()

    def _remember_useful(self, useful: bool) -> None:
        remember(_USEFUL, "yes" if useful else "no")

    def _remember_choice(self, replace: bool) -> None:
        remember(_REPLACE, "yes" if replace else "no")

    def _on_progress(self, event: dict[str, int]) -> None:
        self.progress.update_to(event["done"], event["total"])

    def _say(self, text: str) -> None:
        say(self.message, escape(text))

    def _busy_changed(self, busy: bool) -> None:
        self.progress.begin() if busy else self.progress.hide()
        self.cancel_button.setVisible(busy and self.tasks.can_stop)
        self.cancel_button.setEnabled(busy and self.tasks.can_stop)
        if busy:
            self._say("")

    # Boxes of earlier sessions

    def _look_for_left(self) -> None:
        if not self._look.busy:
            self._look.start(lambda on_event: Task(lambda _: left_behind(), on_event))
