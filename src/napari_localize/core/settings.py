"""What can be chosen when a model runs or learns; the same for Python, command line and widgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_localize.core.errors import UserError
from napari_localize.core.groups import check_hold_back
from napari_localize.core.recipe import RecipeChoices


@dataclass(frozen=True, kw_only=True)
class PredictSettings:
    """Settings of a prediction.

    Parameters
    ----------
    threshold : float, optional
        Lowest score of a returned box; by default the one stored in the model card.
    object_diameter : float, optional
        Typical sqrt(width x height) of the objects in pixels; found from the image by default.
    pixel_size : float, optional
        Micrometres per pixel. Gives the object diameter when the model card knows its own.
    channel : int, optional
        The only channel to look at; by default all, mapped as the model card says.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    batch_size : int, optional
        Tiles at a time; chosen by device by default.
    """

    threshold: float | None = None
    object_diameter: float | None = None
    pixel_size: float | None = None
    channel: int | None = None
    device: str = "auto"
    batch_size: int | None = None

    def __post_init__(self) -> None:
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise UserError(f"the threshold is {self.threshold}; it must lie between 0 and 1.")
        for name in ("object_diameter", "pixel_size", "batch_size"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise UserError(f"the {name.replace('_', ' ')} is {value}; it must be above 0.")
        if self.channel is not None and self.channel < 0:
            raise UserError(f"the channel is {self.channel}; channels are counted from 0.")


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """Settings of a training.

    Parameters
    ----------
    base : str, optional
        Name or file of the model to start from; None starts from random weights.
    seconds, epochs : float, int, optional
        How long to train; without either, 60 seconds. Give one of them.
    device : str
        As in `PredictSettings`.
    seed : int
        Same data, seed, device and epochs give the same model. With `seconds` the number of steps depends on how busy
        the computer is, and so does the model.
    recipe : RecipeChoices or mapping
        Parts of the recipe that are not to be chosen automatically.
    hold_back : str
        Of what whole ones are held back to judge the model on, one of `core.groups.HOLD_BACK`; ``auto`` guesses it
        from names and folders.
    """

    base: str | None = "generalist"
    seconds: float | None = None
    epochs: int | None = None
    device: str = "auto"
    seed: int = 0
    recipe: RecipeChoices | Mapping[str, Any] = field(default_factory=RecipeChoices)
    hold_back: str = "auto"

    def __post_init__(self) -> None:
        if not isinstance(self.recipe, RecipeChoices):
            object.__setattr__(self, "recipe", RecipeChoices.of(self.recipe))
        if self.seconds is not None and self.epochs is not None:
            raise UserError("both seconds and epochs are given; give only one of them.")
        if self.seconds is not None and not 0 < self.seconds < float("inf"):
            raise UserError(f"the training time is {self.seconds} seconds; it must be above 0.")
        if self.epochs is not None and self.epochs < 1:
            raise UserError(f"the number of epochs is {self.epochs}; it must be 1 or more.")
        if self.seed < 0:
            raise UserError(f"the seed is {self.seed}; it must be 0 or more.")
        check_hold_back(self.hold_back)

    @property
    def choices(self) -> RecipeChoices:
        """The recipe's chosen parts."""
        assert isinstance(self.recipe, RecipeChoices)
        return self.recipe
