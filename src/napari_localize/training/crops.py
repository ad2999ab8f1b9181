"""From annotated planes to batches: crops, sizes, turns and light."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as transforms

from napari_localize.core.known import EVERYWHERE, KnownArea
from napari_localize.models.heatmap.loss import Targets, draw_targets
from napari_localize.models.heatmap.network import STRIDE
from napari_localize.training.paste import Source, paste_objects

LARGEST_ZOOM = 6.0
"""Images are never enlarged more than this when objects are brought to the size that is learnt."""

REJECTED_WEIGHT = 3.0
"""So much more a box that was rejected weighs in the loss of the heat maps than other background."""

REJECTED_SHARE = 0.2
"""Part of the crops of a plane that show one of its rejected boxes for certain."""

LEAST_VISIBLE = 0.25
"""Objects of which a crop shows a smaller part than this are left out of the loss."""


@dataclass
class TrainingPlane:
    """One annotated plane, ready to be cut into crops.

    Attributes
    ----------
    pixels : (3, H, W) uint8 Tensor
        What the network sees, times 255.
    boxes : (N, 4) float32 Tensor
        x0, y0, x1, y1 in pixels; they reach beyond the pixels where these are cut out of a larger plane.
    labels : (N,) int64 Tensor
        Classes.
    diameter : float
        Typical sqrt(width x height) of the objects.
    reduced : int
        How many times smaller the plane was made.
    weight : float
        How often crops are taken from here, relative to other planes.
    sized : bool
        Whether the boxes' sizes are true; where they only stand around known centres, sizes are not learnt.
    known : KnownArea
        Where the boxes tell everything; elsewhere nothing is learnt, and no `boxes` have their centre there.
    beside : (M, 4) float32 Tensor
        Boxes with their centre elsewhere: where they reach into the known area nothing is learnt either.
    rejected : (K, 4) float32 Tensor
        Boxes of which a person has said that they show no object: known background, wherever they lie, unless that
        is to be ignored.
    """

    pixels: Tensor
    boxes: Tensor
    labels: Tensor
    diameter: float
    reduced: int = 1
    weight: float = 1.0
    sized: bool = True
    known: KnownArea = EVERYWHERE
    beside: Tensor = field(default_factory=lambda: torch.zeros(0, 4))
    rejected: Tensor = field(default_factory=lambda: torch.zeros(0, 4))


@dataclass(frozen=True)
class CropRecipe:
    """How crops are made.

    Attributes
    ----------
    side : int
        Pixels of a crop's side; a multiple of the network's largest stride.
    diameters : (float, float)
        Typical object diameters, in pixels of the crop, are drawn between these, evenly in the logarithm.
    stretch : float
        Largest difference of the two axes' zoom, as a fraction.
    invert, grey, recolour, noise, blur : float
        Probability of a negative, of losing the colours, of a change of each channel's gain and gamma, of added
        noise, of a blur.
    balance : float
        How much more often crops are taken around objects of rare classes: by number to the power of minus this.
    paste : float
        Probability that copies of objects are put on the background of a crop, see `paste_objects`.
    """

    side: int = 256
    diameters: tuple[float, float] = (12.0, 56.0)
    stretch: float = 0.15
    invert: float = 0.15
    grey: float = 0.1
    recolour: float = 0.5
    noise: float = 0.2
    blur: float = 0.15
    balance: float = 0.0
    paste: float = 0.0


class Crop(NamedTuple):
    """A part of a plane, and in pixels of it: boxes, their classes, and where something is known.

    Nothing is known in the rectangles that are `hidden`, and outside of those that are `reviewed`, if there is a
    limit; those that were `rejected` are background all the same.
    """

    image: Tensor
    boxes: Tensor
    labels: Tensor
    hidden: Tensor
    reviewed: Tensor | None
    rejected: Tensor


@dataclass
class Batch:
    """Crops and what is to be found in them."""

    pixels: Tensor
    targets: Targets


def make_batch(
    planes: Sequence[TrainingPlane], classes: int, size: int, recipe: CropRecipe, rng: np.random.Generator
) -> Batch:
    """Cut a batch of `size` random crops.

    The same planes, recipe and state of `rng` give the same batch.
    """
    weights = np.array([plane.weight for plane in planes])
    chosen = rng.choice(len(planes), size=size, p=weights / weights.sum())
    source = Source(planes, _rarity(planes, classes, recipe.balance))
    crops = [_crop(planes[index], recipe, rng, source) for index in chosen.tolist()]
    cells = recipe.side // STRIDE
    known = torch.ones(size, 1, cells, cells)
    emphasis = torch.ones(size, 1, cells, cells)
    boxes, labels, pixels = [], [], []
    for index, crop in enumerate(crops):
        if crop.reviewed is not None:
            known[index] = 0
            for x0, y0, x1, y1 in (crop.reviewed / STRIDE).tolist():
                known[index, :, math.ceil(y0) : math.floor(y1), math.ceil(x0) : math.floor(x1)] = 1
        for x0, y0, x1, y1 in (crop.rejected / STRIDE).tolist():
            inside = (index, slice(None), slice(math.floor(y0), math.ceil(y1)), slice(math.floor(x0), math.ceil(x1)))
            known[inside] = 1
            emphasis[inside] = REJECTED_WEIGHT
        for x0, y0, x1, y1 in (crop.hidden / STRIDE).tolist():
            known[index, :, math.floor(y0) : math.ceil(y1), math.floor(x0) : math.ceil(x1)] = 0
        pixels.append(_light(crop.image.float() / 255, recipe, rng))
        boxes.append(crop.boxes)
        labels.append(crop.labels)
    targets = draw_targets(boxes, labels, known, classes, (cells, cells), emphasis)
    targets.weight *= torch.tensor([planes[index].sized for index in chosen.tolist()])[:, None, None]
    return Batch(torch.stack(pixels), targets)


def _rarity(planes: Sequence[TrainingPlane], classes: int, balance: float) -> NDArray[np.float64] | None:
    if not balance:
        return None
    counts = sum(np.bincount(plane.labels.numpy(), minlength=classes) for plane in planes)
    return np.asarray(np.maximum(counts, 1) ** -balance, np.float64)


def _crop(plane: TrainingPlane, recipe: CropRecipe, rng: np.random.Generator, source: Source) -> Crop:
    low, high = np.log(recipe.diameters)
    zoom = min(math.exp(rng.uniform(low, high)) / plane.diameter, LARGEST_ZOOM)
    lean = math.exp(rng.uniform(-recipe.stretch, recipe.stretch) / 2)
    zoom_x, zoom_y = zoom * lean, zoom / lean
    width, height = max(1, round(recipe.side / zoom_x)), max(1, round(recipe.side / zoom_y))
    x0, y0 = _corner(plane, width, height, source, rng)

    image_height, image_width = plane.pixels.shape[1:]
    left, top = max(0, x0), max(0, y0)
    right, bottom = min(image_width, x0 + width), min(image_height, y0 + height)
    image = plane.pixels[:, top:bottom, left:right]
    pad = [left - x0, top - y0, x0 + width - right, y0 + height - bottom]
    if any(pad):
        image = transforms.pad(image, pad, padding_mode="edge")
    image = transforms.resize(image, [recipe.side, recipe.side], antialias=True)

    scale = torch.tensor([recipe.side / width, recipe.side / height] * 2)
    shown = torch.tensor([pad[0], pad[1], width - pad[2], height - pad[3]]) * scale

    def place(boxes: Tensor) -> tuple[Tensor, Tensor]:
        """Return boxes in pixels of the crop, whole and cut at the sides of the image in it."""
        moved = (boxes - torch.tensor([x0, y0, x0, y0], dtype=torch.float32)) * scale
        return moved, torch.minimum(torch.maximum(moved, shown[[0, 1, 0, 1]]), shown[[2, 3, 2, 3]])

    moved, inside = place(plane.boxes)
    area = (moved[:, 2:] - moved[:, :2]).prod(dim=1)
    visible = (inside[:, 2:] - inside[:, :2]).clamp(min=0).prod(dim=1)
    whole = (visible >= LEAST_VISIBLE * area) & ((inside[:, 2:] - inside[:, :2]) >= 2).all(dim=1)
    cut = inside[(visible > 0) & ~whole]
    ignored = torch.tensor(plane.known.ignored, dtype=torch.float32).reshape(-1, 4)
    _, unknown = place(torch.cat([plane.beside, ignored]))
    hidden = torch.cat([cut, unknown[(unknown[:, 2:] > unknown[:, :2]).all(dim=1)]])
    reviewed = place(torch.tensor(plane.known.reviewed or (), dtype=torch.float32).reshape(-1, 4))[1]
    rejected = place(plane.rejected)[1]
    rejected = rejected[(rejected[:, 2:] > rejected[:, :2]).all(dim=1)]
    found, labels = inside[whole], plane.labels[whole]
    if recipe.paste and rng.random() < recipe.paste:
        room = shown[None] if plane.known.reviewed is None else reviewed
        taken = torch.cat([found, hidden, rejected])
        sizes = (zoom_x * plane.diameter, zoom_y * plane.diameter)
        image, copies = paste_objects(image, taken, room, sizes, source, rng)
        found, labels = torch.cat([found, copies.boxes]), torch.cat([labels, copies.labels])
    lists = (found, hidden, reviewed, rejected)
    boxes = tv_tensors.BoundingBoxes(torch.cat(lists), format="XYXY", canvas_size=(recipe.side, recipe.side))
    for turn in (transforms.horizontal_flip, transforms.vertical_flip):
        if rng.random() < 0.5:
            image, boxes = turn(image), turn(boxes)
    boxes = boxes.as_subclass(Tensor)
    if rng.random() < 0.5:
        image, boxes = image.transpose(1, 2), boxes[:, [1, 0, 3, 2]]
    found, hidden, reviewed, rejected = boxes.split([len(part) for part in lists])
    return Crop(image, found, labels, hidden, None if plane.known.reviewed is None else reviewed, rejected)


def _corner(plane: TrainingPlane, width: int, height: int, source: Source, rng: np.random.Generator) -> tuple[int, int]:
    """Upper left corner of a window, four times in five around an object, else anywhere that something is known.

    Of the places of objects some are those of boxes that were rejected, where there are any.
    """
    image_height, image_width = plane.pixels.shape[1:]
    around = None
    if len(plane.boxes) and rng.random() < 0.8:
        around = plane.boxes[source.choose(plane, rng)]
    if len(plane.rejected) and rng.random() < REJECTED_SHARE:
        around = plane.rejected[int(rng.integers(len(plane.rejected)))]
    if around is not None:
        x0, y0, x1, y1 = around.tolist()
        x = (x0 + x1) / 2 - rng.uniform(0, width)
        y = (y0 + y1) / 2 - rng.uniform(0, height)
    elif plane.known.reviewed:
        x0, y0, x1, y1 = plane.known.reviewed[rng.integers(len(plane.known.reviewed))]
        x = rng.uniform(x0, x1) - rng.uniform(0, width)
        y = rng.uniform(y0, y1) - rng.uniform(0, height)
    else:
        x = rng.uniform(0, max(0, image_width - width))
        y = rng.uniform(0, max(0, image_height - height))
    return _settle(x, width, image_width, rng), _settle(y, height, image_height, rng)


def _settle(start: float, length: int, limit: int, rng: np.random.Generator) -> int:
    if length >= limit:
        return int(rng.integers(limit - length, 1))
    return int(np.clip(round(start), 0, limit - length))


def _light(image: Tensor, recipe: CropRecipe, rng: np.random.Generator) -> Tensor:
    """Change intensities, colours, noise and sharpness of a (3, H, W) image in 0 to 1."""
    if rng.random() < recipe.grey:
        image = image.mean(dim=0, keepdim=True).expand(3, -1, -1)
    if rng.random() < recipe.recolour:
        common_gain, common_gamma = rng.uniform(0.7, 1.2), math.exp(rng.uniform(-0.4, 0.4))
        gain = common_gain * torch.from_numpy(rng.uniform(0.85, 1.1, (3, 1, 1)).astype(np.float32))
        image = (image.clamp(min=1e-4) ** common_gamma * gain + rng.uniform(-0.05, 0.1)).clamp(0, 1)
    if rng.random() < recipe.blur:
        image = transforms.gaussian_blur(image, [5, 5], [float(rng.uniform(0.4, 1.5))])
    if rng.random() < recipe.noise:
        image = image + _noise(tuple(image.shape), rng.uniform(0.01, 0.08), rng)
    if rng.random() < recipe.invert:
        image = 1 - image
    return image.clamp(0, 1)


def _noise(shape: tuple[int, ...], sigma: float, rng: np.random.Generator) -> Tensor:
    noise: NDArray[np.float32] = rng.standard_normal(shape, dtype=np.float32)
    return torch.from_numpy(noise) * sigma
