"""Judge all nuclei of a sample in the gallery."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt

import napari_localize
from napari_localize.core import arrange
from napari_localize.core.detections import Detections


def test_reject_the_unsure_and_accept_the_rest(person, viewer, crop, tmp_path):
    """Localize, open the gallery, reject low scores by key, accept the rest at once, look at what was rejected, undo."""
    import tifffile

    pixels, truth = crop(0, 0)
    tifffile.imwrite(tmp_path / "cells.tif", pixels)
    viewer.open(tmp_path / "cells.tif")
    localize = person.open_dock("Localize")
    person.pick(localize.model, "nuclei")
    person.run(localize)
    boxes = person.boxes
    total = boxes.number_of_guesses(())
    assert total > 10
    viewer.window.remove_dock_widget(localize)

    gallery = person.open_dock("Gallery")
    person.wait(lambda: gallery.crops.made and gallery.crops.idle, "the pictures are there")
    person.pick(gallery.filter.order, arrange.UNSURE_FIRST)
    assert f"{total} guesses" in gallery.counts.text()
    person.picture("gallery-1-opened")

    # The three with the lowest scores, by key: each goes, and the next is selected
    ids = gallery.model.ids.tolist()
    scores = [boxes.get(key).score for key in ids]
    assert scores == sorted(scores)
    view = gallery.view
    person.bot.mouseClick(
        view.viewport(), Qt.MouseButton.LeftButton, pos=view.visualRect(view.model().index(0, 0)).center()
    )
    person.wait(lambda: boxes.selected_ids == ids[:1], "it is selected on the image, too")
    for _ in range(3):
        person.bot.keyClick(view, Qt.Key.Key_W)
    assert [boxes.get(key).state for key in ids[:4]] == ["rejected"] * 3 + ["proposed"]
    assert gallery.model.ids.tolist() == ids

    # The rest as one step
    person.press(gallery.accept_all_button)
    assert f"Accepted {total - 3} guesses" in gallery.status.text()
    states = boxes.by_state(())
    assert (states["proposed"], states["accepted"], states["rejected"]) == (0, total - 3, 3)
    assert boxes.undo_text == f"accept {total - 3} boxes"
    person.picture("gallery-2-judged")

    # One of those rejected was right after all: found among them, shown on the image, brought back
    gallery.filter.set_states(["rejected"])
    person.wait(lambda: gallery.model.rowCount() == 3, "those rejected are shown")
    last = gallery.model.key(2)
    view.select_rows([2])
    person.bot.keyClick(view, Qt.Key.Key_Return)
    person.bot.keyClick(view, Qt.Key.Key_Q)
    assert boxes.get(last).state == "accepted"
    person.bot.keyClick(view, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert boxes.get(last).state == "rejected"
    person.bot.keyClick(view, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier)
    assert boxes.by_state(())["accepted"] == total - 2

    approved = Detections(boxes.approved().boxes, class_names=("nucleus",))
    assert napari_localize.evaluate(approved, Detections(truth.boxes, class_names=("nucleus",))).loc["all", "F1"] > 0.5
    assert np.isfinite(boxes.approved().scores).all()
    assert person.messages() == []
