"""Processes that edit a project as fast as they can, until they are killed.

For each line on standard input, ``PROJECT FIRST_NUMBER FILE``, a process is forked, whose number goes to standard
output, and "gone" when it has ended. Every line that it writes to its file says which edit has been confirmed.
"""

from __future__ import annotations

import os
import random
import sys

import numpy as np

from napari_localize.core.boxes import BoxRows
from napari_localize.core.steps import Change, Step
from napari_localize.project import open_project
from napari_localize.project.rows import rows_of_image

NONE = np.zeros(0, np.int64)


def rows(ids: np.ndarray, value: int, state: int) -> BoxRows:
    """Boxes that all say which edit they come from: half of one would show."""
    n = len(ids)
    x = np.float32(value % 10_000)
    return BoxRows(
        np.asarray(ids, np.int64),
        np.zeros(n, np.int32),
        np.tile(np.array([[x, 0, x + 10, 10]], np.float32), (n, 1)),
        np.full(n, value % 2, np.int32),
        np.full(n, 0.5),
        np.zeros(n, np.int32),
        np.full(n, state, np.int8),
        ((),),
        ("even", "odd"),
        ("m@1",),
    )


def storm(path: str, number: int, file: str) -> None:
    """Edit until the end comes."""
    said = os.open(file, os.O_CREAT | os.O_WRONLY)
    random.seed(number)
    with open_project(path) as project:
        image = project.image("i")
        journal = image.journal()
        ids = np.arange(1, 41)
        last: BoxRows | None = None
        with project.database.reading() as connection:
            stored = rows_of_image(connection, image.id)
        now, guesses = stored[:40], stored[40:]
        while True:
            number += 1
            action = random.choice(("do", "do", "do", "propose", "undo"))
            if action == "undo" and last is not None:
                journal.record(Change("undo", str(number), last, NONE))
                now, last = last, None
                value = int(now.boxes[0, 0])
            elif action == "propose":
                new = rows(project.reserve_ids(random.randrange(1, 60)), number, 0)
                journal.record(Change("propose", str(number), new, guesses.ids))
                guesses, value = new, len(new)
            else:
                action, after = "do", rows(ids, number, 1)
                journal.record(Change("do", str(number), after, NONE, Step(str(number), now, after)))
                last, now, value = now, after, number % 10_000
            os.write(said, f"{action} {number} {value}\n".encode())


def main() -> None:
    """Fork whenever it is asked for."""
    for line in sys.stdin:
        path, number, file = line.split("\t")
        pid = os.fork()
        if not pid:
            storm(path, int(number), file.strip())
        os.write(1, f"{pid}\n".encode())
        os.waitpid(pid, 0)
        os.write(1, b"gone\n")


if __name__ == "__main__":
    main()
