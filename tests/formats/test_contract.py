"""What every annotation format in the registry must do."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from napari_localize.core.annotations import Annotations, plane_name
from napari_localize.core.detections import STATES, Detections
from napari_localize.core.errors import UserError
from napari_localize.formats import FORMATS, find_format, read_annotations, writable_formats, write_annotations
from napari_localize.formats.names import file_stems

WRITABLE = [name for name in writable_formats() if name != "napari"]
"""All that know images and classes; napari's own files are tested apart."""

FILES = [name for name in WRITABLE if FORMATS[name].extensions]
EVERY_FORMAT = pytest.mark.parametrize("name", FORMATS)
EVERY_WRITABLE = pytest.mark.parametrize("name", WRITABLE)
EVERY_FILE = pytest.mark.parametrize("name", FILES)

HEADS = {
    "coco": b'{"images": [',
    "csv": b"x0,y0,x1,y1\n",
    "yolo": b"0 0.5 0.5 0.1 0.1\n",
    "voc": b"<annotation>",
    "geojson": b'{"type": "FeatureCollection", "features": [',
    "imagej": b"Iout",
    "napari": b"index,axis-0,axis-1\n",
    "xy": b"x,y\n",
    "trackmate": b"<TrackMate version='7'>",
    "labels": b"",
}

# No backslash: names of planes have forward slashes. Not blank at the ends only to stay readable.
# The last two are no characters, and XML cannot hold them.
TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\\#\ufffe\uffff"), min_size=1, max_size=12
)
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


def sized(planes) -> Annotations:
    """With sizes that hold all boxes, and all planes finished."""
    data = Annotations(planes)
    data.sizes = dict.fromkeys(planes, (120000, 111000))
    data.reviewed = frozenset(planes)
    return data


def target(name: str, folder: Path) -> Path:
    return folder / ("x" + (FORMATS[name].extensions or ("",))[0] * (name != "voc"))


@EVERY_WRITABLE
@given(planes=PLANES)
@settings(max_examples=60, deadline=None)
def test_everything_a_format_holds_survives_a_round_trip(name, planes):
    assume(planes or name != "voc")  # without an image there is no file
    data, holds = sized(planes), FORMATS[name].holds
    with tempfile.TemporaryDirectory() as folder:
        path = target(name, Path(folder))
        notes = write_annotations(path, data, format=name)
        back = read_annotations(path)
    assert back.notes == []
    kept = {plane: part if "rejected" in holds else part[part.states != "rejected"] for plane, part in data.items()}
    if "empty" not in holds:
        kept = {plane: part for plane, part in kept.items() if len(part)}
    assert set(back) == set(kept)
    with_scores = "scores" in holds and not any("Scores are left out" in note for note in notes)
    for plane, part in kept.items():
        np.testing.assert_allclose(back[plane].boxes, part.boxes, atol=0.01)
        if with_scores:
            np.testing.assert_array_equal(back[plane].scores, part.scores)
        for column in {"ids", "origins", "states"} & holds:
            assert getattr(back[plane], column).tolist() == getattr(part, column).tolist()
        classes = [[d.class_names[label] for label in d.labels] for d in (back[plane], part)]
        assert classes[0] == classes[1]
    if "sizes" in holds:
        assert back.sizes == data.sizes
    if "reviewed" in holds:
        assert back.reviewed == data.reviewed
    if "classes" in holds and planes:
        assert back.class_names == data.class_names


@pytest.mark.parametrize("name", [name for name in WRITABLE if "empty" in FORMATS[name].holds])
def test_a_plane_without_boxes_is_kept(name, tmp_path):
    write_annotations(target(name, tmp_path), sized({"a/empty.png": Detections.empty()}), format=name)
    back = read_annotations(target(name, tmp_path))
    assert {plane: len(part) for plane, part in back.items()} == {"a/empty.png": 0}


@pytest.mark.parametrize("name", [name for name in FILES if name != "voc"])  # that is about one image
def test_a_file_without_planes_is_valid(name, tmp_path):
    assert write_annotations(target(name, tmp_path), {}) == []
    assert sum(map(len, read_annotations(target(name, tmp_path)).values())) == 0


@EVERY_WRITABLE
def test_rejected_boxes_are_never_written_as_objects_and_what_is_lost_is_said(name, tmp_path):
    part = Detections(
        [[0, 0, 5, 5], [5, 5, 9, 9]], scores=[0.5, 0.25], states=["accepted", "rejected"], origins=["a@1", "a@1"]
    )
    notes = write_annotations(target(name, tmp_path), sized({"a.png": part, "b.png": part[:0]}), format=name)
    back = read_annotations(target(name, tmp_path))["a.png"]
    assert len(back) == (2 if "rejected" in FORMATS[name].holds else 1)
    assert any("Rejected boxes left out" in note for note in notes) == (len(back) == 1)
    assert any("what was accepted" in note for note in notes) == ("states" not in FORMATS[name].holds)
    assert all(note.endswith(".") for note in notes)


@EVERY_FILE
def test_the_format_is_found_from_the_content_and_only_one_claims_it(name, tmp_path):
    path = tmp_path / ("boxes.xml" if name == "voc" else "boxes.dat")
    write_annotations(path, {"a.png": Detections([[0, 0, 5, 5]])}, format=name)
    head = path.read_bytes()
    assert [entry.name for entry in FORMATS.values() if entry.sniff(head)] == [name]
    assert find_format(path.rename(tmp_path / "boxes")) is FORMATS[name]


@pytest.mark.parametrize("name", ["yolo", "voc"])
def test_folders_are_found_from_their_content(name, tmp_path):
    write_annotations(tmp_path / "x", sized({"a.png": Detections([[0, 0, 5, 5]])}), format=name)
    assert find_format(tmp_path / "x") is FORMATS[name]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "readme.txt").write_text("1 2 3")
    (tmp_path / "other" / "plate.xml").write_text("<plate/>")
    assert find_format(tmp_path / "other") is None


@EVERY_FORMAT
@pytest.mark.parametrize(
    "head",
    [
        *[b"", b"\n", b"{}", b"[1, 2]", b'{"a": [1]}', b"a,b\n1,2", b"\x89PNG\r\n\x1a\n\x00", b"\xff\xfe"],
        *[b"<svg/>", b"<?xml version='1.0'?><OME/>", b"names: a", b"1 2 3 4 5", b"PK\3\4" + bytes(60), b"PK"],
    ],
)
def test_other_content_is_not_claimed(name, head):
    assert not FORMATS[name].sniff(head)


@EVERY_FORMAT
@given(content=st.binary(max_size=300))
@settings(max_examples=60, deadline=None)
def test_any_content_gives_annotations_or_a_sentence(name, content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.dat"
        path.write_bytes(HEADS[name] + content)
        with contextlib.suppress(UserError):
            assert isinstance(read_annotations(path, format=name), Annotations)


@EVERY_FILE
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_files_give_annotations_or_a_sentence(name, data):
    with tempfile.TemporaryDirectory() as folder:
        path = target(name, Path(folder)).with_suffix(FORMATS[name].extensions[0])
        part = Detections([[0, 0, 5, 5]], scores=[0.5], origins=["a@1"], class_names=["RBC"])
        write_annotations(path, sized({"a.tif#t=3": part}))
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        with contextlib.suppress(UserError):
            assert isinstance(read_annotations(path, format=name), Annotations)


@EVERY_FILE
def test_cut_files_give_a_sentence_and_lose_no_box_silently(name, tmp_path):
    path = tmp_path / ("x" + FORMATS[name].extensions[0])
    write_annotations(path, {"a.png": Detections([[0, 0, 5, 5], [3, 3, 9, 9]], scores=[0.25, 0.5])})
    content = path.read_bytes()
    for stop in range(len(content) - 30, len(content) - 20):
        path.write_bytes(content[:stop])
        with pytest.raises(UserError, match="x"):
            read_annotations(path)


@EVERY_WRITABLE
def test_many_boxes_in_one_plane(name, tmp_path):
    number = {"voc": 30_000, "imagej": 5_000}.get(name, 300_000)
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 1e4, (number, 2))
    part = Detections(np.hstack([low, low + rng.uniform(3, 30, low.shape)]), scores=rng.random(len(low)))
    path = target(name, tmp_path)
    write_annotations(path, sized({"a.png": part}), format=name)
    back = read_annotations(path)["a.png"]
    np.testing.assert_allclose(back.boxes, part.boxes, atol=0.01)
    np.testing.assert_array_equal(back.scores, part.scores)


@given(names=st.lists(st.text(max_size=300), max_size=6, unique=True))
def test_names_of_files_stay_in_their_folder_and_differ_on_every_system(names):
    stems = file_stems(names)
    assert list(stems) == names
    assert len({stem.casefold() for stem in stems.values()}) == len(names)
    for stem in stems.values():
        parts = stem.split("/")
        assert all(part and part not in (".", "..") and len(part.encode()) < 250 for part in parts)
        assert not set(stem) & set('\\:*?"<>|\0\n')


def test_one_plane_is_named_like_the_file(tmp_path):
    write_annotations(tmp_path / "cells.json", Detections([[0, 0, 5, 5]]))
    assert list(read_annotations(tmp_path / "cells.json")) == ["cells"]


def test_writing_wrong_things_is_told_and_leaves_nothing(tmp_path):
    one = {"a.png": Detections([[0, 0, 5, 5]])}
    with pytest.raises(UserError, match=r"x\.txt tells no format; known are COCO"):
        write_annotations(tmp_path / "x.txt", one)
    with pytest.raises(UserError, match="'xls' is not known"):
        write_annotations(tmp_path / "x.json", one, format="xls")
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
