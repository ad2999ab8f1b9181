"""Following what is finished on those images of the open project that are not open in the viewer."""

from __future__ import annotations

from functools import partial
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_localize.plugin.keeping import keeper_of
from napari_localize.plugin.layers import is_box_layer
from napari_localize.plugin.opening import open_images
from napari_localize.plugin.pairs import Judged
from napari_localize.plugin.unopened import Unopened, finished_on
from napari_localize.project import Project, ProjectImage
from napari_localize.widgets._jobs import JobRunner
from napari_localize.widgets._project_actions import Progress, Task

_SOON_MS = 100


class UnopenedPlanes(QObject):
    """Knows the finished planes of a project's images that are not open; images that were closed are read again."""

    changed = Signal()

    def __init__(self, viewer: Any, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._keeper = keeper_of(viewer)
        self._project: Project | None = None
        self._known = Unopened()
        self._stale: set[int] | None = None
        """Numbers of the images to be read again; None for all."""
        self._jobs = JobRunner(self)
        self._jobs.finished.connect(self._on_read)
        self._jobs.failed.connect(self._on_failed)
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_SOON_MS)
        self._soon.timeout.connect(self._read)

    def start(self) -> None:
        """Begin to follow the viewer and its project."""
        self._keeper.project_changed.connect(self._on_project)
        self._keeper.image_stored.connect(self._on_stored)
        self._viewer.layers.events.removed.connect(self._on_removed)
        self._on_project()

    def stop(self) -> None:
        """Let go of them."""
        self._soon.stop()
        self._jobs.abandon()
        self._keeper.project_changed.disconnect(self._on_project)
        self._keeper.image_stored.disconnect(self._on_stored)
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    @property
    def busy(self) -> bool:
        """Whether something is being read, or about to be."""
        return self._jobs.busy or self._soon.isActive()

    @property
    def project(self) -> Project | None:
        """The project that is open."""
        return self._keeper.project

    def planes(self) -> list[Judged]:
        """Return the finished planes, in the order of the project."""
        opened = self._open()
        return [plane for key in sorted(self._known.planes) if key not in opened for plane in self._known.planes[key]]

    def problems(self) -> list[str]:
        """Say which images with finished planes cannot be read."""
        opened = self._open()
        return [text for key, text in sorted(self._known.problems.items()) if key not in opened]

    def _open(self) -> set[int]:
        project = self._keeper.project
        return set() if project is None else {image.id for _, image in open_images(self._viewer, project)}

    def _on_project(self) -> None:
        if self._keeper.project is not self._project:
            self._project, self._known = self._keeper.project, Unopened()
            self.changed.emit()
        self._stale = None
        if self._project is not None:
            self._soon.start()

    def _on_stored(self, image: ProjectImage) -> None:
        self._read_again(image)

    def _on_removed(self, event: Any) -> None:
        layer = event.value
        image = self._keeper.image_of(layer) if is_box_layer(layer) else None
        if image is not None:
            self._read_again(image)

    def _read_again(self, image: ProjectImage) -> None:
        if image.project is self._keeper.project:
            if self._stale is not None:
                self._stale.add(image.id)
            self._soon.start()

    def _read(self) -> None:
        project, stale = self._keeper.project, self._stale
        if project is None:
            self.changed.emit()
            return
        if self._jobs.busy:
            self._soon.start()
            return
        self._stale = set()

        def read(progress: Progress) -> tuple[Project, set[int] | None, Unopened]:
            # What was done last to an image that was closed is on its way to the disk.
            project.settle()
            images = [image for image in project.images() if stale is None or image.id in stale]
            return project, stale, finished_on(images, progress)

        self._jobs.start(partial(Task, read))

    def _on_read(self, found: tuple[Project, set[int] | None, Unopened]) -> None:
        project, stale, read = found
        if project is self._keeper.project:
            for known, new in ((self._known.planes, read.planes), (self._known.problems, read.problems)):
                for key in list(known) if stale is None else stale:
                    known.pop(key, None)
                known.update(new)
        self.changed.emit()

    def _on_failed(self, text: str) -> None:
        # What cannot be read now is told where the project is shown.
        self._known = Unopened()
        self.changed.emit()
