"""The top of the project dock: which project it is, how far it is, its menu, and what to do next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from qtpy.QtGui import QAction, QKeySequence
from qtpy.QtWidgets import QLabel, QMenu, QPushButton, QVBoxLayout, QWidget

from napari_localize.project import Project, ProjectImage, Recoverable
from napari_localize.project.folder import autosave_folder
from napari_localize.widgets._parts import SPACING, button, hint, number, row, say, shown_key
from napari_localize.widgets._project_actions import ProjectActions

NEW_KEY, OPEN_KEY, SAVE_KEY = "Ctrl+Shift+M", "Ctrl+Shift+J", "Ctrl+Shift+W"
IMPORT_KEY, EXPORT_KEY = "Ctrl+Shift+I", "Ctrl+Shift+E"
RELINK_KEY, RECOVER_KEY = "Ctrl+Shift+H", "Ctrl+Shift+V"

NO_PROJECT = (
    "No project is open. A project keeps many images with their boxes and every edit in one folder. "
    "Make a new one, open one, or drop images into the list. "
    "Without a project boxes are kept on disk, too, and can be saved as one later."
)
NO_IMAGES = "There are no images yet. Add files or a folder, type a pattern, or drop them into the list; they stay where they are."
NOTHING_FITS = "No image fits: clear the search field, or choose <i>any status</i>."


class ProjectHeader(QWidget):
    """Name, menu and counts of a project.

    Parameters
    ----------
    tasks : ProjectActions
        What the menu does.
    remove : callable
        Removes the selected images.
    owner : QWidget
        In whose window the keys work.
    """

    def __init__(self, tasks: ProjectActions, remove: Callable[[], None], owner: QWidget) -> None:
        super().__init__()
        self.title = QLabel()
        self.title.setWordWrap(True)
        self.menu_button = QPushButton("Project")
        self.menu_button.setToolTip("New, open, save, import, export, find missing files, recover.")
        self.menu_button.setMenu(self._menu(tasks, remove, owner))
        self.summary: QLabel = hint()
        self.left: QLabel = hint()
        self.empty: QLabel = hint()
        # The keys of these are those of the menu.
        self.recover_button = button(
            _with_key("Recover ...", RECOVER_KEY), "Open or discard boxes that were left without a name.", tasks.recover
        )
        self.new_button = button(_with_key("New ...", NEW_KEY), "Make an empty project.", tasks.new)
        self.open_button = button(_with_key("Open ...", OPEN_KEY), "Open a project.", tasks.open)
        self.save_button = button(
            _with_key("Save project as ...", SAVE_KEY), "Give these boxes a name and a place.", tasks.save_as
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(SPACING)
        column.addLayout(row(self.title, self.menu_button, stretch=0))
        for widget in (self.summary, self.save_button, self.left, self.recover_button, self.empty):
            column.addWidget(widget)
        column.addLayout(row(self.new_button, self.open_button))
        self.menu_button.setMinimumWidth(80)
        self.recover_button.hide()

    def _menu(self, tasks: ProjectActions, remove: Callable[[], None], owner: QWidget) -> QMenu:
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        entries: tuple[tuple[str, str, Callable[[], None] | None, str], ...] = (
            ("New ...", NEW_KEY, tasks.new, "Make an empty project, a folder NAME.localize."),
            ("Open ...", OPEN_KEY, tasks.open, "Open a project."),
            ("Save project as ...", SAVE_KEY, tasks.save_as, "Copy the project; boxes without a project get one."),
            ("", "", None, ""),
            ("Import annotations ...", IMPORT_KEY, tasks.import_annotations, "Add the boxes of a file of any format."),
            ("Export annotations ...", EXPORT_KEY, tasks.export_annotations, "Write all boxes to a file."),
            ("", "", None, ""),
            # In a tab the key is only written there: it is one of the list.
            ("Remove from project ...\tDel", "", remove, "The selected images; their files stay."),
            ("Relink missing images ...", RELINK_KEY, tasks.relink, "Find moved files again by what they hold."),
            ("Recover boxes ...", RECOVER_KEY, tasks.recover, "Those that earlier sessions have left without a name."),
        )
        for text, key, slot, tip in entries:
            if slot is None:
                menu.addSeparator()
                continue
            action = QAction(text, owner)
            action.setToolTip(f"{tip} Key: {shown_key(key)}." if key else tip)
            action.setShortcut(QKeySequence(key))
            action.triggered.connect(slot)
            menu.addAction(action)
            # The keys of a menu that was never opened would not work.
            owner.addAction(action)
        return menu

    def show_project(self, project: Project | None, images: Sequence[ProjectImage], *, any_fits: bool) -> None:
        """Show which project it is, and what can be done next."""
        unnamed = project is not None and project.path.parent == autosave_folder()
        name = "no project" if project is None else "boxes without a project" if unnamed else project.path.name
        self.title.setText(f"<b>{escape(name)}</b>")
        self.title.setToolTip("" if project is None else str(project.path))
        self.save_button.setVisible(unnamed)
        say(self.summary, _summary(project, images, unnamed=unnamed))
        empty = NO_PROJECT if project is None else NO_IMAGES if not images else "" if any_fits else NOTHING_FITS
        say(self.empty, empty)
        for each in (self.new_button, self.open_button):
            each.setVisible(project is None)

    def show_left(self, found: Sequence[Recoverable]) -> None:
        """Say what earlier sessions have left behind."""
        boxes = sum(each.boxes for each in found)
        say(self.left, f"{boxes:,} boxes of earlier sessions have no name yet." if found else "")
        self.recover_button.setVisible(bool(found))


def _summary(project: Project | None, images: Sequence[ProjectImage], *, unnamed: bool) -> str:
    finished = sum(image.status == "finished" for image in images)
    boxes = sum(
        n for image in images for states in image.counts.values() for state, n in states.items() if state != "rejected"
    )
    text = f"{number(len(images), 'image')}, {finished:,} finished, {number(boxes, 'box', 'boxes')}" if images else ""
    if project is not None and project.read_only_reason:
        text += (
            f"<br><b>Read only:</b> {escape(project.read_only_reason)} Changes are not kept; save it as another one."
        )
    elif unnamed and images:
        text += "<br>Kept on disk as you work; save it under a name to find it again."
    return text


def _with_key(text: str, key: str) -> str:
    return f"{text}   {shown_key(key)}"
