"""What is found and what is there, from layers and files; no window is needed."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Points, Shapes

from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.formats import write_annotations
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.layers import new_box_layer
from napari_localize.plugin.pairs import pair
from napari_localize.plugin.sides import (
    file_truth,
    hit_distance,
    layer_found,
    layer_truth,
    on_planes_of,
    reviewed_truth,
)

TWO = Detections([[1, 1, 9, 9], [20, 20, 30, 30]], scores=[0.9, 0.2], class_names=("cell",))


def boxes_on(image, proposals, name="boxes", **kwargs):
    layer = new_box_layer(image, ("cell",), name=name, **kwargs)
    pair(layer, image)
    box_layer(layer).set_proposals(proposals, "m@1")
    return layer


@pytest.fixture
def movie():
    return Image(np.zeros((3, 40, 50)), name="movie", axis_labels=("t", "y", "x"))


def test_what_the_score_hides_was_found_nevertheless(movie):
    layer = boxes_on(movie, {(0,): TWO, (2,): TWO})
    box_layer(layer).set_filter(0.5)
    box_layer(layer).reject([next(iter(box_layer(layer).shown((0,))))])
    side = layer_found(layer, [movie, layer])
    assert {name: len(part) for name, part in side.planes.items()} == {"movie#t=0": 1, "movie#t=2": 2}
    assert set(side.sources) == {"movie#t=0", "movie#t=1", "movie#t=2"}


def test_the_truth_of_a_layer(movie):
    layer = boxes_on(movie, {(0,): TWO, (2,): TWO})
    boxes = box_layer(layer)
    layers = [movie, layer]
    # Nothing judged: all boxes that are shown, on the planes that have some.
    assert {name: len(part) for name, part in layer_truth(layer, layers).planes.items()} == {
        "movie#t=0": 2,
        "movie#t=2": 2,
    }
    # Something judged: only that.
    boxes.accept(list(boxes.shown((0,)))[:1])
    assert {name: len(part) for name, part in layer_truth(layer, layers).planes.items()} == {"movie#t=0": 1}
    # A finished plane without boxes is one without objects.
    boxes.finish((1,))
    boxes.ignore_area((1,), (0, 0, 5, 5))
    truth = layer_truth(layer, layers).planes
    assert truth.reviewed == {"movie#t=1"}
    assert len(truth["movie#t=1"]) == 0
    assert [area.kind for area in truth.areas["movie#t=1"]] == ["ignored"]
    assert reviewed_truth(layers).planes.reviewed == {"movie#t=1"}


def test_nothing_to_compare_with_is_told(movie):
    empty = boxes_on(movie, {})
    with pytest.raises(UserError, match="has no boxes to compare with"):
        layer_truth(empty, [movie, empty])
    with pytest.raises(UserError, match="no plane or area is finished"):
        reviewed_truth([movie, empty])


def test_shapes_that_name_no_image_belong_to_the_only_one(movie):
    drawn = Shapes([[[0, 1, 1], [0, 1, 9], [0, 9, 9], [0, 9, 1]]], shape_type="rectangle", name="drawn")
    other = Image(np.zeros((3, 10, 10)), name="other")
    model = boxes_on(movie, {(0,): TWO})
    assert list(layer_truth(drawn, [movie, model, drawn]).planes) == ["movie#t=0"]
    with pytest.raises(UserError, match="not clear which image 'drawn' belongs to"):
        layer_truth(drawn, [movie, other, model, drawn])


def test_sides_of_different_images_are_told(movie):
    other = Image(np.zeros((40, 50)), name="other")
    here, there = boxes_on(movie, {(0,): TWO}), boxes_on(other, {(): TWO}, "there")
    layers = [movie, other, here, there]
    found, truth = layer_found(here, layers), layer_truth(there, layers)
    with pytest.raises(UserError, match="are of different images"):
        on_planes_of(found, truth)


def test_a_file_about_images_that_are_open(movie, tmp_path):
    path = tmp_path / "truth.csv"
    write_annotations(path, Annotations({"movie.tif#t=1": TWO, "movie.tif#t=7": TWO}))
    side = file_truth(str(path), [movie])
    assert list(side.planes) == ["movie#t=1"]
    assert side.path == str(path)
    assert any("are not open" in note for note in side.planes.notes)
    with pytest.raises(UserError, match="cannot read"):
        file_truth(str(tmp_path / "none.csv"), [movie])


def test_points_on_either_side_are_compared_by_distance(movie):
    points = boxes_on(movie, {(0,): TWO}, point_size=6)
    assert isinstance(points, Points)
    boxes = boxes_on(movie, {(0,): TWO}, "boxes")
    layers = [movie, points, boxes]
    spots, cells = layer_truth(points, layers), layer_truth(boxes, layers)
    found = layer_found(points, layers)
    assert hit_distance(spots, None, None) == 3
    assert hit_distance(cells, found, None) == pytest.approx(4.5)
    assert hit_distance(cells, found, 7) == 7
    assert hit_distance(cells, layer_found(boxes, layers), 7) is None
