"""How objects look, as numbers of a bundled model."""

from __future__ import annotations

import numpy as np
import pytest

from napari_localize.core.arrange import unlikeness
from napari_localize.core.detections import Detections
from napari_localize.core.errors import Cancelled
from napari_localize.core.planes import ArrayPlane
from napari_localize.core.tiling import Rectangle
from napari_localize.models import describe, exemplars
from napari_localize.models.describe import describe_boxes
from napari_localize.models.localizer import load_model

SIDE, SIZE = 300, 20


@pytest.fixture(scope="module")
def model():
    return load_model("generalist", device="cpu")


@pytest.fixture(scope="module")
def rings():
    """Discs and rings in turn on a noisy ground, with their boxes."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    image = np.random.default_rng(0).normal(0.2, 0.02, (SIDE, SIDE))
    centers = [(cx, cy) for cy in range(20, SIDE, 43) for cx in range(20, SIDE, 43)]
    for number, (cx, cy) in enumerate(centers):
        far = np.hypot(x - cx, y - cy)
        image[(far < 10) & (far > 5 * (number % 2))] += 0.6
    half = SIZE / 2
    return ArrayPlane(image.astype(np.float32)), Detections(
        [(cx - half, cy - half, cx + half, cy + half) for cx, cy in centers]
    )


@pytest.fixture
def looks(monkeypatch):
    """What is looked at, by the window."""
    seen = []

    def counted(*arguments):
        seen.append(exemplars.look(*arguments))
        return seen[-1]

    monkeypatch.setattr(describe, "look", counted)
    return seen


def small_looks(monkeypatch, model, side):
    """Let one look show a square of so many pixels of the plane."""
    monkeypatch.setattr(exemplars, "MOST_PIXELS", round(side * model.card.object_diameter / SIZE) ** 2)


def test_a_plane_of_ordinary_size_is_looked_at_once(model, rings, looks):
    plane, boxes = rings
    shares = []
    table = describe_boxes(model, plane, boxes, looker=describe.look, on_progress=shares.append)
    assert [one.window for one in looks] == [(0, SIDE, 0, SIDE)]
    assert shares == [1.0]
    assert len(table) == len(boxes)
    assert describe_boxes(model, plane, boxes[:0], looker=describe.look).shape[0] == 0
    assert len(looks) == 1


def test_of_a_part_that_is_remembered_the_rest_is_not_guessed(model, rings):
    plane, boxes = rings

    def remembering(*asked):
        return exemplars.look(*asked, Rectangle(0, 150, 0, 150))

    found = describe_boxes(model, plane, boxes, looker=remembering)
    np.testing.assert_array_equal(found, describe_boxes(model, plane, boxes))


def test_a_large_plane_is_divided_into_few_parts_that_hardly_overlap(model, rings, looks, monkeypatch):
    plane, boxes = rings
    small_looks(monkeypatch, model, 250)
    shares = []
    describe_boxes(model, plane, boxes, on_progress=shares.append)
    assert len(looks) == 4
    pixels = sum((one.window.y1 - one.window.y0) * (one.window.x1 - one.window.x0) for one in looks)
    assert pixels < (SIDE + 2 * SIZE + 2) ** 2
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    # What has no box is not looked at
    looks.clear()
    describe_boxes(model, plane, boxes[:1])
    assert len(looks) == 1


def test_kinds_are_told_apart_also_across_parts(model, rings, monkeypatch):
    plane, boxes = rings
    small_looks(monkeypatch, model, 200)
    table = describe_boxes(model, plane, boxes)
    ring = np.arange(len(boxes)) % 2
    same = [
        (ring[np.argsort(unlikeness(table, [number]), kind="stable")[1:10]] == ring[number]).mean()
        for number in range(len(boxes))
    ]
    assert np.mean(same) > 0.9


def test_boxes_are_described_wherever_they_lie_on_a_large_plane(model):
    image = ArrayPlane(np.random.default_rng(0).random((120, 1600)).astype(np.float32))
    boxes = Detections([[4, 4, 8, 8], [1592, 112, 1600, 120], [800, 50, 804, 54]])
    table = describe_boxes(model, image, boxes)
    assert np.isfinite(table).all()
    assert (np.abs(table).sum(axis=1) > 0).all()


def test_it_stops_between_looks(model, rings, looks, monkeypatch):
    plane, boxes = rings
    small_looks(monkeypatch, model, 160)
    with pytest.raises(Cancelled):
        describe_boxes(model, plane, boxes, should_stop=lambda: len(looks) == 2)
    assert len(looks) == 2
