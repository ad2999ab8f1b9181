from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_localize.core.areas import inside, union_area
from napari_localize.core.errors import UserError

HEIGHT, WIDTH = 12, 15


def spans(length):
    return st.tuples(st.integers(-4, length + 4), st.integers(-4, length + 4)).map(sorted)


rectangles = st.lists(st.tuples(spans(WIDTH), spans(HEIGHT)).map(lambda r: (r[0][0], r[1][0], r[0][1], r[1][1])))


def paint(rectangles):
    """The pixels, where rectangles have whole numbers."""
    seen = np.zeros((HEIGHT, WIDTH), bool)
    for x0, y0, x1, y1 in rectangles:
        seen[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = True
    return seen


@given(rectangles, rectangles)
def test_the_same_as_counting_pixels(added, removed):
    pixels = paint(added) & ~paint(removed)
    assert union_area(added, HEIGHT, WIDTH, removed) == pixels.sum()
    y, x = np.mgrid[:HEIGHT, :WIDTH].reshape(2, -1) + 0.5
    assert inside(np.stack([x, y], axis=1), added, removed).tolist() == pixels.ravel().tolist()


@given(rectangles, rectangles, st.floats(0.01, 100))
def test_fractions_count_as_such(added, removed, scale):
    larger = union_area(np.array(added) * scale, 10**6, 10**6, np.array(removed) * scale)
    assert larger == pytest.approx(union_area(added, 10**6, 10**6, removed) * scale**2)


def test_a_point_between_two_rectangles_lies_in_one_of_them():
    left, right = [[0, 0, 5, 5]], [[5, 0, 9, 5]]
    assert inside([[5, 2]], left).tolist() == [False]
    assert inside([[5, 2]], right).tolist() == [True]


def test_nothing_has_no_area():
    assert union_area([], 10, 10) == 0
    assert union_area([[2, 2, 2, 8]], 10, 10) == 0
    assert inside([[1, 1]], []).tolist() == [False]
    assert inside([[np.nan, 1]], [[0, 0, 9, 9]]).tolist() == [False]


@pytest.mark.parametrize("wrong", [[1, 2, 3, 4], [[0, 0, np.nan, 5]], [[5, 0, 4, 5]], [[0, 0, 4]]])
def test_what_is_no_rectangle_is_refused(wrong):
    with pytest.raises(UserError, match="rectangle"):
        union_area(wrong, 10, 10)
    with pytest.raises(UserError, match="rectangle"):
        inside([[1, 1]], [[0, 0, 1, 1]], wrong)
