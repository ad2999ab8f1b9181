"""Which boxes are examples, and how the engine is told planes apart."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image

from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.layers import new_box_layer
from napari_localize.plugin.pairs import pair
from napari_localize.plugin.teaching import lesson, propose

CORNERS = np.array([[5, 5, 13, 13], [20, 30, 28, 38], [40, 10, 48, 18]])


@pytest.fixture
def movie():
    image = Image(np.zeros((3, 64, 64), np.uint8), name="movie")
    layer = new_box_layer(image, ("cell",))
    pair(layer, image)
    return image, box_layer(layer)


def judge(boxes, plane, accepted=1, rejected=0):
    """Have a model propose three boxes on a plane, and judge the first of them."""
    boxes.set_proposals({plane: Detections(CORNERS, scores=[0.9, 0.8, 0.7], class_names=("cell",))}, "m@1")
    ids = [key for key, box in boxes.shown(plane).items() if box.state == "proposed"]
    boxes.accept(ids[:accepted])
    boxes.reject(ids[accepted : accepted + rejected])


def taught(image, boxes, plane=(0,)):
    return lesson(boxes, [image, boxes.layer], plane, (32.0, 32.0))


def test_judged_boxes_teach_and_guesses_do_not(movie):
    image, boxes = movie
    judge(boxes, (0,), accepted=1, rejected=1)
    found = taught(image, boxes)
    assert [len(part) for part in found.examples] == [1]
    assert [len(part) for part in found.rejected] == [1]
    assert found.planes[0].shape == (64, 64, 1)


def test_other_planes_help_where_there_are_few_examples(movie):
    image, boxes = movie
    judge(boxes, (1,), accepted=2)
    judge(boxes, (2,), accepted=3)
    found = taught(image, boxes)
    assert [len(part) for part in found.examples] == [0, 3, 2]
    assert found.plane == (0,)


def test_without_an_example_or_the_image_it_says_what_to_do(movie):
    image, boxes = movie
    with pytest.raises(UserError, match="draw a box"):
        taught(image, boxes)
    with pytest.raises(UserError, match="not open"):
        lesson(boxes, [boxes.layer], (0,), (0.0, 0.0))
    with pytest.raises(UserError, match="no such plane"):
        taught(image, boxes, (7,))


def test_an_image_keeps_its_key_until_it_has_other_data(movie):
    image, boxes = movie
    judge(boxes, (0,))
    judge(boxes, (1,))
    first = taught(image, boxes).keys
    assert len(set(first)) == 2
    assert taught(image, boxes).keys == first
    image.data = np.ones((3, 64, 64), np.uint8)
    assert not set(taught(image, boxes).keys) & set(first)


def test_other_examples_have_another_fingerprint(movie):
    image, boxes = movie
    judge(boxes, (0,))
    before = taught(image, boxes).fingerprint
    assert taught(image, boxes).fingerprint == before
    boxes.reject([key for key, box in boxes.shown((0,)).items() if box.state == "proposed"][:1])
    assert taught(image, boxes).fingerprint != before


def test_proposals_leave_alone_what_a_person_has_judged(movie):
    image, boxes = movie
    judge(boxes, (0,), accepted=1, rejected=1)
    found = Detections(CORNERS, scores=[0.9, 0.8, 0.7], class_names=("cell",))
    assert propose(boxes, taught(image, boxes), found) == 1
    assert boxes.by_state((0,))["accepted"] == 1
    assert boxes.by_state((0,))["rejected"] == 1


def test_where_only_a_part_was_looked_at_guesses_elsewhere_stay(movie):
    image, boxes = movie
    judge(boxes, (0,), accepted=1, rejected=0)
    there = boxes.number_of_guesses((0,))
    assert there == 2
    first = Detections(CORNERS[:1], scores=[0.9], class_names=("cell",))
    assert propose(boxes, taught(image, boxes), first, region=(0, 1, 0, 1)) == 1
    assert boxes.number_of_guesses((0,)) == there
