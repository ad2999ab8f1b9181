from __future__ import annotations

import contextlib
import io
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.steps import Area
from napari_localize.evaluation.metrics import evaluate
from napari_localize.formats import read_annotations, write_annotations


@pytest.fixture
def save(tmp_path):
    """Write a data set of one 100 x 50 image (height x width) and one class, changed as told."""

    def write(name="x.json", **changes):
        data = {
            "images": [{"id": 1, "file_name": "a.png", "width": 50, "height": 100}],
            "categories": [{"id": 7, "name": "RBC"}],
            "annotations": [],
        }
        path = tmp_path / name
        path.write_text(json.dumps(data | changes))
        return path

    return write


def row(*bbox, **more):
    return {"id": 1, "image_id": 1, "category_id": 7, "bbox": list(bbox), **more}


def test_pycocotools_loads_what_is_written(tmp_path):
    from pycocotools.coco import COCO

    planes = {
        "a.png": Detections([[1, 2, 11, 22], [3, 3, 6, 6]], labels=[0, 1], scores=[0.5, 0.25], class_names=("A", "B")),
        "s.tif#t=1": Detections([[0, 0, 4, 4]], class_names=("A", "B")),
    }
    write_annotations(tmp_path / "x.json", Annotations(planes, {"a.png": (64, 32)}))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / "x.json"))
    assert coco.loadImgs(coco.getImgIds()) == [
        {"id": 1, "file_name": "a.png", "height": 64, "width": 32},
        {"id": 2, "file_name": "s.tif", "plane": {"t": 1}},
    ]
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == ["A", "B"]
    first, second, third = coco.loadAnns(coco.getAnnIds())
    assert first["bbox"] == [1, 2, 10, 20]
    assert first["area"] == 200
    assert (first["score"], first["iscrowd"], second["category_id"], second["state"]) == (0.5, 0, 2, "proposed")
    assert "score" not in third
    assert len({a["id"] for a in (first, second, third)}) == 3
    assert third["box_id"] == 1


def test_sizes_and_unused_classes_survive(tmp_path):
    data = Annotations({"a.png": Detections.empty(("A", "B"))}, {"a.png": (64, 32)})
    write_annotations(tmp_path / "x.json", data)
    back = read_annotations(tmp_path / "x.json")
    assert back.sizes == {"a.png": (64, 32)}
    assert back.class_names == ("A", "B")


def test_boxes_are_cut_at_the_border_and_flawed_ones_left_out_and_counted(save):
    rows = [
        row(-5, -5, 10, 10),
        row(45, 90, 20, 20),
        row(60, 0, 5, 5),
        row(1, 1, 0, 5),
        row(5, 5, -3, 5),
        row(float("nan"), 0, 1, 1),
        row(1e30, 0, 1, 1),
        row("1", 0, 1, 1),
        row(1, 2, 3),
        "not a row",
        row(0, 0, 5, 5, image_id=99),
        row(0, 0, 5, 5, image_id=[1]),
        row(0, 0, 50, 100, iscrowd=1),
        row(1, 1, 5, 5, id=1, score=3, state="odd"),
    ]
    data = read_annotations(save(annotations=rows))
    assert data["a.png"].boxes.tolist() == [[0, 0, 5, 5], [45, 90, 50, 100], [1, 1, 6, 6]]
    assert data["a.png"].scores[2] == 1
    assert data["a.png"].states.tolist() == ["added", "added", "proposed"]
    assert sorted(data["a.png"].ids.tolist()) == [1, 2, 3]
    notes = "\n".join(data.notes)
    for text in (
        "cut at the border of their image: 2.",
        "wholly outside their image: 1.",
        "no area (a width or height of 0 or less): 2.",
        "not a number or is beyond all images: 2.",
        "neither a bbox of four numbers nor visible keypoints: 2.",
        "not JSON objects: 1.",
        "image is not in the file: 2.",
        "crowds (iscrowd) and not single objects: 1.",
        "score was outside 0 to 1",
        "state is unknown",
        "id of another box of their plane, which got a new one: 2.",
    ):
        assert text in notes
    assert len(data.notes) == 11


def test_rounding_in_the_file_is_not_a_box_over_the_border(save):
    data = read_annotations(save(annotations=[row(40.001, 0, 10, 10)]))
    assert data["a.png"].boxes[0, 2] == 50
    assert data.notes == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"annotations": [row(0, 0, 5, 5, category_id=8)]}, "annotation 0 in .* category_id 8, which is not among"),
        ({"annotations": [row(0, 0, 5, 5, category_id={})]}, "category_id a dict, which is not among"),
        ({"annotations": {}}, "'annotations' in .* is not a list"),
        ({"images": [1]}, "image 0 in .* lacks an id or a file_name"),
        ({"images": [{"id": [1], "file_name": "a"}]}, "image 0 in .* lacks an id"),
        ({"images": [{"id": 1, "file_name": 3}]}, "image 0 in .* lacks an id"),
        ({"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}]}, "two images in .* have the id 1"),
        ({"images": [{"id": 1, "file_name": "a", "plane": {"t": -1}}]}, "must be like"),
        ({"categories": [{"id": 1}]}, "category 0 in .* lacks an id or a name"),
        ({"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}, "two categories in .* have the id 1"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(save, changes, sentence):
    with pytest.raises(UserError, match=sentence):
        read_annotations(save(**changes))


def test_deep_nesting_and_bad_json_are_told(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"images": ' + "[" * 200_000)
    with pytest.raises(UserError, match="nested too deeply"):
        read_annotations(path)
    path.write_text('{"images": [}')
    with pytest.raises(UserError, match="not valid JSON"):
        read_annotations(path)
    path.write_text('{"images": [], "x": ' + "9" * 5000 + "}")
    with pytest.raises(UserError, match="not valid JSON"):
        read_annotations(path)


def test_names_from_windows_and_a_byte_order_mark(tmp_path, save):
    path = save(images=[{"id": "k", "file_name": "sub\\a.png"}])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert list(read_annotations(path)) == ["sub/a.png"]


def test_images_and_categories_that_are_listed_twice_are_joined(save):
    data = read_annotations(
        save(
            images=[{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "a.png"}],
            categories=[{"id": 7, "name": "RBC"}, {"id": 8, "name": "RBC"}],
            annotations=[row(0, 0, 5, 5), row(9, 9, 5, 5, image_id=2, category_id=8, id=2)],
        )
    )
    assert len(data["a.png"]) == 2
    assert data.class_names == ("RBC",)


def test_points_get_squares_of_the_size_of_the_boxes_or_as_told(save):
    point = {"id": 2, "image_id": 1, "category_id": 7, "keypoints": [20, 30, 2], "num_keypoints": 1}
    path = save(annotations=[row(0, 0, 8, 8), point])
    data = read_annotations(path)
    assert data["a.png"].boxes[1].tolist() == [16, 26, 24, 34]
    assert data.notes == ["Points that stand in the file without a box and got a square of 8 pixels: 1."]
    assert read_annotations(path, point_size=4)["a.png"].boxes[1].tolist() == [18, 28, 22, 32]


def test_points_alone_get_squares_of_the_distance_to_their_neighbours(save):
    points = [
        {"id": n, "image_id": 1, "category_id": 7, "keypoints": [x, 50, 2]} for n, x in enumerate((10, 20, 30), 1)
    ]
    data = read_annotations(save(annotations=points))
    assert data["a.png"].centers.tolist() == [[10, 50], [20, 50], [30, 50]]
    assert data["a.png"].diameters.tolist() == [10, 10, 10]
    lonely = read_annotations(save(annotations=points[1:2]))
    assert lonely["a.png"].diameters.tolist() == [20]


def test_several_keypoints_span_a_box_and_invisible_ones_do_not_count(save):
    skeleton = {"id": 1, "image_id": 1, "category_id": 7, "keypoints": [10, 20, 2, 30, 60, 1, 0, 0, 0]}
    hidden = {"id": 2, "image_id": 1, "category_id": 7, "keypoints": [10, 20, 0]}
    data = read_annotations(save(annotations=[skeleton, hidden]))
    assert data["a.png"].boxes.tolist() == [[10, 20, 30, 60]]
    assert "nor visible keypoints: 1." in data.notes[0]


def test_results_are_read_with_the_data_set_that_they_belong_to(save, tmp_path):
    truth = save("truth.json", annotations=[row(0, 0, 10, 10)])
    results = tmp_path / "results.json"
    results.write_text(json.dumps([{"image_id": 1, "category_id": 7, "bbox": [0, 0, 10, 10], "score": 0.9}]))
    with pytest.raises(UserError, match="list of COCO results"):
        read_annotations(results)
    data = read_annotations(results, reference=truth)
    assert data.class_names == ("RBC",)
    assert data["a.png"].scores.tolist() == [np.float32(0.9)]
    assert evaluate(results, truth).loc["RBC", "F1"] == 1
    results.write_text("[]")
    assert evaluate(results, truth).loc["RBC", "recall"] == 0


NUMBERS = st.one_of(st.integers(), st.floats(), st.just(1 << 70))
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(st.sampled_from("tz"), inner, max_size=2)),
    max_leaves=6,
)


def entries(**fields):
    """Make lists of objects whose fields are sometimes right, sometimes anything and sometimes missing."""
    entry = st.fixed_dictionaries({}, optional={name: st.one_of(good, ANYTHING) for name, good in fields.items()})
    return st.one_of(st.lists(st.one_of(entry, ANYTHING), max_size=4), ANYTHING)


ID = st.just(1)


def test_areas_are_kept(tmp_path):
    areas = {
        "a.tif#t=2": (Area((), (1.25, 2.0, 40.5, 30.75), "reviewed"), Area((), (5.0, 5.0, 9.0, 9.0), "ignored")),
        "b.tif": (Area((), (0.0, 0.0, 3.0, 3.0), "ignored"),),
    }
    planes = dict.fromkeys(areas, Detections.empty())
    write_annotations(tmp_path / "x.json", Annotations(planes, areas=areas))
    assert read_annotations(tmp_path / "x.json").areas == areas
    notes = write_annotations(tmp_path / "x.csv", Annotations(planes, areas=areas))
    assert any("reviewed and ignored areas" in note for note in notes)


@pytest.mark.parametrize("wrong", [7, [[1, 2, 3]], [[1, 2, -3, 4]], ["abcd"], [[0, 0, 1e999, 1]], [[0, 0, None, 1]]])
def test_areas_that_are_none_are_told(save, wrong):
    image = {"id": 1, "file_name": "a.png", "ignored_areas": wrong}
    with pytest.raises(UserError, match=r"ignored_areas|the area"):
        read_annotations(save(images=[image]))


@given(
    images=entries(id=ID, file_name=st.just("a"), width=ID, height=st.integers(), plane=st.just({"t": 1})),
    categories=entries(id=ID, name=st.just("A")),
    annotations=entries(
        id=ID,
        image_id=ID,
        category_id=ID,
        bbox=st.lists(NUMBERS, min_size=4, max_size=4),
        keypoints=st.lists(NUMBERS, min_size=3, max_size=6),
        score=NUMBERS,
        box_id=NUMBERS,
        iscrowd=st.just(0),
    ),
)
@settings(max_examples=300, deadline=None)
def test_any_json_gives_annotations_or_a_sentence(images, categories, annotations):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x.json")
        path.write_text(json.dumps({"images": images, "categories": categories, "annotations": annotations}))
        with contextlib.suppress(UserError):
            assert isinstance(read_annotations(path), Annotations)


@pytest.mark.parametrize("depth", [500, 900, 980, 5000])
def test_a_deeply_nested_value_is_told(save, depth):
    path = save(annotations=[row(0, 0, 5, 5, category_id="deep")])
    path.write_text(path.read_text().replace('"deep"', "[" * depth + "]" * depth))
    with pytest.raises(UserError, match=r"category_id a list|too deeply"):
        read_annotations(path)
