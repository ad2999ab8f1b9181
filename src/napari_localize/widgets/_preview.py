"""The boxes of finished tiles, on the canvas while the rest is still running."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image, Vectors
from qtpy.QtCore import QObject, QTimer

from napari_localize.core.detections import Detections
from napari_localize.plugin.layers import boxes_to_vertices, transform_of

REDRAW_MS = 250


class Preview(QObject):
    """Outlines of provisional boxes, drawn as lines: a Shapes layer of thousands would hold up the window."""

    def __init__(self, viewer: Any, image: Image, channel_axis: int | None, threshold: float) -> None:
        super().__init__()
        self._viewer = viewer
        self._image = image
        self._drop = channel_axis if channel_axis == 0 else None
        self._threshold = threshold
        self._lines: list[np.ndarray] = []
        self._width = 1.0
        self._layer: Vectors | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(REDRAW_MS)
        self._timer.timeout.connect(self._draw)

    def add(self, index: tuple[int, ...], detections: Detections) -> None:
        """Add boxes of the plane that lies at `index`."""
        kept = detections[~(detections.scores < self._threshold)]
        if not len(kept):
            return
        corners = boxes_to_vertices(kept.boxes, [index] * len(kept))
        sides = np.roll(corners, -1, axis=1) - corners
        self._lines.append(np.stack([corners, sides], axis=2).reshape(-1, 2, corners.shape[2]))
        self._width = max(1.0, float(np.median(kept.diameters)) / 16)
        if not self._timer.isActive():
            self._timer.start()

    def close(self) -> None:
        """Take the lines away."""
        self._timer.stop()
        if self._layer is not None and self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)
        self._layer = None

    def _draw(self) -> None:
        if self._image not in self._viewer.layers:
            return
        lines = np.concatenate(self._lines)
        # One array from now on: joining all the parts anew each time would take longer and longer.
        self._lines = [lines]
        if self._layer is None:
            self._layer = Vectors(
                lines,
                name=f"{self._image.name} (running)",
                edge_width=self._width,
                edge_color="#F0E442",
                vector_style="line",
                opacity=0.8,
                **transform_of(self._image, self._drop),
            )
            selected = set(self._viewer.layers.selection)
            self._viewer.add_layer(self._layer)
            self._viewer.layers.selection = selected
        elif self._layer in self._viewer.layers:
            self._layer.data = lines
