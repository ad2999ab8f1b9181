"""Following the layers of a viewer: which there are and what they are called, and what happens to boxes."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.layers import is_box_layer


class LayerList(QObject):
    """Tells when layers come, go, change places or get other names."""

    changed = Signal()

    def __init__(self, viewer: Any, parent: QObject) -> None:
        super().__init__(parent)
        self._layers = viewer.layers

    def start(self) -> None:
        """Begin to follow the viewer."""
        events = self._layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.connect(self._tell)
        events.inserted.connect(self._follow_name)
        for layer in self._layers:
            layer.events.name.connect(self._tell)

    def stop(self) -> None:
        """Let go of the viewer."""
        events = self._layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.disconnect(self._tell)
        events.inserted.disconnect(self._follow_name)
        for layer in self._layers:
            layer.events.name.disconnect(self._tell)

    def _follow_name(self, event: Any) -> None:
        event.value.events.name.connect(self._tell)

    def _tell(self, event: Any = None) -> None:
        self.changed.emit()


class AllBoxes(QObject):
    """Tells when any boxes of a viewer change, and when layers come or go."""

    changed = Signal()

    def __init__(self, viewer: Any, parent: QObject) -> None:
        super().__init__(parent)
        self._layers = viewer.layers

    def start(self) -> None:
        """Begin to follow the viewer."""
        self._layers.events.inserted.connect(self._came)
        self._layers.events.removed.connect(self._left)
        self.follow()

    def stop(self) -> None:
        """Let go of the viewer and its boxes."""
        self._layers.events.inserted.disconnect(self._came)
        self._layers.events.removed.disconnect(self._left)
        for layer in self._layers:
            self._let_go(layer)

    def follow(self) -> None:
        """Follow the layers that have become layers of boxes, too."""
        for layer in self._layers:
            self._follow(layer)

    def _came(self, event: Any) -> None:
        self._follow(event.value)
        self._tell()

    def _left(self, event: Any) -> None:
        self._let_go(event.value)
        self._tell()

    def _follow(self, layer: Any) -> None:
        if is_box_layer(layer):
            box_layer(layer).changed.connect(self._tell, unique=True)

    def _let_go(self, layer: Any) -> None:
        if is_box_layer(layer):
            box_layer(layer).changed.disconnect(self._tell, missing_ok=True)

    def _tell(self) -> None:
        self.changed.emit()
