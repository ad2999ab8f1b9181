"""Points of a Points layer as boxes of a nominal size: that of the point."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.core.colors import STATE_WIDTHS
from napari_localize.plugin.layers import boxes_to_points, outline_widths, points_to_boxes
from napari_localize.plugin.rows import Rows, rows_from

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from napari.layers import Points
    from numpy.typing import NDArray

    from napari_localize.core.boxes import Box
    from napari_localize.core.steps import Classes

_SAMPLE = 200


class PointsEditor:
    """See `plugin.editors.Editor`."""

    outline = "border"
    draw_mode = "add"
    changes = ("data", "features", "size")

    def in_use(self, layer: Points) -> bool:
        """Whether a person is dragging or selecting; touching the points now would break that."""
        return bool(layer._is_selecting or layer._drag_start is not None)

    def click_side(self, layer: Points) -> float:
        """Return 0: a click is how points are made."""
        return 0.0

    def read(self, layer: Points) -> Rows:
        """Read all points of a layer with their features."""
        return read_points(layer.data, layer.size, layer.features)

    def as_drawn(self, corners: NDArray[Any]) -> NDArray[Any]:
        """Return squares of the same size and place."""
        return np.asarray(_squares(corners), np.float32)

    def align(self, layer: Points) -> None:
        """Do nothing: napari keeps points and colours together."""

    def add(self, layer: Points, boxes: Sequence[Box], classes: Classes, line_width: float) -> None:
        """Add points; their colours come with the features."""
        corners = np.array([box.xyxy for box in boxes], np.float32)
        first = len(layer.data)
        layer.add(boxes_to_points(corners, [box.plane for box in boxes]))
        # napari selects what is added.
        layer.selected_data = set()
        sizes = layer.size.astype(float)
        sizes[first:] = _sides(corners)
        # What a person sees as the size of the next point stays.
        layer.size = sizes
        widths = layer.border_width.astype(float)
        widths[first:] = outline_widths([box.state for box in boxes], line_width)
        if layer.border_width_is_relative:
            layer.border_width_is_relative = False
        layer.border_width = widths

    def colors(self, layer: Points, attribute: str) -> Mapping[Any, Any]:
        """Return the colour of each value of a feature."""
        found: Mapping[Any, Any] = getattr(layer, f"_{attribute}").categorical_colormap.colormap
        return found

    def set_colors(self, layer: Points, attribute: str, colors: dict[str, Any]) -> None:
        """Give each value of a feature its colour."""
        setattr(layer, f"{attribute}_color_cycle", colors)

    def set_widths(self, layer: Points, widths: list[float] | float) -> None:
        """Set the widths of the borders."""
        if layer.border_width_is_relative:
            layer.border_width_is_relative = False
        if not np.array_equal(layer.border_width, widths):
            layer.border_width = np.asarray(widths, float)

    def set_line_width(self, layer: Points, states: Sequence[str | None], width: float) -> None:
        """Set the widths of the borders by state, and that of new ones."""
        known = len(states) == len(layer.data)
        self.set_widths(layer, outline_widths(states, width) if known else width)
        with layer.block_update_properties():
            layer.current_border_width = width * STATE_WIDTHS["added"]
        layer.events.border_width()

    def sides(self, layer: Points) -> list[float]:
        """Return the size of some points."""
        return [float(size) for size in layer.size[:_SAMPLE]]


def read_points(data: NDArray[Any], size: Any, features: Any) -> Rows:
    """Read points that need not be in a layer, with their sizes and their table of features."""
    places = np.array(data, np.float64)
    sizes = np.broadcast_to(np.asarray(size, np.float64), len(places))
    boxes, indices, exact = points_to_boxes(places, np.where(sizes > 0, sizes, 1.0))
    rows = rows_from(boxes, indices, exact, features)
    rows.points = True
    return rows


def _squares(corners: NDArray[Any]) -> NDArray[np.float32]:
    wide = np.asarray(corners, np.float64).reshape(-1, 4)
    middle = (wide[:, :2] + wide[:, 2:]) / 2
    half = _sides(wide)[:, None] / 2
    return np.hstack([middle - half, middle + half]).astype(np.float32)


def _sides(corners: NDArray[Any]) -> NDArray[np.float64]:
    """Return the sides of squares as large as some boxes; float32 leaves a little that a person should not see."""
    wide = np.asarray(corners, np.float64).reshape(-1, 4)
    return np.maximum(np.round(np.sqrt((wide[:, 2:] - wide[:, :2]).prod(axis=1)), 3), 1e-3)
