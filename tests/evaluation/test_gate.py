from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_localize.core.detections import Detections
from napari_localize.evaluation.gate import FEWEST_PLANES, compare, tally

CLASSES = ("a", "b")


@st.composite
def counts(draw):
    """Hits, boxes found and boxes there, of two classes on some planes."""
    number = draw(st.integers(FEWEST_PLANES, 12))
    there = draw(st.lists(st.integers(0, 40), min_size=2 * number, max_size=2 * number))
    rows = []
    for n in there:
        hits = draw(st.integers(0, n))
        rows.append((hits, hits + draw(st.integers(0, 10)), n))
    return np.array(rows).reshape(number, 2, 3)


def test_hits_boxes_and_objects_are_counted_by_plane_and_class():
    true = [Detections([[0, 0, 10, 10], [20, 20, 30, 30]], [0, 1], class_names=CLASSES), Detections.empty(CLASSES)]
    found = [
        Detections([[0, 0, 10, 9], [20, 20, 30, 30]], [0, 0], [0.9, 0.8], class_names=CLASSES),
        Detections([[1, 1, 2, 2]], [1], [0.7], class_names=CLASSES),
    ]
    assert tally(found, true, CLASSES).tolist() == [[[1, 2, 1], [0, 0, 1]], [[0, 0, 0], [0, 1, 0]]]


@settings(deadline=None, max_examples=25)
@given(counts())
def test_a_model_is_about_the_same_as_itself(same):
    gate = compare(same, same, CLASSES)
    assert gate.word == "about the same"
    assert (gate.f1.low, gate.f1.difference, gate.f1.high) == (0, 0, 0)


@settings(deadline=None, max_examples=25)
@given(counts(), st.randoms(use_true_random=False))
def test_exchanging_the_models_turns_the_answer_round(old, random):
    new = old.copy()
    new[..., 0] = [[random.randint(0, int(n)) for n in row] for row in old[..., 0]]
    ahead, back = compare(old, new, CLASSES), compare(new, old, CLASSES)
    opposite = {"better": "worse", "worse": "better"}
    assert back.word == opposite.get(ahead.word, ahead.word)
    assert back.f1.difference == pytest.approx(-ahead.f1.difference)
    # Percentiles between two replicates are not quite mirrored.
    assert back.f1.low == pytest.approx(-ahead.f1.high, abs=1e-6)


def test_what_is_better_on_every_plane_is_better():
    old = np.tile([[10, 20, 20], [5, 8, 10]], (8, 1, 1))
    new = old.copy()
    new[:, 0, 0] = 16
    gate = compare(old, new, CLASSES)
    assert gate.word == "better"
    assert gate.f1.low > 0
    assert gate.classes["b"].difference == 0
    assert "better on 8 planes: F1 0.52 -> 0.72" in gate.sentence


def test_what_gains_in_one_class_and_loses_in_another_is_said():
    old = np.tile([[10, 20, 40], [9, 10, 10]], (8, 1, 1))
    new = old.copy()
    new[:, 0, 0], new[:, 1, 0] = 20, 2
    gate = compare(old, new, CLASSES)
    assert gate.word == "better"
    assert "worse for b" in gate.sentence


def test_few_planes_decide_nothing():
    old = np.tile([[1, 20, 20]], (FEWEST_PLANES - 1, 1, 1))
    new = np.tile([[20, 20, 20]], (FEWEST_PLANES - 1, 1, 1))
    gate = compare(old, new, ("a",))
    assert gate.word == "undecided"
    assert "nothing can be said for sure" in gate.sentence


def test_planes_that_disagree_decide_nothing():
    rng = np.random.default_rng(0)
    old, new = (np.stack([rng.integers(0, 20, (8, 1)), *[np.full((8, 1), 20)] * 2], axis=2) for _ in range(2))
    assert compare(old, new, ("a",)).word == "undecided"


def test_it_goes_into_json():
    same = np.tile([[1, 2, 2]], (6, 1, 1))
    assert json.loads(json.dumps(compare(same, same, ("a",)).as_dict()))["f1"]["high"] == 0


def test_planes_of_a_group_are_drawn_together():
    rng = np.random.default_rng(0)
    old = np.stack([rng.integers(8, 13, (20, 1)), *[np.full((20, 1), 20)] * 2], axis=2)
    new = old.copy()
    # Two of five wells have become much better, and one a little worse: on all of their planes.
    wells = [f"B{number // 4}" for number in range(20)]
    gain = np.array([6, 5, 0, 0, -1]).repeat(4)
    new[:, 0, 0] += gain
    apart = compare(old, new, ("a",))
    together = compare(old, new, ("a",), groups=wells, kind="well")
    assert apart.word == "better"
    assert together.word == "undecided"
    assert together.f1.difference == apart.f1.difference
    assert together.sentence.endswith("The planes are of 5 wells.")
    alone = compare(old, new, ("a",), groups=[str(number) for number in range(20)], kind="image")
    assert alone == apart


def test_few_groups_speak_for_themselves_only():
    old = np.tile([[1, 20, 20]], (12, 1, 1))
    new = np.tile([[20, 20, 20]], (12, 1, 1))
    gate = compare(old, new, ("a",), groups=["t"] * 12, kind="blocks")
    assert gate.word == "better"
    assert gate.sentence.endswith("The planes are of 1 stack; on other stacks it may be different.")
