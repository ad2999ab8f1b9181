"""How many judgements it takes to mend a model's boxes, by the order in which they are looked at.

    python benchmarks/review_queue.py --data ../shared/data

Bundled models run on the test images. A simulated person goes through their boxes, down to 0.75 of the threshold, and
says of each whether it is right (IoU 0.5 with a true box of its class that no surer box has taken). Boxes below the
threshold that are right are accepted, those above that are wrong rejected: these are the mistakes that can be found by
judging boxes; what has no box at all cannot. By lot, by the score (least certain first), and by the queue of the most useful
boxes, which knows how they look and learns from each judgement. Medians over seeds of the lot.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from napari_localize.core.planes import ArrayPlane
from napari_localize.core.settings import PredictSettings
from napari_localize.evaluation.matching import match_boxes
from napari_localize.evaluation.queue import Candidates, Order, ReviewQueue, compress
from napari_localize.models.describe import describe_boxes
from napari_localize.models.exemplars import look
from napari_localize.models.localizer import load_model
from napari_localize.models.predict import predict_plane
from napari_localize.training.bundled import Sample, in_classes, load_samples

LOWEST = 0.75
"""Of the threshold."""

SHARES = (0.25, 0.5, 0.75)
METHODS: dict[str, tuple[Order, bool, bool]] = {
    "by lot": ("lot", False, False),
    "least certain": ("uncertain", False, False),
    "queue, without looks": ("useful", False, True),
    "queue, not learning": ("useful", True, False),
    "queue": ("useful", True, True),
}
"""Order, whether looks are known, whether it learns from judgements."""


class Task:
    """A model's boxes on all images, and which of them are right."""

    def __init__(self, planes: list, threshold: float) -> None:
        found, true, tables = zip(*planes, strict=True)
        hits = [
            match_boxes(mine.boxes, mine.labels, mine.scores, there.boxes, there.labels, 0.5)
            for mine, there in zip(found, true, strict=True)
        ]
        scores = np.concatenate([part.scores for part in found])
        kept = scores >= LOWEST * threshold
        self.right = np.concatenate(hits)[kept]
        self.shown = scores[kept] >= threshold
        self.objects = sum(len(part) for part in true)
        self.threshold = threshold
        self.plain = Candidates(
            np.arange(int(kept.sum())),
            np.repeat(np.arange(len(found)), [len(part) for part in found])[kept],
            np.concatenate([part.labels for part in found])[kept],
            scores[kept].astype(float),
            np.concatenate([part.diameters for part in found])[kept].astype(float),
        )
        self.features = compress(np.concatenate(tables)[kept])

    def go_through(self, method: str, seed: int) -> np.ndarray:
        """Return which box is judged when."""
        order, described, learning = METHODS[method]
        plain = self.plain
        candidates = Candidates(
            plain.keys, plain.planes, plain.labels, plain.chances, plain.sizes, self.features if described else None
        )
        queue = ReviewQueue(candidates, order, threshold=self.threshold, seed=seed)
        rows = []
        for entry in queue:
            rows.append(entry.row)
            if learning and len(rows) <= 1000:
                queue.judge(entry.row, bool(self.right[entry.row]))
        return np.array(rows)

    def measure(self, rows: np.ndarray, goal: float) -> list[float]:
        """Return the judgements until shares of the mistakes are found, and until F1 reaches a goal."""
        mistakes = self.right[rows] != self.shown[rows]
        found = np.cumsum(mistakes)
        needed = [float(np.searchsorted(found, share * found[-1]) + 1) for share in SHARES]
        hits = (self.shown & self.right).sum() + np.cumsum(mistakes & self.right[rows])
        kept = self.shown.sum() + np.cumsum(np.where(mistakes, np.where(self.right[rows], 1, -1), 0))
        f1 = 2 * hits / (kept + self.objects)
        return [*needed, float(np.argmax(f1 >= goal) + 1) if (f1 >= goal).any() else np.nan]

    @property
    def f1(self) -> float:
        """F1 before anything is judged."""
        return float(2 * (self.shown & self.right).sum() / (self.shown.sum() + self.objects))

    def __str__(self) -> str:
        best = 2 * self.right.sum() / (self.right.sum() + self.objects)
        mistakes = int((self.right != self.shown).sum())
        return f"{len(self.right)} boxes, {mistakes} mistakes, F1 {self.f1:.3f}, {best:.3f} when all are mended"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--part", default="test", choices=["test", "validation"])
    parser.add_argument("--models", nargs="*", default=["blood", "nuclei"], choices=["blood", "nuclei"])
    parser.add_argument("--every", type=int, default=1, help="only every so many images")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--goal", type=float, default=0.9, help="F1")
    args = parser.parse_args()
    for name in args.models:
        samples = [sample for sample in load_samples(args.data / name) if sample.part == args.part]
        report(name, *run(name, samples[:: args.every]), args.seeds, args.goal)


def run(name: str, samples: list[Sample]) -> tuple[list, float]:
    """Run a model on images, and describe its boxes as the review queue does."""
    model, describing, planes = load_model(name), load_model("generalist"), []
    for sample in samples:
        plane = ArrayPlane(sample.image)
        found = predict_plane(model, plane, PredictSettings(threshold=LOWEST * model.card.threshold))
        table = describe_boxes(lambda *at, plane=plane: look(describing, plane, *at), found)
        planes.append((found, in_classes(sample.boxes, model.card.classes), table))
    return planes, model.card.threshold


def report(name: str, planes: list, threshold: float, seeds: int, goal: float) -> None:
    planes = [part for part in planes if len(part[0])]
    task = Task(planes, threshold)
    print(f"{name}: {len(planes)} images, {task}", flush=True)
    print(f"{'':>22} " + " ".join(f"{100 * share:>4.0f} %" for share in SHARES) + f"   F1 {goal:.2f}")
    for method in METHODS:
        measured = [task.measure(task.go_through(method, seed), goal) for seed in range(seeds)]
        print(f"{method:>22} " + " ".join(f"{value:>6.0f}" for value in np.median(measured, axis=0)), flush=True)


if __name__ == "__main__":
    main()
