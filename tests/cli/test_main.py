from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys

import pytest

import napari_localize
from napari_localize.core.errors import UserError

COMMANDS = ("predict", "train", "evaluate", "measure", "convert", "project", "models", "doctor", "demo")


def test_help_names_every_command(shell):
    outcome = shell("--help")
    assert outcome.status == 0
    assert all(f"  {name} " in outcome.out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(call, capsys, name):
    with pytest.raises(SystemExit) as ended:
        call(name, "--help")
    assert ended.value.code == 0
    assert f"napari-localize {name}" in capsys.readouterr().out


def test_version(shell):
    assert shell("--version").out.split() == ["napari-localize", napari_localize.__version__]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["unknown"],
        ["predict"],
        ["predict", "a.tif", "--model", "nuclei", "--output", "b.json", "--threshold", "high"],
        ["predict", "a.tif", "--model", "nuclei", "--output", "b.json", "--threshold", "7"],
        ["predict", "a.tif", "--model", "nuclei", "--output", "b.json", "--wrong"],
        ["predict", "a.tif", "--model", "nuclei", "--output", "b.json"],
        ["predict", "*.nothing", "--model", "nuclei", "--output", "b.json"],
        ["predict", ".", "--model", "nuclei", "--output", "b.json"],
        ["train", "--images", ".", "--annotations", "a.json", "--output", "m.pt"],
        ["train", "--images", ".", "--annotations", "a.json", "--output", "m.safetensors", "--seconds", "-1"],
        [
            "train",
            "--images",
            ".",
            "--annotations",
            "a",
            "--output",
            "m.safetensors",
            "--seconds",
            "1",
            "--epochs",
            "2",
        ],
        ["evaluate", "--predictions", "a.json", "--annotations", "b.json"],
        ["measure", "--output", "a.csv"],
        ["measure", "--output", "a.csv", "--images", "."],
        ["measure", "--output", "a.csv", "--project", "nowhere", "--images", "."],
        ["measure", "--output", "a.txt", "--images", ".", "--annotations", "a.json"],
        ["convert", "a.json", "b.csv"],
        ["convert", "a.json", "b.unknown"],
        ["models", "info", "nowhere"],
        ["models", "import", "nowhere.safetensors"],
        ["models", "export", "nowhere", "m.safetensors"],
        ["models", "remove", "nowhere"],
    ],
)
def test_a_wrong_call_gets_one_sentence(call, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = call(*arguments)
    assert outcome.status == 2
    assert outcome.out == ""
    lines = outcome.err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("napari-localize: error: ")
    assert lines[0].endswith(".")
    assert not list(tmp_path.iterdir())


def test_debug_shows_where(call):
    for arguments in (["models", "info", "nowhere", "--debug"], ["--debug", "models", "info", "nowhere"]):
        outcome = call(*arguments)
        assert outcome.status == 2
        assert "Traceback" in outcome.err
        assert outcome.errors


@pytest.mark.parametrize(
    ("error", "status"), [(UserError("mend it."), 2), (RuntimeError("odd\nfault"), 1), (KeyboardInterrupt(), 1)]
)
def test_every_fault_has_its_status_and_a_sentence(call, monkeypatch, error, status):
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr("napari_localize.models.registry.list_models", fail)
    outcome = call("models")
    assert outcome.status == status
    assert len(outcome.err.strip().splitlines()) == 1
    assert "Traceback" not in outcome.err


def test_file_names_that_no_terminal_can_show(shell, tmp_path, untrained):
    if sys.platform != "linux":
        pytest.skip("file names are text here")
    name = os.fsdecode(b"caf\xe9.png")
    (tmp_path / name).touch()
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    arguments = ["--model", untrained, "--output", tmp_path / "boxes.json"]
    outcome = shell("predict", tmp_path / name, *arguments, env=environment)
    assert outcome.status == 2
    assert "is empty" in outcome.errors[0]


@pytest.mark.skipif(os.name == "nt", reason="there is no such signal")
@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM"])
def test_stopping_is_clean(tmp_path, untrained, how):
    import numpy as np
    import tifffile

    tifffile.imwrite(tmp_path / "large.tif", np.zeros((400, 600, 600), np.uint8), imagej=True, metadata={"axes": "TYX"})
    (tmp_path / "out").mkdir()
    command = [sys.executable, "-m", "napari_localize.cli", "predict", str(tmp_path / "large.tif")]
    command += ["--model", str(untrained), "--output", str(tmp_path / "out" / "boxes.json")]
    # A shell's background jobs ignore SIGINT, and so would all that they start.
    hears = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, preexec_fn=hears
    ) as process:
        seen = b""
        while b"Computing" not in seen:
            seen += process.stderr.read(64)
        process.send_signal(getattr(signal, how))
        _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"Traceback" not in err
    assert err.replace(b"\r", b"\n").splitlines()[-1].startswith(b"napari-localize: error: stopped")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="there is no such pipe")
def test_a_reader_that_goes_away_is_no_fault(untrained):
    command = f'"{sys.executable}" -m napari_localize.cli models info "{untrained}" | true'
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_importing_the_command_line_imports_nothing_heavy():
    code = (
        "import sys, napari_localize.cli as cli; cli._parser();"
        "print(sorted(set(sys.modules) & {'torch', 'napari', 'qtpy', 'pandas', 'scipy', 'skimage', 'matplotlib'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
