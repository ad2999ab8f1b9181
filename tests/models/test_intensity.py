"""Any numbers in any number of channels become three channels between 0 and 1."""

from __future__ import annotations

import numpy as np
import pytest

from napari_localize.core.errors import UserError
from napari_localize.core.planes import ArrayPlane
from napari_localize.models import intensity
from napari_localize.models.intensity import find_intensity_map


def seen(image, channel=None):
    plane = ArrayPlane(np.asarray(image))
    values = find_intensity_map(plane, channel)(plane.read(0, plane.shape[0], 0, plane.shape[1]))
    assert values.shape == (*plane.shape[:2], 3)
    assert values.dtype == np.float32
    assert values.min() >= 0
    assert values.max() <= 1
    return values


@pytest.fixture
def ramp():
    return np.random.default_rng(0).permutation(np.arange(6400.0)).reshape(80, 80)


@pytest.mark.parametrize(
    ("dtype", "factor", "offset"),
    [
        (np.uint8, 255 / 6400, 0),
        (np.uint16, 10, 7),
        (np.int16, 4, -9000),
        (np.int32, 1, 2**30),
        (np.uint32, 1, 2**32 - 10_000),
        (np.int64, 1, -(2**50)),
        (np.float16, 1 / 6400, 0),
        (np.float32, 1e-9, 0),
        (np.float64, 1, 1e11),
        (np.float64, 1e300, 0),
    ],
)
def test_kind_and_range_of_the_numbers_do_not_matter(ramp, dtype, factor, offset):
    plain = seen(ramp)
    np.testing.assert_allclose(seen((ramp * factor + offset).astype(dtype)), plain, atol=0.005)
    assert plain.std() > 0.2


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_any_number_of_channels(ramp, channels):
    image = np.stack([ramp * (c + 1) for c in range(channels)], axis=-1)
    values = seen(image)
    assert (values.std(axis=(0, 1)) > 0.05).all()
    if channels == 1:
        assert (values == values[..., :1]).all()


def test_colours_keep_their_balance():
    image = np.zeros((40, 40, 3), np.uint8)
    image[:20] = [200, 100, 50]
    np.testing.assert_allclose(seen(image)[0, 0], [1, 0.5, 0.25], atol=0.01)


def test_other_channels_are_scaled_each_by_itself():
    image = np.zeros((40, 40, 2))
    image[:20, :, 0], image[:, :20, 1] = 1e6, 1
    values = seen(image)
    assert values[..., 0].sum() == values[..., 1].sum()
    np.testing.assert_allclose(values[..., 2], values[..., :2].mean(axis=-1))


def test_one_channel_alone(ramp):
    image = np.stack([ramp, -ramp, np.zeros_like(ramp)], axis=-1)
    np.testing.assert_allclose(seen(image, channel=1), seen(-ramp))
    with pytest.raises(UserError, match="channel 3 was asked for, but the image has 3"):
        seen(image, channel=3)


@pytest.mark.parametrize("value", [0, 1, -7.5, 65535, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (4, 4, 2), (4, 4, 3)])
def test_nothing_is_to_be_seen_where_all_is_equal(shape, value):
    values = seen(np.full(shape, value))
    assert (values == values.ravel()[0]).all()


def test_black_and_white():
    image = np.zeros((30, 30), bool)
    image[:3] = True
    assert (seen(image)[..., 0] == image).all()


def test_a_few_bright_spots_on_a_flat_background():
    image = np.zeros((100, 100), np.uint16)
    image[5, 5] = 900
    assert seen(image)[5, 5, 0] == 1


def test_missing_and_infinite_pixels(ramp):
    image = ramp.copy()
    image[0, :3] = np.nan, np.inf, -np.inf
    values = seen(image)
    assert values[0, :3, 0].tolist() == [0, 1, 0]
    np.testing.assert_allclose(values[1:], seen(ramp)[1:], atol=0.01)


def test_one_hot_pixel_does_not_dim_the_others(ramp):
    image = ramp.copy()
    image[3, 3] = 1e9
    np.testing.assert_allclose(seen(image)[10:], seen(ramp)[10:], atol=0.01)


def test_only_parts_of_a_huge_plane_are_read():
    class Huge:
        shape = 100_000, 80_000, 1
        pixels = 0

        def read(self, y0, y1, x0, x1):
            assert 0 <= y0 < y1 <= 100_000
            assert 0 <= x0 < x1 <= 80_000
            self.pixels += (y1 - y0) * (x1 - x0)
            return np.arange(y0, y1)[:, None, None] + np.zeros((1, x1 - x0, 1))

    plane = Huge()
    found = find_intensity_map(plane)
    assert plane.pixels <= 2 * intensity.SAMPLE_PIXELS
    assert found.low[0] < 5_000
    assert found.high[0] > 95_000


@pytest.mark.parametrize("shape", [(100_000, 10), (7, 1_000_000), (2100, 2100), (1, 5_000_000)])
def test_long_planes(shape):
    image = np.broadcast_to(np.arange(shape[1], dtype=np.float32), shape)
    found = find_intensity_map(ArrayPlane(image))
    assert found.low[0] < shape[1] * 0.05
    assert found.high[0] >= shape[1] * 0.9


@pytest.mark.parametrize("shape", [(9000, 1000), (1000, 9000), (300, 20_000)])
def test_of_a_long_plane_with_a_black_margin_the_middle_counts(shape):
    image = np.zeros(shape, np.float32)
    height, width = shape
    image[height // 4 : -(height // 8), width // 4 : -(width // 8)] = 1000.0
    assert find_intensity_map(ArrayPlane(image)).high[0] == 1000
