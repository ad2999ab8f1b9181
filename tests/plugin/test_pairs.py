from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from napari.components import LayerList
from napari.layers import Image, Labels, Shapes

from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.files import to_layers
from napari_localize.plugin.layers import new_box_layer
from napari_localize.plugin.pairs import boxes_of, channel_axis_of, image_of, judged_planes, lay_on_images, pair


def image(name="cells", shape=(40, 50), **kwargs):
    return Image(np.zeros(shape, np.uint8), name=name, **kwargs)


def proposals(n):
    corners = np.array([[10 * i, 5, 10 * i + 8, 13] for i in range(n)], np.float32)
    return Detections(corners, scores=np.full(n, 0.9))


def boxes_of_file(*names, sizes=None):
    """Open a file of annotations about some images."""
    parts = to_layers(Annotations(dict.fromkeys(names, proposals(2)), sizes or {}), "boxes.json")
    return [Shapes(data, **meta) for data, meta, _ in parts]


def test_boxes_made_for_an_image_stay_with_it_when_both_are_renamed():
    first, second = image("a"), image("b")
    layers = LayerList([first, second, new_box_layer(first), new_box_layer(second)])
    pair(layers[2], first)
    pair(layers[3], second)
    first.name, second.name = "b", "a"
    assert image_of(layers[2], layers) is first
    assert image_of(layers[3], layers) is second
    assert boxes_of(first, layers, None) is box_layer(layers[2])


def test_boxes_from_a_file_find_their_image_by_name_or_because_there_is_only_one():
    first, second = image("a"), image("b")
    boxes = new_box_layer(second)
    assert image_of(boxes, [first, second, boxes]) is second
    second.name = "c"
    assert image_of(boxes, [first, second, boxes]) is None
    assert image_of(boxes, [second, Labels(np.zeros((4, 4), int)), boxes]) is second


def test_an_image_that_is_closed_leaves_its_boxes_alone():
    first, second = image("a"), image("b")
    boxes = new_box_layer(first)
    pair(boxes, first)
    assert image_of(boxes, [second, boxes]) is None
    assert judged_planes([second, boxes]) == []


def test_an_image_that_is_opened_again_finds_its_boxes():
    first = image("a")
    boxes = new_box_layer(first)
    pair(boxes, first)
    again, other = image("a"), image("b")
    assert image_of(boxes, [other, again, boxes]) is again


def test_boxes_of_other_images_do_not_come_to_lie_on_the_only_one():
    only = image("a.png")
    named, other = boxes_of_file("a.png", "b.png")
    assert image_of(named, [only, named, other]) is only
    assert image_of(other, [only, named, other]) is None
    only.name = "c"
    assert [image_of(boxes, [only, named, other]) for boxes in (named, other)] == [None, None]
    assert image_of(named, [only, named]) is only


@pytest.mark.parametrize(("size", "fits"), [((40, 50), True), ((50, 40), False)])
@pytest.mark.parametrize("kwargs", [{}, {"rgb": True}, {"multiscale": True}])
def test_the_only_image_must_have_the_size_that_the_file_says(size, fits, kwargs):
    pixels = np.zeros((40, 50, 3) if "rgb" in kwargs else (40, 50), np.uint8)
    only = Image([pixels, pixels[::2, ::2]] if "multiscale" in kwargs else pixels, name="c", **kwargs)
    (boxes,) = boxes_of_file("a.png", sizes={"a.png": size})
    assert (image_of(boxes, [only, boxes]) is only) == fits


def test_a_folder_in_the_name_does_not_matter_unless_files_differ_only_by_it():
    first, second = image("a.png"), image("b.png")
    boxes, other = boxes_of_file("train/a.png", "val/b.png")
    layers = [first, second, boxes, other]
    assert [image_of(one, layers) for one in (boxes, other)] == [first, second]
    boxes, other = boxes_of_file("train/a.png", "val/a.png")
    assert [image_of(one, [first, second, boxes, other]) for one in (boxes, other)] == [None, None]
    assert image_of(boxes, [first, image("a.png"), boxes]) is None


def test_boxes_of_a_file_lie_where_the_image_lies_and_follow_it():
    film = image("film.tif", (3, 40, 50), scale=(2, 0.5, 0.5), translate=(1, 2, 3))
    (boxes,) = boxes_of_file("film.tif#z=0", "film.tif#z=2")
    point = [1.0, 5, 7]
    lay_on_images([film, boxes])
    np.testing.assert_allclose(boxes.data_to_world(point), film.data_to_world(point))
    assert boxes.units == film.units
    film.scale = (1, 3, 3)
    film.rotate = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
    film.affine = np.array([[1, 0, 0, 5], [0, 1, 0.2, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    film.units = ("um", "um", "um")
    np.testing.assert_allclose(boxes.data_to_world(point), film.data_to_world(point))
    assert boxes.units == film.units
    boxes.scale = (1, 1, 1)
    lay_on_images([film, boxes])
    np.testing.assert_array_equal(boxes.scale, 1)


def test_boxes_over_all_channels_follow_the_other_axes():
    stack = image("cells", (3, 40, 50))
    boxes = new_box_layer(stack, channel_axis=0)
    pair(boxes, stack)
    stack.scale = (9, 2, 4)
    np.testing.assert_array_equal(boxes.scale, (2, 4))


def test_boxes_that_name_no_image_stay_where_they_are():
    only = image("a", scale=(2, 2))
    (boxes,) = boxes_of_file("b")
    assert boxes_of(only, [only, boxes], None) is box_layer(boxes)
    np.testing.assert_array_equal(boxes.scale, 1)


def test_following_keeps_nothing_alive_and_ends_with_another_image():
    first, second = image("a"), image("b")
    boxes = new_box_layer(first)
    listeners = len(first.events.scale.callbacks)
    pair(boxes, first)
    pair(boxes, second)
    first.scale = (7, 7)
    np.testing.assert_array_equal(boxes.scale, 1)
    assert len(first.events.scale.callbacks) == listeners
    gone = weakref.ref(boxes), weakref.ref(second)
    del boxes, second
    gc.collect()
    assert [one() for one in gone] == [None, None]


def test_shapes_that_are_no_boxes_are_not_taken_for_any():
    only = image()
    assert boxes_of(only, [only, Shapes(ndim=2)], None) is None


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_the_channel_axis_is_recognised(axis):
    stack = image(shape=(3, 4, 40, 50))
    boxes = new_box_layer(stack, channel_axis=axis)
    assert channel_axis_of(box_layer(boxes), stack) == axis


def test_boxes_do_not_fit_when_another_axis_holds_the_channels():
    stack = image(shape=(3, 40, 50))
    boxes = new_box_layer(stack)
    pair(boxes, stack)
    assert boxes_of(stack, [stack, boxes], None) is not None
    assert boxes_of(stack, [stack, boxes], 0) is None


def test_judged_planes_come_with_name_pixels_and_boxes():
    movie = image("movie", (4, 40, 50))
    movie.data[2] = 7
    layer = new_box_layer(movie)
    boxes = box_layer(layer)
    boxes.set_proposals({(0,): proposals(2), (2,): proposals(3), (3,): proposals(1)}, "nuclei@1")
    boxes.finish((2,))
    boxes.accept(list(boxes.shown((0,)))[:1])
    boxes.reject(list(boxes.shown((0,)))[1:])
    first, second = judged_planes([movie, layer])
    assert (first.finished, len(first.approved), first.rejected) == (False, 1, 1)
    assert (second.finished, len(second.approved), second.rejected) == (True, 3, 0)
    assert first.name.startswith("movie#")
    assert first.name.endswith("=0")
    assert second.source.read(0, 1, 0, 1).item() == 7


def test_a_plane_with_two_layers_of_boxes_is_learned_from_once():
    movie = image("movie", (4, 40, 50))
    below, above = new_box_layer(movie), new_box_layer(movie)
    for layer in (below, above):
        box_layer(layer).set_proposals({(0,): proposals(2), (1,): proposals(2)}, "nuclei@1")
    box_layer(below).finish((0,))
    box_layer(above).accept(list(box_layer(above).shown())[::2])
    box_layer(below).accept(list(box_layer(below).shown((1,))))
    first, second = judged_planes([movie, below, above])
    assert (first.finished, len(first.approved)) == (True, 2)
    assert (second.finished, len(second.approved)) == (False, 1)
