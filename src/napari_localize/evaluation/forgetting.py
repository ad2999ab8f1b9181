"""Whether a new model still does what the models before it could: the verdict on earlier domains."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from napari_localize.evaluation.gate import FEWEST_PLANES, MARGIN, Gate

CLEAR_LOSS = 0.1
"""On planes too few for a verdict, F1 must fall by this before something is called forgotten ..."""

STANDARD_ERRORS = 2.0
"""... and by so many standard errors of a difference between two shares of so many boxes."""


def judge_domain(gate: Gate, boxes: int) -> tuple[str, bool]:
    """Say how a new model does on an earlier domain.

    Parameters
    ----------
    gate : Gate
        The comparison of both models there.
    boxes : int
        How many are there.

    Returns
    -------
    word, forgets
        ``better``, ``worse``, ``about the same``, ``undecided``, or nothing where there are too few planes; and
        whether the new model is clearly worse there. On few planes that is said of these planes only, where the loss is
        larger than chance would make it on so many boxes.
    """
    lost = gate.f1.old - gate.f1.new
    if gate.planes >= FEWEST_PLANES:
        return gate.word, gate.word == "worse" and lost >= MARGIN
    spread = sum(share * (1 - share) for share in (gate.f1.old, gate.f1.new))
    return "", lost >= max(CLEAR_LOSS, STANDARD_ERRORS * math.sqrt(spread / max(boxes, 1)))


def forgotten(comparison: Mapping[str, Any]) -> dict[str, str]:
    """Return by name the earlier domains that a new model is clearly worse on, with the numbers in words."""
    return {
        str(domain["name"]): f"{domain['name']}, {f1_in_words(domain)}"
        for domain in comparison.get("domains") or ()
        if domain.get("forgets")
    }


def f1_in_words(domain: Mapping[str, Any]) -> str:
    """Say what an earlier domain was measured at, such as ``F1 0.91 -> 0.74 on 125 boxes of 1 plane``."""
    if domain.get("reason"):
        return str(domain["reason"])
    planes = domain["planes"]
    text = f"F1 {domain['old']['F1']:.2f} -> {domain['new']['F1']:.2f} on {domain['boxes']} boxes of "
    text += "1 plane" if planes == 1 else f"{planes} planes"
    return text if domain["held_back"] else text + " that the earlier model had learnt from"
