"""Whoever writes a layer of very many boxes to a file gets them all, with any plugin."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from napari.layers import Image, Layer
from napari_builtins.io import napari_write_points, napari_write_shapes

from napari_localize.core.detections import Detections
from napari_localize.formats import read_annotations
from napari_localize.plugin import boxes as module
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.files import to_annotations
from napari_localize.plugin.layers import new_box_layer


@pytest.fixture(params=[(), (3,)], ids=["plane", "stack"])
def planes(request):
    return request.param


@pytest.fixture(params=[None, 6.0], ids=["boxes", "points"])
def layer(request, planes, monkeypatch):
    for limit in ("MOST_SHAPES", "MOST_POINTS"):
        monkeypatch.setattr(module, limit, 5)
    image = Image(np.zeros((*planes, 100, 100)), name="cells")
    layer = new_box_layer(image, ("a", "b"), point_size=request.param)
    start = np.arange(20)[:, None] * 4.0 + [0, 3]
    found = Detections(np.hstack([start, start + 6]), np.arange(20) % 2, np.arange(1, 21) / 20, class_names=("a", "b"))
    boxes = box_layer(layer)
    boxes.set_proposals({(0,) * len(planes): found}, "model@1")
    boxes.reject([1, 2])
    boxes.set_filter(0.2)
    assert len(layer.data) == 5
    return layer


def test_napari_writes_every_box_that_is_to_be_seen(layer, tmp_path):
    data, meta, kind = layer.as_layer_data_tuple()
    write = napari_write_points if kind == "points" else napari_write_shapes
    path = str(tmp_path / "boxes.csv")
    assert write(path, data, meta) == path
    (found,) = read_annotations(path).values()
    expected = box_layer(layer).detections((0,) * (layer.ndim - 2))
    assert len(found) == len(expected) == 17
    np.testing.assert_allclose(sorted(found.centers.tolist()), sorted(expected.centers.tolist()), atol=1e-3)


def test_what_is_given_makes_the_same_boxes_again(layer):
    given = layer.as_layer_data_tuple()
    boxes = box_layer(layer)
    (saved,) = to_annotations(*given[:2]).values()
    assert len(saved) == 19  # with the rejected ones; what the filter hides nobody has seen
    assert saved.states.tolist().count("rejected") == 2
    again = box_layer(Layer.create(*given))
    assert again.shown() == boxes.shown()
    assert again.by_state()["rejected"] == 2
    assert len(again.layer.data) == 5
    assert len(layer.data) == 5


def test_colours_and_other_features_are_given_too(layer):
    layer.features = layer.features.assign(mine=1.0)
    _, meta, kind = layer.as_layer_data_tuple()
    outline = "border_color" if kind == "points" else "edge_color"
    by_class = {
        name: {tuple(color) for color in np.array(meta[outline])[meta["features"]["class"] == name]} for name in "ab"
    }
    assert all(len(colors) == 1 for colors in by_class.values())
    assert by_class["a"] != by_class["b"]
    assert meta["features"]["mine"].notna().sum() == 5


def test_a_layer_that_is_closed_is_gone():
    layer = new_box_layer(Image(np.zeros((10, 10)), name="cells"))
    box_layer(layer)
    alive = weakref.ref(layer)
    del layer
    gc.collect()
    assert alive() is None
