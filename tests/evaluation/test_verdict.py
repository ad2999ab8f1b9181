from __future__ import annotations

import pytest

from napari_localize.evaluation.verdict import changes_in_words, listed_in_words, verdict

GATE = {"word": "better", "sentence": "The new model is better on 8 planes: F1 ..."}


def comparison(gate=GATE, planes=8, **others):
    return {"planes": [f"p{index}" for index in range(planes)], "gate": gate, **others}


def test_the_word_is_that_of_the_comparison():
    assert verdict(comparison())[:2] == ("better", GATE["sentence"])


@pytest.mark.parametrize(("word", "said"), [("better", "undecided"), ("undecided", "undecided"), ("worse", "worse")])
def test_on_planes_that_were_learnt_from_nothing_is_called_better(word, said):
    judged = verdict(comparison({**GATE, "word": word}, held_back=False))
    assert judged.word == said
    assert ("flatters" in judged.sentence) == (word == "better")


def test_without_planes_or_an_old_model_there_is_no_word():
    assert verdict(comparison(planes=0)).word == ""
    alone = verdict(comparison(gate=None, planes=1))
    assert alone.word == ""
    assert "1 plane; there is no old model" in alone.sentence


def test_changes_are_counted_by_kind():
    changes = [{"kind": "gained", "text": "RBC 0.80, rightly"}, {"kind": "gained", "text": "RBC 0.50, wrongly"}]
    assert changes_in_words(comparison(changes=changes)) == {"gained": "gained 2 (1 rightly)"}
    assert changes_in_words(comparison()) == {}
    assert listed_in_words(comparison(changes=changes)) == listed_in_words(comparison()) == ""


def test_changes_that_are_not_listed_count_too():
    counts = {"gained": {"boxes": 7000, "rightly": 6990}}
    cut = comparison(changes=[{"kind": "gained", "text": "RBC 0.50, wrongly"}] * 10, **{"change counts": counts})
    assert changes_in_words(cut) == {"gained": "gained 7000 (6990 rightly)"}
    assert listed_in_words(cut) == "10 of 7,000 are listed, wrong ones first"


def test_a_cross_validation_says_what_its_numbers_are_of():
    judged = verdict({**comparison(GATE), "cross_validated": True})
    assert judged.word == verdict(comparison(GATE)).word
    assert judged.sentence.startswith("Cross-validated: each ")
    assert judged.sentence.endswith(verdict(comparison(GATE)).sentence)
    alone = {"planes": ["x"], "gate": None, "cross_validated": True}
    assert verdict(alone).sentence.startswith("Cross-validated: each half of the plane was judged by a model that had")


def test_what_did_worse_is_not_suggested_even_if_it_is_not_sure():
    gate = {"word": "undecided", "sentence": "On 2 planes ...", "f1": {"old": 0.9, "new": 0.7}}
    assert not verdict(comparison(gate)).keep
    assert verdict(comparison({**gate, "f1": {"old": 0.9, "new": 0.88}})).keep
    assert verdict(comparison({**gate, "f1": {"old": 0.7, "new": 0.9}})).keep
    assert verdict(comparison(gate, cross_validated=True)).keep
