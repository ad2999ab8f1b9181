"""Teach by example: from a few boxes to everything alike on a plane.

The plane is looked at once, at the zoom at which the examples are as large as the objects that the model knows. What is
remembered of each cell are the features of the network at several levels. A linear discriminant between the examples
and the rest of the plane, whose covariance the plane itself gives (Hariharan et al., "Discriminative Decorrelation for
Clustering and Classification", 2012), then says of each place how much it is like the examples. That, the cosine to the
nearest example, the network's opinion of what is an object and the size are weighed by a logistic regression, which was
calibrated on episodes, so that there is nothing to set. The opinion counts relative to that on the examples: of objects
of a kind that the network has never seen it may think little, but then it does so of all of them. Boxes are half the
network's own, corrected as the examples ask for, and half the examples' size. What a person rejects is a counterexample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from torchvision.ops import nms

from napari_localize.core.detections import EXAMPLES, Detections
from napari_localize.core.errors import UserError
from napari_localize.core.planes import PlaneSource
from napari_localize.core.tiling import Rectangle
from napari_localize.models.device import inference_dtype
from napari_localize.models.heatmap.loss import cell_boxes
from napari_localize.models.heatmap.network import MULTIPLE, STRIDE
from napari_localize.models.intensity import find_intensity_map
from napari_localize.models.localizer import Model

MOST_PIXELS = 2304**2
"""Largest part of a plane that is looked at, in pixels of the network."""

ZOOM_RANGE = (1 / 16, 8.0)

CUT = 0.35
"""Probability from which a place is taken for alike."""

WEIGHTS = (-2.202, 2.639, 3.628, 0.988, -2.209)
WEIGHTS_BY_LOG_EXAMPLES = (-0.601, -0.627, 0.477, 0.155, -0.449)
"""Of a constant and the evidence that `weigh` gathers, in a logistic regression whose weights change with the logarithm
of the number of examples. Found by ``benchmarks/teach.py --calibrate``."""

MANY = 5
"""With more examples the weights change no more: no evidence may come to count against itself."""

SAMPLES = 6000
"""Cells that stand for the rest of the plane."""

RIDGE = 3.0
"""Weight of the prior that no feature matters, relative to a feature's variance."""

OBJECT_FLOOR, LIKENESS_FLOOR = 0.05, 0.3
"""Places are considered where the network's opinion or the discriminant peaks above these."""

OPINIONS = (-5.0, 3.0)
"""Range of the network's opinion relative to that on the examples, in logits."""

NMS_IOU = 0.3


@dataclass
class Look:
    """What is remembered of a plane; h, w are the network's cells.

    Attributes
    ----------
    window : Rectangle
        The part of the plane.
    zoom : float
        Pixels of the network for one of the plane.
    features : (C, h, w) float32 Tensor
        Standardised over the window.
    center, spread : (C,) float32 Tensor
        What was subtracted and divided by for that, so that windows can be compared.
    boxes : (h, w, 4) float32 Tensor
        Each cell's box, in pixels of the plane.
    objectness : (h, w) float32 Tensor
        The network's opinion that an object's centre is there, 0 to 1.
    diameter : float
        Object diameter that it is made for, in pixels of the plane.
    """

    window: Rectangle
    zoom: float
    features: torch.Tensor
    center: torch.Tensor
    spread: torch.Tensor
    boxes: torch.Tensor
    objectness: torch.Tensor
    diameter: float

    def shows(self, x: float, y: float) -> bool:
        """Whether a place, in pixels of the plane, is in the window."""
        return self.window.x0 <= x < self.window.x1 and self.window.y0 <= y < self.window.y1


def diameter_of(examples: Sequence[Detections]) -> float:
    """Return the object diameter that examples show, in pixels: the median of sqrt(width x height)."""
    return float(np.median(np.concatenate([boxes.diameters for boxes in examples])))


def next_to(place: Sequence[float], examples: Detections) -> tuple[float, float]:
    """Return the centre (x, y) of the example that is next to a place (x, y), the place itself without any."""
    if not len(examples):
        return float(place[0]), float(place[1])
    away = np.hypot(*(examples.centers - np.asarray(place, float)).T)
    x, y = examples.centers[int(away.argmin())].tolist()
    return x, y


def largest_side(model: Model, diameter: float) -> float:
    """Return the side of the largest square that is looked at at once, in pixels of the plane."""
    return math.sqrt(MOST_PIXELS) / _zoom(model, diameter)


def _zoom(model: Model, diameter: float) -> float:
    return float(np.clip(model.card.object_diameter / diameter, *ZOOM_RANGE))


@torch.inference_mode()
def look(
    model: Model,
    plane: PlaneSource,
    diameter: float,
    center: tuple[float, float],
    window: Rectangle | None = None,
) -> Look:
    """Run the network once over a plane, or the part around a place that can be remembered.

    Parameters
    ----------
    model : Model
        Any; one that knows many kinds of objects has the better features.
    plane : PlaneSource
        Where to look.
    diameter : float
        Object diameter, in pixels of the plane.
    center : (x, y)
        Where the examples are, in pixels of the plane.
    window : Rectangle, optional
        The part to look at, instead of the largest one around the place.
    """
    zoom = _zoom(model, diameter)
    height, width, _ = plane.shape
    if window is None:
        window = _window(height, width, largest_side(model, diameter), center)
    y0, y1, x0, x1 = window
    seen = find_intensity_map(plane)(plane.read(y0, y1, x0, x1))
    pixels = torch.from_numpy(np.ascontiguousarray(seen)).permute(2, 0, 1)[None]
    size = [max(1, round((y1 - y0) * zoom)), max(1, round((x1 - x0) * zoom))]
    pixels = functional.interpolate(pixels, size, mode="bilinear", antialias=True)
    pixels = functional.pad(pixels, (0, -size[1] % MULTIPLE, 0, -size[0] % MULTIPLE), mode="replicate")
    network = model.running()
    levels = network.pyramid(pixels.to(model.device, inference_dtype(model.device)))
    logits, distances, quality = (answer.float() for answer in network.answers(levels[0]))
    cells = logits.shape[-2:]
    colour = functional.avg_pool2d(functional.avg_pool2d(pixels, STRIDE), 3, stride=1, padding=1)
    parts = [_standardised(level.float().cpu(), cells) for level in (*levels, colour)]
    features, mean, spread = (torch.cat(part, dim=1)[0] for part in zip(*parts, strict=True))
    rows, columns = math.ceil(size[0] / STRIDE), math.ceil(size[1] / STRIDE)
    features = features[:, :rows, :columns]
    boxes = cell_boxes(distances)[0, :rows, :columns].cpu() / zoom + torch.tensor([x0, y0, x0, y0])
    objectness = (logits.sigmoid().amax(dim=1)[0] ** 0.4 * quality[0, 0].sigmoid() ** 0.6)[:rows, :columns].cpu()
    return Look(window, zoom, features, mean.flatten(), spread.flatten(), boxes, objectness, diameter)


def _standardised(level: torch.Tensor, cells: torch.Size) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Bring (1, C, h, w) features to the cells, with mean 0 and spread 1; return mean and spread, too.

    A place is known by what is around its middle, too: fine levels are smoothed, coarse ones are so by their growth.
    The channels lie side by side in memory, which makes all of it several times as fast.
    """
    level = level.contiguous(memory_format=torch.channels_last)
    if level.shape[-2:] == cells:
        level = functional.avg_pool2d(level, 3, stride=1, padding=1, count_include_pad=False)
    spread, mean = torch.std_mean(level, dim=(2, 3), keepdim=True)
    spread = spread.clamp(min=1e-3)
    level = (level - mean) / spread
    if level.shape[-2:] != cells:
        level = functional.interpolate(level, cells, mode="bilinear")
    return level, mean, spread


class Examples(NamedTuple):
    """What is known of N objects that were drawn.

    Attributes
    ----------
    features : (N, C) float32 Tensor
        In the middle of each.
    opinion : (N,) float32 Tensor
        Logit of the network's opinion that there is an object.
    extent : (N, 2) float32 Tensor
        Width and height, in pixels of the plane.
    growth : (N, 2) float32 Tensor
        Logarithm of width and height relative to the network's own box there.
    """

    features: torch.Tensor
    opinion: torch.Tensor
    extent: torch.Tensor
    growth: torch.Tensor


def know(seen: Look, boxes: NDArray[np.float32]) -> Examples:
    """Gather what is known of objects from (N, 4) boxes that a person has drawn on a plane."""
    x, y = _cells(seen, boxes)
    opinion = functional.max_pool2d(_logit(seen.objectness)[None], 3, stride=1, padding=1)[0, y, x]
    extent = torch.from_numpy(boxes[:, 2:] - boxes[:, :2])
    return Examples(features_at(seen, boxes), opinion, extent, (extent / _extent(seen.boxes[y, x])).log())


class Lesson(NamedTuple):
    """Examples, and counterexamples, on a plane."""

    seen: Look
    examples: Detections
    rejected: Detections


def find_alike(seen: Look, lessons: Sequence[Lesson]) -> Detections:
    """Find everything on a plane that is like the examples.

    Parameters
    ----------
    seen : Look
        The plane.
    lessons : sequence of Lesson
        With at least one example, of this plane or of others; they have the same class names. Of several classes, each
        place gets the one that it is most like.

    Returns
    -------
    Detections
        What is alike, also the examples' own places, best first; scores are probabilities; the origin is `EXAMPLES`.

    Raises
    ------
    UserError
        Without an example in what has been looked at.
    """
    lessons = [Lesson(one.seen, *(_inside(boxes, one.seen.window) for boxes in one[1:])) for one in lessons]
    examples = [one.examples for one in lessons]
    if not sum(map(len, examples)):
        raise UserError("there is no example on this part of the plane; draw a box around one object.")
    bad = torch.cat([features_at(one.seen, one.rejected.boxes) for one in lessons])
    known = [know(one.seen, one.examples.boxes) for one in lessons]
    good = Examples(*(torch.cat(parts) for parts in zip(*known, strict=True)))
    labels = np.concatenate([boxes.labels for boxes in examples])
    found, scores, classes = [], [], []
    for label in np.unique(labels).tolist():
        mine = labels == label
        chosen = torch.from_numpy(mine)
        others = torch.cat([bad, good.features[~chosen]])
        boxes, evidence = weigh(seen, Examples(*(part[chosen] for part in good)), others)
        found.append(boxes)
        scores.append(probability(evidence, int(mine.sum())))
        classes.append(np.full(len(boxes), label))
    boxes, score, which = torch.cat(found), torch.cat(scores), np.concatenate(classes)
    # One box for each object, of the class that it is most like.
    keep = nms(boxes, score, NMS_IOU)
    keep = keep[score[keep] >= CUT]
    return Detections(
        boxes[keep].numpy(),
        which[keep.numpy()],
        score[keep].numpy(),
        class_names=lessons[0].examples.class_names,
        origins=np.full(len(keep), EXAMPLES),
    )


def weigh(seen: Look, examples: Examples, bad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Gather what speaks for each place of a plane.

    Parameters
    ----------
    seen : Look
        The plane.
    examples : Examples
        Of one class.
    bad : (M, C) float32 Tensor
        Features of the counterexamples.

    Returns
    -------
    boxes : (K, 4) float32 Tensor
        x0, y0, x1, y1 in pixels of the plane.
    evidence : (K, 4) float32 Tensor
        The discriminant between examples (1) and the rest of the plane (0), the cosine between the features and those of
        the nearest example, the network's opinion relative to that on the examples (logits), and by how much the size
        differs (its logarithm).
    """
    good = examples.features
    channels, rows, columns = seen.features.shape
    flat = seen.features.reshape(channels, -1)
    rng = np.random.default_rng(0)
    sample = torch.from_numpy(rng.choice(rows * columns, min(SAMPLES, rows * columns), replace=False))
    weight, offset, unit = _discriminant(good, flat[:, sample].T, bad)
    likeness = ((weight @ flat - offset) / unit).reshape(rows, columns)
    places = _peaks(seen.objectness, OBJECT_FLOOR) | _peaks(likeness, LIKENESS_FLOOR)
    y, x = torch.nonzero(places, as_tuple=True)
    boxes, size_off = _boxes(seen, x, y, examples)
    cosines = functional.normalize(seen.features[:, y, x], dim=0).T @ functional.normalize(good, dim=1).T
    opinion = (_logit(seen.objectness[y, x]) - examples.opinion.mean()).clamp(*OPINIONS)
    return boxes, torch.stack([likeness[y, x], cosines.amax(dim=1), opinion, size_off], dim=1)


def probability(evidence: torch.Tensor, examples: int) -> torch.Tensor:
    """Return the (K,) probabilities that places are alike, from (K, 4) evidence and the number of examples."""
    known = torch.cat([torch.ones(len(evidence), 1), evidence], dim=1)
    weights = torch.tensor(WEIGHTS) + math.log(min(examples, MANY)) * torch.tensor(WEIGHTS_BY_LOG_EXAMPLES)
    return (known @ weights).sigmoid()


def _discriminant(good: torch.Tensor, rest: torch.Tensor, bad: torch.Tensor) -> tuple[torch.Tensor, float, float]:
    """Return weights, and what is to be subtracted and divided by, so that the rest is 0 and examples are 1."""
    parts = [(rest, 1.0, 0.0), (good, 1.0, 1.0), (bad, 1.0, 0.0)]
    data = torch.cat([part for part, _, _ in parts]).double()
    share = torch.cat([torch.full((len(part),), total / max(len(part), 1)) for part, total, _ in parts]).double()
    wanted = torch.cat([torch.full((len(part),), value) for part, _, value in parts]).double()
    share = share / share.sum()
    centred = data - share @ data
    spread = torch.cov(rest.double().T, correction=0) + RIDGE * torch.eye(data.shape[1], dtype=torch.float64)
    scatter = (centred * share[:, None]).T @ centred
    weight = torch.linalg.solve(spread + scatter, centred.T @ (share * (wanted - share @ wanted)))
    low, high = float((rest.double() @ weight).mean()), float((good.double() @ weight).mean())
    return weight.float(), low, max(high - low, 1e-9)


def _peaks(values: torch.Tensor, floor: float) -> torch.Tensor:
    highest = functional.max_pool2d(values[None], 3, stride=1, padding=1)[0]
    return (highest == values) & (values >= floor)


def _boxes(seen: Look, x: torch.Tensor, y: torch.Tensor, examples: Examples) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the boxes of cells, and by how much the network's own boxes differ in size from the examples."""
    found, count = seen.boxes[y, x], len(examples.extent)
    # What the network gets wrong on the examples it gets wrong elsewhere; one example is believed two thirds.
    own = _extent(found) * (examples.growth.mean(dim=0) * count / (count + 0.5)).exp()
    typical = examples.extent.quantile(0.5, dim=0)
    size_off = (own / typical).log().mean(dim=1).abs()
    half = (own * typical).sqrt() / 2
    cell = (torch.stack([x, y], dim=1) + 0.5) * STRIDE / seen.zoom + torch.tensor([seen.window.x0, seen.window.y0])
    middle = ((found[:, :2] + found[:, 2:]) / 2 + cell) / 2
    return torch.cat([middle - half, middle + half], dim=1), size_off.clamp(max=2)


def _extent(boxes: torch.Tensor) -> torch.Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-3)


def _logit(share: torch.Tensor) -> torch.Tensor:
    return torch.logit(share.clamp(1e-4, 1 - 1e-4))


def features_at(seen: Look, boxes: NDArray[np.float32]) -> torch.Tensor:
    """Return the (N, C) features in the middle of (N, 4) boxes."""
    x, y = _cells(seen, boxes)
    return seen.features[:, y, x].T


def _cells(seen: Look, boxes: NDArray[np.float32]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return column and row of the cell in the middle of each box."""
    _, rows, columns = seen.features.shape
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2 - np.array([seen.window.x0, seen.window.y0], np.float32)
    cells = np.floor(centers * seen.zoom / STRIDE).astype(np.int64)
    x, y = np.clip(cells[:, 0], 0, columns - 1), np.clip(cells[:, 1], 0, rows - 1)
    return torch.from_numpy(x), torch.from_numpy(y)


def _inside(boxes: Detections, window: Rectangle) -> Detections:
    x, y = boxes.centers.T
    return boxes[(x >= window.x0) & (x < window.x1) & (y >= window.y0) & (y < window.y1)]


def _window(height: int, width: int, side: float, center: tuple[float, float]) -> Rectangle:
    """Return the part of a plane with at most side x side pixels, around a place as far as the plane reaches."""
    if height * width <= side**2:
        return Rectangle(0, height, 0, width)
    tall, wide = min(height, int(side)), min(width, int(side))
    y0 = int(np.clip(center[1] - tall / 2, 0, height - tall))
    x0 = int(np.clip(center[0] - wide / 2, 0, width - wide))
    return Rectangle(y0, y0 + tall, x0, x0 + wide)
