from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.formats import find_format, read_annotations, write_annotations


@pytest.fixture
def dataset(tmp_path):
    """Make a data set from label texts by path; each has a 100 x 50 image (height x width) at the usual place."""

    def make(
        labels, names="names: [RBC, WBC]\ntrain: ../train/images\nval: ../../etc\n", images="images", where="data"
    ):
        root = tmp_path / where
        for path, text in labels.items():
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            if images:
                image = root / path.replace("labels", images).replace(".txt", ".png")
                image.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (50, 100)).save(image)
        if names:
            (root / "data.yaml").write_text(names)
        return root

    return make


def test_the_layout_of_ultralytics(dataset):
    root = dataset({"labels/train/a.txt": "1 0.5 0.5 0.2 0.1\n", "labels/val/b.txt": ""})
    data = read_annotations(root)
    assert {name: len(part) for name, part in data.items()} == {"train/a.png": 1, "val/b.png": 0}
    np.testing.assert_allclose(data["train/a.png"].boxes, [[20, 45, 30, 55]], atol=1e-4)
    assert data.class_names == ("RBC", "WBC")
    assert data["train/a.png"].labels.tolist() == [1]
    assert data.sizes["val/b.png"] == (100, 50)
    assert data.notes == []
    assert list(read_annotations(root / "data.yaml")) == list(data)
    single = read_annotations(root / "labels" / "train" / "a.txt")
    assert list(single) == ["train/a.png"]
    assert single.class_names == ("RBC", "WBC")


def test_the_layout_of_roboflow_and_a_folder_with_everything(dataset):
    root = dataset({"train/labels/a.txt": "0 0.5 0.5 0.2 0.1", "valid/labels/b.txt": "0 0.5 0.5 0.2 0.1"})
    assert list(read_annotations(root)) == ["train/images/a.png", "valid/images/b.png"]
    flat = dataset({"a.txt": "0 0.5 0.5 0.2 0.1"}, names="", where="flat")
    (flat / "classes.txt").write_text("RBC\nWBC\n")
    data = read_annotations(flat)
    assert list(data) == ["a.png"]
    assert data.class_names == ("RBC", "WBC")


def test_a_data_set_in_a_folder_called_labels(dataset, tmp_path):
    line = "0 0.5 0.5 0.2 0.1"
    root = dataset({"labels/train/a.txt": line}, where="labels/data")
    for path in (root, root / "data.yaml", root / "labels", root / "labels" / "train", root / "labels/train/a.txt"):
        assert list(read_annotations(path)) == ["train/a.png"]
    unnamed = dataset({"labels/a.txt": line}, names="", where="unnamed/labels")
    assert find_format(unnamed).name == "yolo"
    assert list(read_annotations(unnamed)) == ["a.png"]
    data = Annotations({"labels/a.tif": Detections([[1, 2, 11, 12]])}, {"labels/a.tif": (50, 60)})
    own = tmp_path / "own" / "labels"
    own.parent.mkdir()
    write_annotations(own, data, format="yolo")
    (file,) = (own / "labels").rglob("*.txt")
    for path in (own, own / "data.yaml", own / "labels", file):
        assert {name: len(part) for name, part in read_annotations(path).items()} == {"labels/a.tif": 1}


def test_the_images_may_be_elsewhere_or_missing(dataset, tmp_path):
    root = dataset({"labels/a.txt": "0 0.5 0.5 0.2 0.1"}, images="")
    with pytest.raises(UserError, match="give the folder of the images"):
        read_annotations(root)
    (tmp_path / "pictures").mkdir()
    Image.new("L", (50, 100)).save(tmp_path / "pictures" / "a.png")
    assert list(read_annotations(root, images=tmp_path / "pictures")) == ["a.png"]
    (root / "labels" / "b.txt").write_text("0 0.5 0.5 0.2 0.1")
    assert read_annotations(root, images=tmp_path / "pictures").notes == [
        "Label files left out because their image is not there or cannot be read: 1."
    ]
    with pytest.raises(UserError, match="is not a folder"):
        read_annotations(root, images=tmp_path / "no")


def test_scores_outlines_and_classes_without_names(dataset):
    text = "0 0.5 0.5 0.2 0.1 0.75\n2 0.1 0.2 0.5 0.2 0.5 0.6\n0 0.1 0.2 0.5 0.2 0.5 0.6 0.1 0.6\n"
    data = read_annotations(dataset({"labels/a.txt": text}))
    part = data["a.png"]
    np.testing.assert_allclose(part.boxes, [[20, 45, 30, 55], [5, 20, 25, 60], [5, 20, 25, 60]], atol=1e-4)
    np.testing.assert_array_equal(part.scores, np.array([0.75, np.nan, np.nan], np.float32))
    assert data.class_names == ("RBC", "WBC", "2")
    assert data.notes == ["Classes that have no name in the file and are called by their number: 1."]


def test_names_by_number_and_doubled_names(dataset):
    names = "nc: 3\nnames:\n  0: a\n  2: a\n"
    data = read_annotations(dataset({"labels/a.txt": "2 0.5 0.5 0.2 0.1\n1 0.5 0.5 0.2 0.1"}, names))
    assert [data.class_names[label] for label in data["a.png"].labels] == ["a", "1"]


@pytest.mark.parametrize(
    "line", ["0 0.5 0.5", "x 1 2 3 4", "-1 0.5 0.5 0.1 0.1", "0 a b c d", "99999 0.5 0.5 0.1 0.1", "inf 0 0 1 1"]
)
def test_a_broken_line_is_told(dataset, line):
    root = dataset({"labels/a.txt": f"0 0.5 0.5 0.2 0.1\n{line}\n"})
    with pytest.raises(UserError, match=r"line 2 of .*a\.txt is"):
        read_annotations(root)


@pytest.mark.parametrize(
    "names",
    [
        "nc: 1\nnames: 5\n",
        "nc: 1\nnames: [a, {b: c}]\n",
        "nc: 1\nnames: [a\n",
        "nc: 1\nnames: !!python/object/apply:os.system [ls]\n",
        "nc: 1\nnames: &a [*a, b]\n",
        "nc: 1\nnames: " + "[" * 100_000,
        "nc: 1\nnames: {" + "9" * 5000 + ": a}",
        "nc: 1\nnames: [a]\nb: " + "c" * (1 << 18),
    ],
)
def test_broken_and_hostile_names_are_told(dataset, names):
    with pytest.raises(UserError, match=r"data\.yaml"):
        read_annotations(dataset({"labels/a.txt": "0 0.5 0.5 0.2 0.1"}, names))


NUMBERS = st.one_of(st.floats(), st.integers(-2, 20_000), st.floats(0, 1)).map(str)


@given(lines=st.lists(st.lists(NUMBERS, max_size=9).map(" ".join), max_size=4))
@settings(deadline=None)
def test_any_numbers_give_boxes_within_the_image_or_a_sentence(lines):
    with tempfile.TemporaryDirectory() as folder:
        Image.new("L", (50, 100)).save(Path(folder) / "a.png")
        (Path(folder) / "a.txt").write_text("0 0.5 0.5 0.1 0.1\n" + "\n".join(lines))
        with contextlib.suppress(UserError):
            part = read_annotations(folder)["a.png"]
            assert len(part) >= 1
            assert (part.boxes >= 0).all()
            assert (part.boxes <= [50, 100, 50, 100]).all()


def test_predictions_have_scores_and_what_was_judged_is_to_train_with(tmp_path):
    size = {"a/x.png": (100, 50)}
    guesses = Detections([[10, 20, 30, 40]], scores=[0.5], class_names=["it's: [RBC]"])
    assert write_annotations(tmp_path / "new", Annotations({"a/x.png": guesses}, size), format="yolo") == []
    assert (tmp_path / "new/labels/a/x.txt").read_text() == "0 0.4 0.3 0.4 0.2 0.5\n"
    assert (tmp_path / "new/data.yaml").read_text().startswith("train: images\nval: images\nnc: 1\n")
    assert read_annotations(tmp_path / "new")["a/x.png"].scores.tolist() == [0.5]
    judged = Detections([[10, 20, 30, 40]], scores=[0.5], states=["accepted"])
    notes = write_annotations(tmp_path / "truth", Annotations({"a/x.png": judged}, size), format="yolo")
    assert np.loadtxt(tmp_path / "truth/labels/a/x.txt").tolist() == [0, 0.4, 0.3, 0.4, 0.2]
    assert any("Scores are left out" in note for note in notes)


def test_without_sizes_nothing_is_written(tmp_path):
    with pytest.raises(UserError, match=r"size of a\.png is not known"):
        write_annotations(tmp_path / "x", {"a.png": Detections([[0, 0, 5, 5]])}, format="yolo")
    assert list(tmp_path.iterdir()) == []
    Image.new("L", (50, 100)).save(tmp_path / "a.png")
    write_annotations(tmp_path / "x", {"a.png": Detections([[0, 0, 5, 5]])}, format="yolo", images=tmp_path)
    assert read_annotations(tmp_path / "x").sizes == {"a.png": (100, 50)}


def test_names_that_lead_out_of_the_folder_do_not(tmp_path):
    names = ["../../x.png", "/etc/x.png", "C:/x.png", "a.png", "a.tif", "A.png", "m.tif#t=3", "con.png"]
    data = Annotations({name: Detections([[0, 0, 5, 5]]) for name in names}, dict.fromkeys(names, (9, 9)))
    (tmp_path / "in").mkdir()
    notes = write_annotations(tmp_path / "in" / "x", data, format="yolo")
    assert any("for each plane of a stack" in note for note in notes)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["x"]
    assert set(read_annotations(tmp_path / "in" / "x")) == set(names)


def test_a_list_of_planes_that_is_none_is_told(tmp_path):
    write_annotations(
        tmp_path / "x", Annotations({"a.png": Detections([[0, 0, 5, 5]])}, {"a.png": (9, 9)}), format="yolo"
    )
    (tmp_path / "x" / "planes.csv").write_text("labels,plane,height,width\nlabels/a.txt,a.png,x,9\n")
    with pytest.raises(UserError, match=r"planes\.csv"):
        read_annotations(tmp_path / "x")


def test_other_text_files_are_no_labels(tmp_path):
    (tmp_path / "notes.txt").write_text("0 0.5 0.5 0.2 0.1")
    (tmp_path / "words.txt").write_text("the mean was 0.5 0.5")
    assert find_format(tmp_path) is None
    assert find_format(tmp_path / "words.txt") is None
