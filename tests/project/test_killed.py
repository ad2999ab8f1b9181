"""The process dies at any moment, and nothing that was confirmed is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.project.conftest import NONE
from tests.project.storm import rows

from napari_localize.core.steps import Change
from napari_localize.project import open_project
from napari_localize.project.rows import rows_of_image

KILLS = 200


@pytest.fixture
def storms():
    """A process from which others are forked, so that their start takes no time."""
    script = Path(__file__).with_name("storm.py")
    process = subprocess.Popen([sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield process
    process.stdin.close()
    process.stdout.close()
    process.wait()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_what_was_confirmed_outlasts_a_kill_at_any_moment(tmp_path, storms):
    path = tmp_path / "p.localize"
    with open_project(path, create=True) as project:
        image = project.add_array("i", (100, 100), "YX")
        image.journal().record(Change("propose", "start", rows(project.reserve_ids(40), 0, 0), NONE))
    number, entries = 0, 1
    chance = random.Random(0)
    for kill in range(KILLS):
        said = tmp_path / f"said-{kill}"
        print(path, number, said, sep="\t", file=storms.stdin, flush=True)
        pid = int(storms.stdout.readline())
        time.sleep(chance.random() * 0.1)
        os.kill(pid, signal.SIGKILL)
        assert storms.stdout.readline() == "gone\n"
        confirmed = [line.split() for line in said.read_text().splitlines()] if said.exists() else []
        with open_project(path) as project:
            assert project.read_only_reason is None
            entries += check(project, confirmed, entries)
            # What the next one sees is whole, however its predecessor ended.
            if kill % 20 == 0 or kill == KILLS - 1:
                assert project.check() == []
        number += len(confirmed) + 1
    assert number > 2 * KILLS


def check(project, confirmed, entries):
    """Compare the boxes with what was confirmed; at most one more edit is there, and it is whole."""
    with project.database.reading() as connection:
        stored = rows_of_image(connection, project.image("i").id)
        found = connection.execute("SELECT action, text FROM journal ORDER BY id").fetchall()[entries:]
        counts = dict(connection.execute("SELECT state, SUM(boxes) FROM summary GROUP BY state"))
        (indexed,) = connection.execute("SELECT COUNT(*) FROM box_index").fetchone()
        assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
    assert indexed == len(stored) == sum(counts.values())
    assert found[: len(confirmed)] == [(action, text) for action, text, _ in confirmed]
    extra = found[len(confirmed) :]
    assert len(extra) in (0, 1)
    values = np.unique(stored.boxes[:40, 0])
    assert len(values) == 1
    edits = [int(value) for action, _, value in confirmed if action != "propose"]
    if extra and extra[0][0] == "do":
        assert values[0] == int(extra[0][1]) % 10_000
    elif edits and not (extra and extra[0][0] == "undo"):
        assert values[0] == edits[-1]
    proposals = [int(value) for action, _, value in confirmed if action == "propose"]
    if proposals and not (extra and extra[0][0] == "propose"):
        assert len(stored) - 40 == proposals[-1]
    return len(found)
