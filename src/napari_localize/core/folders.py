"""Writing folders so that nothing is lost."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from napari_localize.core.errors import UserError


@contextmanager
def atomic_folder(
    target: str | os.PathLike[str], suffixes: Sequence[str], *, overwrite: bool = False
) -> Iterator[Path]:
    """Give a new empty folder beside `target`, moved into place when the block ends without an error.

    Parameters
    ----------
    target : path
        The folder to make.
    suffixes : sequence of str
        Endings of the files that such a folder consists of. A folder that holds anything else, such as images,
        is never replaced.
    overwrite : bool
        Whether an existing folder may be replaced as a whole.

    Raises
    ------
    UserError
        When the target exists and may not be replaced, its parent is missing or not writable, or the disk is full.
        Nothing of a failed write stays behind.
    """
    target = Path(target)
    check_folder(target, suffixes, overwrite=overwrite)
    if not os.path.isdir(target.parent):
        raise UserError(f"the folder {target.parent} does not exist; create it first.")
    part = target.with_name(f".{target.name[:40]}.{secrets.token_hex(4)}")
    new, old = part.with_suffix(".part"), part.with_suffix(".old")
    try:
        new.mkdir()
    except OSError as error:
        raise UserError(f"cannot write into {target.parent}: {error.strerror}; choose another folder.") from error
    try:
        yield new
        check_folder(target, suffixes, overwrite=overwrite)
        if os.path.lexists(target):
            os.replace(target, old)
        try:
            os.rename(new, target)
        except OSError:
            if os.path.lexists(old):
                os.replace(old, target)
            raise
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror or error}; nothing was changed.") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)
        if os.path.lexists(target):
            shutil.rmtree(old, ignore_errors=True)


def check_folder(target: Path, suffixes: Sequence[str], *, overwrite: bool) -> None:
    """Make sure that a folder may be written.

    Raises
    ------
    UserError
        When something of this name exists and may not be replaced, see `atomic_folder`.
    """
    if not os.path.lexists(target):
        return
    if os.path.islink(target) or not os.path.isdir(target):
        raise UserError(f"{target} is a file or a link, not a folder; choose another name.")
    if not overwrite and any(target.iterdir()):
        raise UserError(f"{target} exists already; choose another name or allow overwriting.")
    for folder, folders, files in os.walk(target):
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        foreign = links + [name for name in files if not name.lower().endswith(tuple(suffixes))]
        if foreign:
            raise UserError(
                f"{os.path.join(folder, foreign[0])} would be lost if {target} was replaced; choose another folder."
            )
