from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tifffile

import napari_localize as nl

BOXES = nl.Detections([[4, 4, 20, 20], [40, 30, 60, 50]], labels=[0, 1], class_names=("cell", "dot"))


@pytest.fixture
def annotations(tmp_path):
    path = tmp_path / "boxes.json"
    planes = {"one.png": BOXES, "movie.tif#t=2": BOXES[:1], "movie.tif#t=0": BOXES[:0]}
    nl.write_annotations(path, nl.Annotations(planes, {"one.png": (64, 96)}))
    return path


@pytest.fixture
def measure(call, images, annotations, tmp_path):
    def run(*arguments, images=(images,), output=tmp_path / "objects.csv"):
        return call("measure", "--images", *images, "--annotations", annotations, "--output", output, *arguments)

    return run


def test_both_tables(measure, tmp_path):
    outcome = measure("--summary", tmp_path / "planes.csv", "--pixel-size", 0.5, "--channel-names", "dapi")
    # The folder has two pictures of one name, of which the one beside the movie is meant.
    assert outcome.status == 0, outcome.err
    assert "3 objects in 3 planes written to" in outcome.out
    assert "1 images such as 'sub/one.png' have no annotations" in outcome.err
    objects = pd.read_csv(tmp_path / "objects.csv")
    assert objects["file"].tolist() == ["one.png", "one.png", "movie.tif"]
    assert objects["t"].fillna(-1).tolist() == [-1, -1, 2]
    assert objects["area_um2"].tolist() == [64, 100, 64]
    assert "mean_dapi" in objects
    planes = pd.read_csv(tmp_path / "planes.csv")
    assert planes["count_cell"].tolist() == [1, 1, 0]
    assert planes["area_mm2"].tolist() == pytest.approx([64 * 96 * 0.25e-6] * 3)
    alone = nl.measure(tmp_path / "images" / "one.png", BOXES).objects
    np.testing.assert_allclose(objects["background_dapi"][:2], alone["background_ch0"])


def test_json(measure):
    outcome = measure("--json", "--pixel-size", 1)
    assert outcome.status == 0
    assert outcome.json["objects"] == 3
    assert [(plane["file"], plane["t"], plane["count"]) for plane in outcome.json["planes"]] == [
        ("one.png", None, 2),
        ("movie.tif", 2, 1),
        ("movie.tif", 0, 0),
    ]


def test_nothing_is_overwritten_unasked(measure, tmp_path):
    assert measure().status == 0
    again = measure()
    assert again.status == 2
    assert "add --overwrite" in again.errors[0]
    assert measure("--overwrite").status == 0


def test_a_damaged_file_stops_nothing_else(measure, images, tmp_path):
    (images / "one.png").write_bytes(b"damaged")
    outcome = measure("--json")
    assert outcome.status == 2
    assert len(outcome.errors) == 1
    assert "one.png" in outcome.errors[0]
    assert outcome.json["objects"] == 1
    assert [entry["file"] for entry in outcome.json["failed"]] == ["one.png"]
    assert len(pd.read_csv(tmp_path / "objects.csv")) == 1


def test_an_image_of_another_size_or_without_the_plane_is_named(measure, images, tmp_path):
    tifffile.imwrite(images / "movie.tif", np.zeros((64, 96), np.uint8))
    (images / "one.png").unlink()
    tifffile.imwrite(images / "one.png", np.zeros((30, 30), np.uint8))
    outcome = measure()
    assert outcome.status == 2
    assert len(outcome.errors) == 2
    assert any("96 x 64" in error and "30 x 30" in error for error in outcome.errors)
    assert any("'movie.tif#t=2' is not a plane" in error for error in outcome.errors)
    assert not (tmp_path / "objects.csv").exists()


def test_planes_without_an_image_are_named(measure, images):
    outcome = measure(images=[images / "one.png"])
    assert outcome.status == 0
    assert "2 annotated planes such as 'movie.tif#t=2' have no image" in outcome.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--pixel-size", "-1"], "pixel size"),
        (["--summary", "objects.txt"], ".csv"),
        (["--summary", "missing/planes.csv"], "does not exist"),
        (["--channel-names", "a,b"], "channel names"),
        (["--axes", "YX"], "axes"),
    ],
)
def test_a_wrong_call_gets_one_sentence_each(measure, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    outcome = measure(*arguments)
    assert outcome.status == 2
    assert outcome.errors
    assert all(says in error and error.endswith(".") for error in outcome.errors)


def test_images_that_are_not_annotated_are_no_input(measure, images):
    (images / "other.png").write_bytes((images / "one.png").read_bytes())
    outcome = measure(images=[images / "other.png"])
    assert outcome.status == 2
    assert "names must be equal" in outcome.errors[0]


def test_both_tables_in_one_file(measure, tmp_path):
    outcome = measure("--summary", tmp_path / "objects.csv")
    assert outcome.status == 2
    assert "a file of its own" in outcome.errors[0]
