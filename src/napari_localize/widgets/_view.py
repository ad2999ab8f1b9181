"""Where the viewer looks: planes, boxes in the middle of the canvas, edges that stay thin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer

from napari_localize.plugin.boxes import BoxLayer, box_layer
from napari_localize.plugin.layers import is_box_layer, view_index
from napari_localize.plugin.mirror import editor_of
from napari_localize.plugin.window import camera_of, show_rectangle

if TYPE_CHECKING:
    from napari.layers import Layer, Points, Shapes

_LINE = 1.7  # screen pixels
_SETTLE_MS = 120


def plane_in_view(viewer: Any, layer: Layer) -> tuple[int, ...]:
    """Return the index of the plane of a layer that the sliders stand at."""
    return view_index(layer, viewer.dims.point)


def plane_counts(viewer: Any, boxes: BoxLayer) -> tuple[int, ...]:
    """Return how many planes there are along each leading axis of a layer of boxes."""
    layer = boxes.layer
    leading = layer.ndim - 2
    known = tuple(boxes.image_info.get("planes", ()))
    if len(known) == leading:
        return known
    steps = tuple(int(n) for n in viewer.dims.nsteps[viewer.dims.ndim - layer.ndim :][:leading])
    seen = np.array([(*plane, *([0] * (leading - len(plane)))) for plane in boxes.planes()], int).reshape(-1, leading)
    return tuple(max(n, int(m) + 1) for n, m in zip(steps, seen.max(0, initial=0), strict=True))


def show_box(viewer: Any, boxes: BoxLayer, key: int) -> None:
    """Bring a box into the middle of the canvas, at a size at which it can be judged."""
    box = boxes.get(key)
    if box is not None:
        show_rectangle(viewer, boxes.layer, box.plane, box.xyxy)


def line_width(layer: Shapes | Points, zoom: float) -> float:
    """Return the edge width in data pixels that looks the same at any zoom."""
    width = _LINE / (zoom * float(np.mean(np.abs(layer.scale[-2:]))))
    sides = editor_of(layer).sides(layer)
    # From far away the edges of small boxes would run into each other.
    return min(width, float(np.median(sides)) / 4) if sides else width


class LineWidths(QObject):
    """Keeps the edges of all layers of boxes in a viewer equally thin while one zooms."""

    def __init__(self, viewer: Any, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_SETTLE_MS)
        self._timer.timeout.connect(self.apply)

    def start(self) -> None:
        """Follow the camera."""
        camera_of(self._viewer).events.zoom.connect(self._zoomed)
        self.apply()

    def stop(self) -> None:
        """Let the camera go."""
        self._timer.stop()
        camera_of(self._viewer).events.zoom.disconnect(self._zoomed)

    def apply(self) -> None:
        """Set the width for the zoom as it is."""
        for layer in self._viewer.layers:
            if is_box_layer(layer):
                boxes = box_layer(layer)
                width = line_width(layer, camera_of(self._viewer).zoom)
                # Each change costs some milliseconds per thousand boxes.
                if not 0.8 < width / boxes.line_width < 1.25:
                    boxes.line_width = width

    def _zoomed(self) -> None:
        self._timer.start()
