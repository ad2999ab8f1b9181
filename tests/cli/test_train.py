from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from napari_localize import load_model
from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.formats import read_annotations, write_annotations
from napari_localize.project import open_project


@pytest.fixture
def lesson(samples, tmp_path):
    """A folder with some of the nuclei, and their boxes."""
    pixels = tifffile.imread(samples / "nuclei.tif")[:96, :96]
    folder = tmp_path / "images"
    folder.mkdir()
    tifffile.imwrite(folder / "n.tif", pixels)
    boxes = read_annotations(samples / "annotations.json")["nuclei.tif"].clip(96, 96)
    boxes = Detections(boxes.boxes, class_names=("nucleus",))
    write_annotations(tmp_path / "boxes.json", Annotations({"n.tif": boxes}))
    return ["--images", folder, "--annotations", tmp_path / "boxes.json", "--device", "cpu"]


def test_a_model_is_trained_and_the_next_one_from_it(call, lesson, tmp_path):
    tifffile.imwrite(tmp_path / "images" / "unused.tif", np.zeros((32, 32), np.uint8))
    boxes = read_annotations(tmp_path / "boxes.json")
    write_annotations(tmp_path / "more.json", Annotations({**boxes, "gone.tif": boxes["n.tif"]}))
    first = call(
        *("train", *lesson, "--annotations", tmp_path / "more.json", "--base", "none", "--epochs", 1, "--seed", 5),
        *("--output", tmp_path / "first.safetensors"),
    )
    assert first.status == 0
    assert "new model" in first.out
    assert not any(line.startswith("old model") for line in first.out.splitlines())
    assert "gone.tif" in first.err
    assert "unused.tif" in first.err
    assert load_model(tmp_path / "first.safetensors", "cpu").card.training["seed"] == 5
    second = call(
        *("train", *lesson, "--base", tmp_path / "first.safetensors", "--seconds", 1),
        *("--recipe", "head-first=0.3", "crop_side=96"),
        *("--output", tmp_path / "sec:ond@9.safetensors", "--json"),
    )
    assert second.status == 0
    summary = second.json
    assert summary["base"] == "first@1"
    assert summary["classes"] == ["nucleus"]
    assert not summary["cancelled"]
    assert "last layers alone for 30%" in summary["recipe"]
    assert summary["steps"] >= 1
    assert set(summary["comparison"]["old"]) == set(summary["comparison"]["new"]) >= {"AP50", "F1", "count_error"}
    card = load_model(tmp_path / "sec:ond@9.safetensors", "cpu").card
    assert (card.reference, card.parent) == ("sec-ond@1", "first@1")


def test_mistakes_are_found_before_training(call, lesson, tmp_path):
    output = tmp_path / "m.safetensors"
    output.write_text("mine")
    taken = call("train", *lesson, "--base", "none", "--epochs", 1, "--output", output)
    assert (taken.status, output.read_text()) == (2, "mine")
    assert "--overwrite" in taken.errors[0]
    new = tmp_path / "new.safetensors"
    for arguments, words in (
        (["--base", "nowhere"], "nowhere"),
        (["--images", tmp_path / "boxes.json"], "is not a folder"),
        (["--images", tmp_path / "none"], "is not a folder"),
        (["--annotations", tmp_path / "none.json"], "does not exist"),
        (["--seconds", "nan"], "seconds"),
        (["--device", "tpu", "--base", "none"], "tpu"),
        (["--recipe", "speed=3"], "no part 'speed'"),
        (["--recipe", "norm=frozen", "head_first=2"], "head_first"),
    ):
        outcome = call("train", "--base", "none", *lesson, "--output", new, *arguments)
        assert outcome.status == 2
        assert words in outcome.errors[0]
        assert "Training." not in outcome.err
    assert not new.exists()


def test_several_sources_are_learnt_from_with_their_classes(call, lesson, tmp_path):
    pixels = tifffile.imread(tmp_path / "images" / "n.tif")
    more = tmp_path / "more"
    more.mkdir()
    places = {name: (x, y) for name, (y, x) in zip(("A01", "A02", "B01"), ((0, 0), (0, 48), (48, 0)), strict=True)}
    whole = read_annotations(tmp_path / "boxes.json")["n.tif"]
    planes = {}
    for name, (x, y) in places.items():
        tifffile.imwrite(more / f"{name}.tif", pixels[y : y + 48, x : x + 48])
        boxes = whole.boxes - np.array([x, y] * 2, np.float32)
        planes[f"{name}.tif"] = Detections(boxes, class_names=("Nuclei",)).clip(48, 48)
    assert all(len(boxes) for boxes in planes.values())
    write_annotations(more / "boxes.json", Annotations(planes))
    # The same image again, in a project and with a box of something else.
    with open_project(tmp_path / "again.localize", create=True) as project:
        project.add_images([tmp_path / "images" / "n.tif"])
        with project.edit("draw") as edit:
            edit.add("n.tif", Detections(whole.boxes, class_names=("nucleus",)))
            edit.add("n.tif", Detections([[0, 0, 9, 9]], class_names=("dirt",)))
            edit.finish("n.tif")
    output = tmp_path / "m.safetensors"
    trained = call(
        *("train", "--annotations", tmp_path / "boxes.json", more / "boxes.json", tmp_path / "again.localize"),
        *("--images", tmp_path / "images", more, "--map", "Nuclei=nucleus", "--map", "dirt=", "--hold-back", "image"),
        *("--base", "none", "--epochs", 1, "--device", "cpu", "--output", output),
    )
    assert trained.status == 0
    assert "are the same image" in trained.err
    assert "of 4 images (" in trained.err
    card = load_model(output, "cpu").card
    assert card.classes == ["nucleus"]
    assert len(card.training["planes"]) == 4
    assert len(card.training["held_back"]) == 1


def test_mistakes_about_several_sources_are_found_before_training(call, lesson, tmp_path):
    arguments = ["--base", "none", "--epochs", 1, "--output", tmp_path / "m.safetensors"]
    for more, words in (
        (["--map", "cell=x"], "no class 'cell'"),
        (["--map", "nucleus"], "old=new"),
        (["--map", "nucleus=a", "--map", "nucleus=b"], "mapped twice"),
        (["--map", "nucleus=-"], "no box to learn from"),
        (["--hold-back", "well"], "such as A01"),
        (["--annotations", tmp_path / "boxes.json", tmp_path / "none.json"], "does not exist"),
        (["--annotations", tmp_path / "none.localize"], "no project"),
    ):
        outcome = call("train", *lesson, *arguments, *more)
        assert outcome.status == 2
        assert words in outcome.errors[0]
    assert not (tmp_path / "m.safetensors").exists()


@pytest.mark.parametrize(
    ("annotations", "words"),
    [
        ({"n.tif": Detections.empty(("nucleus",))}, "no box"),
        ({"other.tif": Detections([[5, 5, 20, 20]])}, "names must be equal"),
        ({"n.tif#t=4": Detections([[5, 5, 20, 20]])}, "is not a plane"),
    ],
)
def test_nothing_to_learn_from_gets_a_sentence(call, lesson, tmp_path, annotations, words):
    write_annotations(tmp_path / "other.json", Annotations(annotations))
    arguments = ["--annotations", tmp_path / "other.json", "--base", "none", "--epochs", 1]
    outcome = call("train", *lesson, *arguments, "--output", tmp_path / "m.safetensors")
    assert outcome.status == 2
    assert words in outcome.errors[0]
    assert not (tmp_path / "m.safetensors").exists()


@pytest.mark.skipif(os.name == "nt", reason="there is no such signal")
def test_ctrl_c_keeps_the_best_model_so_far(lesson, tmp_path):
    output = tmp_path / "m.safetensors"
    command = [sys.executable, "-m", "napari_localize.cli", "train", *map(str, lesson), "--base", "none"]
    command += ["--seconds", "600", "--output", str(output)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as process:
        seen = b""
        while b"loss" not in seen:
            seen += process.stderr.read(64)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=200)
    assert process.returncode == 1
    assert b"best model so far was written" in out
    assert b"Traceback" not in err
    assert load_model(output, "cpu").card.classes == ["nucleus"]
