"""Choosing the image that a dock works on."""

from __future__ import annotations

from typing import Any

from napari.layers import Image, Layer, Points, Shapes
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_localize.widgets._parts import combo, hint, row, say, titled
from napari_localize.widgets._watch import LayerList

NO_IMAGE = "Open an image: File &gt; Open, File &gt; Open Sample &gt; Localize, or drag a file onto the window."


class ImagePicker(QWidget):
    """A combo of the viewer's images that follows the viewer, and the layer that is selected in it."""

    changed = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._list = LayerList(viewer, self)
        self._list.changed.connect(self._refresh)
        self._combo = combo("The image to look at; a click on an image in the layer list chooses it, too.")
        self.hint: QLabel = hint()
        self._images: list[Image] = []
        self._last: Image | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row(titled("Image"), self._combo, stretch=1))
        column.addWidget(self.hint)
        self._combo.currentIndexChanged.connect(self._tell)

    @property
    def layer(self) -> Image | None:
        """The chosen image."""
        index = self._combo.currentIndex()
        return self._images[index] if index >= 0 else None

    def connect_viewer(self) -> None:
        """Begin to follow the viewer."""
        self._list.start()
        self._viewer.layers.selection.events.active.connect(self._follow_selection)
        self._refresh()
        self._follow_selection()

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        self._list.stop()
        self._viewer.layers.selection.events.active.disconnect(self._follow_selection)

    def choose(self, layer: Layer) -> None:
        """Choose an image."""
        index = self._find(layer)
        if index >= 0:
            self._combo.setCurrentIndex(index)

    def _find(self, layer: Layer | None) -> int:
        return next((index for index, image in enumerate(self._images) if image is layer), -1)

    def _refresh(self, event: Any = None) -> None:
        chosen = self.layer
        with QSignalBlocker(self._combo):
            self._images = [layer for layer in self._viewer.layers if isinstance(layer, Image)]
            self._combo.clear()
            self._combo.addItems([image.name for image in self._images])
            index = self._find(chosen)
            self._combo.setCurrentIndex(index if index >= 0 else self._combo.count() - 1)
        self._combo.setEnabled(self._combo.count() > 0)
        self._tell()

    def _follow_selection(self, event: Any = None) -> None:
        active = self._viewer.layers.selection.active
        if isinstance(active, Image):
            self.choose(active)
        self._tell()

    def _tell(self) -> None:
        layer = self.layer
        active = self._viewer.layers.selection.active
        text = ""
        if layer is None and active is None:
            text = NO_IMAGE
        elif active is not None and not isinstance(active, Image | Points | Shapes):
            kind = type(active).__name__
            text = f"'{active.name}' is a {kind} layer; models look at images" + (
                f", so '{layer.name}' is used." if layer is not None else ": open one."
            )
        elif layer is None:
            text = NO_IMAGE
        say(self.hint, text)
        if layer is not self._last:
            self._last = layer
            self.changed.emit()
