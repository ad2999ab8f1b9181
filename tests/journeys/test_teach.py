"""Teach by example: one box drawn, everything alike proposed, and better with each that is judged."""

from __future__ import annotations

import numpy as np
import tifffile
from qtpy.QtCore import Qt

import napari_localize
from napari_localize.core.detections import Detections
from napari_localize.core.overlap import overlapping
from napari_localize.plugin.boxes import box_layer


def test_one_box_drawn_finds_the_others(person, viewer, crop, tmp_path):
    """Draw a box, have what is alike proposed, reject and draw on, finish: no model was run."""
    pixels, truth = crop(0, 0)
    tifffile.imwrite(tmp_path / "cells.tif", pixels)
    viewer.open(tmp_path / "cells.tif")
    review = person.open_dock("Review")
    person.press(review.new_button)
    boxes, layer = person.boxes, person.boxes.layer
    person.look_at(layer)
    teach = review.teach

    # Without an example it says what to do
    person.key(Qt.Key.Key_Y, shift=True)
    assert "draw a box around one object" in teach.text()
    assert not teach.find.isChecked()

    # One example
    inside = ((truth.boxes > 4) & (truth.boxes < 180)).all(axis=1)
    x0, y0, x1, y1 = truth.boxes[inside][len(truth.boxes[inside]) // 2].tolist()
    person.press(review.judge.draw)
    person.drag(layer, (y0 - 0.5, x0 - 0.5), (y1 - 0.5, x1 - 0.5))
    assert len(boxes) == 1
    person.press(teach.find)
    person.wait(lambda: boxes.number_of_guesses(()) and not teach.busy, "something alike is found")
    assert "like 1 example" in teach.text()
    found = boxes.detections()
    named = (Detections(part.boxes, class_names=("nucleus",)) for part in (found, truth))
    f1 = napari_localize.evaluate(*named).loc["all", "F1"]
    assert f1 > 0.4
    assert set(found.origins) == {"human", "examples"}
    assert not overlapping(found[found.states == "proposed"].boxes, found[found.states == "added"].boxes, 0.5).any()
    person.picture("teach-1-found")

    # What is rejected stays away, what is accepted stays, and it goes on by itself
    person.key(Qt.Key.Key_S)
    first = boxes.least_certain(())
    wrong = boxes.get(first)
    boxes.select([first])
    person.key(Qt.Key.Key_W)
    right = next(key for key, box in boxes.shown().items() if box.state == "proposed")
    boxes.select([right])
    person.key(Qt.Key.Key_Q)
    person.wait(lambda: "like 2 examples" in teach.text() and not teach.busy, "it has looked again")
    now = boxes.detections(states=("proposed",))
    assert not overlapping(now.boxes, np.array([wrong.xyxy]), 0.5).any()
    assert boxes.get(right).state == "accepted"

    # Off is off
    person.press(teach.find)
    assert teach.text() == ""
    assert person.messages() == []
    person.picture("teach-2-judged")


def test_in_the_wrong_order_on_a_movie(person, viewer):
    """Press twice, take the example back, change the plane, delete the layer and close the dock while it looks."""
    _, truth = viewer.open_sample("napari-localize", "bacteria")
    example = box_layer(truth).detections((0,))[:1]
    viewer.layers.remove(truth)
    review = person.open_dock("Review")
    person.press(review.new_button)
    boxes, teach = person.boxes, review.teach
    viewer.dims.set_current_step(0, 0)
    person.look_at(boxes.layer)
    x0, y0, x1, y1 = example.boxes[0].tolist()
    person.press(review.judge.draw)
    person.drag(boxes.layer, (y0 - 0.5, x0 - 0.5), (y1 - 0.5, x1 - 0.5))
    person.key(Qt.Key.Key_S)

    # Pressed again before the answer: nothing comes
    person.press(teach.find)
    person.press(teach.find)
    person.bot.wait(1500)
    assert len(boxes) == 1
    assert teach.text() == ""

    # On: other bacteria are found; the next plane ends it, and there the example of this one serves
    person.press(teach.find)
    person.wait(lambda: boxes.number_of_guesses((0,)) and not teach.busy, "something alike is found")
    viewer.dims.set_current_step(0, 1)
    person.wait(lambda: not teach.find.isChecked(), "it has ended")
    assert not boxes.number_of_guesses((1,))
    person.press(teach.find)
    person.wait(lambda: boxes.number_of_guesses((1,)) and not teach.busy, "the example serves on the next plane")
    assert "like 1 example" in teach.text()

    # The example is taken back: it says that there is none
    viewer.dims.set_current_step(0, 0)
    person.wait(lambda: not teach.find.isChecked(), "it has ended")
    person.press(teach.find)
    person.wait(lambda: not teach.busy and "example" in teach.text(), "it has looked again")
    boxes.undo()
    person.wait(lambda: "draw a box" in teach.text(), "it misses the example")
    assert not teach.find.isChecked()
    # Nobody need reject what it has brought on this plane
    assert not boxes.number_of_guesses((0,))
    assert boxes.number_of_guesses((1,))
    boxes.redo()

    # The layer goes, and then the dock, while it looks
    person.press(teach.find)
    viewer.layers.remove(boxes.layer)
    person.wait(lambda: not teach.find.isChecked(), "it has ended")
    person.wait(review.new_button.isVisible, "a new layer is offered")
    person.press(review.new_button)
    layer = person.boxes.layer
    layer.add_rectangles([[[0, y0, x0], [0, y0, x1], [0, y1, x1], [0, y1, x0]]])
    person.pause()
    person.press(teach.find)
    viewer.window.remove_dock_widget(review)
    person.bot.wait(1500)
    assert len(box_layer(layer)) == 1
    assert person.messages() == []
