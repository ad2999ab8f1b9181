"""Boxes that are no shapes of their layer: more than napari can draw, or of a state that nobody looks at."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Layer

from napari_localize.core.detections import Detections
from napari_localize.core.window import View
from napari_localize.plugin import boxes as module
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.files import to_annotations
from napari_localize.plugin.layers import METADATA, new_box_layer


@pytest.fixture
def layer():
    corners = [(10, 10, 30, 30), (50, 10, 70, 30), (10, 50, 30, 70), (50, 50, 70, 70)]
    found = Detections(np.array(corners, float), [0, 1, 0, 1], [0.3, 0.5, 0.7, 0.9], class_names=("a", "b"))
    layer = new_box_layer(Image(np.zeros((100, 100)), name="cells"), ("a", "b"))
    box_layer(layer).set_proposals({(): found}, "model@1")
    return layer


@pytest.fixture
def boxes(layer):
    return box_layer(layer)


def test_more_boxes_than_napari_can_draw_are_kept_but_not_drawn(layer, boxes, monkeypatch):
    monkeypatch.setattr(module, "MOST_SHAPES", 3)
    boxes.accept([1])
    assert sorted(layer.features["id"]) == [1, 3, 4]
    assert boxes.not_drawn == 1
    assert len(boxes.detections()) == 4
    layer.remove([[*layer.features["id"]].index(3)])
    assert sorted(boxes.shown()) == [1, 2, 4]
    assert sorted(layer.features["id"]) == [1, 2, 4]
    assert boxes.not_drawn == 0


def test_boxes_that_are_not_drawn_are_saved_and_copied_with_the_layer(layer, boxes, monkeypatch):
    monkeypatch.setattr(module, "MOST_SHAPES", 2)
    boxes.set_filter(0.4)
    assert sorted(layer.features["id"]) == [3, 4]
    data, meta, _ = layer.as_layer_data_tuple()
    (saved,) = to_annotations(data, meta).values()
    assert sorted(saved.ids) == [2, 3, 4]  # box 1 is hidden by the filter, so nobody sees or saves it
    monkeypatch.setattr(module, "MOST_SHAPES", 20)
    again = box_layer(Layer.create(*layer.as_layer_data_tuple()))
    assert again.shown() == boxes.shown()
    assert again.layer.nshapes == 3
    assert layer.metadata[METADATA]["filter"]["hidden_proposals"] == 1


def test_guesses_of_a_state_that_is_not_looked_at_are_saved(layer, boxes):
    boxes.accept([1])
    boxes.set_shown_states({"accepted"})
    assert layer.nshapes == 1
    again = box_layer(Layer.create(*layer.as_layer_data_tuple()))
    assert len(again.detections()) == 4


@pytest.mark.parametrize("judge", [lambda boxes: boxes.finish(()), lambda boxes: boxes.accept(boxes.table.guesses(()))])
def test_judging_the_plane_means_all_guesses_that_pass_the_filter_shapes_or_dots(boxes, monkeypatch, judge):
    monkeypatch.setattr(module, "MOST_SHAPES", 2)
    boxes.set_filter(0.4)
    assert boxes.not_drawn == 1
    assert boxes.least_certain(()) == 2
    judge(boxes)
    assert [boxes.get(key).state for key in (1, 2, 3, 4)] == ["proposed", "accepted", "accepted", "accepted"]
    assert boxes.least_certain(()) is None


def test_the_boxes_where_a_person_looks_are_the_shapes(layer, boxes, monkeypatch):
    monkeypatch.setattr(module, "MOST_SHAPES", 2)
    boxes.look_at(View((), (0, 40, 0, 80), 1.0))
    assert sorted(layer.features["id"]) == [1, 2]
    boxes.look_at(View((), (40, 80, 0, 80), 1.0))
    assert sorted(layer.features["id"]) == [3, 4]
    boxes.select([1])
    assert boxes.selected_ids == [1]
    boxes.look_at(View((), (40, 80, 0, 40), 1.0))
    assert 1 in set(layer.features["id"])  # what is selected stays in hand
    boxes.accept([1])
    assert boxes.get(1).state == "accepted"
    assert len(boxes) == 4


def test_edits_of_the_shapes_in_view_leave_the_other_boxes_alone(layer, boxes, monkeypatch):
    monkeypatch.setattr(module, "MOST_SHAPES", 2)
    boxes.look_at(View((), (0, 40, 0, 80), 1.0))
    layer.remove([0])
    boxes.reconcile()
    layer.add(np.array([[0, 0], [0, 9], [9, 9], [9, 0]], float), shape_type="rectangle")
    states = {key: box.state for key, box in boxes.shown().items()}
    assert len(states) == 4
    assert sorted(states.values()) == ["added", "proposed", "proposed", "proposed"]
    while boxes.undo():
        pass
    assert sorted(boxes.shown()) == [1, 2, 3, 4]
    assert boxes.guesses_in_view().tolist() == [1, 2]
