from __future__ import annotations

import json

import numpy as np
import pandas as pd

from napari_localize.cli import main
from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.formats import write_annotations
from napari_localize.project import open_project


def squares(number, scores=True):
    corners = [(10 * index, 0, 10 * index + 8, 8) for index in range(number)]
    return Detections(corners, scores=np.full(number, 0.8) if scores else None, class_names=("cell",))


def files(tmp_path):
    write_annotations(tmp_path / "found.json", {f"{n}.tif": squares(3 + n % 2) for n in range(20)})
    there = {f"{n}.tif": squares(4 + n % 2, scores=False) for n in range(8)}
    write_annotations(tmp_path / "there.json", Annotations(there, reviewed=list(there)))
    return ["count", "--predictions", str(tmp_path / "found.json"), "--reviewed", str(tmp_path / "there.json")]


def test_the_total_has_an_interval(tmp_path, capsys):
    assert main([*files(tmp_path), "--json", "--output", str(tmp_path / "planes.csv")]) == 0
    answer = json.loads(capsys.readouterr().out)
    everything = answer["classes"]["all"]
    assert everything["found"] == 70
    assert everything["low"] <= 90 <= everything["high"] < 110
    assert "95 % interval" in answer["sentence"]
    planes = pd.read_csv(tmp_path / "planes.csv", index_col="plane")
    assert planes["reviewed"].sum() == 8
    assert abs(planes["count"].sum() - everything["count"]) < 1e-6


def test_faults_are_said_before_anything_is_written(tmp_path, capsys):
    call = files(tmp_path)
    assert main([*call, "--threshold", "7"]) == 2
    assert "between 0 and 1" in capsys.readouterr().err
    (tmp_path / "planes.csv").write_text("mine")
    assert main([*call, "--output", str(tmp_path / "planes.csv")]) == 2
    assert (tmp_path / "planes.csv").read_text() == "mine"
    assert main([*call, "--threshold", "0.9"]) == 0
    assert "0" in capsys.readouterr().out


def test_one_image_can_only_be_named_of_a_project(tmp_path, capsys):
    assert main([*files(tmp_path), "--image", "a.tif"]) == 2
    assert "one image of a project" in capsys.readouterr().err


def test_a_project_and_a_file_saved_from_it_say_the_same(tmp_path, capsys):
    with open_project(tmp_path / "plate", create=True) as project:
        project.add_array("stack", (12, 90, 90), "ZYX")
        for number, plane in enumerate(project.planes()):
            project.propose(plane, squares(3 + number % 3), "nuclei@1")
        with project.edit("finish") as edit:
            for plane in project.planes()[:6]:
                edit.accept(project.detections(plane).ids)
                edit.finish(plane)
        project.export_annotations(tmp_path / "boxes.json")
    answers = []
    for call in (
        [str(tmp_path / "plate")],
        [str(tmp_path / "plate"), "--image", "stack"],
        [str(tmp_path / "boxes.json")],
    ):
        assert main(["count", *call, "--threshold", "0.5", "--json"]) == 0
        answers.append(json.loads(capsys.readouterr().out))
    assert answers[0]["classes"]["all"]["count"] == 48
    assert {answer["sentence"] for answer in answers} == {answers[0]["sentence"]}
    assert "chosen by hand" in answers[0]["notes"][0]
    assert answers[2]["notes"] == []


def test_what_is_missing_is_said(tmp_path, capsys):
    for call in ([], ["boxes.json", "--predictions", "x", "--reviewed", "y"], ["--predictions", "x"]):
        assert main(["count", *call]) == 2
        assert "give a project" in capsys.readouterr().err
    with open_project(tmp_path / "plate", create=True) as project:
        project.add_array("stack", (3, 90, 90), "ZYX")
    assert main(["count", str(tmp_path / "plate")]) == 2
    assert "is reviewed" in capsys.readouterr().err
