"""The part of an image that is in view or inside a drawn rectangle, as a rectangle of whole pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.core.errors import UserError
from napari_localize.plugin.layers import vertices_to_boxes

if TYPE_CHECKING:
    from napari.layers import Image, Shapes

Region = tuple[int, int, int, int]
"""``y0, y1, x0, x1`` in full-resolution pixels, inside the image."""


def view_region(viewer: Any, image: Image) -> Region:
    """Return the smallest upright rectangle of an image that holds all that the canvas shows of it.

    Raises
    ------
    UserError
        When the canvas shows a volume, another side of a stack, or nothing of the image.
    """
    displayed = tuple(viewer.dims.displayed)
    if displayed != (viewer.dims.ndim - 2, viewer.dims.ndim - 1):
        raise UserError(
            "the current view is not a view of one plane; switch to 2-D and to the usual order of the axes, "
            "or choose another part of the image."
        )
    # Before napari 0.9 both were attributes of the viewer, and the size of the canvas a private one.
    new = hasattr(viewer, "scene")
    camera, size = (viewer.scene.camera, viewer.canvas.size) if new else (viewer.camera, viewer._canvas_size)
    half = np.asarray(size) / camera.zoom / 2
    center = np.asarray(camera.center)[-2:]
    corners = []
    for sign in ((-1, -1), (-1, 1), (1, 1), (1, -1)):
        point = np.array(viewer.dims.point, float)
        point[-2:] = center + half * sign
        corners.append(point)
    return _region(corners, image, "the current view shows nothing of {name}; move the image into the view.")


def shape_region(shapes: Shapes, row: int, image: Image) -> Region:
    """Return the smallest upright rectangle of an image around one shape.

    Raises
    ------
    UserError
        When the shape lies outside the image.
    """
    corners = [np.asarray(shapes.data_to_world(vertex)) for vertex in shapes.data[row]]
    return _region(corners, image, "the rectangle lies outside {name}; draw one on the image.")


def shape_diameter(shapes: Shapes, rows: Sequence[int], image: Image) -> float:
    """Return the object diameter that some shapes show, in pixels of an image: the median over them.

    Raises
    ------
    UserError
        When the shapes have no area.
    """
    boxes = [_box([np.asarray(shapes.data_to_world(vertex)) for vertex in shapes.data[row]], image) for row in rows]
    sizes = [np.sqrt((box[2] - box[0]) * (box[3] - box[1])) for box in boxes]
    diameter = float(np.median(sizes))
    if not diameter > 0:
        raise UserError("the selected shape has no area; select a box around one object.")
    return diameter


def _box(corners: Sequence[Any], image: Image) -> Any:
    inside = np.array([image.world_to_data(corner) for corner in corners])
    (box,), _, _ = vertices_to_boxes([inside], image.ndim)
    return box


def _region(corners: Sequence[Any], image: Image, nothing: str) -> Region:
    box = _box(corners, image)
    level = image.data[0] if image.multiscale else image.data
    rows, columns = (int(n) for n in (level.shape[-3:-1] if image.rgb else level.shape[-2:]))
    x0, y0 = (max(int(np.floor(value)), 0) for value in box[:2])
    x1, y1 = min(int(np.ceil(box[2])), columns), min(int(np.ceil(box[3])), rows)
    if x0 >= x1 or y0 >= y1:
        raise UserError(nothing.format(name=repr(image.name)))
    return y0, y1, x0, x1
