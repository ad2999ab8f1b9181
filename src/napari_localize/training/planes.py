"""Checking and reading what a person gives to learn from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.known import EVERYWHERE, KnownArea
from napari_localize.core.planes import PlaneSource
from napari_localize.core.tiling import Rectangle, plan_tiles
from napari_localize.models.card import MOST_CLASSES
from napari_localize.models.intensity import IntensityMap, find_intensity_map
from napari_localize.training.crops import TrainingPlane

LARGEST_SIDE = 4096
"""Of planes with a longer side only windows are kept: those with most boxes."""

WINDOW = 2048
MOST_WINDOWS = 16

SMALLEST_WINDOW = 512
MOST_PIXELS = 1 << 30
"""All planes together are cut to windows, down to the smallest, that do not hold many more pixels; three bytes each."""

LARGEST_DIAMETER = 112
"""Planes are reduced as long as their objects stay larger than this, which is more than is ever learnt from."""

CONTEXT = 8
"""So many object diameters around what is reviewed are read, too: a crop must not end where knowledge ends."""

STRIP_PIXELS = 4_000_000
"""About as many pixels are read at once."""


def check_annotations(
    planes: Sequence[PlaneSource],
    annotations: Sequence[Detections],
    names: Sequence[str],
    known: Sequence[KnownArea] | None = None,
    base_classes: Collection[str] = (),
) -> tuple[list[Detections], tuple[str, ...], list[str]]:
    """Bring annotations to one class list, without what cannot be learnt from.

    A class without a box in the known areas is left out, unless the base knows it: a new one starts as an object of
    any kind, and would be found everywhere until the model has learnt that it is nowhere.

    Returns
    -------
    annotations, class_names, notes
        Boxes cut at the image's borders and without rejected ones, also those outside of the known areas; sentences
        on what was left out.

    Raises
    ------
    UserError
        When the numbers do not agree, there is no box at all in the known areas, or there are too many classes.
    """
    known = [EVERYWHERE] * len(planes) if known is None else known
    if not len(planes) == len(annotations) == len(names) == len(known):
        raise UserError(f"there are {len(planes)} images but {len(annotations)} sets of boxes; give one for each.")
    if not planes:
        raise UserError("there is no image to learn from; give at least one with boxes.")
    classes = tuple(dict.fromkeys(name for plane in annotations for name in plane.class_names))
    if len(classes) > MOST_CLASSES:
        raise UserError(
            f"the boxes have {len(classes)} classes, but a model can have {MOST_CLASSES}; join classes, or check that "
            "the names are classes and not numbers of objects."
        )
    kept, outside = [], 0
    totals: Counter[str] = Counter()
    for plane, boxes, area in zip(planes, annotations, known, strict=True):
        wanted = boxes.with_classes(classes)[boxes.states != "rejected"]
        inside = wanted.clip(plane.shape[0], plane.shape[1])
        outside += len(wanted) - len(inside)
        kept.append(inside)
        totals.update(inside[area.holds(inside.boxes)].counts())
    unseen = [name for name in classes if not totals[name]]
    if not totals.total():
        raise UserError("there is no box to learn from; draw or accept at least one on a finished plane.")
    notes = []
    if outside:
        notes.append(f"{outside} boxes lie wholly outside their image and were left out.")
    forgotten = [name for name in unseen if name in base_classes]
    dropped = [name for name in unseen if name not in base_classes]
    if forgotten:
        it = "it" if len(forgotten) == 1 else "them"
        notes.append(f"No box of {_classes(forgotten)} was given, so the model may forget {it}.")
    if dropped:
        it = "it" if len(dropped) == 1 else "them"
        notes.append(f"No box of {_classes(dropped)} was given, so the model will not know {it}.")
        classes = tuple(name for name in classes if name not in dropped)
        kept = [_of_classes(found, classes) for found in kept]
    return kept, classes, notes


def _of_classes(boxes: Detections, classes: tuple[str, ...]) -> Detections:
    wanted = np.array([name in classes for name in boxes.class_names], bool)
    return boxes[wanted[boxes.labels]].with_classes(classes)


def busiest_windows(
    boxes: Detections, height: int, width: int, side: int, most: int, known: KnownArea = EVERYWHERE
) -> list[Rectangle]:
    """Choose the windows of a plane that hold the most boxes; boxes of rare classes count for more.

    Parameters
    ----------
    boxes : Detections
        Inside the plane.
    height, width : int
        Size of the plane.
    side : int
        Of the windows; a smaller plane is a window itself.
    most : int
        As many at most; at least one, and none without boxes beside it.
    known : KnownArea
        Boxes outside of it do not count, and windows in which nothing is reviewed are not chosen.
    """
    windows = plan_tiles(height, width, side, 0)
    windows = [window for window in windows if _reviewed_in(known, window)] or windows
    boxes = boxes[known.holds(boxes.boxes)]
    x, y = boxes.centers.T
    worth = 1 / np.bincount(boxes.labels, minlength=1)[boxes.labels]
    values = [worth[(x >= w.x0) & (x < w.x1) & (y >= w.y0) & (y < w.y1)].sum() for w in windows]
    order = np.argsort(-np.array(values), kind="stable")[:most].tolist()
    return [windows[index] for index in order if values[index] > 0 or index == order[0]]


def training_windows(
    plane: PlaneSource,
    boxes: Detections,
    typical: float,
    pixels: int = MOST_PIXELS,
    known: KnownArea = EVERYWHERE,
) -> list[Rectangle]:
    """Say which parts of a plane are to be read.

    That is all around what is reviewed, unless it is very large or has more pixels than its share.
    """
    height, width, _ = plane.shape
    boxes = boxes[known.holds(boxes.boxes)]
    reduced = _reduction(boxes, typical)
    around = _around(known, height, width, CONTEXT * _diameter(boxes, typical))
    tall, wide = around.y1 - around.y0, around.x1 - around.x0
    if max(tall, wide) <= LARGEST_SIDE * reduced and tall * wide <= pixels * reduced**2:
        return [around]
    side = int(np.clip(math.isqrt(pixels), SMALLEST_WINDOW, WINDOW))
    most = int(np.clip(pixels // side**2, 1, MOST_WINDOWS))
    return busiest_windows(boxes, height, width, side * reduced, most, known)


def _around(known: KnownArea, height: int, width: int, margin: float) -> Rectangle:
    """Return the part of a plane that holds all that is reviewed, with a margin."""
    if known.reviewed:
        corners = np.array(known.reviewed)
        low, high = corners[:, :2].min(axis=0) - margin, corners[:, 2:].max(axis=0) + margin
        x0, y0 = np.clip(np.floor(low), 0, [width, height]).astype(int).tolist()
        x1, y1 = np.clip(np.ceil(high), 0, [width, height]).astype(int).tolist()
        if x0 < x1 and y0 < y1:
            return Rectangle(y0, y1, x0, x1)
    return Rectangle(0, height, 0, width)


def _reviewed_in(known: KnownArea, window: Rectangle) -> bool:
    """Whether something in a window is reviewed."""
    return known.reviewed is None or any(
        x0 < window.x1 and window.x0 < x1 and y0 < window.y1 and window.y0 < y1 for x0, y0, x1, y1 in known.reviewed
    )


def read_training_plane(
    plane: PlaneSource,
    boxes: Detections,
    typical: float,
    window: Rectangle | None = None,
    seen: IntensityMap | None = None,
    known: KnownArea = EVERYWHERE,
    rejected: NDArray[np.float32] | None = None,
) -> TrainingPlane:
    """Read a plane, or a window of it, as the network will see it.

    Parameters
    ----------
    plane : PlaneSource
        The image.
    boxes : Detections
        Its boxes, also those outside of the known area.
    typical : float
        Object diameter to assume when the plane has no box.
    window : Rectangle, optional
        The part to read.
    seen : IntensityMap, optional
        That of the plane, where it is known.
    known : KnownArea
        Where the boxes tell everything.
    rejected : (K, 4) array, optional
        Boxes in which there is no object.
    """
    y0, y1, x0, x1 = window or Rectangle(0, plane.shape[0], 0, plane.shape[1])
    seen = seen or find_intensity_map(plane)
    counted = known.holds(boxes.boxes)
    diameter = _diameter(boxes[counted], typical)
    reduced = _reduction(boxes[counted], typical)
    rows = max(1, STRIP_PIXELS // ((x1 - x0) * reduced)) * reduced
    strips = []
    for y in range(y0, y1, rows):
        strip = torch.from_numpy(np.ascontiguousarray(seen(plane.read(y, min(y + rows, y1), x0, x1)))).permute(2, 0, 1)
        if reduced > 1:
            strip = functional.avg_pool2d(strip, reduced, ceil_mode=True)
        strips.append((strip * 255).round().to(torch.uint8))
    low, high = boxes.boxes[:, :2], boxes.boxes[:, 2:]
    here = ((low < [x1, y1]) & (high > [x0, y0])).all(axis=1)
    corner = np.array([x0, y0] * 2, np.float32)
    moved = torch.from_numpy((boxes.boxes - corner) / np.float32(reduced))
    wrong = np.zeros((0, 4), np.float32) if rejected is None else rejected
    wrong = wrong[((wrong[:, :2] < [x1, y1]) & (wrong[:, 2:] > [x0, y0])).all(axis=1)]
    return TrainingPlane(
        torch.cat(strips, dim=1).contiguous(),
        moved[here & counted],
        torch.from_numpy(boxes.labels[here & counted]),
        diameter / reduced,
        reduced,
        known=known.moved(x0, y0, reduced),
        beside=moved[here & ~counted],
        rejected=torch.from_numpy((wrong - corner) / np.float32(reduced)),
    )


def _diameter(boxes: Detections, typical: float) -> float:
    return float(np.median(boxes.diameters)) if len(boxes) else typical


def _reduction(boxes: Detections, typical: float) -> int:
    return max(1, int(_diameter(boxes, typical) // LARGEST_DIAMETER))


def _classes(names: Sequence[str]) -> str:
    return f"class {names[0]}" if len(names) == 1 else f"the classes {', '.join(names)}"
