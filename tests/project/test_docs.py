"""The examples in the guide do what it says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import tifffile

import napari_localize as nl
from napari_localize.core.detections import Detections

GUIDE = Path(__file__).parents[2] / "docs" / "projects.md"


def test_the_examples_run(tmp_path, monkeypatch, capsys):
    (tmp_path / "images").mkdir()
    for name in ("A1.tif", "A2.tif"):
        tifffile.imwrite(tmp_path / "images" / name, np.zeros((100, 100), np.uint8))
    boxes = Detections(np.array([[0, 0, 9, 9], [20, 0, 29, 9]]), scores=np.array([0.9, 0.1]), class_names=("nucleus",))
    monkeypatch.setitem(vars(nl), "predict", lambda path, model: boxes)  # without importing torch
    monkeypatch.chdir(tmp_path)
    # The example before needs a window; what it calls is tested with it.
    text = GUIDE.read_text().partition("## From Python")[2]
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(examples) == 4
    names = {}
    for example in examples:
        exec(example, names)
    out = capsys.readouterr().out
    assert "A1.tif untouched {}" in out
    assert "accept what is sure" not in out
    assert "mark area as reviewed mark area as reviewed" in out
    assert out.endswith("1 ['Boxes left out because the project has them already: 4.'] []\n")
    with nl.open_project("plate") as project:
        assert [image.status for image in project.images()] == ["finished", "in work"]
