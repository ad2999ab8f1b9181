"""The commands on annotation files and on the model store: evaluate, convert, models, doctor."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.formats import read_annotations, write_annotations
from napari_localize.models.card import read_card
from napari_localize.models.registry import STORE_VARIABLE


@pytest.fixture
def boxes(tmp_path):
    """True boxes of two images, and predictions that miss one and invent one."""
    squares = np.array([[x, 10, x + 8, 18] for x in (0, 20, 40, 60)], np.float32)
    names = ("cell", "dot")
    true = Detections(squares, [0, 0, 1, 1], class_names=names)
    found = Detections(
        squares + np.array([0, 0, 1, 0]), [0, 0, 1, 0], np.array([0.9, 0.8, 0.7, 0.6]), class_names=names
    )
    empty = Detections.empty(names)
    write_annotations(tmp_path / "true.json", Annotations({"a.png": true, "b.png": empty}))
    write_annotations(tmp_path / "found.csv", Annotations({"a.png": found}))
    return tmp_path / "found.csv", tmp_path / "true.json"


def test_evaluate_prints_the_table(call, boxes):
    outcome = call("evaluate", "--predictions", boxes[0], "--annotations", boxes[1])
    assert outcome.status == 0
    lines = outcome.out.splitlines()
    assert lines[0].split() == [
        *["images", "annotations", "predictions", "AP50", "AP", "precision", "recall", "F1", "count_error"]
    ]
    assert [line.split()[0] for line in lines[1:4]] == ["cell", "dot", "all"]
    assert lines[3].split()[1:4] == ["2", "4", "4"]
    assert {line.split()[1] for line in lines if "%" in line} == {"a.png", "b.png"}


def test_evaluate_as_json(call, boxes):
    outcome = call("evaluate", "--predictions", boxes[0], "--annotations", boxes[1], "--iou", 0.5, "--json")
    summary = outcome.json
    assert summary["all"]["recall"] == summary["all"]["precision"] == 0.75
    assert summary["classes"]["dot"] == {**summary["classes"]["dot"], "annotations": 2, "predictions": 1, "recall": 0.5}
    assert summary["count_error_per_image"] == {"a.png": 0, "b.png": 0}
    strict = call("evaluate", "--predictions", boxes[0], "--annotations", boxes[1], "--iou", 0.95, "--json").json
    assert strict["all"]["recall"] == 0


def test_undefined_numbers_are_null(call, boxes, tmp_path):
    write_annotations(tmp_path / "none.json", Annotations({"a.png": Detections.empty(("cell",))}))
    outcome = call("evaluate", "--predictions", tmp_path / "none.json", "--annotations", boxes[1], "--json")
    assert outcome.status == 0
    assert outcome.json["all"]["precision"] is None


@pytest.mark.parametrize(
    ("content", "words"), [("", "is empty"), ("{", "known formats"), ("<xml/>", "known formats"), (None, "not exist")]
)
def test_annotation_files_that_are_none(call, boxes, tmp_path, content, words):
    bad = tmp_path / "bad.json"
    if content is not None:
        bad.write_text(content)
    for arguments in (
        ["evaluate", "--predictions", bad, "--annotations", boxes[1]],
        ["evaluate", "--predictions", boxes[0], "--annotations", bad],
        ["convert", bad, tmp_path / "new.csv"],
    ):
        outcome = call(*arguments)
        assert outcome.status == 2
        assert words in outcome.errors[0]
    assert not (tmp_path / "new.csv").exists()


def test_predictions_of_other_images_are_told(call, boxes, tmp_path):
    write_annotations(tmp_path / "other.csv", Annotations({"z.png": Detections([[1, 2, 3, 4]])}))
    outcome = call("evaluate", "--predictions", tmp_path / "other.csv", "--annotations", boxes[1])
    assert outcome.status == 2
    assert "z.png" in outcome.errors[0]


def test_convert_there_and_back_loses_nothing(call, boxes, tmp_path):
    assert call("convert", boxes[0], tmp_path / "x.json").status == 0
    assert call("convert", tmp_path / "x.json", tmp_path / "y.txt", "--format", "csv").status == 0
    first, last = read_annotations(boxes[0]), read_annotations(tmp_path / "y.txt")
    assert list(first) == list(last)
    for name in first:
        np.testing.assert_allclose(first[name].boxes, last[name].boxes, atol=1e-3)
        np.testing.assert_array_equal(first[name].scores, last[name].scores)
        assert first[name].counts() == last[name].counts()


def test_convert_overwrites_only_when_asked_to(call, boxes, tmp_path):
    target = tmp_path / "x.csv"
    target.write_text("mine")
    assert call("convert", boxes[1], target).status == 2
    assert target.read_text() == "mine"
    assert call("convert", boxes[1], target, "--overwrite").status == 0
    assert len(read_annotations(target)["a.png"]) == 4


def test_convert_says_what_was_mended(call, tmp_path):
    (tmp_path / "bad.csv").write_text("")
    flawed = Annotations({"a.png": Detections([[0, 0, 30, 10], [5, 5, 6, 6]])}, sizes={"a.png": (20, 20)})
    write_annotations(tmp_path / "x.json", flawed)
    outcome = call("convert", tmp_path / "x.json", tmp_path / "y.csv")
    assert outcome.status == 0
    assert "border" in outcome.err


def test_models_as_a_tree_and_as_a_story(call, store, untrained):
    call("models", "import", untrained, "--name", "mine")
    call("models", "import", untrained, "--name", "mine")
    assert "mine@2 is better@1 now" in call("models", "rename", "mine@2", "better").out
    (store / "bad@1.safetensors").write_bytes(b"PK nothing")
    tree = call("models", "tree")
    assert tree.status == 0
    for words in ("generalist@3", "mine@1", "better@1", "cell, dot", "bad@1", "can run code"):
        assert words in tree.out
    machine = call("models", "tree", "--json").json
    assert {"reference": "mine@1", "there": True, "children": []} in machine["models"]
    assert machine["damaged"][0]["path"].endswith("bad@1.safetensors")
    story = call("models", "info", "nuclei").out
    for words in ("Where it comes from", "test images of nuclei", "F1 0.90", "sha256"):
        assert words in story
    assert call("models", "info", "nuclei", "--json").json["training"]["seed"] == 0
    assert call("models", "rename", "nuclei", "mine").status == 2


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv(STORE_VARIABLE, str(tmp_path / "store"))
    return tmp_path / "store"


def test_models_come_in_are_listed_and_go_out_again(call, store, untrained, tmp_path):
    assert call("models", "import", untrained, "--name", "mine").status == 0
    second = call("models", "import", untrained, "--name", "mine", "--json").json
    assert [(entry["name"], entry["version"]) for entry in second["imported"]] == [("mine", 2)]
    listed = call("models", "list", "--json").json
    assert call("models", "--json").json == listed
    own = [entry for entry in listed["models"] if not entry["bundled"]]
    assert [(entry["name"], entry["version"]) for entry in own] == [("mine", 1), ("mine", 2)]
    assert "mine@2" in call("models").out
    assert call("models", "export", "mine@1", tmp_path / "out.safetensors").status == 0
    assert read_card(tmp_path / "out.safetensors").reference == "mine@1"
    assert call("models", "export", "mine@1", tmp_path / "out.safetensors").status == 2
    assert not (tmp_path / "out.checks.npz").exists()
    (store / "mine@1.checks.npz").write_bytes(b"planes")
    asked = call("models", "export", "mine@1", tmp_path / "out.safetensors", "--overwrite", "--with-checks")
    assert asked.status == 0
    assert (tmp_path / "out.checks.npz").read_bytes() == b"planes"
    assert call("models", "remove", "mine@1").status == 0
    assert call("models", "info", "mine@1").status == 2
    info = call("models", "info", "mine", "--json").json
    assert (info["reference"], info["classes"]) == ("mine@2", ["cell", "dot"])
    assert "cell, dot" in call("models", "info", "mine").out
    assert call("models", "remove", "mine").status == 0
    assert [path.name for path in store.iterdir()] == ["versions.json"]


def test_names_that_cannot_be_are_refused(call, store, untrained):
    for name in ("a/b", "..", "a@2", ""):
        outcome = call("models", "import", untrained, "--name", name)
        if name:
            assert outcome.status == 2
            assert len(outcome.errors) == 1


def test_doctor_reports(call):
    facts = call("doctor", "--json")
    assert {"versions", "devices", "chosen", "problems"} <= set(facts.json)
    assert facts.status == (0 if facts.json["ok"] else 1)
    assert all(math.isfinite(device["seconds"]) for device in facts.json["devices"] if device["ok"])
    text = call("doctor")
    assert text.status == facts.status
    assert "torch" in text.out
    assert "cpu" in text.out
