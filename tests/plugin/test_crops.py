from __future__ import annotations

import threading
import time

import dask.array as da
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.layers import Image, Shapes

from napari_localize.core.planes import ArrayPlane
from napari_localize.formats.images import open_image
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.crops import (
    ByteCache,
    Channel,
    Crops,
    Spot,
    TiledPlane,
    channels_shown,
    crop,
    images_shown,
    squares,
    typical_side,
)
from napari_localize.plugin.layers import new_box_layer
from napari_localize.plugin.lazy import pixels_of
from napari_localize.plugin.pairs import pair

GREY = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)


def boxes_on(image):
    layer = new_box_layer(image, ("a",))
    pair(layer, image)
    return box_layer(layer)


def grey(pixels, **look):
    return Channel({(): ArrayPlane(pixels)}, table=GREY, **look)


class Counting:
    """A plane that remembers how much was read at once."""

    def __init__(self, height, width):
        self.shape = (height, width, 1)
        self.largest, self.reads = 0, 0

    def read(self, y0, y1, x0, x1):
        self.largest, self.reads = max(self.largest, (y1 - y0) * (x1 - x0)), self.reads + 1
        assert 0 <= y0 < y1 <= self.shape[0]
        assert 0 <= x0 < x1 <= self.shape[1]
        return np.full((y1 - y0, x1 - x0, 1), 100, np.uint8)


def test_small_boxes_look_small_and_large_ones_fit():
    boxes = np.array([[10, 10, 14, 12], [0, 0, 20, 20], [0, 0, 100, 10]], float)
    typical = typical_side(boxes)
    assert typical == 20
    found = squares(boxes, typical)
    np.testing.assert_allclose(found[:, 2], [32, 32, 160])
    np.testing.assert_allclose(found[:, :2] + found[:, 2:] / 2, [[12, 11], [10, 10], [50, 5]])
    assert typical_side(np.zeros((0, 4))) == 0


def test_pixels_are_as_they_are_at_their_own_scale():
    pixels = np.random.default_rng(0).integers(0, 255, (30, 40)).astype(np.uint8)
    picture = crop([grey(pixels)], (), (5.0, 7.0, 16.0), 16)
    np.testing.assert_array_equal(picture[..., 0], pixels[7:23, 5:21])
    assert (picture[..., 3] == 255).all()


def test_beside_the_plane_there_is_nothing():
    picture = crop([grey(np.full((10, 10), 255, np.uint8))], (), (-5.0, 4.0, 10.0), 20)
    assert (picture[:, :10, 3] == 0).all()
    assert (picture[:12, 10:, 3] == 255).all()
    assert (picture[12:, :, 3] == 0).all()
    assert (picture[:12, 10:, :3] == 255).all()
    assert not crop([grey(np.ones((10, 10)))], (), (100.0, 100.0, 10.0), 8).any()
    assert not crop([grey(np.ones((10, 10)))], (3,), (0.0, 0.0, 10.0), 8).any()


@settings(max_examples=60, deadline=None)
@given(st.floats(-40, 60), st.floats(-40, 60), st.floats(8, 300), st.integers(1, 40))
def test_any_square_can_be_drawn(x, y, length, side):
    picture = crop([grey(np.full((23, 37), 80, np.uint8))], (), (x, y, length), side)
    assert picture.shape == (side, side, 4)
    assert set(np.unique(picture[picture[..., 3] > 0][:, :3])) <= {79, 80}


def test_a_shrunk_crop_shows_the_mean():
    board = np.indices((200, 200)).sum(0) % 2 * 200
    picture = crop([grey(board.astype(np.uint8))], (), (0.0, 0.0, 200.0), 20)
    assert np.ptp(picture[1:-1, 1:-1, 0].astype(int)) <= 2
    assert abs(int(picture[10, 10, 0]) - 100) <= 2


def test_a_huge_box_is_read_strip_by_strip():
    source = Counting(12_000, 12_000)
    picture = crop([Channel({(): source}, table=GREY)], (), (0.0, 0.0, 12_000.0), 64)
    assert source.largest <= 1 << 22
    assert (picture[..., 0] == 100).all()


def test_limits_gamma_and_colours_are_those_of_the_layer():
    image = Image(np.tile(np.array([[0, 50, 100, 200]], np.float32), (4, 1)), contrast_limits=(50, 100), colormap="red")
    boxes = boxes_on(image)
    (channel,) = channels_shown(boxes, [image, boxes.layer])
    picture = crop([channel], (), (0.0, 0.0, 4.0), 4)
    assert picture[0, :, 0].tolist() == [0, 0, 255, 255]
    assert not picture[..., 1:3].any()
    image.contrast_limits, image.gamma = (0, 200), 2.0
    (channel,) = channels_shown(boxes, [image, boxes.layer])
    assert crop([channel], (), (0.0, 0.0, 4.0), 4)[0, 2, 0] == 64


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_rgb_is_shown_as_it_is(kind):
    top = 1.0 if kind is np.float32 else np.iinfo(kind).max
    pixels = np.zeros((12, 12, 3), kind)
    pixels[..., 1] = top
    image = Image(pixels, rgb=True)
    boxes = boxes_on(image)
    picture = crop(channels_shown(boxes, [image, boxes.layer]), (), (0.0, 0.0, 12.0), 12)
    assert picture[3, 3].tolist() == [0, 255, 0, 255]


def test_visible_channels_are_blended_and_others_are_not():
    one = Image(np.full((10, 10), 1.0), contrast_limits=(0, 1), colormap="red", name="one")
    two = Image(np.full((10, 10), 1.0), contrast_limits=(0, 1), colormap="green", name="two", blending="additive")
    elsewhere = Image(np.full((10, 10), 1.0), contrast_limits=(0, 1), translate=(3, 3), name="elsewhere")
    boxes = boxes_on(one)
    layers = [one, two, elsewhere, boxes.layer]
    assert images_shown(boxes, layers) == [one, two]

    def colour():
        return crop(channels_shown(boxes, layers), (), (0.0, 0.0, 10.0), 10)[5, 5, :3].tolist()

    both = colour()
    assert both[0] == 255
    assert both[1] > 100
    two.visible = False
    assert colour() == [255, 0, 0]
    two.visible, two.blending = True, "opaque"
    assert colour()[0] == 0
    two.blending, two.opacity = "translucent", 0.5
    assert 100 < colour()[0] < 150
    two.blending = "minimum"
    assert colour() == [0, 0, 0]
    one.visible = two.visible = False
    assert images_shown(boxes, layers) == [one]


def test_a_channel_of_the_sliders_is_shown():
    pixels = np.zeros((2, 20, 20), np.uint8)
    pixels[1] = 255
    image = Image(pixels, contrast_limits=(0, 255))
    layer = Shapes(ndim=2)
    pair(layer, image)
    boxes = box_layer(layer)
    for step, value in ((0, 0), (1, 255)):
        (channel,) = channels_shown(boxes, [image, layer], (step, 0, 0))
        assert crop([channel], (), (0.0, 0.0, 10.0), 10)[5, 5, 0] == value


def test_without_an_image_there_is_nothing_to_show():
    image = Image(np.zeros((10, 10)))
    boxes = boxes_on(image)
    assert channels_shown(boxes, [boxes.layer]) == []
    assert not crop([], (), (0.0, 0.0, 8.0), 8).any()


def test_tiles_give_the_same_pixels_and_are_read_once():
    pixels = np.random.default_rng(0).integers(0, 255, (1200, 1100)).astype(np.uint8)
    tiled = TiledPlane(ArrayPlane(pixels), "plane", ByteCache(1 << 24))
    for y0, y1, x0, x1 in ((0, 10, 0, 10), (500, 600, 505, 1100), (1190, 1200, 1000, 1100), (0, 1200, 0, 1100)):
        np.testing.assert_array_equal(tiled.read(y0, y1, x0, x1)[..., 0], pixels[y0:y1, x0:x1])
    source = Counting(600, 600)
    tiled = TiledPlane(source, "plane", ByteCache(1 << 24))
    for at in range(0, 400, 10):
        tiled.read(at, at + 20, at, at + 20)
    assert source.reads == 1


def test_a_lazy_file_and_dask_are_read_by_plane(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (3, 40, 50)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "film.tif", pixels, photometric="minisblack", metadata={"axes": "TYX"})
    lazy = pixels_of(open_image(tmp_path / "film.tif"))
    for data in (lazy.data, da.from_array(pixels, chunks=(1, 20, 20))):
        image = Image(data, contrast_limits=(0, 255))
        boxes = boxes_on(image)
        channels = channels_shown(boxes, [image, boxes.layer])
        picture = crop(channels, (2,), (10.0, 5.0, 20.0), 20)
        np.testing.assert_array_equal(picture[..., 0], pixels[2, 5:25, 10:30])


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 30)), max_size=60))
def test_the_cache_keeps_its_bound(puts):
    cache = ByteCache(100)
    for key, size in puts:
        cache.put(key, np.zeros(size, np.uint8))
        assert cache.bytes <= 100
        assert cache.get(key).nbytes == size
    assert cache.bytes == sum(array.nbytes for key in range(10) if (array := cache.get(key)) is not None)
    cache.clear()
    assert cache.bytes == 0


@pytest.fixture
def crops():
    crops = Crops(most=64 * 64 * 4 * 10)
    yield crops
    crops.close()
    wait(lambda: not any(one.name == "napari-localize crops" for one in threading.enumerate()))


def wait(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def spots(number, side=64):
    return [Spot(key, (), (float(key), 0.0, 20.0), side) for key in range(number)]


def test_crops_are_made_in_a_thread_and_bounded(crops):
    crops.show([grey(np.full((50, 200), 90, np.uint8))])
    wanted = spots(40)
    assert crops.get(wanted[0]) is None
    crops.ask(wanted)
    wait(lambda: crops.idle)
    assert crops.bytes <= 64 * 64 * 4 * 10
    assert crops.get(wanted[-1])[5, 5, 0] == 90
    assert crops.get(wanted[0]) is None
    crops.show([grey(np.full((50, 200), 10, np.uint8))])
    assert crops.get(wanted[-1]) is None
    crops.ask(wanted[:3])
    wait(lambda: crops.idle)
    assert crops.get(wanted[0])[5, 5, 0] == 10


def test_only_the_last_question_counts(crops):
    class Slow(Counting):
        def read(self, y0, y1, x0, x1):
            time.sleep(0.005)
            return super().read(y0, y1, x0, x1)

    source = Slow(100, 4000)
    crops.show([Channel({(): source}, table=GREY)])
    crops.ask(spots(2000, 16))
    last = Spot(5000, (), (3000.0, 0.0, 20.0), 16)
    crops.ask([last])
    wait(lambda: crops.idle)
    assert crops.get(last) is not None
    assert source.reads < 100


def test_pixels_that_cannot_be_read_are_blank_and_said(crops):
    class Broken(Counting):
        def read(self, y0, y1, x0, x1):
            raise OSError("the disk is gone")

    crops.show([Channel({(): Broken(50, 50)}, table=GREY)])
    crops.ask(spots(3))
    wait(lambda: crops.idle)
    assert not crops.get(spots(1)[0]).any()
    assert "the disk is gone" in crops.problem


def test_after_closing_it_can_go_on(crops):
    crops.show([grey(np.full((50, 50), 90, np.uint8))])
    crops.ask(spots(2))
    wait(lambda: crops.idle)
    crops.close()
    assert crops.get(spots(1)[0]) is None
    crops.show([grey(np.full((50, 50), 20, np.uint8))])
    crops.ask(spots(2))
    wait(lambda: crops.idle)
    assert crops.get(spots(1)[0])[3, 3, 0] == 20
