"""Tables of two images, as windows hold them, beside what the project holds: always the same."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.project.conftest import boxes_of

from napari_localize.core.boxes import BoxRows
from napari_localize.core.detections import Detections
from napari_localize.core.steps import Area
from napari_localize.project import open_project

PLANES = [(0,), (1,)]
CLASSES = ["cell", "dot", "other"]


class TableMachine(RuleBasedStateMachine):
    @initialize(background=st.booleans())
    def start(self, background):
        self.folder = tempfile.TemporaryDirectory()
        self.background = background
        self.project = open_project(Path(self.folder.name) / "p", create=True)
        self.project.add_array("i", (2, 100, 120), "ZYX")
        self.open()

    def open(self):
        self.image = self.project.image("i")
        self.table = self.image.load().table(self.image.journal(self.background))

    def some(self, data):
        ids = self.table.boxes.ids.tolist()
        return data.draw(st.lists(st.sampled_from(sorted(ids)), unique=True)) if ids else []

    @rule(
        plane=st.sampled_from(PLANES),
        xs=st.lists(st.integers(0, 90), max_size=4),
        label=st.sampled_from(CLASSES),
        version=st.integers(1, 2),
        replace=st.booleans(),
    )
    def propose(self, plane, xs, label, version, replace):
        boxes = np.array([[x, 0, x + 10, 10] for x in xs], np.float32).reshape(-1, 4)
        found = Detections(boxes, scores=np.full(len(xs), 0.5), class_names=(label,))
        self.table.propose({plane: found}, f"m@{version}", replace=replace)

    @rule(plane=st.sampled_from(PLANES), x=st.integers(0, 90), label=st.sampled_from(CLASSES))
    def draw(self, plane, x, label):
        found = Detections(np.array([[x, 0, x + 5, 5]]), class_names=(label,), origins=np.array(["human"]))
        self.table.edit("draw", BoxRows.from_detections(plane, found, self.table.new_ids(1)))

    @rule(data=st.data(), action=st.sampled_from(["accept", "reject", "delete"]))
    def judge(self, data, action):
        getattr(self.table, action)(self.some(data))

    @rule(data=st.data(), label=st.sampled_from(CLASSES))
    def set_class(self, data, label):
        self.table.set_class(self.some(data), label)

    @rule(plane=st.sampled_from(PLANES), x=st.integers(0, 3))
    def mark(self, plane, x):
        area = Area(plane, (float(x), 0.0, 50.0, 50.0), "ignored")
        self.table.edit("mark", finished=self.table.finished ^ {plane}, areas=self.table.areas ^ {area})

    @rule(data=st.data(), new=st.sampled_from([*CLASSES, "fourth"]))
    def rename(self, data, new):
        if self.table.classes and new not in self.table.classes:
            self.table.rename_class(data.draw(st.sampled_from(list(self.table.classes))), new)

    @rule(name=st.sampled_from([*CLASSES, "fourth"]))
    def add_class(self, name):
        if name not in self.table.classes:
            self.table.add_class(name)

    @rule(data=st.data())
    def remove_class(self, data):
        free = [name for name in self.table.classes if name not in self.table.take().used_classes()]
        if len(self.table.classes) > 1 and free:
            self.table.remove_class(data.draw(st.sampled_from(free)))

    @rule()
    def undo(self):
        self.table.undo()

    @rule()
    def redo(self):
        self.table.redo()

    @rule()
    def reopen(self):
        self.project.close()
        self.project = open_project(self.project.path)
        self.open()

    @invariant()
    def same(self):
        if not hasattr(self, "table"):
            return
        loaded = self.image.load()
        assert boxes_of(loaded) == dict(self.table.take().items())
        assert (loaded.finished, loaded.areas) == (self.table.finished, self.table.areas)
        # A table forgets classes that came after a step when it takes that back; a project keeps them.
        known = [(name, color) for name, color in loaded.classes.items() if name in self.table.classes]
        assert known == list(self.table.classes.items())
        assert loaded.history.undo_text == self.table.history.undo_text
        assert loaded.history.redo_text == self.table.history.redo_text

    def teardown(self):
        if hasattr(self, "project"):
            assert self.project.check() == []
            self.project.close()
            self.folder.cleanup()


TableMachine.TestCase.settings = settings(
    max_examples=50, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestTables = TableMachine.TestCase
