"""Settings that cannot work are refused where they are made."""

from __future__ import annotations

import pytest

from napari_localize.core.errors import UserError, is_out_of_memory
from napari_localize.core.settings import PredictSettings, TrainSettings

NAN = float("nan")


@pytest.mark.parametrize("field", ["object_diameter", "pixel_size", "batch_size"])
@pytest.mark.parametrize("value", [0, -1, NAN, float("inf")])
def test_sizes_are_above_zero(field, value):
    with pytest.raises(UserError, match=f"{field.replace('_', ' ')} is .*above 0"):
        PredictSettings(**{field: value})


@pytest.mark.parametrize("value", [-0.1, 1.1, NAN])
def test_the_threshold_is_a_score(value):
    with pytest.raises(UserError, match="between 0 and 1"):
        PredictSettings(threshold=value)


def test_channels_are_counted_from_zero():
    assert PredictSettings(channel=0, threshold=0).channel == 0
    with pytest.raises(UserError, match="counted from 0"):
        PredictSettings(channel=-1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seconds": 5, "epochs": 2}, "only one"),
        ({"seconds": 0}, "above 0"),
        ({"seconds": NAN}, "above 0"),
        ({"epochs": 0}, "1 or more"),
        ({"seed": -1}, "0 or more"),
    ],
)
def test_trainings_that_cannot_be(arguments, message):
    with pytest.raises(UserError, match=message):
        TrainSettings(**arguments)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_running_out_of_memory_is_recognised(error, expected):
    assert is_out_of_memory(error) == expected
