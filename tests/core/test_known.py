from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.known import EVERYWHERE, KnownArea
from napari_localize.core.steps import Area


def spans():
    return st.tuples(st.integers(-5, 40), st.integers(-5, 40)).map(sorted)


def rectangles(smallest=0):
    boxes = st.tuples(spans(), spans()).map(lambda r: (r[0][0], r[1][0], r[0][1], r[1][1]))
    return st.lists(boxes, min_size=smallest, max_size=5)


areas = st.builds(KnownArea, st.none() | rectangles(), rectangles())


def holds(area, x, y):
    """Say the same in words."""

    def lies_in(some):
        return any(x0 <= x < x1 and y0 <= y < y1 for x0, y0, x1, y1 in some)

    return (area.reviewed is None or lies_in(area.reviewed)) and not lies_in(area.ignored)


@given(areas, rectangles())
def test_a_box_counts_where_its_centre_lies(area, boxes):
    expected = [holds(area, (x0 + x1) / 2, (y0 + y1) / 2) for x0, y0, x1, y1 in boxes]
    assert area.holds(np.array(boxes, np.float32).reshape(-1, 4)).tolist() == expected


@given(areas, rectangles(), st.integers(-9, 9), st.integers(-9, 9), st.sampled_from([1, 2, 4]))
def test_a_part_of_the_plane_knows_the_same(area, boxes, x, y, reduced):
    corners = np.array(boxes, float).reshape(-1, 4)
    there = area.moved(x, y, reduced).holds((corners - [x, y, x, y]) / reduced)
    assert there.tolist() == area.holds(corners).tolist()


def test_equal_areas_are_equal_however_they_are_given():
    assert KnownArea(np.array([[0, 1, 2, 3]])) == KnownArea(((0.0, 1.0, 2.0, 3.0),)) == KnownArea([[0, 1, 2, 3]], [])
    assert EVERYWHERE.whole
    assert not KnownArea(()).whole
    assert not KnownArea(None, [[0, 0, 1, 1]]).whole


@pytest.mark.parametrize("wrong", [[[0, 0, 1]], [[3, 0, 1, 1]], [[0, 0, np.nan, 1]]])
def test_what_is_no_rectangle_is_said(wrong):
    for given_as in ({"reviewed": wrong}, {"ignored": wrong}):
        with pytest.raises(UserError, match="rectangle"):
            KnownArea(**given_as)


FINISHED, IGNORED = Area((), (0, 0, 9, 9), "reviewed"), Area((), (4, 4, 6, 6), "ignored")


@pytest.mark.parametrize(
    ("of_plane", "finished", "expected"),
    [
        ([], True, EVERYWHERE),
        ([], False, None),
        ([IGNORED], False, None),
        ([IGNORED, FINISHED], False, KnownArea([FINISHED.xyxy], [IGNORED.xyxy])),
        ([IGNORED, FINISHED], True, KnownArea(None, [IGNORED.xyxy])),
    ],
)
def test_what_is_known_of_a_plane(of_plane, finished, expected):
    assert KnownArea.of(of_plane, finished) == expected


def test_annotations_know_what_is_reviewed_as_soon_as_anything_is():
    planes = dict.fromkeys("abc", Detections.empty())
    assert Annotations(planes).known("a") is not None
    assert Annotations(planes, areas={"a": [IGNORED]}).known("a") == KnownArea(None, [IGNORED.xyxy])
    assert Annotations(planes, areas={"a": [IGNORED]}).known("b") == EVERYWHERE
    some = Annotations(planes, reviewed="b", areas={"a": iter([FINISHED, IGNORED]), "b": [IGNORED]})
    assert some.known("a") == KnownArea([FINISHED.xyxy], [IGNORED.xyxy])
    assert some.known("b") == KnownArea(None, [IGNORED.xyxy])
    assert some.known("c") is None
