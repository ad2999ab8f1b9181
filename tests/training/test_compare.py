from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tifffile

from napari_localize.core.detections import Detections
from napari_localize.core.planes import ArrayPlane
from napari_localize.core.samples import ANNOTATIONS, sample_folder
from napari_localize.core.tiling import Rectangle
from napari_localize.evaluation.calibration import probability
from napari_localize.evaluation.verdict import changes_in_words
from napari_localize.formats import read_annotations
from napari_localize.models.card import read_card
from napari_localize.models.localizer import load_model
from napari_localize.training import compare
from napari_localize.training.compare import Part, between, compare_models, found_as_any


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


def found(*scores):
    corners = np.array([(20 * n, 0, 20 * n + 10, 10) for n in range(len(scores))], float)
    return Detections(corners, scores=np.array(scores, float), class_names=("cell",))


def test_the_threshold_of_a_cross_validated_model_lies_between_its_own_and_that_of_the_brief_ones():
    true = [replace(found(1, 1, 1, 1), scores=np.full(4, np.nan))]
    timid, sure = [found(0.32, 0.31, 0.3, 0.2, 0.1)], [found(0.9, 0.85, 0.8, 0.7, 0.2)]
    both = between(timid, sure, true)
    assert both == pytest.approx((0.2 + 0.7) / 2)
    # What finds next to nothing has next to nothing to say.
    assert between([found(0.06)], sure, true) > 0.5
    assert between(sure, sure, true) == pytest.approx(0.7)
    nothing = [found()]
    assert between(nothing, nothing, true) == 0.5


def test_a_model_that_is_cross_validated_is_shown_what_it_has_learnt(parts, monkeypatch):
    model, judge = load_model("nuclei"), load_model("nuclei")
    compare_models(model, None, parts[:2], "", lambda: False, judges=[model, model])
    own = model.card.threshold
    predict = compare.predict_plane

    def timid(asked, *args, **kwargs):
        boxes = predict(asked, *args, **kwargs)
        return replace(boxes, scores=boxes.scores * np.float32(0.5)) if asked is judge else boxes

    monkeypatch.setattr(compare, "predict_plane", timid)
    compare_models(model, None, parts[:2], "", lambda: False, judges=[judge, judge])
    assert model.card.threshold == pytest.approx(0.75 * own, rel=0.01)


def test_what_was_learnt_by_heart_says_only_half_of_the_threshold(parts):
    model, base = load_model("nuclei"), load_model("nuclei")
    compare_models(model, None, parts[:2], "", lambda: False)
    own = model.card.threshold
    base.card.threshold = 0.9
    compare_models(model, base, parts[:2], "", lambda: False, held_back=False)
    assert model.card.threshold == pytest.approx((own + 0.9) / 2)
    compare_models(model, None, parts[:2], "", lambda: False, held_back=False)
    assert model.card.threshold == pytest.approx((own + 0.5) / 2)


def test_how_sure_other_models_are_is_no_calibration(parts):
    model, judge = load_model("nuclei"), load_model("nuclei")
    compare_models(model, None, parts, "", lambda: False, judges=[judge] * len(parts))
    assert model.card.calibration is None
    compare_models(model, None, parts, "", lambda: False, judges=[model] * len(parts))
    assert model.card.calibration is not None


def test_the_verdict_knows_of_what_the_planes_are(parts):
    base, model = load_model("generalist"), load_model("nuclei")
    more = [replace(part, name=f"{part.name} {turn}") for turn in "ab" for part in parts]
    one = compare_models(model, base, [replace(part, group="B3") for part in more], "", lambda: False, kind="well")
    assert one["gate"]["sentence"].endswith("The planes are of 1 well; on other wells it may be different.")
    apart = compare_models(model, base, more, "", lambda: False)
    assert "The planes are of" not in apart["gate"]["sentence"]


def test_an_object_that_was_found_as_two_classes_is_one_where_classes_do_not_count():
    boxes = Detections(
        [[0, 0, 10, 10], [1, 0, 10, 10], [30, 0, 40, 10]], [0, 1, 1], [0.6, 0.9, 0.7], class_names=("a", "b")
    )
    assert found_as_any(boxes).scores.tolist() == pytest.approx([0.9, 0.7])
