"""The CSV files of napari's own layers, against napari's own readers and writers."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Points, Shapes
from napari_builtins.io import csv_to_layer_data, napari_write_points, napari_write_shapes

from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.formats import find_format, read_annotations, write_annotations


def test_shapes_that_napari_has_saved(tmp_path):
    corners = np.array([[1, 2.5, 3.5], [1, 2.5, 9.5], [1, 7.5, 9.5], [1, 7.5, 3.5]])
    layer = Shapes([corners, corners + np.array([1, 0, 0])], shape_type=["rectangle", "ellipse"])
    layer.add_polygons(np.array([[0, 0, 0], [0, 5, 1], [0, 3, 9.0]]))
    napari_write_shapes(str(tmp_path / "x.csv"), *layer.as_layer_data_tuple()[:2])
    assert find_format(tmp_path / "x.csv").name == "napari"
    data = read_annotations(tmp_path / "x.csv")
    assert {name: part.boxes.tolist() for name, part in data.items()} == {
        "x#z=1": [[4, 3, 10, 8]],
        "x#z=2": [[4, 3, 10, 8]],
        "x#z=0": [[0.5, 0.5, 9.5, 5.5]],
    }


def test_points_that_napari_has_saved(tmp_path):
    layer = Points([[10, 20], [30, 40]], properties={"class": np.array(["A", "B"]), "score": [0.5, 0.25]})
    napari_write_points(str(tmp_path / "x.csv"), *layer.as_layer_data_tuple()[:2])
    data = read_annotations(tmp_path / "x.csv", point_size=6)
    assert data["x"].centers.tolist() == [[20.5, 10.5], [40.5, 30.5]]
    assert data.class_names == ("A", "B")
    assert data["x"].scores.tolist() == [0.5, 0.25]


def test_napari_reads_what_is_written(tmp_path):
    planes = {"m.tif#t=0,z=2": Detections([[1, 2, 3, 5], [0, 0, 9, 9]]), "m.tif#t=1,z=0": Detections([[4, 4, 5, 6]])}
    notes = write_annotations(tmp_path / "m.csv", planes, format="napari")
    assert notes == []
    shapes, meta, kind = csv_to_layer_data(str(tmp_path / "m.csv"))
    assert kind == "shapes"
    assert meta["shape_type"] == ["rectangle"] * 3
    assert shapes[0].tolist() == [[0, 2, 1.5, 0.5], [0, 2, 1.5, 2.5], [0, 2, 4.5, 2.5], [0, 2, 4.5, 0.5]]
    back = read_annotations(tmp_path / "m.csv")
    assert {name: part.boxes.tolist() for name, part in back.items()} == {
        name.replace("m.tif", "m"): part.boxes.tolist() for name, part in planes.items()
    }


def test_one_layer_lies_on_one_image(tmp_path):
    planes = {"a.tif": Detections([[0, 0, 5, 5]]), "b.tif": Detections([[0, 0, 5, 5]])}
    with pytest.raises(UserError, match="of 2 images"):
        write_annotations(tmp_path / "x.csv", planes, format="napari")


@pytest.mark.parametrize("cells", ["nan,1", "1e300,1", "inf,-inf"])
def test_odd_numbers_are_left_out(tmp_path, cells):
    (tmp_path / "x.csv").write_text(f"index,axis-0,axis-1,axis-2\n0,{cells},5\n1,1,1,1\n")
    assert sum(map(len, read_annotations(tmp_path / "x.csv").values())) in (1, 2)


def test_what_is_no_number_is_told(tmp_path):
    (tmp_path / "x.csv").write_text("index,axis-0,axis-1\n0,x,5\n")
    with pytest.raises(UserError, match="line 2"):
        read_annotations(tmp_path / "x.csv")
