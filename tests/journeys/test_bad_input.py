"""What a person gets who asks for what cannot be: one sentence that helps, and a window that goes on."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt


def still_works(person, crop):
    """The window is alive: a good image can be opened and localized."""
    image = person.viewer.add_image(crop(0, 0, 160)[0], name="good")
    localize = person.open_dock("Localize")
    person.viewer.layers.selection.active = image
    person.pick(localize.model, "nuclei")
    person.run(localize)
    assert "good boxes" in [layer.name for layer in person.box_layers()]
    assert person.messages() == []


def test_without_an_image(person, crop):
    """Press Run in an empty window."""
    localize = person.open_dock("Localize")
    assert "Open an image" in localize.image.hint.text()
    person.press(localize.run_button)
    person.one_message("image", "open")
    still_works(person, crop)


def test_with_layers_of_other_kinds_only(person, viewer, crop):
    """Select a layer of labels, then one of vectors, and press Run."""
    localize = person.open_dock("Localize")
    viewer.add_labels(np.ones((32, 32), int), name="mask")
    assert "'mask' is a Labels layer" in localize.image.hint.text()
    person.press(localize.run_button)
    person.one_message("image")
    viewer.add_vectors(np.ones((3, 2, 2)), name="arrows")
    assert "'arrows' is a Vectors layer" in localize.image.hint.text()
    person.press(localize.run_button)
    person.one_message("image")
    still_works(person, crop)


ODD = {
    "one pixel": np.ones((1, 1), np.uint8),
    "zeros": np.zeros((64, 64), np.uint16),
    "nan": np.full((64, 64), np.nan, np.float32),
    "bits": np.eye(64, dtype=bool),
    "int32": np.arange(-2048, 2048, dtype=np.int32).reshape(64, 64),
    "some nan and inf": np.where(np.eye(64) > 0, [np.nan, np.inf] * 32, np.linspace(0, 1, 64)),
    "seven channels": np.ones((7, 40, 40), np.uint8),
    "a strip": np.ones((100_000, 10), np.uint8),
}


@pytest.mark.filterwarnings("ignore:All-NaN|invalid value|Mean of empty:RuntimeWarning")
def test_odd_images_are_looked_at_one_after_the_other(person, viewer, crop):
    """Run on images with hardly anything in them: no error, the dock says that nothing was found or shows boxes."""
    localize = person.open_dock("Localize")
    person.pick(localize.model, "nuclei")
    for name, pixels in ODD.items():
        image = viewer.add_image(pixels, name=name, contrast_limits=(0, 1))
        viewer.layers.selection.active = image
        person.run(localize)
        said = person.messages()
        assert len(said) <= 1, name
        assert all(text.endswith(".") and len(text) < 300 for text in said), (name, said)
        assert localize.run_button.isEnabled()
        viewer.layers.clear()
        person.one_message() if said else None
    still_works(person, crop)


def test_training_without_anything_to_learn_from(person, viewer, crop):
    """Open Retrain with no boxes, with boxes that nobody has judged, and with a finished plane without boxes."""
    viewer.add_image(crop(0, 0, 160)[0], name="cells")
    loop = person.open_dock()
    retrain, review = loop.retrain, loop.review
    person.tab(loop, retrain)
    assert not retrain.train_button.isEnabled()
    assert "Nothing to learn from yet" in retrain.material.text()
    assert "Review" in retrain.material.text()
    person.tab(loop, review)
    person.press(review.new_button)
    person.press(review.planes.done)
    person.tab(loop, retrain)
    person.wait(retrain.train_button.isEnabled, "the finished plane is seen")
    person.press(retrain.train_button)
    person.one_message("no boxes to learn from", "Review")
    person.picture("nothing-to-learn")
    assert not retrain.busy
    still_works(person, crop)


def test_a_size_from_no_box_and_a_run_in_no_rectangle(person, viewer, crop):
    """Ask for the size of the selected box when none is, and for a run in a rectangle that is not drawn yet."""
    image = viewer.add_image(crop(0, 0, 160)[0], name="cells")
    localize = person.open_dock("Localize")
    person.pick(localize.model, "nuclei")
    person.key(Qt.Key.Key_B, ctrl=True, shift=True)
    person.one_message("Select a box")
    person.press(localize.scope.rectangle)
    person.press(localize.run_button)
    person.one_message("rectangle", "draw")
    person.drag(image, (20, 20), (120, 130))
    person.run(localize)
    found = person.boxes.detections()
    assert len(found)
    assert (found.centers > 20).all()
    assert (found.centers < 131).all()
