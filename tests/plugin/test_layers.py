from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from napari.layers import Image, Points, Shapes

from napari_localize.core.errors import UserError
from napari_localize.plugin.layers import (
    METADATA,
    axis_names,
    boxes_to_vertices,
    image_planes,
    is_box_layer,
    new_box_layer,
    transform_of,
    vertices_to_boxes,
    view_index,
)

sides = st.tuples(
    st.floats(0, 4000, width=32), st.floats(0, 4000, width=32), st.floats(1, 500, width=32), st.floats(1, 500, width=32)
)


@given(st.lists(sides, max_size=6), st.integers(0, 2))
def test_boxes_come_back_from_vertices(sizes, leading):
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h in sizes], np.float32).reshape(-1, 4)
    indices = np.arange(len(boxes) * leading).reshape(len(boxes), leading)
    vertices = boxes_to_vertices(boxes, indices)
    assert vertices.shape == (len(boxes), 4, leading + 2)
    again, planes, exact = vertices_to_boxes(list(vertices), leading + 2)
    np.testing.assert_allclose(again, boxes, atol=1e-3)
    np.testing.assert_array_equal(planes, indices)
    assert exact.all()


def test_a_box_over_the_whole_image_covers_every_pixel():
    height, width = 10, 12
    layer = Shapes(boxes_to_vertices(np.array([[0, 0, width, height]]), [()]), shape_type="rectangle")
    assert layer.to_labels((height + 5, width + 5)).sum() == height * width


@pytest.mark.parametrize(
    "shape",
    [
        [[0, 5], [5, 10], [10, 5], [5, 0]],  # turned by 45 degrees
        [[0, 0], [10, 10], [10, 0]],  # a triangle
        [[0, 0], [0, 10], [10, 10], [10, 0], [5, 0]],  # a vertex more
        [[0, 0], [10, 10], [0, 10], [10, 0]],  # a bow tie is still the same corners
    ],
)
def test_any_shape_becomes_the_box_around_it(shape):
    boxes, _, exact = vertices_to_boxes([np.array(shape, float)], 2)
    np.testing.assert_array_equal(boxes, [[0.5, 0.5, 10.5, 10.5]])
    assert exact[0] == (len(shape) == 4 and shape[0] == [0, 0])


def test_a_shape_between_planes_goes_to_the_nearest():
    shape = np.array([[2.4, 0, 0], [2.4, 0, 5], [2.4, 5, 5], [2.4, 5, 0]])
    _, indices, exact = vertices_to_boxes([shape], 3)
    assert indices.tolist() == [[2]]
    assert not exact[0]


def turned_image(shape=(3, 20, 30), **kwargs):
    ndim = len(shape)
    return Image(
        np.random.default_rng(0).random(shape),
        scale=np.arange(1, ndim + 1),
        translate=np.arange(ndim) * 10,
        rotate=20,
        shear=np.full(ndim * (ndim - 1) // 2, 0.1),
        affine=np.diag([*([1.0] * (ndim - 2)), 2, 2, 1]),
        name="turned",
        **kwargs,
    )


@pytest.mark.parametrize("shape", [(20, 30), (3, 20, 30)])
def test_boxes_lie_where_the_image_lies(shape):
    image = turned_image(shape, axis_labels="tyx"[-len(shape) :], units=("um",) * len(shape))
    layer = Shapes(ndim=len(shape), **transform_of(image))
    point = np.arange(len(shape)) + 3.0
    np.testing.assert_allclose(layer.data_to_world(point), image.data_to_world(point))
    assert layer.axis_labels == image.axis_labels
    assert layer.units == image.units


def test_boxes_lie_over_all_channels_of_an_image():
    image = turned_image((4, 20, 30))
    boxes = new_box_layer(image, channel_axis=0)
    assert boxes.ndim == 2
    np.testing.assert_allclose(
        np.diff([boxes.data_to_world(p) for p in ([0, 0], [5, 8])], axis=0),
        np.diff([image.data_to_world(p)[-2:] for p in ([1, 0, 0], [1, 5, 8])], axis=0),
    )


@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr"])
def test_planes_are_read_lazily_from_whatever_slices(kind):
    data = np.random.default_rng(0).integers(0, 255, (3, 2, 40, 50), np.uint16)
    source = {"numpy": data, "dask": da.from_array(data, chunks=(1, 1, 20, 20))}.get(kind)
    if source is None:
        source = zarr.create_array(store={}, data=data, chunks=(1, 1, 20, 20))
    layer = Image(source, axis_labels=("time", "z", "y", "x"))
    planes = image_planes(layer)
    assert [plane.index for plane in planes] == list(np.ndindex(3, 2))
    assert planes[-1].position == {"t": 2, "z": 1}
    assert planes[-1].source.shape == (40, 50, 1)
    np.testing.assert_array_equal(planes[3].source.read(5, 15, 20, 50)[..., 0], data[1, 1, 5:15, 20:50])


def test_nothing_is_read_before_it_is_asked_for():
    def fail(block):
        raise AssertionError("read too early")

    lazy = da.zeros((5, 64, 64), chunks=(1, 64, 64)).map_blocks(fail, dtype=float, meta=np.zeros((0, 0, 0)))
    layer = Image(da.zeros((5, 64, 64)))
    layer._data = lazy
    assert len(image_planes(layer)) == 5


def test_channels_of_a_plane():
    data = np.random.default_rng(0).random((3, 4, 8, 9))
    planes = image_planes(Image(data), channel_axis=1)
    assert [plane.index for plane in planes] == [(0, 0), (1, 0), (2, 0)]
    assert [list(plane.position.values()) for plane in planes] == [[0], [1], [2]]
    assert planes[2].source.shape == (8, 9, 4)
    np.testing.assert_array_equal(planes[2].source.read(1, 5, 2, 9), data[2, :, 1:5, 2:9].transpose(1, 2, 0))


@pytest.mark.parametrize("channels", [3, 4])
def test_rgb_without_opacity(channels):
    data = np.random.default_rng(0).integers(0, 255, (2, 8, 9, channels), np.uint8)
    planes = image_planes(Image(data, rgb=True))
    assert len(planes) == 2
    assert planes[1].source.shape == (8, 9, 3)
    np.testing.assert_array_equal(planes[1].source.read(0, 8, 3, 9), data[1, :, 3:, :3])


def test_finest_level_of_a_pyramid():
    levels = [np.ones((40, 60)), np.ones((20, 30))]
    layer = Image(levels, multiscale=True)
    (plane,) = image_planes(layer)
    assert plane.source.shape == (40, 60, 1)
    assert new_box_layer(layer).metadata[METADATA]["image"]["size"] == [40, 60]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (None, ("t", "z")),
        (("time", "depth", "y", "x"), ("t", "d")),
        (("T", "t", "y", "x"), ("t", "z")),
        (("x", "z", "y", "x"), ("t", "z")),
    ],
)
def test_axes_are_named_by_the_layer_or_as_usual(labels, names):
    layer = Image(np.zeros((2, 2, 4, 4)), axis_labels=labels)
    assert axis_names(layer, 2) == names


@pytest.mark.parametrize(
    ("layer", "axis", "words"),
    [
        (Points(name="spots"), None, "'spots' is a points layer"),
        (Image(np.zeros((4, 4)), name="flat"), 0, "no axis 0"),
        (Image(np.zeros((2, 4, 4, 3)), rgb=True, name="film"), 0, "is RGB"),
    ],
)
def test_what_is_no_image_is_refused_in_one_sentence(layer, axis, words):
    with pytest.raises(UserError, match=words):
        image_planes(layer, axis)


def test_a_layer_of_boxes_is_known_by_its_metadata_or_columns():
    boxes = new_box_layer(Image(np.zeros((4, 4))))
    assert is_box_layer(boxes)
    boxes.metadata.clear()
    assert is_box_layer(boxes)
    assert not is_box_layer(Shapes())
    assert not is_box_layer(Image(np.zeros((4, 4))))


def test_the_plane_in_view_follows_scale_and_shift():
    layer = Shapes(ndim=4, scale=(2, 0.5, 1, 1), translate=(10, 0, 0, 0))
    assert view_index(layer, (16, 3, 7, 7)) == (3, 6)
    assert view_index(Shapes(ndim=2), (16, 3, 7, 7)) == ()
