"""How much of the base a model from a few images should keep: AP50 by the share of what was learnt.

    python benchmarks/mixing.py --domains "purple on white" bacteria --base-folder build/training --draw 5
    python benchmarks/mixing.py --domains "fluorescence large" --images 10 --draw 0 --held-out
    python benchmarks/mixing.py --extra FOLDER --domains hela cells3d --images 10 --draw 0 --held-out

A model is trained without being mixed with its base, then mixed in several shares. They are measured on six other images
that the annotator of `benchmarks/effort.py` works through, and not on those that it holds out; with ``--held-out`` on these.
``--extra`` takes the same pairs of images and masks as it does there.
"""

from __future__ import annotations

import argparse
import copy
from pathlib import Path

import numpy as np
from _annotator import renamed
from _domains import load_domains

from napari_localize.core.planes import ArrayPlane
from napari_localize.core.settings import PredictSettings, TrainSettings
from napari_localize.evaluation.metrics import summarize
from napari_localize.models.localizer import Model, load_model
from napari_localize.models.predict import FLOOR, predict_plane
from napari_localize.training.bundled import Sample
from napari_localize.training.mixing import mixture
from napari_localize.training.train import train_model

SHARES = (0.25, 0.5, 0.75, 1.0)
MEASURED = slice(3, 9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--extra", type=Path, help="folder with pairs of image and label mask")
    parser.add_argument("--domains", nargs="+", default=["fluorescence small", "purple on white", "bacteria"])
    parser.add_argument("--base-folder", type=Path, default=Path("build/training"))
    parser.add_argument("--images", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--draw", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--held-out", action="store_true", help="measure on the images that the streams hold out")
    args = parser.parse_args()
    if not args.held_out and max(args.images) > MEASURED.start:
        parser.error(f"more than {MEASURED.start} images need --held-out, as the others are measured on.")
    print("| kind | images | base alone |", " | ".join(f"{share:.0%}" for share in SHARES), "|")
    for domain in load_domains(args.domains, args.data, args.extra):
        path = args.base_folder / f"{domain.base}.safetensors"
        base = load_model(str(path), "cpu")
        order = np.random.default_rng(args.draw).permutation(len(domain.stream))
        others = domain.held_out if args.held_out else [domain.stream[index] for index in order[MEASURED]]
        for images in args.images:
            model = learned([domain.stream[index] for index in order[:images]], str(path), args.seconds)
            row = [ap50(base, others), *(ap50(mixed(base, model, share), others) for share in SHARES)]
            print(f"| {domain.name} | {images} |", " | ".join(f"{value:.3f}" for value in row), "|", flush=True)


def learned(samples: list[Sample], base: str, seconds: float) -> Model:
    """Train on images, and leave out the mixture with the base."""
    settings = TrainSettings(base=base, device="cpu", seconds=seconds, recipe={"average": False})
    planes = [ArrayPlane(sample.image) for sample in samples]
    names = [sample.file_name for sample in samples]
    return train_model(planes, [sample.boxes for sample in samples], settings, names=names).model


def mixed(base: Model, model: Model, share: float) -> Model:
    """Return a model with a share of what was learnt."""
    network = copy.deepcopy(model.network)
    network.load_state_dict(mixture(base.network.state_dict(), model.network.state_dict(), share))
    return Model(network, model.card, "cpu")


def ap50(model: Model, samples: list[Sample]) -> float:
    """Measure a model on images, by their class."""
    settings = PredictSettings(threshold=FLOOR)
    found = [renamed(predict_plane(model, ArrayPlane(one.image), settings), one.boxes.class_names) for one in samples]
    return float(np.nan_to_num(summarize(found, [one.boxes for one in samples])["AP50"]))


if __name__ == "__main__":
    main()
