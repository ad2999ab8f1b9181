"""Train one of the bundled models; stop it at any time and start it again, it goes on where it was.

    python scripts/train_bundled.py nuclei --data ../shared/data
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch

from napari_localize.models.device import pick_device
from napari_localize.models.heatmap.network import HeatmapNetwork, NetworkConfig
from napari_localize.training import bundled
from napari_localize.training.optimise import Optimisation

CHECKPOINT_SECONDS = 120
REPORT_STEPS = 50


def main() -> int:
    """Train, save a checkpoint every two minutes and the model at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(bundled.RECIPES))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    parser.add_argument("--work", type=Path, default=Path("build/training"), help="where checkpoints go")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--steps", type=int, help="instead of the number in the recipe")
    args = parser.parse_args()

    recipe = bundled.RECIPES[args.name]
    steps = args.steps or recipe.steps
    device, sentence = pick_device(args.device)
    print(sentence, file=sys.stderr)
    parts = bundled.load_parts(recipe, args.data)
    for part, planes in parts.items():
        boxes = sum(len(plane.boxes) for plane in planes)
        print(f"{part}: {len(planes)} planes, {boxes} boxes", file=sys.stderr)

    torch.manual_seed(0)
    network = HeatmapNetwork(NetworkConfig(classes=len(recipe.classes)))
    start = args.work / f"{recipe.start}.pt" if recipe.start else None
    args.work.mkdir(parents=True, exist_ok=True)
    checkpoint = args.work / f"{args.name}.pt"
    if start is not None and not checkpoint.exists():
        bundled.copy_matching(network, torch.load(start, weights_only=True)["average"])
    with Optimisation(network, parts["train"], recipe.optimise, device, seed=0) as training:
        if checkpoint.exists():
            training.restore(torch.load(checkpoint, weights_only=True, map_location=device))
            print(f"going on from step {training.steps}", file=sys.stderr)
        saved, losses, began = time.monotonic(), [], time.monotonic()
        while training.steps < steps:
            losses.append(training.step(training.steps / steps))
            if training.steps % REPORT_STEPS == 0:
                pace = (time.monotonic() - began) / REPORT_STEPS
                print(f"step {training.steps} loss {np.mean(losses):.3f} {pace:.2f} s a step", file=sys.stderr)
                losses, began = [], time.monotonic()
            if time.monotonic() - saved > CHECKPOINT_SECONDS or training.steps == steps:
                temporary = checkpoint.with_suffix(".part")
                torch.save(training.state(), temporary)
                temporary.replace(checkpoint)
                saved = time.monotonic()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
