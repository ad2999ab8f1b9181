from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_localize.core.errors import UserError
from napari_localize.core.stacks import check_axes, stack_planes

SIZES = {"T": 2, "Z": 3, "C": 4, "Y": 5, "X": 6}


@given(
    st.permutations("TZCYX").flatmap(
        lambda axes: st.sampled_from(["TZCYX", "TYX", "CYX", "YX"]).map(
            lambda kept: "".join(axis for axis in axes if axis in kept)
        )
    )
)
def test_planes_are_the_same_in_whatever_order_the_axes_come(axes: str) -> None:
    first = [axis for axis in "TZYXC" if axis in axes]
    reference = np.arange(np.prod([SIZES[axis] for axis in first])).reshape([SIZES[axis] for axis in first])
    data = reference.transpose([first.index(axis) for axis in axes])
    outer = [axis for axis in axes if axis in "TZ"]
    planes = list(stack_planes(data, axes))
    assert len(planes) == np.prod([SIZES[axis] for axis in outer], dtype=int)
    for position, plane in planes:
        assert list(position) == [axis.lower() for axis in outer]
        expected = reference[tuple(position[axis.lower()] for axis in first if axis in "TZ")]
        expected = expected.reshape(5, 6, -1)
        assert plane.shape == expected.shape
        np.testing.assert_array_equal(plane.read(1, 4, 2, 5), expected[1:4, 2:5])


def test_only_the_rectangle_that_is_asked_for_is_read() -> None:
    asked = []

    class Lazy:
        shape, dtype = (2, 50, 60), np.dtype(np.uint8)

        def __getitem__(self, index: object) -> np.ndarray:
            asked.append(index)
            return np.zeros((3, 4), np.uint8)

    (_, _), (position, plane) = stack_planes(Lazy(), "tyx")
    assert asked == []
    plane.read(10, 13, 20, 24)
    assert position == {"t": 1}
    assert asked == [(1, slice(10, 13), slice(20, 24))]


@pytest.mark.parametrize(
    ("axes", "shape"),
    [("TYX", (5, 5)), ("TZ", (5, 5)), ("YY", (5, 5)), ("Y1X", (5, 5, 5)), ("", (5, 5)), ("CSYX", (3, 3, 5, 5))],
)
def test_axes_that_do_not_fit_are_refused(axes: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="axes"):
        check_axes(axes, shape)
