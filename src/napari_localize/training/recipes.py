"""How a model learns, chosen from what there is to learn, what it starts from, and how long it may take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_localize.core.recipe import CROP_SIDES, RecipeChoices
from napari_localize.training.crops import CropRecipe, TrainingPlane
from napari_localize.training.optimise import Recipe

SCRATCH = Recipe()
FINE_TUNE = Recipe(
    averaging=0.95,
    head_factor=5.0,
    crops=CropRecipe(diameters=(22.0, 52.0), invert=0.0, grey=0.05),
)

OBJECT_DIAMETER = 28.0
"""Object diameter, in pixels, to which images are rescaled for a new model: that of `SCRATCH`."""

FINE_TUNE_DIAMETER = 32.0
"""The one that `FINE_TUNE` is made for."""

SMALL = 20.0
"""Where objects of a class would be smaller than this, in pixels, all are learnt at a larger size."""

ENLARGED = 48.0
"""They are not made larger than this for it."""

SMALLEST_SIDE = 128
"""Crops are not made smaller than this, however small the images are."""

FILLED = 0.7
"""Part of a plane's side, at the middle of the sizes that are learnt, that a crop shows: smaller sizes fill it, too."""

BALANCE = 0.5
"""Where objects are copied, those of rare classes are taken more often, see `CropRecipe`."""

INVERT = 0.15

LONG = 180.0
"""Trainings of more seconds than this may stop early."""

PATIENCE = 6

STRENGTH = {"weak": 0.5, "medium": 1.0, "strong": 1.6}


STEPS_PER_PLANE = 100
LEAST_STEPS = 300
"""With a base and few planes, more steps than this and than so many for each plane learn the planes by heart."""

FEW_PLANES = 30

FEWEST_TO_FOLLOW = 6
"""From so many planes on the statistics of the normalisation follow the new images."""


@dataclass(frozen=True)
class Chosen:
    """A recipe, a sentence in plain words that says what it is and why, and each of its parts.

    Images are rescaled so that typical objects have the `object_diameter`, in pixels. `parts` has what is chosen for each
    field of `RecipeChoices`, also where that was automatic.
    """

    recipe: Recipe
    text: str
    object_diameter: float
    parts: dict[str, Any]


def choose_recipe(
    planes: Sequence[TrainingPlane],
    seconds: float | None,
    start: Recipe,
    *,
    base_diameter: float | None,
    mixable: bool = True,
    halves: bool = False,
    choices: RecipeChoices | None = None,
) -> Chosen:
    """Choose how a model learns.

    Parameters
    ----------
    planes : sequence of TrainingPlane
        What it learns from.
    seconds : float or None
        How long it may take; None when it learns for a number of epochs.
    start : Recipe
        What is not chosen here.
    base_diameter : float or None
        Object diameter, in pixels, of the model that it starts from; None without one.
    mixable : bool
        Whether the base knows any of the classes, and there are planes by which a mixture with it can be chosen, or it is
        at least half of the mixture.
    halves : bool
        Whether it is, as no plane is held back to choose the mixture.
    choices : RecipeChoices, optional
        What a person has chosen; it is taken as it is.
    """
    choices = choices or RecipeChoices()
    based = base_diameter is not None
    said: list[str] = []
    boxes = sum(len(plane.boxes) for plane in planes)
    # Heads that learn alone first did harm where it was measured, and copies of objects have not been shown to help:
    # both only when a person asks for them.
    head_first = (choices.head_first or 0.0) if based else 0.0
    if head_first:
        said.append(f"the last layers alone for {head_first:.0%} of the time, then all")
    elif based:
        said.append("all layers from the start")
    else:
        said.append("all layers from random weights")

    # A few images say too little about the statistics: letting them follow made some trainings fail.
    frozen = based and (len(planes) < FEWEST_TO_FOLLOW if choices.norm is None else choices.norm == "frozen")
    if based:
        said.append(f"normalisation {'as in the base' if frozen else 'follows the new images'}")

    rate = choices.learning_rate or start.learning_rate
    said.append(f"learning rate {rate:g}")

    usual = OBJECT_DIAMETER if base_diameter is None else base_diameter
    diameter = choices.object_diameter or _object_diameter(planes, usual)
    if diameter > usual and choices.object_diameter is None:
        said.append(f"objects learnt at {diameter:.0f} pixels, as some are much smaller than others")
    else:
        said.append(f"objects learnt at {diameter:.0f} pixels")
    zoom = diameter / (FINE_TUNE_DIAMETER if based else OBJECT_DIAMETER)
    sized = replace(start.crops, diameters=(start.crops.diameters[0] * zoom, start.crops.diameters[1] * zoom))

    side = choices.crop_side or min(sized.side, _side(planes, sized))
    said.append(f"crops of {side} pixels")

    strength = choices.augmentation or "medium"
    said.append(f"{strength} variation of size and light")

    invert, why = start.crops.invert, ""
    if choices.invert is not None:
        invert = INVERT if choices.invert else 0.0
    elif based and _both_polarities(planes):
        invert, why = INVERT, ", as objects are bright on some planes and dark on others"
    if invert:
        said.append(f"negatives of some{why}")

    paste = choices.copy_paste or 0.0
    if paste:
        said.append(f"objects copied into {paste:.0%} of the crops")

    # Where all classes are new, their layers began as those of other objects: there is no ability to keep in them.
    average = based and (mixable if choices.average is None else choices.average)
    if average:
        said.append(f"mixed with the base in the end, {'at least half of it' if halves else 'where that does no harm'}")
    patience = PATIENCE if seconds is None or seconds > LONG else 0
    patience = patience if choices.patience is None else choices.patience
    if patience:
        said.append(f"stops after {patience} checks without a better one")
    limited = based and seconds is not None and len(planes) <= FEW_PLANES
    enough = max(LEAST_STEPS, STEPS_PER_PLANE * len(planes)) if limited else 0
    most_steps = enough if choices.most_steps is None else choices.most_steps
    if most_steps:
        why = ", as more would learn so few images by heart" if choices.most_steps is None else ""
        said.append(f"{most_steps:,} steps at most{why}")
    crops = _varied(sized, STRENGTH[strength])
    crops = replace(crops, side=side, invert=invert, paste=paste, balance=BALANCE if paste else 0.0)
    recipe = replace(
        start,
        learning_rate=rate,
        freeze_norm=frozen,
        head_first=head_first,
        average=average,
        patience=patience,
        most_steps=most_steps,
        crops=crops,
    )
    parts = {
        "head_first": head_first,
        "norm": "frozen" if frozen else "updated",
        "learning_rate": rate,
        "augmentation": strength,
        "invert": invert > 0,
        "copy_paste": paste,
        "object_diameter": diameter,
        "crop_side": side,
        "average": average,
        "patience": patience,
        "most_steps": most_steps,
    }
    return Chosen(recipe, f"Recipe for {boxes} boxes: {'; '.join(said)}.", diameter, parts)


def _object_diameter(planes: Sequence[TrainingPlane], usual: float) -> float:
    """Return the diameter at which typical objects are learnt: larger than usual where those of a class are small."""
    classes: dict[int, list[float]] = {}
    for plane in planes:
        if plane.sized:
            relative = (plane.boxes[:, 2:] - plane.boxes[:, :2]).clamp(min=1).prod(dim=1).sqrt() / plane.diameter
            for label, size in zip(plane.labels.tolist(), relative.tolist(), strict=True):
                classes.setdefault(label, []).append(size)
    if not classes:
        return usual
    smallest = min(float(np.median(sizes)) for sizes in classes.values())
    return float(np.clip(SMALL / smallest, usual, max(usual, ENLARGED)))


def _side(planes: Sequence[TrainingPlane], crops: CropRecipe) -> int:
    """Return the side of crops that the planes fill, even where they are small."""
    zoom = math.sqrt(crops.diameters[0] * crops.diameters[1])
    shown = float(np.median([math.sqrt(math.prod(plane.pixels.shape[1:])) / plane.diameter for plane in planes]))
    wanted = max(SMALLEST_SIDE, FILLED * shown * zoom)
    return next((side for side in CROP_SIDES if side >= wanted), CROP_SIDES[-1])


def _varied(crops: CropRecipe, strength: float) -> CropRecipe:
    """Return a recipe with sizes and light varied more, or less."""
    if strength == 1:
        return crops
    middle = math.sqrt(crops.diameters[0] * crops.diameters[1])
    reach = (crops.diameters[1] / middle) ** strength
    return replace(
        crops,
        diameters=(middle / reach, middle * reach),
        stretch=crops.stretch * strength,
        grey=min(1.0, crops.grey * strength),
        recolour=min(1.0, crops.recolour * strength),
        noise=min(1.0, crops.noise * strength),
        blur=min(1.0, crops.blur * strength),
    )


def _both_polarities(planes: Sequence[TrainingPlane]) -> bool:
    """Whether grey planes show objects that are brighter than their surroundings, and others darker ones."""
    signs = set()
    for plane in planes:
        if not len(plane.boxes) or _coloured(plane):
            continue
        height, width = plane.pixels.shape[1:]
        centers = ((plane.boxes[:, :2] + plane.boxes[:, 2:]) / 2).int()
        x, y = centers[:, 0].clamp(0, width - 1), centers[:, 1].clamp(0, height - 1)
        inside = plane.pixels[0, y, x].float().median()
        signs.add(bool(inside > plane.pixels[0].float().median()))
    return len(signs) == 2


def _coloured(plane: TrainingPlane) -> bool:
    first = plane.pixels[:, ::8, ::8].int()
    return bool(((first[0] - first[1]).abs().max() > 8) | ((first[0] - first[2]).abs().max() > 8))
