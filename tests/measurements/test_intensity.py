"""The same as measuring box by box, in whatever tiles and batches."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_localize.core.planes import ArrayPlane
from napari_localize.measurements import intensity, pixels
from napari_localize.measurements.intensity import measure_intensities

KINDS = (np.uint8, np.uint16, np.int32, np.float32, np.float64, bool)


def naive(image, boxes):
    """What the docstring of `measure` says, one box after the other; of boxes within the image."""
    height, width, channels = image.shape
    ys, xs = np.mgrid[:height, :width] + 0.5
    masks = [(x0 <= xs) & (xs < x1) & (y0 <= ys) & (ys < y1) for x0, y0, x1, y1 in boxes]
    taken = np.logical_or.reduce(masks, axis=0) if masks else np.zeros((height, width), bool)
    rows = []
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        ring = np.zeros_like(mask)
        if x1 > x0 and y1 > y0:
            w = min(max(math.ceil(math.sqrt((x1 - x0) * (y1 - y0)) / 4), 3), 25)
            # A box that holds no centre of a pixel has a ring all the same, around where it lies between them.
            a, b, c, d = (math.ceil(value - 0.5) for value in (x0, y0, x1, y1))
            ring[max(b - w, 0) : max(d + w, 0), max(a - w, 0) : max(c + w, 0)] = True
        ring &= ~taken
        for channel in range(channels):
            values = image[..., channel].astype(np.float64)
            box, around = values[mask], values[ring]
            box, around = box[np.isfinite(box)], around[np.isfinite(around)]
            total = box.sum() if len(box) else np.nan
            background = np.median(around) if len(around) else np.nan
            corrected = total - background * len(box)
            mean = total / len(box) if len(box) else np.nan
            rows.append([mask.sum(), total, mean, background, ring.sum(), corrected])
    return np.array(rows).reshape(len(boxes), channels, 6)


@st.composite
def scenes(draw):
    height, width, channels = draw(st.tuples(st.integers(1, 40), st.integers(1, 60), st.integers(1, 3)))
    kind = draw(st.sampled_from(KINDS))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    image = rng.uniform(0, 2 if kind is bool else 250, (height, width, channels)).astype(kind)
    if image.dtype.kind == "f":
        image[rng.random(image.shape) < draw(st.sampled_from([0, 0.1, 0.9]))] = draw(
            st.sampled_from([np.nan, np.inf, -np.inf])
        )
    count = draw(st.integers(0, 12))
    step = draw(st.sampled_from([0.5, 0.1]))
    ends = np.round(rng.uniform(-5, 5, (count, 2, 2)) * draw(st.sampled_from([1, 4])) / step) * step
    places = rng.uniform(0, 1, (count, 1, 2)) * [width, height]
    corners = np.sort(np.round(places / step) * step + ends, axis=1).reshape(count, 4)
    boxes = np.clip(corners.astype(np.float32).astype(np.float64), 0, [width, height, width, height])
    return image, boxes


@settings(max_examples=300, deadline=None)
@given(scenes(), st.tuples(st.integers(1, 50), st.integers(1, 70)), st.integers(1, 200))
def test_the_same_as_box_by_box(scene, tile, batch):
    image, boxes = scene
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixels, "TILE", tile)
        patch.setattr(intensity, "_BATCH", batch)
        found = measure_intensities(ArrayPlane(image), boxes)
    expected = naive(image, boxes)
    channels = image.shape[2]
    measured = np.stack(
        [
            np.repeat(found.pixels[:, None], channels, axis=1),
            found.integrated,
            found.mean,
            found.background,
            np.repeat(found.background_pixels[:, None], channels, axis=1),
            found.corrected,
        ],
        axis=-1,
    )
    np.testing.assert_allclose(measured, expected, rtol=1e-9, atol=1e-6)


class Recorder:
    """A plane that makes its pixels when they are asked for, and remembers what was."""

    def __init__(self, height, width):
        self.shape = (height, width, 1)
        self.asked = []

    def read(self, y0, y1, x0, x1):
        assert 0 <= y0 < y1 <= self.shape[0]
        assert 0 <= x0 < x1 <= self.shape[1]
        self.asked.append((y0, y1, x0, x1))
        return np.add.outer(np.arange(y0, y1) % 251, np.arange(x0, x1) % 241).astype(np.uint16)[..., None]


def test_a_large_plane_is_read_once_in_bounded_rectangles():
    plane = Recorder(50_000, 50_000)
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 3000, (2000, 2)) + np.where(np.arange(2000) % 2, 100, 40_000)[:, None]
    boxes = np.hstack([corners, corners + rng.uniform(3, 60, (2000, 2))])
    measure_intensities(plane, boxes)
    areas = [(y1 - y0) * (x1 - x0) for y0, y1, x0, x1 in plane.asked]
    assert all(y1 - y0 <= 512 and x1 - x0 <= 4096 for y0, y1, x0, x1 in plane.asked)
    # Two corners of 3000 x 3000 pixels, with the boxes that stick out of them.
    assert sum(areas) < 2 * 3100**2
    starts = np.zeros((100, 13), int)
    np.add.at(starts, tuple(np.array([(y0 // 512, x0 // 4096) for y0, _, x0, _ in plane.asked]).T), 1)
    assert starts.max() == 1


def test_few_boxes_need_few_pixels_and_none_need_none():
    plane = Recorder(50_000, 50_000)
    measure_intensities(plane, np.array([[1000.0, 2000, 1020, 2020]]))
    assert sum((y1 - y0) * (x1 - x0) for y0, y1, x0, x1 in plane.asked) == 30 * 30
    plane.asked.clear()
    assert len(measure_intensities(plane, np.zeros((0, 4))).pixels) == 0
    assert plane.asked == []


def test_a_box_over_many_tiles_is_measured_whole():
    plane = Recorder(2_000, 9_000)
    box = np.array([[10.0, 20, 8_900, 1_990]])
    found = measure_intensities(plane, box)
    image = plane.read(0, 2_000, 0, 9_000)
    np.testing.assert_array_equal(found.integrated, [[image[20:1990, 10:8900].sum()]])
    ring = np.ones((2_000, 9_000), bool)
    ring[20:1990, 10:8900] = False
    ring[:, 8_925:] = False
    assert found.background_pixels.tolist() == [ring.sum()]
    np.testing.assert_array_equal(found.background, [[np.median(image[ring])]])


def test_one_huge_pixel_spoils_no_other_box():
    """Some programs write the lowest number there is where nothing was measured."""
    image = np.random.default_rng(0).random((50, 50, 1)).astype(np.float32)
    boxes = np.array([[5.0, 20, 15, 30], [30, 20, 40, 30]])
    expected = measure_intensities(ArrayPlane(image), boxes)
    image[0, 0] = np.finfo(np.float32).min
    found = measure_intensities(ArrayPlane(image), boxes)
    np.testing.assert_array_equal(found.integrated, expected.integrated)
    np.testing.assert_array_equal(found.background, expected.background)
