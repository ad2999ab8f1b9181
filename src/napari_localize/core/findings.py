"""Places on planes that a person should look at, one after the other."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import nan
from typing import Any, Self

KIND_COLORS = {
    "gained": "#009E73",
    "lost": "#D55E00",
    "moved": "#56B4E9",
    "reclassed": "#CC79A7",
    "false positive": "#D55E00",
    "missed": "#F0E442",
    "poor overlap": "#56B4E9",
    "wrong class": "#CC79A7",
    "right": "#009E73",
}
"""Colours by kind, told apart by colour-blind people, too (Okabe and Ito, "Color Universal Design", 2008)."""

_PLAIN = "#FFFFFF"


@dataclass(frozen=True)
class Finding:
    """A box to look at.

    Attributes
    ----------
    name : str
        Of its plane, as `core.annotations.plane_name` makes it.
    box : (x0, y0, x1, y1)
        In pixels of the plane.
    kind : str
        Why it is to be looked at, such as those of `KIND_COLORS`.
    text : str
        A line about it.
    other : (x0, y0, x1, y1), optional
        The box that it is compared with.
    score : float
        NaN where there is none.
    """

    name: str
    box: tuple[float, float, float, float]
    kind: str
    text: str
    other: tuple[float, float, float, float] | None = None
    score: float = nan

    @property
    def color(self) -> str:
        """Colour of its kind, as #RRGGBB."""
        return KIND_COLORS.get(self.kind, _PLAIN)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for messages and JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Make one of what `as_dict` gave, also after a way through JSON."""
        other = values["other"]
        corners = {"box": tuple(values["box"]), "other": None if other is None else tuple(other)}
        return cls(**{**values, **corners})
