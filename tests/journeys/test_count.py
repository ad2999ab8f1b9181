"""Counting with an interval: localize a stack, draw planes by lot, correct these, and read how many there are on all."""

from __future__ import annotations

import numpy as np
import pandas as pd
import tifffile
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_localize.cli import main
from napari_localize.core.detections import Detections
from napari_localize.evaluation.matching import match_boxes

SIDE, DRAWN = 128, 6


def test_planes_by_lot_tell_how_many_there_are_on_all(person, viewer, crop, tmp_path, monkeypatch, capsys):
    """Localize all planes, draw some by lot, correct them by keys and mouse, see the interval, export it."""
    parts = [crop(y, x, SIDE) for y in range(0, 384, SIDE) for x in range(0, 512, SIDE)]
    tifffile.imwrite(
        tmp_path / "stack.tif", np.stack([pixels for pixels, _ in parts]), imagej=True, metadata={"axes": "ZYX"}
    )
    truth = [boxes for _, boxes in parts]
    viewer.open(tmp_path / "stack.tif")
    loop = person.open_dock()
    localize, review = loop.localize, loop.review
    person.pick(localize.model, "nuclei")
    person.press(localize.scope.all)
    person.run(localize)
    boxes, layer = person.boxes, person.boxes.layer
    assert len(boxes.planes()) == len(parts)

    # The dock says what to do first
    dock = person.open_dock("Count")
    person.wait(lambda: dock.report is not None, "the boxes are counted")
    assert "before" in dock.sample.state.text()
    assert "nobody knows" in dock.result.sentence.text()
    dock.sample.amount.setValue(DRAWN)
    person.press(dock.sample.draw_button)
    person.wait(lambda: f"of {DRAWN} planes" in dock.sample.state.text(), "planes are drawn")
    drawn = [index for _, index in dock._lot.places]
    assert viewer.dims.current_step[0] == drawn[0][0]

    # Each of them is corrected and finished; the next comes by its button
    person.tab(loop, review)
    for number, plane in enumerate(drawn):
        person.look_at(layer)
        assert viewer.dims.current_step[0] == plane[0]
        shown, there = boxes.detections(plane), truth[plane[0]]
        right = hits(shown, there)
        if not right.all():
            boxes.select(shown.ids[~right].tolist())
            person.key(Qt.Key.Key_W)
        missed = there[~hits(there, shown[right])]
        if len(missed):
            layer.add_rectangles([corners(plane, box) for box in missed.boxes.tolist()])
        person.key(Qt.Key.Key_Return, ctrl=True)
        assert plane in boxes.finished
        person.wait(lambda done=number + 1: dock.report.reviewed == done, "the plane is counted")
        if number + 1 < len(drawn):
            person.press(dock.sample.next_button)

    # How many there are, and at other thresholds
    known = sum(len(part) for part in truth)
    total = dock.report.classes.loc["all"]
    assert total["low"] < total["count"] < total["high"]
    assert abs(total["count"] - known) < 0.15 * known
    assert "95 % interval" in dock.result.total.text()
    person.picture("count-1-counted")
    dock.result.slider.setValue(90)
    assert dock.report.classes.loc["all", "found"] < total["found"]
    person.press(dock.result.card_button)
    assert dock.report.classes.loc["all"].equals(total)

    # Taken along
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *args, **kwargs: (str(tmp_path / "count.csv"), ""))
    person.press(dock.save_button)
    person.one_message("count.csv", "written")
    assert pd.read_csv(tmp_path / "count.csv")["reviewed"].sum() == DRAWN
    project = dock._keeper.image_of(layer).project
    project.settle()
    assert main(["count", str(project.path), "--threshold", f"{dock.result.threshold:.2f}"]) == 0
    assert dock.report.sentence in capsys.readouterr().out


def hits(found: Detections, true: Detections) -> np.ndarray:
    return match_boxes(found.boxes, found.labels, np.ones(len(found)), true.boxes, true.labels, 0.5)


def corners(plane: tuple[int, ...], box: list[float]) -> list[list[float]]:
    x0, y0, x1, y1 = (side - 0.5 for side in box)
    return [[*plane, y, x] for y, x in ((y0, x0), (y0, x1), (y1, x1), (y1, x0))]
