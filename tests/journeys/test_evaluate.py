"""Evaluate: a model against the true boxes of a sample, its mistakes on the image, and the report."""

from __future__ import annotations

import re

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFileDialog

import napari_localize as nl
from napari_localize.plugin.marks import marks_of


def test_a_model_is_judged_and_its_mistakes_are_seen(person, viewer, truth_of, tmp_path, monkeypatch):
    """Open the sample, evaluate the model, step through what is wrong, save the report: the numbers are evaluate's."""
    _, layer = viewer.open_sample("napari-localize", "nuclei")
    truth = truth_of(layer)
    localize = person.open_dock("Localize")
    person.pick(localize.model, "nuclei")
    person.run(localize)
    viewer.window.remove_dock_widget(localize)
    boxes = person.boxes

    # What the layer holds, against the truth; the filter of the layer is the threshold.
    dock = person.open_dock("Evaluate")
    assert dock.sides.found.currentText() == "a model, run now"
    assert dock.sides.truth.currentText() == "nuclei truth"
    dock.sides.found.setCurrentText(boxes.layer.name)
    assert dock.sides.truth.currentText() == "nuclei truth"
    person.press(dock.evaluate_button)
    person.wait(lambda: not dock.busy, "it is compared")
    shown = {"nuclei": boxes.detections()}
    everything = {"nuclei": boxes.by_plane(("proposed",), hidden=True)[()]}
    expected = nl.evaluate(shown, {"nuclei": truth}).loc["all"]
    average = nl.evaluate(everything, {"nuclei": truth}).loc["all"]
    report = dock.result.report
    np.testing.assert_allclose(
        [report.all.precision, report.all.recall, report.all.f1, report.all.count_error],
        expected[["precision", "recall", "F1", "count_error"]].to_numpy(float),
        atol=1e-9,
    )
    np.testing.assert_allclose([report.ap50, report.ap], average[["AP50", "AP"]].to_numpy(float), atol=1e-9)
    person.picture("evaluate-1-numbers")

    # A lower threshold brings false positives; a click goes to the first, a key to the next.
    dock.result.set_threshold(0.25)
    wrong = [finding for finding in dock.result.report.findings if finding.kind == "false positive"]
    assert f";{len(wrong)} false positive" in dock.result.errors.text()
    dock.result.errors.linkActivated.emit("kind:false positive")
    bar = dock.result.findings
    assert bar.finding == wrong[0]
    marks = marks_of(viewer).layer
    y, x = np.asarray(marks.data[-1])[:, -2:].mean(axis=0)
    x0, y0, x1, y1 = wrong[0].box
    np.testing.assert_allclose([x, y], [(x0 + x1) / 2 - 0.5, (y0 + y1) / 2 - 0.5], atol=0.01)
    person.bot.keyClick(
        person.window, Qt.Key.Key_N, Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.ShiftModifier
    )
    person.pause()
    assert bar.finding == wrong[1 % len(wrong)]
    person.picture("evaluate-2-false-positive")
    person.press(bar.close_button)
    assert marks_of(viewer).layer is None

    # The same from a model that is run now.
    dock.sides.found.setCurrentText("a model, run now")
    person.pick(dock.sides.model, "nuclei")
    person.press(dock.evaluate_button)
    person.wait(lambda: not dock.busy, "the model has run and is compared")
    again = dock.result.report
    np.testing.assert_allclose([again.ap50, again.all.f1], [report.ap50, report.all.f1], atol=0.01)

    # The report
    page = tmp_path / "report.html"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *args, **kwargs: (str(page), ""))
    person.press(dock.copy_button)
    assert QApplication.clipboard().text() == dock.outcome.report(dock.result.threshold).methods
    person.press(dock.save_button)
    person.wait(lambda: not dock.busy, "the report is written")
    text = page.read_text(encoding="utf-8")
    for number in (again.ap50, again.all.precision, again.all.recall, again.all.f1):
        assert f"<b>{number:.3f}</b>" in text
    assert re.search(r"nuclei@1", text)
    assert text.count("data:image/jpeg") == 1
    assert person.messages() == []


def test_what_went_wrong_stays_in_the_dock_until_it_is_clicked(person, viewer):
    """Evaluate with nothing finished: the whole sentence stands above the dock's parts, and covers none of them."""
    viewer.add_image(np.zeros((64, 64), np.uint8), name="empty")
    dock = person.open_dock("Evaluate")
    room = dock.viewport().height()
    person.press(dock.evaluate_button)
    person.wait(dock.told.isVisible, "the dock says what is wrong")
    assert dock.told.text() == person.messages()[-1]
    person.wait(lambda: dock.viewport().height() == room - dock.told.height(), "there is room for it")
    assert dock.told.height() >= dock.told.heightForWidth(dock.width()) > 0
    person.picture("evaluate-told")
    person.bot.mouseClick(dock.told, Qt.MouseButton.LeftButton)
    person.wait(lambda: dock.viewport().height() == room, "it is put away")
