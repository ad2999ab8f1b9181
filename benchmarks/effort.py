"""How much work it takes to teach a new kind of image: corrections, images, seconds.

    python benchmarks/effort.py --data ../shared/data --base nuclei --images 3 10 --draws 5
    python benchmarks/effort.py --data ../shared/data --base nuclei --stream 10

The first form trains on so many annotated images, drawn by chance so that every class is there, and measures on the test
images of the domain. The second one is a simulated annotator: on each image of a stream the model predicts, every error
is corrected (a box added, deleted, moved where the IoU is below 0.5, or given another class: one correction each), and
the model is retrained from all images so far. The base must not have seen the domain. Peers learn from the same images
for as many seconds: this network from scratch, and torchvision's FCOS and Faster R-CNN (MobileNetV3) from random weights,
as theirs cannot be downloaded everywhere. Parts that are done are read from the file of results and not done again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torchvision.models import detection

from napari_localize.core.detections import Detections
from napari_localize.core.planes import ArrayPlane
from napari_localize.core.settings import PredictSettings, TrainSettings
from napari_localize.evaluation.matching import match_boxes, overlaps
from napari_localize.evaluation.metrics import best_threshold, summarize
from napari_localize.models.localizer import load_model
from napari_localize.models.predict import FLOOR, predict_plane
from napari_localize.training.bundled import Sample, load_samples
from napari_localize.training.train import train_model

Predict = Callable[[np.ndarray], Detections]
PEERS = {
    "FCOS": lambda classes: detection.fcos_resnet50_fpn(weights=None, weights_backbone=None, num_classes=classes + 1),
    "Faster R-CNN": lambda classes: detection.fasterrcnn_mobilenet_v3_large_fpn(
        weights=None, weights_backbone=None, num_classes=classes + 1
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--domain", default="blood", choices=["blood", "nuclei"])
    parser.add_argument("--base", default="nuclei", help="name or file of a model that has not seen the domain")
    parser.add_argument("--images", type=int, nargs="*", default=[3, 10])
    parser.add_argument("--stream", type=int, default=0, help="length of the stream of the simulated annotator")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument(
        "--methods", nargs="*", default=["ours", "scratch", *PEERS], choices=["ours", "scratch", *PEERS]
    )
    parser.add_argument("--part", default="test", choices=["test", "validation"])
    parser.add_argument("--results", type=Path, default=Path("build/effort.jsonl"))
    args = parser.parse_args()
    samples = load_samples(args.data / args.domain)
    learn = [sample for sample in samples if sample.part == "train"]
    test = [sample for sample in samples if sample.part == args.part]
    done = read_results(args.results)
    for draw in range(args.draws):
        for method in args.methods:
            settings = {"domain": args.domain, "base": args.base, "seconds": args.seconds, "part": args.part}
            for number in args.images if not args.stream else [args.stream]:
                key = {**settings, "method": method, "draw": draw, "images": number, "stream": bool(args.stream)}
                if key in [{name: row[name] for name in key} for row in done]:
                    continue
                chosen = drawn(learn, number, draw)
                row = stream(method, chosen, args) if args.stream else learned(method, chosen, test, args)
                done.append({**key, **row})
                args.results.parent.mkdir(parents=True, exist_ok=True)
                with args.results.open("a") as file:
                    file.write(json.dumps(done[-1]) + "\n")
    chosen = [row for row in done if row["stream"] == bool(args.stream) and row["domain"] == args.domain]
    print_table([row for row in chosen if row["base"] == args.base and row["part"] == args.part])


def read_results(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def drawn(samples: list[Sample], number: int, draw: int) -> list[Sample]:
    """Draw images until every class is there."""
    rng = np.random.default_rng(draw)
    wanted = set(np.unique(np.concatenate([sample.boxes.labels for sample in samples])).tolist())
    while True:
        chosen = [samples[index] for index in rng.choice(len(samples), number, replace=False)]
        if set(np.concatenate([sample.boxes.labels for sample in chosen]).tolist()) == wanted:
            return chosen


def learned(method: str, chosen: list[Sample], test: list[Sample], args: argparse.Namespace) -> dict:
    began = time.monotonic()
    predict = train(method, chosen, args)
    seconds = time.monotonic() - began
    found, true = [predict(sample.image) for sample in test], [sample.boxes for sample in test]
    measured = summarize(found, true)
    threshold = best_threshold(found, true)
    f1 = summarize([boxes[boxes.scores >= threshold] for boxes in found], true)["F1"]
    row = {"AP50": measured["AP50"], "AP": measured["AP"], "F1": f1, "spent": seconds}
    print(method, args.base, len(chosen), {name: round(value, 3) for name, value in row.items()}, flush=True)
    return row


def stream(method: str, chosen: list[Sample], args: argparse.Namespace) -> dict:
    """Go through images as a person would; return the corrections on each."""
    predict = start(method, args)
    made = []
    for number, sample in enumerate(chosen, start=1):
        found = predict(sample.image) if predict is not None else Detections.empty(sample.boxes.class_names)
        made.append(corrections(found, sample.boxes))
        if number < len(chosen):
            predict = train(method, chosen[:number], args)
    print(method, made, flush=True)
    return {"corrections": made}


def corrections(found: Detections, true: Detections) -> int:
    """Count what a person does to make the boxes right: those that overlap too little are moved, not made anew."""
    none, nothing = np.zeros(len(found), np.int64), np.zeros(len(true), np.int64)
    hits = match_boxes(found.boxes, none, found.scores, true.boxes, nothing, 0.5)
    right = match_boxes(
        found.boxes, found.with_classes(true.class_names).labels, found.scores, true.boxes, true.labels, 0.5
    )
    reclassed = int(hits.sum() - right.sum())
    spare = found[~hits]
    rows, columns, _ = overlaps(spare.boxes, true.boxes, 0.1)
    missed, extra = len(true) - int(hits.sum()), len(spare)
    moved = min(len(set(rows.tolist())), len(set(columns.tolist())), missed, extra)
    return reclassed + moved + (missed - moved) + (extra - moved)


def start(method: str, args: argparse.Namespace) -> Predict | None:
    """What is known before the first image: of ours, where objects are."""
    return ours(load_model(args.base), None) if method == "ours" else None


def train(method: str, chosen: list[Sample], args: argparse.Namespace) -> Predict:
    if method in PEERS:
        return peer(method, chosen, args.seconds)
    settings = TrainSettings(base=args.base if method == "ours" else None, seconds=args.seconds)
    planes, boxes = [ArrayPlane(sample.image) for sample in chosen], [sample.boxes for sample in chosen]
    return ours(train_model(planes, boxes, settings).model, FLOOR if not args.stream else None)


def ours(model, threshold: float | None) -> Predict:
    return lambda image: predict_plane(model, ArrayPlane(image), PredictSettings(threshold=threshold))


def peer(method: str, chosen: list[Sample], seconds: float) -> Predict:
    """Train a detector of torchvision as its reference scripts do: SGD, flips, a warm-up and a fall to zero."""
    names = chosen[0].boxes.class_names
    torch.manual_seed(0)
    model = PEERS[method](len(names)).train()
    optimizer = torch.optim.SGD(model.parameters(), 0.005, momentum=0.9, weight_decay=5e-4)
    rng, began, fraction = np.random.default_rng(0), time.monotonic(), 0.0
    while (fraction := (time.monotonic() - began) / seconds) < 1:
        optimizer.param_groups[0]["lr"] = 0.005 * min(1.0, fraction * 10) * (1 - fraction)
        images, targets = [], []
        for index in rng.integers(0, len(chosen), 2):
            image, boxes = as_tensor(chosen[index].image), torch.from_numpy(chosen[index].boxes.boxes.copy())
            if rng.random() < 0.5:
                image = image.flip(-1)
                boxes[:, [0, 2]] = image.shape[-1] - boxes[:, [2, 0]]
            images.append(image)
            targets.append({"boxes": boxes, "labels": torch.from_numpy(chosen[index].boxes.labels) + 1})
        loss = sum(model(images, targets).values())
        optimizer.zero_grad()
        if torch.isfinite(loss):
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimizer.step()
    model.eval()

    @torch.inference_mode()
    def predict(image: np.ndarray) -> Detections:
        (answer,) = model([as_tensor(image)])
        labels = answer["labels"].numpy() - 1
        return Detections(answer["boxes"].numpy(), labels, answer["scores"].numpy(), class_names=names)

    return predict


def as_tensor(image: np.ndarray) -> torch.Tensor:
    pixels = torch.from_numpy(np.ascontiguousarray(image)).float() / 255
    return pixels.expand(3, -1, -1) if pixels.ndim == 2 else pixels[..., :3].permute(2, 0, 1)


def print_table(rows: list[dict]) -> None:
    if not rows:
        return
    if rows[0]["stream"]:
        print(f"{'method':>14} corrections on each image (mean over draws), and in all")
        for method in dict.fromkeys(row["method"] for row in rows):
            made = np.array([row["corrections"] for row in rows if row["method"] == method])
            print(f"{method:>14} {np.round(made.mean(axis=0), 1).tolist()} {made.sum(axis=1).mean():.0f}")
        return
    print(f"{'method':>14} {'images':>6} {'draws':>5} {'AP50':>15} {'F1':>15} {'seconds':>8}")
    for method, number in dict.fromkeys((row["method"], row["images"]) for row in rows):
        mine = [row for row in rows if (row["method"], row["images"]) == (method, number)]
        cells = []
        for name in ("AP50", "F1"):
            values = np.array([row[name] for row in mine])
            cells.append(f"{values.mean():.3f} +- {values.std():.3f}")
        spent = np.median([row["spent"] for row in mine])
        print(f"{method:>14} {number:>6} {len(mine):>5} {cells[0]:>15} {cells[1]:>15} {spent:>8.0f}")


if __name__ == "__main__":
    main()
