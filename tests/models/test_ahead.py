"""The next item is read while one is worked on, and nothing is left running."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from napari_localize.models.ahead import read_ahead

PATIENCE = 20


def readers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


@pytest.fixture(autouse=True)
def _nothing_is_left_running():
    yield
    assert readers() == []


@pytest.mark.parametrize("count", [0, 1, 2, 20])
def test_everything_comes_in_order(count):
    assert list(read_ahead(range(count), lambda item: item * 2)) == [(item, item * 2) for item in range(count)]


def test_one_item_is_read_ahead_and_no_more():
    started = [threading.Event() for _ in range(4)]

    def read(item):
        started[item].set()
        return item

    with closing(read_ahead(range(4), read)) as ready:
        for item, _ in ready:
            if item < 3:
                assert started[item + 1].wait(PATIENCE)
            if item < 2:
                assert not started[item + 2].is_set()


def test_an_error_comes_when_it_is_its_turn():
    def read(item):
        if item == 2:
            raise ValueError("broken")
        return item

    seen = []
    with pytest.raises(ValueError, match="broken"), closing(read_ahead(range(5), read)) as ready:
        seen.extend(item for item, _ in ready)
    with closing(read_ahead(range(5), read)) as ready:
        assert next(ready) == (0, 0)
        assert next(ready) == (1, 1)


def test_leaving_early_ends_the_thread():
    read = []
    with closing(read_ahead(range(1000), read.append)) as ready:
        next(ready)
    assert readers() == []
    assert len(read) <= 2
