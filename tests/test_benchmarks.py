"""The arithmetic of the benchmarks: a wrong count of corrections would praise the wrong method."""

import sys
from pathlib import Path

import numpy as np
import pytest

from napari_localize.core.detections import Detections
from napari_localize.training.bundled import Sample

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def benchmarks():
    """The folder on the path, as it is for a script that is started there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import _annotator
        import _domains
        import effort
        import teach

        yield {"annotator": _annotator, "domains": _domains, "effort": effort, "teach": teach}
        for name in ("_annotator", "_domains", "_peers", "effort", "teach"):
            sys.modules.pop(name, None)


def boxes(*rows, names=("a", "b"), labels=None, scores=None):
    values = np.array(rows, np.float32).reshape(-1, 4)
    return Detections(values, labels, np.full(len(values), 0.9) if scores is None else scores, class_names=names)


def domain(benchmarks, stream=(), held_out=(), point_size=None):
    return benchmarks["domains"].Domain("kind", "base", list(stream), list(held_out), point_size)


TRUE = boxes([0, 0, 10, 10], [20, 0, 30, 10], labels=[0, 1])


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (boxes([0, 0, 10, 10], [20, 0, 30, 10], labels=[0, 1]), 0),
        (boxes(), 2),
        (boxes([0, 0, 10, 10], labels=[0]), 1),
        (boxes([0, 0, 10, 10], [20, 0, 30, 10], [50, 50, 60, 60], labels=[0, 1, 0]), 1),
        (boxes([0, 0, 10, 10], [20, 0, 30, 10], labels=[0, 0]), 1),
        (boxes([0, 0, 10, 10], [25, 0, 35, 10], labels=[0, 1]), 1),
        (boxes([0, 0, 10, 10], [20, 0, 30, 10], names=("object",), labels=[0, 0]), 2),
    ],
    ids=["right", "nothing", "added", "deleted", "re-classed", "moved", "classes of its own"],
)
def test_each_error_is_one_correction(benchmarks, found, expected):
    assert benchmarks["annotator"].corrections(found, TRUE, domain(benchmarks)) == expected


def test_the_name_of_the_only_class_is_no_correction(benchmarks):
    true = boxes([0, 0, 10, 10], names=("nucleus",))
    found = boxes([0, 0, 10, 10], names=("object",))
    assert benchmarks["annotator"].corrections(found, true, domain(benchmarks)) == 0


@pytest.mark.parametrize(("shift", "expected"), [(4, 0), (6, 1)])
def test_points_match_within_half_a_nominal_size(benchmarks, shift, expected):
    true, found = boxes([0, 0, 10, 10]), boxes([shift, 0, 10 + shift, 10])
    assert benchmarks["annotator"].corrections(found, true, domain(benchmarks, point_size=10.0)) == expected


def sample(name, labels=(0,), brightness=10, shape=(32, 32), size=10.0):
    rows = np.array([[0, 0, size, size]] * len(labels), np.float32)
    image = np.full(shape, brightness, np.uint8)
    return Sample(name, image, Detections(rows, np.array(labels), class_names=("a", "b")), "train", 0)


def test_drawn_images_hold_every_class(benchmarks):
    samples = [sample(str(number), (0,)) for number in range(9)] + [sample("rare", (1,))]
    for draw in range(5):
        chosen = benchmarks["annotator"].drawn(samples, 3, draw)
        assert len(chosen) == 3
        assert "rare" in {one.file_name for one in chosen}
    with pytest.raises(SystemExit, match="more"):
        benchmarks["annotator"].drawn(samples, 1, 0)


@pytest.mark.parametrize(
    ("background", "size", "expected"),
    [
        ((12,), 10, "fluorescence small"),
        ((12,), 40, "fluorescence large"),
        ((228,), 20, "bright field"),
        ((198, 197, 207), 20, "purple on white"),
        ((177, 158, 208), 20, "purple on purple"),
        ((201, 67, 167), 36, "purple on purple"),
    ],
)
def test_groups_of_nuclei(benchmarks, background, size, expected):
    image = np.tile(np.array(background, np.uint8), (16, 16, 1)) if len(background) > 1 else np.full((16, 16), 0)
    image = image if len(background) > 1 else np.full((16, 16), background[0], np.uint8)
    assert benchmarks["domains"].group_of(image, boxes([0, 0, size, size])) == expected


def rows_of(corrections, measured):
    return [
        {"step": step, "corrections": made, "cheapest": made, **({"F1": measured[step]} if step in measured else {})}
        for step, made in enumerate(corrections)
    ]


def test_corrections_until_a_level_is_reached(benchmarks):
    reached = benchmarks["annotator"].reached
    rows = rows_of([0, 20, 10, 6, 4], {0: 0.0, 1: 0.4, 3: 0.8, 4: 0.85})
    assert reached(rows, 0.4) == 20
    assert reached(rows, 0.6) == 30  # half way from one image to three: 20 + 10
    assert reached(rows, 0.8) == 36
    assert reached(rows, 0.9) is None
    assert reached(rows_of([0, 3], {0: 0.9, 1: 0.9}), 0.8) == 0


class Perfect:
    """Knows the boxes of the images it has learnt from, and nothing before."""

    threshold = 0.5

    def __init__(self, known=()):
        self.known = {one.image.tobytes(): one.boxes for one in known}

    def __call__(self, image):
        found = self.known.get(image.tobytes(), Detections.empty(("a", "b")))
        return Detections(found.boxes, found.labels, np.ones(len(found)), class_names=found.class_names)

    def start(self, domain):
        return None

    def learn(self, samples, seed):
        return Perfect(samples)


def test_a_stream_that_was_ended_goes_on_where_it_was(benchmarks):
    work_through = benchmarks["annotator"].work_through
    stream = [sample(str(number), (0, 1), brightness=number) for number in range(4)]
    kind = domain(benchmarks, stream, stream)
    whole = list(work_through(Perfect(), kind, 0, 4, []))
    assert [row["step"] for row in whole] == [0, 1, 2, 3, 4]
    assert [row["corrections"] for row in whole] == [0, 2, 2, 2, 2]
    assert [row["cheapest"] for row in whole] == [0, 2, 2, 2, 2]
    assert {row["file"] for row in whole[1:]} == {"0", "1", "2", "3"}
    assert whole[-1]["F1"] == 1.0
    assert "F1" not in whole[2]
    rest = list(work_through(Perfect(), kind, 0, 4, whole[:3]))
    assert [row["file"] for row in rest] == [row["file"] for row in whole[3:]]
    assert list(work_through(Perfect(), kind, 0, 4, whole)) == []


def test_retraining_at_checkpoints_only_leaves_the_corrections_the_same(benchmarks):
    stream = [sample(str(number), (0, 1), brightness=number) for number in range(5)]
    kind = domain(benchmarks, stream, stream)
    learnt = []

    class Noting(Perfect):
        def learn(self, samples, seed):
            learnt.append(len(samples))
            return Perfect(samples)

    rows = list(benchmarks["annotator"].work_through(Noting(), kind, 0, 5, [], retrain="checkpoints"))
    assert learnt == [1, 3, 5]
    assert [row["step"] for row in rows] == list(range(6))
    learnt.clear()
    list(benchmarks["annotator"].work_through(Noting(), kind, 0, 5, rows[:5], retrain="checkpoints"))
    assert learnt == [3, 5]


class Doubtful(Perfect):
    """Finds the same box everywhere and is unsure of it on one image."""

    def __call__(self, image):
        score = 0.51 if image.flat[0] == 7 else 0.99
        return boxes([0, 0, 10, 10], labels=[0], scores=np.array([score], np.float32))

    def start(self, domain):
        return self


def test_the_queue_takes_the_least_certain_image(benchmarks):
    stream = [sample(str(number), brightness=number) for number in range(9)]
    kind = domain(benchmarks, stream, stream[:1])
    rows = benchmarks["annotator"].work_through(Doubtful(), kind, 0, 1, [], "queue")
    assert [row["file"] for row in rows] == [None, "7"]


def test_the_tables_say_what_was_not_reached(benchmarks, capsys):
    key = dict.fromkeys(benchmarks["effort"].KEY)
    key |= {"domain": "blood", "order": "random"}
    ours = [{**key, "method": "ours", "spent": 1.0, **row} for row in rows_of([0, 10], {0: 0.0, 1: 0.8})]
    peer = [{**key, "method": "FCOS R50", "spent": 1.0, **row} for row in rows_of([0, 20], {0: 0.0, 1: 0.2})]
    for row in (*ours, *peer):
        row["AP50"] = row["F1"]
    benchmarks["effort"].print_tables([*ours, *peer])
    said = capsys.readouterr().out
    assert "not reached in 1" in said
    assert "F1 0.80: 10 corrections; none of the others reached it in 1 images." in said
