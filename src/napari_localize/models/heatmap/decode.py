"""Reading boxes out of the network's answer."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import batched_nms

from napari_localize.models.heatmap.loss import cell_boxes

NMS_IOU = 0.5
"""Of two boxes of a class that overlap more than this, the one with the lower score goes."""

HEAT_POWER = 0.4
"""Score = heat ** HEAT_POWER * quality ** (1 - HEAT_POWER)."""


def decode(outputs: tuple[Tensor, Tensor, Tensor], floor: float) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Read the boxes of a batch.

    Parameters
    ----------
    outputs : tuple of Tensor
        What `HeatmapNetwork` returns.
    floor : float
        Lowest score of a box.

    Returns
    -------
    list of (boxes, labels, scores)
        For each image, on the CPU: (N, 4) float32 in pixels of the input, (N,) int64, (N,) float32, best first.
        As many as there are; objects are never cut off by number.
    """
    logits, distances, quality = (output.float() for output in outputs)
    heat, fit = logits.sigmoid(), quality.sigmoid()
    peak = functional.max_pool2d(heat, 3, stride=1, padding=1) == heat
    score = heat**HEAT_POWER * fit ** (1 - HEAT_POWER) * peak
    boxes = _averaged(cell_boxes(distances), heat.amax(dim=1) * fit[:, 0])
    answers = []
    for image in range(len(score)):
        labels, rows, columns = torch.nonzero(score[image] >= floor, as_tuple=True)
        found = boxes[image, rows, columns]
        scores = score[image, labels, rows, columns]
        keep = batched_nms(found, scores, labels, NMS_IOU)
        answers.append((found[keep].cpu(), labels[keep].cpu(), scores[keep].cpu()))
    return answers


def _averaged(boxes: Tensor, weight: Tensor) -> Tensor:
    """Average each cell's (B, h, w, 4) box with its eight neighbours', which answer for the same object."""
    weights = weight[:, None]
    total = functional.avg_pool2d(boxes.permute(0, 3, 1, 2) * weights, 3, stride=1, padding=1)
    mass = functional.avg_pool2d(weights, 3, stride=1, padding=1)
    return (total / mass.clamp(min=torch.finfo(mass.dtype).tiny)).permute(0, 2, 3, 1)
