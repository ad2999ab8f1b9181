"""Localize, correct, retrain, compare, keep, localize again, save, read back: the loop on one image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QShortcut

import napari_localize
from napari_localize.models.registry import list_models
from napari_localize.plugin.boxes import box_layer


def lonely(boxes, image_side, margin=3):
    """Shown boxes with nothing near them, so that a click can mean no other one."""
    shown = boxes.shown()
    corners = np.array([box.xyxy for box in shown.values()])
    found = []
    for (key, box), (x0, y0, x1, y1) in zip(shown.items(), corners, strict=True):
        apart = (corners[:, 0] > x1 + margin) | (corners[:, 2] < x0 - margin)
        apart |= (corners[:, 1] > y1 + margin) | (corners[:, 3] < y0 - margin)
        inside = min(x0, y0) > margin and max(x1, y1) < image_side - margin
        if inside and apart.sum() == len(corners) - 1:
            found.append((key, box))
    return found


def middle(box):
    """Centre of a box as (y, x) in the layer's data coordinates."""
    x0, y0, x1, y1 = box.xyxy
    return (y0 + y1) / 2 - 0.5, (x0 + x1) / 2 - 0.5


def test_the_whole_loop_on_one_image(person, viewer, truth_of, snapshot, assert_reread, tmp_path):
    """Open the nuclei sample, run, correct by mouse and keys, undo and redo all, finish the plane, retrain, keep the
    new model, run it, save as COCO and CSV, and open both again.
    """
    image, truth = viewer.open_sample("napari-localize", "nuclei")
    loop = person.open_dock()
    localize, review, retrain = loop.localize, loop.review, loop.retrain

    # Localize
    person.pick(localize.model, "nuclei")
    person.run(localize)
    boxes, layer = person.boxes, person.boxes.layer
    f1 = napari_localize.evaluate(boxes.detections(), truth_of(truth)).loc["all", "F1"]
    assert f1 > 0.7
    person.picture("loop-1-localized")
    assert (layer.scale == image.scale).all()
    origins = set(boxes.detections().origins)
    assert origins == {"nuclei@1"}

    # Review: everything by mouse and keys, as on any Shapes layer
    person.tab(loop, review)
    person.look_at(layer)
    before = snapshot(layer)
    alone = lonely(boxes, 512)
    assert len(alone) >= 8, "the sample has enough boxes that stand apart"
    deleted, moved, reclassed, pasted = alone[:3], alone[3:5], alone[5], alone[6]
    person.key(Qt.Key.Key_S)
    for number, (_, box) in enumerate(deleted):
        person.click(layer, middle(box), shift=number > 0)
    assert sorted(boxes.selected_ids) == sorted(key for key, _ in deleted)
    person.key(Qt.Key.Key_Delete)
    assert not {key for key, _ in deleted} & set(boxes.shown())
    for key, box in moved:
        y, x = middle(box)
        person.drag(layer, (y, x), (y + 4, x - 5))
        got = boxes.get(key)
        np.testing.assert_allclose(np.subtract(got.xyxy, box.xyxy), (-5, 4, -5, 4), atol=1.5)
        assert got.state == "edited"
    known = set(boxes.shown())
    person.press(review.judge.draw)
    for _, (x0, y0, x1, y1) in ((key, box.xyxy) for key, box in deleted[:2]):
        person.drag(layer, (y0, x0), (y1, x1))
    drawn = set(boxes.shown()) - known
    assert len(drawn) == 2
    assert {boxes.get(key).state for key in drawn} == {"added"}
    assert {boxes.get(key).label for key in drawn} == {"nucleus"}
    person.answer("mitosis")
    person.press(review.add_button)
    assert list(boxes.classes) == ["nucleus", "mitosis"]
    person.key(Qt.Key.Key_S)
    person.click(layer, middle(reclassed[1]))
    # Without a window manager no window is ever active, which shortcuts of a window wait for.
    (second,) = (one for one in review.findChildren(QShortcut) if one.key() == QKeySequence("Shift+2"))
    second.activated.emit()
    assert boxes.get(reclassed[0]).label == "mitosis"
    person.click(layer, middle(pasted[1]))
    person.key(Qt.Key.Key_C, ctrl=True)
    known = set(boxes.shown())
    person.key(Qt.Key.Key_V, ctrl=True)
    (copy,) = set(boxes.shown()) - known
    assert boxes.get(copy).xyxy == boxes.get(pasted[0]).xyxy
    assert boxes.get(copy).state == "added"
    after = snapshot(layer)
    assert len(after.boxes) == len(before.boxes) - 3 + 2 + 1
    person.picture("loop-2-reviewed")

    # Undo all, redo all
    while boxes.undo_text is not None:
        person.key(Qt.Key.Key_Z, ctrl=True)
    assert snapshot(layer) == before
    while boxes.redo_text is not None:
        person.key(Qt.Key.Key_Z, ctrl=True, shift=True)
    assert snapshot(layer) == after

    # The pasted twin is taken away again, and the plane is right
    person.click(layer, middle(boxes.get(copy)))
    boxes.select([copy])
    person.key(Qt.Key.Key_Delete)
    assert boxes.get(copy) is None
    person.key(Qt.Key.Key_Return, ctrl=True)
    assert boxes.finished == {()}
    assert {box.state for box in boxes.shown().values()} == {"accepted", "edited", "added"}

    # Retrain and keep
    person.tab(loop, retrain)
    person.wait(lambda: "1</b> finished plane" in retrain.material.text(), "the finished plane is counted")
    approved = boxes.approved()
    assert f"<b>{len(approved)}</b> boxes" in retrain.material.text()
    person.pick(retrain.base, "nuclei")
    person.train(retrain, "seconds", 10)
    assert person.messages() == []
    assert len(retrain.curve.points["train"]) > 0
    person.picture("loop-3-trained")
    retrain.comparison.name.clear()
    person.bot.keyClicks(retrain.comparison.name, "my nuclei")
    person.keep(retrain)
    assert "my nuclei@1" in [entry.reference for entry in list_models()]
    assert loop.currentWidget() is localize
    assert localize.model.name == "my nuclei@1"
    assert localize.model.card.classes == ["nucleus", "mitosis"]

    # Run the new model: what the person has judged stays as it is
    judged = snapshot(layer)
    person.run(localize)
    now = snapshot(layer)
    assert {key: row for key, row in now.boxes.items() if key in judged.boxes} == judged.boxes
    assert now.rejected == judged.rejected
    assert {row[4] for key, row in now.boxes.items() if key not in judged.boxes} <= {"my nuclei@1"}
    person.picture("loop-4-again")

    # Save and read back: a box that reaches over the border is cut there, which a note says
    assert person.messages() == []
    for name in ("boxes.json", "boxes.csv"):
        path = tmp_path / name
        assert layer.save(str(path), plugin="napari-localize") == [str(path)]
        viewer.layers.remove(layer) if layer in viewer.layers else None
        (again,) = viewer.open(path, plugin="napari-localize")
        # A table holds neither a class without boxes nor which planes are finished.
        kept = {} if name.endswith(".json") else {"finished": frozenset(), "classes": tuple(box_layer(again).classes)}
        assert_reread(snapshot(again), replace(now, **kept), 512)
        assert (again.scale == image.scale).all()
        viewer.layers.remove(again)
    words = ("cut at the border", "CSV has no place for which planes are finished")
    assert all(any(part in text for part in words) for text in person.messages())


def test_docks_opened_one_after_the_other_are_tabs(person, viewer):
    """Open six docks: the window keeps its size, each dock has its whole height, the newest is in front."""
    window = person.window
    size = window.size()
    heights = []
    for name in ("Localize", "Review", "Retrain", "Count", "Evaluate", "Models"):
        dock = person.open_dock(name)
        person.wait(lambda dock=dock: not dock.visibleRegion().isEmpty(), f"{name} is in front")
        heights.append(dock.height())
        person.wait(lambda dock=dock: dock.height() > 0.9 * heights[0], f"{name} has all the height")
    assert window.size() == size
    person.picture("loop-tabs")
