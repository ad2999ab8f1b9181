"""A count in the words of a methods section."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_localize.evaluation.counts import CountReport

REFERENCES = (
    "Cochran, W. G. Sampling Techniques, 3rd ed., chapter 6 (Wiley, 1977).",
    "MacKinnon, J. G. & White, H. Some heteroskedasticity-consistent covariance matrix estimators with improved finite "
    "sample properties. J. Econometrics 29, 305-325 (1985).",
    "Hall, P. On the removal of skewness by transformation. J. R. Stat. Soc. B 54, 221-228 (1992).",
)


def for_a_paper(report: CountReport, model: str, version: str, seed: int | None) -> str:
    """Return the count, how it was made, and what to cite.

    Parameters
    ----------
    report : CountReport
    model : str
        ``name@version`` of the model, or empty where it is not known.
    version : str
        Of napari-localize.
    seed : int or None
        With which the reviewed planes were drawn by lot; None where they were not.
    """
    total: Any = report.classes.loc["all"]
    planes = len(report.planes)
    score = "" if report.threshold is None else f", scores of at least {report.threshold:.2f}"
    with_model = f" (model {model}{score})" if model else ""
    parts = [f"Objects were localized with napari-localize {version}{with_model} on {planes} planes."]
    if not report.reviewed:
        parts.append(f"{total['found']:,.0f} objects were found; no plane was reviewed.")
        return " ".join(parts)
    how = "chosen by hand" if seed is None else f"drawn by lot (seed {seed})"
    parts.append(f"{report.reviewed} of these, {how}, were reviewed by a person: ")
    parts[-1] += f"precision {_share(total, 'precision')}, recall {_share(total, 'recall')}."
    if math.isnan(total["low"]):
        parts.append(
            f"The number of objects is about {total['count']:,.0f}; too few planes were reviewed for an interval."
        )
        return " ".join(parts)
    parts.append(
        "The total was estimated from the counts of the model on all planes by the ratio estimator [1], with a variance of "
        f"the HC3 kind [2] and an interval that follows the skewness [3]: {total['count']:,.0f} objects (95 % confidence "
        f"interval {total['low']:,.0f} to {total['high']:,.0f})."
    )
    for name, row in report.classes.drop(index="all").iterrows():
        if len(report.classes) > 2:
            parts.append(f"{name}: {row['count']:,.0f} ({row['low']:,.0f} to {row['high']:,.0f}).")
    if report.notes:
        parts.append(f"To be considered: {' '.join(note[:1].upper() + note[1:] for note in report.notes)}")
    return " ".join(parts) + "".join(f"\n[{number}] {text}" for number, text in enumerate(REFERENCES, start=1))


def _share(row: Any, name: str) -> str:
    if math.isnan(row[name]):
        return "not known"
    text = f"{100 * row[name]:.1f} %"
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return text if math.isnan(low) else f"{text} (95 % confidence interval {100 * low:.1f} to {100 * high:.1f})"
