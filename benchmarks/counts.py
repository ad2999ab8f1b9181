"""How often the interval of a count holds the true count.

    python benchmarks/counts.py --data ../shared/data

The bundled models run on the test images; so many of these, drawn at random, are taken for reviewed, and the total of all
is estimated. Repeated with other draws, also in sets of 300 images drawn with replacement. `generalist` has seen the kind
of images in training as the others have; it makes more mistakes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from napari_localize.core.planes import ArrayPlane
from napari_localize.core.settings import PredictSettings
from napari_localize.evaluation.estimates import estimate_total
from napari_localize.models.localizer import load_model
from napari_localize.models.predict import predict_plane
from napari_localize.training.bundled import load_samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--repeats", type=int, default=1000)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    print(f"{'model':>11} {'data':>7} {'planes':>6} {'reviewed':>8} {'holds':>7} {'width':>6}")
    for name, folder in (("nuclei", "nuclei"), ("generalist", "nuclei"), ("blood", "blood")):
        model = load_model(name)
        samples = [sample for sample in load_samples(args.data / folder) if sample.part == "test"]
        found = np.array([len(predict_plane(model, ArrayPlane(one.image), PredictSettings())) for one in samples])
        true = np.array([len(one.boxes) for one in samples], float)
        for planes in (len(samples), 300):
            for reviewed in (10, 20, 40):
                held, widths = 0, []
                for _ in range(args.repeats):
                    drawn = rng.permutation(planes) if planes == len(samples) else rng.integers(0, len(samples), planes)
                    known = np.where(np.arange(planes) < reviewed, true[drawn], np.nan)
                    answer = estimate_total(found[drawn], known)
                    total = true[drawn].sum()
                    held += answer.low <= total <= answer.high
                    widths.append((answer.high - answer.low) / total)
                share = f"{100 * held / args.repeats:.1f} %"
                print(f"{name:>11} {folder:>7} {planes:6} {reviewed:8} {share:>7} {np.median(widths):6.2f}", flush=True)


if __name__ == "__main__":
    main()
