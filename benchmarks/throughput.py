"""Images per second, beside torchvision's RetinaNet and Faster R-CNN with ResNet-50, in turn in one run.

    python benchmarks/throughput.py [--device cuda]

Ours is the whole way from an array to boxes: intensities, tiles, network, merging, at the image's own resolution.
Theirs is the call of the detector with its input size set to the image's, so that nothing is rescaled; their weights
are random, as only time is measured. Medians over the repetitions, and how many times as long theirs take.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from torchvision.models import detection

from napari_localize.core.planes import ArrayPlane
from napari_localize.core.settings import PredictSettings
from napari_localize.models.device import pick_device
from napari_localize.models.localizer import load_model
from napari_localize.models.predict import predict_plane
from napari_localize.training.simulate import simulate

PEERS = {"RetinaNet": detection.retinanet_resnet50_fpn, "Faster R-CNN": detection.fasterrcnn_resnet50_fpn}


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024, 4096])
    parser.add_argument("--seconds", type=float, default=20.0, help="for each size and detector, at least one image")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--model", default="nuclei")
    args = parser.parse_args()
    device, sentence = pick_device(args.device)
    print(sentence, f"torch {torch.__version__}, {torch.get_num_threads()} threads", file=sys.stderr)
    model = load_model(args.model, args.device)
    native = PredictSettings(object_diameter=model.card.object_diameter)
    rows = []
    for size in args.sizes:
        image = _image(size)
        tensor = torch.from_numpy(image).permute(2, 0, 1).float().div(255).to(device)
        calls: dict[str, Callable[[], Any]] = {
            "napari-localize": lambda image=image: predict_plane(model, ArrayPlane(image), native)
        }
        for name, build in PEERS.items():
            peer = build(weights=None, weights_backbone=None, min_size=size, max_size=size).eval().to(device)
            calls[name] = lambda peer=peer, tensor=tensor: peer([tensor])
        medians = _medians(calls, args.seconds, device)
        print(size, {name: f"{1000 * seconds:.0f} ms" for name, seconds in medians.items()}, file=sys.stderr)
        rows += [
            {
                "pixels": size,
                "detector": name,
                "ms": 1000 * seconds,
                "images/s": 1 / seconds,
                "times ours": seconds / medians["napari-localize"],
            }
            for name, seconds in medians.items()
        ]
    print(pd.DataFrame(rows).round({"ms": 0, "images/s": 2, "times ours": 1}).to_string(index=False))
    return 0


def _image(size: int) -> np.ndarray[Any, Any]:
    tile = simulate(5).image[:256, :256]
    return np.tile(tile, (-(-size // 256), -(-size // 256), 1))[:size, :size]


@torch.inference_mode()
def _medians(calls: dict[str, Callable[[], Any]], seconds: float, device: torch.device) -> dict[str, float]:
    """Seconds a call; the detectors take turns, so that a slow moment of the machine meets them all."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    spent = dict.fromkeys(calls, 0.0)
    first = True
    while min(spent.values()) < seconds:
        for name, call in calls.items():
            if spent[name] >= seconds:
                continue
            began = time.perf_counter()
            call()
            if device.type == "cuda":
                torch.cuda.synchronize()
            took = time.perf_counter() - began
            spent[name] += took
            if not first or took > seconds:
                times[name].append(took)
        first = False
    return {name: statistics.median(values) for name, values in times.items()}


if __name__ == "__main__":
    raise SystemExit(main())
