from __future__ import annotations

import re

import numpy as np
import pytest
from qtpy.QtCore import QSettings
from qtpy.QtWidgets import QApplication, QFileDialog, QMessageBox

import napari_localize as nl
from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.evaluation.plots import PLOTS
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.layers import new_box_layer
from napari_localize.plugin.marks import marks_of
from napari_localize.plugin.pairs import pair
from napari_localize.widgets import evaluate
from napari_localize.widgets._evaluate_result import CONFUSION
from napari_localize.widgets._evaluate_sides import REVIEWED, RUN
from napari_localize.widgets.evaluate import EvaluateWidget

CLASSES = ("small", "large")
TRUE = Detections(
    [[5, 5, 13, 13], [20, 50, 28, 58], [40, 10, 60, 30], [100, 60, 110, 70]], [0, 0, 1, 0], class_names=CLASSES
)
FOUND = Detections(
    [[5, 5, 13, 13], [23, 50, 31, 58], [40, 10, 60, 30], [70, 5, 78, 13]],
    [0, 0, 0, 0],
    [0.9, 0.8, 0.7, 0.3],
    class_names=CLASSES,
    origins=["squares@1"] * 4,
)


@pytest.fixture(autouse=True)
def _nothing_remembered():
    QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, "napari-localize", "docks").clear()


@pytest.fixture
def evaluation(viewer):
    widget = EvaluateWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Evaluate")
    return widget


@pytest.fixture
def layers(viewer, squares):
    """An image, what a model has found on it, and what is there."""
    image = viewer.add_image(squares, name="squares")
    found, truth = (new_box_layer(image, CLASSES, name=name) for name in ("found", "truth"))
    for layer in (found, truth):
        pair(layer, image)
        viewer.add_layer(layer)
    box_layer(found).set_proposals({(): FOUND}, "squares@1")
    box_layer(truth).set_proposals({(): TRUE}, "person@1")
    box_layer(truth).accept(list(box_layer(truth).shown()))
    return found, truth


# The boxes of the true ones and of those found that lie in what was finished: a whole plane, and the right of another.
PLANES = {"movie#z=1": (4, 4), "movie#z=2": (0, 1)}


def compare(dock, finish, found, truth):
    dock.sides.choose(found, truth)
    dock.evaluate_button.click()
    finish(dock)


def numbers(text):
    return [float(number) for number in re.findall(r"<b>([\d.]+)</b>", text)]


def test_without_anything_it_says_what_to_do(evaluation, messages):
    assert "Then press Evaluate" in evaluation.status.text()
    assert evaluation.save_button.isHidden()
    assert evaluation.result.isHidden()
    evaluation.evaluate()
    assert "no plane or area is finished" in messages()[-1]


def test_two_layers_and_every_way_to_a_mistake(evaluation, layers, viewer, finish, until):
    found, truth = layers
    assert evaluation.sides.truth_choice is truth
    compare(evaluation, finish, found, truth)
    result = evaluation.result
    expected = nl.evaluate({"squares": FOUND}, {"squares": TRUE})
    report = result.report
    assert report.ap50 == pytest.approx(expected.loc["all", "AP50"])
    result.set_threshold(0.0)
    assert result.report.all.f1 == pytest.approx(expected.loc["all", "F1"])
    shown = numbers(result.numbers.text())
    assert shown[1] == pytest.approx(expected.loc["all", "precision"], abs=0.006)
    for words in (";1 false positive&", ";1 missed&", ";1 poor overlap&", ";1 wrong class&"):
        assert words in result.errors.text()

    # A kind of mistake is outlined on the image, and the keys go on to the next.
    result.follow("kind:poor overlap")
    bar = result.findings
    assert bar.finding.kind == "poor overlap"
    assert bar.finding.other == (20, 50, 28, 58)
    assert marks_of(viewer).layer in viewer.layers
    bar.kinds.setCurrentIndex(0)
    kinds = []
    for _ in range(4):
        kinds.append(bar.finding.kind)
        bar.next_button.click()
    assert sorted(kinds) == ["false positive", "missed", "poor overlap", "wrong class"]

    # A row of the images, and a cell of the confusion matrix.
    result._image_chosen(result.images.topLevelItem(0))
    assert "What is wrong on squares" in bar.text()
    result.plot_choice.setCurrentText(CONFUSION)
    assert not result.confusion.isHidden()
    assert "href='cell:1:0'>&nbsp;1&nbsp;<" in result.confusion.text()
    result.follow("cell:1:0")
    assert bar.finding.text == "found as small, is large, score 0.70"
    bar.close_button.click()
    assert marks_of(viewer).layer is None


def test_the_threshold_acts_without_a_run(evaluation, layers, finish, until):
    compare(evaluation, finish, *layers)
    result = evaluation.result
    result.slider.setValue(0.85)
    until(lambda: result.report.threshold == pytest.approx(0.85))
    assert result.report.all.predictions == 1
    assert "missed" in result.errors.text()
    result.best_button.click()
    assert result.threshold == pytest.approx(0.9)
    assert not result.best_button.isEnabled()
    assert "flatters F1" in result.notes.text()
    assert "Best 0.90" in result.best_button.text()


def test_each_plot_is_drawn_in_the_colours_of_the_theme(evaluation, layers, viewer, finish):
    compare(evaluation, finish, *layers)
    for title in PLOTS:
        evaluation.result.plot_choice.setCurrentText(title)
        pictures = []
        for theme in ("dark", "light"):
            viewer.theme = theme
            assert evaluation.result.plot._drawing.isValid()
            pictures.append(evaluation.result.plot.grab().toImage())
        assert pictures[0] != pictures[1]


def test_a_model_is_run_on_the_planes_of_the_truth(evaluation, layers, finish, engine, monkeypatch, until):
    monkeypatch.setattr(evaluate, "shared_engine", lambda: engine)
    evaluation.sides.model.refresh("plain@1")
    compare(evaluation, finish, RUN, layers[1])
    receipt = evaluation.outcome.report(0.5).receipt
    assert receipt["model"]["reference"] == "plain@1"
    assert len(receipt["model"]["sha256"]) == 64
    assert evaluation.result.report.all.recall == pytest.approx(0.75)
    assert "plain@1, run on these planes" in evaluation.status.text()

    # Cancel leaves the numbers of before.
    before = evaluation.result.report
    evaluation.sides.model.refresh("slow@1")
    evaluation.evaluate()
    until(lambda: "Looking" in evaluation.status.text())
    evaluation.cancel_button.click()
    finish(evaluation)
    assert evaluation.status.text() == "Cancelled; these are the numbers of before."
    assert evaluation.result.report is before

    evaluation.sides.model.refresh("broken@1")
    evaluation.evaluate()
    finish(evaluation)
    assert evaluation.evaluate_button.isEnabled()
    assert evaluation.status.text()


def test_what_was_finished_in_review_counts_and_nothing_else(evaluation, viewer, squares, finish):
    movie = viewer.add_image(np.stack([squares] * 3), name="movie")
    found, review = (new_box_layer(movie, CLASSES, name=name) for name in ("found", "review"))
    for layer in (found, review):
        pair(layer, movie)
        viewer.add_layer(layer)
    box_layer(found).set_proposals({(time,): FOUND for time in range(3)}, "squares@1")
    boxes = box_layer(review)
    boxes.set_proposals({(1,): TRUE}, "person@1")
    boxes.accept(list(boxes.shown()))
    boxes.finish((1,))
    boxes.finish_area((2,), (65, 0, 120, 80))
    compare(evaluation, finish, found, REVIEWED)
    evaluation.result.set_threshold(0.0)
    report = evaluation.result.report
    assert {row.name: (row.true, row.found) for row in report.planes} == PLANES
    assert "4 boxes on other planes were left out" in evaluation.result.notes.text()


def test_a_model_gets_each_image_by_itself(evaluation, viewer, squares, finish, engine, monkeypatch):
    """The size of the objects is settled for what is given at once; that of one image says nothing of another's."""
    for name in ("fine", "coarse"):
        image = viewer.add_image(squares, name=name)
        layer = new_box_layer(image, CLASSES, name=f"{name} boxes")
        pair(layer, image)
        viewer.add_layer(layer)
        box_layer(layer).set_proposals({(): TRUE}, "person@1")
        box_layer(layer).finish(())
    monkeypatch.setattr(evaluate, "shared_engine", lambda: engine)
    given = []
    real = engine.predict
    monkeypatch.setattr(
        engine, "predict", lambda planes, *args, **kwargs: given.append(len(planes)) or real(planes, *args, **kwargs)
    )
    evaluation.sides.model.choose("plain@1")
    compare(evaluation, finish, RUN, REVIEWED)
    assert given == [1, 1]
    assert [row.name for row in evaluation.result.report.planes] == ["fine", "coarse"]


def test_an_annotation_file_is_compared_with_on_the_images_that_are_open(
    evaluation, layers, finish, tmp_path, messages
):
    path = tmp_path / "truth.json"
    nl.write_annotations(path, Annotations({"squares.png": TRUE, "other.png": TRUE}))
    evaluation.sides.choose(layers[0])
    evaluation.sides.choose_file(str(path))
    assert evaluation.sides.file_name.text() == "truth.json"
    evaluation.evaluate()
    finish(evaluation)
    assert [row.name for row in evaluation.result.report.planes] == ["squares"]
    assert "1 planes of truth.json are not open" in evaluation.result.notes.text()
    assert str(path) in evaluation.outcome.report(0.5).command
    nl.write_annotations(tmp_path / "far.json", Annotations({"elsewhere.png": TRUE}))
    evaluation.sides.choose_file(str(tmp_path / "far.json"))
    evaluation.evaluate()
    assert "none of the images" in messages()[-1]


def test_it_says_when_the_numbers_are_older_than_the_boxes(evaluation, layers, finish, until):
    found, truth = layers
    compare(evaluation, finish, found, truth)
    box_layer(found).set_filter(0.5)
    evaluation._check_age()
    assert evaluation.old.text() == ""
    boxes = box_layer(truth)
    boxes.delete(list(boxes.shown())[:1])
    until(lambda: "these numbers are older" in evaluation.old.text())
    assert "Ctrl+Alt+E" in evaluation.old.text()
    evaluation.old.linkActivated.emit("again")
    finish(evaluation)
    assert evaluation.result.report.all.annotations == 3
    assert evaluation.old.text() == ""
    evaluation.sides.iou.setValue(0.75)
    until(lambda: "what was chosen before" in evaluation.old.text())


def test_classes_can_be_ignored(evaluation, layers, finish):
    compare(evaluation, finish, *layers)
    evaluation.result.set_threshold(0.0)
    assert "wrong class" in evaluation.result.errors.text()
    evaluation.sides.ignore_classes.click()
    evaluation.evaluate()
    finish(evaluation)
    evaluation.result.set_threshold(0.0)
    assert "wrong class" not in evaluation.result.errors.text()


def test_where_no_class_is_common_one_click_ignores_them(evaluation, layers, finish):
    found, truth = layers
    box_layer(truth).rename_class("small", "minor")
    box_layer(truth).rename_class("large", "major")
    compare(evaluation, finish, found, truth)
    assert evaluation.result.report.all.f1 == 0
    assert "No class is common" in evaluation.status.text()
    evaluation.status.linkActivated.emit("classes")
    finish(evaluation)
    assert evaluation.sides.ignore_classes.isChecked()
    assert evaluation.result.report.all.f1 > 0
    assert "No class is common" not in evaluation.status.text()


def test_a_layer_is_not_compared_with_itself(evaluation, layers, messages):
    evaluation.sides.choose(layers[0], layers[0])
    evaluation.evaluate()
    assert "cannot be compared with itself" in messages()[-1]
    assert not evaluation.busy


def test_points_are_compared_by_distance(evaluation, viewer, squares, finish):
    image = viewer.add_image(squares, name="spots")
    found, truth = (new_box_layer(image, ("spot",), name=name, point_size=8) for name in ("found", "truth"))
    for layer, shift in ((found, 3), (truth, 0)):
        pair(layer, image)
        viewer.add_layer(layer)
        part = Detections(TRUE.boxes[:2] + shift, scores=[0.9, 0.8], class_names=("spot",))
        box_layer(layer).set_proposals({(): part}, "m@1")
    evaluation.sides.choose(found, truth)
    assert not evaluation.sides.distance.isHidden()
    assert evaluation.sides.iou.isHidden()
    evaluation.evaluate()
    finish(evaluation)
    assert evaluation.result.report.limit == 4
    assert "too far off" in evaluation.result.errors.text()
    evaluation.sides.distance.setValue(5)
    evaluation.evaluate()
    finish(evaluation)
    assert evaluation.result.report.all.f1 == 1


def test_the_report_is_saved_and_the_methods_are_copied(evaluation, layers, finish, monkeypatch, tmp_path):
    compare(evaluation, finish, *layers)
    evaluation.copy_button.click()
    assert QApplication.clipboard().text() == evaluation.outcome.report(evaluation.result.threshold).methods
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *args, **kwargs: (str(tmp_path / "mine"), ""))
    evaluation.save_button.click()
    finish(evaluation)
    page = (tmp_path / "mine.html").read_text(encoding="utf-8")
    assert f"{evaluation.result.report.ap50:.3f}" in page
    assert page.count("data:image/jpeg") == 1
    asked = []

    def no(parent, title, text):
        asked.append(text)
        return QMessageBox.StandardButton.No

    monkeypatch.setattr(QMessageBox, "question", no)
    (tmp_path / "mine.html").write_text("mine")
    evaluation.save()
    assert "exists already" in asked[0]
    assert not evaluation.busy
    assert (tmp_path / "mine.html").read_text() == "mine"


def test_a_folder_that_refuses_is_told(evaluation, layers, finish, monkeypatch, tmp_path, messages):
    compare(evaluation, finish, *layers)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *args, **kwargs: (str(tmp_path / "no" / "r.html"), ""))
    evaluation.save()
    finish(evaluation)
    assert "does not exist; create it first" in messages()[-1]


def test_layers_come_and_go(evaluation, layers, viewer, finish, until):
    found, truth = layers
    compare(evaluation, finish, found, truth)
    truth.name = "by hand"
    assert evaluation.sides.truth.currentText() == "by hand"
    viewer.layers.remove(truth)
    until(lambda: "Evaluate again" in evaluation.old.text())
    assert evaluation.sides.truth_choice is not truth
    viewer.window.remove_dock_widget(evaluation)
    assert marks_of(viewer).layer is None


def test_the_command_of_the_menu_opens_the_dock(viewer):
    _, widget = viewer.window.add_plugin_dock_widget("napari-localize", "Evaluate")
    assert isinstance(widget, EvaluateWidget)


def test_mistakes_are_shown_where_channels_are_not_the_first_axis(evaluation, viewer, squares, finish):
    movie = viewer.add_image(np.stack([np.stack([squares] * 2)] * 3), name="movie", axis_labels=("t", "c", "y", "x"))
    sides = [new_box_layer(movie, CLASSES, channel_axis=1, name=name) for name in ("found", "truth")]
    for layer, boxes in zip(sides, (FOUND, TRUE), strict=True):
        pair(layer, movie)
        viewer.add_layer(layer)
        box_layer(layer).set_proposals({(2, 0): boxes}, "person@1")
    compare(evaluation, finish, *sides)
    evaluation.result.set_threshold(0.0)
    evaluation.result.follow("kind:poor overlap")
    assert evaluation.result.findings.finding.kind == "poor overlap"
    assert marks_of(viewer).layer in viewer.layers
    assert viewer.dims.current_step[0] == 2
