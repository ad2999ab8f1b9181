"""Layers of boxes to files and back, with napari's readers and writers."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Layer, Shapes
from napari.utils.notifications import notification_manager

from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.steps import Area
from napari_localize.formats import read_annotations, write_annotations
from napari_localize.plugin import files
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.layers import METADATA, new_box_layer
from napari_localize.plugin.readers import get_reader
from napari_localize.plugin.writers import write_coco, write_csv

WRITERS = {".json": write_coco, ".csv": write_csv}


def detections(*starts, **columns):
    boxes = np.array([(x, 2, x + 10.25, 14.5) for x in starts], np.float32).reshape(-1, 4)
    return Detections(boxes, class_names=("a", "b"), **columns)


def save(layer, path):
    data, meta, _ = layer.as_layer_data_tuple()
    assert WRITERS[path.suffix](str(path), data, meta) == [str(path)]


def load(path):
    reader = get_reader(str(path))
    assert reader is not None
    return [Layer.create(*part) for part in reader(str(path))]


@pytest.fixture
def movie():
    image = Image(np.zeros((4, 50, 60)), name="movie", axis_labels=("t", "y", "x"))
    boxes = box_layer(new_box_layer(image, ("a", "b")))
    found = detections(0, 12, 24, 36, labels=[0, 1, 0, 1], scores=[0.9, 0.3, 0.6, 0.5])
    boxes.set_proposals({(0,): found, (2,): found}, "model@3")
    return boxes


@pytest.mark.parametrize("suffix", WRITERS)
def test_everything_a_person_has_done_is_there_again(movie, tmp_path, suffix):
    layer = movie.layer
    movie.accept([1])
    movie.reject([2])
    movie.set_class([3], "b")
    layer.add_rectangles(np.array([[[3, 5, 5], [3, 5, 9], [3, 9, 9], [3, 9, 5.0]]]))
    movie.finish((1,))
    movie.set_filter(0.45)
    movie.set_shown_states({"proposed"})
    save(layer, tmp_path / f"boxes{suffix}")
    (loaded,) = load(tmp_path / f"boxes{suffix}")
    again = box_layer(loaded)
    assert loaded.ndim == 3
    assert loaded.nshapes == 7
    kept = {key: movie.get(key) for key in range(1, 10) if key != 6}
    assert {key: again.get(key) for key in kept} == {
        key: box._replace(score=pytest.approx(box.score)) for key, box in kept.items()
    }
    # A guess that the filter hides has been seen by nobody.
    assert again.get(6) is None
    assert list(again.classes.items()) == list(movie.classes.items())
    if suffix == ".json":
        assert again.finished == {(1,)}


@pytest.mark.parametrize("suffix", WRITERS)
def test_an_empty_layer_is_a_file_and_a_layer(tmp_path, suffix):
    layer = new_box_layer(Image(np.zeros((50, 60)), name="cells"), ("a", "b"))
    save(layer, tmp_path / f"boxes{suffix}")
    assert list(read_annotations(tmp_path / f"boxes{suffix}")) == ["cells"]
    (loaded,) = load(tmp_path / f"boxes{suffix}")
    assert loaded.nshapes == 0
    boxes = box_layer(loaded)
    loaded.add_rectangles(np.array([[[5, 5], [5, 9], [9, 9], [9, 5.0]]]))
    assert len(boxes.shown()) == 1


def test_the_size_and_the_file_of_the_image_are_written(tmp_path):
    image = Image(np.zeros((50, 60)), name="cells")
    image._source = image.source.model_copy(update={"path": "/data/plate 1/cells.ome.tif"})
    layer = new_box_layer(image)
    save(layer, tmp_path / "boxes.json")
    assert read_annotations(tmp_path / "boxes.json").sizes == {"cells.ome.tif": (50, 60)}


@pytest.mark.parametrize("suffix", WRITERS)
def test_shapes_from_elsewhere_are_written_as_the_boxes_around_them(tmp_path, suffix):
    layer = Shapes(
        [np.array([[10, 20], [30, 25], [20, 40.0]]), np.array([[0, 0], [0, 5], [5, 5], [5, 0.0]])],
        shape_type=["polygon", "rectangle"],
        name="drawn",
    )
    save(layer, tmp_path / f"boxes{suffix}")
    (plane,) = read_annotations(tmp_path / f"boxes{suffix}").values()
    assert sorted(plane.boxes.tolist()) == [[0.5, 0.5, 5.5, 5.5], [20.5, 10.5, 40.5, 30.5]]
    assert plane.states.tolist() == ["added", "added"]


def test_an_existing_file_is_replaced_as_napari_has_asked(movie, tmp_path):
    path = tmp_path / "boxes.json"
    path.write_text("old")
    save(movie.layer, path)
    assert len(load(path)) == 1


def test_a_file_that_cannot_be_written_is_explained(movie, tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        save(movie.layer, tmp_path / "missing" / "boxes.json")


def test_each_image_gets_its_layer(tmp_path):
    planes = {"one.tif": detections(1), "two.tif": detections(5, 20), "film.tif#t=1,z=2": detections(9)}
    write_annotations(tmp_path / "set.json", planes)
    layers = load(tmp_path / "set.json")
    assert [(layer.name, layer.ndim, layer.nshapes) for layer in layers] == [
        ("one.tif boxes", 2, 1),
        ("two.tif boxes", 2, 2),
        ("film.tif boxes", 4, 1),
    ]
    assert box_layer(layers[2]).planes() == [(1, 2)]


def test_many_images_become_the_planes_of_one_layer(tmp_path):
    planes = {f"{number:02}.tif": detections(*range(0, 30 * (number % 3), 30)) for number in range(20)}
    data = Annotations(planes, dict.fromkeys(planes, (50, 60)), reviewed=["05.tif"])
    write_annotations(tmp_path / "set.json", data)
    (layer,) = load(tmp_path / "set.json")
    boxes = box_layer(layer)
    assert boxes.counts((4,))["a"] == (1, 1)
    assert boxes.finished == {(5,)}
    save(layer, tmp_path / "again.json")
    again = read_annotations(tmp_path / "again.json")
    assert {name: len(part) for name, part in again.items()} == {
        name: len(part) for name, part in planes.items() if len(part) or name == "05.tif"
    }
    assert again.reviewed == {"05.tif"}
    assert again.sizes["05.tif"] == (50, 60)


def test_of_very_many_boxes_some_are_shapes_and_all_are_there(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST_SHAPES", 5)
    monkeypatch.setattr("napari_localize.plugin.boxes.MOST_SHAPES", 5)
    write_annotations(tmp_path / "big.csv", {"cells.tif": detections(*range(0, 90, 10))})
    (layer,) = load(tmp_path / "big.csv")
    assert layer.nshapes == 5
    assert len(box_layer(layer).shown()) == 9
    save(layer, tmp_path / "again.csv")
    assert len(read_annotations(tmp_path / "again.csv")["cells.tif"]) == 9


def test_what_was_mended_in_a_file_is_said(tmp_path):
    path = tmp_path / "boxes.csv"
    path.write_text("file,x0,y0,x1,y1,class\ncells.tif,1,1,9,9,a\ncells.tif,5,5,5,9,a\n")
    seen = len(notification_manager.records)
    (layer,) = load(path)
    assert layer.nshapes == 1
    assert notification_manager.records[seen].message.startswith("boxes.csv: ")


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", '{"type": "Topology"}', "[1, 2, 3]"])
@pytest.mark.parametrize("name", ["x.json", "x.csv"])
def test_other_files_are_left_to_others(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    assert get_reader(str(tmp_path / name)) is None
    assert get_reader(str(tmp_path / "missing.json")) is None


def test_colours_are_right_before_anyone_takes_charge(tmp_path):
    part = detections(1, 20, 40, labels=[1, 0, 1])
    write_annotations(tmp_path / "boxes.json", {"cells.tif": part})
    (layer,) = load(tmp_path / "boxes.json")
    before = layer.edge_color.copy()
    boxes = box_layer(layer)
    np.testing.assert_allclose(before, layer.edge_color, atol=1e-6)
    assert layer.metadata[METADATA]["colors"] == boxes.classes


def test_areas_are_saved_and_there_again(tmp_path):
    layer = new_box_layer(Image(np.zeros((3, 50, 60)), name="movie"))
    boxes = box_layer(layer)
    areas = frozenset({Area((1,), (0.0, 0.0, 20.0, 30.0), "reviewed"), Area((2,), (5.0, 5.0, 9.0, 9.0), "ignored")})
    boxes.set_areas(areas, "areas")
    save(layer, tmp_path / "movie.json")
    (again,) = load(tmp_path / "movie.json")
    # Of a file one sees only the planes that it names.
    assert {area[1:] for area in box_layer(again).areas} == {area[1:] for area in areas}
    assert {area.plane for area in box_layer(again).areas} == {(1,), (2,)}
