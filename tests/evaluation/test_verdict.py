from __future__ import annotations

import pytest

from napari_localize.evaluation.verdict import verdict


def metrics(ap50: float, f1: float) -> dict[str, float]:
    return {"AP50": ap50, "F1": f1}


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ((0.70, 0.70), (0.80, 0.78), "better"),
        ((0.70, 0.70), (0.80, 0.69), "better"),
        ((0.80, 0.78), (0.70, 0.70), "worse"),
        ((0.80, 0.80), (0.81, 0.79), "about the same"),
        ((0.80, 0.80), (0.90, 0.70), "mixed"),
        ((0.62, 0.30), (0.30, 0.41), "mixed"),
    ],
)
def test_the_word_follows_both_measures(old, new, word):
    judged = verdict(metrics(*old), metrics(*new), 10)
    assert judged.word == word
    assert "10 planes" in judged.sentence
    assert "evidence" not in judged.sentence


def test_on_few_planes_the_doubt_is_said():
    assert "on 1 plane." in verdict(metrics(0.5, 0.5), metrics(0.9, 0.9), 1).sentence
    assert "little evidence" in verdict(metrics(0.5, 0.5), metrics(0.9, 0.9), 2).sentence


def test_without_planes_or_an_old_model_there_is_no_word():
    assert verdict(metrics(0.5, 0.5), metrics(0.9, 0.9), 0).word == ""
    alone = verdict(None, metrics(0.9, 0.9), 5)
    assert alone.word == ""
    assert "no old model" in alone.sentence
