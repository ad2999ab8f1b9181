"""What is learnt from and what a model is judged on: groups that are held back whole, or cross-validation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.detections import Detections
from napari_localize.core.groups import FEWEST_GROUPS, Grouping, group_planes, natural, plural
from napari_localize.core.known import EVERYWHERE, KnownArea

VALIDATION_SHARE = 0.2

MOST_HELD_BACK = 0.4
"""A second group is held back where that takes no larger part of the planes."""

MOST_FOLDS = 4
"""So many models at most are trained for a cross-validation; with as many planes or fewer, one for each."""

FEWEST_IN_HALVES = 10
"""A single plane with so many boxes is judged half by half."""

_DRAWS = 64
"""So many choices of groups are looked at."""

_STARTS = 200
"""So many runs of neighbours are looked at."""

_LONGEST_GROUP = 200
"""So much of the end of a group's name, which may be a path, is told in a card."""

_SHOWN = 3
"""Names that a sentence lists at most."""


@dataclass(frozen=True)
class Fold:
    """One turn of a cross-validation: what its model learns from and what it is judged on.

    Attributes
    ----------
    train, validation : list of int
        Indices of planes.
    areas : (KnownArea, KnownArea) or None
        Where both are halves of one plane: what is known of it for learning, and for judging.
    """

    train: list[int]
    validation: list[int]
    areas: tuple[KnownArea, KnownArea] | None = None


@dataclass(frozen=True)
class Split:
    """Which planes are learnt from and which are held back; indices, and a sentence that says so.

    Attributes
    ----------
    train, validation : list of int
    text : str
        For the person who trains.
    left_out : list of int
        Neighbours of what is held back, which are on neither side.
    folds : list of Fold
        Turns of a cross-validation, where too little is there to hold some back; all planes are learnt from then.
    groups : tuple of str
        The group of each plane.
    kind : str
        What the groups are, see `core.groups.Grouping`.
    """

    train: list[int]
    validation: list[int]
    text: str
    left_out: list[int] = field(default_factory=list)
    folds: list[Fold] = field(default_factory=list)
    groups: tuple[str, ...] = ()
    kind: str = ""

    @property
    def held_back(self) -> bool:
        """Whether the validation planes are others than those learnt from."""
        return not set(self.train) & set(self.validation)

    @property
    def honest(self) -> bool:
        """Whether each plane is judged by a model that has not seen it."""
        return self.held_back or bool(self.folds)

    @property
    def cross_validated(self) -> bool:
        """Whether the kept model has learnt from what other models were judged on."""
        return len(self.folds) > 1

    def stopped_in(self, fold: Fold, names: Sequence[str]) -> Split:
        """Return the split of a cross-validation that was stopped: only the model of one turn is left."""
        what = _listed(names[index] for index in fold.validation)
        what = what if fold.areas is None else f"half of {what}"
        text = f"Stopped during the cross-validation: the model has not learnt from {what}, on which it is judged."
        return replace(self, train=fold.train, validation=fold.validation, folds=[fold], text=text)

    def describe(self, names: Sequence[str], most: int | None = None) -> dict[str, Any]:
        """Return what the card of a model says about it; of each list at most so many planes, by default all."""
        told: dict[str, Any] = {"split": self.text}
        if self.held_back:
            told["held_back"] = [
                {"name": names[index], "group": self.groups[index][-_LONGEST_GROUP:]}
                for index in self.validation[:most]
            ]
        elif self.folds:
            told["folds"] = [[names[index] for index in fold.validation[:most]] for fold in self.folds]
        if self.left_out:
            told["left_out"] = [names[index] for index in self.left_out[:most]]
        return told


def split_planes(
    annotations: Sequence[Detections],
    names: Sequence[str],
    seed: int,
    grouping: Grouping | None = None,
    known: Sequence[KnownArea] | None = None,
    shapes: Sequence[tuple[int, ...]] | None = None,
) -> Split:
    """Hold back about a fifth of the planes, in whole groups, so that no neighbour is on both sides.

    Of images of which nothing else is known, and of the planes of a movie or a stack, a run of neighbours is held
    back; of a movie or a stack the planes next to it are left out where there are enough. Each class is on both sides
    where that is possible. With too few groups or planes with boxes, nothing is held back and the split has folds for
    a cross-validation.

    Parameters
    ----------
    annotations : sequence of Detections
        The boxes of each plane that count, with the same class names.
    names : sequence of str
        Of the planes.
    seed : int
        The same planes and seed give the same split.
    grouping : Grouping, optional
        By default it is guessed from the names.
    known : sequence of KnownArea, optional
        Where the boxes of each plane tell everything.
    shapes : sequence of tuple, optional
        Height and width of each plane; needed to judge a single plane half by half.
    """
    grouping = group_planes(names) if grouping is None else grouping
    if grouping.kind != "blocks" and grouping.count == 1 < len(names):
        # One group cannot be divided but within.
        why = f"All planes are of one {plural(grouping.kind, 1)}, so blocks of them are taken."
        grouping = replace(grouping, kind="blocks", groups=grouping.movies, why=why)
    if grouping.kind in ("blocks", "image"):
        chosen = _run(annotations, grouping, seed)
    else:
        chosen = _whole_groups(annotations, grouping, seed)
    if chosen is not None:
        train, validation, left_out = chosen
        text = f"{grouping.why} {_what_is_held_back(validation, left_out, names, grouping)}".strip()
        return Split(train, validation, text, left_out, groups=grouping.groups, kind=grouping.kind)
    everything = list(range(len(names)))
    folds, judged = _folds(annotations, grouping), ""
    catch = ""
    if folds:
        unit = plural(grouping.kind, 1) if grouping.kind != "blocks" else "plane"
        if unit not in ("plane", "image") and _with_boxes(annotations, grouping) < 2:
            catch = f" All boxes are of one {unit}, so its planes are judged by models that have seen others of it."
            unit = "plane"
        judged = f"each {unit}"
    elif len(names) == 1 and shapes is not None:
        folds = _halves(annotations[0], EVERYWHERE if known is None else known[0], shapes[0])
        judged = "each half of the plane"
    if folds:
        text = (
            f"There is too little to hold any back, so the model is cross-validated: {judged} is judged by one "
            f"that has not seen it, and the kept model learns from all.{catch}"
        )
    else:
        text = _nothing_held_back(annotations)
    return Split(everything, everything, text, folds=folds, groups=grouping.groups, kind=grouping.kind)


def _nothing_held_back(annotations: Sequence[Detections]) -> str:
    catch = "the figures come from what was learnt from and flatter the model."
    if len(annotations) == 1:
        return f"With 1 plane and few boxes none could be held back: {catch}"
    return f"Too few planes have boxes for any to be held back: {catch}"


def _what_is_held_back(
    validation: Sequence[int], left_out: Sequence[int], names: Sequence[str], grouping: Grouping
) -> str:
    gap = ""
    if left_out:
        number = f"{len(left_out)} planes next to them are" if len(left_out) > 1 else "plane next to them is"
        gap = f"; the {number} left out of both sides"
    if grouping.kind == "blocks":
        shown = _listed(names[index] for index in validation)
        are = "is" if len(validation) == 1 else "are"
        beside = ", neighbours of each other," if len(validation) > 1 else ""
        return f"{len(validation)} of {len(names)} planes{beside} {are} held back: {shown}{gap}."
    held = list(dict.fromkeys(grouping.groups[index] for index in validation))
    if grouping.kind == "image":
        held = list(dict.fromkeys(names[index] for index in validation)) if len(held) == len(validation) else held
        beside = ", neighbours of each other," if len(held) > 1 else ""
        what = f"{len(held)} of {grouping.count} images{beside}"
    else:
        what = f"{len(held)} of {grouping.count} {plural(grouping.kind, grouping.count)}"
    planes = f"; {len(validation)} planes" if len(held) < len(validation) else ""
    verb = "is" if len(held) == 1 else "are"
    return f"{what} ({_listed(held)}{planes}) {verb} held back{gap}."


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    return ", ".join(found[:_SHOWN]) + (" ..." if len(found) > _SHOWN else "")


_Chosen = tuple[list[int], list[int], list[int]]
"""Indices of planes to learn from, held back, and on neither side."""


def _presence(annotations: Sequence[Detections]) -> NDArray[np.bool_]:
    """(planes, classes): whether there is a box."""
    classes = len(annotations[0].class_names)
    return np.array([np.bincount(boxes.labels, minlength=classes) > 0 for boxes in annotations])


def _whole_groups(annotations: Sequence[Detections], grouping: Grouping, seed: int) -> _Chosen | None:
    members: dict[str, list[int]] = {}
    for index, group in enumerate(grouping.groups):
        members.setdefault(group, []).append(index)
    if len(members) < FEWEST_GROUPS:
        return None
    has, count = _presence(annotations), len(annotations)
    names = sorted(members, key=natural)
    target = VALIDATION_SHARE * count
    rng = np.random.default_rng(seed)
    best: tuple[tuple[float, ...], list[int], list[int]] | None = None
    for _ in range(_DRAWS):
        held: list[int] = []
        order = [members[names[index]] for index in rng.permutation(len(names)).tolist()]
        for taken, planes in enumerate(order):
            enough = len(held) >= target - count / len(names) / 2
            second = taken == 1 and len(held) + len(planes) <= MOST_HELD_BACK * count and len(names) > FEWEST_GROUPS + 1
            if taken and enough and not second:
                break
            held += planes
        held.sort()
        rest = sorted(set(range(count)) - set(held))
        worth = _worth(has, rest, held)
        if worth is not None:
            ranked = (worth[0], float(2 * len(held) <= count), worth[1], -abs(len(held) - target))
            if best is None or ranked > best[0]:
                best = ranked, rest, held
    return None if best is None else (best[1], best[2], [])


def _worth(has: NDArray[np.bool_], train: Sequence[int], validation: Sequence[int]) -> tuple[float, float] | None:
    """How many classes can be learnt, and how many are held back; None where one side has no box at all."""
    learnt, judged = (int(has[list(side)].any(axis=0).sum()) if side else 0 for side in (train, validation))
    return (float(learnt), float(judged)) if learnt and judged else None


def _run(annotations: Sequence[Detections], grouping: Grouping, seed: int) -> _Chosen | None:
    """Hold back a run of neighbours; of the planes of one movie or stack with a gap on both sides."""
    count = len(annotations)
    slabs = _slabs(grouping)
    if len(slabs) < FEWEST_GROUPS:
        return None
    has, target = _presence(annotations), max(1, round(VALIDATION_SHARE * count))
    best: tuple[tuple[float, ...], _Chosen] | None = None
    for start in np.random.default_rng(seed).permutation(len(slabs))[:_STARTS].tolist():
        end, held = start, list[int]()
        while end < len(slabs) and len(held) < target:
            held += slabs[end][1]
            end += 1
        if len(held) < target:
            continue
        beside: list[int] = []
        for at, border in ((start - 1, start), (end, end - 1)):
            if 0 <= at < len(slabs) and slabs[at][0] and slabs[at][0] == slabs[border][0]:
                beside += slabs[at][1]
        spared = 2 * (count - len(held) - len(beside)) >= count
        left_out = sorted(beside) if spared else []
        rest = sorted(set(range(count)) - set(held) - set(left_out))
        worth = _worth(has, rest, held)
        if worth is not None:
            ranked = (worth[0], float(spared), worth[1], -abs(len(held) - target))
            if best is None or ranked > best[0]:
                best = ranked, (rest, sorted(held), left_out)
    return None if best is None else best[1]


def _slabs(grouping: Grouping) -> list[tuple[str, list[int]]]:
    """Put planes in order: the movie, or nothing for images that are no neighbours, and the planes at one place of it.

    A movie of stacks is cut across time, or across z where it has more places there.
    """
    if grouping.kind == "image":
        images: dict[str, list[int]] = {}
        for index, group in enumerate(grouping.groups):
            images.setdefault(group, []).append(index)
        return [("", images[name]) for name in sorted(images, key=natural)]
    movies: dict[str, list[int]] = {}
    for index, movie in enumerate(grouping.movies):
        movies.setdefault(movie, []).append(index)
    slabs = []
    for movie in sorted(movies, key=natural):
        frames = [dict(grouping.frames[index]) for index in movies[movie]]
        axes = sorted({axis for frame in frames for axis in frame}, key=lambda axis: (axis != "t", axis))
        if not axes:
            slabs += [(movie, [index]) for index in movies[movie]]
            continue
        along = max(axes, key=lambda axis: len({frame.get(axis, -1) for frame in frames}))
        places: dict[int, list[int]] = {}
        for index, frame in zip(movies[movie], frames, strict=True):
            places.setdefault(frame.get(along, -1), []).append(index)
        slabs += [(movie, places[place]) for place in sorted(places)]
    return slabs


def _with_boxes(annotations: Sequence[Detections], grouping: Grouping) -> int:
    """Return how many groups have boxes."""
    return len({group for group, boxes in zip(grouping.groups, annotations, strict=True) if len(boxes)})


def _folds(annotations: Sequence[Detections], grouping: Grouping) -> list[Fold]:
    """Divide the planes into turns of a cross-validation, each with boxes; none where that cannot be."""
    units: dict[str, list[int]] = {}
    for index, group in enumerate(grouping.groups):
        units.setdefault(f"{index}" if grouping.kind == "blocks" else group, []).append(index)
    parts = [part for part in units.values() if any(len(annotations[index]) for index in part)]
    if len(parts) < 2:
        parts = [[index] for index, boxes in enumerate(annotations) if len(boxes)]
    if len(parts) < 2:
        return []
    turns = [[index for part in turn for index in part] for turn in _in_turns(parts, min(len(parts), MOST_FOLDS))]
    # Planes without boxes tell what is found where nothing is.
    empty = sorted(set(range(len(annotations))) - {index for turn in turns for index in turn})
    for number, index in enumerate(empty):
        turns[number % len(turns)].append(index)
    everything = range(len(annotations))
    return [Fold([index for index in everything if index not in turn], sorted(turn)) for turn in turns]


def _in_turns(parts: list[list[int]], turns: int) -> list[list[list[int]]]:
    """Deal parts into runs of neighbours of about the same length."""
    borders = np.linspace(0, len(parts), turns + 1).round().astype(int).tolist()
    return [parts[low:high] for low, high in pairwise(borders)]


def _halves(boxes: Detections, known: KnownArea, shape: Sequence[int]) -> list[Fold]:
    """Cut a plane where half of its boxes lie on either side."""
    if len(boxes) < FEWEST_IN_HALVES:
        return []
    height, width = shape[:2]
    spread = np.ptp(boxes.centers, axis=0)
    across = int(spread[1] > spread[0])
    places = np.sort(boxes.centers[:, across].astype(np.float64))
    middle = len(places) // 2
    border = float(places[middle - 1] + places[middle]) / 2
    if places[middle - 1] == places[middle]:
        return []
    if across:
        sides = (known.within(0, 0, width, border), known.within(0, border, width, height))
    else:
        sides = (known.within(0, 0, border, height), known.within(border, 0, width, height))
    return [Fold([0], [0], sides), Fold([0], [0], sides[::-1])]
