"""A trained model, ready to run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_localize.core.detections import Detections
from napari_localize.core.planes import ArrayPlane
from napari_localize.core.settings import PredictSettings
from napari_localize.models.card import UNNAMED, ModelCard
from napari_localize.models.checkpoint import load_checkpoint, save_checkpoint
from napari_localize.models.device import inference_dtype, pick_device
from napari_localize.models.heatmap.decode import decode
from napari_localize.models.heatmap.network import HeatmapNetwork
from napari_localize.models.registry import find_model

Answer = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]


class Model:
    """A network with its card.

    Parameters
    ----------
    network : HeatmapNetwork
        With weights, in single precision.
    card : ModelCard
        What is known about it.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    """

    def __init__(self, network: HeatmapNetwork, card: ModelCard, device: str = "auto") -> None:
        self.network = network.cpu().eval()
        self.card = card
        self.device, self.device_text = pick_device(device)
        self.path: Path | None = None
        """The file that it was loaded from."""
        self._running: HeatmapNetwork | None = None

    def predict(self, image: Any, **settings: Any) -> Detections:
        """Localize the objects in one image.

        Parameters
        ----------
        image : (H, W) or (H, W, C) array-like
            Any real numbers.
        **settings
            Fields of `napari_localize.core.settings.PredictSettings`.
        """
        from napari_localize.models.predict import predict_plane

        return predict_plane(self, ArrayPlane(image), PredictSettings(**settings))

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the model to a ``.safetensors`` file, which gives its name to a model that has none yet."""
        if self.card.name == UNNAMED:
            self.card = self.card.named_like(path)
        save_checkpoint(path, self.network, self.card, overwrite=overwrite)

    def move_to(self, device: torch.device, text: str = "") -> None:
        """Run on another device from now on; `text` is the sentence that says so."""
        if device != self.device:
            self.device, self.device_text, self._running = device, text or f"Computing on {device}.", None

    def running(self) -> HeatmapNetwork:
        """Return the network as it runs: on its device, in its precision, with the normalisations folded in."""
        if self._running is None:
            network = self.network.fused().to(self.device, inference_dtype(self.device))
            self._running = network.to(memory_format=torch.channels_last)
        return self._running

    @torch.inference_mode()
    def detect(self, pixels: torch.Tensor, floor: float) -> list[Answer]:
        """Run the network.

        Parameters
        ----------
        pixels : (B, 3, H, W) float32 Tensor
            In 0 to 1; H and W multiples of 32.
        floor : float
            Lowest score of a box.

        Returns
        -------
        list of (boxes, labels, scores)
            (N, 4) float32 in pixels of the input, (N,) int64 and (N,) float32 for each image.
        """
        running = self.running()
        batch = pixels.to(self.device, inference_dtype(self.device), memory_format=torch.channels_last)
        return [
            (boxes.numpy(), labels.numpy(), scores.numpy()) for boxes, labels, scores in decode(running(batch), floor)
        ]


def load_model(name_or_path: str | os.PathLike[str] | Model, device: str = "auto") -> Model:
    """Load a model.

    Parameters
    ----------
    name_or_path : str, path or Model
        A bundled name, a name in the user's model store (``mine``, ``mine@3``) or a ``.safetensors`` file.
    device : str
        Where it will run. With ``auto`` a Model stays where it is.

    Raises
    ------
    UserError
        When there is no such model, its file is damaged, or there is no such device.
    """
    if isinstance(name_or_path, Model):
        if device != "auto":
            name_or_path.move_to(*pick_device(device))
        return name_or_path
    path = find_model(name_or_path)
    network, card = load_checkpoint(path)
    model = Model(network, card, device)
    model.path = path
    return model
