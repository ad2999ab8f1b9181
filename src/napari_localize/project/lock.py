"""Who has a project open for writing: one window at a time, also after a crash and on other machines."""

from __future__ import annotations

import contextlib
import errno
import getpass
import json
import os
import socket
import sys
from datetime import datetime
from pathlib import Path
from typing import IO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_FAR = 1 << 30  # Windows lets nobody read the bytes that are locked, so those of the text are not
_TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


class Lock:
    """A locked file beside the database. The system unlocks it when the process ends, however it ends.

    Parameters
    ----------
    path : Path
        The file; it is made where it is missing.

    Attributes
    ----------
    reason : str or None
        Why the project cannot be written to; None where the lock is held.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None
        self.reason: str | None = None
        try:
            file = path.open("r+b" if path.exists() else "w+b")
        except OSError as error:
            self.reason = f"{path.parent} cannot be written to ({error.strerror}), so it is opened for reading only."
            return
        try:
            _lock(file)
        except OSError as error:
            if error.errno in _TAKEN or _holder_lives(path):
                file.close()
                self.reason = f"{path.parent} is open {_holder(path)}, so here it is opened for reading only."
                return
            # A share without locks; nobody who lives has written a name into the file.
        self._file = file
        self._sign()

    def release(self) -> None:
        """Let others have it."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.truncate(0)
            self._file.close()
            self._file = None

    def _sign(self) -> None:
        assert self._file is not None
        since = datetime.now().astimezone().isoformat(timespec="seconds")
        who = {"user": _user(), "host": socket.gethostname(), "pid": os.getpid(), "since": since}
        with contextlib.suppress(OSError):
            self._file.truncate(0)
            self._file.seek(0)
            self._file.write(json.dumps(who).encode())
            self._file.flush()


def _lock(file: IO[bytes]) -> None:
    if sys.platform == "win32":
        file.seek(_FAR)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_locked(path: Path) -> bool:
    """Whether somebody has a project open, given the lock file's path."""
    if not path.exists():
        return False
    lock = Lock(path)
    lock.release()
    return lock.reason is not None


def _read(path: Path) -> dict[str, str]:
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(4096))
        return {str(key): str(value) for key, value in content.items()}
    except (OSError, ValueError, AttributeError):
        return {}


def _holder(path: Path) -> str:
    who = _read(path)
    if not who:
        return "elsewhere"
    own = who.get("pid") == str(os.getpid()) and who.get("host") == socket.gethostname()
    where = (
        "already in this program" if own else f"by {who.get('user')} on {who.get('host')} (process {who.get('pid')})"
    )
    return f"{where} since {who.get('since', '').replace('T', ' ')}"


def _holder_lives(path: Path) -> bool:
    who = _read(path)
    if not who:
        return False
    if who.get("host") != socket.gethostname():
        return True  # nobody here can tell
    return sys.platform == "win32" or _alive(int(who["pid"]) if who.get("pid", "").isdecimal() else 0)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return pid > 0


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "somebody"
