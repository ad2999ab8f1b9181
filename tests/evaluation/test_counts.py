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
from napari_localize.core.known import EVERYWHERE, KnownArea
from napari_localize.core.steps import Area
from napari_localize.evaluation.counts import Counting, count
from napari_localize.evaluation.estimates import estimate_each, estimate_share, estimate_total, more_for_half
from napari_localize.evaluation.paper import for_a_paper
from napari_localize.evaluation.units import CountedPlane, counted_plane


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
    # All right on some planes is not all right on all; all planes are.
    sure = estimate_share(np.full(6, 10), np.full(6, 10), 100)
    assert 0.7 < sure.low < sure.value == sure.high == 1
    every = estimate_share(np.full(6, 9), np.full(6, 10), 6)
    assert every.low == every.value == every.high == pytest.approx(0.9)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=5, max_size=30))
def test_intervals_of_shares_are_in_order(rows):
    part, whole = np.array([(min(row), max(row)) for row in rows], float).T
    share = estimate_share(part, whole, 100)
    if not math.isnan(share.low):
        assert 0 <= share.low <= share.value <= share.high <= 1


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


def crowded(rng, planes=300, reviewed=20):
    """A few planes hold most of the objects, and more is missed there."""
    true = rng.negative_binomial(0.5, 0.5 / 60.5, planes).astype(float)
    found = rng.binomial(true.astype(int), rng.beta(4.8, 0.85, planes)) + rng.negative_binomial(1, 0.5, planes)
    return found, true, np.where(np.arange(planes) < reviewed, true, np.nan)


def test_the_interval_holds_the_truth_where_few_planes_hold_most():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        found, true, known = crowded(rng)
        answer = estimate_total(found, known)
        held += answer.low <= true.sum() <= answer.high
    assert held / 400 >= 0.91


def test_what_was_missed_on_one_crowded_plane_lengthens_the_interval_upwards():
    found = np.full(40, 10.0)
    true = np.where(np.arange(40) < 12, 10.0, np.nan)
    true[3] = 60
    answer = estimate_total(found, true)
    assert answer.high - answer.value > 1.2 * (answer.value - answer.low)


def planes_of(rng, number=40, drawn=0, finished=0, origin="nuclei@1"):
    """Planes of which the first ones were drawn by lot and the last ones finished without that."""
    planes = []
    for index in range(number):
        there = plane(int(rng.integers(5, 15)))
        scores = rng.uniform(0.3, 1.0, len(there)).astype(np.float32)
        boxes = Detections(
            there.boxes,
            scores=scores,
            class_names=("a",),
            origins=[origin] * len(there),
            states=["accepted"] * len(there),
        )
        known = EVERYWHERE if index < drawn or index >= number - finished else None
        planes.append(counted_plane(f"p{index}", boxes, known, drawn=index < drawn))
    return planes


def test_counts_at_any_threshold_agree_with_counting_anew():
    planes = planes_of(np.random.default_rng(0), drawn=10)
    counting = Counting(planes, says_how_chosen=True)
    curve = counting.curve(lowest=0.3)
    assert (np.diff(curve.recall[0]) <= 1e-12).all()
    for at in (0, 20, 35):
        threshold = float(curve.thresholds[at])
        report = counting.at(threshold)
        assert report.classes.loc["all", "count"] == curve.count[0][at]
        anew = Counting(
            [CountedPlane(p.name, p.found[p.found.scores >= threshold], p.true, p.known, drawn=p.drawn) for p in planes]
        )
        assert anew.at().classes.equals(report.classes)
    assert counting.at(0.3).notes == ()


def test_a_score_equal_to_the_threshold_counts():
    boxes = plane(4, score=0.7)
    assert Counting([CountedPlane("p", boxes)]).at(0.7).classes.loc["all", "found"] == 4


def test_planes_chosen_by_hand_are_told_and_speak_for_none_where_some_were_drawn():
    rng = np.random.default_rng(0)
    by_hand = Counting(planes_of(rng, finished=8), says_how_chosen=True).at()
    assert any("chosen by hand" in note for note in by_hand.notes)
    both = Counting(planes_of(rng, drawn=8, finished=5), says_how_chosen=True).at()
    assert both.reviewed == 8
    assert not any("chosen by hand" in note for note in both.notes)
    assert any("5 planes that were finished without being drawn" in note for note in both.notes)
    text = for_a_paper(both, "nuclei@1", "1.0", 0)
    assert "8 of these, drawn by lot (seed 0)" in text
    assert "[3] Hall" in text
    assert "To be considered: 5 planes that were finished without being drawn" in text
    none = Counting(planes_of(rng), says_how_chosen=True).at(0.5)
    assert "nobody knows" in none.sentence
    assert none.classes.loc["all", "count"] == none.classes.loc["all", "found"]
    assert "no plane was reviewed" in for_a_paper(none, "", "1.0", None)


def test_boxes_of_another_model_are_told():
    rng = np.random.default_rng(0)
    planes = [*planes_of(rng, 6, drawn=6), *planes_of(rng, 20, origin="mine@1")]
    assert any("nuclei@1, the others of mine@1" in note for note in Counting(planes).at().notes)


def test_what_a_model_found_and_what_is_there():
    corners = [(10 * n, 0, 10 * n + 8, 8) for n in range(6)]
    states = ["proposed", "accepted", "edited", "added", "rejected", "rejected"]
    origins = ["m@1", "m@1", "m@1", "human", "m@1", "human"]
    scores = [0.3, 0.9, 0.8, np.nan, 0.7, np.nan]
    boxes = Detections(corners, scores=scores, class_names=("a",), origins=origins, states=states)
    made = counted_plane("p", boxes, EVERYWHERE)
    assert made.found.scores.tolist() == pytest.approx([0.3, 0.9, 0.8, 0.7])
    assert made.true.states.tolist() == ["accepted", "edited", "added"]
    row = Counting([made]).at(0.5).classes.loc["all"]
    assert (row["found"], row["count"]) == (3, 3)
    assert (row["precision"], row["recall"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))


def test_parts_of_planes_are_units_of_their_own():
    predictions = {f"p{index}": plane(6) for index in range(10)}
    truth = {f"p{index}": plane(6) for index in range(10)}
    areas = {f"p{index}": [Area((), (0.0, 0.0, 30.0, 10.0), "reviewed")] for index in range(6)}
    areas["p9"] = [Area((), (0.0, 0.0, 10.0, 10.0), "ignored")]
    report = count(predictions, Annotations(truth, areas=areas))
    row = report.classes.loc["all"]
    assert row["found"] == 59
    assert row["count"] == pytest.approx(59, rel=0.2)
    assert "6 reviewed areas on 10 planes" in report.sentence
    assert report.planes.loc["p0", "found"] == 6
    assert any("in part" in note for note in report.notes)
    # All of it reviewed: nothing is estimated.
    everywhere = KnownArea(None)
    whole = Counting([CountedPlane(name, boxes, truth[name], everywhere) for name, boxes in predictions.items()]).at()
    assert (whole.classes.loc["all", ["count", "low", "high"]] == 60).all()


def test_shares_are_exact_where_all_planes_are_reviewed_and_some_are_empty():
    every = estimate_share(
        np.array([9, 0, 8, 0, 10, 9, 0, 9, 8, 0]), np.array([10, 0] * 2 + [10, 10, 0, 10, 10, 0]), 10
    )
    assert every.low == every.value == every.high


def test_planes_on_which_a_person_was_first_are_told():
    rng = np.random.default_rng(0)

    def plane(name, drawn, known=EVERYWHERE):
        boxes = rng.uniform(0, 500, (10, 2)).astype(np.float32)
        origins = ["human"] * drawn + ["nuclei@1"] * (10 - drawn)
        scores = [math.nan] * drawn + [0.9] * (10 - drawn)
        states = ["added"] * drawn + ["accepted"] * (10 - drawn)
        found = Detections(np.hstack([boxes, boxes + 8]), scores=scores, origins=origins, states=states)
        return counted_plane(name, found, known)

    def notes(drawn, open_=3):
        planes = [*(plane(f"{n}", drawn) for n in range(6)), *(plane(f"open {n}", 0, None) for n in range(open_))]
        return Counting(planes, says_how_chosen=True).at().notes

    assert any("48 of the 60 objects on reviewed planes were drawn by hand" in note for note in notes(8))
    assert not any("drawn by hand" in note for note in notes(2))
    assert not any("drawn by hand" in note for note in notes(8, open_=0))
