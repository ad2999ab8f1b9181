"""Which parts of a training's recipe a person has chosen; the rest is chosen from the data and the device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from napari_localize.core.errors import UserError

STRENGTHS = ("weak", "medium", "strong")
NORMS = ("frozen", "updated")
CROP_SIDES = (96, 128, 160, 192, 224, 256)

_YES, _NO = ("yes", "true", "on", "1"), ("no", "false", "off", "0")


@dataclass(frozen=True, kw_only=True)
class RecipeChoices:
    """Parts of a recipe; None is automatic.

    Parameters
    ----------
    head_first : float, optional
        Part of the training, 0 to 0.8, in which only the last layers learn, on features that are computed once.
    norm : str, optional
        ``frozen`` keeps the base's statistics of the normalisation, ``updated`` lets them follow the new images.
    learning_rate : float, optional
        At its peak, up to 0.1.
    augmentation : str, optional
        How much sizes and light of the crops are varied: ``weak``, ``medium`` or ``strong``.
    invert : bool, optional
        Whether negatives are shown, too: bright objects on dark ground become dark ones on bright ground.
    copy_paste : float, optional
        Part of the crops, 0 to 1, into which objects are copied from elsewhere.
    object_diameter : float, optional
        Pixels, 16 to 96, of typical objects as they are learnt and looked for.
    crop_side : int, optional
        Pixels of a crop's side, one of `CROP_SIDES`.
    average : bool, optional
        Whether the new weights may be mixed with the base's in the end.
    patience : int, optional
        After so many checks in a row without a better one the training stops; 0 never stops it early.
    most_steps : int, optional
        Steps, up to 1,000,000, after which a training of seconds ends before its time; 0 for no such limit.

    Raises
    ------
    UserError
        When a value cannot be.
    """

    head_first: float | None = None
    norm: str | None = None
    learning_rate: float | None = None
    augmentation: str | None = None
    invert: bool | None = None
    copy_paste: float | None = None
    object_diameter: float | None = None
    crop_side: int | None = None
    average: bool | None = None
    patience: int | None = None
    most_steps: int | None = None

    def __post_init__(self) -> None:
        for name, low, high in (("head_first", 0, 0.8), ("copy_paste", 0, 1)):
            _check_number(name, getattr(self, name), low, high)
        _check_number("object_diameter", self.object_diameter, 16, 96)
        _check_number("learning_rate", self.learning_rate, 1e-6, 0.1)
        _check_number("patience", self.patience, 0, 1000, whole=True)
        _check_number("most_steps", self.most_steps, 0, 1_000_000, whole=True)
        for name, known in (
            ("norm", NORMS),
            ("augmentation", STRENGTHS),
            ("crop_side", CROP_SIDES),
            ("invert", (True, False)),
            ("average", (True, False)),
        ):
            value = getattr(self, name)
            if value is not None and value not in known:
                words = _listed([_word(one) for one in known])
                raise UserError(f"{name} of the recipe is {_word(value)}; it can be {words}.")

    @classmethod
    def of(cls, choices: Mapping[str, Any]) -> Self:
        """Return the choices of a mapping of names to values; None and ``"auto"`` are automatic.

        Raises
        ------
        UserError
            When a name is unknown or a value cannot be.
        """
        known = [one.name for one in fields(cls)]
        chosen = {str(name).replace("-", "_"): value for name, value in choices.items()}
        for name in chosen:
            if name not in known:
                raise UserError(f"a recipe has no part {name!r}; its parts are {', '.join(known)}.")
        return cls(**{name: None if value == "auto" else value for name, value in chosen.items()})

    @classmethod
    def parse(cls, words: Iterable[str]) -> Self:
        """Read choices that are written as ``name=value``.

        >>> RecipeChoices.parse(["head-first=0.3", "average=no"]).head_first
        0.3

        Raises
        ------
        UserError
            When one is not written so, its name is unknown or its value cannot be.
        """
        chosen: dict[str, Any] = {}
        for word in words:
            name, mark, text = word.partition("=")
            if not mark or not name.strip() or not text.strip():
                raise UserError(f"{word!r} is no part of a recipe; write it as NAME=VALUE, such as head_first=0.3.")
            name = name.strip().replace("-", "_")
            if name in chosen:
                raise UserError(f"{name} of the recipe is given twice; give it once.")
            chosen[name] = _value(name, text.strip().lower())
        return cls.of(chosen)

    def as_dict(self) -> dict[str, Any]:
        """Return what was chosen."""
        return {one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name) is not None}


def _value(name: str, text: str) -> Any:
    if name in ("invert", "average") and text in (*_YES, *_NO):
        return text in _YES
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def _check_number(name: str, value: Any, low: float, high: float, whole: bool = False) -> None:
    if value is None:
        return
    right = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
    if not right or not low <= value <= high:
        kind = "a whole number" if whole else "a number"
        raise UserError(f"{name} of the recipe is {value}; it must be {kind} from {low:g} to {high:g}.")


def _word(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _listed(words: list[str]) -> str:
    return ", ".join(words[:-1]) + f" or {words[-1]}"
