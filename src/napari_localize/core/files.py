"""Writing files so that nothing is lost."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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
    if target.exists() and not overwrite:
        raise UserError(f"{target} exists already; choose another name or allow overwriting.")
    if target.is_dir():
        raise UserError(f"{target} is a folder; give a file name.")
    if not target.parent.is_dir():
        raise UserError(f"the folder {target.parent} does not exist; create it first.")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    except OSError as error:
        raise UserError(f"cannot write into {target.parent}: {error.strerror}; choose another folder.") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private; give the permissions that an ordinary new file would have.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        if not overwrite and target.exists():
            raise UserError(f"{target} was created meanwhile; choose another name or allow overwriting.")
        os.replace(temporary, target)
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror or error}; nothing was changed.") from error
    finally:
        temporary.unlink(missing_ok=True)
