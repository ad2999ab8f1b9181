"""Boxes of a viewer on disk: a project in the user's data folder until there is one with a name."""

from __future__ import annotations

import math
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_localize.core.colors import class_colors, renamed_classes
from napari_localize.core.errors import UserError
from napari_localize.models.card import read_card
from napari_localize.models.digest import file_digest
from napari_localize.models.registry import find_model
from napari_localize.plugin.boxes import BoxLayer, box_layer
from napari_localize.plugin.layers import is_box_layer
from napari_localize.plugin.pairs import image_of
from napari_localize.plugin.recovery import looking
from napari_localize.plugin.thresholds import usual_score
from napari_localize.plugin.timer import on_main_thread
from napari_localize.project import Project, ProjectImage, autosave_project
from napari_localize.project.files import fingerprint, measure, stored_path

if TYPE_CHECKING:
    from napari.layers import Image, Shapes

    from napari_localize.core.table import Filter

_keepers: dict[int, Keeper] = {}


def keeper_of(viewer: Any) -> Keeper:
    """Return what keeps the boxes of a viewer; the first call for a viewer starts it."""
    viewer = getattr(viewer, "__wrapped__", viewer)  # napari hands a proxy to the widgets of plugins
    keeper = _keepers.get(id(viewer))
    if keeper is None:
        keeper = _keepers[id(viewer)] = Keeper(viewer)
        weakref.finalize(viewer, _forget, id(viewer))
    return keeper


def _forget(key: int) -> None:
    keeper = _keepers.pop(key, None)
    if keeper is not None:
        keeper.close()


def close_keepers() -> None:
    """Write down what is not on disk yet and let go of all projects."""
    for key in list(_keepers):
        _forget(key)


class Keeper:
    """Writes the boxes of a viewer's layers to disk as they change.

    Boxes that belong to no project go into one in the user's data folder, which is offered again when it was left
    without a name.

    Attributes
    ----------
    saved : datetime or None
        When all changes were on disk last.
    problem : str or None
        Why changes are not on disk.
    project_changed : Signal
        Another project is worked on, or its images or boxes are others without any layer having changed.
    image_stored : Signal
        Boxes of one `ProjectImage` have been stored while much else is still to come.
    """

    project_changed = Signal()
    image_stored = Signal(object)

    def __init__(self, viewer: Any) -> None:
        self._layers = weakref.ref(viewer.layers)
        self._autosave: Project | None = None
        self._project: Project | None = None
        self._images: weakref.WeakKeyDictionary[Shapes, ProjectImage] = weakref.WeakKeyDictionary()
        self._classes: weakref.WeakKeyDictionary[Shapes, dict[str, str]] = weakref.WeakKeyDictionary()
        self._filters: weakref.WeakKeyDictionary[Shapes, Filter] = weakref.WeakKeyDictionary()
        self._unwritten: dict[tuple[Project, int], Filter] = {}
        self._unkept: Project | None = None
        self._aside = ThreadPoolExecutor(1, "notes for the project")
        self.saved: datetime | None = None
        self.problem: str | None = None
        viewer.layers.events.inserted.connect(self._on_inserted)
        for layer in list(viewer.layers):
            self._take(layer)

    @property
    def project(self) -> Project | None:
        """The project that a person has opened."""
        return self._project

    @property
    def unnamed(self) -> Project | None:
        """The project of boxes that belong to none."""
        return self._autosave

    def state_of(self, layer: Shapes) -> str:
        """Say in a few words whether the boxes of a layer are on disk."""
        image = self._images.get(layer)
        reason = None if image is None else image.project.read_only_reason
        if reason:
            return f"not saved: {reason}"
        if self.problem or image is None:
            return self.problem or ""
        if image.project.writer.pending:
            return "saving ..."
        return f"saved {self.saved:%H:%M:%S}" if self.saved else ""

    def open(self, project: Project) -> None:
        """Make a project the one that is worked on.

        Raises
        ------
        UserError
            When the one before cannot be closed; it stays then.
        """
        before = self._project
        if before is not None and before is not project:
            # What is still to be noted of it.
            self._aside.submit(lambda: None).result()
            before.close()
        self._project = project
        if before is not None:
            # Layers that stay are loose from now on.
            for layer in [layer for layer, image in self._images.items() if image.project is before is not project]:
                del self._images[layer]
                if layer in (self._layers() or ()):
                    self._take(layer)
        self.project_changed.emit()

    def save_as(self, path: Path) -> None:
        """Give the boxes that belong to no project one with a name, or copy the project and go on with the copy.

        Where the project could not be changed so far, what was done to its layers goes into the copy. This may be
        called on any thread.

        Raises
        ------
        UserError
            When it cannot be written; nothing changes then.
        """
        project = self._project or self._autosave
        if project is None:
            raise UserError("there are no boxes to save yet; run a model or draw some first.")
        read_only = project.read_only_reason is not None
        project.save_as(path)
        if project is self._autosave:
            self._project, self._autosave = self._autosave, None
        if read_only and project.read_only_reason is None:
            self._unkept = project
            # Not by way of whoever has asked for it, who may be gone by now.
            on_main_thread(self._keep_unkept)

    def _keep_unkept(self) -> None:
        """Put what the layers of a project have by now into it, which could not be changed before."""
        project, self._unkept = self._unkept, None
        for layer in self._layers() or ():
            image = self._images.get(layer)
            if project is None or image is None or image.project is not project:
                continue
            try:
                # The ids and steps on disk are not those of the layer, which has gone on without them.
                image.clear()
                box_layer(layer).keep(self._journal(image))
            except UserError as error:
                self.problem = f"what was done to {layer.name} is not in {project.path}: {error}"

    def image_of(self, layer: Shapes) -> ProjectImage | None:
        """Return the image of a project that a layer's boxes belong to."""
        return self._images.get(layer)

    def images(self, project: Project) -> list[ProjectImage]:
        """Return those images of a project that layers show, or have shown in this session."""
        return [image for image in list(self._images.values()) if image.project is project]

    def show(self, image: ProjectImage, layer: Shapes) -> str | None:
        """Show the boxes that a project has for an image in a layer that was made for it, and keep them there.

        Returns
        -------
        str or None
            A sentence where the image's file has gone or changed.

        Raises
        ------
        UserError
            When they cannot be read.
        """
        loaded = image.load()
        journal = None if image.project.read_only_reason else self._journal(image)
        table = loaded.table(journal)
        # In a new project nobody has named a class yet.
        table.classes = table.classes or class_colors(["object"])
        # What the layer showed before is nothing that has been renamed.
        if self._images.pop(layer, None) is None:
            box_layer(layer).set_filter(*(loaded.filter or (usual_score(table, image.project), (0.0, math.inf))))
        box_layer(layer).show_table(table)
        self._belongs(layer, image)
        return loaded.warning

    def note_model(self, layer: Shapes, reference: str) -> None:
        """Note in the project of a layer that a model has worked on it; nothing waits for that.

        Parameters
        ----------
        layer : Shapes
            The boxes.
        reference : str
            ``name@version`` of a model that is installed.
        """
        image = self._images.get(layer)
        if image is not None:
            self.note_model_in(image.project, reference)

    def note_model_in(self, project: Project, reference: str) -> None:
        """Note in a project that a model has worked on it; nothing waits for that."""
        if not project.read_only_reason:
            self._aside.submit(self._note_model, project, reference)

    def _note_model(self, project: Project, reference: str) -> None:
        try:
            path = find_model(reference)
            digest = file_digest(path)
            project.add_model(reference, digest, read_card(path).model_dump(mode="json"))
        except (OSError, UserError) as error:
            self.problem = f"the model {reference} is not noted in the project: {error}"

    def close(self) -> None:
        """Write down what is not on disk yet and let go of the projects."""
        self._keep_unkept()
        layers = self._layers()
        if layers is not None:
            layers.events.inserted.disconnect(self._on_inserted)
        # Layers may outlive this, and the viewer.
        self._images.clear()
        self._aside.shutdown()
        for project in (self._autosave, self._project):
            if project is not None:
                with suppress(UserError):
                    project.close()

    def _journal(self, image: ProjectImage) -> Any:
        return image.journal(background=True, on_error=self._on_error, on_saved=self._on_saved)

    def _on_error(self, sentence: str) -> None:
        self.problem = sentence

    def _on_saved(self, when: datetime) -> None:
        self.saved, self.problem = when, None

    def _on_inserted(self, event: Any) -> None:
        self._take(event.value)

    def _take(self, layer: Any) -> None:
        """Keep the boxes of a layer that belongs to no project yet."""
        layers = self._layers()
        if layers is None or not is_box_layer(layer) or layer in self._images:
            return
        boxes = box_layer(layer)
        try:
            if self._autosave is None:
                # Who looks just now for what earlier sessions have left would take a new one for such.
                with looking:
                    self._autosave = autosave_project()
            image = _add(self._autosave, boxes, image_of(layer, layers))
            boxes.keep(self._journal(image))
            self._belongs(layer, image)
            self._note_filter(image, boxes.filter)
        except UserError as error:
            self.problem = f"boxes are not kept on disk: {error}"

    def _belongs(self, layer: Shapes, image: ProjectImage) -> None:
        """Note which image of a project a layer shows."""
        self._images[layer] = image
        boxes = box_layer(layer)
        if layer not in self._classes:
            boxes.changed.connect(partial(self._on_changed, weakref.ref(layer)))
        self._classes[layer], self._filters[layer] = boxes.classes, boxes.filter

    def _on_changed(self, ref: weakref.ref[Shapes]) -> None:
        """Note what is shown of a layer, and have the others of its project take over the new name of a class."""
        layer = ref()
        image = None if layer is None else self._images.get(layer)
        if layer is None or image is None:
            return
        shown = box_layer(layer).filter
        if shown != self._filters[layer]:
            self._filters[layer] = shown
            self._note_filter(image, shown)
        before, self._classes[layer] = self._classes[layer], box_layer(layer).classes
        if image.project is self._autosave:
            return  # there, each image is on its own
        for old, new in renamed_classes(before, self._classes[layer]).items():
            for other in [other for other, of in self._images.items() if of.project is image.project]:
                classes = box_layer(other).classes
                if old in classes and new not in classes:
                    box_layer(other).follow_rename(old, new)

    def _note_filter(self, image: ProjectImage, shown: Filter) -> None:
        """Note which guesses of an image are shown; nothing waits for that."""
        if image.project.read_only_reason:
            return
        key = image.project, image.id
        self._unwritten[key] = shown
        self._aside.submit(self._write_filter, key, image)

    def _write_filter(self, key: tuple[Project, int], image: ProjectImage) -> None:
        """Note what was wanted last; of a slider that is drawn there are many, of which all but the first find nothing."""
        shown = self._unwritten.pop(key, None)
        if shown is not None:
            # What cannot be noted is found again by the model's own threshold.
            with suppress(UserError):
                image.set_filter(shown)


def _add(project: Project, boxes: BoxLayer, image: Image | None) -> ProjectImage:
    """Add an entry for the image of a layer of boxes."""
    info = boxes.image_info
    leading = boxes.layer.ndim - 2
    planes = list(info.get("planes", ()))
    if len(planes) != leading:
        planes = [max((plane[axis] + 1 for plane in boxes.planes()), default=1) for axis in range(leading)]
    # Letters of our own: that of a channel axis would count for no axis of planes.
    axes = "PTZ"[-leading:] if 0 < leading <= 3 else "ABDEFGHIJKLMN"[:leading]
    height, width = info.get("size") or (1, 1)
    file = Path(str(image.source.path)) if image is not None and image.source.path else None
    stored = measured = mark = None
    if file is not None:
        with suppress(OSError, UserError):
            measured, mark = measure(file), fingerprint(file)
            stored = stored_path(file.absolute(), project.path)
    name = str(info.get("file") or info.get("name") or boxes.layer.name)
    shape = [*planes, int(height), int(width)]
    entry = project.image(project.insert_image(name, stored, mark, measured, axes + "YX", shape))
    if boxes.points:
        entry.set_point_size(boxes.table.point_size)
    return entry
