"""Taking image files into a project, and finding those again that were moved."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_localize.core.errors import UserError
from napari_localize.project.files import fingerprint, found_path, measure, stored_path
from napari_localize.project.image import ProjectImage

if TYPE_CHECKING:
    from napari_localize.project.project import Project


@dataclass(frozen=True)
class Relinked:
    """What came of looking for files.

    Attributes
    ----------
    found : dict of str to Path
        Where images are now, by name.
    missing : list of str
        Names of images whose files were not found.
    """

    found: dict[str, Path]
    missing: list[str]


def add_images(
    project: Project,
    paths: Iterable[str | os.PathLike[str]],
    failed: dict[str, str] | None,
    progress: Callable[[int, int], None] | None,
) -> list[ProjectImage]:
    """See `Project.add_images`."""
    from napari_localize.formats.listing import find_images

    known = _by_path(project)
    places, rows = [], {}
    files = find_images(paths, failed)
    # Reading the files takes long; meanwhile others may use the database.
    for number, (name, path) in enumerate(files):
        if progress is not None:
            progress(number, len(files))
        place = os.path.realpath(path)
        try:
            if place not in known and place not in rows:
                rows[place] = _row(project, name, path)
        except UserError as error:
            if failed is None:
                raise
            failed[name] = str(error)
            continue
        places.append(place)
    with project.database.transaction():
        for place, row in rows.items():
            known[place] = project.insert_image(*row)
    images = {image.id: image for image in project.images()}
    return [images[key] for key in dict.fromkeys(known[place] for place in places)]


def _by_path(project: Project) -> dict[str, int]:
    return {os.path.realpath(image.path): image.id for image in project.images() if image.path is not None}


def _row(project: Project, name: str, path: Path) -> tuple[str, str, str, tuple[int, int], str, tuple[int, ...]]:
    """Return what `Project.insert_image` is to be given for a file."""
    from napari_localize.formats.images import open_image

    file = open_image(path)
    # Measured first: a file that is still being written shows up as changed.
    measured = _measured(path)
    stored = stored_path(path.absolute(), project.path)
    return name, stored, fingerprint(path), measured, file.axes, file.shape


def _measured(path: Path) -> tuple[int, int]:
    try:
        return measure(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; check its permissions and its disk.") from error


def replace_file(project: Project, image: ProjectImage, path: Path) -> None:
    """See `Project.replace_file`."""
    from napari_localize.formats.images import open_image

    file = open_image(path)
    if image.shape and _sizes(file.axes, file.shape) != _sizes(image.axes, image.shape):
        raise UserError(
            f"{path} has the shape {file.shape} ({file.axes}), but {image.name} has {image.shape} ({image.axes}), "
            "so its boxes do not fit; add it as a new image."
        )
    _point_to(project, image, path, fingerprint(path), file.axes, file.shape)


def _sizes(axes: str, shape: tuple[int, ...]) -> dict[str, int]:
    return {axis: n for axis, n in zip(axes, shape, strict=True) if axis not in "CS"}


def _point_to(project: Project, image: ProjectImage, path: Path, mark: str, axes: str, shape: tuple[int, ...]) -> None:
    stored = stored_path(path.absolute(), project.path)
    measured = _measured(path)
    with project.database.transaction() as connection:
        connection.execute(
            "UPDATE images SET path = ?, fingerprint = ?, size = ?, changed = ?, axes = ?, shape = ? WHERE id = ?",
            (stored, mark, *measured, axes, str(list(shape)), image.id),
        )


def relink(project: Project, folder: Path) -> Relinked:
    """See `Project.relink`."""
    from napari_localize.formats.images import open_image
    from napari_localize.formats.sources import list_images

    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; give the one that the images are in now.")
    lost = {image.id: image for image in project.images() if image.path is not None and not image.path.exists()}
    with project.database.reading() as connection:
        known = {
            key: (mark, size)
            for key, mark, size in connection.execute("SELECT id, fingerprint, size FROM images")
            if key in lost
        }
    marks: dict[str, list[int]] = defaultdict(list)
    names: dict[str, list[int]] = defaultdict(list)
    for key, (mark, _) in known.items():
        (marks[mark] if mark else names[Path(lost[key].name).name]).append(key)
    sizes = {size for _, size in known.values() if size is not None}
    found: dict[str, Path] = {}
    for path in list_images(folder):
        if not lost:
            break
        # Reading many large files takes long: only those that may be one of the lost ones.
        by_name = names.get(path.name, [])
        mark = fingerprint(path) if by_name or _measured(path)[0] in sizes else ""
        # Copies of one image may stand for several; those of the same name first.
        candidates = [key for key in marks.get(mark, []) + by_name if key in lost]
        candidates.sort(key=lambda key: Path(lost[key].name).name != path.name)
        if not candidates:
            continue
        image = lost[candidates[0]]
        if not image.axes or image.id in by_name:
            file = open_image(path)
            _point_to(project, image, path, mark, file.axes, file.shape)
        else:
            _point_to(project, image, path, mark, image.axes, image.shape)
        found[lost.pop(image.id).name] = path
    return Relinked(found, [image.name for image in lost.values()])


def moved_paths(project: Project, target: Path) -> list[tuple[str, int]]:
    """Return how a project in another folder names the files of the images, by number."""
    return [
        (stored_path(found_path(image.stored, project.path), target), image.id)
        for image in project.images()
        if image.stored is not None
    ]
