"""The order in which the planes of a project are most worth finishing, found out on another thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_localize.plugin.ranking import Ranked, rank_project
from napari_localize.project import Project, ProjectImage
from napari_localize.widgets._jobs import JobRunner
from napari_localize.widgets._project_actions import Task


class Ranking(QObject):
    """The planes that are still to come; each is handed out once."""

    ready = Signal()
    failed = Signal(str)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._of: tuple[Any, ...] = ()
        self._asked: tuple[Any, ...] = ()
        self._planes: list[Ranked] = []
        self._jobs = JobRunner(self)
        self._jobs.finished.connect(self._on_finished)
        self._jobs.failed.connect(self.failed)

    @property
    def busy(self) -> bool:
        """Whether the order is being found out."""
        return self._jobs.busy

    def covers(self, project: Project, images: Sequence[ProjectImage]) -> bool:
        """Whether the order of these images is known."""
        return bool(self._planes) and self._of == _key(project, images)

    def begin(self, project: Project, images: Sequence[ProjectImage]) -> None:
        """Find out the order; `ready` or `failed` follows."""
        self._asked = _key(project, images)
        self._jobs.start(lambda on_event: Task(lambda tell: rank_project(project, images, tell), on_event))

    def rest(self) -> Iterator[Ranked]:
        """Hand out the planes that are still to come."""
        while self._planes:
            yield self._planes.pop(0)

    def forget(self) -> None:
        """Ask again next time, as boxes or images are others now."""
        self._of, self._planes = (), []

    def abandon(self) -> None:
        """Stop, as nobody waits for it."""
        self._jobs.abandon()
        self.forget()

    def _on_finished(self, planes: list[Ranked]) -> None:
        self._of, self._planes = self._asked, planes
        self.ready.emit()


def _key(project: Project, images: Sequence[ProjectImage]) -> tuple[Any, ...]:
    return project, *(image.id for image in images)
