from __future__ import annotations

import numpy as np
import pytest
from app_model.types import KeyBinding
from qtpy.QtCore import QSettings
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QShortcut

from napari_localize.core.detections import Detections
from napari_localize.evaluation.queue import lot
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.layers import new_box_layer
from napari_localize.plugin.queueing import random_planes
from napari_localize.widgets._queue import ORDERS
from napari_localize.widgets.review import ReviewWidget

GRID = np.array([[x, y, x + 8, y + 8] for y in range(5, 95, 15) for x in range(5, 95, 15)], float)


@pytest.fixture
def review(viewer):
    """Six planes with 36 guesses each of two classes; the image is gone, so that looks are unknown."""
    QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, "napari-localize", "docks").clear()
    image = viewer.add_image(np.zeros((6, 100, 100)), name="film")
    layer = new_box_layer(image, ("a", "b"))
    viewer.add_layer(layer)
    rng = np.random.default_rng(0)
    found = {
        (plane,): Detections(GRID, np.arange(36) % 2, rng.uniform(0.4, 0.99, 36), class_names=("a", "b"))
        for plane in range(6)
    }
    boxes = box_layer(layer)
    boxes.set_proposals(found, "model@1")
    boxes.set_filter(0.4)
    viewer.layers.remove(image)
    widget = ReviewWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Review")
    viewer.dims.set_current_step(0, 0)
    widget._refresh()
    return widget


def press(widget, key):
    layer = widget.boxes.layer
    layer.keymap[KeyBinding.from_str(key)](layer)


def press_shift_and(widget, number):
    key = QKeySequence(f"Shift+{number}")
    (shortcut,) = (one for one in widget.findChildren(QShortcut) if one.key() == key)
    shortcut.activated.emit()


def choose(widget, name):
    widget.queue.order.setCurrentText(name)


def test_judging_leads_from_box_to_box_over_all_planes(review, viewer):
    assert review.judge.next.text() == "Next guess   N"
    press(review, "Shift+O")
    assert review.judge.next.text() == "Pass over   N"
    queue, boxes = review.queue, review.boxes
    planes, seen = set(), []
    for turn in range(24):
        key = queue.current
        assert boxes.selected_ids == [key]
        assert viewer.dims.current_step[0] == boxes.get(key).plane[0]
        planes.add(boxes.get(key).plane)
        seen.append(key)
        press(review, "Q" if turn % 3 else "W")
        assert boxes.get(key).state == ("accepted" if turn % 3 else "rejected")
    assert len(set(seen)) == 24
    assert len(planes) >= 4
    assert "24 of 216 done" in queue.text.text()
    assert review.judge.next.text() == "Pass over   N"
    assert "of 6" in queue.text.text()
    assert "by lot" in queue.advice.text()


def test_least_certain_goes_by_the_score(review):
    choose(review, "least certain")
    press(review, "Shift+O")
    boxes, scores = review.boxes, []
    for _ in range(10):
        scores.append(boxes.get(review.queue.current).score)
        press(review, "Q")
    assert scores == sorted(scores)
    table = boxes.table.boxes
    assert scores[0] == table.scores.min()


def test_another_class_is_a_judgement_too(review):
    press(review, "Shift+O")
    queue, boxes = review.queue, review.boxes
    first = queue.current
    own = boxes.get(first).label
    press_shift_and(review, 2 if own == "a" else 1)
    assert boxes.get(first).state == "edited"
    assert boxes.get(first).label != own
    second = queue.current
    assert second != first
    own = boxes.get(second).label
    press_shift_and(review, 1 if own == "a" else 2)
    assert boxes.get(second).state == "accepted"
    assert queue.current not in (first, second)


def test_what_was_passed_over_comes_last(review):
    boxes = review.boxes
    boxes.reject([key for key in boxes.table.boxes.ids.tolist() if key > 5])
    choose(review, "least certain")
    press(review, "Shift+O")
    queue = review.queue
    first = queue.current
    press(review, "N")
    second = queue.current
    press(review, "Shift+N")
    assert queue.current == first
    press(review, "N")
    assert queue.current == second
    for _ in range(4):
        assert queue.current != first
        press(review, "Q")
    assert queue.current == first
    press(review, "N")
    assert queue.current == first
    press(review, "W")
    assert queue.current is None
    assert "end of the queue" in queue.text.text()
    assert "All 216 boxes are judged" in queue.advice.text()
    assert "suspicious ones can be looked at again" in queue.advice.text()
    press(review, "N")
    assert queue.current is None


def test_undo_leads_back_to_the_box(review, viewer):
    press(review, "Shift+O")
    queue, boxes = review.queue, review.boxes
    seen = []
    for _ in range(3):
        seen.append(queue.current)
        press(review, "Q")
    for key in reversed(seen):
        review.undo()
        assert queue.current == key
        assert boxes.get(key).state == "proposed"
        assert viewer.dims.current_step[0] == boxes.get(key).plane[0]
    assert "0 of 216 done" in queue.text.text()
    press(review, "W")
    assert boxes.get(seen[0]).state == "rejected"
    assert queue.current == seen[1]


def test_it_need_not_go_on_by_itself(review):
    press(review, "Shift+I")
    press(review, "Shift+O")
    first = review.queue.current
    press(review, "Q")
    assert review.queue.current == first
    assert "1 of 216 done" in review.queue.text.text()
    press(review, "N")
    assert review.queue.current != first
    press(review, "Shift+I")


def test_off_the_keys_walk_as_before(review):
    press(review, "N")
    boxes = review.boxes
    here = boxes.table.boxes.take(boxes.table.on((0,)))
    assert boxes.selected_ids == [here.ids[np.argmin(here.scores)]]
    press(review, "Shift+O")
    press(review, "Shift+O")
    assert not review.queue.on
    assert review.queue._options.isHidden()
    assert review.queue.current is None


def test_a_fifth_is_by_lot_and_they_are_those_of_the_lowest_lots(review):
    press(review, "Shift+O")
    queue, boxes = review.queue, review.boxes
    ids = boxes.table.boxes.ids.copy()
    drawn = []
    for turn in range(1, 31):
        if queue.text.text().startswith("<b>by lot"):
            drawn.append(queue.current)
        assert len(drawn) == turn // 5
        press(review, "Q")
    order = ids[np.argsort(lot(ids))].tolist()
    assert set(drawn) <= set(order[:30])


def test_suspicious_boxes_are_confirmed_or_changed(review):
    boxes = review.boxes
    table = boxes.table.boxes
    low, high = int(table.ids[np.argmin(table.scores)]), int(table.ids[np.argmax(table.scores)])
    boxes.accept([low])
    boxes.reject([high])
    review._refresh()
    choose(review, "suspicious")
    press(review, "Shift+O")
    queue = review.queue
    assert queue.current == high
    assert "rejected" in boxes.shown_states
    assert review.states.rejected.isChecked()
    press(review, "Q")
    assert boxes.get(high).state == "accepted"
    assert queue.current == low
    press(review, "Q")
    assert boxes.get(low).state == "accepted"
    assert queue.current is None


def test_a_guess_on_a_finished_plane_is_suspicious_where_the_model_is_sure(review):
    boxes = review.boxes
    boxes.reject(boxes.table.guesses((2,))[:3])
    boxes.finish((2,))
    missed = Detections(np.array([[85, 85, 99, 99.0], [80, 0, 99, 4]]), [0, 0], [0.97, 0.5], class_names=("a", "b"))
    boxes.set_proposals({(2,): missed}, "model@2")
    choose(review, "suspicious")
    press(review, "Shift+O")
    keys = []
    while review.queue.current is not None:
        keys.append(review.queue.current)
        press(review, "Q")
    new = [key for key in keys if boxes.get(key).origin == "model@2"]
    assert [round(boxes.get(key).score, 2) for key in new] == [0.97]
    assert boxes.get(new[0]).state == "accepted"


def test_planes_are_walked_by_what_there_is_to_learn(review, viewer, qtbot):
    boxes = review.boxes
    # All is sure but the fifth plane, which has the least certain boxes.
    for plane in (1, 2, 3, 5):
        boxes.accept(boxes.table.guesses((plane,)))
    press(review, "Shift+K")
    assert viewer.dims.current_step[0] == 4
    assert "most to learn" in review.queue.news.text()
    for plane in range(6):
        boxes.finish((plane,))
    press(review, "Shift+K")
    assert "No other plane" in review.queue.news.text()


def test_a_new_run_of_a_model_refills_the_queue(review, qtbot):
    press(review, "Shift+O")
    for _ in range(3):
        press(review, "Q")
    boxes = review.boxes
    judged = {key for key, box in boxes.table.boxes.items() if box.state == "accepted"}
    boxes.set_proposals({(0,): Detections(GRID[:4], [0] * 4, [0.41] * 4, class_names=("a", "b"))}, "model@2")
    qtbot.waitUntil(lambda: review.queue._newest >= boxes.table.boxes.ids.max())
    seen = set()
    while (current := review.queue.current) is not None and current not in seen:
        seen.add(current)
        press(review, "N")
    assert "model@2" in {boxes.get(key).origin for key in seen}
    assert not judged & seen


def test_the_planes_by_lot_are_a_sample_whatever_else_is_finished():
    order = np.argsort(lot(np.arange(20))).tolist()
    assert random_planes(order[:3], 20) == order[:3]
    assert random_planes([*order[:3], *order[7:9]], 20) == order[:3]
    assert random_planes(order[1:], 20) == []


def test_choices_are_remembered(review, viewer):
    choose(review, "by lot")
    review.queue.narrow.setValue(12.0)
    other = ReviewWidget(viewer)
    assert other.queue.order.currentText() == "by lot"
    assert other.queue.narrow.value() == 12.0
    other.close_down()
    other.deleteLater()


def test_everything_is_explained_and_fits(review):
    press(review, "Shift+O")
    queue = review.queue
    for widget in (queue.go, queue.order, queue.plane, queue.go_on, queue.narrow, queue.cancel):
        assert widget.toolTip()
    assert list(ORDERS) == [queue.order.itemText(index) for index in range(queue.order.count())]
    assert queue.minimumSizeHint().width() <= 290


def test_what_the_score_hides_is_not_handed_out_and_comes_when_it_is_shown(review):
    boxes = review.boxes
    boxes.set_filter(0.7)
    choose(review, "least certain")
    press(review, "Shift+O")
    queue = review.queue
    boxes.set_filter(0.9)
    for _ in range(5):
        press(review, "N")
        assert boxes.get(queue.current).score >= 0.9
        assert boxes.selected_ids == [queue.current]
    boxes.set_filter(0.7)
    press(review, "N")
    assert 0.7 <= boxes.get(queue.current).score < 0.75


def test_guesses_that_were_hidden_when_a_plane_was_finished_are_not_suspicious(review):
    boxes = review.boxes
    boxes.set_filter(0.4, (0.0, 1.0))
    boxes.finish((2,))
    choose(review, "suspicious")
    press(review, "Shift+O")
    assert review.queue.current is None
