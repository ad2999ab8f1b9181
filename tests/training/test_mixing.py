from __future__ import annotations

import pytest
import torch

from napari_localize.training.mixing import SHARES, mix_with_base, mixture

BASE = {"weight": torch.zeros(3), "seen": torch.tensor(5)}
TUNED = {"weight": torch.ones(3), "seen": torch.tensor(9)}


def test_a_mixture_lies_between():
    mixed = mixture(BASE, TUNED, 0.25)
    torch.testing.assert_close(mixed["weight"], torch.full((3,), 0.25))
    assert mixed["seen"] == 9
    assert TUNED["weight"].min() == 1
    assert BASE["weight"].max() == 0


@pytest.mark.parametrize(
    ("by_share", "expected"),
    [
        ({0.25: 0.5, 0.5: 0.6, 0.75: 0.9, 1.0: 0.7}, 0.75),
        ({0.25: 0.2, 0.5: 0.3, 0.75: 0.4, 1.0: 0.7}, 1.0),
        ({0.25: 0.7, 0.5: 0.7, 0.75: 0.7, 1.0: 0.7}, 0.25),
        ({0.25: 0.1, 0.5: 0.6995, 0.75: 0.7, 1.0: 0.7}, 0.5),
    ],
)
def test_the_best_share_is_taken_and_of_equals_the_one_with_more_of_the_base(by_share, expected):
    def ap50_of(weights):
        return by_share[round(float(weights["weight"][0]), 2)]

    weights, share, ap50 = mix_with_base(BASE, TUNED, by_share[1.0], ap50_of)
    assert share == expected
    assert ap50 == by_share[expected]
    torch.testing.assert_close(weights["weight"], torch.full((3,), expected))


def test_a_search_that_is_stopped_keeps_what_it_has_measured():
    asked = []

    def ap50_of(weights):
        asked.append(weights)

    weights, share, ap50 = mix_with_base(BASE, TUNED, 0.4, ap50_of)
    assert (len(asked), share, ap50) == (1, 1.0, 0.4)
    assert len(SHARES) > 1
    torch.testing.assert_close(weights["weight"], TUNED["weight"])
