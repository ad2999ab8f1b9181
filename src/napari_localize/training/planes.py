"""Checking what a person gives to learn from, and dividing it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.planes import PlaneSource
from napari_localize.models.intensity import find_intensity_map
from napari_localize.training.crops import TrainingPlane

VALIDATION_SHARE = 0.2

FEWEST_FOR_SPLIT = 4
"""With fewer planes than this none is held back."""


@dataclass(frozen=True)
class Split:
    """Which planes are learnt from and which are held back; indices, and a sentence that says so."""

    train: list[int]
    validation: list[int]
    text: str

    @property
    def held_back(self) -> bool:
        """Whether the validation planes are others than those learnt from."""
        return not set(self.train) & set(self.validation)


def check_annotations(
    planes: Sequence[PlaneSource], annotations: Sequence[Detections], names: Sequence[str]
) -> tuple[list[Detections], tuple[str, ...], list[str]]:
    """Bring annotations to one class list, without what cannot be learnt from.

    Returns
    -------
    annotations, class_names, notes
        Boxes cut at the image's borders and without rejected ones; sentences on what was left out.

    Raises
    ------
    UserError
        When the numbers do not agree or there is no box at all.
    """
    if not len(planes) == len(annotations) == len(names):
        raise UserError(f"there are {len(planes)} images but {len(annotations)} sets of boxes; give one for each.")
    if not planes:
        raise UserError("there is no image to learn from; give at least one with boxes.")
    classes = tuple(dict.fromkeys(name for plane in annotations for name in plane.class_names))
    kept, outside = [], 0
    for plane, boxes in zip(planes, annotations, strict=True):
        wanted = boxes.with_classes(classes)[boxes.states != "rejected"]
        inside = wanted.clip(plane.shape[0], plane.shape[1])
        outside += len(wanted) - len(inside)
        kept.append(inside)
    if not sum(len(boxes) for boxes in kept):
        raise UserError("there is no box to learn from; draw or accept at least one on a finished plane.")
    notes = []
    if outside:
        notes.append(f"{outside} boxes lie wholly outside their image and were left out.")
    totals: Counter[str] = Counter()
    for boxes in kept:
        totals.update(boxes.counts())
    unseen = [name for name in classes if not totals[name]]
    if unseen:
        notes.append(f"No box of class {', '.join(unseen)} was given, so the model cannot learn it.")
    return kept, classes, notes


def split_planes(annotations: Sequence[Detections], names: Sequence[str], seed: int) -> Split:
    """Hold back a run of neighbouring planes, so that no plane learnt from is the next frame of one held back."""
    count = len(annotations)
    if count < FEWEST_FOR_SPLIT:
        everything = list(range(count))
        return Split(
            everything,
            everything,
            f"With {count} plane{'s' if count > 1 else ''} none could be held back: the figures come from what was "
            "learnt from and flatter the model.",
        )
    held = max(1, round(VALIDATION_SHARE * count))
    starts = np.random.default_rng(seed).permutation(count - held + 1).tolist()
    best = max(starts, key=lambda start: _worth(annotations, range(start, start + held)))
    validation = list(range(best, best + held))
    shown = ", ".join(names[index] for index in validation[:3]) + (" ..." if held > 3 else "")
    return Split(
        [index for index in range(count) if index not in validation],
        validation,
        f"{held} of {count} planes, neighbours of each other, were held back for comparison: {shown}.",
    )


def _worth(annotations: Sequence[Detections], held: range) -> tuple[int, int]:
    """Prefer splits that leave every class to learn from, then those that hold every class back."""
    inside, outside = set[str](), set[str]()
    for index, boxes in enumerate(annotations):
        seen = {name for name, number in boxes.counts().items() if number}
        (inside if index in held else outside).update(seen)
    return len(outside), len(inside)


def read_training_plane(plane: PlaneSource, boxes: Detections, typical: float) -> TrainingPlane:
    """Read a plane as the network will see it.

    Parameters
    ----------
    plane : PlaneSource
        The image.
    boxes : Detections
        Its boxes.
    typical : float
        Object diameter to assume when the plane has no box.
    """
    height, width, _ = plane.shape
    seen = find_intensity_map(plane)(plane.read(0, height, 0, width))
    return TrainingPlane(
        torch.from_numpy((seen * 255).round().astype(np.uint8)).permute(2, 0, 1).contiguous(),
        torch.from_numpy(boxes.boxes),
        torch.from_numpy(boxes.labels),
        float(np.median(boxes.diameters)) if len(boxes) else typical,
    )
