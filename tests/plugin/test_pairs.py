from __future__ import annotations

import numpy as np
import pytest
from napari.components import LayerList
from napari.layers import Image, Labels, Shapes

from napari_localize.core.detections import Detections
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.layers import new_box_layer
from napari_localize.plugin.pairs import boxes_of, channel_axis_of, image_of, judged_planes, pair


def image(name="cells", shape=(40, 50), **kwargs):
    return Image(np.zeros(shape, np.uint8), name=name, **kwargs)


def proposals(n):
    corners = np.array([[10 * i, 5, 10 * i + 8, 13] for i in range(n)], np.float32)
    return Detections(corners, scores=np.full(n, 0.9))


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
