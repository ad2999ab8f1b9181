"""Boxes with their classes, scores and identities stay together and make sense."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError

NAMES = ("a", "b", "c")
numbers = st.floats(-50, 150, width=32)
few = settings(max_examples=60, deadline=None)


@st.composite
def detections(draw, names=NAMES):
    n = draw(st.integers(0, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    low = rng.uniform(-60, 120, (n, 2))
    scores = np.where(rng.random(n) < 0.3, np.nan, rng.random(n))
    return Detections(
        np.hstack([low, low + rng.uniform(0.1, 90, (n, 2))]),
        rng.integers(0, len(names), n),
        scores,
        rng.permutation(1000)[:n],
        class_names=names,
        origins=rng.choice(["human", "nuclei@1"], n),
    )


def rows(found: Detections) -> list[tuple]:
    columns = (found.boxes.tolist(), found.labels, np.nan_to_num(found.scores, nan=-1), found.ids, found.origins)
    return [(*box, *rest) for box, *rest in zip(*columns, found.states, strict=True)]


def test_defaults():
    found = Detections([[0, 0, 4, 2], [1, 1, 3, 9]], scores=[0.5, np.nan])
    assert found.boxes.dtype == np.float32
    assert found.labels.tolist() == [0, 0]
    assert found.ids.tolist() == [1, 2]
    assert found.states.tolist() == ["proposed", "added"]
    assert found.origins.tolist() == ["", ""]
    assert found.centers.tolist() == [[2, 1], [2, 5]]
    np.testing.assert_allclose(found.diameters, [np.sqrt(8), 4])


def test_no_boxes():
    found = Detections.empty(NAMES)
    assert len(found) == len(found.centers) == len(found.diameters) == 0
    assert found.counts() == {"a": 0, "b": 0, "c": 0}
    assert len(found[[]]) == len(found[found.scores > 0.5]) == len(found.clip(5, 5)) == 0
    assert Detections([]).boxes.shape == (0, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"boxes": [[0, 0, 1]]}, r"shape \(N, 4\)"),
        ({"boxes": [[0, 0, np.nan, 1]]}, "box 0 is not finite"),
        ({"boxes": [[0, 0, 1, 1], [0, 0, 1e300, 1]]}, "box 1 is not finite"),
        ({"boxes": [[3, 0, 3, 1]]}, "box 0 has no area"),
        ({"boxes": [[3, 0, 2, 1]]}, "box 0 has no area"),
        ({"boxes": [[0, 0, 1, 1]], "labels": [1]}, "labels run from 1 to 1"),
        ({"boxes": [[0, 0, 1, 1]], "labels": [-1]}, "labels run from -1"),
        ({"boxes": [[0, 0, 1, 1]], "labels": [0.5]}, "whole numbers"),
        ({"boxes": [[0, 0, 1, 1]], "labels": [np.nan]}, "whole numbers"),
        ({"boxes": [[0, 0, 1, 1]], "labels": [0, 0]}, r"labels must have the shape \(1,\)"),
        ({"boxes": [[0, 0, 1, 1]], "scores": [1.5]}, "scores run from 1.5"),
        ({"boxes": [[0, 0, 1, 1]], "scores": [np.inf]}, "scores run from inf"),
        ({"boxes": [[0, 0, 1, 1]] * 2, "ids": [7, 7]}, "same id"),
        ({"boxes": [[0, 0, 1, 1]], "states": ["lost"]}, "unknown state 'lost'"),
        ({"boxes": [[0, 0, 1, 1]], "class_names": "nucleus"}, "give a list"),
        ({"boxes": [[0, 0, 1, 1]], "class_names": ("a", "a")}, "named twice"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        Detections(**arguments)


def test_later_changes_to_the_callers_arrays_do_not_matter():
    boxes = np.array([[0, 0, 4, 4]], np.float32)
    labels = np.array([0])
    found = Detections(boxes, labels)
    boxes[:], labels[:] = -1, 7
    assert found.boxes.tolist() == [[0, 0, 4, 4]]
    assert found.labels.tolist() == [0]


@few
@given(detections(), st.data())
def test_choosing_rows_keeps_them_together(found, data):
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(found), max_size=len(found))), bool)
    expected = [row for row, wanted in zip(rows(found), mask, strict=True) if wanted]
    assert rows(found[mask]) == rows(found[np.flatnonzero(mask)]) == rows(found[mask.tolist()]) == expected
    assert rows(found[::-1]) == rows(found)[::-1]
    if len(found):
        assert rows(found[0]) == rows(found)[:1]


@few
@given(detections(), st.integers(1, 100), st.integers(1, 100))
def test_clipping(found, height, width):
    clipped = found.clip(height, width)
    assert (clipped.boxes >= 0).all()
    assert (clipped.boxes <= [width, height, width, height]).all()
    outside = ((found.boxes[:, :2] >= [width, height]) | (found.boxes[:, 2:] <= 0)).any(axis=1)
    assert set(found.ids[~outside]) == set(clipped.ids)
    assert rows(clipped.clip(height, width)) == rows(clipped)


@few
@given(st.lists(detections(), min_size=1, max_size=4))
def test_joining(parts):
    joined = Detections.concatenate(parts)
    assert len(joined) == sum(len(part) for part in parts)
    assert Counter(joined.counts()) == sum((Counter(part.counts()) for part in parts), Counter())
    assert joined.origins.tolist() == [origin for part in parts for origin in part.origins]
    assert joined.states.tolist() == [state for part in parts for state in part.states]


def test_joining_different_classes_is_refused():
    with pytest.raises(UserError, match="same class names"):
        Detections.concatenate([Detections.empty(("a",)), Detections.empty(("b",))])


@few
@given(detections(), st.permutations([*NAMES, "d"]))
def test_another_list_of_classes(found, names):
    other = found.with_classes(names)
    assert [other.class_names[label] for label in other.labels] == [found.class_names[label] for label in found.labels]
    assert rows(other.with_classes(NAMES)) == rows(found)


def test_a_class_with_boxes_cannot_be_left_out():
    found = Detections([[0, 0, 1, 1]], [1], class_names=NAMES)
    with pytest.raises(UserError, match="class 'b' is not one of a, c"):
        found.with_classes(("a", "c"))
    assert found.with_classes(("b",)).counts() == {"b": 1}
