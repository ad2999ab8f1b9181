"""Very many boxes in a viewer: shapes where a person looks, dots elsewhere."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_localize.core.window import View, dots
from napari_localize.plugin.boxes import BoxLayer, box_layer
from napari_localize.plugin.layers import boxes_to_vertices, is_box_layer, rgba, transform_of, view_index
from napari_localize.plugin.mirror import in_use
from napari_localize.plugin.timer import single_shot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import LayerList
    from napari.layers import Layer, Points, Shapes

DOTS = "napari_localize_dots"
"""Key in the metadata of a layer of dots."""

_SETTLE_MS, _IDLE_MS = 5, 300
_SPACING, _SIZE = 3.0, 4.0  # screen pixels
_MOST_DOTS = 6_000
_SMALL, _LARGE = 36, 420  # screen pixels: smaller boxes are hard to judge, larger ones fill the canvas
_BESIDE = 0.5
"""So much of the view's size beside it has dots already, so that a short way needs no new ones."""

_windows: dict[int, Windows] = {}


def windows_of(viewer: Any) -> Windows:
    """Return what follows a viewer; the first call for a viewer starts it, and it lasts as long as the viewer."""
    viewer = getattr(viewer, "__wrapped__", viewer)  # napari hands a proxy to the widgets of plugins
    windows = _windows.get(id(viewer))
    if windows is None:
        windows = _windows[id(viewer)] = Windows(viewer)
        weakref.finalize(viewer, _windows.pop, id(viewer), None)
    return windows


def camera_of(viewer: Any) -> Any:
    """Return the camera, which was an attribute of the viewer before napari 0.9."""
    return viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera


def view_of(viewer: Any, layer: Shapes) -> View | None:
    """Return what is seen of a layer; None in 3-D."""
    if viewer.dims.ndisplay != 2:
        return None
    camera = camera_of(viewer)
    height, width = viewer.canvas.size if hasattr(viewer, "canvas") else viewer._canvas_size
    half = np.array([height, width]) / (2 * camera.zoom)
    middle = np.array(camera.center[-2:])
    point = np.array(viewer.dims.point, float)
    corners = []
    for sign in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        point[-2:] = middle + half * sign
        corners.append(layer.world_to_data(point[-layer.ndim :])[-2:])
    low, high = np.min(corners, axis=0) + 0.5, np.max(corners, axis=0) + 0.5
    zoom = float(2 * half[1] * camera.zoom / max(high[1] - low[1], 1e-9))
    rectangle = (float(low[0]), float(high[0]), float(low[1]), float(high[1]))
    return View(view_index(layer, viewer.dims.point), rectangle, zoom)


def show_plane(viewer: Any, layer: Layer, plane: Sequence[int]) -> None:
    """Move the sliders to a plane of a layer."""
    if not plane:
        return
    world = layer.data_to_world([*plane, 0, 0])
    first = viewer.dims.ndim - layer.ndim
    viewer.dims.set_point(list(range(first, first + len(plane))), [float(at) for at in world[: len(plane)]])


def show_rectangle(viewer: Any, layer: Layer, plane: Sequence[int], xyxy: tuple[float, float, float, float]) -> None:
    """Bring a rectangle of a layer, x0, y0, x1, y1, into the middle of the canvas, at a size at which it can be judged."""
    show_plane(viewer, layer, plane)
    corners = boxes_to_vertices(np.array([xyxy]), [tuple(plane)])[0]
    world = np.array([layer.data_to_world(corner) for corner in corners])[:, -2:]
    camera = camera_of(viewer)
    camera.center = (0.0, *(world.max(0) + world.min(0)) / 2)
    extent = float(np.max(world.max(0) - world.min(0)))
    on_screen = extent * camera.zoom
    if on_screen < _SMALL:
        camera.zoom = 2 * _SMALL / extent
    elif on_screen > _LARGE:
        camera.zoom = _LARGE / extent


class Windows:
    """Tells the layers of boxes of a viewer where a person looks, and shows the rest as dots."""

    def __init__(self, viewer: Any) -> None:
        self._viewer = weakref.ref(viewer)
        self._dots: weakref.WeakKeyDictionary[Shapes, Dots] = weakref.WeakKeyDictionary()
        self._timer = single_shot(self._on_timer)
        self._idle = single_shot(self._on_timer)
        camera = camera_of(viewer)
        for event in (camera.events.center, camera.events.zoom, viewer.dims.events.current_step):
            event.connect(self._moved)
        viewer.dims.events.ndisplay.connect(self._moved)
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.events.removed.connect(self._on_removed)
        for layer in list(viewer.layers):
            self._take(layer)

    def dots_of(self, layer: Shapes) -> Points | None:
        """Return the layer of dots beside a layer of boxes, if it needed one so far."""
        found = self._dots.get(layer)
        return None if found is None else found.layer

    @property
    def busy(self) -> bool:
        """Whether boxes will be exchanged in a moment."""
        return self._timer is not None and bool(self._timer.isActive())

    def look(self) -> None:
        """Bring all layers of boxes in line with what is seen now."""
        viewer = self._viewer()
        if viewer is None:
            return
        again = False
        for layer in list(viewer.layers):
            if not is_box_layer(layer):
                continue
            if in_use(layer):
                again = True
                continue
            boxes = box_layer(layer)
            view = view_of(viewer, layer)
            boxes.look_at(view)
            self._show_dots(viewer.layers, boxes, view)
        if again:
            self._moved()

    def _show_dots(self, layers: LayerList, boxes: BoxLayer, view: View | None) -> None:
        layer = boxes.layer
        if layer not in self._dots:
            if not boxes.not_drawn or layer not in layers:
                return
            self._dots[layer] = Dots(boxes)
        self._dots[layer].show(layers, view)

    def _take(self, layer: Any) -> None:
        if is_box_layer(layer):
            box_layer(layer).changed.connect(self._edited, unique=True)
            self._moved()

    def _on_inserted(self, event: Any) -> None:
        self._take(event.value)

    def _on_removed(self, event: Any) -> None:
        layer = event.value
        if is_box_layer(layer):
            box_layer(layer).changed.disconnect(self._edited, missing_ok=True)
            found = self._dots.pop(layer, None)
            if found is not None:
                found.remove(event.source)

    def _moved(self) -> None:
        if self._timer is None:
            self.look()
        elif not self._timer.isActive():
            self._timer.start(_SETTLE_MS)

    def _edited(self) -> None:
        """Hide dots of boxes that are no longer to be seen at once; which dots there are can wait for a pause."""
        for found in self._dots.values():
            found.update_shown()
        if self._idle is None:
            self.look()
        else:
            self._idle.start(_IDLE_MS)

    def _on_timer(self) -> None:
        self.look()


class Dots:
    """The boxes of a layer that are no shapes, as points coloured by class."""

    def __init__(self, boxes: BoxLayer) -> None:
        self._boxes = boxes
        self._covers: tuple[float, float, float, float] | None = None
        self._state: Any = None
        self._ids = np.zeros(0, np.int64)
        self.layer: Points | None = None

    def show(self, layers: LayerList, view: View | None) -> None:
        """Show what belongs into the view, and a little beside it."""
        boxes = self._boxes
        if self.layer is not None and self.layer not in layers:
            # A person has deleted it, perhaps to be rid of it; it comes again with the next layer of boxes.
            return
        if view is None or not boxes.not_drawn:
            self._clear()
            return
        table = boxes.table
        state = (view.plane, boxes.revision, round(np.log(view.zoom) * 2))
        if state != self._state or self._covers is None or not _within(view.rectangle, self._covers):
            self._state, self._covers = state, view.grown(_BESIDE)
            self._ids = dots(table, view, _BESIDE, _SPACING, _MOST_DOTS)
            if not len(self._ids):
                self._clear()
                return
            rows = table.boxes.take(table.boxes.rows(self._ids))
            corners = boxes_to_vertices(rows.boxes, np.tile(np.array(view.plane, np.float32), (len(rows), 1)))
            colors = np.array([rgba(table.classes.get(name, "#FFFFFF")) for name in rows.class_names] or [[1] * 4])
            self._write(layers, corners.mean(axis=1), colors[rows.labels], _SIZE / view.zoom)
        self.update_shown()

    def update_shown(self) -> None:
        """Hide the dots of boxes that are shapes, or are not to be seen."""
        if self.layer is None or not len(self.layer.data):
            return
        table = self._boxes.table
        rows = table.boxes.where(self._ids)
        shown = (rows >= 0) & ~np.isin(self._ids, self._boxes.drawn)
        shown[shown] = table.showing()[rows[shown]]
        if not np.array_equal(shown, self.layer.shown):
            self.layer.shown = shown

    def remove(self, layers: LayerList) -> None:
        """Take the dots out of the viewer."""
        if self.layer is not None and self.layer in layers:
            layers.remove(self.layer)

    def _follow(self) -> None:
        """Hide with the boxes."""
        if self.layer is not None:
            self.layer.visible = self._boxes.layer.visible

    def _clear(self) -> None:
        self._state = self._covers = None
        if self.layer is not None and len(self.layer.data):
            self.layer.data = np.zeros((0, self.layer.ndim))

    def _write(self, layers: LayerList, centers: Any, colors: Any, size: float) -> None:
        from napari.layers import Points

        shapes = self._boxes.layer
        if self.layer is None:
            self.layer = Points(
                ndim=shapes.ndim,
                name=f"{shapes.name} (not in hand)",
                metadata={DOTS: True},
                border_width=0,
                **transform_of(shapes),
            )
            active = layers.selection.active
            layers.insert(layers.index(shapes), self.layer)
            layers.selection.active = active
            self.layer.editable = False
            shapes.events.visible.connect(self._follow)
            self._follow()
        layer = self.layer
        with layer.events.data.blocker(), layer.events.highlight.blocker():
            layer.data = centers
        layer.face_color = colors
        layer.size = size


def _within(inner: tuple[float, float, float, float], outer: tuple[float, float, float, float]) -> bool:
    return outer[0] <= inner[0] and inner[1] <= outer[1] and outer[2] <= inner[2] and inner[3] <= outer[3]
