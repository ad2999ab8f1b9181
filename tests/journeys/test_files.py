"""Boxes from files and into files: opened, dropped on the window, saved from the menu; and very many of them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QMimeData, QPointF, Qt, QTimer, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QDialogButtonBox, QFileDialog, QLineEdit

from napari_localize.core.detections import Detections
from napari_localize.formats import read_annotations, write_annotations
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.layers import MOST_SHAPES


@pytest.fixture
def files(crop, tmp_path):
    """An image and a COCO file with its true boxes and one class more."""
    pixels, truth = crop(0, 0)
    tifffile.imwrite(tmp_path / "cells.tif", pixels)
    boxes = Detections(truth.boxes, class_names=("nucleus", "debris"))
    write_annotations(tmp_path / "truth.json", {"cells.tif": boxes})
    return tmp_path / "cells.tif", tmp_path / "truth.json", boxes


def drop(person, *paths):
    """Let files fall onto the canvas."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    target = person.canvas
    while not target.acceptDrops():
        target = target.parentWidget()
    here, none = target.rect().center(), Qt.KeyboardModifier.NoModifier
    how = Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, none
    # Qt drops on nothing that was not entered before.
    for event in (QDragEnterEvent(here, *how), QDropEvent(QPointF(here), *how)):
        QApplication.sendEvent(target, event)
    person.pause()


def test_a_coco_file_dropped_on_the_window_is_reviewed_learned_from_and_saved(
    person, viewer, files, snapshot, tmp_path
):
    """Drop an image and its COCO file on the window, review, train on it, run, save the selected layer."""
    image_path, coco_path, truth = files
    drop(person, image_path)
    drop(person, coco_path)
    assert [type(layer).__name__ for layer in viewer.layers] == ["Image", "Shapes"]
    boxes = person.boxes
    assert len(boxes.detections()) == len(truth)
    np.testing.assert_allclose(boxes.detections().boxes, truth.boxes, atol=1e-3)
    assert list(boxes.classes) == ["nucleus", "debris"]
    loop = person.open_dock()
    person.tab(loop, loop.review)
    person.look_at(boxes.layer)
    key = next(iter(boxes.shown()))
    boxes.select([key])
    person.key(Qt.Key.Key_2, shift=True)
    assert boxes.get(key).label == "debris"
    person.press(loop.review.planes.done)
    person.tab(loop, loop.retrain)
    person.pick(loop.retrain.base, "nuclei")
    person.train(loop.retrain, "epochs", 1)
    person.keep(loop.retrain)
    assert loop.localize.model.card.classes == ["nucleus", "debris"]
    person.run(loop.localize)
    assert set(boxes.approved().ids) >= {key}

    viewer.layers.selection.active = boxes.layer
    saved = viewer.layers.save(str(tmp_path / "mine.json"), selected=True, plugin="napari-localize")
    assert saved == [str(tmp_path / "mine.json")]
    content = json.loads((tmp_path / "mine.json").read_text())
    assert [category["name"] for category in content["categories"]] == ["nucleus", "debris"]
    (name,) = {entry["file_name"] for entry in content["images"]}
    assert name == "cells.tif"
    assert len(read_annotations(tmp_path / "mine.json")[name]) >= len(boxes.approved())
    assert person.messages() == []


@pytest.mark.parametrize("name", ["boxes.json", "boxes.csv"])
def test_the_menu_saves_and_opens(person, viewer, files, snapshot, assert_reread, name):
    """File > Save Selected Layers, then File > Open Files: the boxes are the same."""
    viewer.open(files[0])
    (layer,) = viewer.open(files[1], plugin="napari-localize")
    person.open_dock("Review")
    before = snapshot(layer)
    target = files[0].with_name(name)
    viewer.layers.selection.active = layer
    QTimer.singleShot(500, lambda: fill_in(target, "COCO" if name.endswith("json") else "table"))
    action(person, "Save Selected Layers")
    assert target.is_file()
    viewer.layers.remove(layer)
    (again,) = viewer.open(target, plugin="napari-localize")
    # A table holds no class that no box has.
    classes = before.classes if name.endswith(".json") else ("nucleus",)
    assert_reread(snapshot(again), replace(before, classes=classes), 512)
    assert person.messages() == []


def fill_in(path, kind):
    """Name the file in the dialogue that has opened, choose its type by a word, and press Save."""
    dialog = QApplication.activeModalWidget()
    assert isinstance(dialog, QFileDialog)
    dialog.selectNameFilter(next(entry for entry in dialog.nameFilters() if kind in entry))
    dialog.findChild(QLineEdit).setText(str(path))
    dialog.findChild(QDialogButtonBox).button(QDialogButtonBox.StandardButton.Save).click()


def action(person, text):
    """Choose an entry of the File menu."""
    (menu,) = [entry.menu() for entry in person.window.menuBar().actions() if entry.text().strip("&") == "File"]
    menu.aboutToShow.emit()
    (entry,) = [entry for entry in menu.actions() if entry.text().replace("&", "").startswith(text)]
    assert entry.isEnabled()
    entry.trigger()
    person.pause()


def test_five_thousand_boxes_are_filtered_by_the_slider(person, viewer, tmp_path):
    """Open an image and a file with 5,000 boxes; move the score slider; hidden boxes come back."""
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 1000, (5000, 2)).astype(np.float32)
    scores = np.linspace(0.05, 0.999, 5000, dtype=np.float32)
    found = Detections(np.hstack([corners, corners + 12]), scores=scores)
    viewer.add_image(np.zeros((1024, 1024), np.uint8), name="many.tif")
    write_annotations(tmp_path / "many.json", {"many.tif": found})
    localize = person.open_dock("Localize")
    (layer,) = viewer.open(tmp_path / "many.json", plugin="napari-localize")
    boxes = box_layer(layer)
    person.wait(lambda: len(boxes.shown()) == 5000, "all boxes are there")
    slider = localize.filter.score_slider
    person.wait(slider.isVisible, "the slider is there")
    for score in (0.5, 0.9, 0.05):
        slider.setValue(score)
        expected = int((scores >= np.float32(score)).sum())
        person.wait(lambda expected=expected: abs(len(boxes.shown()) - expected) <= 1, f"{expected} boxes are shown")
        person.wait(
            lambda: f"<b>{len(boxes.shown())}</b> shown of 5000" in localize.filter.counts.text(), "the count is new"
        )
        assert layer.nshapes <= MOST_SHAPES
    assert len(boxes) == 5000
    assert person.messages() == []


def test_a_json_file_that_holds_something_else_is_left_to_others(viewer, tmp_path):
    """Open a settings file: napari says that nothing can read it."""
    (tmp_path / "settings.json").write_text('{"colour": "blue"}')
    with pytest.raises(ValueError, match="refused the file"):
        viewer.open(tmp_path / "settings.json", plugin="napari-localize")
    assert len(viewer.layers) == 0
