"""Hundreds of thousands of boxes. The limits are twice the bars, for machines that are busy with other things."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from tests.project.conftest import NONE, many

from napari_localize.core.steps import Change, Step
from napari_localize.project import open_project

BOXES = 200_000


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("large") / "p.localize"
    with open_project(path, create=True) as project:
        image = project.add_array("i", (20_020, 20_020), "YX")
        image.journal().record(Change("propose", "m@1", many(BOXES, project.reserve_ids(BOXES)), NONE))
    return path


def seconds(action):
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def test_it_opens_loads_and_changes_in_time(path):
    began = time.perf_counter()
    with open_project(path) as project:
        (image,) = project.images()
        assert time.perf_counter() - began < 1
        assert sum(image.counts["cell"].values()) + sum(image.counts["dot"].values()) == BOXES
        assert seconds(image.load) < 1.2
        rows = image.load().rows
        accepted = replace(rows, states=np.ones(BOXES, np.int8))
        change = Change("do", "accept", accepted, NONE, Step("accept", rows, accepted))
        assert seconds(lambda: image.journal().record(change)) < 6
        assert project.image("i").status == "in work"
        one = accepted[:1]
        moved = replace(one, boxes=one.boxes + 1)
        assert (
            seconds(lambda: image.journal().record(Change("do", "move", moved, NONE, Step("move", one, moved)))) < 0.5
        )
        history = image.load().history
        assert [history.undo().text, history.undo().text] == ["move", "accept"]


def test_looking_something_up_does_not_wait_for_a_large_change(path):
    with open_project(path) as project:
        image = project.image("i")
        rows = image.load().rows
        change = Change("propose", "m@2", replace(rows, boxes=rows.boxes + 1), NONE)
        writing = threading.Thread(target=image.journal().record, args=(change,))
        writing.start()
        times = []
        while writing.is_alive():
            times.append(seconds(project.images))
            time.sleep(0.02)
        writing.join()
        assert max(times[:-1], default=0) < 0.5
        assert len(times) > 2
