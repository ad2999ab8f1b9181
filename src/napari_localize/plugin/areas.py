"""Areas that are finished or to be ignored, in a viewer: drawing them, and a quiet tint where they are."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from app_model.types import KeyCode
from psygnal import Signal

from napari_localize.core.areas import inside
from napari_localize.core.errors import UserError
from napari_localize.plugin.boxes import BoxLayer, box_layer
from napari_localize.plugin.layers import (
    boxes_to_vertices,
    is_box_layer,
    is_points,
    transform_of,
    vertices_to_boxes,
    view_index,
)
from napari_localize.plugin.mirror import click_side, in_use
from napari_localize.plugin.timer import single_shot

if TYPE_CHECKING:
    from napari.components import LayerList
    from napari.layers import Layer, Shapes

    from napari_localize.core.boxes import PlaneIndex
    from napari_localize.core.steps import Area

Kind = Literal["reviewed", "ignored"]

AREAS = "napari_localize_areas"
"""Key in the metadata of layers that show areas or take a new one."""

WORDS = {"reviewed": "finished", "ignored": "ignored"}

_EDGES = {"reviewed": (0.27, 0.8, 0.6, 0.9), "ignored": (0.75, 0.75, 0.75, 0.9)}
_FACES = {"reviewed": (0.27, 0.8, 0.6, 0.07), "ignored": (0.5, 0.5, 0.5, 0.22)}
_SMALLEST = 2.0  # pixels
_WAIT_MS = 15

_tints: dict[int, Tints] = {}


def tints_of(viewer: Any) -> Tints:
    """Return what shows the areas of a viewer; the first call for a viewer starts it."""
    viewer = getattr(viewer, "__wrapped__", viewer)  # napari hands a proxy to the widgets of plugins
    tints = _tints.get(id(viewer))
    if tints is None:
        tints = _tints[id(viewer)] = Tints(viewer)
        weakref.finalize(viewer, _tints.pop, id(viewer), None)
    return tints


def is_area_layer(layer: Layer) -> bool:
    """Whether a layer shows areas or takes a new one; it holds nothing to work with."""
    return AREAS in layer.metadata


def areas_on(boxes: BoxLayer, plane: PlaneIndex) -> list[Area]:
    """Return the areas of a plane from top to bottom."""
    return sorted((area for area in boxes.areas if area.plane == plane), key=lambda area: (area.xyxy[1], area))


def area_at(boxes: BoxLayer, plane: PlaneIndex, x: float, y: float) -> Area | None:
    """Return the smallest area at a place, given in pixels."""
    there = [area for area in areas_on(boxes, plane) if inside([[x, y]], [area.xyxy])[0]]
    return min(there, key=_size, default=None)


def _size(area: Area) -> float:
    x0, y0, x1, y1 = area.xyxy
    return (x1 - x0) * (y1 - y0)


class Tints:
    """Shows the areas of all layers of boxes of a viewer."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = weakref.ref(viewer)
        self._tints: weakref.WeakKeyDictionary[Shapes, Tint] = weakref.WeakKeyDictionary()
        self._timer = single_shot(self.show)
        viewer.dims.events.current_step.connect(self._soon)
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        for layer in list(viewer.layers):
            self._take(layer)

    def layer_of(self, layer: Shapes) -> Shapes | None:
        """Return the layer that shows the areas of a layer of boxes, if it needed one so far."""
        found = self._tints.get(layer)
        return None if found is None else found.layer

    def show(self) -> None:
        """Bring all tints in line with what is finished on the planes in view."""
        viewer = self._viewer()
        if viewer is None:
            return
        for layer in list(viewer.layers):
            if is_box_layer(layer):
                boxes = box_layer(layer)
                if layer not in self._tints and (boxes.areas or boxes.finished):
                    self._tints[layer] = Tint(boxes)
                if layer in self._tints:
                    self._tints[layer].show(viewer.layers, view_index(layer, viewer.dims.point))

    def _take(self, layer: Any) -> None:
        if is_box_layer(layer):
            box_layer(layer).changed.connect(self._soon, unique=True)
            self._soon()

    def _on_inserted(self, event: Any) -> None:
        self._take(event.value)

    def _on_removed(self, event: Any) -> None:
        layer = event.value
        if is_box_layer(layer):
            box_layer(layer).changed.disconnect(self._soon, missing_ok=True)
            found = self._tints.pop(layer, None)
            if found is not None:
                found.remove(event.source)

    def _soon(self) -> None:
        if self._timer is None:
            self.show()
        elif not self._timer.isActive():
            self._timer.start(0)


class Tint:
    """The areas of one plane as shapes that cannot be touched: named, and those to be ignored crossed out."""

    def __init__(self, boxes: BoxLayer) -> None:
        self._boxes = boxes
        self._shown: Any = None
        self.layer: Shapes | None = None

    def show(self, layers: LayerList, plane: PlaneIndex) -> None:
        """Show the areas of a plane; without any on any plane there is no layer."""
        boxes = self._boxes
        if not boxes.areas and not boxes.finished:
            self.remove(layers)
            return
        wanted = plane, areas_on(boxes, plane), plane in boxes.finished
        if wanted == self._shown:
            # A person who has deleted the layer is not shown it again before there is news.
            return
        self._shown = wanted
        if self.layer is None or self.layer not in layers:
            self._insert(layers)
        self._write(*wanted)

    def remove(self, layers: LayerList) -> None:
        """Take the tint out of the viewer."""
        layer, self.layer, self._shown = self.layer, None, None
        shapes = self._boxes.layer if self._boxes.alive else None
        if shapes is not None:
            shapes.events.visible.disconnect(self._follow)
            _width_event(shapes).disconnect(self._follow)
            for name in transform_of(shapes):
                getattr(shapes.events, name).disconnect(self._lay)
        if layer is not None and layer in layers:
            layers.remove(layer)

    def _insert(self, layers: LayerList) -> None:
        from napari.layers import Shapes

        shapes = self._boxes.layer
        self.layer = Shapes(
            ndim=shapes.ndim,
            name=f"{shapes.name} (areas)",
            metadata={AREAS: True},
            features={"text": np.array([], object)},
            feature_defaults={"text": ""},
            text={"string": "{text}", "size": 9, "anchor": "upper_left", "color": "#DDDDDD"},
            opacity=1.0,
            **transform_of(shapes),
        )
        active = layers.selection.active
        layers.insert(layers.index(shapes), self.layer)
        layers.selection.active = active
        self.layer.editable = False
        shapes.events.visible.connect(self._follow)
        _width_event(shapes).connect(self._follow)
        for name in transform_of(shapes):
            getattr(shapes.events, name).connect(self._lay)
        self._follow()

    def _follow(self) -> None:
        """Hide with the boxes, and have edges as thin as theirs."""
        if self.layer is not None:
            self.layer.visible = self._boxes.layer.visible
            if self.layer.nshapes:
                self.layer.edge_width = self._boxes.line_width

    def _lay(self) -> None:
        """Stay where the boxes are."""
        if self.layer is not None:
            for name, value in transform_of(self._boxes.layer).items():
                setattr(self.layer, name, value)

    def _write(self, plane: PlaneIndex, areas: list[Area], finished: bool) -> None:
        layer = self.layer
        if layer is None:
            return
        rectangles = [(area.kind, area.xyxy) for area in areas]
        size = self._boxes.image_info.get("size")
        if finished and size is not None:
            rectangles.insert(0, ("reviewed", (0.0, 0.0, float(size[1]), float(size[0]))))
        data: list[Any] = []
        kinds: list[tuple[str, str, str]] = []
        for kind, xyxy in rectangles:
            corners = boxes_to_vertices(np.array([xyxy]), [plane])[0]
            data.append(corners)
            kinds.append((kind, "polygon", WORDS[kind]))
            if kind == "ignored":
                data += [corners[[0, 2]], corners[[1, 3]]]
                kinds += [(kind, "line", "")] * 2
        layer.remove(list(range(layer.nshapes)))
        if data:
            layer.add(
                data,
                shape_type=[shape for _, shape, _ in kinds],
                edge_color=np.array([_EDGES[kind] for kind, _, _ in kinds]),
                face_color=np.array([_FACES[kind] for kind, _, _ in kinds]),
                edge_width=self._boxes.line_width,
            )
            layer.features = {"text": np.array([text for _, _, text in kinds], object)}
            layer.refresh_text()


def _width_event(layer: Any) -> Any:
    """Return what tells of other widths of outlines: those of boxes, or those of points."""
    return layer.events.border_width if is_points(layer) else layer.events.edge_width


class AreaPen:
    """Lets a person draw one area over the plane of a layer of boxes, in a layer that is there only so long."""

    changed = Signal()
    """It has been taken up or laid down."""
    refused = Signal(str)
    """What was drawn is no area; why."""

    def __init__(self, viewer: Any) -> None:
        self._layers: LayerList = viewer.layers
        self._boxes: BoxLayer | None = None
        self._layer: Shapes | None = None
        self._timer = single_shot(self._take)
        self.kind: Kind | None = None

    def start(self, boxes: BoxLayer, kind: Kind) -> None:
        """Have the next rectangle that is drawn become an area."""
        from napari.layers import Shapes

        self.stop()
        shapes = boxes.layer
        layer = Shapes(
            ndim=shapes.ndim,
            name=f"draw what is {WORDS[kind]}",
            metadata={AREAS: True},
            edge_color=np.array(_EDGES[kind]),
            face_color=np.array(_FACES[kind]),
            edge_width=boxes.line_width,
            **transform_of(shapes),
        )
        self._boxes, self._layer, self.kind = boxes, layer, kind
        self._layers.append(layer)
        self._layers.selection.active = layer
        layer.mode = "add_rectangle"
        layer.events.data.connect(self._soon)
        for key in (KeyCode.Escape, KeyCode.KeyU):
            layer.bind_key(key, self._on_key, overwrite=True)
        self._layers.selection.events.active.connect(self._on_left)
        self._layers.events.removed.connect(self._on_left)
        self.changed.emit()

    def stop(self) -> None:
        """Draw no area after all."""
        layer, boxes = self._layer, self._boxes
        if layer is None or boxes is None:
            return
        self._boxes = self._layer = self.kind = None
        self._layers.selection.events.active.disconnect(self._on_left)
        self._layers.events.removed.disconnect(self._on_left)
        layer.events.data.disconnect(self._soon)
        active = self._layers.selection.active
        if layer in self._layers:
            self._layers.remove(layer)
        if boxes.alive and boxes.layer in self._layers and active in (layer, None):
            self._layers.selection.active = boxes.layer
        self.changed.emit()

    def abandon(self) -> None:
        """Leave all as it is: the window is going."""
        self._boxes = self._layer = self.kind = None

    def _on_key(self, _: Any) -> None:
        self.stop()

    def _on_left(self) -> None:
        if self._layers.selection.active is not self._layer:
            self._soon()

    def _soon(self) -> None:
        # Never at once: napari is in the middle of something. Without a window nobody draws.
        if self._timer is not None:
            self._timer.start(_WAIT_MS)

    def _take(self) -> None:
        """Make an area of what has been drawn, as soon as the mouse is let go."""
        layer, boxes, kind = self._layer, self._boxes, self.kind
        if layer is None or boxes is None or kind is None:
            return
        if in_use(layer):
            self._soon()
        elif layer not in self._layers or self._layers.selection.active is not layer or not boxes.alive:
            self.stop()
        elif layer.nshapes:
            (xyxy,), (index,), _ = vertices_to_boxes([layer.data[-1]], layer.ndim)
            area = _cut(xyxy.tolist(), boxes.image_info.get("size"))
            sides = xyxy[2:] - xyxy[:2]
            if area is None or abs(sides - click_side(layer)).max() < 0.01:
                layer.remove(list(range(layer.nshapes)))
                self.refused.emit("Drag a rectangle over a part of the image; Esc to leave.")
                return
            self.stop()
            plane = tuple(int(at) for at in index)
            try:
                (boxes.finish_area if kind == "reviewed" else boxes.ignore_area)(plane, area)
            except UserError as error:
                self.refused.emit(str(error))


def _cut(xyxy: list[float], size: Any) -> tuple[float, float, float, float] | None:
    """Return the part of a rectangle that lies on the image; None where that is next to nothing."""
    height, width = size or (np.inf, np.inf)
    x0, y0, x1, y1 = max(xyxy[0], 0.0), max(xyxy[1], 0.0), min(xyxy[2], width), min(xyxy[3], height)
    return (x0, y0, float(x1), float(y1)) if min(x1 - x0, y1 - y0) >= _SMALLEST else None
