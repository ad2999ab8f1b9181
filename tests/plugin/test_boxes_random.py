"""Any sequence of edits leaves layer and table in step, and can be taken back and made again exactly."""

from __future__ import annotations

import tempfile
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from napari.layers import Image

from napari_localize.core.detections import Detections
from napari_localize.core.window import View
from napari_localize.plugin import boxes as module
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.layers import new_box_layer
from napari_localize.plugin.mirror import editor_of
from napari_localize.project import open_project

SIZE = 200
corners = st.tuples(st.integers(0, 150), st.integers(0, 150), st.integers(2, 40), st.integers(2, 40))
picks = st.integers(0, 10_000)


def some_detections(number: int, seed: int) -> Detections:
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, SIZE - 40, (number, 2))
    return Detections(
        np.concatenate([start, start + rng.uniform(5, 40, (number, 2))], axis=1),
        labels=rng.integers(0, 2, number),
        scores=rng.random(number),
        class_names=("a", "b"),
    )


class Edits(RuleBasedStateMachine):
    """A person with napari's tools, the dock, and another plugin, all on one layer."""

    @initialize(planes=st.sampled_from([(), (3,)]), number=st.integers(0, 8), seed=st.integers(0, 99))
    def begin(self, planes, number, seed):
        image = Image(np.zeros((*planes, SIZE, SIZE)), name="image")
        self.layer = new_box_layer(image, ("a", "b"))
        self.boxes = box_layer(self.layer)
        self.index = list(np.ndindex(*planes))
        self.boxes.set_proposals({at: some_detections(number, seed) for at in self.index}, "model@1")
        self.past, self.future = [], []
        self.now = self.snapshot()

    def snapshot(self):
        table = self.boxes._table
        return dict(table.boxes), dict(table.classes), table.finished

    def did(self):
        """Note what an edit has led to."""
        self.boxes.reconcile()
        new = self.snapshot()
        if new != self.now:
            self.past.append(self.now)
            self.future.clear()
            self.now = new

    def row(self, pick):
        return pick % self.layer.nshapes

    def moved(self, *rows):
        """What napari sends when a drag ends."""
        self.layer.events.data(value=self.layer.data, action="changed", data_indices=rows, vertex_indices=((),))

    @rule(box=corners, pick=picks, as_polygon=st.booleans())
    def draw(self, box, pick, as_polygon):
        y, x, h, w = box
        leading = self.index[pick % len(self.index)]
        corner = [(y, x), (y, x + w), (y + h, x + w), (y + h, x)]
        vertices = np.array([[*leading, *point] for point in corner], float)
        if as_polygon:
            vertices = vertices[[0, 1, 2]]
        before = len(self.boxes)
        self.layer.add(vertices, shape_type="polygon" if as_polygon else "rectangle")
        self.did()
        assert len(self.boxes) == before + 1

    @precondition(lambda self: self.layer.nshapes)
    @rule(pick=picks, dy=st.integers(-30, 30), dx=st.integers(-30, 30))
    def drag(self, pick, dy, dx):
        row = self.row(pick)
        self.layer._data_view.shift(row, np.array([dy, dx]))
        self.moved(row)
        self.did()

    @precondition(lambda self: self.layer.nshapes)
    @rule(pick=picks, angle=st.integers(1, 359))
    def rotate(self, pick, angle):
        row = self.row(pick)
        self.layer._data_view.rotate(row, angle, center=self.layer.data[row].mean(0)[-2:])
        self.moved(row)
        self.did()

    @precondition(lambda self: self.layer.nshapes)
    @rule(rows=st.lists(picks, min_size=1, max_size=3))
    def delete(self, rows):
        self.layer.remove(list({self.row(pick) for pick in rows}))
        self.did()

    @precondition(lambda self: self.layer.nshapes)
    @rule(rows=st.lists(picks, min_size=1, max_size=3))
    def copy_and_paste(self, rows):
        self.layer.selected_data = {self.row(pick) for pick in rows}
        number = len(self.layer.selected_data)
        before = len(self.boxes)
        self.layer._copy_data()
        self.layer._paste_data()
        self.did()
        assert len(self.boxes) == before + number
        assert len(self.layer.selected_data) == number * ("added" in self.boxes.shown_states)

    @precondition(lambda self: self.layer.nshapes)
    @rule(pick=picks)
    def lose_the_shape_of_a_feature_row(self, pick):
        """What napari's tool for vertices does to the last triangle."""
        row = self.row(pick)
        self.layer._data_view.remove(row)
        self.moved(row)
        self.did()

    @precondition(lambda self: self.layer.nshapes)
    @rule(pick=picks, label=st.sampled_from(["a", "b", "c"]))
    def write_a_feature(self, pick, label):
        features = self.layer.features.copy()
        features.loc[self.row(pick), "class"] = label
        self.layer.features = features
        self.did()

    @rule()
    def drop_the_features(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # napari: property used for edge_color dropped
            self.layer.features = {}
        self.did()

    @precondition(lambda self: self.layer.nshapes)
    @rule(pick=picks)
    def assign_part_of_the_data(self, pick):
        gone = self.row(pick)
        kept = [shape for row, shape in enumerate(self.layer.data) if row != gone]
        if kept:
            self.layer.data = kept
            self.did()

    @precondition(lambda self: self.layer.nshapes)
    @rule(pick=picks, action=st.sampled_from(["accept", "reject", "delete"]))
    def judge(self, pick, action):
        key = self.boxes.selected_ids[:1] or [list(self.boxes.shown())[self.row(pick)]]
        getattr(self.boxes, action)(key)
        self.did()

    @rule(pick=picks)
    def finish_or_take_back(self, pick):
        plane = self.index[pick % len(self.index)]
        (self.boxes.unfinish if plane in self.boxes.finished else self.boxes.finish)(plane)
        self.did()

    @rule(name=st.sampled_from(["d", "e"]))
    def add_or_rename_a_class(self, name):
        if name not in self.boxes.classes:
            self.boxes.add_class(name)
        elif name + "2" not in self.boxes.classes:
            self.boxes.rename_class(name, name + "2")
        self.did()

    @rule(score=st.floats(0, 1), low=st.integers(0, 20))
    def set_filter(self, score, low):
        self.boxes.set_filter(score, (low, np.inf))
        assert self.snapshot() == self.now

    @rule(states=st.sets(st.sampled_from(["proposed", "accepted", "edited", "added", "rejected"])))
    def show(self, states):
        self.boxes.set_shown_states(states)
        assert self.snapshot() == self.now

    @rule(times=st.integers(1, 5))
    def undo(self, times):
        for _ in range(times):
            step = self.boxes.undo()
            assert (step is None) == (not self.past)
            if step is not None:
                self.future.append(self.now)
                self.now = self.past.pop()
            assert self.snapshot() == self.now

    @rule(times=st.integers(1, 5))
    def redo(self, times):
        for _ in range(times):
            step = self.boxes.redo()
            assert (step is None) == (not self.future)
            if step is not None:
                self.past.append(self.now)
                self.now = self.future.pop()
            assert self.snapshot() == self.now

    @invariant()
    def layer_shows_the_table(self):
        if not hasattr(self, "past"):
            return
        shown = self.boxes.shown()
        rows = editor_of(self.layer).read(self.layer)
        assert len(self.layer.features) == self.layer.nshapes == len(shown)
        assert rows.exact.all()
        assert set(rows.ids) == set(shown)
        for row, key in enumerate(rows.ids):
            box = shown[key]
            assert rows.plane(row) == box.plane
            np.testing.assert_allclose(rows.boxes[row], box.xyxy, atol=1e-3)
            assert (rows.labels[row], rows.states[row], rows.origins[row]) == (box.label, box.state, box.origin)
            assert rows.scores[row] == box.score
        assert len(self.layer.edge_color) == len(self.layer.face_color) == len(shown)
        assert self.layer.feature_defaults["id"].iloc[0] == -1

    def teardown(self):
        if hasattr(self, "past"):
            self.undo(len(self.past) + 1)
            self.redo(len(self.future) + 1)


class EditsOfMany(Edits):
    """The same where only some of the boxes are shapes, and a project keeps them all."""

    @initialize(planes=st.sampled_from([(), (3,)]), number=st.integers(4, 12), seed=st.integers(0, 99))
    def begin(self, planes, number, seed):
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(module, "MOST_SHAPES", 5)
        self.folder = tempfile.TemporaryDirectory()
        self.project = open_project(f"{self.folder.name}/test", create=True)
        self.entry = self.project.add_array("image", (*planes, SIZE, SIZE), "TYX"[-2 - len(planes) :])
        super().begin(planes, number, seed)
        self.boxes.keep(self.entry.journal())
        self.now = self.snapshot()

    @rule(corner=corners, pick=picks)
    def look(self, corner, pick):
        y, x, h, w = corner
        self.boxes.look_at(View(self.index[pick % len(self.index)], (y, y + h, x, x + w), 1.0))
        assert self.snapshot() == self.now

    @rule(pick=picks)
    def select_any(self, pick):
        shown = sorted(self.boxes.shown())
        if shown:
            key = shown[pick % len(shown)]
            self.boxes.select([key])
            assert self.boxes.selected_ids == [key]

    @invariant()
    def layer_shows_the_table(self):
        if not hasattr(self, "past"):
            return
        shown = self.boxes.shown()
        rows = editor_of(self.layer).read(self.layer)
        assert len(self.layer.features) == self.layer.nshapes == len(self.boxes.drawn)
        assert set(rows.ids) == set(self.boxes.drawn.tolist()) <= set(shown)
        assert len(shown) > 5 or len(rows) == len(shown)
        for row, key in enumerate(rows.ids):
            np.testing.assert_allclose(rows.boxes[row], shown[key].xyxy, atol=1e-3)
            assert (rows.labels[row], rows.states[row]) == (shown[key].label, shown[key].state)

    def teardown(self):
        if not hasattr(self, "past"):
            return
        loaded = self.entry.load()
        boxes, _, finished = self.snapshot()
        assert dict(loaded.rows.items()) == boxes
        assert loaded.finished == finished
        # What was done can be undone by whoever opens the project later, in the same order.
        table = loaded.table()
        for before in reversed(self.past):
            assert table.undo() is not None
            assert dict(table.boxes) == before[0]
        assert self.project.check() == []
        self.project.close()
        self.folder.cleanup()
        self.patch.undo()


small = settings(
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestEdits = Edits.TestCase
TestEdits.settings = small
TestEditsOfMany = EditsOfMany.TestCase
TestEditsOfMany.settings = small
