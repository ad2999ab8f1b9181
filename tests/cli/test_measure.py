from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tifffile

import napari_localize as nl
from napari_localize.core.steps import Area

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


def test_only_what_a_person_has_reviewed_is_counted(call, images, tmp_path):
    path = tmp_path / "boxes.json"
    planes = {"one.png": BOXES, "movie.tif#t=2": BOXES, "movie.tif#t=0": BOXES}
    areas = {"movie.tif#t=2": [Area((), (0, 0, 30, 30), "reviewed")], "one.png": [Area((), (0, 0, 30, 30), "ignored")]}
    nl.write_annotations(
        path, nl.Annotations(planes, dict.fromkeys(planes, (64, 96)), reviewed=["one.png"], areas=areas)
    )
    arguments = ["--images", images, "--annotations", path, "--output", tmp_path / "o.csv", "--json"]
    outcome = call("measure", *arguments)
    assert outcome.status == 0, outcome.err
    found = {
        (plane["file"], plane["t"]): (plane["reviewed"], plane["area_px2"], plane["count"])
        for plane in outcome.json["planes"]
    }
    assert found == {
        ("one.png", None): ("plane", 64 * 96 - 900, 1),
        ("movie.tif", 2): ("areas", 900, 1),
        ("movie.tif", 0): ("nothing", 0, 0),
    }
    assert pd.read_csv(tmp_path / "o.csv")["counted"].tolist() == [False, True, True, False, False, False]


def test_each_file_says_how_large_its_pixels_are(measure, images):
    pixels = np.zeros((3, 64, 96), np.uint8)
    tifffile.imwrite(
        images / "movie.tif", pixels, imagej=True, resolution=(4, 4), metadata={"axes": "TYX", "unit": "um"}
    )
    sizes = [plane["pixel_size_um"] for plane in measure("--json").json["planes"]]
    assert sizes[1:] == [0.25, 0.25]
    assert sizes[0] is None or np.isnan(sizes[0])
    given = measure("--json", "--overwrite", "--pixel-size", 2).json["planes"]
    assert [plane["pixel_size_um"] for plane in given] == [2, 2, 2]
    tifffile.imwrite(
        images / "movie.tif", pixels, imagej=True, resolution=(4, 2), metadata={"axes": "TYX", "unit": "um"}
    )
    outcome = measure("--overwrite")
    assert outcome.status == 0
    assert "0.25 µm wide and 0.5 µm high" in outcome.err


@pytest.fixture
def project(images, tmp_path):
    path = tmp_path / "study.localize"
    with nl.open_project(path, create=True) as project:
        project.add_images([images])
        with project.edit("draw") as edit:
            edit.add("one.png", BOXES)
            edit.add("movie.tif#t=1", BOXES)
            edit.finish("one.png")
        project.set_area("movie.tif#t=1", (0, 0, 30, 30), "reviewed")
    return path


def test_a_project(call, project, tmp_path):
    outcome = call("measure", "--project", project, "--output", tmp_path / "o.csv", "--json")
    assert outcome.status == 0, outcome.err
    assert {(plane["file"], plane["t"], plane["reviewed"], plane["count"]) for plane in outcome.json["planes"]} == {
        ("one.png", None, "plane", 2),
        ("movie.tif", 1, "areas", 1),
    }


def test_a_project_whose_image_has_gone(call, project, images, tmp_path):
    (images / "one.png").unlink()
    outcome = call("measure", "--project", project, "--output", tmp_path / "o.csv", "--json")
    assert outcome.status == 2
    assert "one.png is missing" in outcome.errors[0]
    assert [plane["file"] for plane in outcome.json["planes"]] == ["movie.tif"]


def test_a_project_without_boxes(call, images, tmp_path):
    nl.open_project(tmp_path / "new.localize", create=True).close()
    outcome = call("measure", "--project", tmp_path / "new.localize", "--output", tmp_path / "o.csv")
    assert outcome.status == 2
    assert "has no boxes yet" in outcome.errors[0]
