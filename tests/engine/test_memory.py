from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_localize.engine.memory import SharedMemory, load, store

ROOM = 4096
DTYPES = st.one_of(
    hnp.boolean_dtypes(),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
)


@pytest.fixture(scope="module")
def memory() -> SharedMemory:
    shared = SharedMemory(2 * ROOM)
    shared.close_descriptors()
    return shared


@given(hnp.arrays(DTYPES, st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 3))))
def test_the_leading_rows_that_fit_are_carried(memory: SharedMemory, pixels: np.ndarray) -> None:
    shape, dtype = store(memory.map, ROOM, ROOM, pixels)
    assert shape[1:] == pixels.shape[1:]
    assert shape[0] == min(len(pixels), ROOM // pixels[0].nbytes)
    got = load(memory.map, ROOM, ROOM, shape, dtype)
    assert got.dtype.isnative
    np.testing.assert_array_equal(got, pixels[: shape[0]])


@pytest.mark.parametrize(("shape", "dtype"), [((100, 100, 1), "<f8"), ((1, 1, 1), "O"), ((2, 2, 1), "<c8")])
def test_what_cannot_be_pixels_is_refused(memory: SharedMemory, shape: tuple[int, ...], dtype: str) -> None:
    with pytest.raises(ValueError, match="cannot be in shared memory"):
        load(memory.map, 0, ROOM, shape, dtype)


@pytest.mark.skipif(os.name == "nt", reason="no descriptors there")
def test_no_descriptor_stays_open() -> None:
    before = set(os.listdir("/dev/fd"))
    shared = SharedMemory(ROOM)
    shared.close_descriptors()
    shared.map.close()
    assert set(os.listdir("/dev/fd")) == before
