"""A model's card in words: where it comes from, how it was made, how good it is.

The card may be anybody's, so nothing here relies on what its free parts hold, and every text is bounded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from napari_localize.models.card import ModelCard
from napari_localize.models.history import lineage

Section = tuple[str, list[tuple[str, str]]]
"""A heading, and lines with a name and a value."""

ORIGIN, RECIPE, QUALITY = "Where it comes from", "How it was trained", "How good it is"

MEASURES = ("AP50", "AP", "F1", "precision", "recall", "count_error")
_LONGEST = 400
_MOST_NAMES = 6


def story(card: ModelCard, path: Path | None = None, sha256: str = "") -> list[Section]:
    """Return what a card says, in sections; empty ones are left out.

    Parameters
    ----------
    card : ModelCard
        Of any model.
    path : Path, optional
        Its file.
    sha256 : str
        Of the file, where it is known.
    """
    sections = [
        (ORIGIN, _origin(card)),
        (RECIPE, _recipe(card)),
        (QUALITY, [(part, measures_in_words(numbers)) for part, numbers in measured(card)]),
        ("What its scores mean", _calibration(card)),
        ("Compared with its parent", _against_parent(card)),
        ("Earlier domains", _domains(card)),
        ("What it finds", _finds(card)),
        ("File", _file(card, path, sha256)),
    ]
    kept = [(title, [(name, _short(value)) for name, value in lines if value]) for title, lines in sections]
    return [(title, lines) for title, lines in kept if lines]


def _calibration(card: ModelCard) -> list[tuple[str, str]]:
    """Say how often boxes are right, as a small plot: a # for each 5 %."""
    if card.calibration is None:
        return []
    bars = [
        (f"score {one.said:.2f}", f"{100 * one.right:3.0f} % right {'#' * round(20 * one.right)}")
        for one in card.calibration.before
    ]
    return [("", card.calibration.sentence), *bars]


def as_text(card: ModelCard, path: Path | None = None, sha256: str = "") -> str:
    """Return what a card says as plain text."""
    lines = [card.reference + (f": {_short(card.description)}" if card.description else "")]
    for title, entries in story(card, path, sha256):
        lines += ["", title]
        lines += [f"  {name:<18} {value}" for name, value in entries]
    return "\n".join(lines)


def measured(card: ModelCard) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the parts of the data that a model was measured on, with what was measured."""
    metrics = card.metrics
    parts = [(name, part) for name, part in metrics.items() if isinstance(part, Mapping) and "F1" in part]
    return parts or ([("", metrics)] if "F1" in metrics or "AP50" in metrics else [])


def measure_of(card: ModelCard, name: str) -> float | None:
    """Return a measure such as ``F1`` on the first part of the data that it was measured on."""
    for _, part in measured(card):
        if (value := _number(part.get(name))) is not None:
            return value
    return None


def measures_in_words(part: Mapping[str, Any]) -> str:
    """Put measures into words, such as ``AP50 0.87, F1 0.86, count error 3 %, on 4 planes``."""
    words = []
    for name in MEASURES:
        if (value := _number(part.get(name))) is not None:
            words.append(f"count error {100 * value:.0f} %" if name == "count_error" else f"{name} {value:.2f}")
    for name in ("planes", "images", "boxes"):
        if (value := _number(part.get(name))) is not None:
            words.append(f"{value:.0f} {name[:-1] if value == 1 and name != 'boxes' else name}")
    return ", ".join(words)


def curve_of(card: ModelCard) -> list[tuple[float, float | None, float | None, float | None]]:
    """Return the points of the training's curve: seconds, training loss, validation loss, AP50."""
    curve = card.training.get("curve")
    if not isinstance(curve, Mapping):
        return []
    columns = [curve.get(name) for name in ("seconds", "train_loss", "validation_loss", "ap50")]
    if not all(isinstance(column, list) for column in columns):
        return []
    rows = [[_number(value) for value in row] for row in zip(*columns, strict=False)]  # type: ignore[arg-type]
    return [(row[0], row[1], row[2], row[3]) for row in rows[:1000] if row[0] is not None]


def _finds(card: ModelCard) -> list[tuple[str, str]]:
    low, high = card.diameter_range
    usual = card.usual_diameters
    images = ""
    if usual is not None:
        low_usual, high_usual = (f"{side:.0f}" for side in usual)
        images = f"objects of about {low_usual}{'' if high_usual == low_usual else f' to {high_usual}'} px"
    size = f"{card.object_diameter:.0f} px, works from {low:.0f} to {high:.0f} px"
    return [
        ("Classes", _names(card.classes)),
        ("In its images", images),
        ("Object diameter", size + (f", {card.pixel_size:g} µm/px" if card.pixel_size else "")),
        ("Threshold", f"{card.threshold:.2f}"),
        ("Channels", card.channels),
        ("Brightness", card.intensity),
    ]


def _origin(card: ModelCard) -> list[tuple[str, str]]:
    training = card.training
    chain = [ancestor.reference + (f" ({ancestor.created})" if ancestor.created else "") for ancestor in lineage(card)]
    planes = training.get("planes")
    names = [str(plane.get("name")) for plane in planes if isinstance(plane, Mapping)] if _is_list(planes) else []
    number = len(planes) + int(_number(training.get("planes not listed")) or 0) if _is_list(planes) else planes
    data = "" if number is None else f"{_short(number)} plane{'s' * (number != 1)}"
    if names:
        data += f": {_names(names)}"
    return [
        ("Created", card.created),
        (
            "Goes back to",
            " ← ".join(chain[:_MOST_NAMES]) + (" ← ..." if len(chain) > _MOST_NAMES else "")
            if chain
            else "nothing: it was trained from random weights"
            if training
            else "",
        ),
        ("Data", "; ".join(map(str, training["data"][:20])) if _is_list(training.get("data")) else ""),
        ("Planes", data),
        ("Boxes", _counts(training.get("boxes"))),
        ("Corrections", _corrections(training.get("corrections"))),
        ("Divided", _plain(training.get("split"))),
    ]


def _recipe(card: ModelCard) -> list[tuple[str, str]]:
    training = card.training
    recipe = training.get("recipe")
    text = recipe.get("text") if isinstance(recipe, Mapping) else recipe
    spent = [f"{_plain(training[name])} {name}" for name in ("steps", "seconds") if _plain(training.get(name))]
    if training.get("stopped") is True:
        spent.append("stopped by hand before its time")
    versions = training.get("versions")
    if isinstance(versions, Mapping):
        programs = ", ".join(f"{name} {version}" for name, version in list(versions.items())[:8])
    else:
        programs = f"torch {training['torch']}" if _plain(training.get("torch")) else ""
    return [
        ("Recipe", _plain(text)),
        ("Command", _plain(training.get("command"))),
        ("Length", ", ".join(spent)),
        ("Seed", _plain(training.get("seed"))),
        ("Device", _plain(training.get("device"))),
        ("Versions", programs),
    ]


def _against_parent(card: ModelCard) -> list[tuple[str, str]]:
    gate = card.metrics.get("compared with the parent")
    return [("Verdict", _plain(gate.get("sentence")))] if isinstance(gate, Mapping) else []


def _domains(card: ModelCard) -> list[tuple[str, str]]:
    found = card.metrics.get("earlier domains")
    lines = []
    for domain in found[:20] if _is_list(found) else ():
        if not isinstance(domain, Mapping):
            continue
        old, new = domain.get("old"), domain.get("new")
        text = _plain(domain.get("reason"))
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            before, after = _number(old.get("F1")), _number(new.get("F1"))
            if before is not None and after is not None:
                text = f"F1 {before:.2f} -> {after:.2f} on {_plain(domain.get('boxes'))} boxes"
        word = "forgets" if domain.get("forgets") is True else _plain(domain.get("word"))
        lines.append((_short(domain.get("name")), text + (f", {word}" if word and text else "")))
    return lines


def _file(card: ModelCard, path: Path | None, sha256: str) -> list[tuple[str, str]]:
    size = ""
    if path is not None and path.is_file():
        size = f"{path.stat().st_size / 1e6:.1f} MB"
    return [
        ("Licence", card.licence),
        ("File", "" if path is None else str(path)),
        ("Size", size),
        ("sha256", sha256),
        ("sha256, weights", card.weights_sha256),
    ]


def _corrections(value: Any) -> str:
    if not isinstance(value, Mapping):
        return ""
    boxes = value.get("boxes")
    words = [f"{n} {state}" for state, n in list(boxes.items())[:8]] if isinstance(boxes, Mapping) else []
    for name in ("reviewed planes", "reviewed areas", "ignored areas"):
        if number := _number(value.get(name)):
            words.append(f"{number:.0f} {name[:-1] if number == 1 else name}")
    return ", ".join(words)


def _counts(value: Any) -> str:
    if isinstance(value, Mapping):
        return _names([f"{name} {number}" for name, number in value.items()])
    return _plain(value)


def _names(names: Iterable[str]) -> str:
    names = list(names)
    more = f", and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _plain(value: Any) -> str:
    """Return a text or a number as text; nothing for anything else."""
    return _short(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 4] + " ..."


def _number(value: Any) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def _is_list(value: Any) -> bool:
    return isinstance(value, list)
