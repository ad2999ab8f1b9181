"""A person at a real napari window: what they click, drag and type, and what they are told."""

from __future__ import annotations

import builtins
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.utils.notifications import notification_manager
from qtpy.QtCore import QPoint, QSettings, Qt, QTimer
from qtpy.QtWidgets import (
    QAbstractButton,
    QApplication,
    QComboBox,
    QInputDialog,
    QMainWindow,
    QMessageBox,
    QOpenGLWidget,
    QToolButton,
    QWidget,
)
from vispy.gloo.glir import GlirProgram

from napari_localize.core.detections import Detections
from napari_localize.core.samples import ANNOTATIONS, sample_folder
from napari_localize.engine.client import shared_engine
from napari_localize.formats import read_annotations
from napari_localize.models.registry import BUNDLED, store_folder
from napari_localize.plugin.boxes import BoxLayer, box_layer
from napari_localize.plugin.layers import is_box_layer, vertices_to_boxes

PATIENCE_MS = 240_000
LOOP = "Localize, review, retrain"
_HEAVY = ("torch", "torchvision", "timm")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session", autouse=True)
def _surroundings() -> Iterator[None]:
    """The journeys need a screen and the bundled models, and say so; at the end no engine is left."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        pytest.exit("the journeys need a screen: run them by 'make test' or under xvfb-run", returncode=1)
    for name in ("nuclei", "generalist"):
        assert (BUNDLED / f"{name}.safetensors").is_file(), f"the bundled model {name!r} is missing"
    yield
    shared_engine().release()
    assert not shared_engine().running


@pytest.fixture(scope="session", autouse=True)
def _old_renderers_survive() -> Iterator[None]:
    """The software renderer of Mesa 22.3 (Debian 12) crashes when it draws after a layer of shapes was removed.

    It does so in napari without any plugin, as soon as a shader program is deleted; so they are kept until the end.
    """
    with pytest.MonkeyPatch.context() as patch:
        if sys.platform.startswith("linux"):
            patch.setattr(GlirProgram, "delete", lambda program: None)
        yield


@pytest.fixture(autouse=True)
def _no_torch_in_the_window(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither the program nor anything it calls brings torch into this process.

    In a run of all tests others have imported it before; then at least nothing of ours may ask for it.
    """
    there = {name for name in _HEAVY if name in sys.modules}
    asked: list[str] = []
    real = builtins.__import__

    def watch(name: str, globals: Any = None, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] in _HEAVY and str((globals or {}).get("__name__")).startswith("napari_localize"):
            asked.append(f"{globals['__name__']} imports {name}")
        return real(name, globals, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", watch)
    yield
    assert not asked
    assert not {name for name in _HEAVY if name in sys.modules} - there


@pytest.fixture(autouse=True)
def _first_start() -> Iterator[None]:
    """Everyone starts as a new user: no choices remembered, no models of their own."""
    QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, "napari-localize", "docks").clear()
    yield
    shutil.rmtree(store_folder(), ignore_errors=True)


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., Any]) -> Any:
    return make_napari_viewer(show=True)


@pytest.fixture
def person(viewer: Any, qtbot: Any) -> Iterator[Person]:
    person = Person(viewer, qtbot)
    yield person
    # pytest keeps this object until napari has looked for windows that somebody still holds.
    del person.window, person.canvas


class Person:
    """Acts on the window of a viewer by mouse and keyboard, and waits as a person does: by looking."""

    def __init__(self, viewer: Any, qtbot: Any) -> None:
        self.viewer = viewer
        self.bot = qtbot
        self.window = next(
            widget
            for widget in QApplication.topLevelWidgets()
            if isinstance(widget, QMainWindow) and widget.isVisible()
        )
        self.window.resize(1500, 950)
        self.window.activateWindow()
        self.canvas = self.window.findChild(QOpenGLWidget)
        self._told = len(notification_manager.records)

    # Looking

    def wait(self, condition: Callable[[], Any], what: str) -> None:
        """Wait until something is so."""
        try:
            self.bot.waitUntil(lambda: bool(condition()), timeout=PATIENCE_MS)
        except Exception as error:
            raise AssertionError(f"waited in vain until {what}; napari said {self.messages()}") from error

    def pause(self) -> None:
        """Let the window settle: repaint, and react to what was done to the layer."""
        self.bot.wait(150)

    def messages(self) -> list[str]:
        """The notifications since this person came, or since `one_message`."""
        return [record.message for record in notification_manager.records[self._told :]]

    def one_message(self, *words: str) -> None:
        """There was one notification, one sentence or two, with these words."""
        self.wait(self.messages, "there is a message")
        found, self._told = self.messages(), len(notification_manager.records)
        assert len(found) == 1, found
        for word in words:
            assert word.lower() in found[0].lower()
        assert "Traceback" not in found[0]
        assert found[0].endswith(".")
        assert len(found[0]) < 300

    def picture(self, name: str) -> None:
        """Keep a picture of the window where JOURNEY_PICTURES says so, for people to look at."""
        folder = os.environ.get("JOURNEY_PICTURES")
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.bot.wait(600)
            self.viewer.screenshot(str(Path(folder) / f"{name}.png"), canvas_only=False, flash=False)

    def box_layers(self) -> list[Any]:
        return [layer for layer in self.viewer.layers if is_box_layer(layer) and not layer.name.endswith("truth")]

    @property
    def boxes(self) -> BoxLayer:
        """The only layer of boxes that is not a sample's truth."""
        layers = self.box_layers()
        assert len(layers) == 1, f"there is not one layer of boxes: {layers}; napari said {self.messages()}"
        return box_layer(layers[0])

    # Docks and their parts

    def open_dock(self, name: str = LOOP) -> Any:
        """Open a dock from the plugin menu."""
        dock = self.viewer.window.add_plugin_dock_widget("napari-localize", name)[1]
        self.wait(dock.isVisible, f"the dock {name!r} is there")
        self.pause()
        return dock

    def press(self, button: QAbstractButton) -> None:
        """Click on a button that can be seen and pressed."""
        assert button.isVisible()
        assert button.isEnabled()
        self.bot.mouseClick(button, Qt.MouseButton.LeftButton, pos=QPoint(12, button.height() // 2))

    def tab(self, loop: Any, dock: QWidget) -> None:
        """Click on the tab of a dock."""
        bar = loop.tabBar()
        self.bot.mouseClick(bar, Qt.MouseButton.LeftButton, pos=bar.tabRect(loop.indexOf(dock)).center())
        assert dock.isVisible()

    def pick(self, picker: QWidget, text: str) -> None:
        """Choose an entry of a combo box by its first letters."""
        combo = picker if isinstance(picker, QComboBox) else picker.findChild(QComboBox)
        assert combo.isVisible()
        combo.setFocus()
        # Letters that follow each other faster than this are taken for one word.
        self.bot.wait(QApplication.keyboardInputInterval() + 50)
        self.bot.keyClicks(combo, text)
        assert combo.currentText() == text

    def unfold(self, dock: QWidget, heading: str) -> None:
        """Click on a heading, which shows what is under it."""
        (head,) = [button for button in dock.findChildren(QToolButton) if button.text() == heading]
        self.press(head)

    def answer(self, text: str) -> None:
        """Type into the dialogue that the next click opens."""

        def type_in() -> None:
            dialog = QApplication.activeModalWidget()
            assert isinstance(dialog, QInputDialog)
            dialog.setTextValue(text)
            dialog.accept()

        QTimer.singleShot(200, type_in)

    def keep(self, retrain: Any) -> None:
        """Keep the new model, also where the dock asks whether that is meant."""

        def say_yes() -> None:
            dialog = QApplication.activeModalWidget()
            if isinstance(dialog, QMessageBox):
                self.press(dialog.button(QMessageBox.StandardButton.Yes))

        QTimer.singleShot(300, say_yes)
        self.press(retrain.comparison.keep_button)
        self.bot.wait(350)

    # The canvas

    def look_at(self, layer: Any) -> None:
        """Click on a layer in the list and bring all of it into view."""
        self.viewer.layers.selection.active = layer
        self.viewer.reset_view()
        self.pause()

    def place(self, layer: Any, point: Any) -> QPoint:
        """Where on the canvas a point (y, x) of a layer's plane in view lies."""
        index = np.round(layer.world_to_data(self.viewer.dims.point))[:-2]
        world = np.asarray(layer.data_to_world([*index, *point]))[-2:]
        camera = self.viewer.scene.camera if hasattr(self.viewer, "scene") else self.viewer.camera
        y, x = (world - np.asarray(camera.center)[-2:]) * camera.zoom
        at = QPoint(round(self.canvas.width() / 2 + x), round(self.canvas.height() / 2 + y))
        assert self.canvas.rect().contains(at), f"{point} is not in view"
        return at

    def click(self, layer: Any, point: Any, *, shift: bool = False) -> None:
        """Click on a point of a layer."""
        keys = Qt.KeyboardModifier.ShiftModifier if shift else Qt.KeyboardModifier.NoModifier
        at = self.place(layer, point)
        self.bot.mouseMove(self.canvas, at)
        self.bot.mouseClick(self.canvas, Qt.MouseButton.LeftButton, keys, at)
        self.pause()

    def drag(self, layer: Any, start: Any, end: Any) -> None:
        """Press the button at one point, move in steps, and let go at another one."""
        first, last = self.place(layer, start), self.place(layer, end)
        self.bot.mouseMove(self.canvas, first)
        self.bot.mousePress(self.canvas, Qt.MouseButton.LeftButton, pos=first)
        for part in (0.25, 0.5, 0.75, 1.0):
            self.bot.mouseMove(self.canvas, first + (last - first) * part)
            self.bot.wait(20)
        self.bot.mouseRelease(self.canvas, Qt.MouseButton.LeftButton, pos=last)
        self.pause()

    def key(self, key: Any, *, ctrl: bool = False, shift: bool = False) -> None:
        """Press a key with the canvas in focus."""
        keys = Qt.KeyboardModifier.NoModifier
        if ctrl:
            keys |= Qt.KeyboardModifier.ControlModifier
        if shift:
            keys |= Qt.KeyboardModifier.ShiftModifier
        self.canvas.setFocus()
        self.bot.keyClick(self.canvas, key, keys)
        self.pause()

    # The steps of the loop

    def run(self, localize: Any) -> None:
        """Press Run and wait for the boxes."""
        self.press(localize.run_button)
        self.wait(lambda: not localize.busy, "the run is over")

    def train(self, retrain: Any, unit: str, amount: int) -> None:
        """Set the time, press Train and wait for the comparison."""
        self.start_training(retrain, unit, amount)
        self.wait(lambda: not retrain.busy, "the training is over")

    def start_training(self, retrain: Any, unit: str, amount: int) -> None:
        """Set the time and press Train."""
        self.pick(retrain.unit, unit)
        retrain.amount.setValue(amount)
        self.wait(retrain.train_button.isEnabled, "there is something to learn from")
        self.press(retrain.train_button)


def truth_of(layer: Any, plane: tuple[int, ...] = ()) -> Detections:
    """The true boxes that a sample brings with it, of one plane."""
    boxes, indices, _ = vertices_to_boxes(layer.data, layer.ndim)
    here = (indices == np.array(plane, int)).all(1)
    return Detections(boxes[here], class_names=("nucleus",))


@dataclass(frozen=True)
class Snapshot:
    """All that a person could lose: what each box is, shown or rejected, the classes and the finished planes."""

    boxes: dict[int, tuple[Any, ...]]
    rejected: dict[int, tuple[Any, ...]]
    classes: tuple[str, ...]
    finished: frozenset[tuple[int, ...]]


def snapshot(layer: Any) -> Snapshot:
    """Read all boxes to be seen, those that are shapes at the moment from the layer itself."""
    controller = box_layer(layer)
    controller.reconcile()
    rows = {
        key: (
            box.plane,
            tuple(round(value, 2) for value in box.xyxy),
            box.label,
            None if box.score is None else round(box.score, 4),
            box.origin,
            box.state,
        )
        for key, box in controller.shown().items()
    }
    corners, indices, _ = vertices_to_boxes(layer.data, layer.ndim)
    for at, feature in enumerate(layer.features.to_dict("records")):
        score = None if np.isnan(feature["score"]) else round(float(feature["score"]), 4)
        place = tuple(round(float(value), 2) for value in corners[at])
        features = (feature["class"], score, feature["origin"], feature["state"])
        assert rows[int(feature["id"])] == (tuple(indices[at].tolist()), place, *features)
    assert layer.nshapes == len(layer.features) == len(controller.drawn)
    assert controller.not_drawn == len(rows) - layer.nshapes
    return Snapshot(rows, _rejected(controller), tuple(controller.classes), controller.finished)


def assert_reread(back: Snapshot, saved: Snapshot, side: int) -> None:
    """Nothing got lost in a file, but for what of a box lay outside a square image and the third decimal of a place.

    Boxes that are opened get new ids, in the order of their old ones.
    """
    assert back.classes == saved.classes
    assert back.finished == saved.finished
    for ours, theirs in ((saved.boxes, back.boxes), (saved.rejected, back.rejected)):
        for one, other in zip(sorted(ours), sorted(theirs), strict=True):
            plane, place, *features = ours[one]
            assert (theirs[other][0], list(theirs[other][2:])) == (plane, features)
            np.testing.assert_allclose(np.clip(theirs[other][1], 0, side), np.clip(place, 0, side), atol=0.02)


def _rejected(controller: BoxLayer) -> dict[int, tuple[Any, ...]]:
    rows = {}
    for plane in controller.planes():
        part = controller.detections(plane, ("rejected",))
        for key, box, label, score, origin in zip(
            part.ids.tolist(),
            part.boxes.tolist(),
            part.labels.tolist(),
            part.scores.tolist(),
            part.origins,
            strict=True,
        ):
            place = tuple(round(value, 2) for value in box)
            rows[key] = (plane, place, part.class_names[label], round(score, 4), str(origin))
    return rows


@pytest.fixture(name="truth_of")
def _truth_of() -> Callable[..., Detections]:
    return truth_of


@pytest.fixture(name="snapshot")
def _snapshot() -> Callable[[Any], Snapshot]:
    return snapshot


@pytest.fixture(name="assert_reread")
def _assert_reread() -> Callable[[Snapshot, Snapshot, int], None]:
    return assert_reread


@pytest.fixture
def crop() -> Callable[..., tuple[Any, Detections]]:
    """Cut a square out of the nuclei sample, with its true boxes."""

    def cut(y: int, x: int, side: int = 192) -> tuple[Any, Detections]:
        folder = sample_folder()
        pixels = tifffile.imread(folder / "nuclei.tif")[y : y + side, x : x + side]
        truth = read_annotations(folder / ANNOTATIONS)["nuclei.tif"]
        moved = Detections(truth.boxes - np.array([x, y, x, y], np.float32), class_names=truth.class_names)
        inside = moved.clip(side, side)
        visible = inside.diameters / moved[np.isin(moved.ids, inside.ids)].diameters
        return pixels.copy(), inside[visible > 0.6]

    return cut


@pytest.fixture
def engine_threads() -> Callable[[], list[str]]:
    """Names of the threads of ours that are alive."""
    return lambda: [thread.name for thread in threading.enumerate() if thread.name.startswith("napari-localize")]
