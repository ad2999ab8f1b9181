"""From layers of labels to layers of boxes, with the command as napari's menu runs it."""

from __future__ import annotations

import numpy as np
import pytest

from napari_localize.core.errors import UserError
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.labels import labels_to_boxes
from napari_localize.plugin.pairs import image_of

LABELS = np.zeros((2, 30, 40), np.uint16)
LABELS[0, 2:7, 3:13] = 5
LABELS[1, 20:30, 30:40] = 2


def test_the_menu_entry_gives_boxes_of_the_image_that_can_be_reviewed(make_napari_viewer):
    from napari._app_model import get_app_model

    viewer = make_napari_viewer()
    image = viewer.add_image(np.zeros(LABELS.shape), name="movie", scale=(1, 0.5, 0.5))
    viewer.add_labels(LABELS, name="nuclei", scale=(1, 0.5, 0.5))
    get_app_model().commands.execute_command("napari-localize.labels_to_boxes").result()
    layer = viewer.layers["nuclei boxes"]
    boxes = box_layer(layer)
    assert boxes.detections((0,)).boxes.tolist() == [[3, 2, 13, 7]]
    assert boxes.detections((1,)).boxes.tolist() == [[30, 20, 40, 30]]
    assert boxes.detections((0,)).origins.tolist() == ["nuclei"]
    assert boxes.detections((0,)).states.tolist() == ["proposed"]
    assert image_of(layer, viewer.layers) is image
    np.testing.assert_allclose(layer.scale, image.scale)


def test_labels_without_an_image_give_boxes_too_and_other_layers_a_sentence(make_napari_viewer):
    viewer = make_napari_viewer()
    viewer.add_labels(LABELS[0])
    labels_to_boxes(viewer)
    assert len(viewer.layers[-1].data) == 1
    viewer.layers.selection = {viewer.layers[-1]}
    with pytest.raises(UserError, match="select one"):
        labels_to_boxes(viewer)
