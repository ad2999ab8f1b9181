"""What is known about a trained model; stored in the header of its file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from napari_localize.core.errors import UserError
from napari_localize.evaluation.calibration import Calibration

HEADER_KEY = "napari_localize"
"""Entry of the safetensors metadata that holds the card as JSON."""

BUNDLED = Path(__file__).with_name("weights")
CALIBRATIONS = "calibrations.json"
"""Beside the bundled models: calibrations by reference, so that weights need not be stored anew for theirs."""

UNNAMED = "untitled"
"""Name of a model that has just been trained; the file it is saved to gives it one."""

PICKLED = (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
"""How files of torch.save and pickle begin."""

MOST_CLASSES = 1000

MOST_BYTES = 4 << 20
"""A card as text is at most this long, whoever made it."""

LONGEST_DESCRIPTION = 2000

Size = Annotated[float, Field(gt=0, lt=10_000)]


class Ancestor(BaseModel):
    """A model that another one goes back to.

    Attributes
    ----------
    reference : str
        What it was called, ``name@version``.
    created : str
        ISO date.
    sha256 : str
        Of its weights, see `models.digest.weights_digest`; empty where it was not known.
    """

    model_config = ConfigDict(extra="ignore")

    reference: str = Field(min_length=1, max_length=200)
    created: str = Field(default="", max_length=40)
    sha256: str = Field(default="", max_length=64)


class ModelCard(BaseModel):
    """What a model is, where it comes from and how good it is.

    Attributes
    ----------
    name, version : str, int
        Together the model's reference, ``name@version``.
    parent : str or None
        Reference of the model that training started from.
    ancestors : list of Ancestor
        The parent, its parent and so on, as far as known.
    weights_sha256 : str
        Of its own weights; written when it comes into a store.
    architecture : dict
        ``kind`` and the arguments the network is built with.
    classes : list of str
        What its labels mean, in order.
    object_diameter : float
        Typical sqrt(width x height) of the objects, in pixels, to which images are rescaled for it.
    diameter_range : (float, float)
        Object diameters, in pixels of the rescaled image, that it was trained on.
    usual_diameters : (float, float) or None
        Smallest and largest typical object diameter of the planes that it has learnt from, in pixels of these; where
        the size is to be found from an image, it is believed to be the same there. None for models of many kinds.
    pixel_size : float or None
        Micrometres per pixel of the rescaled image, where that is known.
    channels, intensity : str
        How the channels and values of an image become what the network sees.
    threshold : float
        Score that gave the best F1 on validation images.
    calibration : Calibration or None
        What its scores mean, learned from boxes that were held back from the training.
    training : dict
        Planes with fingerprints, corrections, split, recipe, seed, steps, device, versions, curve.
    metrics : dict
        Measured quality by part of the data; the comparison with the parent and on earlier domains.
    licence, created, description : str
        Licence of the weights, ISO date, one sentence.
    """

    model_config = ConfigDict(extra="ignore")

    name: str = Field(min_length=1, max_length=80)
    version: int = Field(default=1, ge=1)
    parent: str | None = None
    ancestors: list[Ancestor] = Field(default_factory=list, max_length=100)
    weights_sha256: str = Field(default="", max_length=64)
    description: str = ""
    architecture: dict[str, Any]
    classes: list[str] = Field(min_length=1, max_length=MOST_CLASSES)
    object_diameter: Size
    diameter_range: tuple[Size, Size]
    usual_diameters: tuple[Size, Size] | None = None
    pixel_size: Size | None = None
    channels: str = ""
    intensity: str = ""
    threshold: float = Field(ge=0, le=1)
    calibration: Calibration | None = None
    training: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, Any] = Field(default_factory=dict)
    licence: str = ""
    created: str = ""

    @field_validator("name")
    @classmethod
    def _name_is_a_file_name(cls, name: str) -> str:
        if name.startswith(".") or any(character in name for character in '/\\@:*?"<>|') or not name.isprintable():
            raise ValueError('it must not start with a dot nor contain / \\ @ : * ? " < > |')
        if name != name.strip():
            raise ValueError("it must not begin or end with a space")
        return name

    @field_validator("classes")
    @classmethod
    def _classes_can_be_told_apart(cls, classes: list[str]) -> list[str]:
        if len(set(classes)) < len(classes):
            raise ValueError("a class is named twice")
        return classes

    def named_like(self, path: str | os.PathLike[str]) -> ModelCard:
        """Return the card with the name of a file, as far as that can be a model's name."""
        name = "".join("-" if character in '/\\:*?"<>|' else character for character in Path(path).stem)
        name = name.partition("@")[0].lstrip(".").strip()[:80].strip()
        return self.model_copy(update={"name": name}) if name and name.isprintable() else self

    @property
    def reference(self) -> str:
        """The model's name and version: ``name@version``."""
        return f"{self.name}@{self.version}"


def read_card(path: str | os.PathLike[str]) -> ModelCard:
    """Read the card of a model file without loading its weights.

    Raises
    ------
    UserError
        When the file is missing, damaged or not one of ours.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            start = stream.read(9)
        # A safetensors file begins with the length of its header, which may be any two bytes, and a brace after it.
        if start.startswith(PICKLED) and start[8:] != b"{":
            raise UserError(f"{path} is a pickled checkpoint, which can run code; only .safetensors are opened.")
        with safe_open(path, "numpy") as file:
            text = (file.metadata() or {}).get(HEADER_KEY)
    except OSError as error:
        raise UserError(f"cannot read the model {path}: {error.strerror or error}.") from error
    except SafetensorError as error:
        raise UserError(f"{path} is not a model file, or it is cut off; copy it again.") from error
    if text is None:
        raise UserError(f"{path} was made by another program; only models of napari-localize can be used.")
    if len(text) > MOST_BYTES:
        raise UserError(
            f"the card of {path} is too large ({len(text) >> 20} MB); the file was not made by this program."
        )
    try:
        card = ModelCard.model_validate_json(text)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise UserError(f"the card of {path} is not valid: {where}: {first_problem(error)}.") from error
    if card.calibration is None and path.parent == BUNDLED:
        return card.model_copy(update={"calibration": bundled_calibrations().get(card.reference)})
    return card


def bundled_calibrations() -> dict[str, Calibration]:
    """Return the calibrations of the bundled models by reference."""
    path = BUNDLED / CALIBRATIONS
    return TypeAdapter(dict[str, Calibration]).validate_json(path.read_bytes()) if path.exists() else {}


def first_problem(error: ValidationError) -> str:
    """Say what is wrong with the first value that is not valid."""
    return error.errors()[0]["msg"].removeprefix("Value error, ")


def copy_with_card(source: Path, target: Path, card: ModelCard) -> None:
    """Copy a model file with another card in its header."""
    try:
        save_file(load_file(source), target, metadata={HEADER_KEY: card.model_dump_json()})
    except SafetensorError as error:
        raise UserError(f"cannot copy the model {source}: {error}.") from error
