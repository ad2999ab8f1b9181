from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_localize.evaluation.revise import Reviser


def test_without_a_judgement_the_chances_are_those_of_the_model():
    given_chances = np.array([0.1, 0.5, 0.9])
    np.testing.assert_allclose(Reviser(given_chances, np.eye(3)).chances(), given_chances, atol=1e-6)


@settings(deadline=None)
@given(st.integers(1, 40), st.lists(st.tuples(st.integers(0, 39), st.booleans()), max_size=60), st.integers(0, 99))
def test_chances_stay_chances_and_what_was_taken_back_is_forgotten(number, answers, seed):
    rng = np.random.default_rng(seed)
    reviser = Reviser(rng.random(number), rng.normal(size=(number, 3)))
    for row, right in answers:
        reviser.learn(row % number, right)
        chances = reviser.chances()
        assert ((chances >= 0) & (chances <= 1)).all()
    for row, _ in answers:
        reviser.forget(row % number)
    assert np.isfinite(reviser.chances()).all()


def test_a_model_that_is_too_sure_is_believed_less():
    # It says 0.9 and is right in half of the cases.
    rng = np.random.default_rng(0)
    reviser = Reviser(np.full(500, 0.9), np.zeros((500, 1)))
    for row in range(200):
        reviser.learn(row, bool(rng.random() < 0.5))
    assert abs(reviser.chances()[-1] - 0.5) < 0.1
    # What was known before is used at once.
    other = Reviser(np.full(500, 0.9), np.zeros((500, 1)))
    other.study(np.full(200, 0.9), np.zeros((200, 1)), rng.random(200) < 0.5)
    assert abs(other.chances()[0] - 0.5) < 0.1
