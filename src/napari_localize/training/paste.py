"""Copies of objects on other places of the background, so that few objects are seen in many surroundings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_area
from torchvision.transforms.v2 import functional as transforms

if TYPE_CHECKING:
    from napari_localize.training.crops import TrainingPlane

MOST_COPIES = 3
"""Objects copied into a crop at most."""

TRIES = 12
"""Places and objects that are tried for each copy."""

MOST_COVERED = 0.1
"""Part of the smaller box that a copy and another box may share."""

FEATHER = 0.25
"""Width of the edge over which a copy fades out, as a part of its half size."""

ROUNDNESS = 3.0
"""Exponent of the superellipse that is copied of a box: its corners show what is around an object."""

LARGEST_SHIFT = 40.0
"""A copy is made brighter or darker by no more than this, of 255, to fit its surroundings."""

SMALLEST_COPY = 4.0


@dataclass
class Copies:
    """Boxes and classes of what was copied into a crop."""

    boxes: Tensor = field(default_factory=lambda: torch.zeros(0, 4))
    labels: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))


@dataclass
class Source:
    """All planes, and how often objects of each class are taken, None for all alike."""

    planes: Sequence[TrainingPlane]
    rarity: NDArray[np.float64] | None = None

    def choose(self, plane: TrainingPlane, rng: np.random.Generator) -> int:
        """Return the number of one of a plane's boxes."""
        if self.rarity is None:
            return int(rng.integers(len(plane.boxes)))
        weights = self.rarity[plane.labels.numpy()]
        return int(rng.choice(len(weights), p=weights / weights.sum()))


def paste_objects(
    image: Tensor,
    taken: Tensor,
    room: Tensor,
    scale: tuple[float, float],
    source: Source,
    rng: np.random.Generator,
) -> tuple[Tensor, Copies]:
    """Copy a few objects into a crop (Ghiasi et al., "Simple Copy-Paste", 2021).

    Parameters
    ----------
    image : (3, H, W) uint8 Tensor
        The crop; it stays as it is.
    taken : (N, 4) Tensor
        Boxes of the crop that a copy keeps away from.
    room : (M, 4) Tensor
        Where the crop shows background that a person has verified; a copy lies wholly in one of them.
    scale : (float, float)
        Pixels of the crop for one object diameter, along x and y.
    source : Source
        Where the objects come from.

    Returns
    -------
    image, copies
        A crop with the copies in it, whose edges are feathered, and their boxes.
    """
    copies = Copies()
    for _ in range(int(rng.integers(1, MOST_COPIES + 1))):
        for _ in range(TRIES):
            chosen = _donor(source, rng)
            if chosen is None:
                continue
            plane, index = chosen
            patch, alpha, inner = _patch(plane, plane.boxes[index], scale, rng)
            size = inner[2:] - inner[:2]
            place = _place(size, torch.cat([taken, copies.boxes]), room, rng)
            if place is None:
                continue
            corner = (place - inner[:2]).round()
            image = _blend(image, patch, alpha, corner)
            copies.boxes = torch.cat([copies.boxes, (inner + corner.repeat(2))[None]])
            copies.labels = torch.cat([copies.labels, plane.labels[index : index + 1]])
            break
    return image, copies


def covered(boxes: Tensor, others: Tensor) -> Tensor:
    """Return for each pair of (N, 4) and (M, 4) boxes what they share, as a part of the smaller one."""
    low = torch.maximum(boxes[:, None, :2], others[:, :2])
    high = torch.minimum(boxes[:, None, 2:], others[:, 2:])
    shared = (high - low).clamp(min=0).prod(dim=2)
    return shared / torch.minimum(box_area(boxes)[:, None], box_area(others)).clamp(min=1e-6)


def _donor(source: Source, rng: np.random.Generator) -> tuple[TrainingPlane, int] | None:
    """Choose an object that is shown whole and that no other one overlaps."""
    plane = source.planes[int(rng.integers(len(source.planes)))]
    if not len(plane.boxes) or not plane.sized:
        return None
    index = source.choose(plane, rng)
    box = plane.boxes[index]
    height, width = plane.pixels.shape[1:]
    if (box[:2] < 0).any() or box[2] > width or box[3] > height:
        return None
    others = torch.cat([plane.boxes[:index], plane.boxes[index + 1 :], plane.beside])
    if len(others) and covered(box[None], others).max() > MOST_COVERED:
        return None
    return plane, index


def _patch(
    plane: TrainingPlane, box: Tensor, scale: tuple[float, float], rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Cut out an object in the size of a crop, turned by chance: its pixels, how much they cover, its box in them."""
    height, width = plane.pixels.shape[1:]
    reach = (box[2:] - box[:2]) * FEATHER / 2
    x0, y0 = (box[:2] - reach).floor().clamp(min=0).int().tolist()
    x1, y1 = torch.minimum((box[2:] + reach).ceil(), torch.tensor([width, height])).int().tolist()
    zoom = (scale[0] / plane.diameter, scale[1] / plane.diameter)
    tall, wide = max(1, round((y1 - y0) * zoom[1])), max(1, round((x1 - x0) * zoom[0]))
    patch = transforms.resize(plane.pixels[:, y0:y1, x0:x1], [tall, wide], antialias=True).float()
    inner = (box - torch.tensor([x0, y0, x0, y0])) * torch.tensor([wide / (x1 - x0), tall / (y1 - y0)] * 2)
    if rng.random() < 0.5:
        patch, inner = patch.flip(2), torch.stack([wide - inner[2], inner[1], wide - inner[0], inner[3]])
    if rng.random() < 0.5:
        patch, inner = patch.flip(1), torch.stack([inner[0], tall - inner[3], inner[2], tall - inner[1]])
    if rng.random() < 0.5:
        patch, inner = patch.transpose(1, 2), inner[[1, 0, 3, 2]]
    center, half = (inner[:2] + inner[2:]) / 2, ((inner[2:] - inner[:2]) / 2).clamp(min=0.5)
    across = ((torch.arange(patch.shape[2]) + 0.5 - center[0]) / half[0]).abs() ** ROUNDNESS
    down = ((torch.arange(patch.shape[1]) + 0.5 - center[1]) / half[1]).abs() ** ROUNDNESS
    distance = (down[:, None] + across) ** (1 / ROUNDNESS)
    return patch, ((1 + FEATHER - distance) / FEATHER).clamp(0, 1), inner


def _place(size: Tensor, taken: Tensor, room: Tensor, rng: np.random.Generator) -> Tensor | None:
    """Return the upper left corner of a free place for a box, if one is found."""
    space = (room[:, 2:] - room[:, :2] - size).clamp(min=0).prod(dim=1).numpy().astype(np.float64)
    if float(size.min()) < SMALLEST_COPY or not space.sum() > 0:
        return None
    x0, y0, x1, y1 = room[int(rng.choice(len(room), p=space / space.sum()))].tolist()
    wide, tall = size.tolist()
    corners = torch.from_numpy(rng.uniform([x0, y0], [x1 - wide, y1 - tall], (TRIES, 2)).astype(np.float32))
    boxes = torch.cat([corners, corners + size], dim=1)
    free = torch.ones(TRIES, dtype=torch.bool)
    if len(taken):
        free = covered(boxes, taken).amax(dim=1) <= MOST_COVERED
    return corners[int(free.int().argmax())] if free.any() else None


def _blend(image: Tensor, patch: Tensor, alpha: Tensor, corner: Tensor) -> Tensor:
    """Lay a patch over an image, as bright as what is around it; what reaches beyond the image is cut off."""
    height, width = image.shape[1:]
    x, y = corner.int().tolist()
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + patch.shape[2], width), min(y + patch.shape[1], height)
    if x0 >= x1 or y0 >= y1:
        return image
    patch, alpha = patch[:, y0 - y : y1 - y, x0 - x : x1 - x], alpha[y0 - y : y1 - y, x0 - x : x1 - x]
    below = image[:, y0:y1, x0:x1].float()
    edge = (alpha > 0) & (alpha < 1)
    if edge.any():
        shift = (below[:, edge] - patch[:, edge]).mean(dim=1).clamp(-LARGEST_SHIFT, LARGEST_SHIFT)
        patch = patch + shift[:, None, None]
    blended = image.clone()
    blended[:, y0:y1, x0:x1] = (alpha * patch + (1 - alpha) * below).clamp(0, 255).round().to(torch.uint8)
    return blended
