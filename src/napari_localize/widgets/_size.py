"""How large the objects are."""

from __future__ import annotations

from typing import Any

from napari.layers import Shapes
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QDoubleSpinBox, QLabel, QVBoxLayout, QWidget

from napari_localize.core.errors import UserError
from napari_localize.plugin.regions import shape_diameter
from napari_localize.widgets._dock import warn
from napari_localize.widgets._memory import remember, remembered, remembered_number
from napari_localize.widgets._parts import button, combo, hint, row, say, titled

FROM_BOX_KEY = "Ctrl+Shift+B"


class SizePicker(QWidget):
    """The object diameter: found by the model, or a number, typed in or taken from a box."""

    from_box = Signal()

    def __init__(self) -> None:
        super().__init__()
        tooltip = "Typical diameter of the objects in pixels: the square root of width times height of their boxes."
        self._mode = combo(tooltip + " Automatic finds it in the image.", ("automatic", "fixed"))
        self._number = QDoubleSpinBox()
        self._number.setRange(1.0, 5000.0)
        self._number.setDecimals(1)
        self._number.setSuffix(" px")
        self._number.setToolTip(tooltip)
        self._number.setValue(remembered_number("object diameter", 30.0))
        take = button(
            "From box",
            "Take the diameter of the box that is selected in a Shapes layer.",
            self.from_box,
            FROM_BOX_KEY,
            self,
        )
        self.hint: QLabel = hint()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row(titled("Size", tooltip), row(self._mode, self._number), stretch=1))
        column.addLayout(row(titled(""), take, stretch=1))
        column.addWidget(self.hint)
        self._mode.currentTextChanged.connect(self._changed)
        self._number.valueChanged.connect(self._remember)
        self._mode.setCurrentText(remembered("size", "automatic"))
        self._changed()

    @property
    def diameter(self) -> float | None:
        """The chosen diameter in pixels, or None for automatic."""
        return float(self._number.value()) if self._mode.currentText() == "fixed" else None

    def set_diameter(self, diameter: float) -> None:
        """Choose a number."""
        self._number.setValue(diameter)
        self._mode.setCurrentText("fixed")

    def take_from(self, shapes: Any, image: Any) -> None:
        """Choose the size of the shapes that are selected in a layer."""
        rows = sorted(shapes.selected_data) if isinstance(shapes, Shapes) else []
        if not rows or image is None:
            warn("Select a box around one object first: in a Shapes layer, press S and click on it.", self)
            return
        try:
            self.set_diameter(shape_diameter(shapes, rows, image))
        except UserError as error:
            warn(str(error), self)

    def say_found(self, text: str) -> None:
        """Show what the model found."""
        say(self.hint, text)

    def _changed(self) -> None:
        # Side by side there is room for both only in a wide dock.
        self._number.setVisible(self._mode.currentText() == "fixed")
        say(self.hint, "")
        self._remember()

    def _remember(self) -> None:
        remember("size", self._mode.currentText())
        remember("object diameter", self._number.value())
