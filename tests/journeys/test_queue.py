"""Going through a stack by the review queue, with keys alone."""

from __future__ import annotations

import numpy as np
import tifffile
from qtpy.QtCore import Qt

from napari_localize.core.overlap import overlapping


def test_a_stack_is_reviewed_by_the_queue_with_keys_alone(person, viewer, crop, tmp_path):
    """Localize a stack, judge by the queue as the truth says, take steps back, look at what is suspicious, go to planes."""
    crops = [crop(y, x, 160) for y in (0, 170, 340) for x in (0, 170)]
    truth = {(index,): boxes for index, (_, boxes) in enumerate(crops)}
    stack = np.stack([pixels for pixels, _ in crops])
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    viewer.open(tmp_path / "stack.tif")
    loop = person.open_dock()
    localize, review = loop.localize, loop.review
    person.pick(localize.model, "nuclei")
    person.press(localize.scope.all)
    person.run(localize)
    boxes = person.boxes
    total = boxes.number_of_guesses()
    assert total > 50
    person.tab(loop, review)
    person.look_at(boxes.layer)
    queue = review.queue

    def judge():
        box = boxes.get(queue.current)
        right = overlapping(np.array([box.xyxy], np.float32), truth[box.plane].boxes, 0.5).any()
        person.key(Qt.Key.Key_Q if right else Qt.Key.Key_W)
        return right

    # It begins at once, and soon knows how the boxes look
    person.key(Qt.Key.Key_O, shift=True)
    assert queue.current is not None
    assert boxes.selected_ids == [queue.current]
    assert f"0 of {total} done" in queue.text.text()
    person.wait(lambda: not queue.busy and queue._looks is not None, "it knows how the boxes look")
    person.picture("queue-1-begun")

    # Judgements lead on, over all planes; what is known of all boxes is said
    assert "20 more boxes by lot" in queue.advice.text()
    planes = set()
    for turn in range(8):
        key = queue.current
        planes.add(boxes.get(key).plane)
        assert viewer.dims.current_step[0] == boxes.get(key).plane[0]
        judge()
        assert boxes.get(key).state in ("accepted", "rejected")
        assert f"{turn + 1} of {total} done" in queue.text.text()
    assert len(planes) > 1
    assert "at your pace" in queue.advice.text()
    person.picture("queue-2-judged")

    # Passed over, and back
    key = queue.current
    person.key(Qt.Key.Key_N)
    assert queue.current != key
    person.key(Qt.Key.Key_N, shift=True)
    assert queue.current == key

    # Undo leads to the box again
    judge()
    person.key(Qt.Key.Key_Z, ctrl=True)
    assert queue.current == key
    assert boxes.get(key).state == "proposed"
    assert f"8 of {total} done" in queue.text.text()

    # By lot: the sentence tells how many are right, and what more would bring
    queue.order.setCurrentText("by lot")
    for _ in range(28):
        judge()
    assert "of the boxes are right" in queue.advice.text()
    assert "±" in queue.advice.text()
    person.picture("queue-3-known")

    # What the model now doubts of what was judged
    queue.order.setCurrentText("suspicious")
    person.wait(lambda: not queue.busy, "the model has looked again")
    assert queue._doubts is not None

    # Planes: the one to finish next
    person.key(Qt.Key.Key_O, shift=True)
    assert not queue.on
    before = viewer.dims.current_step[0]
    person.key(Qt.Key.Key_K, shift=True)
    assert viewer.dims.current_step[0] != before
    assert "Finish it" in queue.news.text()
    person.key(Qt.Key.Key_Return, ctrl=True)
    assert boxes.finished == {(viewer.dims.current_step[0],)}
    assert person.messages() == []


def test_it_can_be_left_while_it_looks(person, viewer, crop, tmp_path):
    """Cancel, start again, delete the layer and close the dock while the engine describes boxes."""
    pixels, _ = crop(0, 0, 300)
    tifffile.imwrite(tmp_path / "cells.tif", pixels)
    viewer.open(tmp_path / "cells.tif")
    loop = person.open_dock()
    localize, review = loop.localize, loop.review
    person.pick(localize.model, "nuclei")
    person.run(localize)
    person.tab(loop, review)
    person.look_at(person.boxes.layer)
    queue = review.queue
    person.press(queue.go)
    if queue.busy:
        person.press(queue.cancel)
        person.wait(lambda: not queue.busy, "it has stopped")
    key = queue.current
    person.key(Qt.Key.Key_Q)
    assert queue.current not in (None, key)
    person.press(queue.go)
    person.press(queue.go)
    viewer.layers.remove(person.boxes.layer)
    person.wait(lambda: not queue.on, "it has ended")
    assert not queue.busy
    assert queue.text.text() == ""
    assert person.messages() == []
