"""Colours of classes and marks of states: the same in every layer and widget."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CLASS_COLORS = (
    # Okabe and Ito, chosen to stay apart for colour-blind eyes; their black is left out on dark images.
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
    # Paul Tol's light scheme, for projects with more classes than that.
    "#EE8866",
    "#77AADD",
    "#AAAA00",
    "#FFAABB",
    "#44BB99",
    "#EEDD88",
    "#BBCC33",
    "#99DDFF",
    "#DDDDDD",
)
"""Edge colours in the order of the class list."""

STATE_FACES: Mapping[str, tuple[float, float, float, float]] = {
    "proposed": (0.0, 0.0, 0.0, 0.0),
    "accepted": (0.27, 0.8, 0.6, 0.16),
    "edited": (0.34, 0.71, 0.91, 0.2),
    "added": (1.0, 0.9, 0.4, 0.18),
    "rejected": (0.0, 0.0, 0.0, 0.5),
}
"""Fill of a box by state, RGBA: a guess of a model is empty, what a person has looked at is tinted."""

STATE_WIDTHS: Mapping[str, float] = {"proposed": 1.0, "accepted": 1.0, "edited": 2.0, "added": 2.0, "rejected": 0.75}
"""Width of a box's edge by state, beside that of a guess: what a person has drawn or corrected stands out in any colour.
"""


def next_color(taken: Iterable[str]) -> str:
    """Return the first class colour that is not taken; from the start again when all are."""
    used = [color.upper() for color in taken]
    for color in CLASS_COLORS:
        if color not in used:
            return color
    return CLASS_COLORS[len(used) % len(CLASS_COLORS)]


def renamed_classes(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """Return old and new name of the classes that go by another name now, in the same place and colour.

    Parameters
    ----------
    before, after : mapping of str to str
        Colour by class name, in the order of the class list.
    """
    pairs = zip(before.items(), after.items(), strict=False)
    return {
        was: name
        for (was, color), (name, new_color) in pairs
        if color == new_color and was not in after and name not in before
    }


def class_colors(class_names: Iterable[str], known: Mapping[str, str] | None = None) -> dict[str, str]:
    """Give every class a colour, keeping those that are known already."""
    colors: dict[str, str] = {}
    known = known or {}
    for name in class_names:
        colors[name] = known[name] if name in known else next_color([*known.values(), *colors.values()])
    return colors
