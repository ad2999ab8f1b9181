from __future__ import annotations

import numpy as np
import pytest

from napari_localize.evaluation.forgetting import f1_in_words, forgotten, judge_domain
from napari_localize.evaluation.gate import compare
from napari_localize.evaluation.verdict import verdict


def gate(old, new, planes, boxes=20):
    """Compare two models that find so many of the boxes of each plane, and nothing else."""

    def counts(share):
        hits = round(share * boxes)
        return np.tile(np.array([[[hits, hits, boxes]]]), (planes, 1, 1))

    return compare(counts(old), counts(new), ["cell"])


@pytest.mark.parametrize(
    ("old", "new", "planes", "boxes", "word", "forgets"),
    [
        (0.9, 0.5, 8, 20, "worse", True),
        (0.9, 0.9, 8, 20, "about the same", False),
        (0.5, 0.9, 8, 20, "better", False),
        (0.90, 0.89, 8, 100, "about the same", False),
        # Too few planes for a verdict on others; whether these very boxes are lost can be said of many.
        (0.9, 0.6, 1, 125, "", True),
        (0.9, 0.85, 1, 125, "", False),
        (0.9, 0.6, 1, 4, "", False),
        (0.6, 0.9, 1, 125, "", False),
    ],
)
def test_what_is_forgotten(old, new, planes, boxes, word, forgets):
    assert judge_domain(gate(old, new, planes, boxes), planes * boxes) == (word, forgets)


def domain(forgets, **values):
    known = {"name": "nuclei (sample)", "word": "", "planes": 1, "boxes": 125, "held_back": True}
    return {**known, "forgets": forgets, "old": {"F1": 0.91}, "new": {"F1": 0.74}, **values}


def comparison(word, *domains):
    return {"planes": ["a"], "gate": {"word": word, "sentence": "Said."}, "held_back": True, "domains": list(domains)}


def test_the_verdict_names_what_is_forgotten_and_suggests_keeping_only_what_is_better_elsewhere():
    judged = verdict(comparison("better", domain(True), domain(False, name="tissue")))
    assert judged.word == "better"
    assert judged.forgets == ("nuclei (sample)",)
    assert "forgets" in judged.sentence
    assert "nuclei (sample), F1 0.91 -> 0.74 on 125 boxes of 1 plane" in judged.sentence
    assert "tissue" not in judged.sentence
    assert judged.keep
    for word in ("undecided", "about the same", "worse"):
        assert not verdict(comparison(word, domain(True))).keep
    assert verdict(comparison("undecided", domain(False))).keep
    assert verdict(comparison("undecided")).sentence == "Said."


def test_numbers_in_words():
    assert "that the earlier model had learnt from" in f1_in_words(domain(True, held_back=False))
    assert f1_in_words(domain(False, planes=3)).endswith("3 planes")
    assert f1_in_words({"name": "x", "reason": "not checked"}) == "not checked"
    assert forgotten({}) == {}
