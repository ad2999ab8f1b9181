from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tifffile
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_localize.cli import main
from napari_localize.core.detections import Detections
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.keeping import keeper_of
from napari_localize.plugin.layers import new_box_layer
from napari_localize.plugin.opening import layer_of, switch_to
from napari_localize.project import open_project
from napari_localize.project.lots import lot_of
from napari_localize.widgets import count
from napari_localize.widgets._project_actions import ProjectActions
from napari_localize.widgets.count import CountWidget

PLANES = 30


def found_on(rng, number=12, wrong=3):
    """What a model finds: objects with high scores, and smaller boxes with nothing in them and low scores."""
    at = rng.permutation(36)[: number + wrong]
    corners = np.stack([at % 6 * 12, at // 6 * 12], axis=1).astype(float)
    side = np.where(np.arange(number + wrong) < number, 10.0, 6.0)[:, None]
    scores = np.where(side[:, 0] == 10, rng.uniform(0.45, 0.95, number + wrong), rng.uniform(0.2, 0.6, number + wrong))
    return Detections(np.hstack([corners, corners + side]), scores=scores, class_names=("nucleus",))


def judge(boxes, plane):
    """Reject the small boxes, add one that was missed, and finish the plane."""
    found = boxes.detections(plane)
    boxes.reject(found.ids[found.diameters < 8].tolist())
    boxes.layer.add(np.array([[*plane, y, x] for y, x in ((75, 0), (75, 9), (84, 9), (84, 0))], float))
    boxes.reconcile()
    boxes.finish(plane)


@pytest.fixture
def widget(dock):
    return dock(CountWidget)


@pytest.fixture
def layer(viewer, widget):
    rng = np.random.default_rng(0)
    image = viewer.add_image(rng.integers(0, 255, (PLANES, 90, 72), np.uint8), name="stack")
    layer = new_box_layer(image, ("nucleus",))
    viewer.add_layer(layer)
    box_layer(layer).set_proposals({(z,): found_on(rng, rng.integers(6, 20)) for z in range(PLANES)}, "nuclei@1")
    widget.recount()
    return layer


def drawn(widget):
    return [index for _, index in widget._lot.places]


def test_it_says_what_to_do_before_there_is_anything_to_count(viewer, widget):
    assert "Localize" in widget.status.text()
    assert not widget._body.isVisibleTo(widget)
    image = viewer.add_image(np.zeros((40, 40), np.uint8), name="flat")
    flat = new_box_layer(image)
    viewer.add_layer(flat)
    widget.recount()
    assert "No model has worked" in widget.status.text()
    box_layer(flat).set_proposals({(): found_on(np.random.default_rng(0))}, "nuclei@1")
    widget.recount()
    assert "single plane" in widget.status.text()
    viewer.layers.remove(flat)
    widget.recount()
    assert "Localize" in widget.status.text()


def test_planes_are_drawn_by_lot_and_gone_through(viewer, widget, layer):
    assert "before" in widget.sample.state.text()
    widget.sample.amount.setValue(8)
    widget.sample.draw_button.click()
    first, second = drawn(widget)[:2]
    assert len(set(drawn(widget))) == 8
    assert viewer.dims.current_step[0] == first[0]
    assert "0</b> of 8 planes" in widget.sample.state.text()
    boxes = box_layer(layer)
    judge(boxes, first)
    widget.sample.next_button.click()
    assert viewer.dims.current_step[0] == second[0]
    assert "1</b> of 8 planes" in widget.sample.state.text()
    # The layer remembers, and so does where it is kept.
    image = keeper_of(viewer).image_of(layer)
    assert lot_of(image.project, image.id) == widget._lot
    assert len(layer.metadata["napari_localize"]["lot"]["places"]) == 8


def test_the_total_has_an_interval_at_any_threshold(widget, layer, until):
    boxes = box_layer(layer)
    widget.sample.amount.setValue(9)
    widget.sample.draw_button.click()
    for plane in drawn(widget):
        judge(boxes, plane)
    until(lambda: widget.report is not None and widget.report.reviewed == 9)
    truth = sum(int((boxes.table.detections((z,), None).diameters > 8).sum()) for z in range(PLANES))
    truth += PLANES - 9
    total = widget.report.classes.loc["all"]
    assert total["low"] <= truth <= total["high"]
    assert "95 % interval" in widget.result.total.text()
    assert "9 reviewed of 30 planes" in widget.result.sentence.text()
    # The threshold begins at the model's own, and moves precision and recall without looking at boxes again.
    assert widget.result.threshold == pytest.approx(0.55)
    before = total["recall"]
    counting = widget._counting
    widget.result.slider.setValue(80)
    assert widget.report.threshold == 0.8
    assert widget.report.classes.loc["all", "recall"] < before
    assert widget.report.classes.loc["all", "precision"] == 1
    assert widget._counting is counting
    assert widget.result.plot.marks == {"card": pytest.approx(0.551), "": 0.8}
    assert [line.name for line in widget.result.plot.lines] == ["count", "precision", "recall"]
    widget.result.card_button.click()
    assert widget.result.threshold == pytest.approx(0.55)
    widget.grab()


def test_planes_chosen_by_hand_are_told(widget, layer):
    boxes = box_layer(layer)
    for z in range(6):
        judge(boxes, (z,))
    widget.recount()
    assert "chosen by hand" in widget.result.notes.text()
    # Drawn now, those are not among the lot and only count as they are.
    widget.sample.amount.setValue(6)
    widget.sample.draw_button.click()
    assert not {(z,) for z in range(6)} & set(drawn(widget))
    for plane in drawn(widget):
        judge(boxes, plane)
    widget.recount()
    assert "chosen by hand" not in widget.result.notes.text()
    assert "6 planes that were finished without being drawn" in widget.result.notes.text()


def test_too_few_planes_and_the_boxes_of_another_model_are_told(widget, layer):
    boxes = box_layer(layer)
    widget.sample.amount.setValue(5)
    widget.sample.draw_button.click()
    judge(boxes, drawn(widget)[0])
    widget.recount()
    assert "too few for an interval" in widget.result.sentence.text()
    for plane in drawn(widget)[1:]:
        judge(boxes, plane)
    rest = [(z,) for z in range(PLANES) if (z,) not in drawn(widget)]
    rng = np.random.default_rng(1)
    boxes.set_proposals({plane: found_on(rng) for plane in rest}, "mine@2")
    widget.recount()
    assert "boxes of nuclei@1, the others of mine@2" in widget.result.notes.text()


def test_a_click_on_a_plane_goes_there_and_titles_sort(viewer, widget, layer):
    table = widget.planes
    assert table.rows.rowCount() == PLANES
    assert table.rows.data(table.rows.index(3, 0)) == "z=3"
    table.chosen.emit(table.rows.place(7))
    assert viewer.dims.current_step[0] == 7
    table.sortByColumn(2, Qt.SortOrder.DescendingOrder)
    found = [int(table.rows.data(table.rows.index(row, 2))) for row in range(PLANES)]
    assert found == sorted(found, reverse=True)
    box_layer(layer).finish((4,))
    widget.recount()
    table.sortByColumn(1, Qt.SortOrder.AscendingOrder)
    assert table.rows.data(table.rows.index(0, 1)) == "✓"
    assert table.rows.place(0)[1] == (4,)


def test_without_a_card_the_count_begins_with_what_is_shown(viewer, widget, layer):
    image = viewer.layers["stack"]
    other = new_box_layer(image, ("nucleus",), name="other")
    box_layer(other).set_filter(0.4)
    rng = np.random.default_rng(3)
    viewer.add_layer(other)
    box_layer(other).set_proposals({(z,): found_on(rng) for z in range(PLANES)}, "lost@1")
    widget.boxes.choose(other)
    widget.recount()
    assert widget.result.threshold == pytest.approx(0.4)
    assert not widget.result.card_button.isVisibleTo(widget)
    assert "does not tell" in widget.result.calibration.text()


def test_tables_are_written_and_text_is_copied(widget, layer, tmp_path, monkeypatch):
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *args, **kwargs: (str(tmp_path / "mine"), ""))
    monkeypatch.setattr(count, "remember", lambda key, value: None)
    widget.sample.amount.setValue(6)
    widget.sample.draw_button.click()
    for plane in drawn(widget):
        judge(box_layer(layer), plane)
    widget.recount()
    widget.save_button.click()
    planes = pd.read_csv(tmp_path / "mine.csv", index_col="plane")
    assert planes["reviewed"].sum() == 6
    total = pd.read_csv(tmp_path / "mine_classes.csv", index_col="class").loc["all", "count"]
    assert total == pytest.approx(widget.report.classes.loc["all", "count"])
    (tmp_path / "mine.csv").write_text("precious")
    monkeypatch.setattr(QMessageBox, "question", lambda *args: QMessageBox.StandardButton.No)
    widget.save_button.click()
    assert (tmp_path / "mine.csv").read_text() == "precious"
    widget.text_button.click()
    text = QGuiApplication.clipboard().text()
    assert "(model nuclei@1, scores of at least 0.55) on 30 planes. 6 of these, drawn by lot (seed 0)" in text
    assert "Cochran" in text


def test_what_the_scores_mean_is_shown(widget, layer):
    widget.result.trust.set_open(True)
    assert "expected calibration error" in widget.result.calibration.text()
    assert [line.name for line in widget.result.reliability.lines] == ["", "scores", "calibrated"]
    widget.grab()


def test_a_whole_project_is_counted_and_the_command_line_says_the_same(viewer, widget, finish, tmp_path, capsys):
    rng = np.random.default_rng(0)
    project = open_project(tmp_path / "plate", create=True)
    for number in range(12):
        image = project.image(project.add_array(f"well {number}", (90, 72), "YX").name)
        project.propose(project.planes(image)[0], found_on(rng, 8 + number), "nuclei@1")
    switch_to(viewer, project)
    widget.scope.setCurrentIndex(1)
    finish(widget)
    assert "Project plate" in widget.scope.currentText()
    assert len(widget._planes) == 12
    assert widget.sample.amount.value() == 12
    lot = widget.counted.lot.drawn(6, list(widget._planes))
    widget.counted.keep_lot(lot)
    with project.edit("judge") as edit:
        for place in lot.places:
            (plane,) = project.planes(project.image(place[0]))
            edit.accept(project.detections(plane).ids)
            edit.finish(plane)
    widget._choose()
    finish(widget)
    assert widget.report.reviewed == 6
    widget.command_button.click()
    command = QGuiApplication.clipboard().text()
    assert command == f'napari-localize count "{project.path}" --threshold 0.55'
    capsys.readouterr()
    assert main(["count", str(project.path), "--threshold", "0.55"]) == 0
    assert widget.report.sentence in capsys.readouterr().out
    assert layer_of(viewer, project.images()[0]) is None


def test_planes_of_a_project_are_opened_one_after_the_other_and_stay_counted(viewer, widget, finish, tmp_path):
    rng = np.random.default_rng(0)
    for number in range(7):
        tifffile.imwrite(tmp_path / f"well{number}.tif", rng.integers(0, 255, (90, 72), np.uint8))
    project = open_project(tmp_path / "plate", create=True)
    project.add_images([tmp_path])
    for plane in project.planes():
        project.propose(plane, found_on(rng), "nuclei@1")
    switch_to(viewer, project)
    widget.scope.setCurrentIndex(1)
    finish(widget)
    widget.sample.amount.setValue(6)
    widget.sample.draw_button.click()
    for number, (image, plane) in enumerate(widget._lot.places):
        (entry,) = [one for one in project.images() if one.id == image]
        boxes = box_layer(layer_of(viewer, entry))
        # It is opened with the model's threshold, below which some of the objects lie.
        assert boxes.filter[0] > 0.3
        boxes.set_filter(0.0)
        judge(boxes, plane)
        widget.go_on()
        assert widget.report.reviewed == number + 1
    assert len(project.images()) == 7
    assert "All 6 planes" in widget.sample.state.text()
    total = widget.report.classes.loc["all"]
    assert total["low"] < 7 * 13 < total["high"]


def test_a_project_that_gets_other_boxes_or_gives_way_to_another_is_read_again(viewer, widget, finish, tmp_path):
    rng = np.random.default_rng(0)
    projects = [open_project(tmp_path / name, create=True) for name in ("first", "second")]
    for project in projects:
        for number in range(6):
            image = project.image(project.add_array(f"well {number}", (90, 72), "YX").name)
            project.propose(project.planes(image)[0], found_on(rng), "nuclei@1")
    first, second = projects
    second.close()
    switch_to(viewer, first)
    actions = ProjectActions(viewer, widget._keeper, widget)
    widget.scope.setCurrentIndex(1)
    finish(widget)
    assert len(widget._planes) == 6
    first.remove_image(first.images()[0])
    actions.changed.emit()
    finish(widget)
    assert len(widget._planes) == 5
    actions.open_path(tmp_path / "second.localize")
    finish(widget)
    assert "second" in widget.scope.currentText()
    assert len(widget._planes) == 6
    assert widget.status.text() == ""


def test_more_planes_are_drawn_only_when_that_is_meant(widget, layer, monkeypatch):
    asked = []
    answer = [QMessageBox.StandardButton.No]
    monkeypatch.setattr(QMessageBox, "question", lambda *args: asked.append(args[2]) or answer[0])
    widget.sample.amount.setValue(6)
    widget.sample.draw_button.click()
    widget.sample.draw_button.click()
    assert len(drawn(widget)) == 6
    assert asked[0].startswith("6 of the planes drawn by lot are not finished yet")
    answer[0] = QMessageBox.StandardButton.Yes
    widget.sample.draw_button.click()
    assert len(drawn(widget)) > 6
    for plane in drawn(widget):
        judge(box_layer(layer), plane)
    widget.recount()
    widget.sample.draw_button.click()
    assert len(asked) == 2
