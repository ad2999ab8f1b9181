"""The command convert: between any two formats, and what it says about what is lost."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.formats import FORMATS, read_annotations, writable_formats, write_annotations

FORMATS_TO_WRITE = [name for name in writable_formats() if name != "napari"]


def path_of(folder, name):
    return folder / ("out" + "".join(FORMATS[name].extensions[:1]) * (name != "voc"))


@pytest.mark.parametrize(("first", "second"), [*itertools.permutations(FORMATS_TO_WRITE, 2)])
def test_between_any_two_formats(call, tmp_path, first, second):
    part = Detections([[1, 2, 30.25, 40], [50, 60, 70, 80.5]], [0, 1], [0.5, 0.25], class_names=["RBC", "WBC"])
    data = Annotations({"a.png": part}, {"a.png": (100, 90)})
    for folder in ("one", "two", "images"):
        (tmp_path / folder).mkdir()
    Image.new("L", (90, 100)).save(tmp_path / "images" / "a.png")
    source, target = path_of(tmp_path / "one", first), path_of(tmp_path / "two", second)
    write_annotations(source, data, format=first)
    if second == "yolo" and "sizes" not in FORMATS[first].holds:
        outcome = call("convert", source, target, "--format", second)
        assert outcome.status == 2
        assert "give the folder of the images" in outcome.errors[0]
    outcome = call("convert", source, target, "--format", second, "--images", tmp_path / "images")
    assert outcome.status == 0
    assert f"2 boxes of 1 planes written to {target}" in outcome.out
    back = read_annotations(target)["a.png"]
    np.testing.assert_allclose(back.boxes, part.boxes, atol=0.01)
    np.testing.assert_array_equal(back.scores, part.scores)
    assert [back.class_names[label] for label in back.labels] == ["RBC", "WBC"]


def test_the_extension_tells_the_format(call, tmp_path):
    write_annotations(tmp_path / "x.csv", {"a.png": Detections([[0, 0, 5, 5]])})
    for name in ("x.geojson", "x.zip", "x.xml", "x.json"):
        assert call("convert", tmp_path / "x.csv", tmp_path / name).status == 0
        assert read_annotations(tmp_path / name)["a.png"].boxes.tolist() == [[0, 0, 5, 5]]
    outcome = call("convert", tmp_path / "x.csv", tmp_path / "folder")
    assert outcome.status == 2
    assert "--format yolo" in outcome.errors[0]


def test_what_is_lost_is_said(call, tmp_path):
    part = Detections([[0, 0, 5, 5], [5, 5, 9, 9]], scores=[0.5, 0.5], states=["edited", "rejected"])
    write_annotations(tmp_path / "x.json", Annotations({"a.png": part}, {"a.png": (9, 9)}))
    outcome = call("convert", tmp_path / "x.json", tmp_path / "yolo", "--format", "yolo")
    assert outcome.status == 0
    assert "Rejected boxes left out because YOLO would take them for objects: 1." in outcome.err
    assert "no place for what was accepted or edited" in outcome.err


def test_label_images_are_named(call, tmp_path):
    labels = np.zeros((20, 30), np.uint16)
    labels[2:8, 3:9] = 7
    tifffile.imwrite(tmp_path / "cells.tif", labels)
    outcome = call("convert", tmp_path / "cells.tif", tmp_path / "x.json")
    assert outcome.status == 2
    assert "'labels'" in outcome.errors[0]
    assert call("convert", tmp_path / "cells.tif", tmp_path / "x.json", "--input-format", "labels").status == 0
    assert read_annotations(tmp_path / "x.json")["cells.tif"].boxes.tolist() == [[3, 2, 9, 8]]


def test_folders_are_replaced_only_when_asked_to(call, tmp_path):
    write_annotations(tmp_path / "x.json", {"a.png": Detections([[0, 0, 5, 5]])})
    arguments = ["convert", tmp_path / "x.json", tmp_path / "out", "--format", "voc"]
    assert call(*arguments).status == 0
    outcome = call(*arguments)
    assert outcome.status == 2
    assert "--overwrite" in outcome.errors[0]
    assert call(*arguments, "--overwrite").status == 0
    (tmp_path / "out" / "a.png").write_text("mine")
    outcome = call(*arguments, "--overwrite")
    assert outcome.status == 2
    assert "would be lost" in outcome.errors[0]
    assert call("convert", tmp_path / "x.json", tmp_path / "no" / "out", "--format", "voc").status == 2


@pytest.mark.parametrize("name", ["labels", "trackmate", "xls"])
def test_formats_that_cannot_be_written_are_told(call, tmp_path, name):
    write_annotations(tmp_path / "x.json", {"a.png": Detections([[0, 0, 5, 5]])})
    outcome = call("convert", tmp_path / "x.json", tmp_path / "y", "--format", name)
    assert outcome.status == 2
    assert "those that can are coco, csv, yolo" in outcome.errors[0]


@pytest.mark.parametrize("name", ["yolo", "voc", "geojson", "imagej"])
def test_predict_writes_every_format(call, untrained, tmp_path, name):
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for file in ("a.png", "b.png"):
        Image.fromarray(rng.integers(0, 255, (64, 96), np.uint8)).save(tmp_path / "in" / file)
    arguments = ["predict", tmp_path / "in", "--model", untrained, "--output", tmp_path / "out", "--format", name]
    outcome = call(*arguments, "--device", "cpu", "--object-diameter", 24, "--threshold", 0)
    assert outcome.status == 0
    if name in ("geojson", "imagej"):
        paths = [tmp_path / "out" / f"{file}{FORMATS[name].extensions[0]}" for file in "ab"]
        found = {key: part for path in paths for key, part in read_annotations(path).items()}
    else:
        found = dict(read_annotations(tmp_path / "out"))
    assert set(found) == {"a.png", "b.png"}
    assert not any(np.isnan(part.scores).any() for part in found.values())
    assert call(*arguments).status == 2


def test_boxes_become_points_and_points_boxes(call, tmp_path):
    write_annotations(tmp_path / "x.json", {"a.png": Detections([[0, 0, 6, 6], [10, 20, 20, 30]])})
    outcome = call("convert", tmp_path / "x.json", tmp_path / "points.csv", "--points")
    assert outcome.status == 0
    points = read_annotations(tmp_path / "points.csv")
    assert points.points
    assert points["a.png"].centers.tolist() == [[3, 3], [15, 25]]
    outcome = call("convert", tmp_path / "points.csv", tmp_path / "boxes.json", "--boxes", 4)
    assert outcome.status == 0
    boxes = read_annotations(tmp_path / "boxes.json")
    assert not boxes.points
    assert boxes["a.png"].boxes.tolist() == [[1, 1, 5, 5], [13, 23, 17, 27]]
    assert call("convert", tmp_path / "points.csv", tmp_path / "no.json", "--boxes", 0).status == 2
