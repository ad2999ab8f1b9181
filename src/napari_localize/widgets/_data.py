"""Data that are learnt from beside what is open: annotation files and projects, and what their classes are."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLabel, QToolButton, QVBoxLayout, QWidget

from napari_localize.plugin.material import AddedData, read_added
from napari_localize.widgets import _project_files as ask
from napari_localize.widgets._dock import warn
from napari_localize.widgets._jobs import JobRunner
from napari_localize.widgets._mapping import ClassMapDialog
from napari_localize.widgets._memory import remember_for, remembered_for
from napari_localize.widgets._parts import SPACING, Section, button, hint, number, row, say
from napari_localize.widgets._project_actions import Task

FILE_KEY, PROJECT_KEY, CLASSES_KEY = "Alt+Shift+A", "Alt+Shift+P", "Alt+Shift+O"
_MEMORY = "class map"


class DataBox(Section):
    """What else is learnt from, and as which classes.

    Signals
    -------
    changed
        The data or the classes are others now.
    busy_changed : bool
        Whether something is being read.
    """

    changed = Signal()
    busy_changed = Signal(bool)

    def __init__(self, window: QWidget) -> None:
        super().__init__("Other data, classes", "Learn from other annotations as well, and say which classes to learn.")
        self._window = window
        self._home = ""
        self._path = Path()
        self.learnt_anyway: Path | None = None
        """The project that is open, of which everything finished is learnt from."""
        self.added: list[AddedData] = []
        self.class_map: dict[str, str | None] = {}
        self._counts: Mapping[str, int] = {}
        self._wanted: tuple[str, ...] = ()
        self._jobs = JobRunner(self)
        self._jobs.news.connect(self._on_news)
        self._jobs.finished.connect(self._on_read)
        self._jobs.failed.connect(self._on_failed)
        self._jobs.cancelled.connect(self._on_cancelled)
        self._jobs.busy_changed.connect(self.busy_changed)
        self.file_button = button(
            "Add file ...",
            "Learn from an annotation file, too; its images lie beside it and are not opened.",
            self.ask_file,
            FILE_KEY,
            window,
        )
        self.project_button = button(
            "Add project ...", "Learn from a project, too; it is not opened.", self.ask_project, PROJECT_KEY, window
        )
        self.classes_button = button(
            "Classes ...",
            "Learn several classes as one, or some not at all.",
            self.ask_classes,
            CLASSES_KEY,
            window,
        )
        self._list = QVBoxLayout()
        self._list.setSpacing(2)
        self._status: QLabel = hint()
        self._classes: QLabel = hint()
        for each in (self.file_button, self.project_button):
            self.rows.addWidget(each)
        self.rows.addLayout(self._list)
        self.rows.addWidget(self._status)
        self.rows.addWidget(self.classes_button)
        self.rows.addWidget(self._classes)
        self.rows.setSpacing(SPACING)
        self._show_classes()

    @property
    def busy(self) -> bool:
        """Whether something is being read."""
        return self._jobs.busy

    def cancel(self) -> None:
        """Stop reading."""
        self._jobs.cancel()

    def abandon(self) -> None:
        """Stop reading, as nobody waits for it."""
        self._jobs.abandon()

    def text(self) -> str:
        """Return what is written here."""
        return f"{self._status.text()} {self._classes.text()}"

    # Data

    def ask_file(self) -> None:
        """Ask for an annotation file and add it."""
        path = ask.ask_annotations(self._window, "Annotations to learn from")
        if path is not None:
            self.add(path)

    def ask_project(self) -> None:
        """Ask for a project and add it."""
        path = ask.ask_project(self._window)
        if path is not None:
            self.add(path)

    def add(self, path: Path) -> None:
        """Read an annotation file or a project on another thread, and add it."""
        self.set_open(True)
        if self.busy:
            warn(f"{self._path.name} is still being read; add {path.name} afterwards.", self)
            return
        if self.learnt_anyway is not None and os.path.realpath(path) == os.path.realpath(self.learnt_anyway):
            warn(f"{path.name} is open: what is finished in it is learnt from already.", self)
            return
        if any(each.path == path for each in self.added):
            warn(f"{path.name} has been added already.", self)
            return
        self._path = path
        say(self._status, f"Reading {escape(path.name)} ...")
        self._jobs.start(partial(Task, partial(read_added, path)))

    def remove(self, data: object) -> None:
        """Learn no longer from some data."""
        self.added = [each for each in self.added if each is not data]
        self._show_list()
        self.changed.emit()

    def _on_news(self, news: dict[str, Any]) -> None:
        say(self._status, f"Reading {escape(self._path.name)}: {news['done']} of {news['total']} planes ...")

    def _on_read(self, data: AddedData) -> None:
        self.added.append(data)
        say(self._status, " ".join(escape(note) for note in data.pairs.notes))
        self._show_list()
        self.changed.emit()

    def _on_failed(self, text: str) -> None:
        say(self._status, "")
        warn(text, self)

    def _on_cancelled(self) -> None:
        say(self._status, f"{escape(self._path.name)} was not added.")

    def _show_list(self) -> None:
        while (item := self._list.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        for data in self.added:
            entry = _Entry(data)
            entry.removed.connect(self.remove)
            self._list.addWidget(entry)

    # Classes

    def show_material(self, counts: Mapping[str, int], wanted: tuple[str, ...], home: str) -> None:
        """Take note of the classes of the data in a folder, and of those that the base model knows."""
        self._counts, self._wanted = counts, wanted
        if home != self._home:
            found = remembered_for(_MEMORY, home)
            if isinstance(found, dict):
                self.class_map = dict(found)
            elif not (home and Path(self._home).is_relative_to(home)):
                # What was chosen for other data means nothing here; in a folder above it data were only added.
                self.class_map = {}
            self._home = home
        self._show_classes()

    def ask_classes(self) -> None:
        """Ask which class is learnt as which."""
        if not self._counts:
            warn("There are no classes yet; finish a plane in Review, or add data.", self)
            return
        known = {old: new for old, new in self.class_map.items() if old in self._counts}
        dialog = ClassMapDialog(self._counts, self._wanted, known, self._window)
        try:
            if dialog.exec():
                self.set_class_map(dialog.class_map)
        finally:
            dialog.deleteLater()

    def set_class_map(self, class_map: Mapping[str, str | None]) -> None:
        """Learn classes as chosen, and remember it for these data."""
        self.class_map = dict(class_map)
        remember_for(_MEMORY, self._home, self.class_map)
        self._show_classes()
        self.changed.emit()

    def _show_classes(self) -> None:
        self.classes_button.setEnabled(bool(self._counts))
        told = [
            f"{escape(old)} {'is not learnt' if new is None else f'as {escape(new)}'}"
            for old, new in self.class_map.items()
            if old in self._counts
        ]
        say(self._classes, "Learnt: " + ", ".join(told) + "." if told else "")


class _Entry(QWidget):
    """One file or project that was added, and a button that takes it away again."""

    removed = Signal(object)

    def __init__(self, data: AddedData) -> None:
        super().__init__()
        self._data = data
        label: QLabel = hint()
        planes, boxes = number(len(data.pairs.names), "plane"), number(data.boxes, "box", "boxes")
        say(label, f"<b>{escape(data.path.name)}</b>: {planes}, {boxes}")
        label.setToolTip(escape(str(data.path)))
        self.button = QToolButton()
        self.button.setText("✕")
        self.button.setAutoRaise(True)
        self.button.setToolTip(f"Learn no longer from {data.path.name}; the file stays.")
        self.button.clicked.connect(self._remove)
        self.setLayout(row(label, self.button, stretch=0))

    def _remove(self) -> None:
        self.removed.emit(self._data)
