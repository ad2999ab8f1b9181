"""Points in the docks: a model that answers with them, reviewing them, turning them into boxes."""

from __future__ import annotations

import numpy as np
import pytest
from app_model.types import KeyBinding
from napari._app_model import get_app_model
from napari.layers import Points, Shapes
from qtpy.QtWidgets import QInputDialog

from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.layers import new_box_layer
from napari_localize.widgets.conversion import boxes_to_points, points_to_boxes
from napari_localize.widgets.localize import LocalizeWidget
from napari_localize.widgets.review import ReviewWidget

FOUND = Detections(
    np.array([[10, 10, 30, 30], [50, 10, 70, 30], [10, 50, 30, 70.0]]),
    [0, 1, 1],
    [0.9, 0.2, 0.6],
    class_names=("a", "b"),
)


def press(layer, key):
    layer.keymap[KeyBinding.from_str(key)](layer)


@pytest.fixture
def review(viewer):
    widget = ReviewWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Review")
    return widget


@pytest.fixture
def points(viewer, review):
    image = viewer.add_image(np.zeros((100, 100)), name="spots")
    layer = new_box_layer(image, ("a", "b"), point_size=8)
    viewer.add_layer(layer)
    box_layer(layer).set_proposals({(): FOUND}, "model@1")
    review._refresh()
    return box_layer(layer)


def test_a_model_answers_with_points_of_the_usual_size(dock, viewer, squares, finish):
    widget = dock(LocalizeWidget)
    widget.model.choose("plain@1")
    viewer.add_image(squares, name="cells")
    widget.answer.setCurrentText("points")
    widget.run()
    finish(widget)
    (layer,) = [layer for layer in viewer.layers if isinstance(layer, Points)]
    found = box_layer(layer)
    assert layer.name == "cells points"
    assert found.table.point_size == pytest.approx(14)  # between 8 and 20
    assert [9, 9] in found.detections().centers.tolist()
    assert found.totals() == {"small": 3, "large": 2}
    assert "4</b> shown of 5" in widget.filter.counts.text()
    assert not widget.filter.size_slider.isEnabled()
    # Boxes of the same image have a layer of their own.
    widget.answer.setCurrentText("boxes")
    widget.run()
    finish(widget)
    assert [type(layer).__name__ for layer in viewer.layers] == ["Image", "Points", "Shapes"]
    assert widget.filter.size_slider.isEnabled()


def test_the_keys_of_review_work_on_points(review, points, viewer):
    layer = points.layer
    assert review.boxes is points
    press(layer, "N")
    assert points.selected_ids == [2]
    press(layer, "Q")
    assert points.get(2).state == "accepted"
    assert points.selected_ids == [3]
    press(layer, "W")
    assert points.get(3).state == "rejected"
    press(layer, "Ctrl+Z")
    assert points.get(3).state == "proposed"
    review._give_class("a")
    review.toggle_finished()
    assert points.finished == {()}


def test_points_are_added_by_clicking(review, points):
    review._refresh()
    assert review.judge.draw.text() == "Add   P"
    review.draw()
    assert points.layer.mode == "add"
    assert review.judge.draw.isChecked()
    points.next_class = "b"
    points.layer.add([60, 60])
    points.reconcile()
    (key,) = points.selected_ids
    assert points.get(key)[2:] == ("b", None, "human", "added")
    review._refresh()
    assert "at 60.5, 60.5" in review.judge._text.text()
    review.draw()
    assert points.layer.mode == "select"


def test_selecting_does_not_change_the_class_of_the_next_point(points, until):
    points.next_class = "a"
    points.layer.selected_data = {1}
    until(lambda: points.layer.feature_defaults["id"].iloc[0] == -1)
    assert points.layer.feature_defaults["class"].iloc[0] == "a"


def test_pasted_points_are_found_though_napari_tells_nobody(points, until):
    points.layer.selected_data = {0, 1}
    points.layer._copy_data()
    points.layer._paste_data()
    until(lambda: len(points._table.boxes) == 5)
    assert points.undo_text == "add 2 points"


def test_an_empty_layer_of_points_is_made_in_review(review, viewer):
    viewer.add_image(np.zeros((100, 100)), name="spots")
    review._refresh()
    assert review.points_button.isEnabled()
    review.new_points()
    layer = viewer.layers[-1]
    assert isinstance(layer, Points)
    assert review.boxes is box_layer(layer)
    layer.add([5, 5])
    assert len(box_layer(layer)) == 1


def test_boxes_become_points_and_points_boxes_by_commands(points, viewer, monkeypatch):
    asked = []
    monkeypatch.setattr(QInputDialog, "getDouble", lambda *args: (asked.append(args[3]) or 10.0, True))
    viewer.layers.selection = {points.layer}
    get_app_model().commands.execute_command("napari-localize.points_to_boxes").result()
    boxes = viewer.layers[-1]
    assert isinstance(boxes, Shapes)
    assert asked == [8]
    assert not points.layer.visible
    np.testing.assert_allclose(box_layer(boxes).detections().diameters, 10)
    viewer.layers.selection = {boxes}
    boxes_to_points(viewer)
    assert isinstance(viewer.layers[-1], Points)
    np.testing.assert_allclose(box_layer(viewer.layers[-1]).detections().centers, FOUND.centers)


def test_the_commands_say_what_to_select_and_can_be_left(viewer, points, monkeypatch):
    viewer.layers.selection = {viewer.layers["spots"]}
    for command in (boxes_to_points, points_to_boxes):
        with pytest.raises(UserError, match="is selected; select one"):
            command(viewer)
    monkeypatch.setattr(QInputDialog, "getDouble", lambda *args: (10.0, False))
    viewer.layers.selection = {points.layer}
    number = len(viewer.layers)
    points_to_boxes(viewer)
    assert len(viewer.layers) == number
