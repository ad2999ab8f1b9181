"""The same image given twice is learnt once, so that it never lies on both sides of a split."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from napari_localize.core.areas import union_area
from napari_localize.core.detections import Detections
from napari_localize.core.errors import Cancelled
from napari_localize.core.known import KnownArea, Rectangles
from napari_localize.core.planes import PlaneSource

SAMPLED = 1 << 20
"""Of a plane with more pixels only some blocks are looked at, as long as no other one is like it there."""

BLOCK, BLOCKS = 128, 3
"""Side of these blocks, and how many there are along the height and along the width."""

_STRIP = 1 << 22
_MOST_NAMED = 3


@dataclass(frozen=True)
class Merged:
    """Planes without duplicates.

    Attributes
    ----------
    kept : list of int
        Which of the planes given are left, in their order.
    annotations, known, fingerprints : list
        Of these planes.
    notes : list of str
        Sentences on what was merged.
    """

    kept: list[int]
    annotations: list[Detections]
    known: list[KnownArea]
    fingerprints: list[str]
    notes: list[str]


@dataclass
class _Content:
    """What is known of the pixels of one image; changes as its duplicates are looked at."""

    shape: tuple[int, int, int]
    boxes: Detections
    known: KnownArea
    name: str


def merge_duplicates(
    planes: Sequence[PlaneSource],
    annotations: Sequence[Detections],
    known: Sequence[KnownArea],
    names: Sequence[str],
    should_stop: Callable[[], bool] = lambda: False,
) -> Merged:
    """Find planes with the same pixels, and keep one of each.

    Where their boxes differ, those count of which more is reviewed, or else the later ones. Where different parts
    were reviewed, both count.

    Parameters
    ----------
    planes, annotations, known, names : sequences
        Of the same length; see `training.train.train_model`.
    should_stop : callable, optional
        Asked before each plane.

    Raises
    ------
    Cancelled
        When `should_stop` said so.
    """
    first: dict[str, int] = {}
    contents: dict[int, _Content] = {}
    same: list[str] = []
    notes: list[str] = []
    fingerprints = []
    for plane in planes:
        if should_stop():
            raise Cancelled
        fingerprints.append(fingerprint(plane))
    for index, key in enumerate(_keys(planes, fingerprints, should_stop)):
        new = _Content(planes[index].shape, annotations[index], known[index], names[index])
        if key not in first:
            first[key] = index
            contents[index] = new
            continue
        old = contents[first[key]]
        if _equal(old, new):
            same.append(f"{new.name} is the same as {old.name}")
        else:
            notes.append(_join(old, new))
    if same:
        shown = "; ".join(same[:_MOST_NAMED]) + (" ..." if len(same) > _MOST_NAMED else "")
        notes.insert(0, f"Images that are there more than once with the same boxes are learnt once: {shown}.")
    if len(notes) > _MOST_NAMED + 1:
        notes[_MOST_NAMED:] = [f"So it was with {len(notes) - _MOST_NAMED} more images."]
    kept = list(contents)
    return Merged(
        kept,
        [each.boxes for each in contents.values()],
        [each.known for each in contents.values()],
        [fingerprints[index] for index in kept],
        notes,
    )


def _join(old: _Content, new: _Content) -> str:
    """Put together what two sources say of one image into the first, and say what was done."""
    both = f"{old.name} and {new.name} are the same image"
    if _apart(old.known, new.known):
        classes = tuple(dict.fromkeys([*old.boxes.class_names, *new.boxes.class_names]))
        parts = [each.boxes[each.known.holds(each.boxes.boxes)].with_classes(classes) for each in (old, new)]
        old.boxes = Detections.concatenate(parts)
        old.known = KnownArea(
            (*(old.known.reviewed or ()), *(new.known.reviewed or ())), (*old.known.ignored, *new.known.ignored)
        )
        return f"{both}; the reviewed areas of both are learnt from."
    before, after = (_reviewed(each) for each in (old, new))
    if before > after:
        return f"{both} with other boxes; those of {old.name} count, as more of it is reviewed."
    why = "as more of it is reviewed" if after > before else "the later of them"
    old.boxes, old.known = new.boxes, new.known
    return f"{both} with other boxes; those of {new.name} count, {why}."


def _reviewed(content: _Content) -> float:
    """Return how many square pixels are known."""
    height, width, _ = content.shape
    whole = ((0.0, 0.0, float(width), float(height)),)
    reviewed = whole if content.known.reviewed is None else content.known.reviewed
    return union_area(reviewed, height, width, content.known.ignored)


def _apart(one: KnownArea, other: KnownArea) -> bool:
    """Whether two sources tell of different parts of a plane."""
    if one.reviewed is None or other.reviewed is None:
        return False
    return not (_overlap(one.reviewed, (*other.reviewed, *other.ignored)) or _overlap(one.ignored, other.reviewed))


def _overlap(some: Rectangles, others: Rectangles) -> bool:
    return any(
        a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3] for a in some for b in others
    )  # fmt: skip


def _equal(one: _Content, other: _Content) -> bool:
    return one.known == other.known and _rows(one.boxes) == _rows(other.boxes)


def _rows(boxes: Detections) -> set[tuple[str, bool, bytes]]:
    return {
        (boxes.class_names[label], state == "rejected", corners.tobytes())
        for label, state, corners in zip(boxes.labels.tolist(), boxes.states.tolist(), boxes.boxes, strict=True)
    }


def _keys(planes: Sequence[PlaneSource], fingerprints: Sequence[str], should_stop: Callable[[], bool]) -> Iterator[str]:
    """Give for each plane a text that is the same as that of another one only if all of their pixels are."""
    marks = Counter(fingerprints)
    for plane, mark in zip(planes, fingerprints, strict=True):
        height, width, _ = plane.shape
        if marks[mark] == 1 or height * width <= SAMPLED:
            yield mark
            continue
        if should_stop():
            raise Cancelled
        rows = max(1, _STRIP // width)
        yield _digest(plane, [(y, min(y + rows, height), 0, width) for y in range(0, height, rows)])


def fingerprint(plane: PlaneSource) -> str:
    """Return a sha256 by which a plane is known again, whatever of it is reviewed and however it is learnt from.

    It is that of all pixels; of a plane with more than `SAMPLED` of them that of some blocks.
    """
    height, width, _ = plane.shape
    if height * width <= SAMPLED:
        return _digest(plane, [(0, height, 0, width)])
    tall, wide = min(BLOCK, height), min(BLOCK, width)
    ys = np.linspace(0, height - tall, BLOCKS).astype(int).tolist()
    xs = np.linspace(0, width - wide, BLOCKS).astype(int).tolist()
    return _digest(plane, [(y, y + tall, x, x + wide) for y in ys for x in xs])


def _digest(plane: PlaneSource, rectangles: Sequence[tuple[int, int, int, int]]) -> str:
    digest = hashlib.sha256(f"{plane.shape}".encode())
    for rectangle in rectangles:
        # The same numbers in another type are the same image.
        digest.update(np.ascontiguousarray(plane.read(*rectangle), np.float64).tobytes())
    return digest.hexdigest()
