"""How far the scores of the bundled models are from the share of boxes that is right, before and after calibration.

    python benchmarks/calibration.py --data ../shared/data

The curves come from the validation images (`scripts/train_bundled.py NAME --calibrate`), the errors from the test images:
the expected calibration error over ten bins of equal mass. Boxes with so low a score that they are all wrong are left out,
two boxes are looked at for each right one; with them any model would look perfect.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_localize.evaluation.calibration import Judged, probability
from napari_localize.evaluation.reliability import calibration_error
from napari_localize.models.card import read_card
from napari_localize.models.localizer import load_model
from napari_localize.models.registry import find_model
from napari_localize.training.bundled import in_classes, load_samples, predict_samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    args = parser.parse_args()
    print(f"{'model':>11} {'data':>7} {'class':>10} {'boxes':>6} {'before':>7} {'after':>7}")
    for name, folder in (("nuclei", "nuclei"), ("generalist", "nuclei"), ("generalist", "blood"), ("blood", "blood")):
        model, calibration = load_model(name), read_card(find_model(name)).calibration
        samples = [sample for sample in load_samples(args.data / folder) if sample.part == "test"]
        true = [in_classes(sample.boxes, model.card.classes) for sample in samples]
        judged = Judged(predict_samples(model, samples), true)
        used = judged.relevant()
        chances = probability(judged.scores, judged.names, calibration)
        for label in ("all", *model.card.classes) if len(model.card.classes) > 1 else ("all",):
            mine = used & ((judged.names == label) | (label == "all"))
            before, after = (calibration_error(said[mine], judged.right[mine]) for said in (judged.scores, chances))
            row = f"{name:>11} {folder:>7} {label:>10} {mine.sum():6}"
            print(f"{row} {100 * before:5.1f} % {100 * after:5.1f} %", flush=True)


if __name__ == "__main__":
    main()
