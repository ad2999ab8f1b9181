"""Points in annotation files: what has only a place is known to be a point, and stays one."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.core.points import to_points
from napari_localize.formats import read_annotations, writable_formats, write_annotations

SPOTS = Detections(
    np.array([[0, 1, 4, 3], [30, 10, 34, 16], [55, 40, 59.5, 49]]),
    [0, 1, 0],
    [0.25, np.nan, 0.5],
    class_names=("a", "b"),
)
DATA = Annotations({"spots.tif": to_points(SPOTS, 8)}, {"spots.tif": (50, 60)}, points=True)


@pytest.mark.parametrize("name", ["spots.csv", "spots.json", "spots.geojson", "spots.zip"])
def test_points_come_back_where_they_were_also_at_the_border(tmp_path, name):
    assert write_annotations(tmp_path / name, DATA) == []
    again = read_annotations(tmp_path / name)
    assert again.points
    found = again["spots.tif"]
    np.testing.assert_allclose(found.centers, SPOTS.centers, atol=1e-3)
    np.testing.assert_allclose(found.diameters, 8, atol=1e-3)
    np.testing.assert_array_equal(found.labels, SPOTS.labels)
    assert not again.notes


@pytest.mark.parametrize("name", sorted(set(writable_formats()) - {"csv", "coco", "geojson", "imagej"}))
def test_formats_without_points_get_boxes_within_the_image_and_that_is_said(tmp_path, name):
    notes = write_annotations(tmp_path / "spots.x", DATA, format=name)
    assert any("no place for points" in note for note in notes)


def test_boxes_are_no_points(tmp_path):
    boxes = Annotations({"spots.tif": SPOTS})
    for name in ("spots.csv", "spots.json"):
        write_annotations(tmp_path / name, boxes)
        assert not read_annotations(tmp_path / name).points
    empty = Annotations({"spots.tif": SPOTS[:0]}, points=True)
    write_annotations(tmp_path / "empty.csv", empty)
    assert len(read_annotations(tmp_path / "empty.csv")["spots.tif"]) == 0


def test_coco_keypoints_of_other_programs_are_points(tmp_path):
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": 50, "width": 60}],
        "categories": [{"id": 1, "name": "spot", "keypoints": ["center"], "skeleton": []}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": 1, "keypoints": [x, 20, 2], "num_keypoints": 1}
            for n, x in enumerate((1, 20, 40), start=1)
        ],
    }
    path = tmp_path / "keypoints.json"
    path.write_text(json.dumps(content))
    data = read_annotations(path)
    assert data.points
    np.testing.assert_allclose(data["a.png"].centers[:, 0], [1, 20, 40], atol=1e-4)
    content["annotations"].append({"id": 9, "image_id": 1, "category_id": 1, "bbox": [5, 5, 10, 10]})
    path.write_text(json.dumps(content))
    assert not read_annotations(path).points


def test_points_of_a_napari_layer_are_points(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("index,axis-0,axis-1\n0,3,4\n1,20,30\n")
    data = read_annotations(path, point_size=6)
    assert data.points
    (found,) = data.values()
    np.testing.assert_allclose(found.centers, [[4.5, 3.5], [30.5, 20.5]])


def test_points_outside_their_image_are_left_out(tmp_path):
    outside = Annotations({"spots.tif": to_points(SPOTS, 8)}, {"spots.tif": (45, 60)}, points=True)
    outside.sizes["spots.tif"] = (20, 60)
    write_annotations(tmp_path / "spots.json", outside)
    data = read_annotations(tmp_path / "spots.json")
    assert len(data["spots.tif"]) == 2
    assert data.notes == ["Points left out because they lie outside their image: 1."]
