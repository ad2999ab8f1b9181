"""A project: images, boxes and all that was done to them, in one folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.steps import Classes
from napari_localize.project.adding import Relinked, add_images, relink, replace_file
from napari_localize.project.checking import check_project
from napari_localize.project.database import FILE
from napari_localize.project.edit import Edit, proposing_table
from napari_localize.project.entries import keep_next_number, next_number, remove
from napari_localize.project.exchange import annotations_of, import_annotations
from napari_localize.project.folder import LOCK, autosave_folder, copy_project, make_project, project_folder
from napari_localize.project.image import ProjectImage
from napari_localize.project.journal import now
from napari_localize.project.listing import ProjectPlane, list_images, list_planes
from napari_localize.project.lock import Lock
from napari_localize.project.models import Evaluation, UsedModel, add_evaluation, add_model, evaluations, used_models
from napari_localize.project.names import class_keys, classes_of, set_class_key
from napari_localize.project.places import detections_at, find_place
from napari_localize.project.store import Store
from napari_localize.project.undoing import walk
from napari_localize.project.writer import DirectJournal


class Project(Store):
    """An open project; see `open_project`. It is also a context manager that closes it.

    Attributes
    ----------
    path : Path
        Its folder.
    read_only_reason : str or None
        Why nothing can be changed; None where it can.
    """

    def images(self) -> list[ProjectImage]:
        """Return the images, in the order in which they were added, with what is stored of them by now.

        Raises
        ------
        UserError
            When the project cannot be read.
        """
        with self.database.reading() as connection:
            return list_images(self, connection)

    def image(self, name_or_id: str | int) -> ProjectImage:
        """Return one image.

        Raises
        ------
        UserError
            When there is none with this name or number.
        """
        for image in self.images():
            if name_or_id in (image.name, image.id):
                return image
        raise UserError(f"{self.path} has no image {name_or_id!r}; see its images with: napari-localize project status")

    def planes(self, image: ProjectImage | None = None) -> list[ProjectPlane]:
        """Return the planes of an image, or of all.

        Raises
        ------
        UserError
            When the project cannot be read.
        """
        with self.database.reading() as connection:
            return list_planes(self, connection, image)

    def add_images(
        self,
        paths: Iterable[str | os.PathLike[str]],
        failed: dict[str, str] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[ProjectImage]:
        """Add image files; those that are there already are not added again.

        Parameters
        ----------
        paths : iterable of path
            Files, folders (with the folders in them), patterns such as ``plate/*.tif``, zarr stores.
        failed : dict of str to str, optional
            Gets what cannot be used, with a sentence, so that it does not stop the others.
        progress : callable, optional
            Called before each file with how many are done and how many there are; what it raises stops it all, and
            none is added.

        Returns
        -------
        list of ProjectImage
            Those meant by `paths`, new or not.

        Raises
        ------
        UserError
            When one cannot be used, unless `failed` is given, or the project cannot be written; then none is added.
        """
        return add_images(self, paths, failed, progress)

    def add_array(self, name: str, shape: Sequence[int], axes: str, fingerprint: str | None = None) -> ProjectImage:
        """Add an image that is not in a file.

        Parameters
        ----------
        name : str
            A number is put behind it where another image has it.
        shape : sequence of int
        axes : str
            A letter for each axis, such as ``TYX``.
        fingerprint : str, optional
            See `project.files.array_fingerprint`.

        Raises
        ------
        UserError
            When the axes do not fit, or the project cannot be written.
        """
        if len(axes) != len(shape) or not axes.isalpha():
            raise UserError(f"the axes {axes!r} do not fit the shape {tuple(shape)}; give one letter for each.")
        key = self.insert_image(name, None, fingerprint, None, axes.upper(), shape)
        return self.image(key)

    def relink(self, folder: str | os.PathLike[str]) -> Relinked:
        """Find image files that are missing, in a folder and the folders in it, by their content.

        Raises
        ------
        UserError
            When there is no such folder, or the project cannot be written.
        """
        return relink(self, Path(folder))

    def replace_file(self, image: ProjectImage, path: str | os.PathLike[str]) -> None:
        """Take another file, or a changed one, for an image on purpose, with the boxes that there are.

        Raises
        ------
        UserError
            When the file cannot be read, its height, width or number of planes differs, or the project cannot be
            written.
        """
        replace_file(self, image, Path(path))

    def insert_image(
        self,
        name: str,
        stored: str | None,
        fingerprint: str | None,
        measured: tuple[int, int] | None,
        axes: str,
        shape: Sequence[int],
    ) -> int:
        """Add a row for an image, and return its number; see `add_images` and `add_array`."""
        with self.database.transaction() as connection:
            taken = {found for (found,) in connection.execute("SELECT name FROM images")}
            unique, number = name, 2
            while unique in taken:
                unique, number = f"{name} ({number})", number + 1
            key = next_number(connection)
            connection.execute(
                "INSERT INTO images (id, name, path, fingerprint, size, changed, axes, shape, added) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    key,
                    unique,
                    stored,
                    fingerprint,
                    *(measured or (None, None)),
                    axes,
                    json.dumps([int(n) for n in shape]),
                    now(),
                ),
            )
            keep_next_number(connection, key + 1)
        return key

    def remove_image(self, image: ProjectImage) -> None:
        """Take an image out of the project with all of its boxes and its history; its file stays.

        Raises
        ------
        UserError
            When the project cannot be written.
        """
        self.settle()
        with self.database.transaction() as connection:
            remove(connection, image.id)

    @property
    def classes(self) -> Classes:
        """Colours of the classes, in the order of the list."""
        with self.database.reading() as connection:
            return classes_of(connection)

    @property
    def class_keys(self) -> dict[str, str]:
        """Keys that give boxes a class, by its name; classes without one are left out."""
        with self.database.reading() as connection:
            return class_keys(connection)

    def set_class_key(self, name: str, key: str | None) -> None:
        """Give a class a key, which another class that had it loses; None takes it away.

        Raises
        ------
        UserError
            When there is no such class, or the project cannot be written.
        """
        self.settle()
        with self.database.transaction() as connection:
            set_class_key(connection, name, key)

    def detections(self, plane: str | ProjectPlane, states: Iterable[str] | None = None) -> Detections:
        """Return the boxes of a plane, with the ids that they have in the project.

        Parameters
        ----------
        plane : str or ProjectPlane
            Its name, such as ``movie.tif#t=3``; that of the image alone where it has only one plane.
        states : iterable of str, optional
            Which are wanted; all but the rejected ones by default.

        Raises
        ------
        UserError
            When there is no such plane or state, or the project cannot be read.
        """
        self.settle()
        with self.database.reading() as connection:
            return detections_at(connection, find_place(connection, plane), states)

    @contextmanager
    def edit(self, text: str) -> Iterator[Edit]:
        """Change boxes in one transaction that is one step to undo; when the block raises, nothing has changed.

        Parameters
        ----------
        text : str
            What is done, in a few words, to be shown behind "Undo".

        Raises
        ------
        UserError
            When the project cannot be written.
        """
        self.settle()
        with self.database.transaction() as connection:
            edit = Edit(self, connection, text)
            yield edit
            edit.finish_step()
            self.keep_next_id(connection)

    def propose(self, plane: str | ProjectPlane, detections: Detections, origin: str) -> int:
        """Put what a model has found on a plane in the place of what models had guessed there.

        What a person has made, changed, accepted or rejected stays, and what overlaps it is left out. This is no
        step and cannot be undone.

        Parameters
        ----------
        plane : str or ProjectPlane
        detections : Detections
        origin : str
            ``name@version`` of the model.

        Returns
        -------
        int
            Number of boxes left out because a person has judged the same object.

        Raises
        ------
        UserError
            When there is no such plane, or the project cannot be written.
        """
        self.settle()
        with self.database.transaction() as connection:
            place = find_place(connection, plane)
            table = proposing_table(connection, place)
            table.journal = DirectJournal(place.image, self.write, self.reserve_ids)
            return table.propose({place.plane: detections}, origin)

    def undo(self) -> str | None:
        """Take back the last step in any image; return what it was, None when there is none.

        Raises
        ------
        UserError
            When the project cannot be written, or its journal is damaged.
        """
        self.settle()
        with self.database.transaction() as connection:
            return walk(connection, "undo")

    def redo(self) -> str | None:
        """Do the step again that was taken back last; return what it was, None when there is none.

        Raises
        ------
        UserError
            When the project cannot be written, or its journal is damaged.
        """
        self.settle()
        with self.database.transaction() as connection:
            return walk(connection, "redo")

    def import_annotations(self, path: str | os.PathLike[str]) -> list[str]:
        """Add the boxes of an annotation file, as one step.

        Images are told by their names. Those that the project lacks are added from the folder of the file; where they
        are not there either, they are added as missing ones, for `relink`. A box that a plane has already is left out.

        Returns
        -------
        list of str
            Sentences on what was mended or left out.

        Raises
        ------
        UserError
            When the file cannot be read, or the project cannot be written.
        """
        return import_annotations(self, Path(path))

    def export_annotations(
        self, path: str | os.PathLike[str], format: str | None = None, overwrite: bool = False
    ) -> list[str]:
        """Write the boxes of all planes to an annotation file, rejected ones too.

        Parameters
        ----------
        path, format, overwrite
            As in `write_annotations`.

        Returns
        -------
        list of str
            Sentences on what the format cannot hold.

        Raises
        ------
        UserError
            When the format is not known, the file exists, or it cannot be written.
        """
        from napari_localize.formats import write_annotations

        return write_annotations(path, annotations_of(self), format=format, overwrite=overwrite)

    def set_area(
        self,
        plane: str | ProjectPlane,
        xyxy: tuple[float, float, float, float],
        kind: Literal["reviewed", "ignored"] | None = "reviewed",
    ) -> None:
        """Say in a step of its own that everything in a rectangle is right, or of no concern; see `Edit.set_area`.

        Raises
        ------
        UserError
            When there is no such plane, the rectangle has no area, or the project cannot be written.
        """
        with self.edit("take back area" if kind is None else f"mark area as {kind}") as edit:
            edit.set_area(plane, xyxy, kind)

    def check(self) -> list[str]:
        """Look for everything that may be wrong, which reads the whole project; return a sentence for each thing.

        The database, its counts and its index, the boxes, the steps in the journal, and the image files. What is wrong
        with the database is mended by ``napari-localize project check --repair``.

        Raises
        ------
        UserError
            When it cannot even be read.
        """
        return check_project(self)

    def add_model(self, reference: str, sha256: str, card: Mapping[str, Any]) -> None:
        """Note a model that has been used.

        Parameters
        ----------
        reference : str
            ``name@version``, as in the origins of boxes.
        sha256 : str
            Of its file.
        card : mapping
            What goes with it, of what JSON can hold.

        Raises
        ------
        UserError
            When another model is known under this reference, or the project cannot be written.
        """
        with self.database.transaction() as connection:
            add_model(connection, reference, sha256, card)

    def models(self) -> list[UsedModel]:
        """Return the models that were used, in the order of their first use."""
        with self.database.reading() as connection:
            return used_models(connection)

    def add_evaluation(self, model: str, result: Mapping[str, Any]) -> None:
        """Note how well a model did, in numbers of what JSON can hold.

        Raises
        ------
        UserError
            When the project cannot be written.
        """
        with self.database.transaction() as connection:
            add_evaluation(connection, model, result)

    def evaluations(self) -> list[Evaluation]:
        """Return how well models did, in the order of time."""
        with self.database.reading() as connection:
            return evaluations(connection)

    def save_as(self, path: str | os.PathLike[str]) -> None:
        """Copy the project to another folder and go on with it there; one that was only autosaved moves.

        Parameters
        ----------
        path : path
            ``NAME.localize``; the ending may be left out.

        Raises
        ------
        UserError
            When there is something already, or it cannot be written; then everything stays where it is.
        """
        self.settle()
        old, target = self.path, project_folder(path)
        with self.database.alone():
            copy_project(self, target)
            lock = Lock(target / LOCK)
            try:
                self.database.move_to(target, read_only=lock.reason is not None)
            except BaseException:
                lock.release()
                raise
            self._unlock()
            self.path, self._lock, self.read_only_reason = target, lock, lock.reason
        if old.parent == autosave_folder():
            shutil.rmtree(old, ignore_errors=True)


def open_project(path: str | os.PathLike[str], create: bool = False, read_only: bool = False) -> Project:
    """Open an annotation project.

    Parameters
    ----------
    path : path
        Its folder, ``NAME.localize``; the ending may be left out.
    create : bool
        Whether to make it where there is none.
    read_only : bool
        Whether to look only. A project that cannot be changed is opened like this by itself, and
        `Project.read_only_reason` says why: someone else has it open, it lies where nothing can be written, or a
        newer version has made it.

    Returns
    -------
    Project

    Raises
    ------
    UserError
        When there is none, it is damaged, or it cannot be made.

    Examples
    --------
    >>> with open_project("plate.localize") as project:  # doctest: +SKIP
    ...     print(project.images())
    """
    folder = project_folder(path)
    if not (folder / FILE).is_file():
        if not create or read_only:
            raise UserError(f"there is no project at {folder}; make one with: napari-localize project create")
        make_project(folder)
    return Project(folder, read_only=read_only)
