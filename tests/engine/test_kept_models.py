"""What is kept in the engine between jobs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from napari_localize.core.errors import Cancelled
from napari_localize.engine import jobs


def test_a_model_that_had_to_leave_the_gpu_is_loaded_anew_also_after_a_cancel(monkeypatch):
    model = SimpleNamespace(device="cuda:0")
    task = SimpleNamespace(arguments={"settings": {}, "model": "nuclei"})
    monkeypatch.setattr(jobs, "_models", {"nuclei": model})
    monkeypatch.setattr(jobs, "_model", lambda name, device: model)

    def run_out_of_memory(task, model, settings):
        model.device = "cpu"
        raise Cancelled

    monkeypatch.setattr(jobs, "_predict_all", run_out_of_memory)
    with pytest.raises(Cancelled):
        jobs.predict(task)
    assert not jobs._models
