from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from napari_localize.engine import EngineDied, launch


def answer(python: str) -> str:
    command = [python, "-c", "import sys; print(sys.prefix)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_python_itself() -> None:
    assert answer(launch.python()) == sys.prefix


@pytest.mark.parametrize("executable", ["", "napari", "napari.exe", "/no/such/python3"])
def test_a_python_is_found_whatever_has_started_this_process(
    executable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = tmp_path / executable if executable else ""
    if executable.startswith("napari"):
        Path(launcher).write_text("#!/bin/sh\nexit 1\n")
        Path(launcher).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(launcher))
    assert answer(launch.python()) == sys.prefix


def test_no_python_at_all_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "")
    for name in ("prefix", "exec_prefix", "base_prefix"):
        monkeypatch.setattr(sys, name, str(tmp_path))
    with pytest.raises(EngineDied, match="no Python was found"):
        launch.python()


def test_the_child_imports_this_package_and_nothing_from_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    command = launch.command()[: -len(["-m", "napari_localize.engine"])]
    script = "import json, napari_localize; print(napari_localize.__file__ or list(napari_localize.__path__)[0])"
    done = subprocess.run(
        [*command, "-c", script], capture_output=True, text=True, check=True, env=launch.environment()
    )
    assert Path(launch.__file__).parents[1] in (Path(done.stdout.strip()), Path(done.stdout.strip()).parent)


def test_the_users_python_path_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["/mine", "/theirs"]))
    assert launch.environment()["PYTHONPATH"].split(os.pathsep)[:2] == ["/mine", "/theirs"]
