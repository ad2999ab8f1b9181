"""Boxes to points of a nominal size and back."""

from __future__ import annotations

import numpy as np
import pytest

from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.points import to_boxes, to_points, typical_size

BOXES = Detections(
    np.array([[0, 0, 4, 4], [10, 20, 20, 30], [5, 5, 13, 13.0]]),
    labels=[1, 0, 1],
    scores=[0.5, np.nan, 0.7],
    ids=[7, 8, 9],
    class_names=("a", "b"),
    origins=["m@1", "human", "m@1"],
    states=["accepted", "added", "rejected"],
)


def test_points_lie_at_the_centres_and_keep_who_they_are():
    points = to_points(BOXES, 6)
    np.testing.assert_allclose(points.centers, BOXES.centers)
    np.testing.assert_allclose(points.diameters, 6)
    assert points.boxes.min() < 0  # the centre stays where it is, also at the border
    for name in ("labels", "scores", "ids", "origins", "states", "class_names"):
        np.testing.assert_array_equal(getattr(points, name), getattr(BOXES, name))


def test_the_size_is_that_of_the_boxes_unless_it_is_given():
    assert typical_size([BOXES]) == 7  # rejected ones do not count
    np.testing.assert_allclose(to_points(BOXES).diameters, 7)
    assert typical_size([]) is None
    assert len(to_points(Detections.empty(("a",)))) == 0


def test_points_become_boxes_of_a_size():
    points = to_points(BOXES, 6)
    assert to_boxes(points) is points
    boxes = to_boxes(points, 10)
    np.testing.assert_allclose(boxes.diameters, 10, rtol=1e-5)
    np.testing.assert_allclose(boxes.centers, BOXES.centers)


@pytest.mark.parametrize("size", [0, -1, np.nan, np.inf])
def test_sizes_that_are_none(size):
    with pytest.raises(UserError, match="size of points"):
        to_points(BOXES, size)
    with pytest.raises(UserError, match="size of points"):
        to_boxes(BOXES, size)


def test_all_planes_get_the_same_size():
    data = Annotations({"a.tif": BOXES, "b.tif": BOXES[:1]}, sizes={"a.tif": (50, 60)}, reviewed=["a.tif"])
    points = to_points(data)
    assert points.points
    assert points.reviewed == {"a.tif"}
    assert points.sizes == data.sizes
    assert {round(float(d), 3) for part in points.values() for d in part.diameters} == {4.0}
    boxes = to_boxes(points, 9)
    assert not boxes.points
    np.testing.assert_allclose(boxes["b.tif"].diameters, 9)
