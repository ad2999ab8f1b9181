"""Where to compute, and with what precision."""

from __future__ import annotations

from typing import Any

import torch

from napari_localize.core.errors import UserError


def pick_device(name: str = "auto") -> tuple[torch.device, str]:
    """Choose a device.

    Parameters
    ----------
    name : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Returns
    -------
    device, sentence
        The sentence says which and why.

    Raises
    ------
    UserError
        When the name is unknown or such a device is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0), f"Computing on the GPU {torch.cuda.get_device_name(0)}."
        if torch.backends.mps.is_available():
            return torch.device("mps"), "Computing on the Apple GPU."
        return torch.device("cpu"), f"Computing on the CPU with {_threads()}; no GPU was found."
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (number and not number.isdigit()):
        raise UserError(f"there is no device {name!r}; use auto, cpu, cuda, cuda:N or mps.")
    if kind == "cuda":
        if not torch.cuda.is_available():
            raise UserError("cuda was asked for, but PyTorch finds no such GPU; run napari-localize doctor.")
        index = int(number or 0)
        if index >= torch.cuda.device_count():
            raise UserError(f"{name} was asked for, but there are {torch.cuda.device_count()} GPUs, counted from 0.")
        return torch.device("cuda", index), f"Computing on the GPU {torch.cuda.get_device_name(index)}."
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UserError("mps was asked for, but PyTorch finds no Apple GPU; run napari-localize doctor.")
    return torch.device(kind), f"Computing on {kind}, as asked."


def inference_dtype(device: torch.device) -> torch.dtype:
    """Return the precision in which a device runs a network: half on GPUs, single on CPUs."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "mps":
        return torch.float16
    return torch.float32


def training_dtype(device: torch.device) -> torch.dtype:
    """Return the precision in which a device trains; CPUs that multiply bfloat16 in hardware use it."""
    if device.type == "cpu":
        # Older versions of PyTorch cannot say what the processor can do.
        able: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        return torch.bfloat16 if able.get("avx512_bf16") else torch.float32
    # Apple GPUs train in single precision: half underflows there without a loss scaler.
    return torch.float32 if device.type == "mps" else inference_dtype(device)


def _threads() -> str:
    number = torch.get_num_threads()
    return "1 thread" if number == 1 else f"{number} threads"
