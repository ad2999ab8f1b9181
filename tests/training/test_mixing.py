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


@pytest.mark.parametrize(
    ("base", "by_share", "expected"),
    [
        # The base does nearly as well: what little is gained on a few planes is not worth what may be lost on others.
        (0.95, {0.25: 0.951, 0.5: 0.95, 0.75: 0.96, 1.0: 0.98}, 0.25),
        (0.94, {0.25: 0.93, 0.5: 0.96, 0.75: 0.96, 1.0: 0.98}, 0.5),
        # It does much worse.
        (0.80, {0.25: 0.81, 0.5: 0.85, 0.75: 0.86, 1.0: 0.88}, 1.0),
        (0.10, {0.25: 0.60, 0.5: 0.62, 0.75: 0.65, 1.0: 0.72}, 1.0),
    ],
)
def test_at_least_half_of_a_base_stays_that_does_nearly_as_well(base, by_share, expected):
    def ap50_of(weights):
        return by_share[round(float(weights["weight"][0]), 2)]

    assert mix_with_base(BASE, TUNED, by_share[1.0], ap50_of, base)[1] == expected


def test_a_search_that_is_stopped_keeps_what_it_has_measured():
    asked = []

    def ap50_of(weights):
        asked.append(weights)

    weights, share, ap50 = mix_with_base(BASE, TUNED, 0.4, ap50_of)
    assert (len(asked), share, ap50) == (1, 1.0, 0.4)
    assert len(SHARES) > 1
    torch.testing.assert_close(weights["weight"], TUNED["weight"])
