"""The folder of a project: made whole or not at all, copied, and where those are that nobody has named."""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_data_path

from napari_localize.core.errors import UserError
from napari_localize.core.files import atomic_path
from napari_localize.project.adding import moved_paths
from napari_localize.project.database import FILE, told
from napari_localize.project.schema import migrate

if TYPE_CHECKING:
    from napari_localize.project.project import Project

SUFFIX = ".localize"
LOCK = "lock"

DATA_VARIABLE = "NAPARI_LOCALIZE_DATA"
"""Environment variable that moves the folder of autosaved projects."""


def autosave_folder() -> Path:
    """Folder of autosaved projects; it need not exist yet."""
    moved = os.environ.get(DATA_VARIABLE)
    folder = Path(moved) if moved else user_data_path("napari-localize", appauthor=False)
    return folder.absolute() / "autosave"


def project_folder(path: str | os.PathLike[str]) -> Path:
    """Return the folder that is meant by a path with or without the ending."""
    folder = Path(path).absolute()
    if folder.suffix != SUFFIX and not (folder / FILE).is_file():
        folder = folder.with_name(folder.name + SUFFIX)
    return folder


def make_project(folder: Path) -> None:
    """Make an empty project.

    Raises
    ------
    UserError
        When the folder holds something else, or cannot be made.
    """
    made = not folder.exists()
    _check_empty(folder)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make {folder}: {error.strerror}; choose another folder.") from error
    try:
        with atomic_path(folder / FILE) as temporary, told(folder / FILE):
            connection = sqlite3.connect(temporary, isolation_level=None)
            try:
                migrate(connection)
            finally:
                connection.close()
    except BaseException:
        if made:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _check_empty(folder: Path) -> None:
    # What an attempt that was cut off has left behind does not matter.
    if folder.exists() and not (folder.is_dir() and all(_left_over(entry) for entry in folder.iterdir())):
        raise UserError(f"{folder} exists already; choose another name.")


def _left_over(entry: Path) -> bool:
    return entry.name == LOCK or (entry.name.startswith(f".{FILE}") and entry.suffix == ".part")


def copy_project(project: Project, target: Path) -> None:
    """Copy a project to another folder, which is there when it is whole.

    Raises
    ------
    UserError
        When there is something already, or it cannot be written.
    """
    _check_empty(target)
    temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(4)}.part")
    try:
        temporary.mkdir()
        project.database.backup(temporary / FILE)
        with told(target / FILE):
            connection = sqlite3.connect(temporary / FILE, isolation_level=None)
            try:
                connection.execute("BEGIN")
                # The copy lies beside its later place, from where the images are as far away.
                connection.executemany("UPDATE images SET path = ? WHERE id = ?", moved_paths(project, target))
                connection.execute("COMMIT")
            finally:
                connection.close()
        if target.is_dir():
            shutil.rmtree(target)
        os.rename(temporary, target)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror or error}; choose another folder.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
