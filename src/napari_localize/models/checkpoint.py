"""Model files: safetensors with the card in the header, weights in half precision."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from napari_localize.core.errors import UserError
from napari_localize.core.files import atomic_path
from napari_localize.models.card import HEADER_KEY, ModelCard, read_card
from napari_localize.models.heatmap.network import HeatmapNetwork, NetworkConfig

KIND = "heatmap"


def save_checkpoint(
    path: str | os.PathLike[str], network: HeatmapNetwork, card: ModelCard, *, overwrite: bool = False
) -> None:
    """Write a model file.

    Raises
    ------
    UserError
        When the file exists and may not be overwritten, or cannot be written.
    """
    weights = {name: _stored(value.detach().cpu()) for name, value in network.state_dict().items()}
    with atomic_path(path, overwrite=overwrite) as temporary:
        try:
            save_file(weights, temporary, metadata={HEADER_KEY: card.model_dump_json()})
        except SafetensorError as error:
            raise UserError(f"cannot write {path}: {error}; nothing was changed.") from error


def load_checkpoint(path: str | os.PathLike[str]) -> tuple[HeatmapNetwork, ModelCard]:
    """Read a model file; the network comes in single precision on the CPU, ready to run.

    Raises
    ------
    UserError
        When the file is missing, damaged or not one of ours.
    """
    card = read_card(path)
    if card.architecture.get("kind") != KIND:
        raise UserError(f"{path} holds a {card.architecture.get('kind')!r} network, which this version does not know.")
    try:
        config = NetworkConfig.model_validate(card.architecture)
        if config.classes != len(card.classes):
            raise UserError(f"the card of {path} names {len(card.classes)} classes, its network has {config.classes}.")
        # Without memory until the weights in the file have been found to fit: a card can claim any width.
        with torch.device("meta"):
            network = HeatmapNetwork(config)
        kinds = {name: value.dtype for name, value in network.state_dict().items()}
        weights = {name: value.to(kinds.get(name, value.dtype)) for name, value in load_file(Path(path)).items()}
        network.load_state_dict(weights, assign=True)
    except (SafetensorError, RuntimeError, ValidationError, OSError) as error:
        raise UserError(f"the weights in {path} do not fit its card; the file is damaged, copy it again.") from error
    if not all(bool(torch.isfinite(value).all()) for value in network.state_dict().values()):
        raise UserError(f"{path} holds weights that are not numbers; train it again.")
    return network.eval(), card


def _stored(value: torch.Tensor) -> torch.Tensor:
    """Half the precision, unless a number is too large for it."""
    half = value.half() if value.is_floating_point() else value
    return (half if bool(torch.isfinite(half).all()) else value).contiguous()
