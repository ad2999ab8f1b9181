"""The boxes of an image between SQLite and arrays, with the summary and the R*Tree that go with them."""

from __future__ import annotations

import gc
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_localize.core.boxes import BoxRows, PlaneIndex
from napari_localize.core.errors import UserError
from napari_localize.project.codec import check_rows, trimmed
from napari_localize.project.names import REPAIR, class_ids, origin_ids, plane_ids, position_of
from napari_localize.project.points import point_size_of

T = TypeVar("T")

# Fewer columns are fewer Python objects on the way to the arrays.
_SELECT = """SELECT id, x0, y0, x1, y1, score, (plane << 40) | (class << 20) | (origin << 4) | state
    FROM boxes WHERE """

_UPSERT = """INSERT INTO boxes (id, plane, x0, y0, x1, y1, class, score, origin, state, kind)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET plane = excluded.plane, x0 = excluded.x0,
    y0 = excluded.y0, x1 = excluded.x1, y1 = excluded.y1, class = excluded.class, score = excluded.score,
    origin = excluded.origin, state = excluded.state, kind = excluded.kind"""


def rows_of_image(connection: sqlite3.Connection, image: int) -> BoxRows:
    """Return all boxes of an image, in the order of their ids.

    Raises
    ------
    UserError
        When what is stored makes no sense.
    """
    where = "plane IN (SELECT id FROM planes WHERE image = ?) ORDER BY id"
    return _pack(connection, image, where, (image,))


def rows_of_plane(connection: sqlite3.Connection, image: int, plane: int) -> BoxRows:
    """Return the boxes of one plane of an image."""
    return _pack(connection, image, "plane = ? ORDER BY id", (plane,))


def rows_by_id(connection: sqlite3.Connection, image: int, ids: Iterable[int]) -> BoxRows:
    """Return those boxes of an image that have certain ids."""
    where = "id IN (SELECT value FROM json_each(?)) AND plane IN (SELECT id FROM planes WHERE image = ?) ORDER BY id"
    return _pack(connection, image, where, (_json(ids), image))


def _pack(connection: sqlite3.Connection, image: int, where: str, values: tuple[str | int, ...]) -> BoxRows:
    with _no_collection():
        columns = tuple(zip(*connection.execute(_SELECT + where, values).fetchall(), strict=True))
    if not columns:
        return BoxRows.empty()
    try:
        codes = np.array(columns[6], np.int64)
        planes, plane_indices = _used(
            codes >> 40,
            ((key, position_of(text)) for key, text in _names(connection, "id, position", "planes", image)),
        )
        labels, class_names = _used((codes >> 20) & 0xFFFFF, _names(connection, "id, name", "classes"))
        origins, origin_names = _used((codes >> 4) & 0xFFFF, _names(connection, "id, name", "origins"))
        with np.errstate(over="ignore"):
            boxes = np.stack([np.array(column, np.float64) for column in columns[1:5]], axis=1).astype(np.float32)
        rows = BoxRows(
            np.array(columns[0], np.int64),
            planes,
            boxes,
            labels,
            np.array(columns[5], np.float64),
            origins,
            (codes & 0xF).astype(np.int8),
            plane_indices,
            class_names,
            origin_names,
        )
        check_rows(rows)
    except (ValueError, TypeError, OverflowError) as error:
        raise UserError(f"the stored boxes are damaged ({error}); {REPAIR}") from error
    return rows


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python from looking for garbage among a million new tuples again and again."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def _names(connection: sqlite3.Connection, columns: str, table: str, image: int | None = None) -> list[tuple[int, str]]:
    where, values = ("", ()) if image is None else (" WHERE image = ?", (image,))
    return connection.execute(f"SELECT {columns} FROM {table}{where}", values).fetchall()


def _used(keys: NDArray[np.int64], names: Iterable[tuple[int, T]]) -> tuple[NDArray[np.int32], tuple[T, ...]]:
    known = dict(names)
    used, codes = np.unique(keys, return_inverse=True)
    missing = [key for key in used.tolist() if key not in known]
    if missing:
        raise ValueError(f"number {missing[0]} stands for nothing")
    return codes.reshape(-1).astype(np.int32), tuple(known[key] for key in used.tolist())


def write_rows(
    connection: sqlite3.Connection, image: int, put: BoxRows, removed: Sequence[int] | NDArray[np.int64]
) -> None:
    """Store boxes as they are now and take out those that are gone, within the transaction of the caller.

    Raises
    ------
    UserError
        When a box belongs to another image, or makes no sense.
    """
    try:
        check_rows(put)
    except ValueError as error:
        raise UserError(f"these boxes cannot be stored: {error}.") from error
    # A table names every class and plane that it has ever seen.
    put = trimmed(put)
    gone = np.asarray(removed, np.int64)
    gone = gone[~np.isin(gone, put.ids)] if len(put) else gone
    planes = plane_ids(connection, image, put.plane_indices)[put.planes]
    classes = class_ids(connection, put.class_names)[put.labels]
    origins = origin_ids(connection, put.origin_names)[put.origins]
    old = _stored(connection, image, np.concatenate([put.ids, gone]))
    # Where a box has neither moved nor come nor gone, the R*Tree, which is slow to change, stays as it is.
    new_places = np.column_stack([planes, put.boxes.astype(np.float64)])
    moved = _moved(put.ids, new_places, old)
    corners = put.boxes.astype(np.float64)
    scores = put.scores.astype(object)
    scores[np.isnan(put.scores)] = None
    connection.executemany("DELETE FROM boxes WHERE id = ?", ((key,) for key in gone.tolist()))
    connection.executemany(
        _UPSERT,
        zip(
            put.ids.tolist(),
            planes.tolist(),
            *corners.T.tolist(),
            classes.tolist(),
            scores.tolist(),
            origins.tolist(),
            put.states.tolist(),
            [int(point_size_of(connection, image) is not None)] * len(put),
            strict=True,
        ),
    )
    was_there = old[:, 0].astype(np.int64)
    leaving = np.concatenate([gone, put.ids[moved]])
    connection.executemany(
        "DELETE FROM box_index WHERE id = ?", ((key,) for key in leaving[np.isin(leaving, was_there)].tolist())
    )
    at, x = planes[moved].tolist(), corners[moved].T
    connection.executemany(
        "INSERT INTO box_index VALUES (?, ?, ?, ?, ?, ?, ?)",
        zip(put.ids[moved].tolist(), at, at, *x[[0, 2, 1, 3]].tolist(), strict=True),
    )
    _count(connection, old[:, [1, 6, 7]].astype(np.int64), -1)
    _count(connection, np.column_stack([planes, classes, put.states.astype(np.int64)]), 1)
    connection.execute("DELETE FROM summary WHERE boxes = 0")


def _stored(connection: sqlite3.Connection, image: int, ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return id, plane, x0, y0, x1, y1, class and state of those boxes that there are; all are below 2^53."""
    found = connection.execute(
        "SELECT id, plane, x0, y0, x1, y1, class, state FROM boxes WHERE id IN (SELECT value FROM json_each(?))",
        (_json(ids.tolist()),),
    ).fetchall()
    old = np.array(found, np.float64).reshape(-1, 8)
    own = [key for (key,) in connection.execute("SELECT id FROM planes WHERE image = ?", (image,))]
    foreign = ~np.isin(old[:, 1], own)
    if foreign.any():
        raise UserError(f"box {int(old[foreign][0, 0])} belongs to another image; nothing was changed.")
    return old


def _moved(ids: NDArray[np.int64], places: NDArray[np.float64], old: NDArray[np.float64]) -> NDArray[np.bool_]:
    moved = np.ones(len(ids), bool)
    if len(old):
        order = np.argsort(old[:, 0])
        at = np.minimum(np.searchsorted(old[order, 0], ids), len(old) - 1)
        same = (old[order][at, 0] == ids) & (old[order][at, 1:6] == places).all(axis=1)
        moved[same] = False
    return moved


def _count(connection: sqlite3.Connection, rows: NDArray[np.int64], sign: int) -> None:
    keys, numbers = np.unique(rows.reshape(-1, 3), axis=0, return_counts=True)
    connection.executemany(
        "INSERT INTO summary VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET boxes = boxes + excluded.boxes",
        ([*key, sign * number] for key, number in zip(keys.tolist(), numbers.tolist(), strict=True)),
    )


def indices(connection: sqlite3.Connection, image: int) -> dict[int, PlaneIndex]:
    """Return the planes of an image that something is known about, by their number in the database."""
    return {key: position_of(text) for key, text in _names(connection, "id, position", "planes", image)}


def _json(ids: Iterable[int]) -> str:
    return json.dumps([int(key) for key in ids])
