from __future__ import annotations

import os
import sys

import pytest

from napari_localize.core.errors import UserError
from napari_localize.core.folders import atomic_folder


def test_a_folder_appears_only_when_it_is_complete(tmp_path):
    with atomic_folder(tmp_path / "x", [".txt"]) as new:
        (new / "a.txt").write_text("1")
        assert not (tmp_path / "x").exists()
    assert (tmp_path / "x" / "a.txt").read_text() == "1"
    assert os.listdir(tmp_path) == ["x"]


def fail_while_writing(path):
    with atomic_folder(path, [".txt"], overwrite=True) as new:
        (new / "a.txt").write_text("new")
        raise RuntimeError("no such luck")


def test_a_failed_write_leaves_what_was_there(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.txt").write_text("old")
    with pytest.raises(RuntimeError, match="no such luck"):
        fail_while_writing(tmp_path / "x")
    assert (tmp_path / "x" / "a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["x"]


def test_an_empty_folder_may_be_filled_and_others_only_on_request(tmp_path):
    (tmp_path / "x").mkdir()
    with atomic_folder(tmp_path / "x", [".txt"]) as new:
        (new / "a.txt").write_text("1")
    with pytest.raises(UserError, match="exists already"), atomic_folder(tmp_path / "x", [".txt"]):
        pass
    with atomic_folder(tmp_path / "x", [".txt"], overwrite=True) as new:
        (new / "b.txt").write_text("2")
    assert os.listdir(tmp_path / "x") == ["b.txt"]


def test_a_folder_with_other_files_is_never_replaced(tmp_path):
    (tmp_path / "x" / "inner").mkdir(parents=True)
    (tmp_path / "x" / "inner" / "image.tif").write_text("1")
    with (
        pytest.raises(UserError, match=r"image\.tif would be lost"),
        atomic_folder(tmp_path / "x", [".txt"], overwrite=True),
    ):
        pass
    assert (tmp_path / "x" / "inner" / "image.tif").exists()
    with (
        pytest.raises(UserError, match="not a folder"),
        atomic_folder(tmp_path / "x" / "inner" / "image.tif", [".txt"], overwrite=True),
    ):
        pass
    with pytest.raises(UserError, match="create it first"), atomic_folder(tmp_path / "no" / "x", [".txt"]):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_are_left_alone(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "x").symlink_to(tmp_path / "real")
    with pytest.raises(UserError, match="a link"), atomic_folder(tmp_path / "x", [".txt"], overwrite=True):
        pass
