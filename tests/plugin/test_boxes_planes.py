"""A layer of boxes on the planes of a stack, and where the image has none."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image
from napari.utils.notifications import notification_manager

from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.layers import METADATA, new_box_layer

GRID = Detections(
    np.array([(10, 10, 30, 30), (50, 10, 70, 30), (10, 50, 30, 70), (50, 50, 70, 70)], float),
    [0, 1, 0, 1],
    np.linspace(0.3, 0.9, 4),
    class_names=("a", "b"),
)


def test_planes_of_a_stack():
    layer = new_box_layer(Image(np.zeros((4, 3, 50, 60))), ("a", "b"))
    boxes = box_layer(layer)
    boxes.set_proposals({(1, 2): GRID}, "m@1")
    assert layer.ndim == 4
    np.testing.assert_array_equal(layer.data[0][:, :2], [[1, 2]] * 4)
    layer.add_rectangles(np.array([[[2, 0, 5, 5], [2, 0, 5, 9], [2, 0, 9, 9], [2, 0, 9, 5.0]]]))
    assert boxes.detections((2, 0)).boxes.tolist() == [[5.5, 5.5, 9.5, 9.5]]
    assert len(boxes.detections((1, 2))) == 4
    assert boxes.counts((2, 0))["a"] == (1, 1)
    boxes.set_proposals({(1, 2): Detections.empty(("a",))}, "m@1")
    assert layer.nshapes == 1


def test_finishing_a_plane_accepts_what_is_shown_there():
    layer = new_box_layer(Image(np.zeros((3, 100, 100))), ("a", "b"))
    boxes = box_layer(layer)
    boxes.set_proposals({(0,): GRID, (2,): GRID}, "model@1")
    boxes.set_filter(0.4)
    boxes.finish((2,))
    assert boxes.finished == {(2,)}
    assert len(boxes.approved((2,))) == 3
    assert len(boxes.approved((0,))) == 0
    assert boxes.planes() == [(0,), (2,)]
    step = boxes.undo()
    assert step.planes == {(2,)}
    assert boxes.finished == frozenset()
    assert len(boxes.approved((2,))) == 0


def rectangle(plane, y=10.0, x=10.0):
    return np.array([(plane, y, x), (plane, y, x + 20), (plane, y + 20, x + 20), (plane, y + 20, x)])


def told():
    return [each.message for each in notification_manager.records if each.message.startswith("Not kept: ")]


@pytest.mark.parametrize("plane", [-1, 3])
def test_nothing_is_kept_where_the_image_has_no_plane(plane):
    layer = new_box_layer(Image(np.zeros((3, 100, 100)), name="film"), ("a", "b"))
    boxes = box_layer(layer)
    layer.add(rectangle(2), shape_type="rectangle")
    boxes.reconcile()
    (known,) = boxes.table.boxes.items()
    notification_manager.records.clear()
    layer.add([rectangle(plane), rectangle(1, 50), rectangle(plane, 50)], shape_type="rectangle")
    boxes.reconcile()
    assert sorted(box.plane for _, box in boxes.table.boxes.items()) == [(1,), (2,)]
    assert layer.nshapes == 2
    assert told() == ["Not kept: 2 boxes where the image of 'film boxes' has no plane; move the sliders onto it first."]
    layer.data = [rectangle(plane), *layer.data[1:]]
    boxes.reconcile()
    assert dict(boxes.table.boxes.items())[known[0]] == known[1]
    assert {int(corners[0][0]) for corners in layer.data} == {1, 2}
    assert len(told()) == 2
    for deed in (
        boxes.finish,
        lambda plane: boxes.finish_area(plane, (0, 0, 9, 9)),
        lambda plane: boxes.ignore_area(plane, (0, 0, 9, 9)),
    ):
        with pytest.raises(UserError, match=f"has no plane {plane}; move the sliders"):
            deed((plane,))
    assert not boxes.finished
    assert not boxes.areas


def test_without_a_known_number_of_planes_only_those_before_the_first_are_none():
    layer = new_box_layer(Image(np.zeros((3, 100, 100))), ("a", "b"))
    layer.metadata[METADATA] = {"classes": ["a"], "finished": [[-1], [7]]}
    layer.add([rectangle(-1), rectangle(7)], shape_type="rectangle")
    boxes = box_layer(layer)
    layer.add([rectangle(-2), rectangle(8)], shape_type="rectangle")
    boxes.finish((9,))
    assert sorted(box.plane for _, box in boxes.table.boxes.items()) == [(7,), (8,)]
    assert boxes.finished == {(7,), (9,)}
    assert layer.nshapes == 2
