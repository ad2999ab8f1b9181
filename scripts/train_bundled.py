"""Train one of the bundled models; stop it at any time and start it again, it goes on where it was.

python scripts/train_bundled.py nuclei --data ../shared/data

With --calibrate nothing is trained: what the scores of a bundled model mean is learnt from the validation images, and put
beside the weights, which stay as they are.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

from napari_localize.core.files import atomic_path
from napari_localize.models.card import BUNDLED, CALIBRATIONS, bundled_calibrations
from napari_localize.models.device import pick_device
from napari_localize.models.heatmap.network import HeatmapNetwork, NetworkConfig
from napari_localize.models.localizer import Model, load_model
from napari_localize.models.registry import list_models
from napari_localize.training import bundled
from napari_localize.training.optimise import Optimisation
from napari_localize.training.train import start_from

CHECKPOINT_SECONDS = 120
REPORT_STEPS = 50


def main() -> int:
    """Train what the model starts from where that is missing, then the model itself."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=sorted(bundled.RECIPES))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    parser.add_argument("--work", type=Path, default=Path("build/training"), help="where checkpoints and models go")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--version", type=int, default=1, help="of the model that is written")
    parser.add_argument("--calibrate", action="store_true", help="only calibrate the bundled model")
    args = parser.parse_args()
    if args.calibrate:
        return _calibrate(args.name, args.data)
    args.work.mkdir(parents=True, exist_ok=True)
    model = _train(args.name, args)
    target = args.work / f"{args.name}.safetensors"
    model.save(target, overwrite=True)
    print(json.dumps({"model": str(target), "threshold": model.card.threshold, **model.card.metrics}, indent=2))
    return 0


def _calibrate(name: str, data: Path) -> int:
    model = load_model(name, device="cpu")
    recipe = bundled.RECIPES[name]
    samples = [sample for folder in recipe.folders for sample in bundled.load_samples(data / folder)]
    kept_back = [sample for sample in samples if sample.sized and sample.part == "validation"]
    calibration = bundled.calibration_on(model, kept_back)
    if calibration is None:
        print("too few boxes to calibrate from", file=sys.stderr)
        return 1
    known = {**bundled_calibrations(), model.card.reference: calibration}
    text = json.dumps({key: known[key].model_dump(mode="json") for key in sorted(known)}, indent=1)
    with atomic_path(BUNDLED / CALIBRATIONS, overwrite=True) as temporary:
        temporary.write_text(text + "\n")
    print(f"{model.card.reference}: {calibration.sentence}")
    return 0


def _finished(checkpoint: Path, steps: int) -> bool:
    return checkpoint.exists() and int(torch.load(checkpoint, weights_only=True, mmap=True)["steps"]) >= steps


def _start(name: str, args: argparse.Namespace) -> HeatmapNetwork:
    """Return what a model starts from: trained here before, bundled, or trained now."""
    checkpoint = args.work / f"{name}.pt"
    if not _finished(checkpoint, bundled.RECIPES[name].steps):
        if name in {entry.name for entry in list_models() if entry.bundled}:
            return load_model(name, device="cpu").network
        _train(name, args)
    network = HeatmapNetwork(NetworkConfig(classes=len(bundled.RECIPES[name].classes)))
    network.load_state_dict(torch.load(checkpoint, weights_only=True)["average"])
    return network


def _train(name: str, args: argparse.Namespace) -> Model:
    """Train what a model starts from where that is missing, then the model, saving a checkpoint every two minutes."""
    recipe = bundled.RECIPES[name]
    start = None if recipe.start is None else _start(recipe.start, args)
    device, sentence = pick_device(args.device)
    parts = bundled.load_parts(recipe, args.data)
    boxes = sum(len(plane.boxes) for plane in parts.train)
    print(f"{name}: {len(parts.train)} planes with {boxes} boxes. {sentence}", file=sys.stderr)

    checkpoint = args.work / f"{name}.pt"
    torch.manual_seed(0)
    network = HeatmapNetwork(NetworkConfig(classes=len(recipe.classes)))
    if start is not None and not checkpoint.exists():
        start_from(network, recipe.classes, start, bundled.RECIPES[recipe.start].classes)
    with Optimisation(network, parts.train, recipe.optimise, device, seed=0) as training:
        if checkpoint.exists():
            training.restore(torch.load(checkpoint, weights_only=True, map_location=device))
            print(f"going on from step {training.steps}", file=sys.stderr)
        saved, losses, began = time.monotonic(), [], time.monotonic()
        while training.steps < recipe.steps:
            losses.append(training.step(training.steps / recipe.steps))
            if training.steps % REPORT_STEPS == 0:
                pace = (time.monotonic() - began) / REPORT_STEPS
                print(f"step {training.steps} loss {np.mean(losses):.3f} {pace:.2f} s a step", file=sys.stderr)
                losses, began = [], time.monotonic()
            if time.monotonic() - saved > CHECKPOINT_SECONDS or training.steps == recipe.steps:
                temporary = checkpoint.with_suffix(".part")
                torch.save(training.state(), temporary)
                temporary.replace(checkpoint)
                saved = time.monotonic()
        kept = training.average
    return bundled.finish(name, kept, parts, training.steps, args.version)


if __name__ == "__main__":
    raise SystemExit(main())
