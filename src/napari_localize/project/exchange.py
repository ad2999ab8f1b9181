"""The boxes of a project from and to annotation files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from napari_localize.core.annotations import Annotations, split_plane_name
from napari_localize.core.boxes import BoxRows
from napari_localize.core.detections import STATES, Detections
from napari_localize.core.errors import UserError
from napari_localize.core.points import typical_size
from napari_localize.core.table import APPROVED
from napari_localize.project.files import stored_path
from napari_localize.project.journal import areas_of
from napari_localize.project.places import detections_at, find_place, rows_at
from napari_localize.project.points import point_size_of, set_point_size

if TYPE_CHECKING:
    from napari_localize.project.project import Project


def annotations_of(project: Project, states: Iterable[str] = STATES) -> Annotations:
    """Return the boxes of all planes that something is known about.

    Parameters
    ----------
    project : Project
    states : iterable of str
        Which boxes are wanted; by default all, rejected ones too.
    """
    states = tuple(states)
    project.settle()
    planes = [plane for plane in project.planes() if plane.status != "untouched"]
    sizes = {}
    for plane in planes:
        known = dict(zip(plane.image.axes, plane.image.shape, strict=True))
        if known:
            sizes[plane.name] = (known["Y"], known["X"])
    with project.database.reading() as connection:
        found = {plane.name: detections_at(connection, find_place(connection, plane), states) for plane in planes}
        images = {plane.image.id for plane in planes}
        points = [point_size_of(connection, key) for key in images]
        areas_by_image = {key: areas_of(connection, key) for key in images}
    reviewed = [plane.name for plane in planes if plane.status == "finished"]
    areas = {
        plane.name: sorted(area for area in areas_by_image[plane.image.id] if area.plane == plane.index)
        for plane in planes
    }
    all_points = bool(points) and None not in points
    return Annotations(
        found,
        sizes,
        tuple(project.classes) or None,
        reviewed=reviewed,
        areas={name: part for name, part in areas.items() if part},
        points=all_points,
    )


def reviewed_annotations(project: Project) -> Annotations:
    """Return what a person stands for on the planes that are finished, wholly or in part.

    Raises
    ------
    UserError
        When nothing is finished.
    """
    data = annotations_of(project, APPROVED)
    known = [name for name in data if data.says_what_is_known and data.known(name) is not None]
    if not known:
        raise UserError(f"nothing in {project.path} is finished; finish planes or areas in Review first.")
    return Annotations(
        {name: data[name] for name in known},
        {name: data.sizes[name] for name in known if name in data.sizes},
        data.class_names,
        reviewed=data.reviewed,
        areas={name: data.areas[name] for name in known if name in data.areas},
        points=data.points,
    )


def import_annotations(project: Project, path: Path) -> list[str]:
    """See `Project.import_annotations`."""
    from napari_localize.formats import read_annotations

    data = read_annotations(path)
    notes = list(data.notes)
    with project.edit(f"import {path.name}") as edit, project.database.transaction() as connection:
        names = _images(project, data, path.parent, notes)
        if data.points:
            # An image that has boxes already gets its points as more of them.
            empty = {image.id for image in project.images() if image.name in names.values() and not image.counts}
            for key in empty:
                set_point_size(connection, key, typical_size(data.values()))
        known = 0
        for name, found in data.items():
            file_name, _ = split_plane_name(name)
            plane = names[file_name] + name.removeprefix(file_name)
            place = find_place(connection, plane)
            fresh = found[~_already(found, rows_at(connection, place))]
            known += len(found) - len(fresh)
            edit.add(plane, fresh)
            if name in data.reviewed:
                edit.finish(plane)
            for area in data.areas.get(name, ()):
                edit.set_area(plane, area.xyxy, area.kind)
        if known:
            notes.append(f"Boxes left out because the project has them already: {known}.")
    return notes


def _images(project: Project, data: Annotations, folder: Path, notes: list[str]) -> dict[str, str]:
    """Return the name in the project of each image that a file names, adding those that are new."""
    known = {image.name: image.name for image in project.images()}
    by_tail: dict[str, list[str]] = {}
    for name in known:
        by_tail.setdefault(PurePosixPath(name).name, []).append(name)
    missing = 0
    for plane in data:
        name = split_plane_name(plane)[0]
        if name in known:
            continue
        tails = by_tail.get(PurePosixPath(name).name, [])
        file = folder / name
        if os.path.exists(file):
            known[name] = project.add_images([file])[0].name
        elif len(tails) == 1:
            # The same file, named relative to another folder.
            known[name] = tails[0]
        else:
            known[name] = _missing_image(project, name, plane, data, file)
            missing += 1
    if missing:
        notes.append(f"Images that were not found beside the file, to be found with Relink: {missing}.")
    return known


def _missing_image(project: Project, name: str, plane: str, data: Annotations, file: Path) -> str:
    size = data.sizes.get(plane)
    stack = bool(split_plane_name(plane)[1])
    # Of a stack nobody knows yet how long it is.
    axes, shape = ("YX", size) if size and not stack else ("", ())
    key = project.insert_image(name, stored_path(file.absolute(), project.path), None, None, axes, shape)
    return project.image(key).name


def _already(found: Detections, rows: BoxRows) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which boxes are there already, with the same place and class."""
    there = {
        (corners.tobytes(), rows.class_names[label])
        for corners, label in zip(rows.boxes, rows.labels.tolist(), strict=True)
    }
    return np.array(
        [
            (corners.tobytes(), found.class_names[label]) in there
            for corners, label in zip(found.boxes, found.labels.tolist(), strict=True)
        ],
        bool,
    )
