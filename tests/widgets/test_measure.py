from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from napari.layers import Shapes
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_localize.core.detections import Detections
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.layers import new_box_layer
from napari_localize.widgets import measure
from napari_localize.widgets.measure import MeasureWidget, table_names

FOUND = Detections([[5, 5, 15, 15], [30, 10, 42, 20]], scores=[0.9, 0.8], class_names=("cell",))


@pytest.fixture
def dock(viewer):
    widget = MeasureWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Measure")
    return widget


@pytest.fixture
def layer(viewer, dock):
    image = viewer.add_image(np.random.default_rng(0).integers(0, 255, (60, 80)).astype(np.uint8), name="cells")
    layer = new_box_layer(image, ("cell",))
    viewer.add_layer(layer)
    box_layer(layer).set_proposals({(): FOUND}, "model@1")
    return layer


@pytest.fixture
def chosen(monkeypatch, tmp_path):
    """Answer the file dialog."""
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *args, **kwargs: (str(tmp_path / "my.csv"), ""))
    monkeypatch.setattr(measure, "remember", lambda key, value: None)
    return tmp_path


def test_nothing_can_be_pressed_without_boxes(dock):
    assert "Select a layer of boxes" in dock.status.text()
    assert not dock.measure_button.isEnabled()
    assert not dock.save_button.isEnabled()


def test_the_numbers_become_features_and_two_tables(dock, layer, finish, chosen):
    assert not dock.save_button.isEnabled()
    dock.pixel_size.setValue(0.5)
    dock.measure_button.click()
    assert dock.busy
    assert not dock.measure_button.isEnabled()
    finish(dock)
    assert layer.features["area_um2"].tolist() == [25, 30]
    assert "<b>2 boxes</b> on 1 plane measured, 2 of them counted" in dock.status.text()
    assert "0.5 µm a pixel, as typed." in dock.status.text()
    assert "Nothing is marked as finished" in dock.status.text()
    dock.save_button.click()
    finish(dock)
    assert "my.csv and my_planes.csv written" in dock.status.text()
    assert pd.read_csv(chosen / "my.csv")["area_um2"].tolist() == [25, 30]
    assert pd.read_csv(chosen / "my_planes.csv")["reviewed"].tolist() == ["unmarked"]


def test_boxes_that_become_shapes_get_their_numbers_a_moment_later(viewer, dock, layer, finish, until):
    y, x = np.mgrid[0:400:8, 0:400:8].reshape(2, -1)
    image = viewer.add_image(np.random.default_rng(0).random((400, 400)), name="many")
    many = new_box_layer(image, ("cell",))
    viewer.add_layer(many)
    boxes = box_layer(many)
    boxes.set_proposals({(): Detections(np.stack([x, y, x + 4, y + 4], axis=1), class_names=("cell",))}, "model@1")
    dock.measure()
    finish(dock)
    hidden = np.setdiff1d(boxes.table.boxes.ids, boxes.drawn)[-5:].tolist()
    boxes.select(hidden)
    assert set(hidden) <= set(many.features["id"])
    until(lambda: many.features["mean_ch0"].notna().all())
    assert "mean_ch0" not in layer.features


def test_without_a_pixel_size_it_says_what_to_do(dock, layer, finish):
    dock.measure()
    finish(dock)
    assert "type it above and measure again" in dock.status.text()
    assert "area_um2" not in layer.features


def test_neither_table_is_overwritten_unasked(dock, layer, finish, chosen, monkeypatch):
    (chosen / "my_planes.csv").write_text("mine")
    asked = []
    answers = [QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes]

    def answer(parent, title, text):
        asked.append(text)
        return answers.pop(0)

    monkeypatch.setattr(QMessageBox, "question", answer)
    dock.measure()
    finish(dock)
    dock.save()
    assert not dock.busy
    assert (chosen / "my_planes.csv").read_text() == "mine"
    assert asked[0].startswith("my_planes.csv exists already")
    box_layer(layer).delete(box_layer(layer).drawn[:1].tolist())
    dock.save()
    finish(dock)
    assert len(pd.read_csv(chosen / "my_planes.csv")) == 1
    assert "The boxes have changed since they were measured." in dock.status.text()


def test_a_disk_that_refuses_is_told(dock, layer, finish, monkeypatch, tmp_path, messages):
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *args, **kwargs: (str(tmp_path / "no" / "my.csv"), ""))
    monkeypatch.setattr(measure, "remember", lambda key, value: None)
    dock.measure()
    finish(dock)
    dock.save()
    finish(dock)
    assert "does not exist; create it first" in messages()[-1]


@pytest.fixture
def slow(monkeypatch):
    """Let every tile take a while."""
    read = measure.MeasuringJob._heed

    def heed(self, done):
        time.sleep(0.3)
        read(self, done)

    monkeypatch.setattr(measure.MeasuringJob, "_heed", heed)


def test_cancel_changes_nothing(dock, layer, finish, slow):
    before = list(layer.features)
    dock.measure()
    assert dock.cancel_button.isEnabled()
    dock.cancel_button.click()
    finish(dock)
    assert "Cancelled; nothing was changed." in dock.status.text()
    assert list(layer.features) == before
    assert not dock.cancel_button.isEnabled()
    assert dock.measure_button.isEnabled()
    assert not dock.progress.isVisible()


def test_a_layer_that_is_removed_meanwhile(dock, layer, viewer, finish, slow):
    dock.measure()
    viewer.layers.remove(layer)
    finish(dock)
    assert "The layer was removed meanwhile" in dock.status.text()
    assert not dock.measure_button.isEnabled()


def test_closing_the_dock_stops_the_work(dock, layer, viewer, until, slow):
    dock.measure()
    (run,) = dock._jobs._current
    viewer.window.remove_dock_widget(dock)
    until(lambda: not run.inbox.empty())
    assert "mean_ch0" not in layer.features


def test_boxes_without_an_image_are_told_of(dock, viewer, messages):
    viewer.add_layer(Shapes([[[0, 0], [0, 9], [9, 9], [9, 0]]], shape_type="rectangle", name="loose"))
    dock.boxes.choose(viewer.layers["loose"])
    dock.measure()
    assert "which image 'loose' belongs to" in messages()[-1]


def test_names_of_tables():
    assert [path.name for path in table_names("cells_objects.csv")] == ["cells_objects.csv", "cells_planes.csv"]
    assert [path.name for path in table_names("a.b")] == ["a.b.csv", "a.b_planes.csv"]


def test_the_command_of_the_menu_opens_the_dock(viewer):
    _, widget = viewer.window.add_plugin_dock_widget("napari-localize", "Measure boxes")
    assert isinstance(widget, MeasureWidget)
