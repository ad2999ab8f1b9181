from __future__ import annotations

import numpy as np
import pytest

from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.formats import read_annotations, write_annotations


@pytest.fixture
def read(tmp_path):
    def from_text(text: str, encoding="utf-8"):
        path = tmp_path / "x.csv"
        path.write_bytes(text.encode(encoding))
        return read_annotations(path)

    return from_text


def test_what_a_file_looks_like(tmp_path):
    planes = {
        "m.tif#t=0,z=4": Detections(
            [[1, 2, 3.5, 4.125]], scores=[0.9], ids=[7], class_names=("RBC",), origins=["blood@1"]
        ),
        "empty.png": Detections.empty(("RBC",)),
    }
    write_annotations(tmp_path / "x.csv", planes)
    assert (tmp_path / "x.csv").read_text().splitlines() == [
        "file,t,z,class,score,x0,y0,x1,y1,id,origin,state",
        "m.tif,0,4,RBC,0.9,1.0,2.0,3.5,4.125,7,blood@1,proposed",
        "empty.png,,,,,,,,,,,",
    ]


def test_pandas_reads_and_writes_the_same(tmp_path):
    import pandas as pd

    planes = {"m.tif#t=3": Detections([[1, 2, 3, 4]], scores=[0.5], ids=[5]), "m.tif#t=4": Detections.empty()}
    write_annotations(tmp_path / "x.csv", planes)
    pd.read_csv(tmp_path / "x.csv").to_csv(tmp_path / "y.csv")  # with an index column, and 3.0 for 3
    back = read_annotations(tmp_path / "y.csv")
    assert set(back) == set(planes)
    assert back["m.tif#t=3"].ids.tolist() == [5]


def test_only_the_coordinates_are_needed(read):
    data = read("Y1, x0 ,X1,y0\r\n4,1,3,2\r\n")
    assert data[""].boxes.tolist() == [[1, 2, 3, 4]]
    assert data.class_names == ("object",)
    assert np.isnan(data[""].scores).all()


def test_semicolons_decimal_commas_quotes_and_byte_order_mark(read):
    data = read('file;class;x0;y0;x1;y1;score\n"a;1.png";"T ""cell""";0,5;1;2;3;0,25\n\n;;;;;;\n', "utf-8-sig")
    assert data["a;1.png"].boxes.tolist() == [[0.5, 1, 2, 3]]
    assert data["a;1.png"].scores.tolist() == [0.25]
    assert data.class_names == ('T "cell"',)


def test_flawed_boxes_are_left_out_and_counted(read):
    data = read("file,x0,y0,x1,y1\na,1,1,1,2\na,5,5,4,6\na,inf,0,1,1\na,1,,3,4\na,-9,-9,-1,-1\na,-1,0,2,2\n")
    assert data["a"].boxes.tolist() == [[0, 0, 2, 2]]
    assert [note.rsplit(": ")[-1] for note in data.notes] == ["2.", "2.", "1.", "1."]


def test_missing_and_repeated_ids_are_given_anew(read):
    data = read("file,id,x0,y0,x1,y1\na,4,0,0,1,1\na,,0,0,1,1\na,4,0,0,1,1\nb,,0,0,1,1\nb,-1,0,0,1,1\n")
    assert data["a"].ids.tolist() == [4, 5, 6]
    assert data["b"].ids.tolist() == [1, 2]
    assert data.notes == ["Boxes with the id of another box of their plane, which got a new one: 1."]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x0,y0,x1,y1\n1,2,x,4\n", "line 2 of .* has 'x' as x1"),
        ("x0,y0,x1,y1,t\n1,2,3,4,1.5\n", "line 2 of .* has '1.5' as t"),
        ("x0,y0,x1,y1,id\n1,2,3,4,99999999999999999999\n", "as id"),
        ("x0,y0,x1,y1\n1,2,3,4\n1,2,3\n", "line 3 of .* has 3 cells, but the header has 4"),
        ("x0,y0,x1,y1\n1,2,3,4,5\n", "has 5 cells"),
        ("x0,y0,x1,y1,x0\n1,2,3,4,5\n", "two columns 'x0'"),
        ("x0,y0,x1,y1,class\n1,2,3,4," + "a" * 200_000, "is not CSV"),
    ],
)
def test_a_broken_file_is_refused_with_the_line(read, text, sentence):
    with pytest.raises(UserError, match=sentence):
        read(text)


def test_other_encodings_are_told(read):
    with pytest.raises(UserError, match="not UTF-8"):
        read("x0,y0,x1,y1,class\n1,2,3,4,Körper\n", "latin-1")


@pytest.mark.parametrize("column", ["id", "t"])
@pytest.mark.parametrize("cell", ["inf", "-inf", "nan", "1e400"])
def test_numbers_without_end_are_no_whole_numbers(read, column, cell):
    with pytest.raises(UserError, match=f"line 2 of .* has '{cell}' as {column}"):
        read(f"file,{column},x0,y0,x1,y1\na,{cell},0,0,9,9\n")


@pytest.mark.parametrize("axes", ["tz", "zt", "pz"])
def test_planes_keep_the_order_of_their_axes(tmp_path, axes):
    names = [f"m.tif#{axes[0]}={first},{axes[1]}={second}" for first in range(2) for second in range(2)]
    write_annotations(tmp_path / "boxes.csv", {name: Detections([[1, 2, 3, 4]]) for name in names})
    assert list(read_annotations(tmp_path / "boxes.csv")) == names
