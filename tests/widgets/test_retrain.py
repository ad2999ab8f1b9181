from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtWidgets import QMessageBox

from napari_localize.core.detections import Detections
from napari_localize.core.known import KnownArea
from napari_localize.engine import Engine
from napari_localize.models.registry import checks_path, list_models, store_folder
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.layers import new_box_layer
from napari_localize.plugin.pairs import pair
from napari_localize.widgets.localize import LocalizeWidget
from napari_localize.widgets.retrain import RetrainWidget


@pytest.fixture
def widget(dock):
    widget = dock(RetrainWidget)
    widget.base.choose("plain@1")
    return widget


@pytest.fixture
def add_boxes(viewer, squares):
    """Open an image and give it two proposals of each of two classes."""

    def add(name: str):
        image = viewer.add_image(squares, name=name)
        layer = new_box_layer(image, ("small", "large"))
        pair(layer, image)
        viewer.add_layer(layer)
        boxes = box_layer(layer)
        corners = np.array([[5, 5, 13, 13], [20, 50, 28, 58], [40, 10, 60, 30], [60, 50, 80, 70]])
        proposals = Detections(corners, [0, 0, 1, 1], [0.9, 0.8, 0.9, 0.7], class_names=("small", "large"))
        boxes.set_proposals({(): proposals}, "plain@1")
        return boxes

    return add


@pytest.fixture
def trained(widget, add_boxes, finish):
    add_boxes("cells").finish(())
    widget.train()
    finish(widget)
    return widget


def test_with_nothing_to_learn_from_the_next_step_is_said(widget, add_boxes, messages):
    assert "Review" in widget.material.text()
    assert not widget.train_button.isEnabled()
    add_boxes("cells")
    widget.train()
    assert len(messages()) == 1
    assert "no boxes to learn from" in messages()[0]
    assert not widget.busy


def test_finished_planes_of_all_images_are_learned_from(widget, add_boxes, until):
    first, second = add_boxes("a"), add_boxes("b")
    add_boxes("c")
    first.reject([next(iter(first.shown()))])
    first.finish(())
    second.finish(())
    until(lambda: "2</b> finished planes" in widget.material.text())
    assert "7</b> boxes (small 3, large 4), 1 rejected" in widget.material.text()
    first.unfinish(())
    until(lambda: "1</b> finished plane," in widget.material.text())


def test_without_a_finished_plane_judged_boxes_are_used_and_the_catch_is_said(widget, add_boxes, until):
    boxes = add_boxes("cells")
    boxes.accept(list(boxes.shown())[:1])
    until(lambda: "1</b> plane with judged boxes, <b>1</b> boxes" in widget.material.text())
    assert "No plane is finished" in widget.material.text()
    assert widget.train_button.isEnabled()


def test_finished_areas_are_learned_from_without_ignored_ones(widget, add_boxes, until, finish, monkeypatch):
    boxes = add_boxes("cells")
    boxes.finish_area((), (0.0, 0.0, 65.0, 80.0))
    until(lambda: "1</b> finished area, <b>3</b> boxes (small 2, large 1)" in widget.material.text())
    boxes.ignore_area((), (15.0, 45.0, 30.0, 60.0))
    until(lambda: "<b>2</b> boxes (small 1, large 1) without ignored areas" in widget.material.text())
    add_boxes("more").finish(())
    until(lambda: "1</b> finished plane and <b>1</b> finished area, <b>6</b> boxes" in widget.material.text())
    sent = []
    train = Engine.train
    monkeypatch.setattr(Engine, "train", lambda *args, **options: sent.append(options) or train(*args, **options))
    widget.train()
    finish(widget)
    assert sent[0]["known"] == [
        KnownArea([[0, 0, 65, 80]], [[15, 45, 30, 60]]),
        KnownArea(),
    ]


def test_what_differs_is_gone_through_on_the_image(trained, viewer, qtbot):
    active, layers = viewer.layers.selection.active, list(viewer.layers)
    bar = trained.comparison.findings
    assert bar.isHidden()
    trained.comparison.findings_of("gained")
    assert "1 of 2" in bar.text()
    marks = next(layer for layer in viewer.layers if layer not in layers)
    assert marks.nshapes == 1
    np.testing.assert_allclose(marks.data[0].min(axis=0), [4.5, 4.5])
    assert viewer.layers.selection.active is active
    bar.next_button.click()
    assert "2 of 2" in bar.text()
    bar.kinds.setCurrentIndex(bar.kinds.findData("lost"))
    assert "1 of 1" in bar.text()
    trained.comparison.discard_button.click()
    assert list(viewer.layers) == layers


def test_a_worse_model_is_kept_only_by_somebody_who_insists(widget, add_boxes, finish, monkeypatch):
    answers = iter([QMessageBox.StandardButton.No, QMessageBox.StandardButton.Yes])
    monkeypatch.setattr(QMessageBox, "question", lambda *_: next(answers))
    add_boxes("cells").finish(())
    widget.base.choose("worse@1")
    widget.train()
    finish(widget)
    assert widget.comparison.discard_button.isDefault()
    before = len(list_models())
    widget.comparison.keep_button.click()
    assert len(list_models()) == before
    widget.comparison.keep_button.click()
    assert len(list_models()) == before + 1


def test_a_model_that_forgets_is_kept_only_by_somebody_who_insists(widget, add_boxes, finish, monkeypatch):
    asked = []
    monkeypatch.setattr(QMessageBox, "question", lambda *args: asked.append(args[-1]) or QMessageBox.StandardButton.No)
    add_boxes("cells").finish(())
    widget.base.choose("forgets@1")
    widget.train()
    finish(widget)
    shown = widget.comparison.text()
    for words in ("Earlier domains", "nuclei (sample)", "0.91 → 0.74", "forgets", "tissue (sample)", "on 2 planes"):
        assert words in shown
    assert "It forgets" in shown
    assert widget.comparison.discard_button.isDefault()
    before = len(list_models())
    widget.comparison.keep_button.click()
    assert "nuclei (sample)" in asked[0]
    assert len(list_models()) == before


def test_check_planes_go_with_a_model_that_is_kept_and_with_one_that_is_not(trained, tmp_path):
    (checks,) = tmp_path.rglob("candidate*.checks.npz")
    trained.comparison.name.setText("mine")
    trained.comparison.keep_button.click()
    assert not checks.exists()
    kept = checks_path(store_folder() / "mine@1.safetensors")
    assert kept.is_file()


def test_rejected_boxes_are_told_to_the_training(widget, add_boxes, finish, monkeypatch):
    boxes = add_boxes("cells")
    boxes.reject([next(iter(boxes.shown()))])
    boxes.finish(())
    sent = []
    train = Engine.train
    monkeypatch.setattr(Engine, "train", lambda *args, **options: sent.append(args) or train(*args, **options))
    widget.train()
    finish(widget)
    assert sorted(sent[0][2][0].states.tolist()) == ["accepted"] * 3 + ["rejected"]


def test_training_shows_a_curve_and_compares_old_and_new(trained):
    assert [len(trained.curve.points[name]) for name in ("train", "validation", "ap50")] == [4, 2, 2]
    shown = trained.comparison.text()
    assert "plain@1" in shown
    assert "0.71" in shown
    assert "0.86" in shown
    assert "3 %" in shown
    assert "better" in shown
    assert "Said on 1." in shown
    assert "gained 2 (2 rightly)" in shown
    assert "One plane was kept back." in shown
    assert not trained.comparison.isHidden()
    assert trained.progress.isHidden()


def test_a_kept_model_is_in_the_store_and_chosen_in_localize(trained, dock):
    localize = dock(LocalizeWidget)
    localize.model.choose("plain@1")
    trained.comparison.name.setText("mine")
    trained.comparison.keep_button.click()
    assert "mine@1" in [entry.reference for entry in list_models()]
    assert localize.model.name == "mine@1"
    assert trained.comparison.isHidden()
    assert "mine@1" in trained.status.text()
    assert trained.base.name == "plain@1"


def test_a_name_that_cannot_be_is_one_message_and_the_model_is_still_there(trained, messages):
    for name, words in (("", "needs a name"), ("a/b", "cannot be")):
        trained.comparison.name.setText(name)
        trained.comparison.keep_button.click()
        assert words in messages()[-1]
    assert not trained.comparison.isHidden()


def test_a_discarded_model_is_gone(trained, tmp_path):
    before = list(store_folder().iterdir())
    assert list(tmp_path.rglob("candidate*"))
    trained.comparison.discard_button.click()
    assert trained.comparison.isHidden()
    assert list(store_folder().iterdir()) == before
    assert not list(tmp_path.rglob("candidate*"))


def test_a_new_model_waits_for_the_choice_also_when_the_dock_was_closed(trained, viewer, dock, messages):
    trained.train()
    assert len(messages()) == 1
    assert "Keep or discard" in messages()[0]
    viewer.window.remove_dock_widget(trained)
    again = dock(RetrainWidget)
    assert not again.comparison.isHidden()
    assert "0.86" in again.comparison.text()


def test_cancel_offers_what_was_learned_so_far(widget, add_boxes, finish, until):
    add_boxes("cells").finish(())
    widget.base.choose("slow@1")
    widget.train()
    until(lambda: len(widget.curve.points["train"]) == 4)
    widget.cancel()
    assert not widget.cancel_button.isEnabled()
    finish(widget)
    assert "Keep the best weights so far?" in widget.comparison.text()
    assert widget.train_button.isEnabled()


@pytest.mark.parametrize(("base", "words"), [("broken@1", "no pixels"), ("fatal@1", "engine")])
def test_a_failure_is_one_message_and_the_next_training_works(widget, add_boxes, finish, messages, base, words):
    add_boxes("cells").finish(())
    widget.base.choose(base)
    widget.train()
    finish(widget)
    assert len(messages()) == 1
    assert words in messages()[0].lower()
    widget.base.choose("plain@1")
    widget.train()
    finish(widget)
    assert not widget.comparison.isHidden()
    assert len(messages()) == 1


def test_closing_the_dock_in_mid_training_stops_it(widget, add_boxes, viewer, until):
    add_boxes("cells").finish(())
    widget.base.choose("slow@1")
    widget.train()
    until(lambda: len(widget.curve.points["train"]) == 4)
    viewer.window.remove_dock_widget(widget)
    assert not widget.busy
    viewer.layers.clear()


def test_time_and_its_unit_are_remembered(widget, viewer, qtbot):
    widget.unit.setCurrentText("epochs")
    widget.amount.setValue(33)
    again = RetrainWidget(viewer)
    qtbot.addWidget(again)
    assert (again.unit.currentText(), again.amount.value()) == ("epochs", 33)
    again.unit.setCurrentText("seconds")
    assert again.amount.value() == 60
    again.close_down()


def test_each_unit_of_time_has_a_number_of_its_own(widget):
    widget.amount.setValue(90)
    widget.unit.setCurrentText("epochs")
    widget.amount.setValue(5)
    widget.unit.setCurrentText("seconds")
    assert widget.amount.value() == 90
    widget.unit.setCurrentText("epochs")
    assert widget.amount.value() == 5


def test_a_list_of_changes_that_was_cut_says_so(widget, viewer):
    listed = {"name": "cells", "box": [5, 5, 13, 13], "other": None, "score": 0.9}
    comparison = {
        "planes": ["cells"],
        "new": {"AP50": 0.9, "F1": 0.8, "count_error": 0.1},
        "gate": None,
        "changes": [{**listed, "kind": "gained", "text": "small 0.90, wrongly"}],
    }
    widget.comparison.present("Trained.", comparison, "plain@1", "mine")
    assert "gained 1 (0 rightly)" in widget.comparison.text()
    assert "listed" not in widget.comparison.text()
    counts = {"gained": {"boxes": 7000, "rightly": 6000}, "lost": {"boxes": 30, "rightly": 30}}
    widget.comparison.present("Trained.", {**comparison, "change counts": counts}, "plain@1", "mine")
    text = widget.comparison.text()
    assert "gained 7000 (6000 rightly)" in text
    assert "href='gained'" in text
    # Of these none is listed, so there is nothing to go through.
    assert "lost 30 (30 rightly)" in text
    assert "href='lost'" not in text
    assert "1 of 7,030 is listed, wrong ones first" in text


def test_the_curve_follows_the_theme(trained, viewer, until):
    until(lambda: trained.curve.canvas is not None)
    dark = trained.curve.canvas.figure.get_facecolor()
    viewer.theme = "light"
    assert trained.curve.canvas.figure.get_facecolor() != dark
