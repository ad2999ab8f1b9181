"""A layer of points under napari's own tools, in files, and from and to boxes."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Layer, Points
from npe2 import PluginManager

from napari_localize.core.detections import STATES, Detections
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.conversion import converted, usual_size
from napari_localize.plugin.keeping import keeper_of
from napari_localize.plugin.layers import is_box_layer, new_box_layer
from napari_localize.plugin.pairs import boxes_of, image_of, pair
from napari_localize.plugin.readers import get_reader
from napari_localize.plugin.window import view_of, windows_of
from napari_localize.plugin.writers import write_coco, write_csv

FOUND = Detections(
    np.array([(10, 10, 30, 20), (50, 10, 70, 30), (10, 50, 30, 70), (50, 50, 70, 70)]),
    labels=[0, 1, 0, 1],
    scores=[0.3, 0.5, 0.7, 0.9],
    class_names=("a", "b"),
)


@pytest.fixture
def image():
    return Image(np.zeros((100, 100)), name="spots")


@pytest.fixture
def layer(image):
    layer = new_box_layer(image, ("a", "b"), point_size=8)
    box_layer(layer).set_proposals({(): FOUND}, "model@1")
    return layer


@pytest.fixture
def points(layer):
    return box_layer(layer)


def test_results_of_a_model_become_points_at_the_centres(layer, points):
    assert isinstance(layer, Points)
    assert is_box_layer(layer)
    assert layer.name == "spots points"
    np.testing.assert_allclose(layer.data, FOUND.centers[:, ::-1] - 0.5)
    np.testing.assert_allclose(layer.size, 8)
    assert list(layer.features) == ["class", "score", "id", "origin", "state"]
    np.testing.assert_array_equal(layer.border_color[0], layer.border_color[2])
    assert not np.array_equal(layer.border_color[0], layer.border_color[1])
    assert not layer.selected_data
    assert points.table.kind == "point"
    np.testing.assert_allclose(points.detections().centers, FOUND.centers)


def test_a_click_adds_a_point_of_the_class_that_is_next(layer, points):
    points.next_class = "b"
    layer.add([80, 40])
    (key,) = points.selected_ids
    assert points.get(key).label == "b"
    assert points.get(key).state == "added"
    assert points.get(key).xyxy == (36.5, 76.5, 44.5, 84.5)
    assert points.undo_text == "add 1 point"
    points.undo()
    assert len(layer.data) == 4


def test_judging_moving_and_taking_back(layer, points):
    points.accept([1, 2])
    points.reject([3])
    assert len(layer.data) == 3
    assert points.undo_text == "reject 1 point"
    layer.selected_data = {0}
    start = layer.data[0].copy()
    layer._set_drag_start({0}, start)
    layer._move({0}, start + 5)
    layer._drag_start = None
    points.reconcile()
    assert points.get(1).state == "edited"
    for _ in range(3):
        points.undo()
    np.testing.assert_allclose(points.detections().centers, FOUND.centers)
    assert set(points.detections().states) == {"proposed"}


def test_the_size_is_nominal(layer, points):
    layer.selected_data = {0, 1}
    layer.current_size = 20.0
    points.reconcile()
    assert points.get(1).diameter == pytest.approx(20)
    assert points.get(1).state == "proposed"
    points.set_filter(0.0, (30, 40))
    assert len(points.shown()) == 4


def test_points_near_the_border_keep_their_place(layer, points):
    layer.add([0, 0])
    points.reconcile()
    np.testing.assert_allclose(points.detections().centers[-1], [0.5, 0.5])


def test_a_layer_of_points_from_elsewhere_is_taken_over():
    layer = Points(np.array([[1, 2], [3, 4]]), size=5)
    points = box_layer(layer)
    assert {box.label for box in points.shown().values()} == {"object"}
    assert points.table.point_size == 5
    layer.add([[9, 9]])
    assert len(points) == 3


@pytest.mark.parametrize(("write", "name"), [(write_coco, "spots.json"), (write_csv, "spots.csv")])
@pytest.mark.parametrize("planes", [(), (3,)])
def test_points_are_saved_and_opened_as_points(tmp_path, write, name, planes):
    layer = new_box_layer(Image(np.zeros((*planes, 100, 100)), name="spots"), ("a", "b"), point_size=8)
    points = box_layer(layer)
    index = (2,) if planes else ()
    points.set_proposals({index: FOUND}, "model@1")
    points.accept([1])
    points.reject([2])
    layer.add([*index, 0, 0])
    points.reconcile()
    path = str(tmp_path / name)
    data, meta, _ = layer.as_layer_data_tuple()
    assert write(path, data, meta) == [path]
    (part,) = get_reader(path)(path)
    assert part[2] == "points"
    again = box_layer(Layer.create(*part))
    old, new = points.detections(index, STATES), again.detections(index, STATES)
    np.testing.assert_allclose(new.centers, old.centers, atol=1e-3)
    np.testing.assert_array_equal(new.states, old.states)
    np.testing.assert_allclose(new.diameters, 8, atol=1e-3)


def test_boxes_to_points_and_back(image):
    viewer = ViewerModel()
    viewer.add_layer(image)
    layer = new_box_layer(image, ("a", "b"))
    pair(layer, image)
    viewer.add_layer(layer)
    boxes = box_layer(layer)
    boxes.set_proposals({(): FOUND}, "model@1")
    boxes.accept([1])
    boxes.reject([2])
    boxes.finish(())
    assert usual_size(layer) == pytest.approx(20)
    new = converted(layer, viewer.layers, 6, points=True)
    points = box_layer(new)
    viewer.add_layer(new)
    assert image_of(new, viewer.layers) is image
    assert boxes_of(image, viewer.layers, None) is boxes
    assert boxes_of(image, viewer.layers, None, points=True) is points
    assert points.finished == {()}
    for key in (1, 2, 3, 4):
        old, box = boxes.get(key), points.get(key)
        assert old[2:] == box[2:]
        assert box.diameter == pytest.approx(6)
    assert len(new.data) == 3
    back = box_layer(converted(new, viewer.layers, 10, points=False))
    assert type(back.layer).__name__ == "Shapes"
    assert back.get(4).xyxy == (55, 55, 65, 65)
    assert back.get(2).state == "rejected"


def test_very_many_points_are_edited_where_a_person_looks(monkeypatch):
    monkeypatch.setattr("napari_localize.plugin.boxes.MOST_POINTS", 500)
    viewer = ViewerModel()
    viewer.canvas.size = (600, 800)
    image = viewer.add_layer(Image(np.zeros((4000, 4000), np.uint8), name="slide"))
    layer = new_box_layer(image, point_size=6)
    rng = np.random.default_rng(0)
    start = rng.uniform(0, 3990, (20_000, 2))
    box_layer(layer).set_proposals({(): Detections(np.hstack([start, start + 6]), scores=rng.random(20_000))}, "m@1")
    viewer.add_layer(layer)
    camera = viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera
    camera.center, camera.zoom = (0, 1000, 1000), 4
    windows_of(viewer).look()
    points = box_layer(layer)
    rectangle = view_of(viewer, layer).rectangle
    x, y = points.detections().centers.T
    seen = (y > rectangle[0]) & (y < rectangle[1]) & (x > rectangle[2]) & (x < rectangle[3])
    assert set(points.detections().ids[seen].tolist()) <= set(points.drawn.tolist())
    assert points.not_drawn == 19_500
    assert len(layer.data) == 500


def test_points_are_kept_on_disk_as_points(layer, image):
    viewer = ViewerModel()
    viewer.add_layer(image)
    keeper = keeper_of(viewer)
    viewer.add_layer(layer)
    entry = keeper.image_of(layer)
    assert entry.point_size == 8
    assert entry.load().table().kind == "point"


@pytest.mark.parametrize("name", ["spots.json", "spots.csv", "spots.geojson", "spots.zip"])
def test_the_file_menu_saves_points_as_points(tmp_path, layer, points, name):
    # A viewer without a window looks for no plugins.
    PluginManager.instance().discover()
    viewer = ViewerModel()
    viewer.layers.append(layer)
    points.accept(list(points.shown()))
    path = tmp_path / name
    # napari has a writer of its own for points as a table.
    assert viewer.layers.save(str(path), selected=True, plugin="napari-localize") == [str(path)]
    ((data, _, kind),) = get_reader(str(path))(str(path))
    assert kind == "points"
    np.testing.assert_allclose(np.sort(data, axis=0), np.sort(layer.data, axis=0), atol=1e-3)
