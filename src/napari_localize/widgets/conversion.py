"""The commands that turn layers of boxes into layers of points and back."""

from typing import Any

from napari.viewer import Viewer
from qtpy.QtWidgets import QInputDialog

from napari_localize.core.errors import UserError
from napari_localize.plugin.conversion import converted, usual_size
from napari_localize.plugin.layers import is_box_layer, is_points

_SMALLEST, _LARGEST = 0.5, 100_000.0


# napari looks at the types of the arguments to find out what to call these with.
def boxes_to_points(viewer: Viewer) -> None:
    """Ask for a size and add a layer of points at the centres of each selected layer of boxes.

    Raises
    ------
    UserError
        When no layer of boxes is selected.
    """
    _convert(viewer, "Boxes to points", "Size of the points, in pixels:", points=True)


def points_to_boxes(viewer: Viewer) -> None:
    """Ask for a size and add a layer of boxes around the points of each selected layer of points.

    Raises
    ------
    UserError
        When no layer of points is selected.
    """
    _convert(viewer, "Points to boxes", "Side of the boxes, in pixels:", points=False)


def _convert(viewer: Any, title: str, question: str, points: bool) -> None:
    chosen = [layer for layer in viewer.layers if layer in viewer.layers.selection and _fits(layer, points)]
    if not chosen:
        what = "boxes" if points else "points"
        raise UserError(f"no layer of {what} is selected; select one in the layer list.")
    size, fine = QInputDialog.getDouble(None, title, question, usual_size(chosen[0]), _SMALLEST, _LARGEST, 1)
    if not fine:
        return
    for layer in chosen:
        new = converted(layer, viewer.layers, size, points=points)
        layer.visible = False
        viewer.add_layer(new)


def _fits(layer: Any, points: bool) -> bool:
    """Whether a layer can be converted: any points, but of shapes only those that are known to be boxes."""
    return is_box_layer(layer) and not is_points(layer) if points else is_points(layer) and layer.editable
