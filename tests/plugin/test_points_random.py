"""Any sequence of edits of points leaves layer and table in step, and can be taken back and made again exactly."""

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

SIDE, SIZE = 200, 10.0
places = st.tuples(st.integers(0, 190), st.integers(0, 190))
picks = st.integers(0, 10_000)


def some_detections(number, seed):
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, SIDE - 40, (number, 2))
    corners = np.concatenate([start, start + rng.uniform(5, 40, (number, 2))], axis=1)
    return Detections(corners, rng.integers(0, 2, number), rng.random(number), class_names=("a", "b"))


class Edits(RuleBasedStateMachine):
    """A person with napari's tools, the dock, and another plugin, all on one layer."""

    @initialize(planes=st.sampled_from([(), (3,)]), number=st.integers(0, 8), seed=st.integers(0, 99))
    def begin(self, planes, number, seed):
        image = Image(np.zeros((*planes, SIDE, SIDE)), name="image")
        self.layer = new_box_layer(image, ("a", "b"), point_size=SIZE)
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

    @property
    def number(self):
        return len(self.layer.data)

    def row(self, pick):
        return pick % self.number

    @rule(place=places, pick=picks, number=st.integers(1, 3))
    def add(self, place, pick, number):
        leading = self.index[pick % len(self.index)]
        before = len(self.boxes)
        self.layer.add([[*leading, place[0] + step, place[1]] for step in range(number)])
        self.did()
        assert len(self.boxes) == before + number

    @precondition(lambda self: self.number)
    @rule(rows=st.lists(picks, min_size=1, max_size=3), dy=st.integers(-30, 30), dx=st.integers(-30, 30))
    def drag(self, rows, dy, dx):
        rows = {self.row(pick) for pick in rows}
        before = len(self.boxes)
        middle = self.layer.data[list(rows)].mean(axis=0)
        self.layer._set_drag_start(rows, middle)
        self.layer._move(rows, middle + np.array([0] * (self.layer.ndim - 2) + [dy, dx]))
        assert self.boxes._editor.in_use(self.layer)
        self.layer._drag_start = None
        self.did()
        assert len(self.boxes) == before

    @precondition(lambda self: self.number)
    @rule(rows=st.lists(picks, min_size=1, max_size=3))
    def delete(self, rows):
        self.layer.remove(list({self.row(pick) for pick in rows}))
        self.did()

    # In a stack napari 0.9.2 cannot paste points.
    @precondition(lambda self: self.number and self.layer.ndim == 2)
    @rule(rows=st.lists(picks, min_size=1, max_size=3))
    def copy_and_paste(self, rows):
        self.layer.selected_data = {self.row(pick) for pick in rows}
        number = len(self.layer.selected_data)
        before = len(self.boxes)
        self.layer._copy_data()
        self.layer._paste_data()
        self.did()
        assert len(self.boxes) == before + number

    @precondition(lambda self: self.number)
    @rule(rows=st.lists(picks, min_size=1, max_size=3), size=st.integers(4, 30))
    def resize(self, rows, size):
        """What the slider in napari's controls does."""
        before = self.boxes.by_state()
        self.layer.selected_data = {self.row(pick) for pick in rows}
        self.layer.current_size = float(size)
        self.did()
        assert self.boxes.by_state() == before

    @rule()
    def select_nothing(self):
        self.layer.selected_data = set()
        self.did()

    @precondition(lambda self: self.number)
    @rule(pick=picks, label=st.sampled_from(["a", "b", "c"]))
    def write_a_feature(self, pick, label):
        features = self.layer.features.copy()
        features.loc[self.row(pick), "class"] = label
        self.layer.features = features
        self.did()

    @rule()
    def drop_the_features(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # napari: property used for border_color dropped
            self.layer.features = {}
        self.did()

    @precondition(lambda self: self.number)
    @rule(pick=picks)
    def assign_part_of_the_data(self, pick):
        self.layer.data = np.delete(self.layer.data, self.row(pick), axis=0)
        self.did()

    @precondition(lambda self: self.number)
    @rule(seed=st.integers(0, 9))
    def assign_data_in_another_order(self, seed):
        self.layer.data = self.layer.data[np.random.default_rng(seed).permutation(self.number)]
        self.did()

    @precondition(lambda self: self.number)
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
        drawn = set(self.boxes.drawn.tolist())
        assert len(self.layer.features) == self.number == len(drawn)
        assert rows.exact.all()
        assert set(rows.ids) == drawn <= set(shown)
        assert len(drawn) == len(shown) or len(shown) > 5
        for row, key in enumerate(rows.ids):
            box = shown[key]
            assert rows.plane(row) == box.plane
            np.testing.assert_allclose(rows.boxes[row], box.xyxy, atol=1e-3)
            assert (rows.labels[row], rows.states[row], rows.origins[row]) == (box.label, box.state, box.origin)
            assert rows.scores[row] == box.score
        layer = self.layer
        assert {len(layer.size), len(layer.border_color), len(layer.face_color), len(layer.shown)} == {self.number}
        assert len({tuple(color) for color in layer.border_color}) == len(set(rows.labels))

    def teardown(self):
        if hasattr(self, "past"):
            self.undo(len(self.past) + 1)
            self.redo(len(self.future) + 1)


class EditsOfMany(Edits):
    """The same where only some of the points are in the layer, and a project keeps them all."""

    @initialize(planes=st.sampled_from([(), (3,)]), number=st.integers(4, 12), seed=st.integers(0, 99))
    def begin(self, planes, number, seed):
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(module, "MOST_POINTS", 5)
        self.folder = tempfile.TemporaryDirectory()
        self.project = open_project(f"{self.folder.name}/test", create=True)
        self.entry = self.project.add_array("image", (*planes, SIDE, SIDE), "TYX"[-2 - len(planes) :])
        self.entry.set_point_size(SIZE)
        super().begin(planes, number, seed)
        self.boxes.keep(self.entry.journal())
        self.now = self.snapshot()

    @rule(place=places, pick=picks)
    def look(self, place, pick):
        y, x = place
        self.boxes.look_at(View(self.index[pick % len(self.index)], (y, y + 40, x, x + 40), 1.0))
        assert self.snapshot() == self.now

    @rule(pick=picks)
    def select_any(self, pick):
        shown = sorted(self.boxes.shown())
        if shown:
            key = shown[pick % len(shown)]
            self.boxes.select([key])
            assert self.boxes.selected_ids == [key]

    def teardown(self):
        if not hasattr(self, "past"):
            return
        loaded = self.entry.load()
        boxes, _, finished = self.snapshot()
        assert dict(loaded.rows.items()) == boxes
        assert loaded.finished == finished
        table = loaded.table()
        assert table.point_size == SIZE
        with self.project.database.reading() as connection:
            assert connection.execute("SELECT COUNT(*) FROM boxes WHERE kind = 0").fetchone() == (0,)
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
