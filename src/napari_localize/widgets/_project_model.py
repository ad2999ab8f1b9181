"""The images and planes of a project as rows of a list: folded, searched, filtered, kept up to date."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from qtpy.QtCore import QAbstractListModel, QModelIndex, Qt

from napari_localize.core.table import APPROVED
from napari_localize.project import ProjectImage, ProjectPlane
from napari_localize.project.image import Counts

Entry = ProjectImage | ProjectPlane

ANY, NOT_FINISHED = "any status", "not finished"
FILTERS = (ANY, NOT_FINISHED, "untouched", "predicted", "in work", "finished")
MARKS = {"untouched": "○", "predicted": "◔", "in work": "◑", "finished": "●"}
"""A sign for each status, so that it is not told by colour alone."""

_NOWHERE = QModelIndex()


class ProjectModel(QAbstractListModel):
    """One row for each image and, under those that are unfolded, one for each of their planes.

    Parameters
    ----------
    problems : dict of int to str
        What is wrong with the files of images, by number, as far as somebody has looked.
    parent : QObject, optional
    """

    def __init__(self, problems: dict[int, str], parent: Any = None) -> None:
        super().__init__(parent)
        self._images: dict[int, ProjectImage] = {}
        self._planes: dict[int, list[ProjectPlane]] = {}
        self._rows: list[tuple[int, int]] = []
        self._text, self._status = "", ANY
        self._problems = problems

    # For Qt

    def rowCount(self, parent: QModelIndex = _NOWHERE) -> int:
        return 0 if parent.isValid() else len(self._rows)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid() or index.row() >= len(self._rows):
            return None
        entry = self.entry(index.row())
        if role == Qt.ItemDataRole.DisplayRole:
            return entry.name
        if role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole):
            return self._sentence(entry)
        return None

    # What is in it

    @property
    def images(self) -> Sequence[ProjectImage]:
        """All images, shown or not."""
        return list(self._images.values())

    def entry(self, row: int) -> Entry:
        """Return what a row shows."""
        key, plane = self._rows[row]
        return self._images[key] if plane < 0 else self._planes[key][plane]

    def row_of(self, entry: Entry) -> int | None:
        """Return the row of an entry; that of its image where its planes are folded, None where it is not shown."""
        image, index = image_of(entry), getattr(entry, "index", None)
        planes = self._planes.get(image.id, [])
        plane = next((at for at, each in enumerate(planes) if each.index == index), -1)
        wanted = [(image.id, plane), (image.id, -1)]
        return next((self._rows.index(row) for row in wanted if row in self._rows), None)

    def is_unfolded(self, image: ProjectImage) -> bool:
        """Whether the planes of an image are shown."""
        return image.id in self._planes

    def show_images(self, images: Iterable[ProjectImage]) -> None:
        """Show the images of a project, or the same ones as they are now."""
        images = list(images)
        project = images[0].project if images else None
        if not self._images or next(iter(self._images.values())).project is not project:
            self._planes.clear()
        self._images = {image.id: image for image in images}
        self._planes = {
            key: self._images[key].project.planes(self._images[key]) for key in self._planes if key in self._images
        }
        self._arrange()

    def unfold(self, image: ProjectImage, planes: Sequence[ProjectPlane] | None) -> None:
        """Show the planes of an image, or hide them for None."""
        if planes is None:
            self._planes.pop(image.id, None)
        else:
            self._planes[image.id] = list(planes)
        self._arrange()

    def update_image(self, image: ProjectImage, planes: Sequence[ProjectPlane] | None = None) -> None:
        """Show how an image stands now; with its planes where these are unfolded."""
        if image.id not in self._images or (self._images[image.id] == image and planes is None):
            return
        visible = len(self._rows)
        self._images[image.id] = image
        if planes is not None:
            self._planes[image.id] = list(planes)
        if self._status != ANY:
            self._arrange()
        if visible == len(self._rows):
            self.touch(image.id)

    def touch(self, key: int) -> None:
        """Have the rows of an image drawn again."""
        rows = [row for row, (image, _) in enumerate(self._rows) if image == key]
        if rows:
            self.dataChanged.emit(self.index(rows[0]), self.index(rows[-1]))

    def set_filter(self, text: str, status: str) -> None:
        """Show only what has a text in its name and a status."""
        self._text, self._status = text.strip().casefold(), status
        self._arrange()

    def _arrange(self) -> None:
        self.beginResetModel()
        self._rows = list(self._passing())
        self.endResetModel()

    def _passing(self) -> Iterator[tuple[int, int]]:
        for key, image in self._images.items():
            if self._text not in image.name.casefold():
                continue
            planes = [at for at, plane in enumerate(self._planes.get(key, [])) if self._fits(plane)]
            if planes or self._fits(image):
                yield key, -1
                yield from ((key, at) for at in planes)

    def _fits(self, entry: Entry) -> bool:
        if self._status == NOT_FINISHED:
            return entry.status != "finished"
        return self._status in (ANY, entry.status)

    @property
    def searched(self) -> list[ProjectImage]:
        """The images that the search lets through."""
        return [image for image in self._images.values() if self._text in image.name.casefold()]

    def next_unfinished(
        self, after: Entry | None, planes_of: Callable[[ProjectImage], Sequence[ProjectPlane]]
    ) -> ProjectPlane | None:
        """Return the next plane that is not finished, of images that the search lets through; the first comes after the last.

        Parameters
        ----------
        after : ProjectImage or ProjectPlane or None
            Where to go on.
        planes_of : callable
            Gives the planes of an image as they are now.
        """
        images = self.searched
        at = next((n for n, image in enumerate(images) if after is not None and image.id == image_of(after).id), None)
        index = getattr(after, "index", None)
        order = images if at is None else [*images[at:], *images[: at + 1]]
        for number, image in enumerate(order):
            if image.status == "finished":
                continue
            planes = planes_of(image)
            if number == 0 and at is not None:
                first = next((n for n, plane in enumerate(planes) if plane.index == index), 0)
                planes = planes[first + 1 :]
            found = next((plane for plane in planes if plane.status != "finished"), None)
            if found is not None:
                return found
        return None

    def _sentence(self, entry: Entry) -> str:
        parts = [f"{entry.name}: {status_text(entry)}."]
        for name, approved, guesses in class_counts(entry.counts):
            parts.append(f"{name}: {approved} accepted, changed or drawn, {guesses} guesses.")
        problem = self._problems.get(image_of(entry).id)
        if problem is not None:
            parts.append(problem)
        return "\n".join([*parts, "Double click or Enter opens it."])


def image_of(entry: Entry) -> ProjectImage:
    """Return the image of an entry."""
    return entry.image if isinstance(entry, ProjectPlane) else entry


def class_counts(counts: Counts) -> list[tuple[str, int, int]]:
    """Return for each class how many boxes a person stands for, and how many are guesses of a model."""
    found = []
    for name, by_state in counts.items():
        approved = sum(by_state.get(state, 0) for state in APPROVED)
        guesses = by_state.get("proposed", 0)
        if approved or guesses:
            found.append((name, approved, guesses))
    return found


def status_text(entry: Entry) -> str:
    """Return the status of an entry in words; of a stack with the number of planes."""
    if isinstance(entry, ProjectImage) and entry.plane_count > 1:
        return f"{entry.status}, {entry.finished} of {entry.plane_count} planes finished"
    return entry.status
