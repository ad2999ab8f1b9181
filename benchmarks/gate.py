"""How honest the comparison of two models is: how often it says better or worse of equals, and finds what is better.

python benchmarks/gate.py --data ../shared/data

Equal models: the bundled nuclei model on test images, and the same model on the mirrored images; on each plane chance
says which is called the new one, so that neither is better. Better models: the old one loses found objects by chance
until its F1 is lower by 0.05. Planes are drawn from the test images, with replacement.

A training chooses its weights on the planes that it is compared on, too. So the third column has equal models again, but
the new one is the best, on these planes, of nine: as many as a minute looks at. Each differs from the first on a tenth of
the planes, where it is like the old one.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_localize.core.detections import Detections
from napari_localize.core.planes import ArrayPlane
from napari_localize.core.settings import PredictSettings
from napari_localize.evaluation.gate import compare, tally
from napari_localize.models.localizer import load_model
from napari_localize.models.predict import predict_plane
from napari_localize.training.bundled import in_classes, load_samples

GAIN = 0.05
CHOSEN_FROM, DIFFERING = 9, 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--comparisons", type=int, default=1000, help="for each number of planes")
    args = parser.parse_args()
    model = load_model("nuclei")
    samples = [sample for sample in load_samples(args.data / "nuclei") if sample.part == "test"]
    true = [in_classes(sample.boxes, model.card.classes) for sample in samples]
    plain = [found(model, sample.image, mirrored=False) for sample in samples]
    other = [found(model, sample.image, mirrored=True) for sample in samples]
    classes = model.card.classes
    first, second = tally(plain, true, classes), tally(other, true, classes)
    print(f"{len(samples)} test images; F1 {f1(first):.3f}, mirrored {f1(second):.3f}")
    heads = ["equal: better or worse", "equal, the best of nine", "+0.05 F1: better", "+0.05 F1: worse"]
    print(f"{'planes':>7}", *(f"{head:>24}" for head in heads))
    rng = np.random.default_rng(0)
    for planes in (5, 10, 20, 50):
        false_alarms = chosen_alarms = detected = reversed_ = 0
        for seed in range(args.comparisons):
            drawn = rng.integers(0, len(samples), planes)
            swap = rng.random(planes) < 0.5
            old = np.where(swap[:, None, None], second[drawn], first[drawn])
            new = np.where(swap[:, None, None], first[drawn], second[drawn])
            false_alarms += compare(old, new, classes, seed).word in ("better", "worse")
            like_old = [rng.random(planes) < DIFFERING for _ in range(CHOSEN_FROM - 1)]
            others = [np.where(same[:, None, None], old, new) for same in like_old]
            chosen_alarms += compare(old, max([new, *others], key=f1), classes, seed).word in ("better", "worse")
            word = compare(lowered(old, rng), new, classes, seed).word
            detected += word == "better"
            reversed_ += word == "worse"
        counts = (false_alarms, chosen_alarms, detected, reversed_)
        print(f"{planes:7}", *(f"{100 * count / args.comparisons:22.1f} %" for count in counts), flush=True)


def found(model, image, *, mirrored: bool) -> Detections:
    """Run a model on an image or its mirror image; boxes are of the image as it is."""
    seen = np.ascontiguousarray(image[:, ::-1]) if mirrored else image
    boxes = predict_plane(model, ArrayPlane(seen), PredictSettings())
    if not mirrored:
        return boxes
    x0, y0, x1, y1 = boxes.boxes.T
    return replace(boxes, boxes=np.stack([image.shape[1] - x1, y0, image.shape[1] - x0, y1], axis=1))


def lowered(counts, rng):
    """Take found objects away until F1 is lower by `GAIN`; the boxes stay, but hit nothing."""
    hits, boxes, there = counts.sum(axis=(0, 1))
    lost = GAIN * (boxes + there) / 2 / max(hits, 1)
    less = counts.copy()
    less[..., 0] = rng.binomial(counts[..., 0], 1 - min(lost, 1))
    return less


def f1(counts) -> float:
    hits, boxes, there = counts.sum(axis=(0, 1))
    return 2 * hits / (boxes + there)


if __name__ == "__main__":
    main()
