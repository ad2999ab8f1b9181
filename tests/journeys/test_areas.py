"""Finishing only a part of an image: a large image need not be reviewed as a whole."""

from __future__ import annotations

import numpy as np
import tifffile
from qtpy.QtCore import Qt

from napari_localize.core.known import KnownArea


def test_a_part_of_an_image_is_finished_and_learned_from(person, viewer, crop, tmp_path):
    """Run, finish one corner by mouse, have a place ignored, take steps back, judge many at once, retrain."""
    pixels, _ = crop(0, 0)
    tifffile.imwrite(tmp_path / "cells.tif", pixels)
    viewer.open(tmp_path / "cells.tif")
    loop = person.open_dock()
    localize, review, retrain = loop.localize, loop.review, loop.retrain
    person.pick(localize.model, "nuclei")
    person.run(localize)
    boxes, layer = person.boxes, person.boxes.layer
    person.tab(loop, review)
    person.look_at(layer)

    # The left part is finished: what is guessed there is accepted, and nothing else
    person.key(Qt.Key.Key_U)
    assert viewer.layers.selection.active is not layer
    assert review.areas.finish.isChecked()
    person.drag(layer, (-1, -1), (191, 99.5))
    person.wait(lambda: boxes.areas, "the area is there")
    assert viewer.layers.selection.active is layer
    (area,) = boxes.areas
    np.testing.assert_allclose(area.xyxy, (0, 0, 100, 191.5), atol=1.5)
    left = boxes.known(()).holds(boxes.detections().boxes)
    assert 0 < left.sum() < len(left)
    assert (boxes.detections().states == np.where(left, "accepted", "proposed")).all()
    person.wait(lambda: f"<b>{left.sum()}</b>" in review.areas._text.text(), "what is reviewed is counted")
    person.picture("areas-1-finished")

    # Undo takes both back at once; Esc leaves the drawing
    person.key(Qt.Key.Key_Z, ctrl=True)
    assert boxes.areas == frozenset()
    assert set(boxes.detections().states) == {"proposed"}
    person.key(Qt.Key.Key_Z, ctrl=True, shift=True)
    assert boxes.areas == {area}
    person.key(Qt.Key.Key_U, shift=True)
    assert review.areas.ignore.isChecked()
    person.key(Qt.Key.Key_Escape)
    person.wait(lambda: not review.areas.ignore.isChecked(), "drawing is over")
    assert viewer.layers.selection.active is layer

    # A place in it is of no concern, is taken back under the mouse, and ignored again
    person.press(review.areas.ignore)
    person.drag(layer, (20, 20), (60, 50))
    person.wait(lambda: len(boxes.areas) == 2, "the ignored area is there")
    person.click(layer, (40, 35))
    person.key(Qt.Key.Key_T, shift=True)
    assert boxes.areas == {area}
    person.key(Qt.Key.Key_Z, ctrl=True)
    known = boxes.known(())
    assert known == KnownArea([area.xyxy], known.ignored)
    assert len(known.ignored) == 1

    # The rest is rejected by score
    others = boxes.number_of_guesses()
    person.key(Qt.Key.Key_D, shift=True)
    person.key(Qt.Key.Key_F, shift=True)
    assert boxes.number_of_guesses() == 0
    assert boxes.by_state(())["rejected"] == others
    while boxes.number_of_guesses() < others:
        person.key(Qt.Key.Key_Z, ctrl=True)
    assert boxes.known(()) == known

    # Only what counts is learned from
    counted = int(known.holds(boxes.approved().boxes).sum())
    person.tab(loop, retrain)
    said = f"1</b> finished area, <b>{counted}</b> boxes"
    person.wait(lambda: said in retrain.material.text(), "what is reviewed and not ignored is counted")
    assert "without ignored areas" in retrain.material.text()
    person.pick(retrain.base, "nuclei")
    person.train(retrain, "epochs", 1)
    assert person.messages() == []
    person.picture("areas-2-trained")
    viewer.layers.remove(layer)
    assert [each.name for each in viewer.layers] == ["cells"]
