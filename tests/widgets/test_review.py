from __future__ import annotations

import numpy as np
import pytest
from app_model.types import KeyBinding
from napari.layers import Shapes
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QInputDialog, QShortcut

from napari_localize.core.detections import Detections
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.layers import new_box_layer
from napari_localize.plugin.window import windows_of
from napari_localize.widgets._classes import ACCEPTED, NAME, SHOWN
from napari_localize.widgets._view import camera_of
from napari_localize.widgets.review import ReviewWidget


def open_review(viewer):
    widget = ReviewWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Review")
    return widget


@pytest.fixture
def review(viewer):
    return open_review(viewer)


@pytest.fixture
def stack(viewer, review):
    """Two planes with four guesses each, of three."""
    image = viewer.add_image(np.zeros((3, 100, 100)), name="film")
    layer = new_box_layer(image, ("a", "b"))
    viewer.add_layer(layer)
    starts = np.array([[10, 10], [50, 10], [10, 50], [50, 50]])
    found = Detections(
        np.concatenate([starts, starts + 20], axis=1), [0, 0, 1, 1], [0.9, 0.2, 0.6, 0.4], class_names=("a", "b")
    )
    box_layer(layer).set_proposals({(0,): found, (1,): found}, "model@1")
    viewer.dims.set_current_step(0, 0)
    review._refresh()
    return review


def press(widget, key):
    """Press a key while the layer of boxes is selected."""
    layer = widget.boxes.layer
    layer.keymap[KeyBinding.from_str(key)](layer)


def press_shift_and(widget, number):
    key = QKeySequence(f"Shift+{number}")
    (shortcut,) = (one for one in widget.findChildren(QShortcut) if one.key() == key)
    shortcut.activated.emit()


def table(widget, column):
    return [widget.classes.item(line, column).text() for line in range(widget.classes.rowCount())]


def test_without_an_image_it_says_what_to_do(review):
    assert "Open an image" in review._empty.text()
    assert review._body.isHidden()
    assert review.new_button.isHidden()


def test_boxes_can_be_drawn_without_any_model(viewer, review, qtbot):
    image = viewer.add_image(np.zeros((50, 60)), name="cells", scale=(2, 2))
    qtbot.waitUntil(lambda: not review.new_button.isHidden())
    review.new_button.click()
    boxes = review.boxes
    np.testing.assert_array_equal(boxes.layer.scale, image.scale)
    assert not review._body.isHidden()
    review.judge.draw.click()
    assert boxes.layer.mode == "add_rectangle"
    assert viewer.layers.selection.active is boxes.layer
    boxes.layer.add_rectangles(np.array([[[5, 5], [5, 9], [9, 9], [9, 5.0]]]))
    qtbot.waitUntil(lambda: table(review, SHOWN) == ["1"])
    review.judge.draw.click()
    assert boxes.layer.mode == "select"


def test_going_through_the_guesses_from_the_least_certain(stack):
    boxes = stack.boxes
    press(stack, "N")
    assert boxes.selected_ids == [2]
    assert boxes.layer.mode == "select"
    press(stack, "Q")
    assert boxes.get(2).state == "accepted"
    assert boxes.selected_ids == [4]
    press(stack, "W")
    assert boxes.get(4).state == "rejected"
    assert boxes.selected_ids == [3]
    press(stack, "N")
    press(stack, "Shift+N")
    assert boxes.selected_ids == [3]
    press(stack, "Shift+Q")
    assert [boxes.get(key).state for key in (1, 2, 3, 4)] == ["accepted", "accepted", "accepted", "rejected"]
    assert boxes.get(5).state == "proposed"
    press(stack, "N")
    assert "4 on others" in stack.status.text()


def test_the_box_comes_into_the_middle_at_a_size_to_judge(stack, viewer):
    camera = camera_of(viewer)
    camera.zoom = 0.2
    press(stack, "N")
    np.testing.assert_allclose(camera.center[-2:], (19.5, 59.5))
    assert camera.zoom * 20 > 30
    zoom = camera.zoom
    press(stack, "N")
    assert camera.zoom == zoom


def test_without_a_selection_a_hint_is_given(stack):
    press(stack, "Q")
    assert "Select boxes first" in stack.status.text()
    assert stack.boxes.undo_text is None


def test_planes_are_finished_one_by_one(stack, viewer, qtbot):
    assert "Plane <b>1</b> of 3" in stack.planes._text.text()
    press(stack, "Ctrl+Enter")
    assert stack.boxes.finished == {(0,)}
    assert len(stack.boxes.approved((0,))) == 4
    assert stack.planes.done.isChecked()
    press(stack, "K")
    assert viewer.dims.current_step[0] == 1
    qtbot.waitUntil(lambda: "Plane <b>2</b> of 3" in stack.planes._text.text())
    assert not stack.planes.done.isChecked()
    assert "1 of 3 planes finished" in stack.planes._all.text()
    press(stack, "J")
    assert viewer.dims.current_step[0] == 0
    qtbot.waitUntil(stack.planes.done.isChecked)
    stack.planes.done.click()
    assert stack.boxes.finished == frozenset()


def test_boxes_that_are_out_of_view_are_not_touched(stack, viewer, qtbot):
    boxes = stack.boxes
    boxes.select([1, 5])
    press(stack, "Q")
    assert [boxes.get(key).state for key in (1, 5)] == ["accepted", "proposed"]
    viewer.dims.set_current_step(0, 1)
    qtbot.waitUntil(lambda: boxes.selected_ids == [5])
    press(stack, "W")
    assert [boxes.get(key).state for key in (1, 5)] == ["accepted", "rejected"]
    viewer.dims.set_current_step(0, 2)
    boxes.select([2])
    press_shift_and(stack, 2)
    press(stack, "W")
    stack.judge.delete.click()
    assert (boxes.get(2).label, boxes.get(2).state) == ("a", "proposed")
    assert "Select boxes first" in stack.status.text()


def test_boxes_of_a_file_are_put_on_their_image(viewer, review, qtbot):
    image = viewer.add_image(np.zeros((50, 60)), name="cells", scale=(2, 2))
    layer = new_box_layer(image)
    layer.scale = (1, 1)
    viewer.add_layer(layer)
    qtbot.waitUntil(lambda: np.array_equal(layer.scale, (2, 2)))


def test_a_hidden_button_has_no_key(stack, viewer):
    (shortcut,) = (one for one in stack.findChildren(QShortcut) if one.key() == QKeySequence("Shift+B"))
    before = len(viewer.layers)
    shortcut.activated.emit()
    assert len(viewer.layers) == before


def test_undo_shows_what_it_has_undone(stack, viewer):
    stack.boxes.reject([1])
    viewer.dims.set_current_step(0, 2)
    press(stack, "Ctrl+Z")
    assert viewer.dims.current_step[0] == 0
    assert stack.status.text() == "Undid: reject 1 box"
    press(stack, "Ctrl+Shift+Z")
    assert stack.boxes.get(1).state == "rejected"
    stack._refresh()
    assert not stack.redo_button.isEnabled()
    assert "reject 1 box" in stack.undo_button.toolTip()
    stack.undo_button.click()
    stack._refresh()
    stack.redo_button.click()
    assert stack.boxes.get(1).state == "rejected"


def test_a_key_gives_a_class_to_the_selected_and_the_next_box(stack):
    stack.boxes.select([1, 2])
    press_shift_and(stack, 2)
    assert [stack.boxes.get(key).label for key in (1, 2)] == ["b", "b"]
    assert stack.boxes.next_class == "b"
    press_shift_and(stack, 9)
    assert stack.boxes.next_class == "b"
    stack._refresh()
    assert table(stack, SHOWN) == ["0", "4"]
    assert table(stack, ACCEPTED) == ["0", "2"]
    assert stack.classes.current == "b"


def test_a_click_on_a_class_chooses_it_for_drawing_only(stack):
    stack.boxes.select([1])
    stack.classes.cellClicked.emit(1, NAME)
    assert stack.boxes.next_class == "b"
    assert stack.boxes.get(1).label == "a"


def test_classes_are_added_renamed_recoloured_and_removed(stack, monkeypatch, messages):
    monkeypatch.setattr(QInputDialog, "getText", lambda *args: (" c ", True))
    press(stack, "Shift+C")
    assert list(stack.boxes.classes) == ["a", "b", "c"]
    assert stack.boxes.next_class == "c"
    press(stack, "Shift+C")
    assert messages() == ["there is a class 'c' already; choose another name."]
    press(stack, "Shift+X")
    assert list(stack.boxes.classes) == ["a", "b"]
    stack.classes.item(0, NAME).setText("alpha")
    stack.classes.recolored.emit("alpha", "#123456")
    assert stack.boxes.classes["alpha"] == "#123456"
    assert stack.boxes.get(1).label == "alpha"
    stack.classes.item(0, NAME).setText("b")
    assert len(messages()) == 2
    stack._refresh()
    assert table(stack, NAME) == ["alpha", "b"]


def test_states_are_shown_and_hidden_by_keys(stack):
    stack.boxes.reject([1])
    press(stack, "H")
    assert stack.boxes.shown() == {}
    press(stack, "Shift+G")
    assert list(stack.boxes.shown()) == [1]
    press(stack, "H")
    press(stack, "G")
    press(stack, "Shift+H")
    assert stack.boxes.shown_states == {"proposed", "rejected"}


def test_the_selected_box_is_described(stack, qtbot):
    stack.boxes.select([3])
    qtbot.waitUntil(lambda: "0.60" in stack.judge._text.text())
    assert "guess by model@1, 20 x 20 px" in stack.judge._text.text()
    stack.boxes.select([1, 2, 3])
    qtbot.waitUntil(lambda: "3 boxes" in stack.judge._text.text())
    stack.judge.class_picked.emit("b")
    assert {stack.boxes.get(key).label for key in (1, 2, 3)} == {"b"}


def test_edits_with_napari_are_seen_without_asking(stack, qtbot):
    layer = stack.boxes.layer
    layer.remove([0])
    qtbot.waitUntil(lambda: stack.undo_button.toolTip().startswith("Take back: delete 1 box"))
    layer.mode = "select"
    layer.selected_data = {0}
    layer._copy_data()
    layer._paste_data()
    qtbot.waitUntil(lambda: stack.undo_button.toolTip().startswith("Take back: add 1 box"))


def test_edges_stay_thin_while_one_zooms(stack, viewer, qtbot):
    wide = stack.boxes.line_width
    camera_of(viewer).zoom *= 10
    qtbot.waitUntil(lambda: stack.boxes.line_width < wide / 5)
    assert set(stack.boxes.layer.edge_width) == {stack.boxes.line_width}


def test_a_closed_dock_lets_go_and_another_goes_on(stack, viewer, qtbot):
    boxes, layer = stack.boxes, stack.boxes.layer
    viewer.window.remove_dock_widget(stack)
    assert KeyBinding.from_str("Q") not in layer.keymap
    layer.remove([0])
    again = open_review(viewer)
    assert again.boxes is boxes
    assert again.undo_button.toolTip().startswith("Take back: delete 1 box")
    press(again, "Ctrl+Z")
    assert len(boxes.shown()) == 8


def test_the_layer_may_be_renamed_and_deleted(stack, viewer):
    stack.boxes.layer.name = "my boxes"
    assert stack.picker._combo.currentText() == "my boxes"
    viewer.layers.remove("my boxes")
    assert stack.boxes is None
    stack._refresh()
    assert stack._body.isHidden()
    assert "Localize" in stack._empty.text()


def test_layers_of_others_are_taken_only_when_chosen(viewer, review):
    rectangle = np.array([[0, 0], [0, 5], [5, 5], [5, 0.0]])
    viewer.add_image(np.zeros((20, 20)))
    viewer.add_shapes([np.array([[0, 0], [5, 5], [9, 2.0]])], shape_type="polygon", name="outline")
    plain = viewer.add_shapes([rectangle], name="regions")
    assert review.boxes is None
    assert [review.picker._combo.itemText(at) for at in range(review.picker._combo.count())] == ["regions"]
    assert "class" not in plain.features
    review.picker.choose(plain)
    assert review.boxes.counts()["object"] == (1, 1)


def test_the_dock_follows_the_selected_layer_of_boxes(viewer, stack):
    first = stack.boxes.layer
    second = viewer.add_layer(new_box_layer(viewer.layers["film"], ("x",), name="second"))
    assert stack.boxes.layer is second
    assert table(stack, NAME) == ["x"]
    viewer.layers.selection.active = first
    assert stack.boxes.layer is first
    viewer.layers.selection.active = viewer.layers["film"]
    assert stack.boxes.layer is first
    assert KeyBinding.from_str("Q") not in second.keymap


def test_docks_of_two_windows_know_nothing_of_each_other(stack, make_napari_viewer):
    other = open_review(make_napari_viewer())
    assert other.boxes is None
    layer = other._viewer.add_layer(Shapes(ndim=2))
    other.picker.choose(layer)
    layer.add_rectangles(np.array([[[5, 5], [5, 9], [9, 9], [9, 5.0]]]))
    other.boxes.add_class("only here")
    assert "only here" not in stack.boxes.classes
    assert len(stack.boxes.shown()) == 8


def menu_of(button):
    button.menu().aboutToShow.emit()
    return {action.text(): action for action in button.menu().actions()}


def test_many_guesses_are_judged_at_once_by_menu_and_key(stack):
    boxes = stack.boxes
    stack.many.score.setValue(0.5)
    assert list(menu_of(stack.many.accept)) == [
        "4 in view\t⇧E",
        "4 on this plane\t⇧Q",
        "2 with a score from 0.50\t⇧S",
    ]
    rejecting = menu_of(stack.many.reject)
    rejecting["2 with a score below 0.50\t⇧F"].trigger()
    assert [boxes.get(key).state for key in (1, 2, 3, 4)] == ["proposed", "rejected", "proposed", "rejected"]
    assert "Rejected 2 guesses with a score below 0.50." in stack.status.text()
    assert boxes.undo_text == "reject 2 boxes"
    press(stack, "Shift+S")
    assert [boxes.get(key).state for key in (1, 3)] == ["accepted"] * 2
    press(stack, "Shift+S")
    assert "There are no guesses with a score from 0.50." in stack.status.text()
    boxes.undo()
    press(stack, "Shift+D")
    assert [boxes.get(key).state for key in (1, 3)] == ["rejected"] * 2
    boxes.undo()
    boxes.undo()
    press(stack, "Shift+W")
    assert boxes.by_state((0,))["rejected"] == 4
    assert boxes.by_state((1,))["rejected"] == 0
    boxes.undo()
    assert boxes.undo_text is None


@pytest.mark.parametrize(("key", "state"), [("Shift+E", "accepted"), ("Shift+R", "rejected")])
def test_only_guesses_in_view_are_judged(stack, viewer, key, state):
    camera = camera_of(viewer)
    camera.center, camera.zoom = (0, 19.5, 19.5), 40
    windows_of(viewer).look()
    press(stack, key)
    assert [stack.boxes.get(number).state for number in (1, 2, 3, 4)] == [state] + ["proposed"] * 3


def test_boxes_are_counted_by_state(stack, qtbot):
    stack.boxes.accept([1])
    stack.boxes.reject([2])
    stack.boxes.set_class([3], "a")
    qtbot.waitUntil(lambda: stack.states.guesses.text() == "1 guesses   H")
    assert [box.text() for box in (stack.states.accepted, stack.states.corrected, stack.states.rejected)] == [
        "1 accepted   ⇧H",
        "1 corrected   G",
        "1 rejected   ⇧G",
    ]
    assert not stack.states.guesses.icon().isNull()


def test_areas_are_drawn_listed_and_taken_back(stack, viewer, qtbot):
    boxes = stack.boxes
    press(stack, "U")
    assert stack.areas.finish.isChecked()
    drawing = viewer.layers.selection.active
    drawing.add_rectangles(np.array([[[0, 0, 0], [0, 0, 45], [0, 99, 45], [0, 99, 0.0]]]))
    qtbot.waitUntil(lambda: len(boxes.areas) == 1)
    assert [boxes.get(key).state for key in (1, 2, 3, 4)] == ["accepted", "proposed", "accepted", "proposed"]
    qtbot.waitUntil(lambda: "In reviewed area: <b>2</b>" in stack.areas._text.text())
    assert not stack.areas.finish.isChecked()
    stack.areas.ignore.click()
    assert stack.areas.ignore.isChecked()
    stack.areas.ignore.click()
    assert not stack.areas.ignore.isChecked()
    boxes.ignore_area((0,), (5.0, 5.0, 35.0, 35.0))
    qtbot.waitUntil(lambda: "In reviewed area: <b>1</b>" in stack.areas._text.text())
    texts = [action.text() for action in stack.areas.back.menu().actions()]
    assert texts == ["finished: 45 x 99 px at 0, 0", "ignored: 30 x 30 px at 5, 5"]
    stack.areas.back.menu().actions()[1].trigger()
    assert len(boxes.areas) == 1
    assert "Taken back: ignored" in stack.status.text()
    viewer.cursor.position = (0, 80, 80)
    press(stack, "Shift+T")
    assert "no area" in stack.status.text()
    viewer.cursor.position = (0, 50, 20)
    press(stack, "Shift+T")
    assert boxes.areas == frozenset()
    qtbot.waitUntil(stack.areas.back.isHidden)
    assert stack.areas._text.text() == ""


def test_what_is_no_plane_cannot_be_finished(stack, viewer):
    # Another layer that begins before the stack lengthens the sliders.
    viewer.add_image(np.zeros((9, 20, 20)), name="other", translate=(-4, 0, 0))
    viewer.layers.selection.active = stack.boxes.layer
    viewer.dims.set_point(0, -2)
    stack._refresh()
    stack.toggle_finished()
    assert stack.boxes.finished == frozenset()
    assert "has no plane -2" in stack.told.text()


def test_a_finished_plane_has_no_areas_to_finish(stack, viewer):
    stack.boxes.finish((0,))
    stack.areas.finish.click()
    assert "finished as a whole" in stack.status.text()
    assert not stack.areas.finish.isChecked()
    press(stack, "Shift+U")
    assert stack.areas.ignore.isChecked()


def test_drawing_an_area_ends_with_the_dock(stack, viewer):
    stack.ignore_area()
    assert len(viewer.layers) == 3
    viewer.window.remove_dock_widget(stack)
    assert len(viewer.layers) == 2


def test_keys_of_the_dock_are_those_shown_and_none_of_napari(stack, viewer):
    from napari.settings import get_settings

    ours = {str(key) for key in stack.boxes.layer.keymap}
    napari = {str(key) for keys in get_settings().shortcuts.shortcuts.values() for key in keys}
    assert {"U", "Shift+U", "Shift+T", "Shift+Q", "Shift+W", "Shift+E", "Shift+R", "Shift+S", "Shift+D"} <= ours
    assert not ours & napari
