"""Teach by example: how much of an image is found from a few boxes.

    python benchmarks/teach.py --model without-blood.safetensors --domain blood --peers --ceiling blood
    python benchmarks/teach.py --model without-nuclei.safetensors --domain nuclei --every 2 --draws 1 --peers
    python benchmarks/teach.py --model without-nuclei.safetensors --domain phase-contrast --extra FOLDER --every 4

On each test image with at least 8 objects of the class, 1 to 5 boxes are drawn by chance; then everything that is
proposed at the automatic cut is taken, beside the boxes drawn. F1 (IoU 0.5) of the image, mean over images and draws, and
how it changes when one more correct box is drawn. The model must not have seen the domain: train one with
``scripts/train_bundled.py without-blood`` (or ``without-nuclei``).

Beside it, with ``--peers``, scikit-image's `match_template` (the drawn boxes as templates, the cut half way between the
examples' own agreement and the median) and Laplacian of Gaussian (size and polarity from the boxes); and with
``--ceiling MODEL`` a model that has been trained on the very domain, at its best threshold for these images: where not
all objects have a box in the annotations, nothing gets to 1.

Domains: ``blood`` (red cells), ``nuclei``, the project's sample images ``bacteria`` and ``tissue``, and with ``--extra FOLDER``
pairs of image and label mask; `benchmarks/effort.py` tells where some can be had.

With ``--calibrate`` it prints the weights of the evidence, from the training images of the domain.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from _domains import SHIPPED, extra_names, load_extra, load_shipped
from skimage.color import rgb2gray
from skimage.feature import blob_log, match_template, peak_local_max
from skimage.transform import resize
from torchvision.ops import box_iou, nms

from napari_localize.core.detections import Detections
from napari_localize.core.planes import ArrayPlane
from napari_localize.core.settings import PredictSettings
from napari_localize.evaluation.matching import match_boxes
from napari_localize.models import exemplars
from napari_localize.models.exemplars import Lesson, Look, diameter_of, find_alike, look, weigh
from napari_localize.models.localizer import load_model
from napari_localize.models.predict import FLOOR, predict_plane
from napari_localize.training.bundled import load_samples

CLASSES = {"blood": "RBC", "nuclei": "nucleus"}
"""Folders of the data that have parts to train and to test on, and the class that is taught."""

FEWEST = 8
EXAMPLES = (1, 2, 3, 4, 5)
PEER_EXAMPLES = (1, 3, 5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", required=True, help="name or file; it must not have seen the domain")
    parser.add_argument("--domain", default="blood")
    parser.add_argument("--extra", type=Path, help="folder with pairs NAME_img.tif, NAME_mask.tif")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--every", type=int, default=1, help="only every so many images")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--ceiling", help="name or file of a model that was trained on the domain")
    parser.add_argument("--calibrate", action="store_true")
    args = parser.parse_args()
    model = load_model(args.model)
    images = load_images(args)[:: args.every]
    boxes = sum(len(true) for _, true in images)
    print(f"{len(images)} images of {args.domain}, {boxes} boxes; {model.card.name}")
    if args.calibrate:
        calibrate(model, images, args.draws)
        return
    scores: dict[str, dict[int, list[float]]] = {}
    looking, finding = [], []
    for index, (image, true) in enumerate(images):
        for draw in range(args.draws):
            order = np.random.default_rng([index, draw]).permutation(len(true))
            for number in EXAMPLES:
                drawn = true[order[:number]]
                began = time.perf_counter()
                seen = look(model, ArrayPlane(image), diameter_of([drawn]), tuple(drawn.centers.mean(axis=0)))
                looked = time.perf_counter()
                found = {"napari-localize": find_alike(seen, [Lesson(seen, drawn, drawn[:0])])}
                finding.append(time.perf_counter() - looked)
                looking.append((looked - began) / (image.shape[0] * image.shape[1]) * 1024**2)
                if args.peers and number in PEER_EXAMPLES:
                    found |= {"match_template": by_template(image, drawn), "LoG": by_blobs(image, drawn)}
                for name, boxes in found.items():
                    scores.setdefault(name, {}).setdefault(number, []).append(f1(boxes, drawn, true))
    if args.ceiling:
        scores["trained on it"] = ceiling(load_model(args.ceiling), images, args.draws, CLASSES.get(args.domain))
    print("| F1 from so many boxes | " + " | ".join(map(str, EXAMPLES)) + " |\n" + "|---" * (len(EXAMPLES) + 1) + "|")
    for name, by_number in scores.items():
        cells = [f"{np.mean(by_number[number]):.3f}" if number in by_number else "" for number in EXAMPLES]
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)
    ours = np.array([scores["napari-localize"][number] for number in EXAMPLES])
    print("one more box changes F1 by", ", ".join(f"{change:+.3f}" for change in np.diff(ours, axis=0).mean(axis=1)))
    print(f"look {np.median(looking):.2f} s for 1,024 x 1,024 pixels, find {np.median(finding):.3f} s (medians)")


def load_images(args: argparse.Namespace) -> list[tuple[np.ndarray, Detections]]:
    """Read images with enough objects of the class."""
    if args.domain in CLASSES:
        part = "train" if args.calibrate else "test"
        samples = [sample for sample in load_samples(args.data / args.domain) if sample.part == part]
    elif args.domain in SHIPPED:
        samples = load_shipped(args.domain)
    elif args.domain in extra_names(args.extra):
        samples = load_extra(args.extra, args.domain)
    else:
        known = [*CLASSES, *SHIPPED, *extra_names(args.extra)]
        raise SystemExit(f"there is no domain {args.domain!r}; known are {', '.join(known)}.")
    images = []
    for sample in samples:
        boxes = sample.boxes
        if args.domain in CLASSES:
            boxes = boxes[boxes.labels == boxes.class_names.index(CLASSES[args.domain])]
        if len(boxes) >= FEWEST:
            images.append((sample.image, Detections(boxes.boxes)))
    return images


def ceiling(model, images, draws: int, class_name: str | None) -> dict[int, list[float]]:
    """F1 of a model that has learnt the domain, beside the same boxes drawn, at its best threshold for each number."""
    found = []
    for image, _ in images:
        boxes = predict_plane(model, ArrayPlane(image), PredictSettings(threshold=FLOOR))
        wanted = class_name in boxes.class_names
        found.append(boxes[boxes.labels == boxes.class_names.index(class_name)] if wanted else boxes)
    best = {}
    for number in EXAMPLES:
        tried = []
        for cut in np.arange(0.1, 0.95, 0.05):
            values = []
            for index, (_, true) in enumerate(images):
                for draw in range(draws):
                    drawn = true[np.random.default_rng([index, draw]).permutation(len(true))[:number]]
                    values.append(f1(found[index][found[index].scores >= cut], drawn, true))
            tried.append(values)
        best[number] = max(tried, key=np.mean)
    return best


def f1(found: Detections, drawn: Detections, true: Detections) -> float:
    """F1 of an image with the boxes drawn and what was found beside them."""
    new = torch.from_numpy(found.boxes)
    beside = found[(box_iou(new, torch.from_numpy(drawn.boxes)).amax(dim=1) <= 0.5).numpy()]
    boxes = np.concatenate([drawn.boxes, beside.boxes])
    scores = np.concatenate([np.ones(len(drawn)), beside.scores])
    none = np.zeros(len(boxes), np.int64)
    hits = match_boxes(boxes, none, scores, true.boxes, np.zeros(len(true), np.int64), 0.5).sum()
    return float(2 * hits / (len(boxes) + len(true)))


def by_template(image: np.ndarray, drawn: Detections) -> Detections:
    """Normalised cross-correlation with each drawn box, all brought to their median size."""
    grey = rgb2gray(image[..., :3]) if image.ndim == 3 else image.astype(np.float32) / max(image.max(), 1)
    width, height = np.maximum(np.round(np.median(drawn.boxes[:, 2:] - drawn.boxes[:, :2], axis=0)), 3).astype(int)
    best = np.full(grey.shape, -1.0)
    own = []
    for x0, y0, x1, y1 in np.round(drawn.boxes).astype(int).clip(0):
        template = resize(grey[y0 : max(y1, y0 + 3), x0 : max(x1, x0 + 3)], (height, width), anti_aliasing=True)
        answer = match_template(grey, template, pad_input=True, mode="reflect")
        own.append(answer[y0:y1, x0:x1].max())
        best = np.maximum(best, answer)
    cut = (np.min(own) + np.median(best)) / 2
    rows, columns = peak_local_max(best, min_distance=max(1, min(width, height) // 2), threshold_abs=cut).T
    return squares(columns + 0.5, rows + 0.5, width, height, best[rows, columns].clip(0, 1))


def by_blobs(image: np.ndarray, drawn: Detections) -> Detections:
    """Blobs of the drawn boxes' size, bright or dark as these are, at least half as strong as the weakest of them."""
    grey = rgb2gray(image[..., :3]) if image.ndim == 3 else image.astype(np.float32) / max(image.max(), 1)
    width, height = np.median(drawn.boxes[:, 2:] - drawn.boxes[:, :2], axis=0)
    inside = np.mean([grey[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1].mean() for x0, y0, x1, y1 in drawn.boxes])
    grey = grey if inside > np.median(grey) else grey.max() - grey
    sigma = np.sqrt(width * height) / 2 / np.sqrt(2)
    small = min(1.0, 8 / sigma)
    shrunk = resize(grey, [max(8, round(side * small)) for side in grey.shape], anti_aliasing=True)
    blobs = blob_log(shrunk, sigma * small * 0.8, sigma * small * 1.25, 3, threshold=0.02, overlap=0.5)
    if not len(blobs):
        return Detections.empty(("object",))
    y, x = blobs[:, 0] / small + 0.5, blobs[:, 1] / small + 0.5
    return squares(x, y, width, height, np.full(len(x), 0.5))


def squares(x, y, width: float, height: float, scores) -> Detections:
    boxes = np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1).astype(np.float32)
    keep = nms(torch.from_numpy(boxes), torch.from_numpy(np.asarray(scores, np.float32)), 0.3).numpy()
    return Detections(boxes[keep], scores=np.asarray(scores)[keep])


def calibrate(model, images, draws: int) -> None:
    """Fit the weights of the evidence: is a place that is no example an object (IoU 0.5), yes or no?"""
    rows, wanted, weights = [], [], []
    for index, (image, true) in enumerate(images):
        for draw in range(draws):
            order = np.random.default_rng([index, draw]).permutation(len(true))
            for number in (1, 2, 3, 5, 8):
                drawn = true[order[:number]]
                if len(true) < number + 4:
                    continue
                seen = look(model, ArrayPlane(image), diameter_of([drawn]), tuple(drawn.centers.mean(axis=0)))
                boxes, evidence = places(seen, drawn)
                other = box_iou(boxes, torch.from_numpy(drawn.boxes)).amax(dim=1) <= 0.5
                right = box_iou(boxes, torch.from_numpy(true.boxes)).amax(dim=1) >= 0.5
                known = torch.cat([torch.ones(len(boxes), 1), evidence], dim=1)[other]
                rows.append(torch.cat([known, np.log(min(number, exemplars.MANY)) * known], dim=1))
                wanted.append(right[other])
                weights.append(torch.full((len(known),), 1 / max(len(known), 1)))
    x, y, share = torch.cat(rows).double(), torch.cat(wanted).double(), torch.cat(weights).double()
    coefficients = torch.zeros(x.shape[1], dtype=torch.double, requires_grad=True)
    spread = x.std(dim=0).clamp(min=1e-6)
    optimizer = torch.optim.LBFGS([coefficients], max_iter=300, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        answer = x @ coefficients
        value = torch.nn.functional.binary_cross_entropy_with_logits(answer, y, share / share.sum(), reduction="sum")
        value = value + 1e-3 * ((coefficients * spread)[1:] ** 2).sum()
        value.backward()
        return value

    optimizer.step(loss)
    first, second = coefficients.detach().reshape(2, -1).tolist()
    print("WEIGHTS =", tuple(round(value, 3) for value in first))
    print("WEIGHTS_BY_LOG_EXAMPLES =", tuple(round(value, 3) for value in second))


def places(seen: Look, drawn: Detections) -> tuple[torch.Tensor, torch.Tensor]:
    known = exemplars.know(seen, drawn.boxes)
    return weigh(seen, known, known.features[:0])


if __name__ == "__main__":
    main()
