from __future__ import annotations

import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.project.conftest import box, boxes_of, many, rows

from napari_localize.core.boxes import BoxRows
from napari_localize.core.errors import UserError
from napari_localize.core.steps import Area, Step
from napari_localize.project.codec import Record, decode, encode

AREA = Area((1,), (0.0, 1.0, 2.0, 3.5), "reviewed")


def test_a_step_comes_back_as_it_was():
    step = Step(
        "all of it",
        rows({1: box(1, plane=(1, 2)), 2: box(2)}),
        rows({2: box(3, "other", "edited"), 9: box(4, state="added")}),
        ({"a": "#000000"}, {"b": "#FFFFFF", "a": "#000000"}),
        (frozenset({(1,)}), frozenset({(2,), (3,)})),
        (frozenset(), frozenset({AREA})),
    )
    record = decode(encode(Record.of(step)))
    assert boxes_of(record.before) == boxes_of(step.before)
    assert boxes_of(record.after) == boxes_of(step.after)
    assert record.classes == step.classes
    assert list(record.classes[1]) == ["b", "a"]
    again = record.step(step.text, step.finished, step.areas)
    assert (again.finished, again.areas) == (step.finished, step.areas)
    assert record.apply(step.finished[0], step.areas[0]) == (step.finished[1], step.areas[1])
    assert record.reversed().apply(step.finished[1], step.areas[1]) == (step.finished[0], step.areas[0])


def test_what_stays_the_same_is_kept_once():
    before = many(10_000)
    once = len(encode(Record(before, before)))
    accepted = len(encode(Record(before, replace(before, states=np.ones(len(before), np.int8)))))
    assert accepted < 1.02 * once


def test_names_that_no_box_uses_are_not_kept():
    wide = replace(rows({1: box()}), plane_indices=tuple((n,) for n in range(5000)))
    assert len(encode(Record(wide, wide))) < 400


def _break(payload: bytes, old: bytes, new: bytes) -> bytes:
    body = zlib.decompress(payload[4:])
    assert old in body
    return payload[:4] + zlib.compress(body.replace(old, new))


GOOD = encode(Record(rows({1: box()}), rows({1: box(2)})))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"NLS1",
        b"\x80\x04K\x01.",
        GOOD[:-3],
        GOOD[:4] + zlib.compress(b"\xff" * 100),
        GOOD[:4] + zlib.compress(bytes(1 << 20)),
        _break(GOOD, b'"before":[1', b'"before":[9'),
        _break(GOOD, b'"cell"', b"[1,2,3]"[:6]),
        _break(GOOD, b'"classes":null', b'"classes":[[]]'),
        None,
        "text",
    ],
)
def test_a_damaged_step_is_refused_in_one_sentence(payload):
    with pytest.raises(UserError, match="a step in the journal is damaged"):
        decode(payload)


def test_a_bomb_is_not_unpacked(monkeypatch):
    monkeypatch.setattr("napari_localize.project.codec.LARGEST", 1 << 20)
    bomb = GOOD[:4] + zlib.compress(bytes(1 << 24), 9)
    with pytest.raises(UserError, match="too large"):
        decode(bomb)


@given(st.binary(max_size=200), st.integers(0, len(zlib.decompress(GOOD[4:])) - 1))
def test_no_change_of_bytes_gives_anything_but_a_sentence(noise, at):
    body = bytearray(zlib.decompress(GOOD[4:]))
    body[at : at + len(noise)] = noise
    try:
        record = decode(GOOD[:4] + zlib.compress(bytes(body)))
    except UserError:
        return
    for part in (record.before, record.after):
        assert isinstance(part, BoxRows)
        assert np.isfinite(part.boxes).all()
        dict(part.items())
