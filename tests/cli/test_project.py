from __future__ import annotations

import numpy as np
import pytest

from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.formats import read_annotations, write_annotations
from napari_localize.project import open_project
from napari_localize.project.database import FILE


@pytest.fixture
def filled(tmp_path, images, call):
    """A project with the images and a box on two of them."""
    boxes = Detections(np.array([[1, 2, 30, 40]]), class_names=("cell",))
    write_annotations(tmp_path / "boxes.json", Annotations({"one.png": boxes, "movie.tif#t=1": boxes}))
    assert call("project", "create", tmp_path / "work").status == 0
    assert call("project", "add", tmp_path / "work", images).status == 0
    assert call("project", "import", tmp_path / "work", tmp_path / "boxes.json").status == 0
    return tmp_path / "work.localize"


def test_a_project_is_made_filled_and_exported(tmp_path, filled, call):
    outcome = call("project", "status", filled)
    assert outcome.out.splitlines() == [
        "movie.tif: in work, 0 of 3 planes finished; 1 cell (1 added)",
        "one.png: in work; 1 cell (1 added)",
        "sub/one.png: untouched",
        "3 images, 5 planes, 0 finished, 2 boxes",
    ]
    assert (outcome.status, outcome.err) == (0, "")
    outcome = call("project", "export", filled, tmp_path / "out.csv")
    assert outcome.out == f"2 boxes written to {tmp_path / 'out.csv'}\n"
    assert set(read_annotations(tmp_path / "out.csv")) == {"one.png", "movie.tif#t=1"}
    assert call("project", "check", filled).out == "nothing is wrong\n"


def test_status_for_programs(filled, call):
    status = call("project", "status", "--json", filled.with_suffix("")).json
    assert status["project"] == str(filled)
    assert list(status["classes"]) == ["cell"]
    first = status["images"][0]
    assert first["axes"] == "TYX"
    assert (first["planes"], first["finished"], first["counts"]) == (3, 0, {"cell": {"added": 1}})


def test_adding_again_adds_nothing(filled, images, tmp_path, call):
    assert call("project", "add", filled, images).out == f"0 images added; {filled} has 3\n"
    outcome = call("project", "import", filled, tmp_path / "boxes.json")
    assert outcome.out.startswith("0 boxes of")
    assert "has them already: 2" in outcome.err


def test_a_bad_image_stops_no_other(tmp_path, images, call):
    (images / "bad.tif").write_bytes(b"II*\0nonsense")
    call("project", "create", tmp_path / "p")
    outcome = call("project", "add", tmp_path / "p", images)
    assert outcome.status == 2
    assert outcome.out.startswith("3 images added")
    assert len(outcome.errors) == 1
    assert outcome.errors[0].startswith("bad.tif: ")


def test_images_that_moved_are_found(tmp_path, filled, images, call):
    (tmp_path / "other").mkdir()
    (images / "one.png").rename(tmp_path / "other" / "uno.png")
    assert "is missing" in call("project", "status", filled).err
    assert call("project", "check", filled).status == 2
    outcome = call("project", "relink", filled, tmp_path / "other")
    assert outcome.out == f"one.png: {tmp_path / 'other' / 'uno.png'}\n"
    assert outcome.status == 0
    assert call("project", "check", filled).status == 0
    (images / "movie.tif").unlink()
    assert call("project", "relink", filled, tmp_path / "other").errors == [
        f"movie.tif: not found in {tmp_path / 'other'}."
    ]


def test_damage_is_said_and_mended(filled, call):
    content = (filled / FILE).read_bytes()
    with open_project(filled) as project:
        (page,) = project.database._connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'boxes_by_plane'"
        ).fetchone()
    broken = content[: (page - 1) * 4096] + bytes(4096) + content[page * 4096 :]
    (filled / FILE).write_bytes(broken)
    outcome = call("project", "check", filled)
    assert outcome.status == 2
    assert "damaged" in outcome.out
    outcome = call("project", "check", filled, "--repair")
    assert (outcome.status, outcome.out) == (0, "nothing is wrong\n")
    assert "3 images, 2 boxes" in outcome.err
    assert len(list(filled.glob("damaged-*.sqlite"))) == 1


def test_an_open_project_is_only_read(filled, tmp_path, call):
    with open_project(filled):
        assert call("project", "status", filled).out.endswith("2 boxes\n")
        outcome = call("project", "import", filled, tmp_path / "boxes.json")
        assert outcome.status == 2
        assert "opened for reading only" in outcome.errors[0]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["unknown"],
        ["create"],
        ["create", "no/where"],
        ["add", "nothing", "a.tif"],
        ["import", "nothing", "a.json"],
        ["status", "nothing"],
        ["export", "nothing", "a.json"],
        ["export", "nothing", "a.unknown"],
        ["relink", "nothing", "."],
        ["check", "nothing"],
        ["check", "nothing", "--repair"],
    ],
)
def test_a_wrong_call_gets_one_sentence(call, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = call("project", *arguments)
    assert (outcome.status, outcome.out) == (2, "")
    assert len(outcome.errors) == 1
    assert len(outcome.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten_unasked(filled, tmp_path, call):
    (tmp_path / "out.json").write_text("mine")
    assert "exists already" in call("project", "export", filled, tmp_path / "out.json").errors[0]
    assert "exists already" in call("project", "create", filled).errors[0]
    assert call("project", "export", filled, tmp_path / "out.json", "--overwrite").status == 0


def test_an_export_says_what_the_format_cannot_hold_and_replaces_its_own_folder(tmp_path, filled, call):
    with open_project(filled) as project:
        found = Detections(np.array([[50, 50, 60, 60]]), scores=[0.5], class_names=("cell",))
        project.propose("one.png", found, origin="m@1")
        boxes = project.detections("one.png")
        with project.edit("judge") as edit:
            edit.reject(boxes.ids[boxes.states == "proposed"])
    outcome = call("project", "export", filled, tmp_path / "regions.zip")
    assert outcome.out.startswith("2 boxes written")
    assert "Rejected boxes left out" in outcome.err
    for _ in range(2):
        assert call("project", "export", filled, tmp_path / "set", "--format", "yolo", "--overwrite").status == 0
    assert "exists already" in call("project", "export", filled, tmp_path / "set", "--format", "yolo").errors[0]


def test_a_model_runs_on_all_images_and_goes_on_where_it_was(filled, images, call):
    first = call("project", "predict", filled, "--model", "nuclei", "--object-diameter", "12", "--device", "cpu")
    assert first.status == 0
    assert f"planes of 3 images put into {filled}" in first.out
    with open_project(filled) as project:
        assert [model.card["name"] for model in project.models()] == ["nuclei"]
        assert project.image("movie.tif").counts["cell"] == {"added": 1}
    again = call("project", "predict", filled, "--model", "nuclei", "--object-diameter", "12", "--device", "cpu")
    assert again.out.startswith("0 boxes on 0 planes of 0 images")
    assert "3 images left out, as nuclei@" in again.err
    with open_project(filled) as project:
        threshold = project.models()[0].card["threshold"]
        assert project.image("movie.tif").load().filter == (threshold, (0.0, np.inf))
    (images / "one.png").write_bytes(b"damaged")
    third = call("project", "predict", filled, "--model", "nuclei", "--threshold", "0.3", "--device", "cpu", "--again")
    assert third.status == 2
    assert "planes of 2 images" in third.out
    assert "one.png: " in third.err


def test_a_model_cannot_run_on_no_image_or_with_nonsense(tmp_path, call):
    call("project", "create", tmp_path / "p")
    assert "has no images yet" in call("project", "predict", tmp_path / "p", "--model", "nuclei").err
    assert (
        "must be above 0"
        in call("project", "predict", tmp_path / "p", "--model", "nuclei", "--object-diameter", "0").err
    )
    assert "there is no model 'none'" in call("project", "predict", tmp_path / "p", "--model", "none").err
