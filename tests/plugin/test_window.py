"""Very many boxes in a viewer: shapes where a person looks, dots elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_localize.core.detections import Detections
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.layers import new_box_layer
from napari_localize.plugin.window import camera_of, view_of, windows_of

SIDE = 4000


def many(number, seed=0):
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, SIDE - 20, (number, 2))
    corners = np.concatenate([start, start + rng.uniform(6, 20, (number, 2))], axis=1)
    return Detections(corners, rng.integers(0, 2, number), rng.random(number), class_names=("a", "b"))


@pytest.fixture
def viewer():
    viewer = ViewerModel()
    viewer.canvas.size = (600, 800)
    viewer.add_layer(Image(np.zeros((3, SIDE, SIDE), np.uint8), name="slide", scale=(1, 0.5, 0.5)))
    return viewer


@pytest.fixture
def layer(viewer):
    layer = new_box_layer(viewer.layers["slide"], ("a", "b"))
    box_layer(layer).set_proposals({(0,): many(20_000), (1,): many(20_000, 1), (2,): many(30, 2)}, "model@1")
    viewer.add_layer(layer)
    return layer


def look(viewer, y, x, zoom, plane=0):
    """Go to a place, in pixels of the image."""
    viewer.dims.set_point(0, plane)
    camera = camera_of(viewer)
    camera.center = (0, y * 0.5, x * 0.5)
    camera.zoom = zoom * 2
    windows_of(viewer).look()


def ids_in(layer, plane, y0, y1, x0, x1):
    boxes = box_layer(layer).detections((plane,))
    x, y = boxes.centers.T
    return set(boxes.ids[(x > x0) & (x < x1) & (y > y0) & (y < y1)].tolist())


def test_all_boxes_in_view_are_shapes_when_one_is_near(viewer, layer):
    for y, x, plane in ((1000, 1000, 0), (1100, 1000, 0), (3000, 500, 0), (3000, 500, 1)):
        look(viewer, y, x, zoom=4, plane=plane)
        view = view_of(viewer, layer)
        assert view.plane == (plane,)
        assert view.rectangle == pytest.approx((y - 75, y + 75, x - 100, x + 100), abs=1)
        in_view = ids_in(layer, plane, *view.rectangle)
        assert in_view
        assert in_view <= set(layer.features["id"])
        assert layer.nshapes <= 500


def test_from_far_away_the_rest_is_seen_as_dots_of_its_class(viewer, layer):
    look(viewer, SIDE / 2, SIDE / 2, zoom=0.15)
    boxes, dots = box_layer(layer), windows_of(viewer).dots_of(layer)
    assert layer.nshapes + boxes.not_drawn == 40_030
    # Where there is a box on this plane there is a dot within some screen pixels, or a shape.
    shown = np.asarray(dots.data)[np.asarray(dots.shown)][:, 1:]
    table = boxes.detections((0,))
    for key, (x, y) in zip(table.ids[::500], table.centers[::500], strict=True):
        near = np.abs(shown - (y - 0.5, x - 0.5)).max(axis=1).min()
        assert key in set(layer.features["id"]) or near < 8 / 0.15
    colors = {tuple(np.round(color, 2)) for color in dots.face_color}
    assert colors == {tuple(np.round(color, 2)) for color in layer.edge_color}
    np.testing.assert_allclose(dots.scale, layer.scale)


def test_a_plane_with_few_boxes_has_them_all_in_the_layer(viewer, layer):
    look(viewer, SIDE / 2, SIDE / 2, zoom=0.15, plane=2)
    assert ids_in(layer, 2, 0, SIDE, 0, SIDE) <= set(layer.features["id"])
    assert len(ids_in(layer, 2, 0, SIDE, 0, SIDE)) == 30
    look(viewer, SIDE / 2, SIDE / 2, zoom=0.15, plane=0)
    assert windows_of(viewer).dots_of(layer).shown.sum() > 1000
    look(viewer, SIDE / 2, SIDE / 2, zoom=0.15, plane=2)
    assert not windows_of(viewer).dots_of(layer).shown.any()


def test_editing_where_one_looks_and_coming_back_later(viewer, layer):
    boxes = box_layer(layer)
    look(viewer, 1000, 1000, zoom=4)
    key = next(iter(ids_in(layer, 0, 950, 1050, 920, 1080)))
    row = [*layer.features["id"]].index(key)
    layer._data_view.shift(row, np.array([5, 5]))
    layer.events.data(value=layer.data, action="changed", data_indices=(row,), vertex_indices=((),))
    look(viewer, 3000, 3000, zoom=4)
    assert boxes.get(key).state == "edited"
    boxes.undo()
    assert boxes.get(key).state == "proposed"
    boxes.redo()
    look(viewer, 1000, 1000, zoom=4)
    row = [*layer.features["id"]].index(key)
    assert layer.features["state"][row] == "edited"
    assert len(boxes) == 40_030


def test_the_score_acts_on_the_whole(viewer, layer):
    boxes = box_layer(layer)
    look(viewer, SIDE / 2, SIDE / 2, zoom=0.15)
    boxes.set_filter(0.9)
    expected = sum(int((many(n, seed).scores >= 0.9).sum()) for n, seed in ((20_000, 0), (20_000, 1), (30, 2)))
    assert sum(count.shown for count in boxes.counts().values()) == expected
    boxes.set_filter(0.999)
    windows_of(viewer).look()
    assert boxes.not_drawn == 0
    assert len(windows_of(viewer).dots_of(layer).data) == 0


def test_a_copy_of_the_layer_has_all_boxes(viewer, layer):
    from napari.layers._layer_actions import _duplicate_layer

    look(viewer, 1000, 1000, zoom=4)
    viewer.layers.selection = {layer}
    _duplicate_layer(viewer.layers)
    (copy,) = [one for one in viewer.layers if one.name == f"{layer.name} copy"]
    assert copy.nshapes <= 500
    assert len(box_layer(copy)) == len(box_layer(layer)) == 40_030
    box_layer(copy).delete(box_layer(copy).table.boxes.ids)
    assert len(box_layer(layer).detections((0,))) == 20_000


def test_dots_go_with_their_boxes(viewer, layer):
    look(viewer, SIDE / 2, SIDE / 2, zoom=0.15)
    dots = windows_of(viewer).dots_of(layer)
    assert dots in viewer.layers
    layer.visible = False
    assert not dots.visible
    viewer.layers.remove(layer)
    assert [one.name for one in viewer.layers] == ["slide"]


def test_dots_that_a_person_deletes_stay_away(viewer, layer):
    look(viewer, SIDE / 2, SIDE / 2, zoom=0.15)
    viewer.layers.remove(windows_of(viewer).dots_of(layer))
    look(viewer, SIDE / 2, SIDE / 2, zoom=0.3)
    assert len(viewer.layers) == 2
