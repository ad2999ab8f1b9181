"""How the child is started: which Python, with which switches and surroundings."""

from __future__ import annotations

import os
import site
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from napari_localize.engine.errors import EngineDied


def command() -> list[str]:
    """Return the command that starts the engine in the environment of this process.

    Raises
    ------
    EngineDied
        When there is no Python that could run it.
    """
    # -P: a file torch.py or random.py in the working folder must not be imported instead of the real one.
    if sys.flags.isolated:
        switches = ["-I"]
    else:
        switches = ["-P"]
        if sys.flags.no_user_site:
            switches.append("-s")
        if sys.flags.ignore_environment:
            switches.append("-E")
    return [python(), *switches, "-m", "napari_localize.engine"]


def python() -> str:
    """Return the Python of this environment, also where `sys.executable` is a launcher, a symbolic link or nothing."""
    for path in _candidates():
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    raise EngineDied(
        f"The engine cannot be started because no Python was found in {sys.prefix}; "
        "start napari with the 'python' of the environment in which napari-localize is installed."
    )


def _candidates() -> Iterator[Path]:
    executable = Path(sys.executable or "")
    if executable.stem.lower() == "pythonw":  # has no standard streams
        yield executable.with_name("python.exe")
    if executable.stem.lower().startswith(("python", "pypy")):
        yield executable
    for prefix in dict.fromkeys((sys.prefix, sys.exec_prefix, sys.base_prefix)):
        if sys.platform == "win32":
            yield Path(prefix) / "python.exe"
            yield Path(prefix) / "Scripts" / "python.exe"
        else:
            yield Path(prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
            yield Path(prefix) / "bin" / "python3"
    if executable.name and not getattr(sys, "frozen", False):
        yield executable


def environment() -> dict[str, str]:
    """Return the environment variables of the child: it finds the same package as this process does."""
    variables = dict(os.environ)
    root = str(Path(__file__).resolve().parents[2])
    if root not in {*site.getsitepackages(), site.getusersitepackages()}:
        path = [part for part in variables.get("PYTHONPATH", "").split(os.pathsep) if part]
        variables["PYTHONPATH"] = os.pathsep.join([*path, root] if root not in path else path)
    return variables


def options() -> dict[str, Any]:
    """Return the keywords of `subprocess.Popen`: no console window, and Ctrl+C in a terminal is not for the child."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}
