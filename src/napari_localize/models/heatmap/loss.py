"""What the heat map network learns from: targets drawn from boxes, and the losses on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import generalized_box_iou_loss

from napari_localize.models.heatmap.network import STRIDE

SPREAD = 0.54
"""Part of a box that its Gaussian covers (Liu et al., "Training-Time-Friendly Network", 2020)."""

CORE = 0.3
"""Cells whose Gaussian is above this answer for the box as well as the cell of its centre."""

QUALITY_WEIGHT = 0.5


@dataclass
class Targets:
    """Targets of a batch; h, w are the network's cells.

    Attributes
    ----------
    heat : (B, C, h, w) Tensor
        Gaussians at the centres, exactly 1 in the cell of a centre.
    boxes : (B, h, w, 4) Tensor
        The box that each cell answers for, in pixels of the input.
    weight : (B, h, w) Tensor
        Weight of each cell in the losses on the boxes; 1 in sum over an object.
    known : (B, 1, h, w) Tensor
        0 where nothing is known and nothing is to be learnt.
    emphasis : (B, 1, h, w) Tensor
        How much more than usual an answer counts that there is an object where there is none.
    """

    heat: Tensor
    boxes: Tensor
    weight: Tensor
    known: Tensor
    emphasis: Tensor

    def to(self, device: torch.device) -> Targets:
        """Return the same targets on another device."""
        parts = (self.heat, self.boxes, self.weight, self.known, self.emphasis)
        return Targets(*(value.to(device) for value in parts))


def draw_targets(
    boxes: Sequence[Tensor],
    labels: Sequence[Tensor],
    known: Tensor,
    classes: int,
    size: tuple[int, int],
    emphasis: Tensor | None = None,
) -> Targets:
    """Draw the targets of a batch.

    Parameters
    ----------
    boxes : sequence of (N, 4) Tensor
        For each image, x0, y0, x1, y1 in pixels of the network's input.
    labels : sequence of (N,) Tensor
        The boxes' classes.
    known : (B, 1, h, w) Tensor
        Where to learn.
    classes : int
        Number of heat maps.
    size : (int, int)
        Cells of the output: height and width of the input over `STRIDE`.
    emphasis : (B, 1, h, w) Tensor, optional
        As in `Targets`; by default 1 everywhere.
    """
    height, width = size
    heat = torch.zeros(len(boxes), classes, height, width)
    owner_boxes = torch.zeros(len(boxes), height, width, 4)
    weight = torch.zeros(len(boxes), height, width)
    cell_y = torch.arange(height) + 0.5
    cell_x = torch.arange(width) + 0.5
    for image, (image_boxes, image_labels) in enumerate(zip(boxes, labels, strict=True)):
        if not len(image_boxes):
            continue
        cells = image_boxes / STRIDE
        center = (cells[:, :2] + cells[:, 2:]) / 2
        extent = cells[:, 2:] - cells[:, :2]
        sigma = (SPREAD * extent + 1) / 6
        # The Gaussian stands on the middle of the cell that holds the centre, so that cell is exactly 1.
        middle = center.floor().clamp(min=0) + 0.5
        middle = torch.minimum(middle, torch.tensor([width - 0.5, height - 0.5]))
        along_x = torch.exp(-((cell_x - middle[:, :1]) ** 2) / (2 * sigma[:, :1] ** 2))
        along_y = torch.exp(-((cell_y - middle[:, 1:]) ** 2) / (2 * sigma[:, 1:] ** 2))
        gaussians = along_y[:, :, None] * along_x[:, None, :]
        for label in set(image_labels.tolist()):
            heat[image, label] = gaussians[image_labels == label].amax(dim=0)
        value, owner = gaussians.max(dim=0)
        core = value > CORE
        mass = torch.zeros(len(image_boxes)).index_add_(0, owner[core], value[core])
        weight[image] = torch.where(core, value / mass[owner].clamp(min=1e-6), 0)
        owner_boxes[image] = image_boxes[owner]
    emphasis = torch.ones_like(known) if emphasis is None else emphasis
    return Targets(heat, owner_boxes, weight * known[:, 0], known, emphasis)


def cell_boxes(distances: Tensor) -> Tensor:
    """Turn (B, 4, h, w) distances into (B, h, w, 4) boxes x0, y0, x1, y1 in pixels of the input."""
    height, width = distances.shape[-2:]
    y = (torch.arange(height, device=distances.device) + 0.5) * STRIDE
    x = (torch.arange(width, device=distances.device) + 0.5) * STRIDE
    left, top, right, bottom = distances.unbind(dim=1)
    return torch.stack([x - left, y[:, None] - top, x + right, y[:, None] + bottom], dim=-1)


def heatmap_loss(outputs: tuple[Tensor, Tensor, Tensor], targets: Targets) -> Tensor:
    """Return the sum of the losses of a batch, as one number.

    Penalty-reduced focal loss on the heat (Law and Deng, "CornerNet", 2018), generalized IoU on the boxes,
    and cross entropy of the predicted with the true overlap.
    """
    logits, distances, quality = (output.float() for output in outputs)
    heat = targets.heat
    objects = ((heat == 1) * targets.known).sum().clamp(min=1)
    probability = logits.sigmoid()
    at_center = (heat == 1).float() * functional.logsigmoid(logits) * (1 - probability) ** 2
    elsewhere = (1 - heat) ** 4 * functional.logsigmoid(-logits) * probability**2
    focal = -((at_center + elsewhere * targets.emphasis) * targets.known).sum() / objects

    learns = targets.weight > 0
    if not learns.any():
        return focal + 0 * distances.sum() + 0 * quality.sum()
    weight = targets.weight[learns]
    found = cell_boxes(distances)[learns]
    true = targets.boxes[learns]
    fit = (generalized_box_iou_loss(found, true) * weight).sum() / weight.sum()
    with torch.no_grad():
        overlap = _pairwise_iou(found, true)
    judged = functional.binary_cross_entropy_with_logits(quality[:, 0][learns], overlap, reduction="none")
    total: Tensor = focal + fit + QUALITY_WEIGHT * (judged * weight).sum() / weight.sum()
    return total


def _pairwise_iou(first: Tensor, second: Tensor) -> Tensor:
    low = torch.maximum(first[:, :2], second[:, :2])
    high = torch.minimum(first[:, 2:], second[:, 2:])
    shared = (high - low).clamp(min=0).prod(dim=1)
    areas = (first[:, 2:] - first[:, :2]).prod(dim=1) + (second[:, 2:] - second[:, :2]).prod(dim=1)
    return shared / (areas - shared)
