"""Check sets: what is kept of planes beside a model, and what is read of anybody's file."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.known import KnownArea
from napari_localize.core.planes import ArrayPlane
from napari_localize.core.tiling import Rectangle
from napari_localize.models import checks
from napari_localize.models.checks import CheckSet, CheckWindow, bounded, cut_window, load_checks, save_checks


def window(plane="a", side=8, boxes=((1, 1, 3, 3),), dtype=np.uint16):
    pixels = np.arange(side * side * 2).reshape(side, side, 2).astype(dtype)
    return CheckWindow(plane, "f" * 64, pixels, Detections(np.array(boxes, float), class_names=("cell", "dot")))


def test_what_is_written_is_read_again(tmp_path):
    known = KnownArea([[0, 0, 6, 6]], [[1, 1, 2, 2]])
    first = CheckWindow(
        "a.tif#t=1", "0" * 64, window().pixels, Detections([[2, 3, 4, 5]], [1], class_names=("x", "y")), known
    )
    path = tmp_path / "m.checks.npz"
    save_checks(path, CheckSet([first, window("b", dtype=np.float32)], held_back=False))
    read = load_checks(path)
    assert not read.held_back
    assert [each.plane for each in read.windows] == ["a.tif#t=1", "b"]
    assert read.windows[0].known == known
    assert read.windows[0].boxes.counts() == {"x": 0, "y": 1}
    assert read.windows[1].pixels.dtype == np.float32
    np.testing.assert_array_equal(read.windows[0].pixels, first.pixels)
    np.testing.assert_array_equal(read.windows[0].boxes.boxes, [[2, 3, 4, 5]])
    with pytest.raises(UserError, match="exists already"):
        save_checks(path, read)


def test_a_window_is_cut_with_its_boxes_and_known_areas():
    image = np.zeros((40, 60), np.uint8)
    image[20:28, 30:38] = 100
    boxes = Detections([[30, 20, 38, 28], [0, 0, 5, 5], [56, 36, 60, 40]])
    cut = cut_window(ArrayPlane(image), boxes, KnownArea([[28, 16, 44, 40]]), Rectangle(16, 40, 28, 60), reduced=2)
    assert cut.pixels.shape == (12, 16, 1)
    np.testing.assert_allclose(cut.boxes.boxes, [[1, 2, 5, 6], [14, 10, 16, 12]])
    np.testing.assert_allclose(cut.counted.boxes, [[1, 2, 5, 6]])
    assert cut.pixels[2:6, 1:5].min() == 100
    assert cut.pixels.sum() == 100 * 16


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcde"), st.booleans()), max_size=40))
def test_a_set_is_bounded_and_holds_something_of_every_plane(planes):
    windows = [window(plane, boxes=((1, 1, 3, 3),) if full else np.zeros((0, 4))) for plane, full in planes]
    chosen = bounded(windows)
    assert len(chosen) == min(len(windows), checks.MOST_WINDOWS)
    assert {each.plane for each in chosen} == {each.plane for each in windows}


def test_pixels_are_bounded(monkeypatch):
    monkeypatch.setattr(checks, "MOST_BYTES", 3 * window().pixels.nbytes)
    assert len(bounded([window() for _ in range(9)])) == 3


def damaged(path, kind):
    if kind == "text":
        path.write_text("nothing")
    elif kind == "pickle":
        np.savez(path, about=np.array([{"a": 1}], object))
    elif kind == "bomb":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("about.npy", b"\0" * (40 << 20))
    elif kind == "many":
        with zipfile.ZipFile(path, "w") as packed:
            for index in range(100):
                packed.writestr(f"{index}.npy", b"")
    elif kind == "no pixels":
        np.savez(path, about=np.frombuffer(json.dumps({"held_back": True, "windows": [{}]}).encode(), np.uint8))
    else:
        save_checks(path, CheckSet([window(side=600)]))


@pytest.mark.parametrize("kind", ["text", "pickle", "bomb", "many", "no pixels", "large"])
def test_what_is_no_check_set_is_not_read(tmp_path, kind):
    path = tmp_path / "m.checks.npz"
    damaged(path, kind)
    with pytest.raises(UserError, match="remove the file"):
        load_checks(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="cannot read"):
        load_checks(tmp_path / "m.checks.npz")
