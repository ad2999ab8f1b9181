"""What a training learns from: planes judged in the viewer, and data that were added to them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_localize.core.detections import Detections
from napari_localize.core.groups import Grouping, group_planes
from napari_localize.core.known import KnownArea
from napari_localize.core.mapping import ClassMap
from napari_localize.core.splitting import Split, split_planes
from napari_localize.plugin.pairs import Judged
from napari_localize.training.gathering import gather, join, map_all
from napari_localize.training.pairs import Pairs


@dataclass(frozen=True)
class AddedData:
    """Annotations that are learnt from without being open in the viewer: an annotation file or a project.

    Attributes
    ----------
    path : Path
    pairs : Pairs
        Its planes; the pixels are read when they are learnt from.
    """

    path: Path
    pairs: Pairs

    @property
    def boxes(self) -> int:
        """How many boxes count."""
        return count_classes(self.pairs).total()


def read_added(path: Path, progress: Callable[[int, int], None] | None = None) -> AddedData:
    """Read an annotation file, whose images lie beside it, or a project.

    Raises
    ------
    UserError
        When it cannot be read, or none of its images is found.
    """
    return AddedData(path, gather(None, [path], progress=progress))


def material(judged: Sequence[Judged], added: Sequence[AddedData], class_map: ClassMap | None = None) -> Pairs:
    """Bring together what a training learns from.

    Parameters
    ----------
    judged : sequence of Judged
        Planes of the viewer.
    added : sequence of AddedData
    class_map : mapping of str to str or None, optional
        Classes that the data have not are passed over.

    Raises
    ------
    UserError
        When the map contradicts itself.
    """
    ours = Pairs()
    for plane in judged:
        ours.add(plane.name, plane.source, plane.judged, plane.known, plane.path or None)
    pairs = join([("viewer", ours), *((each.path.name, each.pairs) for each in added)])
    if class_map:
        classes = {name for boxes in pairs.annotations for name in boxes.class_names}
        map_all(pairs, {old: new for old, new in class_map.items() if old in classes})
    return pairs


def count_classes(pairs: Pairs) -> Counter[str]:
    """Count the boxes of each class that are learnt from, also of classes without any."""
    counts: Counter[str] = Counter()
    for boxes, known in zip(pairs.annotations, pairs.known, strict=True):
        for name, number in _counted(boxes, known).counts().items():
            counts[name] += number
    return counts


def split_of(pairs: Pairs, hold_back: str, seed: int = 0) -> tuple[Split, Grouping]:
    """Say what a training with this choice would hold back.

    Raises
    ------
    UserError
        When the names do not tell what was chosen.
    """
    grouping = group_planes(pairs.names, pairs.places, hold_back)
    classes = tuple(dict.fromkeys(name for boxes in pairs.annotations for name in boxes.class_names))
    counted = [
        _counted(boxes, known).with_classes(classes)
        for boxes, known in zip(pairs.annotations, pairs.known, strict=True)
    ]
    shapes = [plane.shape for plane in pairs.planes]
    return split_planes(counted, pairs.names, seed, grouping, pairs.known, shapes), grouping


def home_of(pairs: Pairs) -> str:
    """Return the folder that all of it lies in, under which choices are remembered; empty for what is in no file."""
    folders = {os.path.dirname(place) for place in pairs.places if place}
    try:
        return os.path.commonpath(folders) if folders else ""
    except ValueError:
        # On different drives, or relative and absolute.
        return min(folders)


def _counted(boxes: Detections, known: KnownArea) -> Detections:
    return boxes[(boxes.states != "rejected") & known.holds(boxes.boxes)]
