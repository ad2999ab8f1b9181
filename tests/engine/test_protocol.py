from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_localize.core.detections import Detections
from napari_localize.engine.protocol import decode, encode

COLUMNS = ("boxes", "labels", "scores", "ids", "origins", "states")


@pytest.mark.parametrize("n", [0, 1, 10_000])
def test_detections_arrive_as_they_were_sent(n: int, random_detections: Callable[[int], Detections]) -> None:
    sent = random_detections(n)
    line = encode({"event": "boxes", "detections": sent, "nested": [{"again": sent}]})
    assert line.count(b"\n") == 1
    message = decode(line)
    for got in (message["detections"], message["nested"][0]["again"]):
        assert got.class_names == sent.class_names
        for name in COLUMNS:
            np.testing.assert_array_equal(getattr(got, name), getattr(sent, name))


@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=1, max_dims=2)),
    st.text(),
    st.floats(),
    st.integers(-(2**63), 2**63 - 1),
)
def test_numpy_and_text_become_plain_values(array: np.ndarray, text: str, number: float, integer: int) -> None:
    message = decode(
        encode(
            {
                "array": array,
                "text": text,
                "number": np.float64(number),
                "integer": np.int64(integer),
                "path": Path("a"),
            }
        )
    )
    np.testing.assert_array_equal(message["array"], array)
    np.testing.assert_equal(message["number"], number)
    assert (message["text"], message["integer"], message["path"]) == (text, integer, "a")


def test_other_objects_are_not_sent() -> None:
    with pytest.raises(TypeError, match="object cannot be sent"):
        encode({"thing": object()})


@pytest.mark.parametrize("line", [b"", b"[1]\n", b"nonsense\n", b'{"a":{"$detections":{}}}\n', b"\xff\n"])
def test_what_is_no_message_is_refused(line: bytes) -> None:
    with pytest.raises((ValueError, KeyError)):
        decode(line)
