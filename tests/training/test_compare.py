from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_localize.core.planes import ArrayPlane
from napari_localize.core.samples import ANNOTATIONS, sample_folder
from napari_localize.core.tiling import Rectangle
from napari_localize.evaluation.calibration import probability
from napari_localize.evaluation.verdict import changes_in_words
from napari_localize.formats import read_annotations
from napari_localize.models.card import read_card
from napari_localize.models.localizer import load_model
from napari_localize.training import compare
from napari_localize.training.compare import Part, compare_models


@pytest.fixture(scope="module")
def parts():
    """Quarters of the nuclei sample, as if each were a plane of its own."""
    plane = ArrayPlane(tifffile.imread(sample_folder() / "nuclei.tif"))
    boxes = read_annotations(sample_folder() / ANNOTATIONS)["nuclei.tif"]
    corners = [(y, x) for y in (0, 256) for x in (0, 256)]
    return [Part(f"quarter {y} {x}", plane, boxes, Rectangle(y, y + 256, x, x + 256)) for y, x in corners]


@pytest.mark.parametrize("held_back", [True, False])
def test_a_model_learns_what_its_scores_mean_from_what_was_held_back(parts, held_back, tmp_path):
    model = load_model("nuclei")
    assert model.card.calibration is not None
    compare_models(model, None, parts, "", lambda: False, held_back=held_back)
    calibration = model.card.calibration
    if not held_back:
        assert calibration is None
        return
    assert calibration.planes == 4
    assert calibration.boxes > 50
    model.save(tmp_path / "mine.safetensors")
    again = read_card(tmp_path / "mine.safetensors").calibration
    assert again == calibration
    low, high = probability(np.array([0.2, 0.85]), ["nucleus"] * 2, again)
    assert low < 0.2
    assert high > 0.85


def test_table_and_verdict_count_halves_of_a_plane_together(parts):
    halves = [replace(part, name="the plane", key=str(index)) for index, part in enumerate(parts[:2])]
    base, model = load_model("generalist"), load_model("nuclei")
    compared = compare_models(model, base, halves, "", lambda: False)
    gate = compared["gate"]["count_error"]
    assert compared["planes"] == ["the plane"]
    assert compared["old"]["count_error"] == pytest.approx(gate["old"])
    assert compared["new"]["count_error"] == pytest.approx(gate["new"])
    wrong = [change["text"].endswith("wrongly") for change in compared["changes"]]
    assert wrong == sorted(wrong, reverse=True)


def test_changes_are_counted_before_the_list_of_them_is_cut(parts, monkeypatch):
    base, model = load_model("generalist"), load_model("nuclei")
    whole = compare_models(model, base, parts[:2], "", lambda: False)
    wrong = sum(change["text"].endswith("wrongly") for change in whole["changes"])
    assert 0 < wrong < len(whole["changes"])
    monkeypatch.setattr(compare, "MOST_CHANGES", wrong)
    cut = compare_models(model, base, parts[:2], "", lambda: False)
    assert len(cut["changes"]) == wrong
    assert changes_in_words(cut) == changes_in_words(whole)
