from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from napari_localize.core.detections import Detections
from napari_localize.evaluation.calibration import Calibration, Curve, Judged, calibrate, calibrated, probability
from napari_localize.evaluation.reliability import calibration_error, reliability


def overconfident(rng, planes=20, boxes=60, classes=("a",), power=2.0):
    """Planes on which a box with the score s is right with the probability s ** power; a class more, and it is worse."""
    found, true = [], []
    for _ in range(planes):
        at = np.arange(boxes) * 20.0
        corners = np.stack([at, np.zeros(boxes), at + 10, np.full(boxes, 10.0)], axis=1)
        labels = rng.integers(0, len(classes), boxes)
        scores = rng.uniform(0.05, 0.99, boxes).astype(np.float32)
        right = rng.uniform(size=boxes) < scores ** (power * (labels + 1))
        found.append(Detections(corners, labels, scores, class_names=classes))
        true.append(Detections(corners[right], labels[right], class_names=classes))
    return found, true


@pytest.mark.parametrize(("planes", "method"), [(4, "platt"), (60, None)])
def test_calibrated_scores_are_nearer_to_what_is_right(planes, method):
    rng = np.random.default_rng(0)
    calibration = calibrate(Judged(*overconfident(rng, planes)))
    assert method in (None, calibration.pooled.method)
    assert calibration.error_after < calibration.error_before / 2
    assert calibration.planes == planes
    assert 20 * planes < calibration.boxes <= 60 * planes
    assert "cross-validated" in calibration.sentence
    found, true = overconfident(np.random.default_rng(1), 40)
    fresh = Judged(found, true)
    better = probability(fresh.scores, fresh.names, calibration)
    assert calibration_error(better, fresh.right) < calibration_error(fresh.scores, fresh.right) / 2
    assert np.allclose(np.concatenate([calibrated(part, calibration) for part in found]), better)


def test_a_step_curve_is_taken_where_no_logistic_one_fits():
    rng = np.random.default_rng(0)
    found, true = overconfident(rng, 80)
    steps = [part[(part.scores > 0.6) | (np.arange(len(part)) % 10 == 0)] for part in found]
    assert calibrate(Judged(found, steps)).pooled.method == "isotonic"
    assert calibrate(Judged(found[:5], true[:5])).pooled.method == "platt"


def test_classes_have_curves_of_their_own_where_they_have_boxes_enough():
    found, true = overconfident(np.random.default_rng(0), 30, classes=("sure", "rash", "absent"))
    found = [part[part.labels < 2] for part in found]
    calibration = calibrate(Judged(found, true))
    assert set(calibration.classes) == {"sure", "rash"}
    sure, rash = (probability(np.array([0.8]), [name], calibration)[0] for name in ("sure", "rash"))
    assert sure > rash + 0.1
    pooled = probability(np.array([0.8]), None, calibration)[0]
    assert probability(np.array([0.8]), ["unheard of"], calibration)[0] == pooled


def test_too_few_boxes_are_not_calibrated_and_people_are_certain():
    found, true = overconfident(np.random.default_rng(0), 1, 20)
    assert calibrate(Judged(found, true)) is None
    assert calibrate(Judged([], [])) is None
    assert probability(np.array([0.3, np.nan]), None, None).tolist() == [0.3, 1.0]
    calibration = calibrate(Judged(*overconfident(np.random.default_rng(0))))
    assert probability(np.array([0.3, np.nan]), ["a", "a"], calibration)[1] == 1.0


def test_boxes_of_one_plane_stay_together():
    rng = np.random.default_rng(0)
    found, true = overconfident(rng, 6)
    once = calibrate(Judged(found, true, planes=["p"] * 6))
    assert once.planes == 1
    assert once.error_after < once.error_before


scores_and_truth = st.lists(
    st.tuples(st.floats(0, 1, width=32), st.booleans(), st.integers(0, 8)), min_size=1, max_size=200
)


@settings(deadline=None, max_examples=60)
@given(scores_and_truth, st.integers(1, 4))
def test_probabilities_rise_with_the_score_and_lie_in_0_to_1(rows, repeat):
    scores, right, plane = zip(*rows * repeat, strict=True)
    judged = Judged([], [])
    judged.scores, judged.right = np.array(scores, float), np.array(right)
    judged.plane = judged.group = np.array(plane)
    judged.names = np.array(["a"] * len(scores))
    calibration = calibrate(judged)
    if calibration is None:
        used = judged.right[judged.relevant()]
        assert min(sum(used), len(used) - sum(used)) < 20
        return
    again = Calibration.model_validate_json(calibration.model_dump_json())
    grid = np.linspace(0, 1, 101)
    chances = probability(grid, None, again)
    assert ((chances >= 0) & (chances <= 1)).all()
    assert (np.diff(chances) >= -1e-12).all()
    assert np.array_equal(chances, probability(grid, None, calibration))


@settings(deadline=None, max_examples=60)
@given(scores_and_truth)
def test_bins_hold_every_box_once(rows):
    said, right, _ = (np.array(column) for column in zip(*rows, strict=True))
    bins = reliability(said, right)
    assert sum(one.boxes for one in bins) == len(rows)
    assert sum(one.boxes * one.right for one in bins) == pytest.approx(right.sum())
    assert 0 <= calibration_error(said, right) <= 1
    assert np.isnan(calibration_error(np.zeros(0), np.zeros(0)))


@pytest.mark.parametrize(
    "curve",
    [
        {"method": "platt", "boxes": 9, "slope": -1},
        {"method": "platt", "boxes": 9, "offset": float("nan")},
        {"method": "isotonic", "boxes": 9},
        {"method": "isotonic", "boxes": 9, "scores": [0.1, 0.5], "chances": [0.5]},
        {"method": "isotonic", "boxes": 9, "scores": [0.1, 0.5], "chances": [0.5, 0.2]},
        {"method": "isotonic", "boxes": 9, "scores": [0.1, 0.1], "chances": [0.5, 0.5]},
        {"method": "isotonic", "boxes": 9, "scores": [0.0] * 99, "chances": [0.0] * 99},
        {"method": "pickle", "boxes": 9},
    ],
)
def test_a_curve_that_makes_no_sense_is_refused(curve):
    with pytest.raises(ValidationError):
        Curve.model_validate(curve)


def test_scores_stay_where_no_curve_is_better():
    rng = np.random.default_rng(0)
    found, true = [], []
    # What the scores mean differs so much between planes that one says nothing of another.
    for plane in range(2):
        scores = rng.uniform(0.3, 0.7, 60)
        right = rng.random(60) < (0.9 if plane else 0.1)
        corners = np.array([(20 * n, 0, 20 * n + 10, 10) for n in range(60)], float)
        found.append(Detections(corners, scores=scores, class_names=("cell",)))
        true.append(Detections(corners[right], class_names=("cell",)))
    calibration = calibrate(Judged(found, true))
    assert calibration.error_after == calibration.error_before
    scores = np.linspace(0.1, 0.9, 9)
    assert probability(scores, None, calibration) == pytest.approx(scores)
    # Of one group, boxes are told apart by turns, and a curve fits.
    assert calibrate(Judged(found, true, groups=["w", "w"])).error_after < calibration.error_after
