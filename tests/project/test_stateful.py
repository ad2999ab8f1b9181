"""Random edits, undo, redo and reopening, beside a model of two dictionaries and two lists."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.project.conftest import boxes_of, do, redo, rows, undo

from napari_localize.core.boxes import Box
from napari_localize.core.steps import Change
from napari_localize.project import open_project

PLANES = [(0,), (1,)]
BOXES = st.builds(
    Box,
    st.sampled_from(PLANES),
    st.integers(0, 90).map(lambda x: (float(x), 2.0, x + 10.5, 12.0)),
    st.sampled_from(["cell", "dot", "other"]),
    st.sampled_from([None, 0.25, 0.75]),
    st.sampled_from(["human", "m@1"]),
    st.sampled_from(["proposed", "accepted", "edited", "added", "rejected"]),
)


class Image:
    """What an image should be."""

    def __init__(self):
        self.boxes = {}
        self.finished = frozenset()
        self.done = []
        self.undone = []


class ProjectMachine(RuleBasedStateMachine):
    @initialize(background=st.booleans())
    def start(self, background):
        self.folder = tempfile.TemporaryDirectory()
        self.background = background
        self.images = {"a": Image(), "b": Image()}
        self.project = open_project(Path(self.folder.name) / "p", create=True)
        for name in self.images:
            self.project.add_array(name, (2, 100, 120), "ZYX")
        self.use()

    def use(self):
        self.stored = {name: self.project.image(name) for name in self.images}
        self.journals = {name: image.journal(self.background) for name, image in self.stored.items()}

    names = st.sampled_from(["a", "b"])

    @rule(name=names, data=st.data(), new=st.lists(BOXES, max_size=3), finish=st.none() | st.sampled_from(PLANES))
    def change(self, name, data, new, finish):
        image = self.images[name]
        keys = data.draw(st.lists(st.sampled_from(sorted(image.boxes)), unique=True)) if image.boxes else []
        before = {key: image.boxes[key] for key in keys}
        after = {key: data.draw(BOXES) for key in keys if data.draw(st.booleans())}
        after |= dict(zip(self.project.reserve_ids(len(new)).tolist(), new, strict=True))
        sets = {} if finish is None else {"finished": (image.finished, image.finished ^ {finish})}
        change = do(before, after, f"step {len(image.done)}", **sets)
        self.journals[name].record(change)
        image.done.append((change, dict(image.boxes), image.finished))
        image.undone.clear()
        image.boxes = {key: each for key, each in image.boxes.items() if key not in before} | after
        image.finished = sets.get("finished", (0, image.finished))[1]

    @rule(name=names, new=st.lists(BOXES.map(lambda each: each._replace(state="proposed")), max_size=3))
    def propose(self, name, new):
        image = self.images[name]
        put = dict(zip(self.project.reserve_ids(len(new)).tolist(), new, strict=True))
        # Boxes that no step speaks of: in a table, an undo leaves out those that a run has replaced.
        spoken = {
            int(key) for done, _, _ in image.done for side in (done.step.before, done.step.after) for key in side.ids
        }
        gone = [key for key, each in image.boxes.items() if each.state == "proposed" and key not in spoken]
        self.journals[name].record(Change("propose", "m@1", rows(put), np.array(gone, np.int64)))
        image.boxes = {key: each for key, each in image.boxes.items() if key not in gone} | put
        image.done = [(done, {k: b for k, b in old.items() if k not in gone} | put, f) for done, old, f in image.done]
        image.undone.clear()

    @precondition(lambda self: any(image.done for image in self.images.values()))
    @rule(data=st.data())
    def undo(self, data):
        name = data.draw(st.sampled_from([name for name, image in self.images.items() if image.done]))
        image = self.images[name]
        change, boxes, finished = image.done.pop()
        self.journals[name].record(undo(change))
        image.undone.append((change, image.boxes, image.finished))
        image.boxes, image.finished = boxes, finished

    @precondition(lambda self: any(image.undone for image in self.images.values()))
    @rule(data=st.data())
    def redo(self, data):
        name = data.draw(st.sampled_from([name for name, image in self.images.items() if image.undone]))
        image = self.images[name]
        change, boxes, finished = image.undone.pop()
        self.journals[name].record(redo(change))
        image.done.append((change, image.boxes, image.finished))
        image.boxes, image.finished = boxes, finished

    @rule()
    def reopen(self):
        path = self.project.path
        self.project.close()
        self.project = open_project(path)
        self.use()

    @rule()
    def check(self):
        assert self.project.check() == []

    @invariant()
    def same(self):
        for name, image in getattr(self, "images", {}).items():
            loaded = self.stored[name].load()
            assert boxes_of(loaded) == image.boxes
            assert loaded.finished == image.finished
            history = loaded.history
            assert history.undo_text == (image.done[-1][0].text if image.done else None)
            assert history.redo_text == (image.undone[-1][0].text if image.undone else None)
            if image.done:
                step, (change, _, _) = history.undo(), image.done[-1]
                assert boxes_of(step.before) == boxes_of(change.step.before)
                assert boxes_of(step.after) == boxes_of(change.step.after)
                assert step.finished == change.step.finished

    def teardown(self):
        if hasattr(self, "project"):
            assert self.project.check() == []
            self.project.close()
            self.folder.cleanup()


ProjectMachine.TestCase.settings = settings(
    max_examples=50, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestProject = ProjectMachine.TestCase
