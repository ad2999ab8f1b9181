"""Objects are as large as in the images that a model has learnt from, unless an image shows quite another size."""

from __future__ import annotations

import pytest

from napari_localize.models.scale import ScaleEstimate, usual_instead


@pytest.mark.parametrize(
    ("found", "believed"),
    [
        (100.0, 100.0),
        (80.0, 95.0),
        (150.0, 110.0),
        (40.0, 40.0),  # another magnification
        (260.0, 260.0),
    ],
)
def test_a_size_near_the_usual_one_is_taken_for_that(found, believed):
    answer = usual_instead(ScaleEstimate(found, "found"), (95.0, 110.0))
    assert answer.diameter == believed
    assert ("training images" in answer.text) == (found != believed)


def test_where_nothing_is_recognised_the_usual_size_is_taken():
    answer = usual_instead(ScaleEstimate(None, "nothing"), (90.0, 160.0))
    assert answer.diameter == pytest.approx(120.0)
    assert "No object was recognised" in answer.text


def test_a_model_of_many_kinds_believes_what_it_sees():
    found = ScaleEstimate(33.0, "found")
    assert usual_instead(found, None) is found
