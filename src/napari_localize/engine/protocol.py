"""Messages between client and engine: one JSON object a line, arrays as base64, never pickle.

From the client
    ``hello`` (memory, folder), ``job`` (job, kind, planes, arguments), ``cancel`` (job),
    ``pixels`` (read, and either shape and dtype of what now lies in the shared memory, or error), ``exit``.
From the engine
    ``ready`` (text), ``read`` (job, read, plane, rectangle, offset), ``done`` (job, result),
    ``failed`` (job, error), and events of jobs: ``queued``, ``starting``, ``started``, ``stopping`` and
    what the computation reports.

The name is under ``"op"`` and ``"event"`` respectively.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.detections import Detections

Message = dict[str, Any]

_KEY = "$detections"
_TABLE = "$table"
_COLUMNS = {"boxes": "<f4", "labels": "<i8", "scores": "<f4", "ids": "<i8"}


def encode(message: Mapping[str, Any]) -> bytes:
    """Return a message as one line, with detections, numpy numbers, arrays and paths anywhere in it.

    Tables of float32 arrive as such, other arrays as lists.
    """
    return json.dumps(message, default=_encode_special, separators=(",", ":")).encode("ascii") + b"\n"


def decode(line: bytes) -> Message:
    """Undo `encode`.

    Raises
    ------
    ValueError
        When the line is not a message.
    """
    message = json.loads(line, object_hook=_decode_special)
    if not isinstance(message, dict):
        raise ValueError("a message must be a JSON object.")
    return message


def _encode_special(value: Any) -> Any:
    if isinstance(value, Detections):
        parts: dict[str, Any] = {name: _pack(getattr(value, name), dtype) for name, dtype in _COLUMNS.items()}
        for name in ("origins", "states"):
            table: dict[str, int] = {}
            codes = [table.setdefault(text, len(table)) for text in getattr(value, name).tolist()]
            parts[name] = {"table": list(table), "codes": _pack(np.array(codes, np.int32), "<i4")}
        return {_KEY: {**parts, "class_names": value.class_names}}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        if value.dtype == np.float32 and value.ndim == 2:
            return {_TABLE: _pack(value, "<f4"), "columns": value.shape[1]}
        return value.tolist()
    if isinstance(value, PathLike):
        return fspath(value)
    raise TypeError(f"{type(value).__name__} cannot be sent to or from the engine.")


def _decode_special(value: dict[str, Any]) -> Any:
    if isinstance(value.get(_TABLE), str):
        return _unpack(value[_TABLE], "<f4").reshape(-1, int(value["columns"]) or 1)
    parts = value.get(_KEY)
    if not isinstance(parts, dict):
        return value
    columns = {name: _unpack(parts[name], dtype) for name, dtype in _COLUMNS.items()}
    for name in ("origins", "states"):
        table = np.array(parts[name]["table"], np.str_)
        columns[name] = table[_unpack(parts[name]["codes"], "<i4")]
    return Detections(
        columns["boxes"].reshape(-1, 4),
        columns["labels"],
        columns["scores"],
        columns["ids"],
        class_names=tuple(parts["class_names"]),
        origins=columns["origins"],
        states=columns["states"],
    )


def _pack(array: NDArray[Any], dtype: str) -> str:
    return base64.b64encode(np.asarray(array, dtype).tobytes()).decode("ascii")


def _unpack(text: str, dtype: str) -> NDArray[Any]:
    return np.frombuffer(base64.b64decode(text, validate=True), dtype)
