"""What the bundled models learn from, and how."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from napari_localize.core.planes import ArrayPlane
from napari_localize.models.heatmap.network import HeatmapNetwork
from napari_localize.models.intensity import find_intensity_map
from napari_localize.training.crops import CropRecipe, TrainingPlane
from napari_localize.training.optimise import Recipe
from napari_localize.training.split import group_by_look, split_groups

FRACTIONS = {"train": 0.74, "validation": 0.08, "test": 0.18}
PARTS = tuple(FRACTIONS)
NEIGHBOURS = 10
"""Blood images are split in runs of this many neighbouring numbers."""


@dataclass(frozen=True)
class BundledRecipe:
    """How a bundled model is made."""

    folders: tuple[str, ...]
    classes: tuple[str, ...]
    steps: int
    optimise: Recipe
    start: str | None = None
    simulated: int = 0


RECIPES = {
    "nuclei": BundledRecipe(("nuclei",), ("nucleus",), 9000, Recipe()),
    "blood": BundledRecipe(
        ("blood",),
        ("RBC", "WBC", "Platelets"),
        2400,
        Recipe(learning_rate=1e-3, crops=replace(CropRecipe(), diameters=(18.0, 48.0), invert=0.0, grey=0.05)),
        start="nuclei",
    ),
}


@dataclass(frozen=True)
class Sample:
    """One annotated image of a data set."""

    file_name: str
    image: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    part: str
    group: int
    classes: tuple[str, ...] = field(default=())


def load_samples(folder: Path) -> list[Sample]:
    """Read a data set and say which part each image belongs to; the answer never changes."""
    content = json.loads((folder / "annotations.json").read_text())
    names = {category["id"]: index for index, category in enumerate(content["categories"])}
    images = [np.asarray(Image.open(folder / "images" / entry["file_name"])) for entry in content["images"]]
    if folder.name == "blood":
        # All of one look: neighbouring numbers, which may come from one slide, stay together.
        numbers = [int(re.findall(r"\d+", entry["file_name"])[0]) for entry in content["images"]]
        groups = np.array(numbers) // NEIGHBOURS
    else:
        groups = group_by_look(images)
    parts = split_groups(groups, FRACTIONS, [image.shape for image in images])
    boxes: dict[int, list[list[float]]] = {entry["id"]: [] for entry in content["images"]}
    labels: dict[int, list[int]] = {entry["id"]: [] for entry in content["images"]}
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        if width > 0 and height > 0:
            boxes[annotation["image_id"]].append([x, y, x + width, y + height])
            labels[annotation["image_id"]].append(names[annotation["category_id"]])
    return [
        Sample(
            entry["file_name"],
            image,
            np.array(boxes[entry["id"]], np.float32).reshape(-1, 4),
            np.array(labels[entry["id"]], np.int64),
            part,
            int(group),
        )
        for entry, image, part, group in zip(content["images"], images, parts, groups, strict=True)
    ]


def load_parts(recipe: BundledRecipe, data: Path) -> dict[str, list[TrainingPlane]]:
    """Read what a bundled model learns from, by part."""
    planes: dict[str, list[TrainingPlane]] = {part: [] for part in PARTS}
    for folder in recipe.folders:
        samples = load_samples(data / folder)
        sizes = Counter(sample.group for sample in samples)
        for sample in samples:
            plane = training_plane(sample)
            # Looks that are rare count for more than their number, common ones for less.
            planes[sample.part].append(replace(plane, weight=sizes[sample.group] ** -0.5))
    return planes


def training_plane(sample: Sample) -> TrainingPlane:
    """Bring an image to what the network sees."""
    source = ArrayPlane(sample.image)
    seen = find_intensity_map(source)(source.read(0, source.shape[0], 0, source.shape[1]))
    boxes = torch.from_numpy(sample.boxes)
    sides = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).sqrt()
    return TrainingPlane(
        torch.from_numpy((seen * 255).round().astype(np.uint8)).permute(2, 0, 1).contiguous(),
        boxes,
        torch.from_numpy(sample.labels),
        float(sides.median()) if len(sides) else 32.0,
    )


def copy_matching(network: HeatmapNetwork, weights: Mapping[str, Tensor]) -> None:
    """Take over all weights whose names and shapes agree, so everything but the heat maps of other classes."""
    own = network.state_dict()
    network.load_state_dict({k: v for k, v in weights.items() if k in own and v.shape == own[k].shape}, strict=False)
