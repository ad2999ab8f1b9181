"""The same pixels are never given twice, and what was said of them is put together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_localize.core.detections import Detections
from napari_localize.core.errors import Cancelled
from napari_localize.core.known import EVERYWHERE, KnownArea
from napari_localize.core.planes import ArrayPlane
from napari_localize.training import duplicates
from napari_localize.training.duplicates import merge_duplicates


def image(seed, side=40, dtype=np.uint8):
    return ArrayPlane(np.random.default_rng(seed).integers(0, 255, (side, side)).astype(dtype))


def boxes(*places, names=("a",), **columns):
    return Detections([[x, 1, x + 5, 6] for x in places], class_names=names, **columns)


LEFT, RIGHT = KnownArea([[0, 0, 20, 40]]), KnownArea([[20, 0, 40, 40]])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 4), max_size=8))
def test_of_each_image_one_is_kept(seeds):
    merged = merge_duplicates(
        [image(seed) for seed in seeds],
        [boxes(1)] * len(seeds),
        [EVERYWHERE] * len(seeds),
        [f"p{index}" for index in range(len(seeds))],
    )
    assert merged.kept == [seeds.index(seed) for seed in dict.fromkeys(seeds)]
    assert len(merged.notes) == (len(set(seeds)) < len(seeds))


def test_the_same_boxes_are_learnt_once_whatever_their_order_and_classes_are():
    one = Detections([[1, 1, 6, 6], [9, 1, 14, 6]], [0, 1], class_names=("a", "b"))
    other = Detections([[9, 1, 14, 6], [1, 1, 6, 6]], [1, 2], class_names=("c", "b", "a"))
    merged = merge_duplicates([image(0), image(0, dtype=np.uint16)], [one, other], [EVERYWHERE] * 2, ["x", "y"])
    assert merged.kept == [0]
    assert merged.annotations == [one]
    assert merged.notes == [
        "Images that are there more than once with the same boxes are learnt once: y is the same as x."
    ]


def test_of_different_boxes_the_later_count():
    merged = merge_duplicates([image(0), image(1), image(0)], [boxes(1), boxes(2), boxes(3)], [EVERYWHERE] * 3, "xyz")
    assert merged.kept == [0, 1]
    assert [part.boxes[0, 0] for part in merged.annotations] == [3, 2]
    assert merged.notes == ["x and z are the same image with other boxes; those of z count, the later of them."]


@pytest.mark.parametrize("turned", [False, True])
def test_of_different_boxes_those_count_of_which_more_is_reviewed(turned):
    given_boxes, known = [boxes(1), boxes(3)], [EVERYWHERE, LEFT]
    merged = merge_duplicates(
        [image(0)] * 2, given_boxes[::-1] if turned else given_boxes, known[::-1] if turned else known, ["x", "y"]
    )
    assert merged.annotations[0].boxes[0, 0] == 1
    assert merged.known == [EVERYWHERE]
    assert ("those of y" if turned else "those of x") in merged.notes[0]
    assert "more of it is reviewed" in merged.notes[0]


def test_different_areas_of_one_image_count_both_with_what_was_rejected():
    one = boxes(1, 30, states=["added", "added"])
    other = boxes(2, 25, names=("b",), states=["added", "rejected"])
    merged = merge_duplicates([image(0)] * 2, [one, other], [LEFT, RIGHT], ["x", "y"])
    assert merged.known == [KnownArea((*LEFT.reviewed, *RIGHT.reviewed))]
    (found,) = merged.annotations
    assert found.class_names == ("a", "b")
    assert found.boxes[:, 0].tolist() == [1, 25]
    assert found.states.tolist() == ["added", "rejected"]
    assert "the reviewed areas of both" in merged.notes[0]


def test_an_ignored_area_of_one_is_not_learnt_from_for_the_other():
    ignoring = KnownArea(LEFT.reviewed, [[25, 0, 30, 10]])
    merged = merge_duplicates([image(0)] * 2, [boxes(1), boxes(2)], [ignoring, RIGHT], ["x", "y"])
    assert merged.known == [RIGHT]


def test_rejected_boxes_make_a_difference():
    wrong = boxes(1, states=["rejected"])
    merged = merge_duplicates([image(0)] * 2, [boxes(1), wrong], [EVERYWHERE] * 2, ["x", "y"])
    assert merged.annotations == [wrong]


def test_large_images_that_differ_in_one_pixel_are_two(monkeypatch):
    monkeypatch.setattr(duplicates, "SAMPLED", 1000)
    monkeypatch.setattr(duplicates, "BLOCK", 4)
    monkeypatch.setattr(duplicates, "_STRIP", 300)
    values = np.zeros((60, 50), np.uint8)
    other = values.copy()
    other[11, 13] = 1
    planes = [ArrayPlane(each) for each in (values, other, values.copy())]
    merged = merge_duplicates(planes, [boxes(1)] * 3, [EVERYWHERE] * 3, "xyz")
    assert merged.kept == [0, 1]


def test_many_duplicates_are_not_listed_one_by_one():
    merged = merge_duplicates(
        [image(index % 9) for index in range(18)],
        [boxes(index) for index in range(18)],
        [EVERYWHERE] * 18,
        [f"p{index}" for index in range(18)],
    )
    assert merged.kept == list(range(9))
    assert len(merged.notes) == 4
    assert merged.notes[-1] == "So it was with 6 more images."


def test_looking_can_be_stopped():
    with pytest.raises(Cancelled):
        merge_duplicates([image(0)] * 2, [boxes(1)] * 2, [EVERYWHERE] * 2, "xy", lambda: True)
