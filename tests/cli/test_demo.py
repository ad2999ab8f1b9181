from __future__ import annotations

import os
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from napari_localize.cli import demo
from napari_localize.formats import read_annotations

FILES = {"boxes.json", "boxes.csv", "nuclei.png", "bacteria.png", "tissue.png"}


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


def check(outcome, folder, samples):
    assert outcome.status == 0, outcome.err
    assert {path.name for path in folder.iterdir()} == FILES
    found, truth = read_annotations(folder / "boxes.json"), read_annotations(samples / "annotations.json")
    assert set(found) == set(truth)
    assert len(found["nuclei.tif"]) == pytest.approx(len(truth["nuclei.tif"]), rel=0.15)
    rows = {line.split()[0]: line.split()[1:] for line in outcome.out.splitlines()[:4]}
    planes, count, true, precision, recall = rows["nuclei.tif"]
    assert (int(planes), int(count), int(true)) == (1, len(found["nuclei.tif"]), len(truth["nuclei.tif"]))
    assert float(precision) > 0.8
    assert float(recall) > 0.8
    for name in ("nuclei", "bacteria", "tissue"):
        assert pixels(folder / f"{name}.png").std() > 5


@pytest.mark.timeout(600)
def test_the_demo_runs_in_napari(shell, samples, tmp_path):
    if sys.platform == "linux" and not demo.has_screen():
        if shutil.which("xvfb-run") is None:
            pytest.skip("there is no screen, nor a virtual one")
    outcome = shell("demo", "--output", tmp_path / "demo")
    assert "No window" not in outcome.err
    check(outcome, tmp_path / "demo", samples)
    # It stands in the screenshot that it was napari: the window is larger than any sample.
    assert pixels(tmp_path / "demo" / "nuclei.png").shape[1] >= 1000
    again = shell("demo", "--output", tmp_path / "demo")
    assert again.status == 2
    assert "exists already" in again.errors[0]


def test_without_a_window_the_demo_does_the_same(shell, samples, tmp_path):
    # Qt ends a process at once when it is told of a platform that there is not.
    outcome = shell("demo", "--output", tmp_path / "demo", env={**os.environ, "QT_QPA_PLATFORM": "none such"})
    assert "No window could be opened here" in outcome.err
    check(outcome, tmp_path / "demo", samples)


def test_a_folder_that_cannot_be_is_refused(call, tmp_path):
    (tmp_path / "file").touch()
    outcome = call("demo", "--output", tmp_path / "file" / "demo")
    assert outcome.status == 2
    assert "cannot write into" in outcome.errors[0]


@pytest.mark.parametrize(
    ("platform", "environment", "seen"),
    [
        ("linux", {}, False),
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("linux", {"DISPLAY": ":0", "QT_QPA_PLATFORM": "offscreen"}, False),
        ("darwin", {}, True),
        ("win32", {}, True),
    ],
)
def test_where_there_is_a_screen(monkeypatch, platform, environment, seen):
    monkeypatch.setattr(sys, "platform", platform)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert demo.has_screen() is seen
