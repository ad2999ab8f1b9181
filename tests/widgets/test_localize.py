from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Shapes, Vectors

from napari_localize.core.planes import ArrayPlane
from napari_localize.core.settings import PredictSettings
from napari_localize.plugin.boxes import box_layer
from napari_localize.widgets._models import model_news
from napari_localize.widgets.localize import LocalizeWidget


@pytest.fixture
def widget(dock):
    widget = dock(LocalizeWidget)
    widget.model.choose("plain@1")
    return widget


def boxes_layer(viewer) -> Shapes:
    (layer,) = [layer for layer in viewer.layers if isinstance(layer, Shapes) and layer.name.endswith("boxes")]
    return layer


def test_without_an_image_the_dock_says_what_to_do(widget, messages):
    assert "Open an image" in widget.image.hint.text()
    widget.run()
    assert len(messages()) == 1
    assert "open one" in messages()[0]
    assert not widget.busy


def test_a_run_gives_one_box_for_each_object_and_hides_the_faint_one(widget, viewer, squares, finish):
    viewer.add_image(squares, name="cells")
    widget.run()
    assert widget.busy
    assert not widget.run_button.isEnabled()
    assert widget.cancel_button.isEnabled()
    finish(widget)
    boxes = box_layer(boxes_layer(viewer))
    found = boxes.detections()
    assert len(found) == 4
    assert boxes.totals() == {"small": 3, "large": 2}
    assert [5, 5, 13, 13] in found.boxes.tolist()
    assert set(found.origins) == {"plain@1"}
    assert set(found.states) == {"proposed"}
    assert "4</b> shown of 5" in widget.filter.counts.text()
    assert "10 px" in widget.size.hint.text()
    assert widget.run_button.isEnabled()
    assert not widget.progress.isVisible()


def test_score_and_size_act_on_what_was_found_without_running_again(widget, viewer, squares, finish, engine, until):
    viewer.add_image(squares, name="cells")
    widget.run()
    finish(widget)
    engine.release()
    boxes = box_layer(boxes_layer(viewer))
    widget.filter.score_slider.setValue(0.1)
    until(lambda: len(boxes.detections()) == 5)
    widget.filter.size_slider.setValue((0, 12**0.5))
    until(lambda: len(boxes.detections()) == 3)
    until(lambda: "3</b> shown of 5" in widget.filter.counts.text())
    assert not engine.running


def test_running_again_leaves_the_boxes_of_a_person_alone(widget, viewer, squares, finish):
    viewer.add_image(squares, name="cells")
    widget.run()
    finish(widget)
    layer = boxes_layer(viewer)
    boxes = box_layer(layer)
    accepted = next(iter(boxes.shown()))
    boxes.accept([accepted])
    layer.add([[70, 5], [70, 12], [78, 12], [78, 5]], shape_type="rectangle")
    before = boxes.approved()
    assert len(before) == 2
    widget.run()
    finish(widget)
    assert boxes.approved().boxes.tolist() == before.boxes.tolist()
    assert len(boxes.detections()) == 5
    assert "judged" in widget.status.text()


def test_all_planes_of_a_stack_get_boxes_on_their_own_plane(widget, viewer, squares, finish, until):
    stack = np.stack([squares, np.zeros_like(squares), squares[::-1]])
    viewer.add_image(stack, name="movie")
    widget.scope.all.setChecked(True)
    widget.run()
    finish(widget)
    boxes = box_layer(boxes_layer(viewer))
    assert [len(boxes.detections((t,))) for t in range(3)] == [4, 0, 4]
    viewer.dims.set_point(0, 1)
    until(lambda: "0</b> shown of 0" in widget.filter.counts.text())
    assert "8 of 10" in widget.filter.whole.text()


def test_one_plane_of_a_stack_leaves_the_others_empty(widget, viewer, squares, finish):
    viewer.add_image(np.stack([squares] * 3), name="movie")
    viewer.dims.set_point(0, 2)
    widget.run()
    finish(widget)
    assert box_layer(boxes_layer(viewer)).planes() == [(2,)]


def test_a_drawn_rectangle_limits_the_run(widget, viewer, squares, finish, messages):
    viewer.add_image(squares, name="cells", scale=(2, 2))
    widget.scope.rectangle.click()
    region = viewer.layers["Region"]
    assert viewer.layers.selection.active is region
    assert region.mode == "add_rectangle"
    widget.run()
    assert len(messages()) == 1
    assert "draw one" in messages()[0]
    assert not widget.busy
    region.add_rectangles(np.array([[0, 0], [0, 140], [60, 140], [60, 0]]))
    widget.run()
    finish(widget)
    assert len(box_layer(boxes_layer(viewer)).detections()) == 2


def test_shapes_of_other_layers_are_no_region_unless_selected(widget, viewer, squares):
    viewer.add_image(squares, name="cells")
    viewer.add_shapes([np.array([[0, 0], [0, 9], [9, 9], [9, 0]])], name="outlines")
    widget.scope.rectangle.click()
    assert viewer.layers.selection.active is viewer.layers["Region"]
    viewer.layers["Region"].add_rectangles(np.array([[0, 0], [0, 140], [60, 140], [60, 0]]))
    viewer.layers.selection.active = viewer.layers["outlines"]
    assert widget.scope._rectangle() == (viewer.layers["Region"], 0)
    viewer.layers["outlines"].selected_data = {0}
    assert widget.scope._rectangle() == (viewer.layers["outlines"], 0)


def test_the_current_view_limits_the_run(widget, viewer, squares, finish):
    viewer.add_image(squares, name="cells")
    camera = viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera
    camera.center, camera.zoom = (10, 10), 40
    widget.scope.view.setChecked(True)
    widget.run()
    finish(widget)
    assert box_layer(boxes_layer(viewer)).totals() == {"small": 1, "large": 0}


def test_a_channel_axis_is_found_by_its_label_and_one_channel_can_be_chosen(widget, viewer, squares, finish):
    image = np.stack([squares, np.zeros_like(squares), squares[:, ::-1]])
    viewer.add_image(image, name="cells", channel_axis=None, axis_labels=("c", "y", "x"))
    assert widget.channels.axis == 0
    assert not widget.scope.all.isEnabled()
    widget.run()
    finish(widget)
    boxes = box_layer(boxes_layer(viewer))
    both = len(boxes.detections())
    assert boxes.layer.ndim == 2
    assert both > 4
    widget.channels.channel_choice.setCurrentIndex(2)
    widget.run()
    finish(widget)
    assert len(boxes.detections()) == 0
    assert "Nothing was found" in widget.status.text()


def test_a_layer_of_another_kind_is_named_and_the_image_is_used(widget, viewer, squares, finish):
    viewer.add_image(squares, name="cells")
    viewer.add_labels((squares > 0).astype(int), name="mask")
    assert "'mask' is a Labels layer" in widget.image.hint.text()
    widget.run()
    finish(widget)
    assert "cells boxes" in viewer.layers


def test_a_view_beside_the_image_is_refused_before_anything_starts(widget, viewer, squares, messages, engine):
    viewer.add_image(squares, name="cells")
    camera = viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera
    camera.center, camera.zoom = (5000, 10), 40
    widget.scope.view.setChecked(True)
    widget.run()
    assert len(messages()) == 1
    assert "nothing of 'cells'" in messages()[0]
    assert not widget.busy
    assert not engine.running


def test_the_diameter_is_taken_from_the_selected_box(widget, viewer, squares, messages):
    viewer.add_image(squares, name="cells", scale=(0.5, 0.5))
    widget.take_size()
    assert len(messages()) == 1
    assert widget.size.diameter is None
    shapes = viewer.add_shapes([np.array([[0, 0], [0, 20], [5, 20], [5, 0]])], scale=(1, 1))
    shapes.selected_data = {0}
    widget.take_size()
    assert widget.size.diameter == pytest.approx(20)


def test_cancel_stops_the_run_and_the_next_one_works(widget, viewer, squares, finish, until):
    viewer.add_image(squares, name="cells")
    widget.model.choose("slow@1")
    widget.run()
    until(lambda: any(isinstance(layer, Vectors) for layer in viewer.layers))
    assert viewer.layers.selection.active.name == "cells"
    widget.cancel()
    finish(widget)
    assert widget.status.text() == "Cancelled."
    assert [layer.name for layer in viewer.layers] == ["cells"]
    widget.model.choose("plain@1")
    widget.run()
    finish(widget)
    assert "cells boxes" in viewer.layers


@pytest.mark.parametrize(("model", "words"), [("broken@1", "no pixels"), ("fatal@1", "engine")])
def test_a_failure_is_one_message_and_the_next_run_works(widget, viewer, squares, finish, messages, model, words):
    viewer.add_image(squares, name="cells")
    widget.model.choose(model)
    widget.run()
    finish(widget)
    assert len(messages()) == 1
    assert words in messages()[0].lower()
    assert words in widget.status.text().lower()
    widget.model.choose("plain@1")
    widget.run()
    finish(widget)
    assert "cells boxes" in viewer.layers
    assert len(messages()) == 1


def test_closing_the_dock_in_mid_run_stops_it(widget, viewer, squares, engine, until):
    viewer.add_image(squares, name="cells")
    widget.model.choose("slow@1")
    widget.run()
    until(lambda: any(isinstance(layer, Vectors) for layer in viewer.layers))
    viewer.window.remove_dock_widget(widget)
    assert not widget.busy
    assert [layer.name for layer in viewer.layers] == ["cells"]
    # The engine takes one job after the other: this one is only done when the other was stopped.
    engine.predict([ArrayPlane(squares)], "plain", PredictSettings()).result(timeout=60)
    viewer.add_image(squares)  # nothing listens any more


def test_closing_the_window_in_mid_run_stops_it(widget, viewer, squares, engine, until):
    viewer.add_image(squares, name="cells")
    widget.model.choose("slow@1")
    widget.run()
    until(lambda: any(isinstance(layer, Vectors) for layer in viewer.layers))
    viewer.close()
    engine.predict([ArrayPlane(squares)], "plain", PredictSettings()).result(timeout=60)


def test_removing_the_image_in_mid_run_shows_nothing_and_harms_nothing(widget, viewer, squares, finish):
    viewer.add_image(squares, name="cells")
    widget.run()
    viewer.layers.clear()
    finish(widget)
    assert len(viewer.layers) == 0
    assert "closed" in widget.status.text()


def test_two_images_keep_their_own_boxes(widget, viewer, squares, finish):
    first, second = viewer.add_image(squares, name="a"), viewer.add_image(squares[::-1], name="b")
    for image in (first, second):
        viewer.layers.selection.active = image
        assert widget.image.layer is image
        widget.run()
        finish(widget)
    assert {layer.name for layer in viewer.layers} == {"a", "b", "a boxes", "b boxes"}
    first.name = "renamed"
    widget.image.choose(first)
    widget.run()
    finish(widget)
    assert sum(isinstance(layer, Shapes) for layer in viewer.layers) == 2
    assert sum(isinstance(layer, Image) for layer in viewer.layers) == 2


def test_a_kept_model_is_listed_and_chosen_and_remembered(widget, write_model, qtbot, viewer):
    from napari_localize.models.registry import store_folder

    write_model(store_folder() / "mine@1.safetensors", "mine", ("dot",))
    model_news().kept.emit("mine@1")
    assert widget.model.name == "mine@1"
    assert widget.model.card.classes == ["dot"]
    again = LocalizeWidget(viewer)
    qtbot.addWidget(again)
    assert again.model.name == "mine@1"
    again.close_down()


def test_the_threshold_of_a_model_is_not_rounded(widget, viewer, squares, finish, write_model):
    from napari_localize.models.registry import store_folder

    # The score of one square lies between the threshold and what the slider would make of it.
    squares[60:70, 100:110] = 142
    write_model(store_folder() / "exact@1.safetensors", "exact", ("small", "large"), threshold=0.5566)
    model_news().kept.emit("exact@1")
    viewer.add_image(squares, name="cells")
    widget.run()
    finish(widget)
    boxes = box_layer(boxes_layer(viewer))
    assert boxes.filter[0] == widget.filter.score == 0.5566
    assert len(boxes.detections()) == 5


def test_the_filter_of_a_run_stays_that_of_its_image(widget, viewer, squares, finish, until):
    other, image = viewer.add_image(squares, name="other"), viewer.add_image(np.stack([squares] * 2), name="cells")
    for layer in (other, image):
        widget.image.choose(layer)
        widget.run()
        finish(widget)
    theirs, ours = (box_layer(viewer.layers[f"{name} boxes"]) for name in ("other", "cells"))
    theirs.set_filter(0.95, (3.0, 7.0))
    widget.model.choose("slow@1")
    widget.run()
    widget.filter.score_slider.setValue(0.2)
    until(lambda: ours.filter[0] == 0.2)
    widget.image.choose(other)
    assert widget.filter.score == 0.95
    # A plane is done while another image is looked at.
    run = widget._run
    run.waiting[(1,)] = ours.detections((0,))
    widget._put_waiting()
    assert ours.filter == (0.2, (0.0, float("inf")))
    assert theirs.filter == (0.95, (3.0, 7.0))
    widget.image.choose(image)
    assert widget.filter.score == 0.2
    widget.cancel()
    finish(widget)


def test_the_engine_is_not_released_while_it_works(widget, viewer, squares, engine, until, finish, messages):
    viewer.add_image(squares, name="cells")
    widget.model.choose("slow@1")
    widget.run()
    until(lambda: any(isinstance(layer, Vectors) for layer in viewer.layers))
    widget.release_button.click()
    assert len(messages()) == 1
    assert "cancel" in messages()[0]
    assert engine.running
    assert widget.busy
    widget.cancel()
    finish(widget)
    # The work of another dock counts as well.
    job = engine.predict([ArrayPlane(squares)], "slow@1", PredictSettings())
    widget.release_button.click()
    assert len(messages()) == 2
    job.cancel()
    until(lambda: not engine.busy)
    widget.release_button.click()
    until(lambda: not engine.running)
