"""What the bundled models learn from, how, and how good they are on what they have not seen."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage.io import imread

from napari_localize.core.detections import Detections
from napari_localize.core.planes import ArrayPlane
from napari_localize.core.settings import PredictSettings
from napari_localize.evaluation.calibration import Calibration, Judged, calibrate
from napari_localize.evaluation.metrics import best_threshold
from napari_localize.formats import read_annotations
from napari_localize.models import intensity
from napari_localize.models.card import ModelCard
from napari_localize.models.heatmap.network import HeatmapNetwork
from napari_localize.models.localizer import Model
from napari_localize.models.predict import FLOOR, predict_plane
from napari_localize.training.compare import measure
from napari_localize.training.crops import CropRecipe, TrainingPlane
from napari_localize.training.optimise import Recipe
from napari_localize.training.planes import read_training_plane
from napari_localize.training.simulate import simulate
from napari_localize.training.split import group_by_look, split_groups

FRACTIONS = {"train": 0.74, "validation": 0.08, "test": 0.18}
NEIGHBOURS = 10
"""Images of a folder that all look alike are split in runs of this many neighbouring numbers."""

ALIKE = ("blood",)
POINTS = ("rbc_types",)
"""Folders that hold centres only; their boxes have the reader's nominal size."""

SOURCES = {
    "nuclei": "2018 Data Science Bowl stage 1 training set with the community's mask fixes (CC0)",
    "blood": "BCCD, Giemsa-stained blood smears (MIT)",
    "rbc_types": "Chula RBC-12-Dataset, centres of red blood cells (MIT; arXiv:2012.01321)",
}


@dataclass(frozen=True)
class BundledRecipe:
    """How a bundled model is made.

    Attributes
    ----------
    description : str
        One sentence.
    folders : dict of str to float
        Data sets, and each one's share of the crops.
    classes : tuple of str
        Classes of the model; a single one takes in all classes of the data.
    steps : int
        Steps of the optimisation.
    optimise : Recipe
        How the weights are moved.
    object_diameter : float
        To which images are rescaled, in pixels.
    start : str or None
        Recipe whose training it goes on from.
    simulated : int
        Number of simulated images, and their share of the crops.
    """

    description: str
    folders: dict[str, float]
    classes: tuple[str, ...]
    steps: int
    optimise: Recipe
    object_diameter: float = 28.0
    start: str | None = None
    simulated: int = 0
    simulated_share: float = 0.0


WIDE = Recipe(
    learning_rate=1.5e-3,
    averaging=0.999,
    crops=replace(CropRecipe(), diameters=(16.0, 64.0), invert=0.25, grey=0.2),
)
"""For models that are to find objects of any kind."""

RECIPES = {
    "nuclei-base": BundledRecipe(
        "Nuclei at all sizes: what the bundled models start from; not bundled itself.",
        {"nuclei": 1.0},
        ("nucleus",),
        9000,
        Recipe(),
    ),
    "nuclei-sized": BundledRecipe(
        "Nuclei near the size at which they are looked for; not bundled itself.",
        {"nuclei": 1.0},
        ("nucleus",),
        9000,
        Recipe(crops=replace(CropRecipe(), diameters=(20.0, 60.0), invert=0.05, noise=0.1, blur=0.05)),
        object_diameter=36.0,
        start="nuclei-base",
    ),
    "nuclei": BundledRecipe(
        "Nuclei in fluorescence, stained tissue and bright field.",
        {"nuclei": 1.0},
        ("nucleus",),
        6000,
        Recipe(
            learning_rate=1e-3,
            averaging=0.999,
            crops=replace(CropRecipe(), diameters=(20.0, 60.0), invert=0.05, noise=0.1, blur=0.05),
        ),
        object_diameter=36.0,
        start="nuclei-sized",
    ),
    "blood": BundledRecipe(
        "Red cells, white cells and platelets in Giemsa-stained blood smears.",
        {"blood": 1.0},
        ("RBC", "WBC", "Platelets"),
        2400,
        Recipe(
            head_factor=3.0,
            averaging=0.995,
            crops=replace(CropRecipe(), diameters=(26.0, 64.0), invert=0.0, grey=0.05),
        ),
        object_diameter=40.0,
        start="nuclei-base",
    ),
    "without-blood": BundledRecipe(
        "Objects of any kind except blood cells: for measuring how new domains are learnt; not bundled itself.",
        {"nuclei": 0.45},
        ("object",),
        5000,
        WIDE,
        object_diameter=32.0,
        start="nuclei",
        simulated=1200,
        simulated_share=0.55,
    ),
    "without-nuclei": BundledRecipe(
        "Objects of any kind except nuclei: for measuring how new domains are learnt; not bundled itself.",
        {"blood": 0.3, "rbc_types": 0.1},
        ("object",),
        2400,
        WIDE,
        object_diameter=32.0,
        simulated=1200,
        simulated_share=0.6,
    ),
    "generalist": BundledRecipe(
        "Objects of any kind: the start for models of your own.",
        {"nuclei": 0.4, "blood": 0.15, "rbc_types": 0.05},
        ("object",),
        4000,
        WIDE,
        object_diameter=32.0,
        start="without-blood",
        simulated=1200,
        simulated_share=0.4,
    ),
}


@dataclass(frozen=True)
class Sample:
    """One annotated image of a data set, the part it belongs to, and the number of its look."""

    file_name: str
    image: np.ndarray[Any, Any]
    boxes: Detections
    part: str
    group: int
    sized: bool = True


@dataclass
class Parts:
    """Planes to learn from, and samples to validate and test on; by folder for the test."""

    train: list[TrainingPlane] = field(default_factory=list)
    validation: list[Sample] = field(default_factory=list)
    test: dict[str, list[Sample]] = field(default_factory=dict)


def load_samples(folder: Path) -> list[Sample]:
    """Read a data set and say which part each image belongs to; the answer never changes."""
    annotations = read_annotations(folder / "annotations.json")
    names = list(annotations)
    images = [imread(folder / "images" / name) for name in names]
    if folder.name in ALIKE:
        groups = np.array([int(re.findall(r"\d+", name)[0]) // NEIGHBOURS for name in names])
    else:
        groups = group_by_look(images)
    parts = split_groups(groups, FRACTIONS, [image.shape for image in images])
    sized = folder.name not in POINTS
    return [
        Sample(name, image, annotations[name], part, int(group), sized)
        for name, image, part, group in zip(names, images, parts, groups, strict=True)
    ]


def load_parts(recipe: BundledRecipe, data: Path) -> Parts:
    """Read everything that a bundled model learns from and is measured on."""
    parts = Parts()
    for folder, share in recipe.folders.items():
        samples = [
            replace(sample, boxes=in_classes(sample.boxes, recipe.classes)) for sample in load_samples(data / folder)
        ]
        train = [sample for sample in samples if sample.part == "train"]
        sizes = Counter(sample.group for sample in train)
        # Looks that are rare count for more than their number, common ones for less.
        weights = np.array([sizes[sample.group] ** -0.5 for sample in train])
        for sample, weight in zip(train, share * weights / weights.sum(), strict=True):
            plane = read_training_plane(ArrayPlane(sample.image), sample.boxes, typical=32.0)
            parts.train.append(replace(plane, weight=float(weight), sized=sample.sized))
        if samples[0].sized:
            parts.validation += [sample for sample in samples if sample.part == "validation"]
            parts.test[folder] = [sample for sample in samples if sample.part == "test"]
    for seed in range(recipe.simulated):
        drawn = simulate(seed)
        plane = read_training_plane(ArrayPlane(drawn.image), Detections(drawn.boxes), typical=32.0)
        parts.train.append(replace(plane, weight=recipe.simulated_share / recipe.simulated))
    return parts


def in_classes(boxes: Detections, classes: Sequence[str]) -> Detections:
    """Bring boxes to a model's classes; a model of one class takes them all."""
    if len(classes) == 1:
        return Detections(boxes.boxes, scores=boxes.scores, class_names=tuple(classes))
    return boxes.with_classes(classes)


def predict_samples(model: Model, samples: Sequence[Sample]) -> list[Detections]:
    """Run a model with everything automatic and no threshold."""
    settings = PredictSettings(threshold=FLOOR)
    return [predict_plane(model, ArrayPlane(sample.image), settings) for sample in samples]


def measure_on(model: Model, samples: Sequence[Sample]) -> dict[str, float]:
    """Measure a model on samples: AP50 and AP of everything, the rest at the card's threshold."""
    true = [in_classes(sample.boxes, model.card.classes) for sample in samples]
    return measure(predict_samples(model, samples), true, [model.card.threshold] * len(true))


def calibration_on(model: Model, samples: Sequence[Sample]) -> Calibration | None:
    """Learn from samples that took no part in the training what a model's scores mean."""
    true = [in_classes(sample.boxes, model.card.classes) for sample in samples]
    return calibrate(Judged(predict_samples(model, samples), true))


def finish(name: str, network: HeatmapNetwork, parts: Parts, steps: int, version: int = 1) -> Model:
    """Make a model of trained weights: threshold from the validation images, measures from the test images."""
    recipe = RECIPES[name]
    card = ModelCard(
        name=name,
        version=version,
        parent=recipe.start,
        description=recipe.description,
        architecture={"kind": "heatmap", **network.config.model_dump()},
        classes=list(recipe.classes),
        object_diameter=recipe.object_diameter,
        diameter_range=recipe.optimise.crops.diameters,
        channels=intensity.RULE,
        intensity=f"percentiles {intensity.PERCENTILES[0]} to {intensity.PERCENTILES[1]}",
        threshold=0.4,
        licence="BSD-3-Clause",
        created=datetime.now(UTC).date().isoformat(),
    )
    model = Model(network, card, "cpu")
    found = predict_samples(model, parts.validation)
    card.threshold = round(best_threshold(found, [sample.boxes for sample in parts.validation]), 3)
    card.calibration = calibration_on(model, parts.validation)
    card.metrics = {
        f"test images of {folder}": {
            "images": len(samples),
            "boxes": sum(len(sample.boxes) for sample in samples),
            **{key: round(value, 4) for key, value in measure_on(model, samples).items()},
        }
        for folder, samples in parts.test.items()
    }
    card.training = {
        "command": f"python scripts/train_bundled.py {name} --data ../shared/data",
        "data": [SOURCES[folder] for folder in recipe.folders],
        "simulated images": recipe.simulated,
        "planes": len(parts.train),
        "boxes": int(sum(len(plane.boxes) for plane in parts.train)),
        "sha256": _fingerprint(parts.train),
        "split": "by look: groups of images alike in size, brightness and colour statistics stay together; blood in "
        f"runs of {NEIGHBOURS} neighbouring numbers; 74 % to train, 8 % to choose the threshold, 18 % for the test",
        "steps": steps,
        "seed": 0,
        "torch": torch.__version__,
    }
    return model


def _fingerprint(planes: Sequence[TrainingPlane]) -> str:
    digest = hashlib.sha256()
    for plane in planes:
        digest.update(plane.pixels.numpy().tobytes())
        digest.update(plane.boxes.numpy().tobytes())
    return digest.hexdigest()
