"""Boxes as rectangles of a Shapes layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.core.colors import STATE_FACES, STATE_WIDTHS
from napari_localize.plugin.layers import boxes_to_vertices, outline_widths, rgba
from napari_localize.plugin.rows import Rows, rows_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari.layers import Shapes
    from numpy.typing import NDArray

    from napari_localize.core.boxes import Box
    from napari_localize.core.steps import Classes

_SAMPLE = 200
_SAME_WIDTH = 0.01


class ShapesEditor:
    """Boxes as rectangles of a Shapes layer; see `plugin.editor.Editor`."""

    outline = "edge"
    draw_mode = "add_rectangle"
    changes = ("data", "features")

    def in_use(self, layer: Shapes) -> bool:
        """Whether a person is drawing, dragging or selecting."""
        return any(getattr(layer, name, False) for name in ("_is_creating", "_is_moving", "_is_selecting"))

    def click_side(self, layer: Shapes) -> float:
        """Side of the square that a click with the tool for rectangles leaves when the mouse is not moved."""
        return float(getattr(layer, "_normalized_vertex_radius", 0.0)) / 2

    def read(self, layer: Shapes) -> Rows:
        """Read all shapes of a layer with their features."""
        return rows_of(layer.data, layer.shape_type, layer.features, layer.ndim)

    def as_drawn(self, corners: NDArray[Any]) -> NDArray[Any]:
        """Return boxes as they are."""
        return corners

    def align(self, layer: Shapes) -> None:
        """Give every shape one colour again; napari's vertex tools take shapes out without theirs."""
        shapes = layer._data_view
        for name in ("_edge_color", "_face_color"):
            setattr(shapes, name, getattr(shapes, name)[: layer.nshapes])

    def add(self, layer: Shapes, boxes: Sequence[Box], classes: Classes, line_width: float) -> None:
        """Add rectangles."""
        corners = np.array([box.xyxy for box in boxes], np.float32)
        layer.add(
            boxes_to_vertices(corners, [box.plane for box in boxes]),
            shape_type="rectangle",
            edge_width=outline_widths([box.state for box in boxes], line_width),
            edge_color=np.array([rgba(classes[box.label]) for box in boxes]),
            face_color=np.array([STATE_FACES[box.state] for box in boxes]),
        )

    def colors(self, layer: Shapes, attribute: str) -> Mapping[Any, Any]:
        """Return the colour of each value of a feature."""
        found: Mapping[Any, Any] = getattr(layer, f"{attribute}_color_cycle_map")
        return found

    def set_colors(self, layer: Shapes, attribute: str, colors: dict[str, Any]) -> None:
        """Give each value of a feature its colour."""
        setattr(layer, f"{attribute}_color_cycle_map", colors)

    def set_widths(self, layer: Shapes, widths: list[float]) -> None:
        """Set the widths of edges."""
        if not np.allclose(layer.edge_width, widths, rtol=_SAME_WIDTH):
            layer.edge_width = widths

    def set_line_width(self, layer: Shapes, states: Sequence[str | None], width: float) -> None:
        """Set the widths of edges by state, and that of new ones."""
        if layer.nshapes:
            # Shapes that a person has drawn or taken away just now get theirs when they are found.
            layer.edge_width = outline_widths(states, width) if len(states) == layer.nshapes else width
            layer.events.edge_width()
        with layer.block_update_properties():
            layer.current_edge_width = width * STATE_WIDTHS["added"]

    def sides(self, layer: Shapes) -> list[float]:
        """Return the shorter side of some shapes."""
        return [float(np.ptp(shape[:, -2:], axis=0).min()) for shape in layer.data[:_SAMPLE]]
