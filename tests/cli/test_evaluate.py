"""Reports and receipts from the command line; the table has its tests in test_files."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest
from PIL import Image

import napari_localize as nl
from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.formats import write_annotations


@pytest.fixture
def files(tmp_path):
    """True and predicted boxes of six images, and the images."""
    rng = np.random.default_rng(0)
    true, found = {}, {}
    (tmp_path / "images").mkdir()
    for number in range(6):
        corner = rng.uniform(0, 80, (8, 2)).astype(np.float32)
        boxes = np.hstack([corner, corner + 10])
        true[f"{number}.png"] = Detections(boxes, class_names=("cell",))
        scores, moved = np.linspace(0.2, 0.9, 8), boxes + 1
        moved[0] += 30
        found[f"{number}.png"] = Detections(moved, scores=scores, class_names=("cell",), origins=["nuclei@1"] * 8)
        Image.fromarray(rng.integers(0, 255, (90, 90)).astype(np.uint8)).save(tmp_path / "images" / f"{number}.png")
    write_annotations(tmp_path / "true.json", Annotations(true))
    write_annotations(tmp_path / "found.json", Annotations(found))
    return ["evaluate", "--predictions", tmp_path / "found.json", "--annotations", tmp_path / "true.json"]


def test_a_report_and_a_receipt(call, files, tmp_path):
    page, receipt = tmp_path / "report.html", tmp_path / "receipt.json"
    more = ["--images", tmp_path / "images", "--report", page, "--receipt", receipt]
    outcome = call(*files, *more)
    assert outcome.status == 0
    assert outcome.out == call(*files).out
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/jpeg") == 6
    assert "nuclei@1" in text
    said = json.loads(receipt.read_text(encoding="utf-8"))
    assert said["model"]["reference"] == "nuclei@1"
    assert said["command"].endswith("--report report.html")
    refused = call(*files, *more)
    assert refused.status == 2
    assert "exists already" in refused.errors[0]
    assert call(*files, *more, "--overwrite").status == 0


def test_a_threshold_and_a_distance(call, files):
    plain = call(*files, "--json").json
    assert "intervals" not in plain
    strict = call(*files, "--threshold", 0.55, "--json").json
    assert strict["threshold"] == 0.55
    assert strict["all"]["recall"] == 0.5
    assert strict["all"]["AP50"] == plain["all"]["AP50"]
    low, high = strict["intervals"]["F1"]
    assert low <= strict["all"]["F1"] <= high
    near = call(*files, "--distance", 1, "--json").json
    assert near["distance"] == 1
    assert near["all"]["recall"] < call(*files, "--distance", 2, "--json").json["all"]["recall"]


def test_the_command_of_a_receipt_gives_the_same_numbers(call, tmp_path):
    corner = np.arange(5)[:, None] * np.array([30, 0])
    true = Detections(np.hstack([corner, corner + 10]), class_names=("cell",))
    # The lowest of them is 0.123457 when it is rounded to six digits, which is above it.
    found = Detections(true.boxes, scores=0.1234567 + 0.1 * np.arange(5), class_names=("cell",))
    for name, boxes in (("true", true), ("found", found)):
        write_annotations(tmp_path / f"{name}.json", Annotations({"a": boxes}))
    files = [tmp_path / "found.json", tmp_path / "true.json"]
    report = nl.report(*files, threshold=nl.report(*files).all.best_threshold)
    words = shlex.split(report.command)[1:]
    words[-1] = str(tmp_path / "report.html")
    again = call(*words, "--json").json["all"]
    assert (again["recall"], again["F1"]) == (report.all.recall, report.all.f1) == (1, 1)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (["--threshold", "2"], "between 0 and 1"),
        (["--pixel-size", "0"], "above 0"),
        (["--distance", "-3"], "above 0"),
        (["--images", "nowhere", "--report", "r.html"], "not a folder"),
        (["--report", "nowhere/r.html"], "does not exist"),
        (["--report", "r", "--receipt", "r"], "two names"),
    ],
)
def test_a_wrong_call_is_told_and_writes_nothing(call, files, tmp_path, monkeypatch, wrong, words):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    outcome = call(*files, *wrong)
    assert outcome.status == 2
    assert words in outcome.errors[0]
    assert sorted(tmp_path.iterdir()) == before


def test_points_are_compared_by_distance_with_and_without_a_report(call, tmp_path):
    def at(places):
        centers = np.array(places, np.float32)
        return {"a.png": Detections(np.hstack([centers - 5, centers + 5]), class_names=("spot",))}

    # Squares of 10 pixels that are 4 apart overlap by less than a half.
    write_annotations(tmp_path / "true.json", Annotations(at([(20, 20), (60, 20), (20, 60)]), points=True))
    write_annotations(tmp_path / "found.json", Annotations(at([(24, 20), (60, 24), (50, 50)]), points=True))
    arguments = ["evaluate", "--predictions", tmp_path / "found.json", "--annotations", tmp_path / "true.json"]
    plain = call(*arguments, "--json").json
    assert plain["all"]["F1"] == pytest.approx(2 / 3)
    assert plain["distance"] == 5
    table = nl.evaluate(tmp_path / "found.json", tmp_path / "true.json")
    assert table.loc["all", "F1"] == pytest.approx(2 / 3)
    assert table.loc["all", "AP50"] == plain["all"]["AP50"] > 0
    outcome = call(*arguments)
    assert outcome.out == call(*arguments, "--report", tmp_path / "page.html").out


def test_what_is_finished_in_a_project_is_the_truth(call, files, tmp_path):
    with nl.open_project(tmp_path / "plate", create=True) as project:
        project.add_images([tmp_path / "images"])
        path = project.path
    arguments = [*files[:3], "--annotations", path]
    assert "nothing in" in call(*arguments).errors[0]
    with nl.open_project(path) as project:
        project.import_annotations(tmp_path / "true.json")
        with project.edit("finish") as edit:
            for name in ("0.png", "3.png"):
                edit.finish(name)
    outcome = call(*arguments, "--json", "--receipt", tmp_path / "receipt.json")
    assert outcome.json["all"]["images"] == 2
    assert outcome.json["all"]["annotations"] == 16
    assert "4 planes that are not finished" in outcome.err
    write_annotations(tmp_path / "other.json", Annotations({"x.png": Detections([[0, 0, 5, 5]], scores=[0.5])}))
    wrong = call("evaluate", "--predictions", tmp_path / "other.json", "--annotations", path)
    assert "none of the planes that are finished" in wrong.errors[0]
