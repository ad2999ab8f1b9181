from __future__ import annotations

from collections import Counter
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_localize.evaluation.queue import (
    LOT_SHARE,
    Candidates,
    Order,
    ReviewQueue,
    compress,
    first_of_lot,
    lot,
    rank_boxes,
    rank_planes,
    uncertainty,
)


def made(number, seed=0, *, features=None, doubts=None, planes=4):
    rng = np.random.default_rng(seed)
    return Candidates(
        rng.permutation(10 * number)[:number].astype(np.int64),
        rng.integers(0, planes, number),
        rng.integers(0, 3, number),
        rng.random(number),
        rng.uniform(5, 50, number),
        features,
        doubts,
    )


numbers = st.integers(0, 60)
seeds = st.integers(0, 2**31)


@settings(deadline=None)
@given(numbers, seeds, st.sampled_from(get_args(Order)), st.booleans(), st.booleans())
def test_every_box_comes_once(number, seed, order, described, doubted):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(number, 4)).astype(np.float32) if described else None
    doubts = np.where(rng.random(number) < 0.3, rng.random(number), 0.0) if doubted else None
    given_boxes = made(number, seed, features=features, doubts=doubts)
    rows = [entry.row for entry in rank_boxes(given_boxes, order, seed=seed)]
    assert len(set(rows)) == len(rows)
    suspicious = set(np.flatnonzero(doubts > 0).tolist()) if doubted else set()
    if order == "useful":
        assert set(rows) == set(range(number))
    else:
        assert set(rows) == (suspicious if order == "suspicious" else set(range(number)) - suspicious)


@settings(deadline=None)
@given(st.integers(1, 80), seeds, st.sampled_from([0.0, 0.2, 0.5, 1.0]))
def test_any_beginning_has_its_share_by_lot(number, seed, share):
    reasons = [entry.reason for entry in rank_boxes(made(number, seed), seed=seed, lot_share=share)]
    for length in range(1, number + 1):
        assert reasons[:length].count("lot") == int(share * length + 1e-9)


@settings(deadline=None)
@given(st.integers(1, 60), seeds, st.sampled_from(get_args(Order)))
def test_the_order_depends_on_the_boxes_and_the_seed_alone(number, seed, order):
    boxes = made(number, seed)
    turn = np.random.default_rng(seed).permutation(number)
    turned = Candidates(*(getattr(boxes, name)[turn] for name in ("keys", "planes", "labels", "chances", "sizes")))
    one = [boxes.keys[entry.row] for entry in rank_boxes(boxes, order, seed=seed)]
    assert one == [turned.keys[entry.row] for entry in rank_boxes(turned, order, seed=seed)]
    assert one[:7] == [boxes.keys[entry.row] for entry in rank_boxes(boxes, order, seed=seed, limit=7)]


def test_other_seeds_draw_other_lots():
    boxes = made(200)
    drawn = [tuple(entry.row for entry in rank_boxes(boxes, "lot", seed=seed, limit=5)) for seed in range(5)]
    assert len(set(drawn)) == 5


def test_least_certain_comes_first():
    boxes = made(100)
    chances = [boxes.chances[entry.row] for entry in rank_boxes(boxes, "uncertain")]
    assert (np.diff(np.abs(np.array(chances) - 0.5)) >= 0).all()
    assert abs(boxes.chances[rank_boxes(boxes, "uncertain", threshold=0.3)[0].row] - 0.3) < 0.05


def test_uncertainty_is_entropy():
    np.testing.assert_allclose(uncertainty([0.5, 0.0, 1.0, 0.11, np.nan]), [1, 0, 0, 0.5, 0], atol=1e-3)
    np.testing.assert_allclose(uncertainty([0.3, 0.0, 1.0], 0.3), [1, 0, 0], atol=1e-6)


def test_near_duplicates_do_not_follow_each_other():
    # Twenty kinds of objects; the most common one makes up most of the boxes.
    rng = np.random.default_rng(0)
    kind = np.concatenate([np.zeros(810, int), np.repeat(np.arange(1, 20), 10)])
    features = compress((10 * rng.normal(size=(20, 16))[kind] + 0.1 * rng.normal(size=(1000, 16))).astype(np.float32))
    boxes = made(1000, features=features)
    even = Candidates(boxes.keys, boxes.planes, boxes.labels, np.full(1000, 0.5), boxes.sizes, features)
    spread = rank_boxes(even, lot_share=0.0, limit=20)
    assert len({int(kind[entry.row]) for entry in spread}) == 20
    assert len({int(kind[entry.row]) for entry in rank_boxes(even, "different", limit=20)}) == 20
    assert len({int(kind[entry.row]) for entry in rank_boxes(even, "lot", limit=20)}) < 10


def test_what_looks_like_what_was_reviewed_waits():
    features = np.repeat(np.eye(2, dtype=np.float32), 5, axis=0)
    boxes = made(10, features=features)
    even = Candidates(boxes.keys, boxes.planes, boxes.labels, np.full(10, 0.5), boxes.sizes, features)
    for known, first in ((0, 5), (1, 0)):
        one = np.zeros(1, np.int64)
        before = Candidates(one, one, one, np.full(1, 0.5), np.full(1, 9.0), np.eye(2, dtype=np.float32)[[known]])
        entry = rank_boxes(even, lot_share=0.0, reviewed=before, limit=1)[0]
        assert first <= entry.row < first + 5


@pytest.mark.parametrize("described", [False, True])
def test_boxes_like_those_that_were_wrong_become_doubtful(described):
    # Two kinds, of which one is always wrong though the model is as sure of it.
    rng = np.random.default_rng(0)
    kind = np.arange(400) % 2
    features = (np.eye(2)[kind] + 0.05 * rng.normal(size=(400, 2))).astype(np.float32) if described else None
    labels = np.zeros(400, np.int64) if described else kind
    boxes = Candidates(np.arange(400), labels, labels, rng.uniform(0.6, 0.95, 400), np.full(400, 9.0), features)
    queue = ReviewQueue(boxes, lot_share=0.0)
    seen = []
    for _ in range(150):
        entry = next(queue)
        seen.append(kind[entry.row])
        queue.judge(entry.row, bool(kind[entry.row]))
    assert np.mean(seen[50:]) < 0.1
    # What was learned before counts from the beginning.
    judged = Candidates(
        boxes.keys[:40] + 1000,
        *(getattr(boxes, n)[:40] for n in ("planes", "labels", "chances", "sizes")),
        None if features is None else features[:40],
    )
    ahead = rank_boxes(boxes, lot_share=0.0, reviewed=judged, right=kind[:40].astype(bool), limit=50)
    assert np.mean([kind[entry.row] for entry in ahead]) < 0.1


def test_a_judgement_that_is_taken_back_is_forgotten():
    boxes = made(100)
    one, other = ReviewQueue(boxes), ReviewQueue(boxes)
    one.judge(3, False)
    one.judge(4, False)
    one.judge(4, None)
    one.judge(3, None)
    for _ in range(3):
        one.judge(3, None)
    first = [next(one).row for _ in range(20)]
    assert len({*first} & {next(other).row for _ in range(20)}) >= 15


def test_the_most_suspicious_is_shown_soon():
    doubts = np.zeros(100)
    doubts[[7, 30]] = 0.6, 0.9
    entries = rank_boxes(made(100, doubts=doubts))
    assert [entry.row for entry in entries if entry.reason == "suspicious"] == [30, 7]
    assert {7, 30} <= {entry.row for entry in entries[:15]}


def test_the_lot_is_a_fair_sample_of_all_boxes_whatever_else_is_judged():
    # A person judges the least certain boxes as well, which are right less often than others.
    rng = np.random.default_rng(1)
    shares = []
    for seed in range(300):
        chances = rng.random(400)
        right = rng.random(400) < chances
        boxes = Candidates(np.arange(400), *np.zeros((2, 400), np.int64), chances, np.full(400, 9.0))
        judged = np.zeros(400, bool)
        judged[[entry.row for entry in rank_boxes(boxes, seed=seed, limit=100)]] = True
        sample = first_of_lot(boxes.keys, judged, seed)
        assert len(sample) >= 20
        shares.append(right[sample].mean() - right.mean())
    assert abs(np.mean(shares)) < 0.02


def test_lots_stay_when_other_boxes_come_and_go():
    keys = np.arange(1000)
    np.testing.assert_array_equal(lot(keys)[::3], lot(keys[::3]))
    assert len(np.unique(lot(keys))) == 1000
    assert len(first_of_lot(keys, np.ones(1000, bool))) == 1000
    assert len(first_of_lot([], [])) == 0
    drawn = np.argsort(lot(keys))
    judged = np.ones(1000, bool)
    judged[drawn[5]] = False
    np.testing.assert_array_equal(first_of_lot(keys, judged), drawn[:5])


def test_columns_that_do_not_agree_are_an_error():
    with pytest.raises(ValueError, match="3 keys but 2 planes"):
        Candidates(np.arange(3), *np.zeros((2, 2), np.int64), np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match="no order 'best'"):
        rank_boxes(made(3), "best")


@settings(deadline=None)
@given(st.integers(1, 30), numbers, seeds)
def test_every_plane_comes_once_and_a_share_by_lot(planes, number, seed):
    keys = np.random.default_rng(seed).permutation(planes)
    entries = rank_planes(keys, made(number, seed, planes=planes), seed=seed)
    assert Counter(entry.row for entry in entries) == Counter(range(planes))
    reasons = [entry.reason for entry in entries]
    for length in range(1, planes + 1):
        assert reasons[:length].count("lot") == int(LOT_SHARE * length + 1e-9)


def test_the_plane_with_most_doubt_comes_first_and_then_one_that_is_unlike_it():
    # Planes 0 and 1 look alike, 2 does not; 3 is sure.
    planes = np.repeat([0, 1, 2, 3], 10)
    chances = np.repeat([0.5, 0.45, 0.35, 0.99], 10)
    features = np.repeat(np.array([[0, 0], [0, 0.1], [5, 5], [0, 0]], np.float32), 10, axis=0)
    boxes = Candidates(np.arange(40), planes, np.zeros(40, np.int64), chances, np.full(40, 9.0), features)
    assert [entry.row for entry in rank_planes([0, 1, 2, 3, 4], boxes, lot_share=0.0)][:4] == [0, 2, 1, 3]
    # A finished plane that looks like the third: then the second.
    known = np.array([[5, 5]], np.float32)
    assert [entry.row for entry in rank_planes([0, 1, 2, 3], boxes, lot_share=0.0, reviewed=known)][:2] == [0, 1]
    with pytest.raises(ValueError, match="not among the keys"):
        rank_planes([0, 1], boxes)


def test_features_become_few_and_comparable():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 100)).astype(np.float32) * np.logspace(-3, 3, 100, dtype=np.float32)
    reduced = compress(features)
    assert reduced.shape == (300, 32)
    assert reduced.dtype == np.float32
    assert 0.1 < np.linalg.norm(reduced, axis=1).mean() < 2
    assert compress(np.zeros((5, 3), np.float32)).shape == (5, 3)
    assert compress(np.zeros((0, 3), np.float32)).shape == (0, 1)
