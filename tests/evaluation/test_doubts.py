from __future__ import annotations

import numpy as np

from napari_localize.core.detections import Detections
from napari_localize.evaluation.doubts import doubt, misses


def at(*corners, labels=None, states=None, scores=None):
    boxes = np.array([[x, y, x + 10, y + 10] for x, y in corners], np.float32).reshape(-1, 4)
    return Detections(
        boxes,
        labels if labels is not None else [0] * len(boxes),
        scores,
        class_names=("a", "b"),
        states=states if states is not None else ["accepted"] * len(boxes),
    )


def test_approved_boxes_are_doubted_where_the_model_is_unsure_and_rejected_ones_where_it_is_sure():
    reviewed = at((0, 0), (20, 0), (40, 0), (60, 0), states=["accepted", "added", "rejected", "edited"])
    found = at((1, 0), (0, 1), (40, 1), (60, 0), labels=[0, 0, 0, 1])
    np.testing.assert_allclose(doubt(reviewed, found, np.array([0.9, 0.3, 0.7, 0.95])), [0.1, 1.0, 0.7, 1.0])
    np.testing.assert_allclose(doubt(reviewed, found[:0], np.zeros(0)), [1, 1, 0, 1])


def test_what_the_model_is_sure_of_and_nobody_spoke_of():
    reviewed = at((0, 0), (40, 0), states=["accepted", "rejected"])
    found = at((2, 0), (20, 0), (41, 0), (60, 0))
    assert misses(reviewed, found, np.array([0.9, 0.95, 0.99, 0.6])).tolist() == [1]
    assert misses(reviewed[:0], found, np.array([0.9, 0.95, 0.99, 0.6])).tolist() == [0, 1, 2]
    assert misses(reviewed, found[:0], np.zeros(0)).tolist() == []


def test_where_no_class_is_common_only_places_are_compared():
    reviewed = at((0, 0), (20, 0), labels=[1, 1])
    model = at((0, 0), (40, 0))
    renamed = Detections(model.boxes, [0, 0], class_names=("cell",))
    np.testing.assert_allclose(doubt(reviewed, renamed, np.array([0.9, 0.8])), [0.1, 1.0])
    # A class that the model knows is one that it denies here.
    np.testing.assert_allclose(doubt(reviewed, model, np.array([0.9, 0.8])), [1.0, 1.0])
