"""Writing files so that nothing is lost."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from napari_localize.core.errors import UserError


@contextmanager
def atomic_path(target: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary name beside `target`, moved into place when the block ends without an error.

    Raises
    ------
    UserError
        When the target exists and may not be overwritten, or its folder is missing or not writable,
        or the disk is full. Nothing of a failed write stays behind.
    """
    target = Path(target)
    if os.path.lexists(target) and not overwrite:
        raise UserError(f"{target} exists already; choose another name or allow overwriting.")
    if os.path.isdir(target):
        raise UserError(f"{target} is a folder; give a file name.")
    if not os.path.isdir(target.parent):
        raise UserError(f"the folder {target.parent} does not exist; create it first.")
    temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(4)}.part")
    try:
        # With the permissions that any new file gets, unlike the files of `tempfile`.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        raise UserError(f"cannot write into {target.parent}: {error.strerror}; choose another folder.") from error
    try:
        yield temporary
        if not overwrite and os.path.lexists(target):
            raise UserError(f"{target} was created meanwhile; choose another name or allow overwriting.")
        os.replace(temporary, target)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror or error}; nothing was changed.") from error
    finally:
        with suppress(OSError):
            temporary.unlink()
