"""What this installation computes on, whether it computes rightly, and how to mend what is wrong."""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import sys
import time
from typing import TYPE_CHECKING, Any

from napari_localize.engine.hardware import Finding, Nvidia, apple_problem, find_nvidia, free_memory, nvidia_problem

if TYPE_CHECKING:
    import torch

PACKAGES = ("napari-localize", "napari", "numpy", "torch", "torchvision", "timm", "safetensors", "pydantic", "npe2")

TOLERANCE = 1e-2
"""Largest difference from the CPU, relative to the largest value: TF32 and other fast modes stay well below it."""

CHECK_SECONDS = 5.0


def diagnose() -> dict[str, Any]:
    """Examine versions, devices and memory, and compute something small on every device.

    Returns
    -------
    dict
        ``ok`` (bool: the best device works and no GPU lies idle), ``versions`` (name to version or None),
        ``system``, ``python``, ``devices`` (list of dicts: name, text, ok, seconds, difference, free_memory in bytes),
        ``chosen`` (name of the device that ``auto`` gives), ``problems`` (list of dicts: text, command or None) and
        ``sentences`` (all of it to read).
    """
    versions = {name: _version(name) for name in PACKAGES}
    system = f"{platform.platform()}, {os.cpu_count()} cores"
    memory = free_memory()
    if memory is not None:
        system += f", {_size(memory)} of memory free"
    nvidia = find_nvidia()
    problems: list[Finding] = []
    devices: list[dict[str, Any]] = []
    chosen = None
    try:
        import torch
        import torchvision  # noqa: F401 - it must load, too
    except (ImportError, OSError, RuntimeError) as error:
        # A wrong pair raises RuntimeError (operator torchvision::nms does not exist), a missing DLL OSError.
        problems.append(_torch_problem(error))
    else:
        devices = [_check_device(name) for name in _device_names()]
        chosen = devices[-1]["name"]
        problems += [_device_problem(device) for device in devices if not device["ok"]]
        if not torch.cuda.is_available():
            problems += nvidia_problem(nvidia, torch.version.cuda, torch.version.hip)
        problems += apple_problem(torch.backends.mps.is_available())
    return {
        "ok": not problems,
        "versions": versions,
        "system": system,
        "python": f"{platform.python_version()} ({sys.executable})",
        "devices": devices,
        "chosen": chosen,
        "problems": [{"text": problem.text, "command": problem.command} for problem in problems],
        "sentences": _sentences(versions, system, nvidia, devices, chosen, problems),
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _device_names() -> list[str]:
    """The devices that torch can use, the one that ``auto`` takes last."""
    import torch

    names = ["cpu"]
    if torch.backends.mps.is_available():
        names.append("mps")
    return names + [f"cuda:{index}" for index in reversed(range(torch.cuda.device_count()))]


def _check_device(name: str) -> dict[str, Any]:
    """Compute the same on a device and on the CPU."""
    import torch

    device = torch.device(name)
    result: dict[str, Any] = {"name": name, "ok": False, "seconds": None, "difference": None, "free_memory": None}
    try:
        title = (
            torch.cuda.get_device_name(device) if device.type == "cuda" else {"cpu": "CPU", "mps": "Apple GPU"}[name]
        )
        result["free_memory"] = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory()
        result["difference"], same_boxes, result["seconds"] = _compare_with_cpu(device)
        result["ok"] = result["difference"] <= TOLERANCE and same_boxes
    except (RuntimeError, NotImplementedError, AssertionError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        result["text"] = f"{name} fails: {first}"
        return result
    verdict = "computes rightly" if result["ok"] else "COMPUTES SOMETHING ELSE THAN THE CPU"
    free = f", {_size(result['free_memory'])} free" if result["free_memory"] else ""
    result["text"] = f"{name} ({title}{free}) {verdict}: {result['seconds'] * 1000:.1f} ms a pass."
    return result


def _compare_with_cpu(device: torch.device) -> tuple[float, bool, float]:
    """Return the largest relative difference, whether NMS keeps the same boxes, and the seconds of a pass."""
    import torch
    from torchvision.ops import nms

    generator = torch.Generator().manual_seed(0)
    image = torch.rand((1, 3, 256, 256), generator=generator)
    weights = [torch.randn(shape, generator=generator) / (9 * shape[1]) ** 0.5 for shape in _KERNELS]
    expected = _network(image, weights)
    there = image.to(device), [weight.to(device) for weight in weights]
    difference, seconds, end = 0.0, math.inf, time.monotonic() + CHECK_SECONDS / 2
    for _ in range(20):
        began = time.monotonic()
        output = _network(*there).cpu()
        seconds = min(seconds, time.monotonic() - began)
        error = float((output - expected).abs().max() / expected.abs().max())
        difference = max(difference, error if math.isfinite(error) else math.inf)
        if time.monotonic() > end:
            break
    corners = torch.rand((2000, 2), generator=generator) * 200
    boxes = torch.cat([corners, corners + 5 + 20 * torch.rand((2000, 2), generator=generator)], dim=1)
    scores = torch.rand(2000, generator=generator)
    same = torch.equal(nms(boxes, scores, 0.5), nms(boxes.to(device), scores.to(device), 0.5).cpu())
    return difference, same, seconds


_KERNELS = ((16, 3, 3, 3), (32, 16, 3, 3), (32, 32, 3, 3), (5, 32, 3, 3))


def _network(image: torch.Tensor, weights: list[torch.Tensor]) -> torch.Tensor:
    import torch
    from torch.nn import functional

    with torch.inference_mode():
        x = image
        for index, weight in enumerate(weights):
            x = functional.conv2d(x, weight, padding=1, stride=2 if index == 1 else 1)
            if index < len(weights) - 1:
                x = functional.relu(x)
        return functional.interpolate(x, scale_factor=2.0, mode="bilinear")


def _torch_problem(error: Exception) -> Finding:
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return Finding(
        f"PyTorch cannot be loaded: {first}. Install torch and torchvision as a pair.",
        f'"{sys.executable}" -m pip install --upgrade --force-reinstall torch torchvision',
    )


def _device_problem(device: dict[str, Any]) -> Finding:
    if "no kernel image" in device["text"]:
        return Finding(
            f"This PyTorch was not built for the GPU {device['name']}: it is too old or too new for it. "
            "Install another version of PyTorch, or choose the device cpu.",
            f'"{sys.executable}" -m pip install --upgrade torch torchvision',
        )
    return Finding(f"{device['text']} Choose another device until the driver or PyTorch is updated.", None)


def _sentences(
    versions: dict[str, str | None],
    system: str,
    nvidia: Nvidia,
    devices: list[dict[str, Any]],
    chosen: str | None,
    problems: list[Finding],
) -> list[str]:
    lines = [
        "Versions: " + ", ".join(f"{name} {version or 'not installed'}" for name, version in versions.items()) + ".",
        f"System: Python {platform.python_version()} on {system}.",
    ]
    if nvidia.names:
        lines.append(f"NVIDIA: {', '.join(nvidia.names)}, driver {nvidia.driver or 'not installed'}.")
    lines += [device["text"] for device in devices]
    if chosen is not None:
        lines.append(f"The device 'auto' is {chosen}.")
    for problem in problems:
        lines.append(f"Problem: {problem.text}")
        if problem.command:
            lines.append(f"To mend it: {problem.command}")
    if not problems:
        lines.append("Nothing is wrong.")
    return lines


def _size(number: int) -> str:
    return f"{number / 2**30:.1f} GB"
