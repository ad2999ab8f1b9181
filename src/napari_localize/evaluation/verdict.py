"""What a training came to, in words that promise no more than the numbers hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from napari_localize.evaluation.forgetting import forgotten
from napari_localize.evaluation.gate import MARGIN

_SAME_PLANES = "The planes compared on are those that were learnt from, which flatters the new model. "
_CROSS_VALIDATED = (
    "Cross-validated: each {} was judged by a model that had not seen it; the kept model learnt from all. "
)


class Verdict(NamedTuple):
    """Which of two models to prefer, and how sure one can be of it."""

    word: str
    """``better``, ``worse``, ``about the same``, ``undecided``, or nothing where there is nothing to compare."""
    sentence: str
    forgets: tuple[str, ...] = ()
    """Names of the earlier domains that the new model is clearly worse on."""
    behind: bool = False
    """Whether it did worse on planes that are too few, or differ too much, to call it so."""

    @property
    def keep(self) -> bool:
        """Whether to suggest keeping it: not where it is or seems worse, nor where it forgets without being better elsewhere."""
        return self.word != "worse" and not self.behind and (self.word == "better" or not self.forgets)


def verdict(comparison: Mapping[str, Any]) -> Verdict:
    """Judge a new model.

    Parameters
    ----------
    comparison : mapping
        With ``planes``, ``gate`` (of `evaluation.gate.Gate.as_dict`, None without an old model), ``held_back``:
        whether the planes took no part in the training, ``cross_validated``, and ``domains``: how the models do on earlier domains.
    """
    word, sentence = _here(comparison)
    lost = forgotten(comparison)
    if lost:
        sentence += f" It forgets what earlier models could: {'; '.join(lost.values())}."
    return Verdict(word, sentence, tuple(lost), word == "undecided" and _is_behind(comparison))


def _is_behind(comparison: Mapping[str, Any]) -> bool:
    """Whether F1 fell by more than what counts as the same; models of a cross-validation have learnt for too short a time to tell."""
    f1 = (comparison.get("gate") or {}).get("f1")
    return not comparison.get("cross_validated") and f1 is not None and f1["new"] < f1["old"] - MARGIN


def _here(comparison: Mapping[str, Any]) -> tuple[str, str]:
    planes, gate = len(comparison["planes"]), comparison.get("gate")
    turns = _CROSS_VALIDATED.format("half of the plane" if planes == 1 else "plane")
    turns = turns if comparison.get("cross_validated") else ""
    if not planes:
        return "", "Nothing was left to compare the models on: finish more planes to see which is better."
    if gate is None:
        measured = "1 plane" if planes == 1 else f"{planes} planes"
        return "", f"{turns}Measured on {measured}; there is no old model to compare with."
    if not comparison.get("held_back", True) and gate["word"] not in ("worse", "undecided"):
        return "undecided", _SAME_PLANES + gate["sentence"]
    return str(gate["word"]), turns + str(gate["sentence"])


def count_changes(changes: Iterable[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """Count changes, given by their kinds and texts: by kind how many ``boxes``, and how many of them ``rightly``."""
    counts: dict[str, dict[str, int]] = {}
    for kind, text in changes:
        count = counts.setdefault(kind, {"boxes": 0, "rightly": 0})
        count["boxes"] += 1
        count["rightly"] += text.endswith("rightly")
    return counts


def changes_in_words(comparison: Mapping[str, Any]) -> dict[str, str]:
    """Say by kind what the new model does otherwise, such as ``gained 31 (28 rightly)``."""
    return {
        kind: f"{kind} {count['boxes']} ({count['rightly']} rightly)" for kind, count in _counts(comparison).items()
    }


def listed_in_words(comparison: Mapping[str, Any]) -> str:
    """Say how many of the changes are listed, where that is not all; nothing otherwise."""
    listed, every = len(comparison.get("changes", [])), sum(count["boxes"] for count in _counts(comparison).values())
    return (
        f"{listed:,} of {every:,} {'is' if listed == 1 else 'are'} listed, wrong ones first" if listed < every else ""
    )


def _counts(comparison: Mapping[str, Any]) -> Mapping[str, Mapping[str, int]]:
    """Return the counts of all changes; an older comparison has the list only."""
    counts: Mapping[str, Mapping[str, int]] | None = comparison.get("change counts")
    if counts is None:
        return count_changes((change["kind"], change["text"]) for change in comparison.get("changes", []))
    return counts
