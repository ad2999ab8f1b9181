from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from napari_localize.engine import doctor, hardware
from napari_localize.engine.hardware import Nvidia, apple_problem, find_nvidia, nvidia_problem

CARD = Nvidia(["NVIDIA RTX A2000"], "550.54.14")


def test_this_machine_computes_rightly() -> None:
    report = doctor.diagnose()
    assert json.loads(json.dumps(report)) == report
    assert report["versions"]["torch"]
    assert report["chosen"] in [device["name"] for device in report["devices"]]
    cpu = report["devices"][0]
    assert cpu["name"] == "cpu"
    assert cpu["ok"]
    assert cpu["difference"] == 0
    assert 0 < cpu["seconds"] < doctor.CHECK_SECONDS
    assert report["ok"] == (not report["problems"])
    assert any("cpu" in sentence for sentence in report["sentences"])


def test_torch_that_cannot_be_loaded_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    report = doctor.diagnose()
    assert not report["ok"]
    assert report["devices"] == []
    assert "torchvision" in report["problems"][0]["text"]
    assert "install" in report["problems"][0]["command"]


@pytest.mark.parametrize(
    ("driver", "cuda", "hip", "text", "command"),
    [
        ("550.54.14", None, None, "CPU-only build", "whl/cu126"),
        ("550.54.14", None, "6.2", "AMD", "whl/cu126"),
        ("550.54.14", "13.2", None, "too old for this PyTorch, which needs 580", "whl/cu126"),
        ("470.1", "12.6", None, "needs 525", "whl/cu118"),
        ("390.1", "12.6", None, "needs 525", None),
        ("590.1", "13.2", None, "cannot use it. Restart", "nvidia-smi"),
        ("", "13.2", None, "no driver", None),
    ],
)
def test_why_an_nvidia_gpu_lies_idle(
    driver: str, cuda: str | None, hip: str | None, text: str, command: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (problem,) = nvidia_problem(Nvidia(CARD.names, driver), cuda, hip)
    assert text in problem.text
    assert (command or "") in (problem.command or "")
    assert (problem.command is None) == (command is None)


def test_a_gpu_hidden_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    (problem,) = nvidia_problem(CARD, "12.6", None)
    assert "CUDA_VISIBLE_DEVICES=-1 hides it" in problem.text


def test_no_gpu_is_no_problem() -> None:
    assert nvidia_problem(Nvidia(), None, None) == []
    assert apple_problem(True) == []


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_the_driver_is_asked_for_its_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA A, B, 550.54.14'\necho 'NVIDIA C, 550.54.14'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert find_nvidia() == Nvidia(["NVIDIA A, B", "NVIDIA C"], "550.54.14")


def test_a_gpu_without_a_driver_is_found_on_the_bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, vendor, kind in (("a", "0x10de", "0x030000"), ("b", "0x10de", "0x040300"), ("c", "0x8086", "0x030000")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vendor").write_text(f"{vendor}\n")
        (tmp_path / name / "class").write_text(f"{kind}\n")
    monkeypatch.setattr(hardware, "_PCI", tmp_path)
    monkeypatch.setenv("PATH", "")
    assert find_nvidia() == Nvidia(["NVIDIA GPU"], "")


def test_free_memory_is_known() -> None:
    memory = hardware.free_memory()
    assert memory is None or memory > 2**20
