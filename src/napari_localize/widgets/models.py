"""The dock that shows all models, where they come from and how good they are."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QFileSystemWatcher, Qt, QTimer
from qtpy.QtGui import QGuiApplication, QKeySequence
from qtpy.QtWidgets import QAction, QDockWidget, QLabel, QLineEdit, QMenu, QShortcut, QToolButton, QWidget

from napari_localize.widgets._dock import Dock
from napari_localize.widgets._jobs import JobRunner
from napari_localize.widgets._memory import remember
from napari_localize.widgets._model_actions import ModelActions
from napari_localize.widgets._model_card import CardView
from napari_localize.widgets._model_tree import ModelTree
from napari_localize.widgets._models import chosen_name, model_news
from napari_localize.widgets._parts import button, hint, row, say, shown_key
from napari_localize.widgets._project_actions import Task

if TYPE_CHECKING:
    from napari_localize.models.history import Node
    from napari_localize.models.registry import DamagedModel, ModelEntry

RETRAIN_KEY, IMPORT_KEY = "Shift+Return", "Ins"
RENAME_KEY, DESCRIBE_KEY, COPY_KEY, EXPORT_KEY, REMOVE_KEY = "F2", "F4", "Ctrl+C", "Ctrl+E", "Del"
_SETTLE_MS = 200
_OWN = (
    "These come with the program. Correct boxes in Review, train in Retrain and keep the result: it appears here, "
    "under the model that it was trained from. Or import a file."
)


class ModelsWidget(Dock):
    """See all models as a tree, read the card of one, and use, name, share or remove it."""

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self._choose = ""
        self._again = False
        self._sums: dict[Path, str] = {}
        self._roots: list[Node] = []
        self.tasks = ModelActions(self)
        self._reading, self._summing = JobRunner(self), JobRunner(self)
        self._files = QFileSystemWatcher(self)
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLE_MS)
        self._build()
        self._settle.timeout.connect(self.refresh)
        self._files.directoryChanged.connect(self._refresh_soon)
        self._reading.finished.connect(self._show_models)
        self._reading.failed.connect(self._say)
        self._summing.finished.connect(self._show_sum)
        self._summing.failed.connect(self._no_sum)
        self.tasks.done.connect(self._done)
        self.open()

    def _build(self) -> None:
        self.search = QLineEdit()
        self.search.setPlaceholderText("filter")
        self.search.setClearButtonEnabled(True)
        self.search.setToolTip("Show only models with these words in name, classes, date or description.")
        self.tree = ModelTree()
        self.use_button = button(
            "Use in Localize  ⏎",
            "Choose this model in Localize, also an older version. Key: Enter in the list.",
            self.use,
        )
        self.retrain_button = button(
            "Retrain from it  ⇧⏎",
            f"Choose this model to start from in Retrain. Key: {shown_key(RETRAIN_KEY)}.",
            self.retrain,
        )
        self.import_button = button(
            f"Import ...   {shown_key(IMPORT_KEY)}",
            f"Copy a .safetensors file into your models. Key: {shown_key(IMPORT_KEY)}.",
            self.tasks.bring_in,
        )
        # Here, a key acts where the dock has the focus, so that none is taken from the rest of the window.
        for key, target in ((RETRAIN_KEY, self.retrain_button), (IMPORT_KEY, self.import_button)):
            shortcut = QShortcut(QKeySequence(key), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(target.click)
        self.menu_button = QToolButton()
        self.menu_button.setText("More")
        self.menu_button.setToolTip("Rename, describe, copy, export or remove the selected model.")
        self.menu_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.menu_button.setMinimumWidth(80)
        self.menu_button.setMenu(self._menu())
        self.message: QLabel = hint()
        self.empty: QLabel = hint()
        self.card = CardView(self._viewer.theme)
        self.column.addWidget(self.search)
        self.column.addWidget(self.tree)
        self.column.addLayout(row(self.use_button, self.retrain_button))
        self.column.addLayout(row(self.import_button, self.menu_button, stretch=0))
        for part in (self.message, self.empty, self.card):
            self.column.addWidget(part)
        self.column.addStretch(1)
        self.tree.chosen.connect(self._show_chosen)
        self.tree.itemActivated.connect(self.use)
        self.search.textChanged.connect(self._filter)
        self.setMinimumSize(300, 340)

    def _menu(self) -> QMenu:
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        self.menu_actions: dict[str, QAction] = {}
        for text, key, slot, tip in (
            (
                "Rename ...",
                RENAME_KEY,
                self.rename,
                "Give the model another name; models trained from it still find it.",
            ),
            ("Describe ...", DESCRIBE_KEY, self.describe, "Write into its card what it is for."),
            ("Copy card as text", COPY_KEY, self.copy_card, "Put all that the card says onto the clipboard."),
            ("Export ...", EXPORT_KEY, self.copy_out, "Copy the model to a file, to give it to somebody."),
            ("Remove ...", REMOVE_KEY, self.remove, "Delete the model for good, after asking."),
        ):
            action = QAction(text, self)
            action.setToolTip(f"{tip} Key: {shown_key(key)}.")
            action.setShortcut(QKeySequence(key))
            action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            action.triggered.connect(slot)
            menu.addAction(action)
            # The keys of a menu that was never opened would not work.
            self.addAction(action)
            self.menu_actions[text.partition(" ")[0]] = action
        return menu

    # Following the store

    def connect_viewer(self) -> None:
        """Begin to follow the viewer and the store."""
        self._viewer.events.theme.connect(self._theme_changed)
        model_news().kept.connect(self.refresh_and_choose)
        model_news().changed.connect(self._refresh_soon)
        self.refresh()

    def disconnect_viewer(self) -> None:
        """Let go of the viewer and stop reading."""
        self._viewer.events.theme.disconnect(self._theme_changed)
        model_news().kept.disconnect(self.refresh_and_choose)
        model_news().changed.disconnect(self._refresh_soon)
        self._settle.stop()
        self._reading.abandon()
        self._summing.abandon()

    def event(self, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.Show, QEvent.Type.ShowToParent) and self._connected:
            self._refresh_soon()
        return super().event(event)

    @property
    def busy(self) -> bool:
        """Whether models are being read."""
        return self._reading.busy or self._settle.isActive()

    def refresh(self) -> None:
        """Read the models again, in another thread."""
        if self._reading.busy:
            self._again = True
            return
        self._again = False
        self._watch()
        self._reading.start(lambda on_event: Task(_read, on_event))

    def refresh_and_choose(self, reference: str) -> None:
        """Read the models again and select one."""
        self._choose = reference
        self.refresh()

    def _refresh_soon(self) -> None:
        if self._connected:
            self._settle.start()

    def _watch(self) -> None:
        """Hear of it when other programs change the store; before there is one, of its coming."""
        from napari_localize.models.registry import store_folder

        folder = store_folder()
        while not folder.is_dir() and folder != folder.parent:
            folder = folder.parent
        if str(folder) not in self._files.directories():
            if self._files.directories():
                self._files.removePaths(self._files.directories())
            self._files.addPath(str(folder))

    def _theme_changed(self) -> None:
        self.card.curve.set_theme(self._viewer.theme)

    def _show_models(self, found: tuple[list[Node], list[DamagedModel]]) -> None:
        if self._again:
            self.refresh()
            return
        self._roots, damaged = found
        self._sums.clear()
        choose, self._choose = self._choose, ""
        self.tree.show_models(self._roots, damaged, choose)
        self._filter()
        nodes = [node for root in self._roots for node in root.walk()]
        own = any(node.entry is not None and not node.entry.bundled for node in nodes)
        say(self.empty, "" if own or damaged else _OWN)

    def _filter(self) -> None:
        fitting = self.tree.filter(self.search.text())
        if not fitting and self.search.text():
            self._say("No model has these words; change the filter.")
        elif self.message.text().startswith("No model has"):
            self._say("")

    # The selected model

    def _entry(self) -> ModelEntry | None:
        """Return the selected model, if it can be used."""
        selected = self.tree.selected
        return selected if selected is not None and hasattr(selected, "card") else None

    def _show_chosen(self) -> None:
        selected, entry = self.tree.selected, self._entry()
        own = selected is not None and not getattr(selected, "bundled", False)
        for widget in (self.use_button, self.retrain_button):
            widget.setEnabled(entry is not None)
        for name, possible in (
            ("Rename", entry is not None and own),
            ("Describe", entry is not None and own),
            ("Copy", entry is not None),
            ("Export", entry is not None),
            ("Remove", own),
        ):
            self.menu_actions[name].setEnabled(possible)
        if entry is not None:
            self.card.show_card(entry.card, entry.path, self._sums.get(entry.path, ""))
            self._compute_sum()
        elif selected is not None:
            self.card.show_text(
                f"<b>{escape(selected.reference)}</b> cannot be used: {escape(selected.reason)}"
                f"<br>Copy the file again, or remove it: {escape(str(selected.path))}"
            )
        elif self.tree.key:
            self.card.show_text(
                f"<b>{escape(self.tree.reference)}</b> is not there any more, or never came to this computer. "
                "The models below it were trained from it; import its file to have it back."
            )
        else:
            self.card.show_text("")

    def _compute_sum(self) -> None:
        entry = self._entry()
        if entry is not None and entry.path not in self._sums and not self._summing.busy:
            path = entry.path
            self._summing.start(lambda on_event: Task(lambda _: _sum(path), on_event))

    def _show_sum(self, found: tuple[Path, str]) -> None:
        self._sums[found[0]] = found[1]
        entry = self._entry()
        if entry is not None and entry.path == found[0]:
            self.card.show_card(entry.card, *found)
        else:
            self._compute_sum()

    def _no_sum(self, sentence: str) -> None:
        """Say why there is none, unless the model was removed while it was read."""
        entry = self._entry()
        if entry is not None and entry.path.exists():
            self._say(sentence)

    # What the buttons and keys do

    def use(self) -> None:
        """Choose the selected model in Localize, and show that dock."""
        from napari_localize.widgets.localize import LocalizeWidget

        if (entry := self._entry()) is not None:
            remember("model", chosen_name(entry))
            self._bring_up(LocalizeWidget, "Localize")
            model_news().use.emit(chosen_name(entry))

    def retrain(self) -> None:
        """Choose the selected model to start from in Retrain, and show that dock."""
        from napari_localize.widgets.retrain import RetrainWidget

        if (entry := self._entry()) is not None:
            remember("base model", chosen_name(entry))
            self._bring_up(RetrainWidget, "Retrain")
            model_news().start_from.emit(chosen_name(entry))

    def _bring_up(self, kind: type[QWidget], name: str) -> None:
        """Show a dock of the window, which may be a tab in another one, or open it."""
        found = self.window().findChildren(kind)
        if not found:
            self._viewer.window.add_plugin_dock_widget("napari-localize", name)
            return
        widget: QWidget | None = found[0]
        while widget is not None and not isinstance(widget, QDockWidget):
            widget = widget.parentWidget()
        if widget is not None:
            widget.show()
            widget.raise_()

    def rename(self) -> None:
        """Ask for another name of the selected model."""
        if (entry := self._entry()) is not None:
            self.tasks.rename(entry)

    def describe(self) -> None:
        """Ask for another description of the selected model."""
        if (entry := self._entry()) is not None:
            self.tasks.describe(entry)

    def copy_card(self) -> None:
        """Put what the card says onto the clipboard."""
        from napari_localize.models.story import as_text

        entry, clipboard = self._entry(), QGuiApplication.clipboard()
        if entry is not None and clipboard is not None:
            clipboard.setText(as_text(entry.card, entry.path, self._sums.get(entry.path, "")))
            self._say(f"The card of {entry.reference} is on the clipboard.")

    def copy_out(self) -> None:
        """Ask where to copy the selected model."""
        if (entry := self._entry()) is not None:
            self.tasks.copy_out(entry)

    def remove(self) -> None:
        """Ask, and delete the selected model."""
        selected = self.tree.selected
        if selected is not None and not getattr(selected, "bundled", False):
            self.tasks.remove(selected, self._below(selected.path))

    def _below(self, path: Path) -> list[str]:
        nodes = [node for root in self._roots for node in root.walk() if node.entry and node.entry.path == path]
        return [each.reference for node in nodes for each in node.walk() if each is not node and each.entry]

    def _done(self, text: str, reference: str) -> None:
        self._say(text)
        self.refresh_and_choose(reference)
        model_news().changed.emit()

    def _say(self, text: str) -> None:
        say(self.message, escape(text))


def _read(_: Any) -> tuple[list[Node], list[DamagedModel]]:
    from napari_localize.models.history import model_tree
    from napari_localize.models.registry import scan_models

    entries, damaged = scan_models()
    return model_tree(entries), damaged


def _sum(path: Path) -> tuple[Path, str]:
    from napari_localize.models.digest import file_digest

    return path, file_digest(path)
