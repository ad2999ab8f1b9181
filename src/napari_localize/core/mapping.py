"""Which class of the data is learnt as which: names are joined, changed or left out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.known import KnownArea

ClassMap = Mapping[str, str | None]
"""New name by old name; None for a class that is not to be learnt."""


def parse_class_map(texts: Iterable[str]) -> dict[str, str | None]:
    """Read ``old=new`` of a command line; ``old=`` and ``old=-`` leave a class out.

    Raises
    ------
    UserError
        When one is not of that form, or a class is named twice.

    Examples
    --------
    >>> parse_class_map(["rbc=RBC", "dirt=-"])
    {'rbc': 'RBC', 'dirt': None}
    """
    found: dict[str, str | None] = {}
    for text in texts:
        old, equals, new = (part.strip() for part in text.partition("="))
        if not equals or not old:
            raise UserError(f"{text!r} does not say which class becomes which; write it as old=new, or old= for none.")
        if old in found:
            raise UserError(f"the class {old!r} is mapped twice; give one new name for it.")
        found[old] = None if new in ("", "-") else new
    return found


def check_class_map(class_map: ClassMap, classes: Iterable[str]) -> None:
    """Find what is wrong with a map before work starts.

    Raises
    ------
    UserError
        When an old name is not a class of the data, or a new name is itself given another one.
    """
    classes = list(dict.fromkeys(classes))
    for old, new in class_map.items():
        if old not in classes:
            known = ", ".join(repr(name) for name in classes) or "none"
            raise UserError(f"there is no class {old!r} to be mapped; the classes of the data are {known}.")
        if new is not None and not new.strip():
            raise UserError(f"the class {old!r} is mapped to a blank name; give it a name, or leave it out with None.")
        if new is not None and class_map.get(new, new) != new:
            to = "left out" if class_map[new] is None else f"mapped to {class_map[new]!r}"
            raise UserError(f"{old!r} is mapped to {new!r}, which is itself {to}; map {old!r} to what is meant.")


def map_classes(boxes: Detections, known: KnownArea, class_map: ClassMap) -> tuple[Detections, KnownArea]:
    """Give the boxes of a plane their new classes.

    Boxes of classes that are left out become ignored areas: there are objects, of which nothing is to be learnt.
    Rejected boxes get the new name of their class, too.
    """
    names = [class_map.get(name, name) for name in boxes.class_names]
    classes = tuple(dict.fromkeys(name for name in names if name is not None))
    gone = np.array([name is None for name in names], bool)[boxes.labels]
    places = np.array([0 if name is None else classes.index(name) for name in names], np.int64)
    ignored = boxes.boxes[gone & (boxes.states != "rejected")]
    kept = boxes[~gone]
    mapped = replace(kept, labels=places[kept.labels], class_names=classes)
    if not len(ignored):
        return mapped, known
    return mapped, KnownArea(known.reviewed, (*known.ignored, *map(tuple, ignored.tolist())))


def suggest_class_map(classes: Sequence[str], wanted: Iterable[str]) -> dict[str, str]:
    """Suggest one spelling for classes whose names differ in case, blanks or plural only.

    Parameters
    ----------
    classes : sequence of str
        Of the data, those first whose spelling is preferred.
    wanted : iterable of str
        Names that exist already, such as those of the base model; preferred over all others.

    Returns
    -------
    dict of str to str
        New name by old name, only where they differ.

    Examples
    --------
    >>> suggest_class_map(["RBC", "rbc", "white cells", "dirt"], ["white_cell"])
    {'rbc': 'RBC', 'white cells': 'white_cell'}
    """
    spelling: dict[str, str] = {}
    for name in (*wanted, *classes):
        spelling.setdefault(_plain(name), name)
    found = {name: spelling[_plain(name)] for name in classes}
    return {old: new for old, new in found.items() if old != new}


def _plain(name: str) -> str:
    plain = re.sub(r"[\W_]+", "", name).casefold()
    return plain.removesuffix("s") or name
