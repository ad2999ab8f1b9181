"""What can be done with a project as a whole: made, opened, filled, imported into, exported, found again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QMessageBox, QWidget

from napari_localize.core.errors import Cancelled, UserError
from napari_localize.formats.registry import find_format
from napari_localize.plugin.keeping import Keeper
from napari_localize.plugin.opening import close_image, open_images, reload, switch_to
from napari_localize.plugin.recovery import left_behind
from napari_localize.project import Project, ProjectImage, open_project
from napari_localize.project.folder import SUFFIX, project_folder
from napari_localize.widgets import _project_files as ask
from napari_localize.widgets._dock import warn
from napari_localize.widgets._jobs import JobRunner, OnEvent
from napari_localize.widgets._parts import number
from napari_localize.widgets._project_recover import RecoverDialog

Progress = Callable[[int, int], None]


class Task:
    """A function that runs on the thread of a `JobRunner` and is stopped when it next tells how far it is."""

    def __init__(self, work: Callable[[Progress], Any], on_event: OnEvent) -> None:
        self._work, self._on_event, self._stop = work, on_event, False

    def cancel(self) -> None:
        self._stop = True

    def result(self, timeout: float | None = None) -> Any:
        return self._work(self._tell)

    def _tell(self, done: int, total: int) -> None:
        if self._stop:
            raise Cancelled
        self._on_event({"done": done, "total": total})


class ProjectActions(QObject):
    """Asks for files and does the work, on another thread where it may take long."""

    changed = Signal()
    """Another project is open, or its images or boxes have changed behind the back of the dock."""
    said = Signal(str)
    """What has happened, in a sentence."""
    progressed = Signal(object)
    busy_changed = Signal(bool)
    recovered = Signal()
    """What earlier sessions have left behind may be less now."""

    def __init__(self, viewer: Any, keeper: Keeper, parent: QWidget) -> None:
        super().__init__(parent)
        self._viewer, self._keeper, self._window = viewer, keeper, parent
        self._then: Callable[[Any], str] | None = None
        self.can_stop = False
        """Whether what is going on looks at times whether it should stop."""
        self._jobs = JobRunner(self)
        self._jobs.news.connect(self.progressed)
        self._jobs.busy_changed.connect(self.busy_changed)
        self._jobs.finished.connect(self._on_finished)
        self._jobs.failed.connect(self._on_failed)
        self._jobs.cancelled.connect(self._on_cancelled)
        # Other docks know the keeper, and not who has changed its project.
        self.changed.connect(keeper.project_changed.emit)

    @property
    def project(self) -> Project | None:
        """The project that was opened, or that of boxes without a name."""
        return self._keeper.project or self._keeper.unnamed

    @property
    def busy(self) -> bool:
        """Whether something is going on."""
        return self._jobs.busy

    def cancel(self) -> None:
        """Stop what is going on; nothing of it stays."""
        self._jobs.cancel()

    def abandon(self) -> None:
        """Stop what is going on, as nobody waits for it."""
        self._jobs.abandon()

    # Projects

    def new(self) -> None:
        """Ask for a name and make an empty project."""
        path = ask.ask_new_project(self._window, "New project")
        if path is not None:
            self.open_path(path, create=True)

    def open(self) -> None:
        """Ask for a project and open it."""
        path = ask.ask_project(self._window)
        if path is not None:
            self.open_path(path)

    def open_path(self, path: Path, *, create: bool = False) -> None:
        """Open a project, or make it."""
        current = self._keeper.project
        if current is not None and _same(project_folder(path), current.path):
            self.said.emit(f"{path.name} is open already.")
            return
        try:
            if create and (path.exists() or path.with_name(path.name + SUFFIX).exists()):
                raise UserError(f"{path} exists already; choose another name, or open it.")
            project = open_project(path, create=create)
            try:
                switch_to(self._viewer, project)
            except UserError:
                project.close()
                raise
        except UserError as error:
            self._on_failed(str(error))

    def save_as(self) -> None:
        """Give the project, or the boxes without one, a name."""
        if self.project is None:
            warn("There are no boxes to save yet: run a model, draw some, or make a new project.", self)
            return
        path = ask.ask_new_project(self._window, "Save project as")
        if path is not None:
            saved = f"Saved as {path.name.removesuffix(SUFFIX)}{SUFFIX}; what you do from now on is kept there."
            self._start(lambda _: self._keeper.save_as(path), lambda _: saved)

    def recover(self) -> None:
        """Show what earlier sessions have left behind."""
        dialog = RecoverDialog(left_behind(), self._window)
        dialog.exec()
        chosen = dialog.chosen
        dialog.deleteLater()
        if chosen is not None:
            self.open_path(chosen.path)
        self.recovered.emit()

    # Images

    def add_files(self) -> None:
        """Ask for image files and add them."""
        if self._have_project():
            self.add(ask.ask_images(self._window))

    def add_folder(self) -> None:
        """Ask for a folder and add the images in it."""
        if self._have_project():
            folder = ask.ask_folder(self._window, "Add a folder of images")
            self.add([folder] if folder is not None else [])

    def add_pattern(self, pattern: str) -> None:
        """Add the images that a pattern means, relative to the folder that was used last."""
        if pattern.strip() and self._have_project():
            self.add([ask.last_folder() / Path(pattern.strip()).expanduser()])

    def take(self, paths: Sequence[Path]) -> None:
        """Do with dropped files what is natural: open a project, import annotations, add images."""
        if len(paths) == 1 and paths[0].suffix == SUFFIX:
            self.open_path(paths[0])
        elif len(paths) == 1 and _is_annotation(paths[0]):
            if self._have_project():
                self.import_path(paths[0])
        elif self._have_project():
            self.add(paths)

    def add(self, paths: Sequence[Path]) -> None:
        """Add images."""
        project = self.project
        if not paths or project is None:
            return
        before = len(project.images())
        failed: dict[str, str] = {}

        def told(_: Any) -> str:
            added = len(project.images()) - before
            text = f"{number(added, 'image')} added."
            if failed:
                name, sentence = next(iter(failed.items()))
                more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
                text += f" Not added: {Path(name).name}{more}; {sentence}"
            return text

        self._start(lambda progress: project.add_images(paths, failed, progress), told, can_stop=True)

    def remove(self, images: Sequence[ProjectImage]) -> None:
        """Ask, and take images out of the project; their files stay."""
        project = self.project
        if not images or project is None or not self._writable(project):
            return
        boxes = sum(n for image in images for by_state in image.counts.values() for n in by_state.values())
        what = images[0].name if len(images) == 1 else f"{len(images)} images"
        answer = QMessageBox.question(
            self._window,
            "Remove from project",
            f"Remove {what} and {number(boxes, 'box', 'boxes')} from the project? This cannot be undone. "
            "The image files stay where they are.",
        )
        if answer != QMessageBox.StandardButton.Yes:
            return
        try:
            for image in images:
                close_image(self._viewer, image)
                project.remove_image(image)
        except UserError as error:
            self._on_failed(str(error))
        self.changed.emit()

    def relink(self) -> None:
        """Ask for a folder and look in it for files that are missing."""
        project = self.project
        if project is None or not self._writable(project):
            return
        folder = ask.ask_folder(self._window, "Look for missing images in this folder and those in it")
        if folder is not None:
            self._start(lambda _: project.relink(folder), lambda found: _found(found, folder))

    def take_changed(self, image: ProjectImage) -> None:
        """Ask, and go on with the boxes of an image on its file as it is now."""
        answer = QMessageBox.question(
            self._window,
            "The file has changed",
            f"Keep the boxes of {image.name} and use the file as it is now? Look whether they still fit.",
        )
        if answer == QMessageBox.StandardButton.Yes and image.path is not None:
            try:
                image.project.replace_file(image, image.path)
            except UserError as error:
                self._on_failed(str(error))
            self.changed.emit()

    # Annotations

    def import_annotations(self) -> None:
        """Ask for an annotation file and add its boxes."""
        if self._have_project():
            path = ask.ask_annotations(self._window)
            if path is not None:
                self.import_path(path)

    def import_path(self, path: Path) -> None:
        """Add the boxes of an annotation file."""
        project = self.project
        if project is None:
            return

        def told(notes: list[str]) -> str:
            if open_images(self._viewer, project):
                reload(self._viewer, project)
            return " ".join([f"{path.name} imported.", *notes])

        self._start(lambda _: project.import_annotations(path), told)

    def export_annotations(self) -> None:
        """Ask for a file and write all boxes to it."""
        project = self.project
        if project is None:
            warn("There are no boxes to export yet.", self)
            return
        chosen = ask.ask_export(self._window)
        if chosen is not None:
            path, name = chosen
            # The dialogue has asked about files; a folder that holds anything is not replaced.
            overwrite = path.is_file()
            self._start(
                lambda _: project.export_annotations(path, name, overwrite),
                lambda notes: " ".join([f"Boxes exported to {path}.", *notes]),
            )

    # How it is done

    def _have_project(self) -> bool:
        """Whether there is a project that can be changed; asks for a new one where there is none."""
        if self.project is None:
            self.new()
        return self.project is not None and self._writable(self.project)

    def _writable(self, project: Project) -> bool:
        if project.read_only_reason is not None:
            warn(f"{project.read_only_reason} Save it under another name to change it.", self)
        return project.read_only_reason is None

    def _start(self, work: Callable[[Progress], Any], then: Callable[[Any], str], *, can_stop: bool = False) -> None:
        if self._jobs.busy:
            warn("Something else is going on in this project: wait, or press Cancel.", self)
            return
        self._then, self.can_stop = then, can_stop
        self._jobs.start(lambda on_event: Task(work, on_event))

    def _on_finished(self, result: Any) -> None:
        then, self._then = self._then, None
        try:
            text = then(result) if then is not None else ""
        except UserError as error:
            text = str(error)
        self.changed.emit()
        self.said.emit(text)

    def _on_failed(self, sentence: str) -> None:
        self.changed.emit()
        self.said.emit(sentence)
        warn(sentence, self)

    def _on_cancelled(self) -> None:
        self.changed.emit()
        self.said.emit("Stopped; nothing was changed.")


def _same(folder: Path, other: Path) -> bool:
    """Whether two paths mean one folder, which may be gone."""
    try:
        return folder.samefile(other)
    except OSError:
        return folder.absolute() == other


def _is_annotation(path: Path) -> bool:
    found = find_format(path) if path.is_file() else None
    # A label image is an image first of all.
    return found is not None and found.name != "labels"


def _found(found: Any, folder: Path) -> str:
    text = f"{number(len(found.found), 'missing image')} found in {folder}."
    if not found.found and not found.missing:
        return "No image is missing."
    if found.missing:
        names = ", ".join(found.missing[:3]) + (", ..." if len(found.missing) > 3 else "")
        text += f" Still missing: {names}; look in another folder."
    return text
