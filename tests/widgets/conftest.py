from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QSettings

from napari_localize.engine import Engine
from napari_localize.models.registry import store_folder
from napari_localize.project import open_project
from napari_localize.widgets import _project_run, localize, retrain

PATIENCE = 120_000
"""Milliseconds: nobody waits so long, but a machine may have much else to do."""

CHILD = Path(__file__).with_name("child.py")


def _child() -> Any:
    spec = importlib.util.spec_from_file_location("dock_child", CHILD)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def write_model() -> Callable[..., None]:
    return _child().write_model


@pytest.fixture
def models(write_model: Callable[..., None]) -> Iterator[list[str]]:
    """Fill the model store with models for the engine of these tests."""
    names = ["plain", "worse", "forgets", "slow", "broken", "fatal"]
    for name in names:
        write_model(store_folder() / f"{name}@1.safetensors", name, ("small", "large"))
    yield names
    shutil.rmtree(store_folder())


@pytest.fixture
def engine(models: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Engine]:
    """Let the docks talk to an engine that finds bright squares."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with Engine([sys.executable, "-P", str(CHILD)]) as engine:
        for module in (localize, retrain, _project_run):
            monkeypatch.setattr(module, "shared_engine", lambda: engine)
        QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, "napari-localize", "docks").clear()
        yield engine


@pytest.fixture
def squares() -> np.ndarray:
    """Five squares: two small bright ones, two large bright ones, a faint one."""
    image = np.zeros((80, 120), np.uint8)
    for y, x, size, value in (
        (5, 5, 8, 240),
        (50, 20, 8, 200),
        (10, 40, 20, 230),
        (50, 60, 20, 180),
        (60, 100, 10, 60),
    ):
        image[y : y + size, x : x + size] = value
    return image


@pytest.fixture
def messages() -> Callable[[], list[str]]:
    """Return the notifications that napari has shown since the test began."""
    before = len(notification_manager.records)
    return lambda: [record.message for record in notification_manager.records[before:]]


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., Any]) -> Any:
    return make_napari_viewer()


@pytest.fixture
def dock(viewer: Any, engine: Engine) -> Callable[[type], Any]:
    """Open a dock in the viewer."""

    def open_dock(kind: type) -> Any:
        widget = kind(viewer)
        viewer.window.add_dock_widget(widget, name=kind.__name__)
        return widget

    return open_dock


@pytest.fixture
def until(qtbot: Any) -> Callable[[Callable[[], Any]], None]:
    """Let the window work until something is so."""
    return lambda condition: qtbot.waitUntil(condition, timeout=PATIENCE)


@pytest.fixture
def finish(until: Callable[..., None]) -> Callable[[Any], None]:
    """Wait until the job of a dock is over."""
    return lambda widget: until(lambda: not widget.busy)


@pytest.fixture
def images(tmp_path):
    """Three planes, a movie of four, and a file that is no image."""
    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("a1.tif", "a2.tif", "deep/b1.tif"):
        tifffile.imwrite(folder / name, rng.integers(0, 255, (60, 80), np.uint8))
    tifffile.imwrite(
        folder / "movie.tif", rng.integers(0, 999, (4, 60, 80), np.uint16), imagej=True, metadata={"axes": "TYX"}
    )
    (folder / "broken.tif").write_bytes(b"II*\0 no image")
    return folder


@pytest.fixture
def project(tmp_path, images):
    """A closed project with these images."""
    with open_project(tmp_path / "plate", create=True) as project:
        project.add_images([images], {})
        return project.path
