"""CSV of places only, as spot detectors, Fiji and spreadsheets write it."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_localize.core.errors import UserError
from napari_localize.formats import find_format, read_annotations


def test_x_and_y_are_points(tmp_path):
    (tmp_path / "spots.csv").write_text("x,y\n10.25,20\n30,40.5\n")
    assert find_format(tmp_path / "spots.csv").name == "xy"
    data = read_annotations(tmp_path / "spots.csv", point_size=6)
    assert data.points
    np.testing.assert_allclose(data["spots"].centers, [[10.25, 20], [30, 40.5]])
    np.testing.assert_allclose(data["spots"].diameters, 6)
    assert (data["spots"].states == "added").all()


def test_columns_of_fiji_with_semicolons_and_decimal_commas(tmp_path):
    rows = [" ;Area;Mean;X;Y;Slice", "1;0;117,2;10,5;20,5;1", "2;0;88;30;40;3"]
    (tmp_path / "Results.csv").write_text("\n".join(rows) + "\n")
    data = read_annotations(tmp_path / "Results.csv")
    assert {name: part.centers.tolist() for name, part in data.items()} == {
        "Results#z=0": [[10.5, 20.5]],
        "Results#z=2": [[30, 40]],
    }


def test_class_score_file_and_time_are_kept(tmp_path):
    rows = ["frame,y,x,label,confidence,file", "0,2,1,a,0.5,one.tif", "4,6,5,b,,two.tif"]
    (tmp_path / "x.csv").write_text("\n".join(rows) + "\n")
    data = read_annotations(tmp_path / "x.csv", point_size=4)
    assert list(data) == ["one.tif#t=0", "two.tif#t=4"]
    assert data.class_names == ("a", "b")
    assert data["one.tif#t=0"].scores.tolist() == [0.5]
    assert data["two.tif#t=4"].centers.tolist() == [[5, 6]]


def test_only_the_image_that_is_meant_has_its_size(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((30, 40), np.uint8))
    (tmp_path / "a.csv").write_text("x,y,file\n5,6,\n90,90,a.tif2\n")
    data = read_annotations(tmp_path / "a.csv")
    assert data.sizes == {"a.tif": (30, 40)}
    assert len(data["a.tif2"]) == 1


def test_tables_of_boxes_are_no_points(tmp_path):
    (tmp_path / "boxes.csv").write_text("x,y,width,height\n1,2,3,4\n")
    with pytest.raises(UserError):
        read_annotations(tmp_path / "boxes.csv")


def test_what_is_no_number_is_named(tmp_path):
    (tmp_path / "x.csv").write_text("x,y\n1,two\n")
    with pytest.raises(UserError, match=r"line 2 .*'two' as y"):
        read_annotations(tmp_path / "x.csv")
