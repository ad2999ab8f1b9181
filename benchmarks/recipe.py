"""What a part of the recipe brings: trainings of a fixed number of steps, measured on the validation images.

    python benchmarks/recipe.py --data ../shared/data --base nuclei --images 3 --draw 0 --steps 280 side=160
    python benchmarks/recipe.py --data ../shared/data --base nuclei --images 3 --draw 0 --steps 110 side=256 diameters=16,50

Steps instead of seconds, so that a busy computer changes nothing; a step on crops of 160 pixels costs 0.4 of one on 256.
Parts are fields of `Recipe` and `CropRecipe`; `head_steps` is the number of steps that the last layers learn alone before,
`object_diameter` the size at which objects are looked for. The model remembers the size of its images' objects.
The model is the last one, not the best of several checks. One thread is used, and the time that it took is said.
"""

from __future__ import annotations

import argparse
import copy
import time
from ast import literal_eval
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import torch
from _annotator import drawn

from napari_localize.core.planes import ArrayPlane
from napari_localize.core.settings import PredictSettings
from napari_localize.evaluation.metrics import summarize
from napari_localize.models.heatmap.network import HeatmapNetwork
from napari_localize.models.localizer import Model, load_model
from napari_localize.models.predict import FLOOR, predict_plane
from napari_localize.training.bundled import Sample, load_samples
from napari_localize.training.heads import HeadFirst
from napari_localize.training.learning import start_from, usual_diameters
from napari_localize.training.optimise import Optimisation, Recipe
from napari_localize.training.planes import read_training_plane
from napari_localize.training.recipes import FINE_TUNE, FINE_TUNE_DIAMETER


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--domain", default="blood", choices=["blood", "nuclei"])
    parser.add_argument("--base", default="nuclei", help="name or file of a model that has not seen the domain")
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--draw", type=int, default=0)
    parser.add_argument("--steps", type=int, default=280)
    parser.add_argument("parts", nargs="*", metavar="PART=VALUE", help="such as side=160 freeze_norm=True")
    args = parser.parse_args()
    torch.set_num_threads(1)
    samples = load_samples(args.data / args.domain)
    chosen = drawn([sample for sample in samples if sample.part == "train"], args.images, args.draw)
    parts = {name: literal_eval(value) for name, _, value in (part.partition("=") for part in args.parts)}
    began = time.process_time()
    head_steps = parts.pop("head_steps", 0)
    diameter = parts.pop("object_diameter", FINE_TUNE_DIAMETER)
    model = learned(args.base, chosen, with_parts(FINE_TUNE, parts), args.steps, head_steps, diameter)
    spent = time.process_time() - began
    test = [sample for sample in samples if sample.part == "validation"]
    settings = PredictSettings(threshold=FLOOR)
    found = [predict_plane(model, ArrayPlane(sample.image), settings) for sample in test]
    true = [sample.boxes for sample in test]
    by_class = {
        name: summarize([boxes[boxes.labels == index] for boxes in found], [b[b.labels == index] for b in true])["AP50"]
        for index, name in enumerate(model.card.classes)
    }
    measured = summarize(found, true)
    classes = ", ".join(f"{name} {value:.3f}" for name, value in by_class.items())
    print(
        f"{' '.join(args.parts)} AP50 {measured['AP50']:.3f} AP {measured['AP']:.3f} ({classes}), {spent:.0f} s of one core"
    )


def with_parts(recipe: Recipe, parts: dict) -> Recipe:
    own = {field.name for field in fields(Recipe)}
    crops = replace(recipe.crops, **{name: value for name, value in parts.items() if name not in own})
    return replace(recipe, crops=crops, **{name: value for name, value in parts.items() if name in own})


def learned(
    base_name: str, chosen: list[Sample], recipe: Recipe, steps: int, head_steps: int, diameter: float
) -> Model:
    base = load_model(base_name, "cpu")
    classes = chosen[0].boxes.class_names
    network = HeatmapNetwork(base.network.config.model_copy(update={"classes": len(classes)}))
    start_from(network, classes, base.network, tuple(base.card.classes))
    planes = [read_training_plane(ArrayPlane(sample.image), sample.boxes, 32.0) for sample in chosen]
    with Optimisation(network, planes, recipe, torch.device("cpu"), 0) as training:
        if head_steps:
            heads = HeadFirst(training)
            while not heads.ready:
                heads.look()
            losses = [heads.step(step / head_steps) for step in range(head_steps)]
            print(f"Heads alone: loss {np.mean(losses[:10]):.3f} to {np.mean(losses[-10:]):.3f}")
            heads.finish()
        for step in range(steps):
            training.step(step / steps)
    known = {"classes": list(classes), "object_diameter": diameter, "usual_diameters": usual_diameters(planes)}
    return Model(copy.deepcopy(training.average), base.card.model_copy(update=known), "cpu")


if __name__ == "__main__":
    main()
