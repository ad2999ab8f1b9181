"""One finding at a time, outlined on its image and brought into view."""

from __future__ import annotations

import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.core.annotations import plane_name
from napari_localize.core.errors import UserError
from napari_localize.core.findings import Finding
from napari_localize.plugin.areas import AREAS
from napari_localize.plugin.layers import boxes_to_vertices, image_planes, possible_channel_axes, transform_of
from napari_localize.plugin.window import camera_of, show_rectangle

if TYPE_CHECKING:
    from napari.layers import Image, Shapes

NAME = "Localize: marks"

_LINE, _OTHER_LINE = 3.0, 1.2  # screen pixels
_FACE = (0.0, 0.0, 0.0, 0.0)

_marks: dict[int, Marks] = {}


def marks_of(viewer: Any) -> Marks:
    """Return what outlines findings in a viewer."""
    viewer = getattr(viewer, "__wrapped__", viewer)  # napari hands a proxy to the widgets of plugins
    marks = _marks.get(id(viewer))
    if marks is None:
        marks = _marks[id(viewer)] = Marks(viewer)
        weakref.finalize(viewer, _marks.pop, id(viewer), None)
    return marks


class Marks:
    """A layer with the outline of the finding that is looked at; it is no layer of boxes, and nothing is kept of it."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = weakref.ref(viewer)
        self.layer: Shapes | None = None

    def show(self, finding: Finding) -> bool:
        """Go to a finding and outline it; False when its image is not open."""
        viewer = self._viewer()
        place = None if viewer is None else _find(viewer, finding.name)
        if viewer is None or place is None:
            self.clear()
            return False
        image, axis, plane = place
        layer = self._layer_on(viewer, image, axis)
        show_rectangle(viewer, layer, plane, finding.box)
        boxes = [finding.box] if finding.other is None else [finding.other, finding.box]
        pixel = 1 / (camera_of(viewer).zoom * float(np.mean(np.abs(layer.scale[-2:]))))
        layer.selected_data = set()
        layer.data = []
        layer.add_rectangles(
            list(boxes_to_vertices(np.array(boxes), [plane] * len(boxes))),
            edge_width=[_OTHER_LINE * pixel, _LINE * pixel][-len(boxes) :],
            edge_color=["#FFFFFF", finding.color][-len(boxes) :],
            face_color=np.array([_FACE] * len(boxes)),
        )
        return True

    def clear(self) -> None:
        """Take the outline away."""
        viewer, layer, self.layer = self._viewer(), self.layer, None
        if viewer is not None and layer is not None and layer in viewer.layers:
            viewer.layers.remove(layer)

    def _layer_on(self, viewer: Any, image: Image, channel_axis: int | None) -> Shapes:
        """Return the layer, lying as the image does."""
        from napari.layers import Shapes

        # As with boxes: only a leading axis of channels is left out.
        drop = channel_axis if channel_axis == 0 else None
        place = transform_of(image, drop)
        dimensions = image.ndim - (drop is not None)
        layer = self.layer
        if layer is not None and (layer not in viewer.layers or layer.ndim != dimensions):
            self.clear()
            layer = None
        if layer is None:
            # Marked like the layers of areas, so that nobody takes it for boxes or for a rectangle to run in.
            layer = Shapes(ndim=dimensions, name=NAME, metadata={AREAS: True}, **place)
            active = viewer.layers.selection.active
            viewer.add_layer(layer)
            viewer.layers.selection.active = active
            layer.editable = False
            self.layer = layer
        else:
            for name, value in place.items():
                setattr(layer, name, value)
        return layer


def _find(viewer: Any, name: str) -> tuple[Image, int | None, tuple[int, ...]] | None:
    """Return the image, its axis of channels and the plane that a name means."""
    for image in viewer.layers:
        if type(image).__name__ != "Image" or not name.startswith(image.name):
            continue
        for channel_axis in possible_channel_axes(image):
            # What cannot be looked for boxes in has no findings either.
            with suppress(UserError):
                for plane in image_planes(image, channel_axis):
                    if plane_name(image.name, plane.position) == name:
                        return image, channel_axis, plane.index
    return None
