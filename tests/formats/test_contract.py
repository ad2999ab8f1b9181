"""What every annotation format in the registry must do."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_localize.core.annotations import Annotations, plane_name
from napari_localize.core.detections import STATES, Detections
from napari_localize.core.errors import UserError
from napari_localize.formats import FORMATS, find_format, read_annotations, write_annotations

EVERY_FORMAT = pytest.mark.parametrize("name", FORMATS)

# No backslash: names of planes have forward slashes. Not blank at the ends only to stay readable.
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\\#"), min_size=1, max_size=12)
FLOAT = {"allow_nan": False, "width": 32}


@st.composite
def detections(draw) -> Detections:
    n = draw(st.integers(0, 6))
    corners = draw(st.lists(st.tuples(*[st.floats(0, 1e5, **FLOAT)] * 2), min_size=n, max_size=n))
    sides = draw(st.lists(st.tuples(*[st.floats(0.015625, 1e4, **FLOAT)] * 2), min_size=n, max_size=n))
    low = np.array(corners, np.float32).reshape(-1, 2)
    boxes = np.hstack([low, np.maximum(low + np.array(sides, np.float32).reshape(-1, 2), np.nextafter(low, np.inf))])
    classes = draw(st.lists(TEXT, min_size=1, max_size=3, unique=True))

    def column(values):
        return draw(st.lists(values, min_size=n, max_size=n)) if n else None

    return Detections(
        boxes.astype(np.float32),
        labels=column(st.integers(0, len(classes) - 1)),
        scores=column(st.one_of(st.just(float("nan")), st.floats(0, 1, width=32))),
        ids=draw(st.lists(st.integers(0, 1 << 50), min_size=n, max_size=n, unique=True)) if n else None,
        class_names=classes,
        origins=column(st.sampled_from(["", "human", "nuclei@3", 'odd "name", with; marks@1'])),
        states=column(st.sampled_from(STATES)),
    )


PLANES = st.dictionaries(
    st.builds(plane_name, TEXT, st.sampled_from([{}, {"t": 0}, {"z": 12}, {"t": 3, "z": 1}])),
    detections(),
    max_size=4,
)


@EVERY_FORMAT
@given(planes=PLANES)
@settings(max_examples=60, deadline=None)
def test_everything_survives_a_round_trip(name, planes):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("x" + FORMATS[name].extensions[0])
        write_annotations(path, planes)
        back = read_annotations(path)
    assert back.notes == []
    assert set(back) == set(planes)
    for plane, part in planes.items():
        np.testing.assert_allclose(back[plane].boxes, part.boxes, atol=0.01)
        np.testing.assert_array_equal(back[plane].scores, part.scores)
        for column in ("ids", "origins", "states"):
            assert getattr(back[plane], column).tolist() == getattr(part, column).tolist()
        classes = [[d.class_names[label] for label in d.labels] for d in (back[plane], part)]
        assert classes[0] == classes[1]


@EVERY_FORMAT
def test_a_plane_without_boxes_is_kept_and_a_file_without_planes_is_valid(name, tmp_path):
    extension = FORMATS[name].extensions[0]
    write_annotations(tmp_path / f"one{extension}", {"a/empty.png": Detections.empty()})
    assert [len(part) for part in read_annotations(tmp_path / f"one{extension}").values()] == [0]
    write_annotations(tmp_path / f"none{extension}", {})
    assert dict(read_annotations(tmp_path / f"none{extension}")) == {}


@EVERY_FORMAT
def test_the_format_is_found_from_the_content_and_only_one_claims_it(name, tmp_path):
    path = tmp_path / "boxes.dat"
    write_annotations(path, {"a.png": Detections([[0, 0, 5, 5]])}, format=name)
    head = path.read_bytes()
    assert [entry.name for entry in FORMATS.values() if entry.sniff(head)] == [name]
    assert find_format(path) is FORMATS[name]


@EVERY_FORMAT
@pytest.mark.parametrize(
    "head", [b"", b"\n", b"{}", b"[1, 2]", b'{"a": [1]}', b"a,b\n1,2", b"\x89PNG\r\n\x1a\n\x00", b"\xff\xfe"]
)
def test_other_content_is_not_claimed(name, head):
    assert not FORMATS[name].sniff(head)


@EVERY_FORMAT
@given(content=st.binary(max_size=300))
@settings(max_examples=60, deadline=None)
def test_any_content_gives_annotations_or_a_sentence(name, content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("x" + FORMATS[name].extensions[0])
        path.write_bytes({"coco": b'{"images": [', "csv": b"x0,y0,x1,y1\n"}.get(name, b"") + content)
        with contextlib.suppress(UserError):
            assert isinstance(read_annotations(path), Annotations)


@EVERY_FORMAT
def test_cut_files_give_a_sentence_and_lose_no_box_silently(name, tmp_path):
    path = tmp_path / ("x" + FORMATS[name].extensions[0])
    write_annotations(path, {"a.png": Detections([[0, 0, 5, 5], [3, 3, 9, 9]], scores=[0.25, 0.5])})
    content = path.read_bytes()
    for stop in range(len(content) - 30, len(content) - 20):
        path.write_bytes(content[:stop])
        with pytest.raises(UserError, match="x"):
            read_annotations(path)


@EVERY_FORMAT
def test_300_000_boxes_in_one_plane(name, tmp_path):
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 1e4, (300_000, 2))
    part = Detections(np.hstack([low, low + rng.uniform(3, 30, low.shape)]), scores=rng.random(len(low)))
    path = tmp_path / "many"
    write_annotations(path, {"a.png": part}, format=name)
    back = read_annotations(path)["a.png"]
    np.testing.assert_allclose(back.boxes, part.boxes, atol=0.01)
    np.testing.assert_array_equal(back.ids, part.ids)


def test_one_plane_is_named_like_the_file(tmp_path):
    write_annotations(tmp_path / "cells.json", Detections([[0, 0, 5, 5]]))
    assert list(read_annotations(tmp_path / "cells.json")) == ["cells"]


def test_writing_wrong_things_is_told_and_leaves_nothing(tmp_path):
    one = {"a.png": Detections([[0, 0, 5, 5]])}
    with pytest.raises(UserError, match=r"x\.txt tells no format; known are COCO"):
        write_annotations(tmp_path / "x.txt", one)
    with pytest.raises(UserError, match="'xml' is not known"):
        write_annotations(tmp_path / "x.json", one, format="xml")
    with pytest.raises(UserError, match="names such as"):
        write_annotations(tmp_path / "x.json", {(0,): one["a.png"]})
    with pytest.raises(UserError, match="cannot write list"):
        write_annotations(tmp_path / "x.json", list(one.values()))
    assert list(tmp_path.iterdir()) == []
    write_annotations(tmp_path / "x.json", one)
    before = (tmp_path / "x.json").read_bytes()
    with pytest.raises(UserError, match="exists already"):
        write_annotations(tmp_path / "x.json", {})
    assert (tmp_path / "x.json").read_bytes() == before
    write_annotations(tmp_path / "x.json", {}, overwrite=True)
    assert len(read_annotations(tmp_path / "x.json")) == 0


def test_files_that_cannot_be_read_are_told(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="does not exist"):
        read_annotations(tmp_path / "no.json")
    with pytest.raises(UserError, match="is a folder"):
        read_annotations(tmp_path)
    (tmp_path / "x.json").write_bytes(b"")
    with pytest.raises(UserError, match="is empty"):
        read_annotations(tmp_path / "x.json")
    (tmp_path / "x.json").write_bytes(b"hello")
    with pytest.raises(UserError, match="none of the known formats"):
        read_annotations(tmp_path / "x.json")
    monkeypatch.setattr("napari_localize.formats.registry._LARGEST", 3)
    with pytest.raises(UserError, match="split it"):
        read_annotations(tmp_path / "x.json")
    with pytest.raises(UserError, match="point size"):
        read_annotations(tmp_path / "x.json", point_size=0)
