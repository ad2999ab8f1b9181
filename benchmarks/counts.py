"""How often the interval of a count holds the true count.

    python benchmarks/counts.py --data ../shared/data
    python benchmarks/counts.py --simulate

The bundled models run on the test images; so many of these, drawn at random, are taken for reviewed, and the total of all
is estimated, for each class, too. Repeated with other draws, also in sets of 300 images drawn with replacement.
`generalist` has seen the kind of images in training as the others have; it makes more mistakes.

With --simulate no model runs: planes have numbers of objects from a negative binomial distribution, and how many of these
are found, and how much else, differs from plane to plane.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_localize.evaluation.estimates import estimate_total

REVIEWED = (10, 20, 40)

Counts = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Found and true numbers, by plane."""


class Setting(NamedTuple):
    """How simulated planes are.

    Attributes
    ----------
    objects, shape : float
        Mean number on a plane, and how alike the planes are: with 3 some have twice the mean, with 0.5 most have few
        and a few hold most.
    missed : float
        By how much the share that is found differs: the mean is 85 %, 0 is all alike, 0.2 some planes almost nothing.
    wrong : float
        Mean number of boxes with nothing in them.
    crowding : float
        Share that is missed in addition on planes with 200 objects.
    """

    objects: float
    shape: float
    missed: float
    wrong: float
    crowding: float = 0.0


SETTINGS = {
    "planes alike": Setting(30, 3, 0, 2),
    "planes differ": Setting(30, 0.6, 0.08, 2),
    "crowds missed": Setting(40, 0.7, 0.12, 1, 0.3),
    "few objects": Setting(2.5, 1, 0.05, 0.4),
    "bad model": Setting(15, 2, 0.2, 4),
    "few hold most": Setting(60, 0.5, 0.15, 1),
}


def simulated(setting: Setting, planes: int, rng: np.random.Generator) -> Counts:
    """Draw planes."""
    true = rng.negative_binomial(setting.shape, setting.shape / (setting.shape + setting.objects), planes)
    share = np.full(planes, 0.85)
    if setting.missed:
        strength = 1 / setting.missed - 1
        share = rng.beta(0.85 * strength, 0.15 * strength, planes)
    share = np.clip(share - setting.crowding * np.minimum(true / 200, 1), 0, 1)
    found = rng.binomial(true, share) + rng.negative_binomial(1, 1 / (1 + setting.wrong), planes)
    return found.astype(float), true.astype(float)


def report(titles: tuple[str, ...], planes: int, draw: Callable[[np.random.Generator], Counts], repeats: int) -> None:
    """Print how often the interval holds, for each number of reviewed planes."""
    for reviewed in REVIEWED:
        rng = np.random.default_rng(0)
        below = above = 0
        widths = []
        for _ in range(repeats):
            found, true = draw(rng)
            answer = estimate_total(found, np.where(np.arange(planes) < reviewed, true, np.nan))
            total = true.sum()
            below += total < answer.low
            above += total > answer.high
            widths.append((answer.high - answer.low) / max(total, 1))
        share = f"{100 - 100 * (below + above) / repeats:.1f} %"
        row = " ".join(f"{title:>14}" for title in titles)
        print(f"{row} {planes:6} {reviewed:8} {share:>7} {100 * np.median(widths):5.0f} %", flush=True)


def simulate(repeats: int) -> None:
    """Report on simulated planes."""
    print(f"{'planes':>14} {'planes':>6} {'reviewed':>8} {'holds':>7} {'width':>7}")
    for name, setting in SETTINGS.items():
        for planes in (82, 300):
            report(
                (name,), planes, lambda rng, setting=setting, planes=planes: simulated(setting, planes, rng), repeats
            )


def real(data: Path, repeats: int) -> None:
    """Report on the test images."""
    from napari_localize.core.planes import ArrayPlane
    from napari_localize.core.settings import PredictSettings
    from napari_localize.models.localizer import load_model
    from napari_localize.models.predict import predict_plane
    from napari_localize.training.bundled import in_classes, load_samples

    print(f"{'model':>14} {'data':>14} {'class':>14} {'planes':>6} {'reviewed':>8} {'holds':>7} {'width':>7}")
    for name, folder in (("nuclei", "nuclei"), ("generalist", "nuclei"), ("blood", "blood")):
        model = load_model(name)
        classes = tuple(model.card.classes)
        samples = [sample for sample in load_samples(data / folder) if sample.part == "test"]
        parts = [predict_plane(model, ArrayPlane(one.image), PredictSettings()) for one in samples]
        truth = [in_classes(one.boxes, classes) for one in samples]
        found, true = (np.array([list(one.counts().values()) for one in side], float) for side in (parts, truth))
        for column in (None, *range(len(classes))) if len(classes) > 1 else (None,):
            ours, theirs = (side.sum(axis=1) if column is None else side[:, column] for side in (found, true))
            for planes in (len(samples), 300):

                def draw(
                    rng: np.random.Generator,
                    ours: NDArray[np.float64] = ours,
                    theirs: NDArray[np.float64] = theirs,
                    planes: int = planes,
                ) -> Counts:
                    whole = planes == len(ours)
                    drawn = rng.permutation(planes) if whole else rng.integers(0, len(ours), planes)
                    return ours[drawn], theirs[drawn]

                report((name, folder, "all" if column is None else classes[column]), planes, draw, repeats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--simulate", action="store_true", help="run no model")
    parser.add_argument("--repeats", type=int, default=1000)
    args = parser.parse_args()
    if args.simulate:
        simulate(args.repeats)
    else:
        real(args.data, args.repeats)


if __name__ == "__main__":
    main()
