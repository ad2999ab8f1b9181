"""What the Retrain dock learns from beside what is open, and what it says is held back."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import tifffile
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QShortcut

from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.core.known import KnownArea
from napari_localize.engine import Engine
from napari_localize.formats import write_annotations
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.layers import new_box_layer
from napari_localize.plugin.pairs import pair
from napari_localize.project import open_project
from napari_localize.widgets import _data
from napari_localize.widgets._mapping import NOT_LEARNT, ClassMapDialog
from napari_localize.widgets.retrain import RetrainWidget

CORNERS = [[5, 5, 13, 13], [20, 50, 28, 58], [40, 10, 60, 30], [60, 50, 80, 70]]


@pytest.fixture
def widget(dock):
    widget = dock(RetrainWidget)
    widget.base.choose("plain@1")
    return widget


@pytest.fixture
def finished(viewer, squares):
    """Open an image on which four boxes of two classes are finished."""

    def add(name, rejected=0):
        image = viewer.add_image(squares, name=name)
        layer = new_box_layer(image, ("small", "large"))
        pair(layer, image)
        viewer.add_layer(layer)
        boxes = box_layer(layer)
        proposals = Detections(CORNERS, [0, 0, 1, 1], [0.9, 0.8, 0.9, 0.7], class_names=("small", "large"))
        boxes.set_proposals({(): proposals}, "plain@1")
        boxes.reject(list(boxes.shown())[:rejected])
        boxes.finish(())
        return boxes

    return add


@pytest.fixture
def plate(tmp_path, squares):
    """A folder with images of six wells and an annotation file about them."""
    folder = tmp_path / "plate"
    folder.mkdir()
    planes = {}
    for number, well in enumerate(("A01", "A02", "B01", "B02", "C01", "C02")):
        tifffile.imwrite(folder / f"{well}.tif", squares + np.uint8(number))
        planes[f"{well}.tif"] = Detections(CORNERS[:2], class_names=("Small",), states=["accepted", "rejected"])
    write_annotations(folder / "boxes.json", Annotations(planes))
    return folder / "boxes.json"


@pytest.fixture
def sent(monkeypatch):
    """What the engine is asked to learn from."""
    sent = []
    train = Engine.train

    def listen(engine, planes, annotations, settings, **options):
        sent.append((planes, annotations, settings, options))
        return train(engine, planes, annotations, settings, **options)

    monkeypatch.setattr(Engine, "train", listen)
    return sent


def added(widget, path, until):
    count = len(widget.data.added)
    widget.data.add(path)
    until(lambda: not widget.data.busy)
    assert len(widget.data.added) == count + 1


def test_other_data_are_learnt_from_without_being_opened(widget, viewer, plate, until, finish, sent, finished):
    finished("cells", rejected=1)
    layers = list(viewer.layers)
    added(widget, plate, until)
    until(lambda: "6</b> planes of other data" in widget.material.text())
    assert "1</b> finished plane and <b>6</b> planes of other data, <b>9</b> boxes" in widget.material.text()
    assert list(viewer.layers) == layers
    widget.train()
    finish(widget)
    ((planes, annotations, _, options),) = sent
    assert len(planes) == 7
    assert options["names"][1] == "A01.tif"
    assert options["places"] == ["", *(str(plate.parent / name) for name in options["names"][1:])]
    # What was rejected teaches what is no object.
    assert [(found.states == "rejected").sum() for found in annotations] == [1] * 7


def test_data_can_be_taken_away_again(widget, plate, until, messages):
    added(widget, plate, until)
    assert widget.train_button.isEnabled()
    (entry,) = widget.data.findChildren(_data._Entry)
    entry.button.click()
    assert widget.data.added == []
    assert not widget.train_button.isEnabled()
    assert "Nothing to learn from yet" in widget.material.text()
    assert messages() == []


def test_a_project_is_added_as_it_is(widget, plate, until, tmp_path):
    with open_project(tmp_path / "work.localize", create=True) as project:
        project.import_annotations(plate)
        with project.edit("finish") as edit:
            for plane in project.planes()[:2]:
                edit.finish(plane)
    added(widget, tmp_path / "work.localize", until)
    assert "2</b> planes of other data, <b>2</b> boxes" in widget.material.text()


def test_the_same_data_are_added_once_and_what_is_none_is_said(widget, plate, until, messages):
    added(widget, plate, until)
    widget.data.add(plate)
    assert "added already" in messages()[-1]
    broken = plate.with_name("broken.json")
    broken.write_text("{}")
    widget.data.add(broken)
    until(lambda: not widget.data.busy)
    assert len(messages()) == 2
    assert "broken.json" in messages()[-1]
    assert len(widget.data.added) == 1


def test_reading_can_be_cancelled(widget, plate, until, monkeypatch):
    import threading

    going, read = threading.Event(), _data.read_added

    def slowly(path, progress):
        def wait(done, total):
            going.wait(20)
            progress(done, total)

        return read(path, wait)

    monkeypatch.setattr(_data, "read_added", slowly)
    widget.data.add(plate)
    until(lambda: widget.cancel_button.isEnabled())
    assert not widget.train_button.isEnabled()
    widget.cancel_button.click()
    going.set()
    until(lambda: not widget.data.busy)
    assert widget.data.added == []
    assert not widget.cancel_button.isEnabled()
    assert "was not added" in widget.data.text()


def test_the_guess_is_shown_before_training(widget, plate, until):
    assert widget.held_back.isHidden()
    added(widget, plate, until)
    assert widget.held_back.combo.currentText() == "automatic: wells"
    assert "of 6 wells (" in widget.held_back.text()
    assert "held back" in widget.held_back.text()
    kinds = [widget.held_back.combo.itemData(index) for index in range(widget.held_back.combo.count())]
    assert kinds == ["auto", "well", "movie", "image", "blocks"]


def test_a_choice_is_kept_to_and_remembered_for_these_data(widget, plate, until, finish, sent, dock, viewer):
    added(widget, plate, until)
    choice = widget.held_back.combo
    choice.setCurrentIndex(choice.findData("image"))
    choice.activated.emit(choice.currentIndex())
    assert "of 6 images" in widget.held_back.text()
    assert choice.itemText(0) == "automatic: wells"
    widget.train()
    finish(widget)
    assert sent[0][2].hold_back == "image"
    widget.comparison.discard_button.click()
    viewer.window.remove_dock_widget(widget)
    again = dock(RetrainWidget)
    added(again, plate, until)
    assert again.held_back.hold_back == "image"


def test_with_too_little_it_says_that_it_cross_validates(widget, finished, until):
    finished("one")
    until(lambda: "flatter" in widget.held_back.text())
    finished("two")
    until(lambda: "cross-validated" in widget.held_back.text())


def test_classes_are_learnt_as_chosen_and_it_is_remembered(
    widget, plate, until, finish, sent, finished, monkeypatch, dock, viewer
):
    finished("cells")
    added(widget, plate, until)

    def choose(dialog):
        # The name of the base model is suggested for the other spelling.
        assert dialog.choices["Small"].currentText() == "small"
        assert [dialog.table.item(row, 1).text() for row in range(3)] == ["6", "2", "2"]
        dialog.choices["large"].setCurrentText(NOT_LEARNT)
        dialog.take_button.click()
        return dialog.result()

    monkeypatch.setattr(ClassMapDialog, "exec", choose)
    widget.data.classes_button.click()
    assert "8</b> boxes (small 8)" in widget.material.text()
    assert "Small as small" in widget.data.text()
    assert "large is not learnt" in widget.data.text()
    widget.train()
    finish(widget)
    ((_, annotations, _, options),) = sent
    assert {name for found in annotations for name in found.class_names} == {"small"}
    assert options["known"][0] == KnownArea(None, CORNERS[2:])
    widget.comparison.discard_button.click()
    viewer.window.remove_dock_widget(widget)
    again = dock(RetrainWidget)
    added(again, plate, until)
    assert again.data.class_map == {"Small": "small", "large": None}


def test_a_class_map_is_not_that_of_the_next_data(widget, plate, until):
    other = plate.parent.with_name("other plate")
    shutil.copytree(plate.parent, other)
    added(widget, plate, until)
    widget.data.set_class_map({"Small": "small"})
    # With more data it is still that of the first ones.
    added(widget, other / "boxes.json", until)
    assert widget.data.class_map == {"Small": "small"}
    for data in list(widget.data.added):
        widget.data.remove(data)
    added(widget, other / "boxes.json", until)
    assert widget.data.class_map == {}
    assert "Small as small" not in widget.data.text()
    assert "(Small 6)" in widget.material.text()
    widget.data.remove(widget.data.added[0])
    added(widget, plate, until)
    assert widget.data.class_map == {"Small": "small"}


def test_a_map_that_cannot_be_is_said_in_the_dialog(qtbot, viewer):
    dialog = ClassMapDialog({"a": 3, "b": 1}, ("A",), {"b": None}, viewer.window._qt_window)
    assert dialog.choices["a"].currentText() == "a"
    assert dialog.choices["b"].currentText() == NOT_LEARNT
    dialog.choices["a"].setCurrentText("b")
    dialog.take_button.click()
    assert "itself left out" in dialog.text()
    dialog.choices["a"].setCurrentText(NOT_LEARNT)
    dialog.take_button.click()
    assert "No class is left" in dialog.text()
    dialog.suggest_button.click()
    assert dialog.choices["a"].currentText() == "A"
    dialog.reset_button.click()
    assert dialog.choices["a"].currentText() == "a"
    assert dialog.class_map == {"b": None}
    dialog.choices["b"].setCurrentText("new name")
    dialog.take_button.click()
    assert dialog.class_map == {"b": "new name"}
    dialog.deleteLater()


def test_each_action_has_a_key_of_its_own(widget):
    keys = [shortcut.key().toString() for shortcut in widget.findChildren(QShortcut)]
    for key in (_data.FILE_KEY, _data.PROJECT_KEY, _data.CLASSES_KEY):
        assert keys.count(QKeySequence(key).toString()) == 1
