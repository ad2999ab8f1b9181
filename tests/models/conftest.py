from __future__ import annotations

import pytest
import torch

from napari_localize.models.card import ModelCard
from napari_localize.models.heatmap.network import HeatmapNetwork, NetworkConfig
from napari_localize.models.localizer import Model


def _make_model(classes=("a", "b"), seed=0, **card):
    """Give a small untrained model, quick to make and to run."""
    torch.manual_seed(seed)
    config = NetworkConfig(classes=len(classes), widths=(4, 8, 8, 8, 8), depths=(0, 1, 0, 0), decoder=8, head=8)
    known = {
        "name": "small",
        "architecture": {"kind": "heatmap", **config.model_dump(mode="json")},
        "classes": list(classes),
        "object_diameter": 28.0,
        "diameter_range": (12.0, 56.0),
        "threshold": 0.4,
    }
    return Model(HeatmapNetwork(config), ModelCard(**{**known, **card}), "cpu")


@pytest.fixture
def make_model():
    return _make_model


@pytest.fixture
def small_model():
    return _make_model()
