"""From which score on the guesses of a model are shown when nobody has said so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_localize.core.boxes import STATE_CODES
from napari_localize.core.errors import UserError
from napari_localize.models.card import read_card
from napari_localize.models.registry import find_model

if TYPE_CHECKING:
    from napari_localize.core.table import BoxTable
    from napari_localize.project import Project


def usual_score(table: BoxTable, project: Project) -> float:
    """Return the threshold of the model that has made most of the guesses, 0 where it is not known."""
    rows = table.boxes
    guesses = (rows.states == STATE_CODES["proposed"]) & ~np.isnan(rows.scores)
    if not guesses.any():
        return 0.0
    return threshold_of(rows.origin_names[int(np.bincount(rows.origins[guesses]).argmax())], project)


def threshold_of(reference: str, project: Project) -> float:
    """Return the threshold of a model, which may be known to the project alone; 0 where it is not known."""
    try:
        return read_card(find_model(reference)).threshold
    except UserError:
        known = {model.reference: model.card.get("threshold") for model in project.models()}.get(reference)
        return float(known) if isinstance(known, int | float) and 0 <= known <= 1 else 0.0
