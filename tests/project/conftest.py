from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_localize.core.boxes import Box, BoxRows
from napari_localize.core.steps import Change, Step
from napari_localize.project import LoadedImage, Project, ProjectImage, open_project

NONE = np.zeros(0, np.int64)


@pytest.fixture(autouse=True)
def _own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_LOCALIZE_DATA", str(tmp_path / "data"))


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    with open_project(tmp_path / "plate.localize", create=True) as opened:
        yield opened


@pytest.fixture
def image(project: Project) -> ProjectImage:
    return project.add_array("cells", (100, 120), "YX")


def box(x: float = 1, label: str = "cell", state: str = "proposed", plane: tuple[int, ...] = ()) -> Box:
    human = state == "added"
    return Box(plane, (x, 2.0, x + 10.5, 12.0), label, None if human else 0.5, "human" if human else "m@1", state)


def rows(boxes: Mapping[int, Box]) -> BoxRows:
    return BoxRows.from_boxes(boxes)


def do(before: Mapping[int, Box], after: Mapping[int, Box], text: str = "edit", **sets) -> Change:
    """What a table sends for a step; `sets` are pairs before, after."""
    step = Step(text, rows(before), rows(after), **sets)
    gone = np.array([key for key in before if key not in after], np.int64)
    return Change("do", text, rows(after), gone, step, **{name: pair[1] for name, pair in sets.items()})


def undo(change: Change) -> Change:
    step = change.step
    gone = step.after.ids[~np.isin(step.after.ids, step.before.ids)]
    sets = {name: getattr(step, name)[0] for name in ("classes", "finished", "areas") if getattr(step, name)}
    return Change("undo", change.text, step.before, gone, None, **sets)


def redo(change: Change) -> Change:
    return replace(change, action="redo", step=None)


def boxes_of(loaded: LoadedImage | BoxRows) -> dict[int, Box]:
    return dict((loaded if isinstance(loaded, BoxRows) else loaded.rows).items())


def many(n: int, ids: np.ndarray | None = None, seed: int = 0) -> BoxRows:
    rng = np.random.default_rng(seed)
    corner = (rng.random((n, 2)) * 20000).astype(np.float32)
    return BoxRows(
        np.arange(1, n + 1) if ids is None else ids,
        np.zeros(n, np.int32),
        np.hstack([corner, corner + 20]).astype(np.float32),
        rng.integers(0, 2, n).astype(np.int32),
        rng.random(n),
        np.zeros(n, np.int32),
        np.zeros(n, np.int8),
        ((),),
        ("cell", "dot"),
        ("m@1",),
    )
