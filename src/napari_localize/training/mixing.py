"""Weights between those of the base and those that were learnt from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

SHARES = (0.25, 0.5, 0.75)
"""Shares of what was learnt that are tried beside all of it."""

TIE = 0.002
"""Of mixtures whose AP50 differs by less, the one with more of the base is taken."""

HALF = 0.5
"""Largest share of what was learnt where no plane was held back to choose it, or the base does nearly as well there."""

NEARLY = 0.95
"""From this part of the new model's AP50 on, the base does nearly as well: what is held back are often few planes, and alike, and say
nothing of what would be lost on others."""

Weights = Mapping[str, Tensor]


def mixture(base: Weights, tuned: Weights, share: float) -> dict[str, Tensor]:
    """Return ``(1 - share) * base + share * tuned``; whole numbers, which are counters, are those of `tuned`."""
    return {
        name: base[name].to(value.device).lerp(value, share) if value.is_floating_point() else value.clone()
        for name, value in tuned.items()
    }


def mix_with_base(
    base: Weights,
    tuned: Weights,
    tuned_ap50: float,
    ap50_of: Callable[[Weights], float | None],
    base_ap50: float | None = None,
) -> tuple[dict[str, Tensor], float, float]:
    """Choose weights between base and tuned model on the validation planes (Wortsman et al., "WiSE-FT", 2022).

    More of the base means that more of what it could do stays.

    Parameters
    ----------
    base, tuned : mapping of names to tensors
        Of the same shapes; for new classes, the heads that the training started from serve as the base.
    tuned_ap50 : float
        That of `tuned`.
    ap50_of : callable
        Measures weights; None when it is stopped, which ends the search.
    base_ap50 : float, optional
        That of `base`, where it means the classes that are learnt.

    Returns
    -------
    weights, share, ap50
        `share` is that of `tuned`; the least of those that are as good as the best, of half and less where the base is
        nearly as good as all.
    """
    measured = {1.0: tuned_ap50}
    for share in SHARES:
        ap50 = ap50_of(mixture(base, tuned, share))
        if ap50 is None:
            break
        measured[share] = ap50
    best = max(measured.values())
    if base_ap50 is not None and base_ap50 >= NEARLY * best:
        measured = {share: ap50 for share, ap50 in measured.items() if share <= HALF} or measured
        best = max(measured.values())
    share = min(one for one, ap50 in measured.items() if ap50 >= best - TIE)
    return mixture(base, tuned, share), share, measured[share]
