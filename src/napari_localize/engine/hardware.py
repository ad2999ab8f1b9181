"""Which GPUs the machine has, and why one may lie idle. No torch here: the reason may be that torch is at fault."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

OLDEST_DRIVERS = {11: 450, 12: 525, 13: 580}
"""Main version of the oldest NVIDIA driver for each main version of CUDA."""

INDEXES = ((525, "cu126"), (450, "cu118"))
"""Package indexes of PyTorch builds that older drivers can run: oldest driver, name."""

_PCI = Path("/sys/bus/pci/devices")
_NVIDIA_VENDOR = "0x10de"
_DISPLAY_CLASS = "0x03"


@dataclass(frozen=True)
class Finding:
    """A problem: one or two sentences, and the command that mends it where there is one."""

    text: str
    command: str | None = None


@dataclass(frozen=True)
class Nvidia:
    """The NVIDIA GPUs of a machine and their driver, "" where none is installed."""

    names: list[str] = field(default_factory=list)
    driver: str = ""


def find_nvidia() -> Nvidia:
    """Ask the driver for its GPUs, or the PCI bus where there is no driver."""
    output = _run(_nvidia_smi(), "--query-gpu=name,driver_version", "--format=csv,noheader")
    rows = [[part.strip() for part in line.rpartition(",")[::2]] for line in output.splitlines() if "," in line]
    if rows:
        return Nvidia([name for name, _ in rows], rows[0][1])
    count = 0
    for device in _PCI.glob("*"):
        with suppress(OSError):
            vendor = (device / "vendor").read_text().strip()
            count += vendor == _NVIDIA_VENDOR and (device / "class").read_text().startswith(_DISPLAY_CLASS)
    return Nvidia(["NVIDIA GPU"] * count)


def nvidia_problem(nvidia: Nvidia, cuda: str | None, hip: str | None) -> list[Finding]:
    """Say why NVIDIA GPUs that are there are not used.

    Parameters
    ----------
    nvidia : Nvidia
        What the machine has.
    cuda, hip : str or None
        The versions of CUDA and HIP for which torch was built.
    """
    if not nvidia.names:
        return []
    gpu = nvidia.names[0]
    if not nvidia.driver:
        return [Finding(f"There is an {gpu}, but no driver for it; install NVIDIA's driver and start again.")]
    main = int(nvidia.driver.split(".")[0])
    if cuda is None:
        kind = "an AMD (ROCm)" if hip else "a CPU-only"
        text = f"There is an NVIDIA GPU ({gpu}), but the installed PyTorch is {kind} build."
        return [Finding(text, _install(main))]
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in ("", "-1"):
        command = "set CUDA_VISIBLE_DEVICES=" if sys.platform == "win32" else "unset CUDA_VISIBLE_DEVICES"
        text = f"There is an NVIDIA GPU ({gpu}), but the variable CUDA_VISIBLE_DEVICES={hidden} hides it."
        return [Finding(text, command)]
    needed = OLDEST_DRIVERS.get(int(cuda.split(".")[0]), 0)
    if main < needed:
        text = (
            f"There is an NVIDIA GPU ({gpu}), but its driver {nvidia.driver} is too old for this PyTorch, which needs "
            f"{needed} or newer. Update the driver, or install a PyTorch for older drivers."
        )
        return [Finding(text, _install(main))]
    text = (
        f"There is an NVIDIA GPU ({gpu}) with driver {nvidia.driver}, but PyTorch cannot use it. Restart the computer, "
        "above all after an update of the driver; in a container, give it access to the GPU."
    )
    return [Finding(text, "nvidia-smi")]


def apple_problem(usable: bool) -> list[Finding]:
    """Say why the GPU of an Apple computer is not used."""
    if usable or platform.system() != "Darwin":
        return []
    if platform.machine() == "arm64":
        text = "There is an Apple GPU, but PyTorch cannot use it; macOS 14 or newer is needed."
        return [Finding(text, "softwareupdate --list")]
    if _run("sysctl", "-n", "sysctl.proc_translated").strip() == "1":
        text = (
            "There is an Apple GPU, but this Python is an Intel build that runs translated; install a Python for "
            "Apple silicon (arm64) and napari-localize in it."
        )
        return [Finding(text)]
    return []


def free_memory() -> int | None:
    """Return the free main memory in bytes, None where the system does not say."""
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    with suppress(ImportError):
        psutil = importlib.import_module("psutil")  # which napari has
        return int(psutil.virtual_memory().available)
    return None


def _install(driver: int) -> str | None:
    """Return the command that installs a PyTorch which a driver (main version) can run, if there is one."""
    command = f'"{sys.executable}" -m pip install --upgrade --force-reinstall torch torchvision'
    if driver >= OLDEST_DRIVERS[13] and sys.platform == "linux":
        return command  # the package index itself has the newest CUDA build there
    index = next((name for oldest, name in INDEXES if driver >= oldest), None)
    return index and f"{command} --index-url https://download.pytorch.org/whl/{index}"


def _nvidia_smi() -> str:
    beside_windows = Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "nvidia-smi.exe")
    return shutil.which("nvidia-smi") or str(beside_windows)


def _run(*command: str) -> str:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
