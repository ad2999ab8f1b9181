"""Which file a model is, for receipts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from napari_localize.core.errors import UserError
from napari_localize.models.card import read_card
from napari_localize.models.registry import find_model


def identify_only(names: Sequence[str]) -> dict[str, Any] | None:
    """Return what `identify` says where there is one model; several are none that a report can be about."""
    return identify(names[0]) if len(names) == 1 else None


def identify(name: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what tells a model from all others.

    Parameters
    ----------
    name : str or path
        As `models.registry.find_model` takes it.

    Returns
    -------
    dict
        ``reference``; and where the file is there ``sha256``, ``classes``, ``threshold``, ``licence``, ``created``, ``parent``
        and ``torch``, the version that it was trained with.
    """
    said: dict[str, Any] = {"reference": os.fspath(name)}
    # A model that was removed meanwhile, or is on another computer, is known by its name only.
    with suppress(UserError, OSError):
        path = find_model(name)
        card = read_card(path)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        said = {
            "reference": card.reference,
            "sha256": digest,
            "classes": list(card.classes),
            "threshold": card.threshold,
            "parent": card.parent,
            "created": card.created,
            "licence": card.licence,
            "torch": _torch(card.training),
        }
    return said


def _torch(training: Mapping[str, Any]) -> Any:
    """Return the version of torch that a card tells of: a bundled one's and one's own write it in different places."""
    versions = training.get("versions")
    return training.get("torch") or (versions.get("torch") if isinstance(versions, Mapping) else None)
