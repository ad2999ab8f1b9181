from __future__ import annotations

import pytest

from napari_localize.core.errors import UserError
from napari_localize.formats import read_annotations
from napari_localize.formats.images import find_images, open_image
from napari_localize.models.registry import find_model


@pytest.fixture
def tree(tmp_path):
    for name in ("a/img10.png", "a/img2.png", "a/b/img1.tif", "a/.hidden.png", "a/notes.txt", "c/img2.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "c/s.zarr/0").mkdir(parents=True)
    (tmp_path / "c/s.zarr/zarr.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    return tmp_path


def names(*inputs):
    return [name for name, _ in find_images(inputs)]


def test_folders_files_and_patterns(tree):
    assert names(tree / "a") == ["b/img1.tif", "img2.png", "img10.png"]
    assert names(tree / "a" / "img10.png") == ["img10.png"]
    assert names(str(tree / "a" / "*.png")) == ["img2.png", "img10.png"]
    assert names(str(tree / "*" / "*.png")) == ["a/img2.png", "a/img10.png", "c/img2.png"]
    assert names(tree / "c") == ["img2.png", "s.zarr"]
    assert names(tree / "c" / "s.zarr") == ["s.zarr"]


def test_each_file_comes_once_and_names_stay_different(tree):
    assert names(tree / "a" / "img2.png", tree / "a") == ["img2.png", "b/img1.tif", "img10.png"]
    assert names(tree / "a" / "img2.png", tree / "c" / "img2.png") == ["a/img2.png", "c/img2.png"]


def test_names_are_relative_to_the_current_folder_for_relative_patterns(tree, monkeypatch):
    monkeypatch.chdir(tree / "a")
    assert names("*.png") == ["img2.png", "img10.png"]
    assert names(".") == ["b/img1.tif", "img2.png", "img10.png"]


def test_nothing_found_is_told(tree):
    with pytest.raises(UserError, match="does not exist"):
        find_images([tree / "no.png"])
    with pytest.raises(UserError, match="holds no images"):
        find_images([tree / "empty"])
    with pytest.raises(UserError, match="holds no images"):
        find_images([str(tree / "*.jpg")])


def test_names_in_annotations_never_lead_out_of_the_image_folder(tree):
    from napari_localize.core.annotations import Annotations
    from napari_localize.core.detections import Detections
    from napari_localize.training.pairs import pair_up

    (tree / "c" / "only.png").write_bytes(b"x")
    for name in ("../c/only.png", str(tree / "c" / "only.png"), "..\\c\\only.png"):
        with pytest.raises(UserError, match="is among the"):
            pair_up(tree / "a", Annotations({name: Detections.empty()}))


def test_a_circle_of_links_ends(tree):
    (tree / "a" / "b" / "up").symlink_to(tree / "a", target_is_directory=True)
    (tree / "a" / "also b").symlink_to(tree / "a" / "b", target_is_directory=True)
    (tree / "a" / "other").symlink_to(tree / "c", target_is_directory=True)
    assert names(tree / "a") == ["b/img1.tif", "img2.png", "img10.png", "other/img2.png", "other/s.zarr"]


def test_names_that_are_too_long_do_not_exist(tree):
    long = str(tree / ("x" * 5000 + ".tif"))
    for read in (names, open_image, read_annotations):
        with pytest.raises(UserError, match="does not exist"):
            read(long)
    with pytest.raises(UserError, match="no model file"):
        find_model(long + ".safetensors")


def test_what_gives_no_images_does_not_stop_the_rest_where_it_is_asked_for(tree):
    failed = {}
    inputs = [str(tree / name) for name in ("empty", "*.jpg", "no.png", "a/img2.png")]
    assert [name for name, _ in find_images(inputs, failed)] == ["img2.png"]
    assert list(failed) == inputs[:3]
