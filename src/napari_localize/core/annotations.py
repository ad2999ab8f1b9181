"""The boxes of many planes: what an annotation file holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from napari_localize.core.detections import Detections
from napari_localize.core.known import KnownArea
from napari_localize.core.steps import Area


class Annotations(Mapping[str, Detections]):
    """Detections by plane, all with the same class names.

    Parameters
    ----------
    planes : mapping of str to Detections
        By plane name: the file name relative to the image folder, and for a plane of a stack the
        position behind it (see `plane_name`). Class lists that differ are joined.
    sizes : mapping of str to (int, int), optional
        Height and width in pixels of the planes where they are known.
    class_names : sequence of str, optional
        The joint class list; by default the classes in order of first appearance.
    notes : sequence of str, optional
        Sentences on what was mended or left out when a file was read; to be shown to the user.
    reviewed : iterable of str, optional
        Planes of which a person has said that everything on them is right.
    areas : mapping of str to sequence of Area, optional
        By plane name, rectangles in which everything is right, and those that are to be left out.
    points : bool
        Whether all objects are points: only the centres of the boxes count, their size is a nominal one.
    """

    def __init__(
        self,
        planes: Mapping[str, Detections],
        sizes: Mapping[str, tuple[int, int]] | None = None,
        class_names: Sequence[str] | None = None,
        notes: Sequence[str] = (),
        reviewed: Iterable[str] = (),
        areas: Mapping[str, Iterable[Area]] | None = None,
        points: bool = False,
    ) -> None:
        if class_names is None:
            class_names = tuple(dict.fromkeys(name for plane in planes.values() for name in plane.class_names))
        self.class_names: tuple[str, ...] = tuple(class_names)
        self._planes = {
            name: plane if plane.class_names == self.class_names else plane.with_classes(self.class_names)
            for name, plane in planes.items()
        }
        self.sizes: dict[str, tuple[int, int]] = dict(sizes or {})
        self.notes: list[str] = list(notes)
        self.reviewed: frozenset[str] = frozenset(reviewed)
        self.areas: dict[str, tuple[Area, ...]] = {name: tuple(of_plane) for name, of_plane in (areas or {}).items()}
        self.points = points

    @property
    def says_what_is_known(self) -> bool:
        """Whether a plane or a part of one is marked as reviewed; nothing is known of the others then."""
        return bool(self.reviewed) or any(area.kind == "reviewed" for part in self.areas.values() for area in part)

    def known(self, name: str) -> KnownArea | None:
        """Return where on a plane the boxes tell everything; None for nowhere.

        Where nothing is marked as reviewed on any plane, that is everywhere but in the ignored areas.
        """
        finished = name in self.reviewed or not self.says_what_is_known
        return KnownArea.of(self.areas.get(name, ()), finished)

    def __getitem__(self, name: str) -> Detections:
        return self._planes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._planes)

    def __len__(self) -> int:
        return len(self._planes)

    def __repr__(self) -> str:
        boxes = sum(len(plane) for plane in self._planes.values())
        return f"<Annotations: {len(self)} planes, {boxes} boxes, classes {', '.join(self.class_names)}>"


def plane_name(file_name: str, position: Mapping[str, int] | None = None) -> str:
    """Name of a plane: the file, and behind ``#`` where it lies in a stack.

    >>> plane_name("movie.tif", {"t": 3})
    'movie.tif#t=3'
    """
    if not position:
        return file_name
    return file_name + "#" + ",".join(f"{axis}={index}" for axis, index in position.items())


def split_plane_name(name: str) -> tuple[str, dict[str, int]]:
    """Undo `plane_name`; a name without a valid position behind ``#`` is all file name.

    >>> split_plane_name("movie.tif#t=3")
    ('movie.tif', {'t': 3})
    """
    file_name, mark, tail = name.rpartition("#")
    if not mark:
        return name, {}
    position: dict[str, int] = {}
    for part in tail.split(","):
        axis, equals, index = part.partition("=")
        if not (equals and len(axis) == 1 and index.isdecimal()):
            return name, {}
        position[axis] = int(index)
    # What `plane_name` would not have written, such as an axis twice, is not a position.
    return (file_name, position) if plane_name(file_name, position) == name else (name, {})
