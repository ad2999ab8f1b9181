"""What a dock does with classes: adds, renames, recolours and removes them, and gives them to boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QInputDialog

from napari_localize.core.errors import UserError
from napari_localize.widgets._dock import warn

if TYPE_CHECKING:
    from napari_localize.plugin.boxes import BoxLayer
    from napari_localize.widgets._classes import ClassTable


class ClassActions:
    """The part of a dock that works on the classes of its boxes."""

    classes: ClassTable
    _boxes: BoxLayer | None

    def add_class(self) -> None:
        """Ask for a name and add a class."""
        boxes = self._boxes
        if boxes is None:
            return
        name, fine = QInputDialog.getText(self, "New class", "Name of the class:")
        if fine:
            self._try(boxes.add_class, name)
            if name.strip() in boxes.classes:
                boxes.next_class = name.strip()

    def remove_class(self) -> None:
        """Remove the class of the selected row."""
        name = self.classes.current
        if self._boxes is not None and name is not None:
            self._try(self._boxes.remove_class, name)

    def _rename_class(self, old: str, new: str) -> None:
        if self._boxes is not None:
            self._try(self._boxes.rename_class, old, new)

    def _recolor_class(self, name: str, color: str) -> None:
        if self._boxes is not None:
            self._try(self._boxes.recolor_class, name, color)

    def _try(self, action: Any, *values: str) -> None:
        try:
            action(*values)
        except UserError as error:
            warn(str(error), self)
        self._refresh()

    def _choose_class(self, name: str) -> None:
        if self._boxes is not None:
            self._boxes.next_class = name

    def _give_class(self, name: str) -> None:
        boxes = self._boxes
        if boxes is not None:
            boxes.set_class(self._selected(boxes), name)
            boxes.next_class = name

    def _class_key(self) -> None:
        sender = self.sender()
        if self._boxes is not None and sender is not None:
            names = list(self._boxes.classes)
            number = sender.property("number")
            if number < len(names):
                self._give_class(names[number])
