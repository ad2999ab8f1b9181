from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import napari_localize as nl
from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.evaluation.counts import count
from napari_localize.evaluation.estimates import estimate_each, estimate_share, estimate_total, more_for_half


def sampled(rng, planes=200, reviewed=20, mean=30):
    """A model that finds most objects on planes of different density, and a random sample of them."""
    true = rng.negative_binomial(3, 3 / (3 + mean), planes).astype(float)
    found = rng.binomial(true.astype(int), 0.8) + rng.poisson(2, planes)
    known = np.where(np.arange(planes) < reviewed, true, np.nan)
    return found, true, known


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        found, true, known = sampled(rng)
        answer = estimate_total(found, known)
        held += answer.low <= true.sum() <= answer.high
    assert 0.92 <= held / 400 <= 0.99


def test_a_biased_model_is_corrected():
    found, true, known = sampled(np.random.default_rng(1), planes=2000, reviewed=200)
    answer = estimate_total(found, known)
    assert abs(answer.value - true.sum()) < 0.3 * abs(found.sum() - true.sum())


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 90)), min_size=1, max_size=30), st.integers(0, 30))
def test_intervals_are_in_order_and_what_was_counted_is_in_them(rows, reviewed):
    found, true = np.array(rows, float).T
    reviewed = max(1, min(reviewed, len(rows)))
    known = np.where(np.arange(len(rows)) < reviewed, true, np.nan)
    answer = estimate_total(found, known)
    assert answer.value >= np.nansum(known) - 1e-9
    if not math.isnan(answer.low):
        assert np.nansum(known) - 1e-9 <= answer.low <= answer.value + 1e-9 <= answer.high + 2e-9
    if reviewed == len(rows):
        assert answer.low == answer.high == true.sum()
    each = estimate_each(found, known)
    assert [one.value for one in each[:reviewed]] == true[:reviewed].tolist()
    assert sum(one.value for one in each) == pytest.approx(answer.value)


def test_more_review_halves_the_interval():
    found, true, known = sampled(np.random.default_rng(3))
    more = more_for_half(found, known)
    assert 20 < more < 180
    wider = estimate_total(found, known)
    then = estimate_total(found, np.where(np.arange(len(true)) < 20 + more, true, np.nan))
    assert (then.high - then.low) < 0.75 * (wider.high - wider.low)


def test_shares_have_intervals_within_one():
    share = estimate_share(np.array([9, 10, 10, 8, 10, 10]), np.full(6, 10), 100)
    assert share.value == pytest.approx(57 / 60)
    assert share.low < share.value < share.high <= 1
    assert math.isnan(estimate_share(np.zeros(3), np.zeros(3), 9).value)


def plane(number, label=0, score=0.9, states=None):
    corners = np.array([(10.0 * index, 0, 10 * index + 8, 8) for index in range(number)]).reshape(-1, 4)
    scores = np.full(number, score, np.float32)
    return Detections(corners, np.full(number, label), scores, class_names=("a", "b"), states=states)


def test_a_report_by_class_and_plane():
    predictions = {f"p{index}": plane(4 + index % 3, index % 2) for index in range(12)}
    truth = {f"p{index}": plane(5 + index % 3, index % 2) for index in range(6)}
    report = nl.count(predictions, truth)
    assert report.classes.loc["all", "found"] == 60
    assert report.classes.loc["all", "count"] > 60
    assert report.classes.loc["a", "recall"] < 1
    assert report.classes.loc["a", "precision"] == 1
    assert report.planes["reviewed"].sum() == 6
    assert (report.planes.loc["p0", ["count", "low", "high"]] == 5).all()
    assert "95 % interval" in report.sentence


def test_boxes_below_the_threshold_and_rejected_ones_do_not_count():
    predictions = {f"p{index}": plane(3, score=0.4 if index % 2 else 0.9) for index in range(8)}
    states = np.array(["rejected", "accepted", "accepted"])
    truth = Annotations({f"p{index}": plane(3, states=states) for index in range(8)})
    report = count(predictions, truth, threshold=0.5)
    assert report.classes.loc["all", "found"] == 12
    assert report.classes.loc["all", "count"] == 16
    assert "all of them reviewed" in report.sentence


def test_too_little_is_said():
    predictions = {f"p{index}": plane(3) for index in range(9)}
    report = count(predictions, {"p0": plane(3), "p1": plane(2)})
    assert "too few for an interval" in report.sentence
    with pytest.raises(UserError, match="'other' is not among the predictions"):
        count(predictions, {"other": plane(1)})
    unfinished = Annotations({"p0": plane(3), "p1": plane(1)}, reviewed=["p7"])
    with pytest.raises(UserError, match="no plane is reviewed"):
        count(predictions, unfinished)
