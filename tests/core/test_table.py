from __future__ import annotations

import numpy as np
import pytest

from napari_localize.core.boxes import Box, BoxRows
from napari_localize.core.colors import CLASS_COLORS, class_colors
from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.overlap import overlapping
from napari_localize.core.steps import Area, History, Step
from napari_localize.core.table import BoxTable


def box(x=0, state="proposed", label="a", score=0.5, origin="model@1", plane=(), size=10):
    if state == "added":
        score, origin = None, "human"
    return Box(plane, (x, 0, x + size, size), label, score, origin, state)


def table_of(*boxes):
    table = BoxTable(class_colors(("a", "b")))
    table.load(BoxRows.from_boxes(dict(enumerate(boxes, start=1))))
    return table


def found(*starts, score=0.5, label=0):
    corners = np.array([(x, 0, x + 10, 10) for x in starts], np.float32).reshape(-1, 4)
    return Detections(corners, [label] * len(starts), [score] * len(starts), class_names=("a", "b"))


def test_what_a_person_does_to_a_box_of_a_model_and_to_one_of_their_own():
    def after(action):
        table = table_of(box(), box(20, "added"))
        action(table)
        return dict(table.boxes)

    assert after(lambda table: table.accept([1, 2])) == {1: box(state="accepted"), 2: box(20, "added")}
    assert after(lambda table: table.reject([1, 2])) == {1: box(state="rejected")}
    assert after(lambda table: table.delete([1, 2])) == {1: box(state="rejected")}
    assert after(lambda table: table.set_class([1, 2], "b")) == {
        1: box(state="edited", label="b"),
        2: box(20, "added", label="b"),
    }
    assert table_of(box()).set_class([1], "a") is None


def test_a_rejected_box_comes_back_or_goes_for_good():
    table = table_of(box(state="rejected"))
    assert table.reject([1]) is None
    table.accept([1])
    assert dict(table.boxes) == {1: box(state="accepted")}
    table.undo()
    table.delete([1])
    assert not table.boxes


def test_steps_say_how_many_boxes_they_change():
    table = table_of(box(), box(20), box(40, "accepted"))
    assert table.accept([1, 2, 3]).text == "accept 2 boxes"
    assert table.delete([3]).text == "delete 1 box"


def test_only_guesses_are_filtered():
    table = table_of(*(box(state=state, score=0.2) for state in ("proposed", "accepted", "edited", "added")))
    table.min_score = 0.5
    assert sorted(table.shown().ids) == [2, 3, 4]
    table.min_score, table.diameter_range = 0.0, (15, 50)
    assert sorted(table.shown().ids) == [2, 3, 4]


def test_a_score_at_the_limit_passes_though_it_was_rounded():
    table = table_of(box(score=float(np.float32(0.7))))
    table.min_score = 0.7
    assert len(table.shown()) == 1


def test_counts_and_detections():
    table = table_of(box(), box(20, "accepted"), box(40, "rejected", label="b"), box(60, "added", plane=(1,)))
    assert table.counts() == {"a": (3, 2), "b": (0, 0)}
    assert table.counts((1,)) == {"a": (1, 1), "b": (0, 0)}
    detections = table.detections(())
    assert detections.ids.tolist() == [1, 2]
    assert detections.states.tolist() == ["proposed", "accepted"]
    assert detections.class_names == ("a", "b")
    assert table.detections((), ("rejected",)).ids.tolist() == [3]
    assert np.isnan(table.detections((1,)).scores).all()
    assert len(table.detections((9,))) == 0


def test_a_new_run_replaces_guesses_and_leaves_what_a_person_has_judged():
    judged = [box(x, state) for x, state in ((0, "accepted"), (100, "edited"), (200, "added"), (300, "rejected"))]
    table = table_of(*judged, box(400), box(500, plane=(1,)))
    left_out = table.propose({(): found(1, 102, 200, 303, 450)}, "model@2", replace=True, region=None)
    assert left_out == 4
    assert [table.boxes[key] for key in (1, 2, 3, 4)] == judged
    assert 5 not in table.boxes
    assert table.boxes[6] == box(500, plane=(1,))
    assert table.boxes[7] == box(450, origin="model@2")


def test_a_run_on_a_part_of_the_plane_replaces_only_there():
    table = table_of(box(0), box(100))
    table.propose({(): found(110)}, "model@2", replace=True, region=(0, 50, 90, 200))
    assert sorted(one.xyxy[0] for one in table.boxes.values()) == [0, 110]


def test_an_object_on_the_border_of_a_part_is_there_once():
    table = table_of(box(84))
    assert table.propose({(): found(86, 120)}, "model@2", replace=True, region=(0, 50, 90, 200)) == 0
    assert sorted(one.xyxy[0] for one in table.boxes.values()) == [84, 120]


def test_streamed_boxes_are_added_and_the_same_box_keeps_its_id():
    table = table_of()
    table.propose({(): found(0)}, "m@1", replace=False, region=None)
    table.propose({(): found(100)}, "m@1", replace=False, region=None)
    table.propose({(): found(100, 0, 200, score=0.9)}, "m@1", replace=True, region=None)
    assert {key: (one.xyxy[0], one.score) for key, one in table.boxes.items()} == {
        1: (0, pytest.approx(0.9)),
        2: (100, pytest.approx(0.9)),
        3: (200, pytest.approx(0.9)),
    }


def test_a_run_makes_redo_impossible_but_not_undo():
    table = table_of(box(), box(100))
    table.accept([1])
    table.accept([2])
    table.undo()
    table.propose({(): found(300)}, "m@2", replace=True, region=None)
    assert table.redo() is None
    assert table.undo() is not None
    assert table.boxes[1].state == "proposed"


def test_undo_does_not_bring_back_guesses_that_a_run_has_replaced():
    table = table_of(box(), box(50, "accepted"))
    table.rename_class("a", "c")
    table.propose({(): found(1, 2)}, "model@2", replace=True, region=None)
    table.undo()
    assert sorted(each.xyxy[0] for each in table.boxes.values()) == [1, 2, 50]
    assert table.boxes[2].label == "a"


def test_classes_that_a_model_brings_are_added_with_colours_of_their_own():
    table = table_of(box())
    table.propose({(): Detections.empty(("c", "a"))}, "m@1", replace=True, region=None)
    assert list(table.classes) == ["a", "b", "c"]
    assert len(set(table.classes.values())) == 3


def test_classes_are_added_renamed_recoloured_and_removed_and_all_of_it_undone():
    table = table_of(box(), box(20, "accepted"))
    before = dict(table.boxes), dict(table.classes)
    table.add_class(" c ")
    table.rename_class("a", "alpha")
    table.recolor_class("alpha", "#123456")
    table.remove_class("b")
    assert table.classes == {"alpha": "#123456", "c": CLASS_COLORS[2]}
    assert [one.label for one in table.boxes.values()] == ["alpha", "alpha"]
    assert [one.state for one in table.boxes.values()] == ["proposed", "accepted"]
    while table.undo():
        pass
    assert (table.boxes, table.classes) == before
    while table.redo():
        pass
    assert list(table.classes) == ["alpha", "c"]


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (lambda table: table.add_class(" "), "needs a name"),
        (lambda table: table.add_class("a"), "already"),
        (lambda table: table.rename_class("a", "b"), "already"),
        (lambda table: table.remove_class("a"), "has 1 boxes"),
    ],
)
def test_mistakes_with_classes_are_explained(action, words):
    table = table_of(box())
    with pytest.raises(UserError, match=words):
        action(table)
    assert list(table.classes) == ["a", "b"]


def test_colours_stay_apart_and_stay_the_same():
    names = [str(number) for number in range(len(CLASS_COLORS))]
    colors = class_colors(names)
    assert len(set(colors.values())) == len(names)
    assert class_colors([*names, "more"], colors) | colors == class_colors([*names, "more"], colors)


def test_finished_areas_are_a_step_like_any_other():
    table = table_of(box())
    area = Area((), (0, 0, 50, 50), "reviewed")
    step = table.edit("finish a rectangle", areas=frozenset({area}))
    assert step.planes == {()}
    table.undo()
    assert not table.areas
    table.redo()
    assert table.areas == {area}


class Recorder:
    """Keeps boxes by nothing but the changes that it is told."""

    def __init__(self, table):
        self.boxes, self.steps = dict(table.boxes), []
        table.journal = self

    def record(self, change):
        self.steps.append((change.action, change.step is not None))
        for key in change.removed.tolist():
            self.boxes.pop(key, None)
        self.boxes.update(change.put.items())


def test_a_journal_that_hears_all_changes_knows_all_boxes():
    table = table_of(*(box(30 * at) for at in range(6)), *(box(30 * at, "accepted", plane=(1,)) for at in range(6)))
    journal = Recorder(table)
    actions = [
        lambda: table.accept([1, 2, 7]),
        lambda: table.reject([2, 8]),
        lambda: table.rename_class("a", "c"),
        lambda: table.propose({(): found(31, 95, 400), (1,): found(500)}, "m@2", replace=True, region=None),
        table.undo,
        table.undo,
        table.redo,
        lambda: table.delete(list(table.boxes)),
        table.undo,
        lambda: table.set_class(list(table.boxes), "b"),
    ]
    for action in actions:
        action()
        assert journal.boxes == dict(table.boxes)
    expected = ["do", "do", "do", "propose", "undo", "undo", "redo", "do", "undo", "do"]
    assert journal.steps == [(name, name == "do") for name in expected]


def test_many_boxes_are_edited_as_columns():
    rng = np.random.default_rng(0)
    start = rng.uniform(0, 5000, (50_000, 2)).astype(np.float32)
    boxes = Detections(np.concatenate([start, start + 10], axis=1), scores=rng.random(50_000))
    table = BoxTable({"object": "#123456"})
    table.propose({(): boxes}, "m@1")
    table.min_score = 0.5
    sure = table.guesses(())
    assert len(sure) == (boxes.scores >= 0.5).sum()
    table.accept(sure)
    assert table.by_state()["accepted"] == len(sure)
    table.min_score = 0.0
    assert table.propose({(): boxes}, "m@2") >= len(sure)
    assert table.by_state()["accepted"] == len(sure)
    table.undo()
    assert table.by_state()["accepted"] == 0


def test_overlap_is_measured_by_iou():
    one = np.array([[0, 0, 10, 10]], np.float32)
    others = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [3, 0, 13, 10], [50, 50, 60, 60]], np.float32)
    assert overlapping(others, one, 0.5).tolist() == [True, False, True, False]
    assert overlapping(others, one[:0], 0.5).tolist() == [False] * 4
    many = np.random.default_rng(0).uniform(0, 1000, (3000, 2))
    many = np.concatenate([many, many + 20], axis=1).astype(np.float32)
    assert overlapping(many, many, 0.99).all()


def test_history_keeps_the_newest_steps():
    history = History()
    for number in range(1500):
        history.push(Step(str(number), after=BoxRows.from_boxes({1: box()})))
    steps = 0
    while history.undo():
        steps += 1
    assert steps == 1000
    assert history.redo_text == "500"


def test_the_first_classes_stay_when_their_step_is_undone():
    table = BoxTable({})
    table.edit("import", classes={"cell": "#FFFFFF"})
    table.undo()
    assert list(table.classes) == ["cell"]
    table.redo()
    assert list(table.classes) == ["cell"]


def test_only_shown_guesses_on_judged_objects_are_told():
    table = BoxTable({"cell": "#FFFFFF"})
    corners = np.array([[0, 0, 10, 10], [40, 0, 50, 10]], np.float32)
    table.propose({(): Detections(corners, scores=[0.9, 0.9], class_names=("cell",))}, "a@1")
    table.accept(table.boxes.ids.copy())
    table.min_score = 0.5
    again = Detections(corners, scores=[0.8, 0.2], class_names=("cell",))
    assert table.propose({(): again}, "b@1") == 1
    assert len(table.boxes) == 2
