from __future__ import annotations

import os
import shutil

import numpy as np
import pytest
import tifffile
from tests.project.conftest import box, boxes_of, do

from napari_localize.core.errors import UserError
from napari_localize.project import open_project
from napari_localize.project.files import array_fingerprint, fingerprint


def picture(path, seed=0, shape=(20, 30), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, np.random.default_rng(seed).integers(0, 255, shape, np.uint8), **options)
    return path


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(("a1.tif", "a2.tif", "sub/a1.tif")):
        picture(tmp_path / "plate" / name, number)
    picture(tmp_path / "plate" / "movie.tif", shape=(3, 20, 30), imagej=True, metadata={"axes": "TYX"})
    return tmp_path / "plate"


def test_images_are_added_once(project, folder):
    added = project.add_images([folder])
    assert [image.name for image in added] == ["a1.tif", "a2.tif", "movie.tif", "sub/a1.tif"]
    assert [image.axes for image in added] == ["YX", "YX", "TYX", "YX"]
    assert added[0].path == folder / "a1.tif"
    assert added[0].stored == "../plate/a1.tif"
    assert [image.id for image in project.add_images([folder / "a1.tif", folder / "*.tif"])] == [1, 2, 3]
    assert len(project.images()) == 4
    assert [plane.name for plane in project.planes()][2:5] == ["movie.tif#t=0", "movie.tif#t=1", "movie.tif#t=2"]
    assert all(image.status == "untouched" and image.problem() is None for image in added)


def test_one_bad_file_stops_all_or_none(project, folder):
    (folder / "bad.tif").write_bytes(b"II*\0nonsense")
    with pytest.raises(UserError, match=r"bad\.tif"):
        project.add_images([folder])
    assert project.images() == []
    failed = {}
    assert len(project.add_images([folder, "nowhere.tif"], failed)) == 4
    assert sorted(failed) == ["bad.tif", "nowhere.tif"]


def test_a_project_and_its_images_move_together(tmp_path, folder):
    with open_project(folder / "work", create=True) as project:
        project.add_images([folder / "a1.tif"])
    shutil.move(folder, tmp_path / "elsewhere")
    with open_project(tmp_path / "elsewhere" / "work") as project:
        (image,) = project.images()
        assert image.file() == tmp_path / "elsewhere" / "a1.tif"


def test_images_that_moved_are_found_by_what_they_hold(tmp_path, project, folder):
    project.add_images([folder])
    project.image("a1.tif").journal().record(do({}, {1: box()}))
    target = tmp_path / "moved" / "deep"
    target.mkdir(parents=True)
    shutil.move(folder / "a1.tif", target / "renamed.tif")
    shutil.move(folder / "sub" / "a1.tif", target / "a1.tif")
    lost = project.image("a1.tif")
    assert "is missing" in lost.problem()
    assert "is missing" in lost.load().warning
    with pytest.raises(UserError, match="is missing"):
        lost.file()
    result = project.relink(tmp_path / "moved")
    # Content counts, not names.
    assert result.found == {"a1.tif": target / "renamed.tif", "sub/a1.tif": target / "a1.tif"}
    assert result.missing == []
    assert boxes_of(project.image("a1.tif").load()) == {1: box()}
    assert project.image("a1.tif").file() == target / "renamed.tif"


def test_what_is_not_there_stays_missing(tmp_path, project, folder):
    project.add_images([folder / "a1.tif", folder / "a2.tif"])
    (folder / "a1.tif").unlink()
    picture(tmp_path / "other" / "a1.tif", seed=9)
    assert project.relink(tmp_path / "other").missing == ["a1.tif"]
    with pytest.raises(UserError, match="is no folder"):
        project.relink(tmp_path / "nowhere")


def test_an_image_that_changed_is_not_paired_with_its_boxes_unasked(project, folder):
    (image,) = project.add_images([folder / "a1.tif"])
    picture(folder / "a1.tif", seed=77)
    assert "has changed since its boxes were made" in image.load().warning
    with pytest.raises(UserError, match="has changed"):
        image.file()
    project.replace_file(image, folder / "a1.tif")
    assert image.problem() is None
    picture(folder / "a1.tif", seed=78, shape=(21, 30))
    with pytest.raises(UserError, match="its boxes do not fit"):
        project.replace_file(image, folder / "a1.tif")


def test_a_file_that_was_only_touched_is_the_same(project, folder):
    (image,) = project.add_images([folder / "a1.tif"])
    os.utime(folder / "a1.tif", (1, 1))
    assert image.problem() is None


def test_the_fingerprint_of_a_large_file_reads_little_and_sees_its_ends(tmp_path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(1 << 32)
    first = fingerprint(path)
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    assert fingerprint(path) != first


def test_the_fingerprint_of_a_store_sees_its_parts(tmp_path):
    for name, content in (("zarr.json", b"{}"), ("c/0/0", b"abc")):
        path = tmp_path / "a.zarr" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    first = fingerprint(tmp_path / "a.zarr")
    assert fingerprint(shutil.copytree(tmp_path / "a.zarr", tmp_path / "b.zarr")) == first
    (tmp_path / "a.zarr" / "c" / "0" / "0").write_bytes(b"abd")
    assert fingerprint(tmp_path / "a.zarr") != first


def test_arrays_have_fingerprints_too():
    data = np.random.default_rng(0).random((3, 500, 400))
    assert array_fingerprint(data) == array_fingerprint(data.copy())
    assert array_fingerprint(data) != array_fingerprint(data + 1)
    assert array_fingerprint(data) != array_fingerprint(data.reshape(3, 400, 500))
    assert array_fingerprint(np.zeros((1 << 15, 1 << 15), bool)[:, :5])
