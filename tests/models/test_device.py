"""Devices by name, and what is computed there in which precision."""

from __future__ import annotations

import os

import pytest
import torch

from napari_localize.core.errors import UserError
from napari_localize.models.device import inference_dtype, pick_device, training_dtype
from napari_localize.models.localizer import load_model


def test_auto_takes_what_is_there():
    device, text = pick_device()
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert device.type == expected
    assert text.startswith("Computing on the ")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:-1", "", "CPU", "meta", "xpu"])
def test_unknown_devices(name):
    with pytest.raises(UserError, match="use auto, cpu, cuda, cuda:N or mps"):
        pick_device(name)


def test_devices_that_are_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device("auto")[0].type == "cpu"
    for name in ("cuda", "cuda:1", "mps"):
        with pytest.raises(UserError, match="run napari-localize doctor"):
            pick_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(UserError, match="cuda:2 was asked for, but there are 2 GPUs"):
        pick_device("cuda:2")


def test_precision(monkeypatch):
    cpu = torch.device("cpu")
    assert inference_dtype(cpu) == torch.float32
    assert inference_dtype(torch.device("mps")) == torch.float16
    assert training_dtype(torch.device("mps")) == torch.float32
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    assert training_dtype(cpu) == torch.bfloat16
    monkeypatch.delattr(torch.cpu, "get_capabilities")
    assert training_dtype(cpu) == torch.float32


def test_what_an_apple_gpu_cannot_do_the_cpu_does():
    assert os.environ["PYTORCH_ENABLE_MPS_FALLBACK"] == "1"


def test_a_loaded_model_goes_where_it_is_asked_to(small_model):
    small_model.move_to(torch.device("meta"), "Computing nowhere.")
    assert small_model.device_text == "Computing nowhere."
    assert load_model(small_model, "cpu") is small_model
    assert small_model.device.type == "cpu"
    assert "cpu" in small_model.device_text
