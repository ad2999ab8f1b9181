"""The loop on stacks and on layers that are scaled, rotated, multichannel or multiscale."""

from __future__ import annotations

import numpy as np
import tifffile
from qtpy.QtCore import Qt

import napari_localize
from napari_localize.core.detections import Detections


def f1(found, truth):
    """F1 without regard to class."""
    return napari_localize.evaluate(unclassed(found), unclassed(truth)).loc["all", "F1"]


def unclassed(boxes):
    return Detections(boxes.boxes, scores=boxes.scores)


def test_a_movie_is_localized_corrected_and_learned_from_plane_by_plane(
    person, viewer, crop, snapshot, assert_reread, tmp_path
):
    """Open a movie, run on all of its planes, correct two of them, retrain on these, run again, save and reload."""
    (first, first_truth), (third, third_truth) = crop(0, 0), crop(256, 256)
    blank = np.full_like(first, 8)
    tifffile.imwrite(tmp_path / "movie.tif", np.stack([first, blank, third]), imagej=True, metadata={"axes": "TYX"})
    (image,) = viewer.open(tmp_path / "movie.tif")
    assert image.data.shape == (3, 192, 192)
    loop = person.open_dock()
    localize, review, retrain = loop.localize, loop.review, loop.retrain
    person.pick(localize.model, "nuclei")
    person.press(localize.scope.all)
    person.run(localize)
    boxes, layer = person.boxes, person.boxes.layer
    assert layer.ndim == 3
    assert f1(boxes.detections((0,)), first_truth) > 0.7
    assert f1(boxes.detections((2,)), third_truth) > 0.7
    assert len(boxes.detections((1,))) <= 2, "an empty plane stays so"

    # On the last plane: the slider shows its boxes only, and what is drawn there stays there
    person.tab(loop, review)
    person.look_at(layer)
    viewer.dims.set_point(0, 2)
    person.pause()
    assert "Plane <b>3</b> of 3" in review.planes._text.text()
    person.picture("stack-1-localized")
    known = set(boxes.shown())
    person.press(review.judge.draw)
    person.drag(layer, (2, 2), (22, 18))
    (drawn,) = set(boxes.shown()) - known
    assert boxes.get(drawn).plane == (2,)
    np.testing.assert_allclose(boxes.get(drawn).xyxy, (2.5, 2.5, 18.5, 22.5), atol=1.5)
    person.key(Qt.Key.Key_S)
    person.key(Qt.Key.Key_Delete)
    assert boxes.get(drawn) is None
    person.press(review.planes.done)
    assert boxes.finished == {(2,)}
    person.press(review.planes.back)
    person.press(review.planes.back)
    person.pause()
    person.press(review.planes.done)
    assert boxes.finished == {(0,), (2,)}
    assert {box.state for box in boxes.shown((0,)).values()} == {"accepted"}
    assert {box.state for box in boxes.shown((1,)).values()} <= {"proposed"}

    # Undo of a step on another plane goes there
    viewer.dims.set_point(0, 1)
    layer_was = snapshot(layer)
    person.key(Qt.Key.Key_Z, ctrl=True)
    assert viewer.dims.current_step[0] == 0
    assert boxes.finished == {(2,)}
    person.key(Qt.Key.Key_Z, ctrl=True, shift=True)
    assert snapshot(layer) == layer_was

    person.tab(loop, retrain)
    person.wait(lambda: "2</b> finished planes" in retrain.material.text(), "both finished planes are counted")
    person.pick(retrain.base, "nuclei")
    person.train(retrain, "epochs", 1)
    person.picture("stack-2-trained")
    person.keep(retrain)
    assert localize.model.name == "my nuclei@1"
    judged = snapshot(layer)
    person.run(localize)
    now = snapshot(layer)
    for plane in ((0,), (2,)):
        assert _on(now, plane, "accepted") == _on(judged, plane, "accepted")
    assert {row[0] for row in now.boxes.values()} <= {(0,), (1,), (2,)}
    assert now.finished == judged.finished
    assert_reread(snapshot(_save_and_open(person, layer, tmp_path)), now, 192)


def _on(taken, plane, state):
    return {key: row for key, row in taken.boxes.items() if row[0] == plane and row[-1] == state}


def _save_and_open(person, layer, folder):
    path = folder / "boxes.json"
    layer.save(str(path), plugin="napari-localize")
    person.viewer.layers.remove(layer)
    (again,) = person.viewer.open(path, plugin="napari-localize")
    return again


def test_boxes_lie_on_a_scaled_and_rotated_image(person, viewer, crop, snapshot, assert_reread, tmp_path):
    """Open an image, give it a pixel size and turn it; run, move and draw boxes by mouse, retrain, run again."""
    pixels, truth = crop(0, 0)
    tifffile.imwrite(tmp_path / "turned.tif", pixels)
    (image,) = viewer.open(tmp_path / "turned.tif")
    image.scale, image.rotate, image.translate = (0.65, 0.5), 30, (40, -25)
    loop = person.open_dock()
    localize, review, retrain = loop.localize, loop.review, loop.retrain
    person.pick(localize.model, "nuclei")
    person.run(localize)
    boxes, layer = person.boxes, person.boxes.layer
    assert f1(boxes.detections(), truth) > 0.7
    for corner in ((0, 0), (192, 0), (100, 192)):
        np.testing.assert_allclose(layer.data_to_world(corner), image.data_to_world(corner), atol=1e-4)
    person.tab(loop, review)
    person.look_at(layer)
    person.picture("turned-1-localized")
    known = set(boxes.shown())
    person.press(review.judge.draw)
    person.drag(layer, (100, 60), (124, 80))
    (drawn,) = set(boxes.shown()) - known
    np.testing.assert_allclose(boxes.get(drawn).xyxy, (60.5, 100.5, 80.5, 124.5), atol=1.5)
    person.key(Qt.Key.Key_S)
    person.drag(layer, (112, 70), (118, 62))
    np.testing.assert_allclose(boxes.get(drawn).xyxy, (52.5, 106.5, 72.5, 130.5), atol=2.5)
    person.key(Qt.Key.Key_Delete)
    person.press(review.planes.done)
    person.tab(loop, retrain)
    person.pick(retrain.base, "nuclei")
    person.train(retrain, "epochs", 1)
    person.keep(retrain)
    judged = snapshot(layer)
    person.run(localize)
    now = snapshot(layer)
    assert {key: now.boxes[key] for key in judged.boxes} == judged.boxes
    assert_reread(snapshot(_save_and_open(person, layer, tmp_path)), now, 192)


def test_one_channel_of_several_is_localized_and_learned_from(person, viewer, crop, snapshot, assert_reread, tmp_path):
    """Open an image of three channels with nuclei in the second one, say so, run, finish, retrain, run again."""
    pixels, truth = crop(256, 256)
    empty = np.full_like(pixels, 8)
    image = viewer.add_image(np.stack([empty, pixels, empty]), name="three dyes", axis_labels=("c", "y", "x"))
    loop = person.open_dock()
    localize, review, retrain = loop.localize, loop.review, loop.retrain
    person.pick(localize.model, "nuclei")
    person.unfold(localize, "Channels, answer, device")
    assert localize.channels.axis == 0
    person.pick(localize.channels.channel_choice, "1")
    person.run(localize)
    boxes, layer = person.boxes, person.boxes.layer
    assert f1(boxes.detections(), truth) > 0.7
    assert layer.ndim == 2
    person.picture("channels-1-localized")
    person.pick(localize.channels.channel_choice, "0")
    person.run(localize)
    assert "Nothing" in localize.status.text()
    assert boxes.shown() == {}
    person.pick(localize.channels.channel_choice, "1")
    person.run(localize)
    assert f1(boxes.detections(), truth) > 0.7
    person.tab(loop, review)
    person.look_at(layer)
    person.press(review.planes.done)
    person.tab(loop, retrain)
    person.pick(retrain.base, "nuclei")
    person.train(retrain, "epochs", 1)
    person.keep(retrain)
    person.run(localize)
    assert image.data.shape == (3, 192, 192)
    now = snapshot(layer)
    assert_reread(snapshot(_save_and_open(person, layer, tmp_path)), now, 192)


def test_a_multiscale_image_gets_boxes_in_pixels_of_its_finest_level(person, viewer, crop):
    """Open a pyramid and run: the boxes are where they are in the full image."""
    pixels, truth = crop(0, 0)
    viewer.add_image([pixels[:: 2**level, :: 2**level] for level in range(3)], multiscale=True, name="pyramid")
    localize = person.open_dock("Localize")
    person.pick(localize.model, "nuclei")
    person.run(localize)
    assert f1(person.boxes.detections(), truth) > 0.7
