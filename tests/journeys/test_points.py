"""Counting centres instead of boxes: a model answers with points, a person corrects them with mouse and keys."""

from __future__ import annotations

import numpy as np
import tifffile
from napari.layers import Points
from qtpy.QtCore import Qt

from napari_localize.formats import read_annotations


def test_centres_are_found_corrected_and_saved(person, viewer, crop, tmp_path):
    """Run with points as the answer, judge, click, drag, paste and delete points, take it back, save, open again."""
    pixels, _ = crop(0, 0)
    tifffile.imwrite(tmp_path / "cells.tif", pixels)
    viewer.open(tmp_path / "cells.tif")
    loop = person.open_dock()
    localize, review = loop.localize, loop.review
    person.pick(localize.model, "nuclei")
    localize.answer.setCurrentText("points")
    person.run(localize)
    points, layer = person.boxes, person.boxes.layer
    assert isinstance(layer, Points)
    found = points.detections()
    assert len(found) > 5
    assert len(set(np.round(found.diameters, 2))) == 1
    person.tab(loop, review)
    person.look_at(layer)
    viewer.layers.selection.active = layer

    # The least certain one is right
    person.key(Qt.Key.Key_N)
    (first,) = points.selected_ids
    person.key(Qt.Key.Key_Q)
    assert points.get(first).state == "accepted"

    # A click adds one, which is dragged elsewhere
    person.look_at(layer)
    person.key(Qt.Key.Key_P)
    assert layer.mode == "add"
    place = (2.0, 95.0)
    person.click(layer, place)
    person.wait(lambda: len(points.approved()) == 2, "the point is there")
    (new,) = (key for key in points.table.boxes if points.get(key).state == "added")
    person.key(Qt.Key.Key_S)
    assert layer.mode == "select"
    y, x = layer.data[[*layer.features["id"]].index(new)]
    np.testing.assert_allclose((y, x), place, atol=1.5)
    person.drag(layer, (y, x), (y + 10, x))
    person.wait(lambda: "move" in (points.undo_text or ""), "the point has moved")
    np.testing.assert_allclose(points.get(new).xyxy[1] + points.get(new).diameter / 2 - 0.5, y + 10, atol=1.5)
    assert points.undo_text == "move 1 point"

    # Copy and paste, of which napari tells nobody, and delete
    person.key(Qt.Key.Key_C, ctrl=True)
    person.key(Qt.Key.Key_V, ctrl=True)
    person.wait(lambda: len(points.approved()) == 3, "the copy is there")
    person.key(Qt.Key.Key_Z, ctrl=True)
    assert len(points.approved()) == 2
    person.key(Qt.Key.Key_Z, ctrl=True)
    np.testing.assert_allclose(layer.data[[*layer.features["id"]].index(new)], (y, x), atol=1e-3)
    person.picture("points-1-corrected")

    # Saved as COCO keypoints, opened again as points
    path = tmp_path / "centres.json"
    layer.save(str(path), plugin="napari-localize")
    assert read_annotations(path).points
    viewer.layers.clear()
    viewer.open(path, plugin="napari-localize")
    again = person.boxes
    assert isinstance(again.layer, Points)
    np.testing.assert_allclose(np.sort(again.detections().centers, axis=0), np.sort(points_of(path), axis=0), atol=1e-3)
    assert len(again.approved()) == 2


def points_of(path):
    (found,) = read_annotations(path).values()
    return found.centers
