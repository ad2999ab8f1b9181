from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_localize.evaluation.budget import (
    FEWEST_BOXES,
    Standing,
    advise,
    estimate_count,
    estimate_precision,
    half_width,
    more_for_half,
    pace,
)
from napari_localize.evaluation.estimates import Estimate


@pytest.mark.parametrize(("total", "judged"), [(200, 40), (5000, 60), (1000, 200), (300, 250)])
def test_the_interval_holds_the_true_share_in_95_of_100_cases(total, judged):
    rng = np.random.default_rng(0)
    held = 0
    repeats = 2500
    for _ in range(repeats):
        right = round(total * rng.uniform(0.5, 0.97))
        hits = int(rng.hypergeometric(right, total - right, judged))
        answer = estimate_precision(hits, judged - hits, total)
        held += answer.low - 1e-9 <= right / total <= answer.high + 1e-9
    assert 0.93 <= held / repeats <= 0.97


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 10), st.integers(0, 1000))
def test_intervals_are_in_order(right, wrong, unknown, others):
    total = right + wrong + unknown + others
    answer = estimate_precision(right, wrong, total, unknown)
    if right + wrong == 0:
        assert math.isnan(answer.value)
        return
    assert 0 <= answer.low <= answer.value <= answer.high <= 1
    # Whatever those are that were passed over.
    drawn = right + wrong + unknown
    assert answer.low <= right / drawn + 1e-9
    assert answer.high >= (right + unknown) / drawn - 1e-9


def test_when_all_are_judged_nothing_is_open():
    assert estimate_precision(30, 10, 40) == Estimate(0.75, 0.75, 0.75)
    count = estimate_count(100, estimate_precision(18, 2, 100), approved=88, rejected=10)
    assert (count.low, count.high) == (88, 90)


def test_what_is_missed_counts_when_it_is_known():
    precision = Estimate(0.9, 0.85, 0.95)
    assert estimate_count(1000, precision).value == pytest.approx(900)
    count = estimate_count(1000, precision, Estimate(0.75, 0.7, 0.8))
    assert count.value == pytest.approx(1200)
    assert half_width(count) > half_width(Estimate(0.75, 0.7, 0.8))
    assert math.isnan(estimate_count(1000, precision, Estimate(0.0, 0.0, 0.1)).value)


def test_pauses_are_no_part_of_the_pace():
    steady = [3.0 * turn for turn in range(12)]
    assert pace(steady) == 3.0
    assert pace([*steady[:6], *(one + 4000 for one in steady[6:])]) == 3.0
    assert pace(steady[:5]) is None
    assert pace([]) is None


def test_so_many_more_boxes_halve_the_interval():
    standing = Standing(5000, approved=60, rejected=20, right=45, wrong=5)
    more = more_for_half(standing)
    assert 100 < more < 250
    now = half_width(standing.count)
    assert half_width(standing.later(more).count) <= now / 2
    assert half_width(standing.later(more - 1).count) > now / 2
    assert more_for_half(Standing(5000, right=5, wrong=5)) is None


def test_first_it_says_how_many_to_judge():
    advice = advise(Standing(500, approved=10, right=4, wrong=1, unsure=50, seconds=6.0))
    assert not advice.stop
    assert "15 more boxes by lot (about 2 min at your pace)" in advice.text
    assert "all 500" in advice.text


def test_then_what_more_would_bring():
    standing = Standing(50_000, approved=80, rejected=20, right=40, wrong=10, unsure=900, seconds=6.0)
    advice = advise(standing)
    assert not advice.stop
    assert "80 % of the boxes are right" in advice.text
    assert "would halve that" in advice.text
    assert "an hour of review would bring it to ±" in advice.text
    assert "±" in advise(Standing(300, 80, 20, 40, 10, unsure=90, seconds=6.0)).text
    assert "all 200 that are left take 20 min" in advise(Standing(300, 80, 20, 40, 10, unsure=90, seconds=6.0)).text


def test_it_says_stop():
    narrow = advise(Standing(1000, approved=500, right=400, wrong=10, unsure=5))
    assert narrow.stop
    assert "enough" in narrow.text
    wide = advise(Standing(1000, approved=30, right=18, wrong=6, unsure=0))
    assert wide.stop
    assert "nothing suspicious or uncertain is left" in wide.text
    early = advise(Standing(1000, approved=10, right=8))
    assert early.stop
    assert f"{FEWEST_BOXES - 8} more boxes" in early.text
    assert advise(Standing(30, approved=25, rejected=5, right=20, wrong=5)).text == "All 30 boxes are judged."
    again = advise(Standing(30, approved=25, rejected=5, right=20, wrong=5, suspicious=1))
    assert not again.stop
    assert "1 suspicious one can" in again.text
    assert not advise(Standing(1000, approved=500, right=400, wrong=10, unsure=5), narrow=0.001).stop
    assert advise(Standing(0)).text == ""


@given(
    st.integers(1, 400), st.integers(0, 200), st.integers(0, 100), st.integers(0, 30), st.integers(0, 30),
    st.none() | st.floats(0.0, 100.0), st.booleans(),
)  # fmt: skip
def test_there_is_always_one_sentence(others, right, wrong, unsure, suspicious, seconds, recall):
    standing = Standing(
        others + right + wrong, right, wrong, right, wrong, 0, unsure, suspicious, seconds,
        recall=Estimate(0.8, 0.7, 0.9) if recall else None,
    )  # fmt: skip
    text = advise(standing).text
    assert text.endswith(".")
    assert "nan" not in text
    assert text.count(". ") == 0
