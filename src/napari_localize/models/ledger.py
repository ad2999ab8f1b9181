"""Which versions of each name a store has ever held, so that none is given to another model again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from napari_localize.core.files import atomic_path

LEDGER = "versions.json"
_MOST_BYTES = 1 << 22


def last_versions(folder: Path) -> dict[str, int]:
    """Return the last version of each name that a store is known to have used; none where the ledger is damaged."""
    try:
        with (folder / LEDGER).open("rb") as stream:
            found = json.loads(stream.read(_MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: number for name, number in found.items() if type(number) is int and number > 0}


def note_versions(folder: Path, used: Mapping[str, int]) -> None:
    """Remember the last version of some names; a number that is lower than what is known changes nothing.

    Raises
    ------
    UserError
        When the ledger cannot be written.
    """
    known = last_versions(folder)
    new = {**known, **{name: max(number, known.get(name, 0)) for name, number in used.items()}}
    if new != known:
        with atomic_path(folder / LEDGER, overwrite=True) as temporary:
            temporary.write_text(json.dumps(new, indent=1, ensure_ascii=False), "utf-8")
