"""What a format cannot hold is left out before writing, and said."""

from __future__ import annotations

import numpy as np

from napari_localize.core.annotations import Annotations
from napari_localize.formats.base import Format
from napari_localize.formats.table import note


def without_loss(entry: Format, data: Annotations) -> tuple[Annotations, list[str]]:
    """Return a copy of the data that the format can hold, and sentences on what is missing.

    A rejected box is no object; other programs would take it for one where a format has no word for it.
    """
    notes: list[str] = []
    planes = dict(data)
    if "rejected" not in entry.holds:
        rejected = {name: part.states == "rejected" for name, part in planes.items()}
        note(
            notes,
            f"Rejected boxes left out because {entry.title} would take them for objects",
            sum(int(rows.sum()) for rows in rejected.values()),
        )
        planes = {name: part[~rejected[name]] if rejected[name].any() else part for name, part in planes.items()}
    points = data.points
    if points and "points" not in entry.holds:
        notes.append(f"{entry.title} has no place for points; they are boxes of their nominal size now.")
        sizes = {name: data.sizes.get(name, (np.inf, np.inf)) for name in planes}
        planes = {name: part.clip(*sizes[name]) for name, part in planes.items()}
        points = False
    parts = planes.values()
    lost = {
        "scores": any(not np.isnan(part.scores).all() for part in parts),
        "origins": any((part.origins != "").any() for part in parts),
        "states": any((part.states != np.where(np.isnan(part.scores), "added", "proposed")).any() for part in parts),
        "reviewed": bool(data.reviewed),
        "areas": any(data.areas.values()),
        "empty": any(not len(part) for part in parts),
    }
    words = {
        "scores": "scores",
        "origins": "who made a box",
        "states": "what was accepted or edited",
        "reviewed": "which planes are finished",
        "areas": "reviewed and ignored areas",
        "empty": "planes without boxes",
    }
    missing = [words[what] for what, there in lost.items() if there and what not in entry.holds]
    if missing:
        listed = " and ".join([", ".join(missing[:-1]), missing[-1]] if len(missing) > 1 else missing)
        notes.append(f"{entry.title} has no place for {listed}.")
    kept = Annotations(planes, data.sizes, data.class_names, reviewed=data.reviewed, areas=data.areas, points=points)
    return kept, notes
