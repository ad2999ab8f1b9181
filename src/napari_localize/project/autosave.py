"""Projects that nobody has asked for: what is done without one is kept in the user's data folder."""

from __future__ import annotations

import secrets
import shutil
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from napari_localize.core.errors import UserError
from napari_localize.project.database import FILE
from napari_localize.project.folder import LOCK, SUFFIX, autosave_folder, make_project
from napari_localize.project.image import ProjectImage
from napari_localize.project.lock import is_locked
from napari_localize.project.project import Project

_BEING_MADE = 60.0


@dataclass(frozen=True)
class Recoverable:
    """An autosaved project that was left behind, by a crash or without having been saved under a name.

    Attributes
    ----------
    path : Path
        For `open_project`.
    changed : datetime
        When it was last written to.
    images : list of str
        Names of its images.
    boxes : int
        How many there are.
    problem : str or None
        Why it cannot be opened as it is.
    """

    path: Path
    changed: datetime
    images: list[str]
    boxes: int
    problem: str | None = None

    def discard(self) -> None:
        """Delete it for good."""
        shutil.rmtree(self.path, ignore_errors=True)


class AutosaveProject(Project):
    """A project that vanishes when it is closed without any content."""

    def close(self, *, force: bool = False) -> None:
        """See `Project.close`."""
        if self.closed:
            return
        unnamed = self.path.parent == autosave_folder()
        kept = force or not unnamed or self.has_content()
        super().close(force=force)
        if not kept:
            shutil.rmtree(self.path, ignore_errors=True)


def autosave_project() -> Project:
    """Make the project of a session that has none.

    `Project.save_as` keeps it under a name; closed without any content it is deleted.

    Raises
    ------
    UserError
        When the user's data folder cannot be written.
    """
    folder = autosave_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make {folder}: {error.strerror}; change its permissions.") from error
    path = folder / f"{datetime.now():%Y-%m-%d-%H%M%S}-{secrets.token_hex(3)}{SUFFIX}"
    make_project(path)
    return AutosaveProject(path)


def recoverable() -> list[Recoverable]:
    """Return the autosaved projects that nobody has open, the latest first; empty ones are deleted."""
    folder = autosave_folder()
    found = [_left_behind(path) for path in folder.glob(f"*{SUFFIX}")] if folder.is_dir() else []
    return sorted((each for each in found if each is not None), key=lambda each: each.changed, reverse=True)


def _left_behind(path: Path) -> Recoverable | None:
    if is_locked(path / LOCK):
        return None
    files = [file for file in path.glob(f"{FILE}*") if file.stat().st_size]
    changed = datetime.fromtimestamp(max((file.stat().st_mtime for file in files), default=0)).astimezone()
    images: list[ProjectImage] = []
    try:
        # One that was not even made whole is empty, too.
        project = Project(path) if files else None
        if project is not None:
            with project:
                images = project.images() if project.has_content() else []
    except UserError as error:
        return Recoverable(path, changed, [], 0, str(error))
    if not images:
        # Another process may be making it at this moment.
        if time.time() - path.stat().st_mtime > _BEING_MADE:
            shutil.rmtree(path, ignore_errors=True)
        return None
    boxes = sum(n for image in images for by_state in image.counts.values() for n in by_state.values())
    return Recoverable(path, changed, [image.name for image in images], boxes)
