"""Several sets of annotations learnt from together: files, projects, folders of images."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_localize.core.annotations import Annotations, plane_name, split_plane_name
from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.mapping import ClassMap, check_class_map, map_classes
from napari_localize.core.table import APPROVED
from napari_localize.formats import read_annotations
from napari_localize.formats.sources import is_zarr
from napari_localize.project.database import FILE
from napari_localize.project.folder import SUFFIX
from napari_localize.project.project import Project, open_project
from napari_localize.training.pairs import Pairs, match_by_name, named_images, pair_up


@dataclass
class _Source:
    """Annotations, what they are called, and where their images may be."""

    name: str
    annotations: Mapping[str, Detections]
    folder: Path | None = None
    images: dict[str, Any] | None = None
    """The images themselves, of a project; None where they are to be looked for."""


@dataclass
class _Set:
    """Images that were given together, by name."""

    images: dict[str, Any]
    folder: Path | None = None


def gather(
    images: Any,
    annotations: Any,
    class_map: ClassMap | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Pairs:
    """Bring images and annotations together, also of several files and projects.

    Parameters
    ----------
    images : see `pair_up`, sequence of folders, or None
        With None, projects have their own images, and those of annotation files lie beside them.
    annotations : see `pair_up`, project folder, or sequence of paths, mappings and projects
        Of several, all are learnt from. With as many folders of images, each belongs to the annotations at the same
        place; a folder that an annotation file lies in is looked through first.
    class_map : mapping of str to str or None, optional
        New name by old name of a class; None for one whose boxes are to be ignored.
    progress : callable, optional
        Called before each plane of a project or of one of several sources with how many of it are done and how many
        there are; what it raises stops it all.

    Raises
    ------
    UserError
        When something does not fit together, see `pair_up` and `core.mapping.check_class_map`.
    """
    several = _is_several(annotations)
    if not several and not is_project(annotations) and images is not None and len(_sets(images, look=False)) == 1:
        pairs = pair_up(images, annotations)
    else:
        pairs = _gather_all(images, annotations if several else [annotations], progress)
    if class_map:
        map_all(pairs, class_map)
    return pairs


def is_project(source: Any) -> bool:
    """Whether something is a project, or the folder of one."""
    if isinstance(source, Project):
        return True
    return isinstance(source, str | os.PathLike) and (Path(source).suffix == SUFFIX or (Path(source) / FILE).is_file())


def _is_several(annotations: Any) -> bool:
    one = isinstance(annotations, str | os.PathLike | Mapping | Detections | Project)
    return not one and any(isinstance(each, str | os.PathLike | Mapping | Project) for each in annotations)


def _gather_all(images: Any, annotations: Sequence[Any], progress: Callable[[int, int], None] | None) -> Pairs:
    sets = [] if images is None else _sets(images)
    pairs = Pairs()
    sources = [_source(each, number, pairs.notes) for number, each in enumerate(annotations, 1)]
    if images is not None and all(source.images is not None for source in sources):
        raise UserError("projects know their images; leave the images out, or give annotations that go with them.")
    names = _whole_names(sets)
    everything = {name: image for by_name in names for name, image in by_name.items()}
    used, taken = set[Any](), set[str]()
    for number, source in enumerate(sources):
        images, called = _reachable(source, number, len(sources), sets, names, everything)
        found = _found(source, images, progress)
        for index, name in enumerate(found.names):
            used.add(found.places[index])
            file, position = split_plane_name(name)
            unique = _unique(plane_name(called.get(file, file), position), source.name, taken)
            taken.add(unique)
            pairs.add(unique, found.planes[index], found.annotations[index], found.known[index], found.places[index])
        pairs.notes += found.notes
    unused = [name for name, image in everything.items() if isinstance(image, str | os.PathLike)]
    unused = [name for name in unused if os.fspath(everything[name]) not in used]
    if unused:
        number_of = "1 image" if len(unused) == 1 else f"{len(unused)} images"
        pairs.notes.append(
            f"{number_of} such as {unused[0]!r} without annotations left out; "
            "list an image without boxes if it shows no objects."
        )
    return pairs


def _found(source: _Source, images: Mapping[str, Any], progress: Callable[[int, int], None] | None) -> Pairs:
    try:
        found = match_by_name(images, source.annotations, rest=False, progress=progress)
    except UserError as error:
        raise UserError(f"{source.name}: {error}") from error
    found.notes[:0] = getattr(source.annotations, "notes", [])
    found.notes = [f"{source.name}: {note}" for note in found.notes]
    return found


def _reachable(
    source: _Source,
    number: int,
    count: int,
    sets: Sequence[_Set],
    names: Sequence[dict[str, Any]],
    everything: dict[str, Any],
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the images that may belong to a source, and what those are called that it knows by another name."""
    if source.images is not None:
        return source.images, {}
    if not sets:
        if source.folder is None:
            raise UserError(f"{source.name} has no images; give a folder that holds them.")
        return named_images(source.folder), {}
    around = [index for index, each in enumerate(sets) if each.folder and _holds(each.folder, source.folder)]
    mine = around or ([number] if len(sets) == count > 1 else [])
    if len(mine) != 1:
        return everything, {}
    # What the file calls a.png is the one in its own folder, whatever lies in the others.
    own = sets[mine[0]].images
    called = dict(zip(own, names[mine[0]], strict=True))
    short = {_last(name) for name in own}
    others = {
        name: image for name, image in everything.items() if _last(name) not in short and name not in called.values()
    }
    return {**others, **own}, called


def _last(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


def _holds(folder: Path, inner: Path | None) -> bool:
    return inner is not None and inner.resolve().is_relative_to(folder.resolve())


def _sets(images: Any, look: bool = True) -> list[_Set]:
    """Divide images into those of each folder and the others; without `look` only their number is right."""
    if isinstance(images, list | tuple) and all(isinstance(image, str | os.PathLike) for image in images):
        folders = [Path(image) for image in images if Path(image).is_dir() and not is_zarr(Path(image))]
        files = [image for image in images if Path(image) not in folders]
        if folders:
            found = [_Set(named_images(folder) if look else {}, folder) for folder in folders]
            return [*found, _Set(named_images(files) if look else {})] if files else found
    folder = Path(images) if isinstance(images, str | os.PathLike) and Path(images).is_dir() else None
    return [_Set(named_images(images) if look else {}, folder)]


def _whole_names(sets: Sequence[_Set]) -> list[dict[str, Any]]:
    """Name the images of all sets so that no two are called alike: with their folder where they must be."""
    seen: dict[str, int] = {}
    for each in sets:
        for name in each.images:
            seen[name] = seen.get(name, 0) + 1
    called = [each.folder.name if each.folder else "" for each in sets]
    named = []
    for index, each in enumerate(sets):
        folder = each.folder
        before = called[index] if called.count(called[index]) == 1 else f"{folder or index + 1}"
        named.append({f"{before}/{name}" if seen[name] > 1 else name: image for name, image in each.images.items()})
    return named


def _source(given: Any, number: int, notes: list[str]) -> _Source:
    if isinstance(given, Project):
        return _of_project(given, notes)
    if is_project(given):
        with open_project(given, read_only=True) as project:
            return _of_project(project, notes)
    if isinstance(given, str | os.PathLike):
        path = Path(given)
        return _Source(path.name, read_annotations(path), path if path.is_dir() else path.parent)
    if isinstance(given, Mapping):
        return _Source(f"annotations {number}", given)
    raise UserError(
        f"annotations {number} are of type {type(given).__name__}; with several, give files, projects or mappings."
    )


def _of_project(project: Project, notes: list[str]) -> _Source:
    """Take what a person has judged in a project: rejected boxes too, but no proposals."""
    from napari_localize.project.exchange import annotations_of

    data = annotations_of(project, (*APPROVED, "rejected"))
    judged = {name for name, boxes in data.items() if (boxes.states != "rejected").any()}
    kept = {name: boxes for name, boxes in data.items() if data.says_what_is_known or name in judged}
    images: dict[str, Any] = {}
    planes_of_image: dict[str, list[str]] = {}
    for name in kept:
        for called in dict.fromkeys((name, split_plane_name(name)[0])):
            planes_of_image.setdefault(called, []).append(name)
    for image in project.images():
        mine = planes_of_image.get(image.name, [])
        try:
            images[image.name] = image.file() if mine else None
        except UserError as error:
            notes.append(f"{project.path.name}: {error} It was left out.")
            for name in mine:
                del kept[name]
    if not data.says_what_is_known and kept:
        notes.append(
            f"Nothing in {project.path.name} is marked as finished, so what was not judged there counts as background."
        )
    kept_data = Annotations(kept, data.sizes, data.class_names, reviewed=data.reviewed, areas=data.areas)
    return _Source(project.path.name, kept_data, images=images)


def _unique(name: str, source: str, taken: Collection[str]) -> str:
    """Return the name, with that of its source before it where another plane is called alike."""
    if name not in taken:
        return name
    unique, number = f"{source}: {name}", 2
    while unique in taken:
        unique, number = f"{source} ({number}): {name}", number + 1
    return unique


def join(parts: Sequence[tuple[str, Pairs]]) -> Pairs:
    """Put what several sources have given into one; planes that are called alike get the name of their source."""
    joined, taken = Pairs(), set[str]()
    for source, pairs in parts:
        for name, *rest in zip(pairs.names, pairs.planes, pairs.annotations, pairs.known, pairs.places, strict=True):
            unique = _unique(name, source, taken)
            taken.add(unique)
            joined.add(unique, *rest)
        joined.notes += pairs.notes
    return joined


def map_all(pairs: Pairs, class_map: ClassMap) -> None:
    """Give all planes their new classes.

    Raises
    ------
    UserError
        See `core.mapping.check_class_map`.
    """
    check_class_map(class_map, (name for boxes in pairs.annotations for name in boxes.class_names))
    beneath = 0
    for index, (boxes, known) in enumerate(zip(pairs.annotations, pairs.known, strict=True)):
        mapped, area = map_classes(boxes, known, class_map)
        judged = mapped.boxes[mapped.states != "rejected"]
        beneath += int((known.holds(judged) & ~area.holds(judged)).sum())
        pairs.annotations[index], pairs.known[index] = mapped, area
    if beneath:
        pairs.notes.append(f"{beneath} boxes lie in those of classes that are not learnt, and are ignored with them.")
