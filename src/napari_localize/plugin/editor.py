"""What differs between the layers in which a person edits: rectangles of a Shapes layer, or a Points layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from napari_localize.core.boxes import Box
    from napari_localize.core.steps import Classes
    from napari_localize.plugin.rows import Rows


class Editor(Protocol):
    """How boxes are read from and written to one kind of layer."""

    outline: str
    """Name of what is coloured by class: the start of the layer's attributes."""
    draw_mode: str
    """Mode of the layer in which a person adds objects."""
    changes: tuple[str, ...]
    """Events of the layer after which its objects may be others."""

    def in_use(self, layer: Any) -> bool:
        """Whether a person is drawing, dragging or selecting; touching the layer now would break that."""

    def click_side(self, layer: Any) -> float:
        """Side of what a mere click leaves that is no object."""

    def read(self, layer: Any) -> Rows:
        """Read all objects of a layer with their features."""

    def as_drawn(self, corners: NDArray[Any]) -> NDArray[Any]:
        """Return (N, 4) boxes as they come back from the layer."""

    def align(self, layer: Any) -> None:
        """Give every object one colour again."""

    def add(self, layer: Any, boxes: Sequence[Box], classes: Classes, line_width: float) -> None:
        """Add objects, whose features are written later."""

    def colors(self, layer: Any, attribute: str) -> Mapping[Any, Any]:
        """Return the colour of each value of the feature that an attribute is coloured by."""

    def set_colors(self, layer: Any, attribute: str, colors: dict[str, Any]) -> None:
        """Give each value of the feature its colour."""

    def set_widths(self, layer: Any, widths: list[float]) -> None:
        """Set the widths of the outlines, in pixels of the image."""

    def set_line_width(self, layer: Any, states: Sequence[str | None], width: float) -> None:
        """Set the widths of the outlines by the states of their boxes, and that of new ones."""

    def sides(self, layer: Any) -> list[float]:
        """Return the shorter side of some objects, in pixels."""
