"""Choosing the layer of boxes that a dock works on."""

from __future__ import annotations

from typing import Any

from napari.layers import Points, Shapes
from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QSizePolicy, QVBoxLayout, QWidget

from napari_localize.plugin.areas import is_area_layer
from napari_localize.plugin.layers import is_box_layer
from napari_localize.plugin.window import DOTS
from napari_localize.widgets._parts import row, titled
from napari_localize.widgets._watch import LayerList


class BoxesPicker(QWidget):
    """A combo of the viewer's layers of boxes and points, which follows the viewer and the layer selected in it.

    A layer of rectangles or points from elsewhere can be chosen, too, but is never taken without being asked for:
    it gets our feature columns and colours. Layers with other shapes are not offered; their shapes would
    become rectangles.
    """

    changed = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._list = LayerList(viewer, self)
        self._list.changed.connect(self._refresh)
        self._layers: list[Shapes | Points] = []
        self._last: Shapes | Points | None = None
        self._combo = QComboBox()
        self._combo.setToolTip(
            "The layer of boxes or points to review; a click on one in the layer list chooses it, too. "
            "Any points layer and any shapes layer of rectangles can be reviewed."
        )
        self._combo.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(row(titled("Boxes"), self._combo, stretch=1))
        self._combo.currentIndexChanged.connect(self._tell)

    @property
    def layer(self) -> Shapes | Points | None:
        """The chosen layer."""
        index = self._combo.currentIndex()
        return self._layers[index] if 0 <= index < len(self._layers) else None

    def choose(self, layer: Any) -> None:
        """Choose a layer."""
        index = next((at for at, one in enumerate(self._layers) if one is layer), -1)
        if index >= 0:
            self._combo.setCurrentIndex(index)

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

    def _refresh(self, event: Any = None) -> None:
        chosen = self._last
        with QSignalBlocker(self._combo):
            self._layers = [layer for layer in self._viewer.layers if can_hold_boxes(layer)]
            self._combo.clear()
            self._combo.addItems([layer.name for layer in self._layers])
            ours = [at for at, layer in enumerate(self._layers) if layer is chosen or is_box_layer(layer)]
            again = [at for at in ours if self._layers[at] is chosen]
            self._combo.setCurrentIndex((again or ours or [-1])[-1])
        self._combo.setEnabled(bool(self._layers))
        self._tell()

    def _follow_selection(self, event: Any = None) -> None:
        active = self._viewer.layers.selection.active
        if active is not None and is_box_layer(active):
            self.choose(active)

    def _tell(self) -> None:
        if self.layer is not self._last:
            self._last = self.layer
            self.changed.emit()


def can_hold_boxes(layer: Any) -> bool:
    """Whether a layer is one of boxes or points, or can become one."""
    if isinstance(layer, Points):
        return layer.ndim >= 2 and DOTS not in layer.metadata
    if not isinstance(layer, Shapes) or layer.ndim < 2 or is_area_layer(layer):
        return False
    return is_box_layer(layer) or all(str(kind) == "rectangle" for kind in layer.shape_type)
