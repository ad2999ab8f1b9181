"""A simulated annotator: predict, correct every error, finish the plane, retrain, next image."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from napari_localize.core.detections import Detections
from napari_localize.evaluation.matching import match_boxes, overlaps
from napari_localize.evaluation.metrics import best_threshold, summarize
from napari_localize.evaluation.queue import Candidates, rank_planes
from napari_localize.training.bundled import Sample

if TYPE_CHECKING:
    from _domains import Domain

CHECKPOINTS = (0, 1, 3, 5, 10, 20)
"""Numbers of images after which the held-out ones are looked at."""

MOVABLE = 0.1
"""IoU from which a box that is wrong is moved rather than deleted and drawn anew."""


QUEUED = 24
"""Images of the rest of the stream, in the order of chance, that the queue may choose from."""


class Learner(Protocol):
    """A model that a method has trained; boxes below its threshold are not shown to the annotator."""

    threshold: float

    def __call__(self, image: np.ndarray) -> Detections: ...


class Method(Protocol):
    """How a method starts and learns."""

    def start(self, domain: Domain) -> Learner | None:
        """Return what is known before the first image, None for nothing."""

    def learn(self, samples: Sequence[Sample], seed: int) -> Learner:
        """Train from annotated images."""


def corrections(found: Detections, true: Detections, domain: Domain) -> int:
    """Count what a person does to make the boxes right: added, deleted, moved and re-classed ones are one each."""
    found, true = domain.measured(found), domain.measured(true)
    none, nothing = np.zeros(len(found), np.int64), np.zeros(len(true), np.int64)
    hits = match_boxes(found.boxes, none, found.scores, true.boxes, nothing, 0.5)
    right = match_boxes(found.boxes, labels_in(found, true.class_names), found.scores, true.boxes, true.labels, 0.5)
    wrong_class = max(0, int(hits.sum()) - int(right.sum()))
    spare, missed = found[~hits], len(true) - int(hits.sum())
    rows, columns, _ = overlaps(spare.boxes, true.boxes, MOVABLE)
    moved = min(len(set(rows.tolist())), len(set(columns.tolist())), missed)
    return wrong_class + moved + (missed - moved) + (len(spare) - moved)


def labels_in(boxes: Detections, class_names: Sequence[str]) -> np.ndarray:
    """Return labels by name, -1 for a class that is not among them; with a single class there is nothing to confuse."""
    if len(class_names) == 1:
        return np.zeros(len(boxes), np.int64)
    table = [class_names.index(name) if name in class_names else -1 for name in boxes.class_names]
    return np.array(table, np.int64)[boxes.labels]


def measure(learner: Learner | None, domain: Domain) -> dict[str, float]:
    """Measure on the held-out images: AP50, F1 at the best threshold for them, and at the one that the learner uses."""
    if learner is None:
        return {"AP50": 0.0, "F1": 0.0, "F1_as_used": 0.0}
    true = [domain.measured(sample.boxes) for sample in domain.held_out]
    found = [domain.measured(renamed(learner(sample.image), sample.boxes.class_names)) for sample in domain.held_out]
    return {
        "AP50": float(np.nan_to_num(summarize(found, true)["AP50"])),
        "F1": f1(found, true, best_threshold(found, true)),
        "F1_as_used": f1(found, true, learner.threshold),
    }


def renamed(boxes: Detections, class_names: Sequence[str]) -> Detections:
    """Call objects of any kind by the domain's name, where it has only one."""
    if len(class_names) > 1:
        return boxes
    return Detections(boxes.boxes, scores=boxes.scores, class_names=tuple(class_names))


def f1(found: Sequence[Detections], true: Sequence[Detections], threshold: float) -> float:
    kept = [boxes[boxes.scores >= threshold] for boxes in found]
    return float(np.nan_to_num(summarize(kept, true)["F1"]))


def work_through(
    method: Method,
    domain: Domain,
    seed: int,
    number: int,
    done: Sequence[dict],
    order: str = "random",
    retrain: str = "every",
) -> Iterator[dict]:
    """Annotate a stream and yield a row for each step; step 0 is what is known before.

    Parameters
    ----------
    method : Method
        What learns.
    domain : Domain
        The images.
    seed : int
        Of the order of the images, and of the trainings.
    number : int
        Images of the stream.
    done : sequence of dict
        Rows of an earlier run that was ended: it is gone on with.
    order : str
        ``random``, or ``queue``: the image that the review queue would show next.
    retrain : str
        After ``every`` image, or at the ``checkpoints`` only.
    """
    by_name = {sample.file_name: sample for sample in domain.stream}
    shuffled = [domain.stream[index] for index in np.random.default_rng(seed).permutation(len(domain.stream))]
    chosen = [by_name[row["file"]] for row in done if row["step"]]
    number = min(number, len(shuffled))
    if len(chosen) >= number and done:
        return
    learnt = [step for step in range(1, len(chosen) + 1) if retrain == "every" or step in CHECKPOINTS]
    learner = method.learn(chosen[: learnt[-1]], seed) if learnt else method.start(domain)
    if not done:
        yield {
            "step": 0,
            "file": None,
            "corrections": 0,
            "cheapest": 0,
            "objects": 0,
            "spent": 0.0,
            **measure(learner, domain),
        }
    while len(chosen) < number:
        taken = {sample.file_name for sample in chosen}
        rest = [sample for sample in shuffled if sample.file_name not in taken]
        sample = first_of_queue(learner, rest) if order == "queue" else rest[0]
        made = corrections(shown(learner, sample), sample.boxes, domain)
        chosen.append(sample)
        checked = len(chosen) in CHECKPOINTS or len(chosen) == number
        began = time.monotonic()
        if checked or retrain == "every":
            learner = method.learn(chosen, seed)
        row = {"step": len(chosen), "file": sample.file_name, "corrections": made, "objects": len(sample.boxes)}
        # Where nearly all is wrong a person rejects everything at once and draws each box.
        row["cheapest"] = min(made, 1 + len(sample.boxes))
        row["spent"] = time.monotonic() - began
        if checked:
            row |= measure(learner, domain)
        yield row


def first_of_queue(learner: Learner | None, rest: Sequence[Sample]) -> Sample:
    """Choose the image that the review queue would have finished next; without a model the order is one of chance."""
    if learner is None:
        return rest[0]
    pool = rest[:QUEUED]
    found = [shown(learner, sample) for sample in pool]
    boxes = sum(map(len, found))
    candidates = Candidates(
        np.arange(boxes),
        np.repeat(np.arange(len(pool)), [len(one) for one in found]),
        np.concatenate([one.labels for one in found]),
        np.concatenate([one.scores for one in found]).astype(np.float64),
        np.concatenate([one.diameters for one in found]).astype(np.float64),
    )
    return pool[rank_planes(range(len(pool)), candidates, threshold=learner.threshold, lot_share=0.0)[0].row]


def shown(learner: Learner | None, sample: Sample) -> Detections:
    """Return the boxes that the annotator sees."""
    if learner is None:
        return Detections.empty(sample.boxes.class_names)
    found = learner(sample.image)
    return found[found.scores >= learner.threshold]


def reached(rows: Sequence[dict], level: float, measure_name: str = "F1") -> float | None:
    """Return how many corrections it took until a level was reached, None if it was not.

    Between two checkpoints the measure is taken to rise evenly from image to image.
    """
    total = np.cumsum([row["corrections"] for row in rows])
    known = [(row["step"], row[measure_name]) for row in rows if measure_name in row]
    for (before, low), (after, high) in zip([(0, 0.0), *known], known, strict=False):
        if high >= level:
            at = after if high == low else before + (after - before) * (level - low) / (high - low)
            return float(np.interp(max(at, before), range(len(total)), total))
    return None


def drawn(samples: Sequence[Sample], number: int, draw: int) -> list[Sample]:
    """Draw images by chance, until every class is there."""
    rng = np.random.default_rng(draw)
    wanted = set(np.unique(np.concatenate([sample.boxes.labels for sample in samples])).tolist())
    for _ in range(10_000):
        chosen = [samples[index] for index in rng.choice(len(samples), min(number, len(samples)), replace=False)]
        if set(np.concatenate([sample.boxes.labels for sample in chosen]).tolist()) == wanted:
            return chosen
    raise SystemExit(f"{number} images never hold all {len(wanted)} classes; take more.")
