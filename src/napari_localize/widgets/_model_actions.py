"""What can be done with a model: renamed, described, brought in, copied out, removed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog, QInputDialog, QMessageBox, QWidget

from napari_localize.core.errors import UserError
from napari_localize.widgets._dock import warn
from napari_localize.widgets._memory import remember, remembered
from napari_localize.widgets._parts import number

if TYPE_CHECKING:
    from napari_localize.models.registry import DamagedModel, ModelEntry

_FILES = "Models (*.safetensors)"
_FOLDER = "models folder"
_MOST_NAMED = 8


class ModelActions(QObject):
    """Asks what is to be known and changes the user's models."""

    done = Signal(str, str)
    """A sentence that says what has happened, and the reference of the model to show then."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self._window = parent

    def rename(self, entry: ModelEntry) -> None:
        """Ask for another name and give it to a model."""
        from napari_localize.models.registry import rename_model

        name, fine = QInputDialog.getText(
            self._window,
            "Rename a model",
            f"New name of {entry.reference}; its number is the next one of that name.\n"
            "Boxes that it has made keep the name that it had then.",
            text=entry.name,
        )
        if not fine or not name.strip() or name.strip() == entry.name:
            return
        try:
            new = rename_model(entry.path, name.strip())
        except UserError as error:
            warn(str(error), self)
            return
        self.done.emit(f"{entry.reference} is {new.reference} now.", new.reference)

    def describe(self, entry: ModelEntry) -> None:
        """Ask for another description and write it into the card."""
        from napari_localize.models.registry import describe_model

        text, fine = QInputDialog.getMultiLineText(
            self._window, "Describe a model", f"What {entry.reference} is for:", entry.card.description
        )
        if not fine or text == entry.card.description:
            return
        try:
            describe_model(entry.path, " ".join(text.split()))
        except UserError as error:
            warn(str(error), self)
            return
        self.done.emit(f"The description of {entry.reference} is changed.", entry.reference)

    def bring_in(self) -> None:
        """Ask for a file and copy it into the store."""
        from napari_localize.models.registry import import_model

        name, _ = QFileDialog.getOpenFileName(self._window, "Import a model", remembered(_FOLDER, ""), _FILES)
        if not name:
            return
        remember(_FOLDER, str(Path(name).parent))
        try:
            entry = import_model(name)
        except UserError as error:
            warn(str(error), self)
            return
        self.done.emit(f"{Path(name).name} is {entry.reference} now.", entry.reference)

    def copy_out(self, entry: ModelEntry) -> None:
        """Ask for a place and copy a model there."""
        from napari_localize.models.registry import export_model

        start = Path(remembered(_FOLDER, "")) / f"{entry.reference}.safetensors"
        name, _ = QFileDialog.getSaveFileName(self._window, f"Export {entry.reference}", str(start), _FILES)
        if not name:
            return
        remember(_FOLDER, str(Path(name).parent))
        path = name if name.endswith(".safetensors") else f"{name}.safetensors"
        try:
            # The window has asked about a file of exactly that name.
            export_model(str(entry.path), path, overwrite=path == name)
        except UserError as error:
            warn(str(error), self)
            return
        self.done.emit(f"{entry.reference} was copied to {path}, without its check planes.", entry.reference)

    def remove(self, model: ModelEntry | DamagedModel, below: Sequence[str]) -> None:
        """Ask, and delete a model.

        Parameters
        ----------
        model : ModelEntry or DamagedModel
            Of the user's store.
        below : sequence of str
            References of the models that descend from it.
        """
        from napari_localize.models.registry import DamagedModel, remove_model

        # A damaged file may be called as all versions of a model are together.
        named = model.path.name if isinstance(model, DamagedModel) else model.reference
        question = f"Delete {named} for good? Its number is not given to another model."
        if below:
            others = ", ".join(below[:_MOST_NAMED]) + (", ..." if len(below) > _MOST_NAMED else "")
            question += (
                f"\n\n{number(len(below), 'model')} descend{'s' * (len(below) == 1)} from it: {others}. They go on "
                "working, but can no longer be compared on its check planes."
            )
        if QMessageBox.question(self._window, "Remove a model", question) != QMessageBox.StandardButton.Yes:
            return
        try:
            # Exactly this file, whatever else has its name.
            remove_model(model.path)
        except UserError as error:
            warn(str(error), self)
            return
        self.done.emit(f"{named} was removed.", "")
