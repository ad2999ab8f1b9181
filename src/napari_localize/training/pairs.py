"""Bringing images and annotations together, in the ways in which scripts and the command line give them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_localize.core.annotations import Annotations, plane_name, split_plane_name
from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.known import EVERYWHERE, KnownArea
from napari_localize.core.planes import PlaneSource
from napari_localize.formats import read_annotations
from napari_localize.formats.sources import is_zarr, list_images, planes_of

_Place = tuple[tuple[str, int], ...]
"""The position of a plane in its stack, in the order of the axes' letters."""


@dataclass
class Pairs:
    """Planes with their boxes and where these tell everything, in the same order, and sentences on what is missing."""

    names: list[str] = field(default_factory=list)
    planes: list[PlaneSource] = field(default_factory=list)
    annotations: list[Detections] = field(default_factory=list)
    known: list[KnownArea] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    """The file of each plane; empty where it has none."""

    def add(
        self, name: str, plane: PlaneSource, boxes: Detections, known: KnownArea = EVERYWHERE, image: Any = None
    ) -> None:
        """Add one plane; `image` is what it was opened from."""
        self.names.append(name)
        self.places.append(os.fspath(image) if isinstance(image, str | os.PathLike) else "")
        self.planes.append(plane)
        self.annotations.append(boxes)
        self.known.append(known)


def pair_up(images: Any, annotations: Any) -> Pairs:
    """Find the boxes of each image.

    Parameters
    ----------
    images : folder, mapping of names to images, sequence of images, or image
        Images are arrays or paths of files.
    annotations : path, mapping of plane names to Detections, sequence of Detections, or Detections
        Mappings and files are matched by name, sequences by order. Names are those of files relative to the
        folder; file names alone do where they are unique. Of `Annotations` with reviewed planes or areas only
        those are used.

    Raises
    ------
    UserError
        When nothing matches, it is not clear what does, or an image does not have the size that was annotated.
    """
    if isinstance(annotations, Detections):
        return _by_order([images], [annotations])
    if isinstance(annotations, str | os.PathLike):
        annotations = read_annotations(annotations)
    if isinstance(annotations, Mapping):
        pairs = match_by_name(named_images(images), annotations)
        pairs.notes[:0] = getattr(annotations, "notes", [])
        return pairs
    if isinstance(images, str | os.PathLike | Mapping):
        raise UserError("annotations in a sequence go with images in a sequence; give them by name for these images.")
    return _by_order(images, annotations)


def _by_order(images: Sequence[Any], annotations: Sequence[Detections]) -> Pairs:
    if len(images) != len(annotations):
        raise UserError(f"there are {len(images)} images but {len(annotations)} annotations; give one for each.")
    pairs, names = Pairs(), _told_apart(images)
    for index, (image, boxes) in enumerate(zip(images, annotations, strict=True)):
        path = image if isinstance(image, str | os.PathLike) else None
        name = f"image {index + 1}" if path is None else names[index]
        pairs.add(name, _only_plane(name, image, pairs.notes), _checked(name, boxes), image=path)
    return pairs


def _told_apart(images: Sequence[Any]) -> list[str]:
    """Name files by what tells them apart: the name, the path of files with equal names, with a number for equal files."""
    paths = [Path(image).as_posix() if isinstance(image, str | os.PathLike) else "" for image in images]
    short = Counter(map(_last, paths))
    names = [path if short[_last(path)] > 1 else _last(path) for path in paths]
    same = Counter(names)
    return [f"{name} ({index + 1})" if same[name] > 1 else name for index, name in enumerate(names)]


def match_by_name(
    images: Mapping[str, Any],
    annotations: Mapping[str, Detections],
    rest: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> Pairs:
    """Find the images of annotations.

    Parameters
    ----------
    images, annotations : mapping
        By name, see `pair_up`.
    rest : bool
        Whether a note says which images are left over.
    progress : callable, optional
        Called before each plane with how many are done and how many there are; what it raises stops it all.

    Raises
    ------
    UserError
        See `pair_up`.
    """
    short: dict[str, list[str]] = {}
    for name in images:
        short.setdefault(_last(name), []).append(name)
    pairs, missing, unfinished = Pairs(), [], []
    sizes = getattr(annotations, "sizes", {})
    used, opened = set(), ("", dict[_Place, PlaneSource]())
    claimed: dict[tuple[str, _Place], str] = {}
    for number, (wanted, boxes) in enumerate(annotations.items()):
        if progress is not None:
            progress(number, len(annotations))
        file_name, position = (wanted, {}) if wanted in images else split_plane_name(wanted)
        candidates = [file_name] if file_name in images else short.get(_last(file_name), [])
        if not candidates:
            missing.append(wanted)
            continue
        if len(candidates) > 1:
            raise UserError(f"{wanted!r} may be {' or '.join(candidates[:2])}; name it with its folder.")
        found = candidates[0]
        used.add(found)
        known = annotations.known(wanted) if isinstance(annotations, Annotations) else EVERYWHERE
        if known is None:
            unfinished.append(wanted)
            continue
        if opened[0] != found:
            planes = planes_of(images[found], notes=pairs.notes)
            opened = found, {tuple(sorted(at.items())): plane for at, plane in planes}
        place = _place(wanted, opened[1], position)
        other = claimed.setdefault((found, place), wanted)
        if other != wanted:
            raise UserError(
                f"{other!r} and {wanted!r} would both be {plane_name(found, dict(place))!r}; "
                "name each with its folder, and give the images of both."
            )
        plane = opened[1][place]
        _check_size(wanted, sizes.get(wanted), plane, found)
        pairs.add(plane_name(found, position), plane, _checked(wanted, boxes), known, images[found])
    if not pairs.names:
        raise UserError(_nothing_matches(list(images), [name for name in annotations if name not in unfinished]))
    if unfinished:
        pairs.notes.append(
            f"{_number(len(unfinished), 'annotated image')} such as {unfinished[0]!r} left out, as nobody had finished "
            f"{'it' if len(unfinished) == 1 else 'them'}; what is marked as reviewed is learnt from."
        )
    if missing:
        pairs.notes.append(
            f"{_number(len(missing), 'annotated image')} such as {missing[0]!r} could not be found and left out."
        )
    unused = [name for name in images if rest and name not in used]
    if unused:
        pairs.notes.append(
            f"{_number(len(unused), 'image')} such as {unused[0]!r} without annotations left out; "
            "list an image without boxes if it shows no objects."
        )
    return pairs


def named_images(images: Any) -> dict[str, Any]:
    """Return images by name: those of a folder relative to it, and files and mappings as they are called.

    Raises
    ------
    UserError
        When there are none, or they have no names.
    """
    if isinstance(images, Mapping):
        return {str(name): image for name, image in images.items()}
    if isinstance(images, str | os.PathLike):
        path = Path(images)
        if path.is_dir() and not is_zarr(path):
            files = list_images(path)
            if not files:
                raise UserError(f"there are no images in {path}; give the folder that holds them.")
            return {file.relative_to(path).as_posix(): file for file in files}
        if not path.exists():
            raise UserError(f"{path} does not exist; give a folder of images.")
        return {path.name: path}
    paths = [image for image in images if isinstance(image, str | os.PathLike)]
    if len(paths) < len(images):
        raise UserError("annotations by name go with images that have names; give the images as a mapping.")
    return {Path(path).as_posix(): path for path in paths}


def _place(wanted: str, planes: dict[_Place, PlaneSource], position: dict[str, int]) -> _Place:
    key = tuple(sorted(position.items()))
    if key in planes:
        return key
    if len(planes) == 1 and not any(position.values()):
        return next(iter(planes))
    example = plane_name(split_plane_name(wanted)[0], dict(list(planes)[-1]))
    raise UserError(f"{wanted!r} is not a plane of that image, whose last one is {example!r}; mend the annotations.")


def _check_size(wanted: str, size: tuple[int, int] | None, plane: PlaneSource, found: str) -> None:
    height, width = plane.shape[:2]
    if size is not None and tuple(size) != (height, width):
        raise UserError(
            f"the boxes of {wanted!r} are of an image of {size[1]} x {size[0]} pixels, but {found} has "
            f"{width} x {height}; give the image that was annotated."
        )


def _only_plane(name: str, image: Any, notes: list[str]) -> PlaneSource:
    planes = [plane for _, plane in planes_of(image, notes=notes)]
    if len(planes) != 1:
        raise UserError(f"{name} has {len(planes)} planes; give annotations by name, such as {name + '#t=0'!r}.")
    return planes[0]


def _checked(name: str, boxes: Any) -> Detections:
    if not isinstance(boxes, Detections):
        raise UserError(f"the annotations of {name} are of type {type(boxes).__name__}, not Detections.")
    return boxes


def _nothing_matches(images: list[str], annotations: list[str]) -> str:
    if not annotations:
        return "the annotations name no images; there is nothing to learn from."
    return (
        f"none of the {_number(len(annotations), 'annotated image')}, such as {annotations[0]!r}, is among the "
        f"{_number(len(images), 'image')}, such as {(images or ['nothing'])[0]!r}; names must be equal."
    )


def _last(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
