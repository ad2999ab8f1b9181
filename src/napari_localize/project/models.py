"""Which models have worked on a project, and how well they did."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from napari_localize.core.errors import UserError
from napari_localize.project.journal import now


@dataclass(frozen=True)
class UsedModel:
    """A model that has been used.

    Attributes
    ----------
    reference : str
        ``name@version``.
    sha256 : str
        Of its file.
    card : dict
    used : str
        When it was first used, in ISO 8601.
    """

    reference: str
    sha256: str
    card: dict[str, Any]
    used: str


@dataclass(frozen=True)
class Evaluation:
    """How well a model did.

    Attributes
    ----------
    time : str
        In ISO 8601.
    model : str
        ``name@version``.
    result : dict
    """

    time: str
    model: str
    result: dict[str, Any]


def add_model(connection: sqlite3.Connection, reference: str, sha256: str, card: Mapping[str, Any]) -> None:
    """See `Project.add_model`."""
    known = connection.execute("SELECT sha256 FROM models WHERE reference = ?", (reference,)).fetchone()
    if known is None:
        values = (reference, sha256, json.dumps(dict(card)), now())
        connection.execute("INSERT INTO models (reference, sha256, card, used) VALUES (?, ?, ?, ?)", values)
    elif known[0] != sha256:
        raise UserError(
            f"the project knows another model as {reference}; give this one another name, "
            "so that it stays plain which model made which box."
        )


def used_models(connection: sqlite3.Connection) -> list[UsedModel]:
    """See `Project.models`."""
    rows = connection.execute("SELECT reference, sha256, card, used FROM models ORDER BY used")
    return [UsedModel(reference, sha256, _dict(card), used) for reference, sha256, card, used in rows]


def add_evaluation(connection: sqlite3.Connection, model: str, result: Mapping[str, Any]) -> None:
    """See `Project.add_evaluation`."""
    values = (now(), model, json.dumps(dict(result)))
    connection.execute("INSERT INTO evaluations (time, model, result) VALUES (?, ?, ?)", values)


def evaluations(connection: sqlite3.Connection) -> list[Evaluation]:
    """See `Project.evaluations`."""
    rows = connection.execute("SELECT time, model, result FROM evaluations ORDER BY id")
    return [Evaluation(time, model, _dict(result)) for time, model, result in rows]


def _dict(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {}
