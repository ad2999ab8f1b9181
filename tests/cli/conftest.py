from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from napari_localize.cli import main
from napari_localize.core.samples import sample_folder
from napari_localize.models.card import ModelCard
from napari_localize.models.checkpoint import save_checkpoint
from napari_localize.models.heatmap.network import HeatmapNetwork, NetworkConfig


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def errors(self) -> list[str]:
        prefix = "napari-localize: error: "
        return [line.partition(prefix)[2] for line in self.err.replace("\r", "\n").splitlines() if prefix in line]


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that finds boxes of two classes, in no useful places: enough to see what becomes of them."""
    path = tmp_path_factory.mktemp("model") / "untrained.safetensors"
    torch.manual_seed(0)
    config = NetworkConfig(classes=2, widths=(8, 8, 16, 16, 16), depths=(1, 1, 1, 1), decoder=16, head=16)
    network = HeatmapNetwork(config)
    with torch.no_grad():
        network.heatmap.bias.zero_()
    card = ModelCard(
        name="untrained",
        architecture={"kind": "heatmap", **config.model_dump()},
        classes=["cell", "dot"],
        object_diameter=24,
        diameter_range=(10, 50),
        threshold=0.1,
    )
    save_checkpoint(path, network, card)
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with a picture, one of the same name in a folder in it, and a movie of three frames."""
    pixels = np.random.default_rng(0).integers(0, 255, (64, 96), np.uint8)
    folder = tmp_path / "images"
    (folder / "sub").mkdir(parents=True)
    Image.fromarray(pixels).save(folder / "one.png")
    Image.fromarray(pixels.T).save(folder / "sub" / "one.png")
    tifffile.imwrite(folder / "movie.tif", np.stack([pixels] * 3), imagej=True, metadata={"axes": "TYX"})
    (folder / "notes.txt").write_text("not an image")
    return folder


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command in this process."""

    def run(*arguments: Any) -> Outcome:
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return run


@pytest.fixture
def localize(call: Any, untrained: Path) -> Any:
    """Run ``predict`` with the untrained model, without looking for the size first."""

    def run(*arguments: Any) -> Outcome:
        return call("predict", "--model", untrained, "--device", "cpu", "--object-diameter", 24, *arguments)

    return run


@pytest.fixture(scope="session")
def samples() -> Path:
    return sample_folder()


def command(*arguments: Any, **options: Any) -> Outcome:
    """Run a command in a process of its own, as a shell does."""
    done = subprocess.run(
        [sys.executable, "-m", "napari_localize.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
        **options,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def shell() -> Any:
    return command
