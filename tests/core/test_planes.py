"""Anything that slices like an image can be read piece by piece."""

from __future__ import annotations

import numpy as np
import pytest

from napari_localize.core.errors import UserError
from napari_localize.core.planes import ArrayPlane


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3), (1, 1)])
def test_rectangles(shape):
    data = np.arange(np.prod(shape)).reshape(shape)
    plane = ArrayPlane(data)
    height, width, channels = plane.shape
    assert (height, width) == shape[:2]
    np.testing.assert_array_equal(plane.read(0, height, 0, width), data.reshape(plane.shape))
    np.testing.assert_array_equal(plane.read(0, 1, 0, 1), data[:1, :1].reshape(1, 1, channels))


def test_only_what_is_asked_for_is_read():
    class Lazy:
        shape, dtype, asked = (4000, 3000), np.dtype(np.uint8), []

        def __getitem__(self, index):
            self.asked.append(index)
            return np.zeros([part.stop - part.start for part in index], np.uint8)

    assert ArrayPlane(Lazy()).read(10, 20, 5, 25).shape == (10, 20, 1)
    assert Lazy.asked == [(slice(10, 20), slice(5, 25))]


def test_what_can_be_made_an_array_is_made_one():
    assert ArrayPlane([[1, 2], [3, 4]]).read(1, 2, 0, 2).ravel().tolist() == [3, 4]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros(4), r"has \(4,\)"),
        (np.zeros((2, 3, 4, 3)), "name the axes"),
        (np.zeros((0, 5)), "empty"),
        (np.zeros((4, 4, 0)), "empty"),
        (np.zeros((4, 4), complex), "complex128"),
        (np.array([["a", "b"]]), "<U1"),
        (np.array([[None]]), "object"),
        (7, r"has \(\)"),
    ],
)
def test_what_is_no_image_is_refused(data, message):
    with pytest.raises(UserError, match=message):
        ArrayPlane(data)
