"""Cancel, a killed engine, a closed dock, a closed window: nothing of the person's is lost and the next click works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import psutil
import pytest
import tifffile
from napari.layers import Vectors
from qtpy.QtCore import Qt

from napari_localize.engine.client import shared_engine


@pytest.fixture
def movie(viewer, crop):
    """Eighty planes, so that there is time to interrupt a run over all of them."""
    frames = [crop(y, x, 160)[0] for y in (0, 170, 340) for x in (0, 170, 340)]
    return viewer.add_image(np.stack([frames[t % 9] for t in range(80)]), name="movie")


@pytest.fixture
def loop(person, movie):
    loop = person.open_dock()
    person.pick(loop.localize.model, "nuclei")
    return loop


@pytest.fixture
def running(person, loop):
    """A run over all planes, of which some are done."""
    person.press(loop.localize.scope.all)
    person.press(loop.localize.run_button)
    person.wait(lambda: person.box_layers() and len(person.boxes.planes()) >= 2, "some planes are done")
    assert loop.localize.busy
    return loop


@pytest.fixture
def training(person, loop):
    """One finished plane and a training on it that has begun to learn."""
    person.run(loop.localize)
    person.tab(loop, loop.review)
    person.look_at(person.boxes.layer)
    person.press(loop.review.judge.draw)
    person.drag(person.boxes.layer, (3, 3), (21, 23))
    person.key(Qt.Key.Key_S)
    person.press(loop.review.planes.done)
    person.tab(loop, loop.retrain)
    person.pick(loop.retrain.base, "nuclei")
    person.start_training(loop.retrain, "seconds", 300)
    person.wait(lambda: loop.retrain.curve.points["train"], "the curve has begun")
    return loop


def kill_engine():
    os.kill(shared_engine().pid, signal.SIGKILL)


def is_idle():
    """Whether the engine has nothing to do, or is gone; it computes one thing after the other."""
    return not shared_engine()._jobs


def no_preview(viewer):
    return not [layer for layer in viewer.layers if isinstance(layer, Vectors)]


def test_cancel_in_mid_run_keeps_the_planes_that_are_done(person, viewer, running):
    """Run over a movie, press Cancel when some planes are done, look at these, and run this plane."""
    localize = running.localize
    person.press(localize.cancel_button)
    person.wait(lambda: not localize.busy, "the run has stopped")
    done = len(person.boxes.planes())
    assert 2 <= done < 80
    assert f"Cancelled; {done} of 80 planes are done." in localize.status.text()
    assert person.boxes.planes() == [(t,) for t in range(done)]
    assert no_preview(viewer)
    assert not localize.progress.isVisible()
    assert person.messages() == []
    before = person.boxes.totals((0,))
    viewer.dims.set_point(0, 79)
    person.press(localize.scope.plane)
    person.run(localize)
    assert (79,) in person.boxes.planes()
    assert person.boxes.totals((0,)) == before


def test_an_engine_killed_in_mid_run_is_one_message(person, viewer, running, snapshot):
    """Draw a box while a run is under way; the engine is killed; the box is there, and Run works again."""
    localize, layer = running.localize, person.boxes.layer
    layer.add_rectangles(np.array([[[0, 4, 4], [0, 4, 30], [0, 20, 30], [0, 20, 4]]]))
    person.pause()
    kill_engine()
    person.wait(lambda: not localize.busy, "the run has ended")
    person.one_message("engine", "killed", "run again")
    assert "engine" in localize.status.text()
    person.picture("killed-in-mid-run")
    human = [row for row in snapshot(layer).boxes.values() if row[-1] == "added"]
    assert len(human) == 1
    assert no_preview(viewer)
    person.press(localize.scope.plane)
    person.run(localize)
    assert person.messages() == []
    assert person.boxes.totals((0,))["nucleus"] > 1
    assert [row for row in snapshot(layer).boxes.values() if row[-1] == "added"] == human


def test_an_engine_killed_in_mid_training_is_one_message(person, training, snapshot):
    """The engine is killed while it trains; boxes and finished planes are there, and Train works again."""
    retrain = training.retrain
    before = snapshot(person.boxes.layer)
    kill_engine()
    person.wait(lambda: not retrain.busy, "the training has ended")
    person.one_message("engine", "killed", "run again")
    assert snapshot(person.boxes.layer) == before
    assert not retrain.comparison.isVisible()
    person.train(retrain, "epochs", 1)
    assert retrain.comparison.isVisible()
    assert person.messages() == []
    assert snapshot(person.boxes.layer) == before


def test_cancel_in_mid_training_offers_what_was_learned(person, training):
    """Press Cancel while it trains: the best weights so far can be kept, and are in Localize at once."""
    retrain = training.retrain
    person.press(retrain.cancel_button)
    person.wait(lambda: not retrain.busy, "the training has stopped")
    assert "Stopped" in retrain.comparison.text()
    person.picture("cancelled-training")
    person.keep(retrain)
    assert training.localize.model.name == "my nuclei@1"
    assert person.messages() == []


@pytest.mark.parametrize(("what", "where"), [("dock", "run"), ("dock", "training"), ("window", "run")])
def test_closing_in_mid_work_leaves_nothing_behind(person, viewer, request, engine_threads, what, where):
    """Close the dock or the whole window while a model runs or learns: the work stops and nothing is left of it."""
    loop = request.getfixturevalue("running" if where == "run" else "training")
    boxes = person.boxes.layer
    if what == "dock":
        viewer.window.remove_dock_widget(loop)
    else:
        viewer.close()
    person.wait(is_idle, "the engine has nothing to do")
    person.wait(lambda: "napari-localize job" not in engine_threads(), "nothing waits for the work")
    assert person.messages() == []
    if what == "dock":
        assert not (loop.localize.busy)
        assert not (loop.retrain.busy)
        assert no_preview(viewer)
        assert boxes.nshapes == len(boxes.features) > 0
        again = person.open_dock("Localize")
        person.pick(again.model, "nuclei")
        person.press(again.scope.plane)
        person.run(again)
        assert person.messages() == []


SESSION = """
import sys
import napari
import numpy as np
from qtpy.QtCore import QTimer
from napari_localize.engine.client import shared_engine
viewer = napari.Viewer()
viewer.open(sys.argv[1])
loop = viewer.window.add_plugin_dock_widget("napari-localize", "Localize, review, retrain")[1]
loop.review.new_boxes()
loop.review.boxes.layer.add_rectangles(np.array([[[20, 20], [20, 50], [50, 50], [50, 20]]]))
loop.review.boxes.finish(())
loop.setCurrentWidget(loop.retrain)
loop.retrain.base.choose("nuclei")
loop.retrain.amount.setValue(600)
loop.retrain.train()

def look():
    if loop.retrain.curve.points["train"]:
        timer.stop()
        print(shared_engine().pid, flush=True)
        viewer.close()

timer = QTimer()
timer.timeout.connect(look)
timer.start(100)
napari.run()
"""


def test_napari_that_ends_in_mid_training_takes_the_engine_along(crop, tmp_path):
    """Start napari, train, and close the window: both processes end in peace and leave no file."""
    tifffile.imwrite(tmp_path / "cells.tif", crop(0, 0, 160)[0])
    (tmp_path / "temporary").mkdir()
    places = {"TMPDIR": str(tmp_path / "temporary"), "NAPARI_CONFIG": str(tmp_path / "napari.yaml")}
    command = [sys.executable, "-c", SESSION, str(tmp_path / "cells.tif")]
    done = subprocess.run(command, env=os.environ | places, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    pid = int(done.stdout.split()[-1])
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], 30)
    assert not psutil.pid_exists(pid)
    assert [path.name for path in (tmp_path / "temporary").rglob("*") if "localize" in str(path)] == []
