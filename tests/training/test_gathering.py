"""Files, folders and projects are brought together without a box going astray."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.core.errors import Cancelled, UserError
from napari_localize.core.known import EVERYWHERE, KnownArea
from napari_localize.core.steps import Area
from napari_localize.formats import write_annotations
from napari_localize.project import open_project
from napari_localize.training.gathering import gather


def boxes(x, name="cell", **columns):
    return Detections([[x, 1, x + 5, 6]], class_names=(name,), **columns)


def seen(pairs):
    """What each plane shows and where its first box is."""
    return {
        name: (int(plane.read(0, 1, 0, 1).item()), float(found.boxes[0, 0]))
        for name, plane, found in zip(pairs.names, pairs.planes, pairs.annotations, strict=True)
    }


@pytest.fixture
def plates(tmp_path):
    """Two folders with images that are called alike, and an annotation file in each."""
    for number, folder in enumerate(("one", "two"), 1):
        (tmp_path / folder).mkdir()
        for place, name in enumerate("ab"):
            pixels = np.full((20, 30), 10 * number + place, np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{name}.png")
        write_annotations(tmp_path / folder / "boxes.json", Annotations({"a.png": boxes(number)}))
    return tmp_path


@pytest.fixture
def project(tmp_path):
    """A project with a movie of which one plane is finished, and one in work."""
    frames = np.stack([np.full((20, 30), value, np.uint8) for value in (50, 51, 52)])
    tifffile.imwrite(tmp_path / "movie.tif", frames, imagej=True, metadata={"axes": "TYX"})
    with open_project(tmp_path / "work.localize", create=True) as made:
        made.add_images([tmp_path / "movie.tif"])
        with made.edit("annotate") as edit:
            states = ["accepted", "rejected", "proposed"]
            three = Detections([[5, 1, 9, 6], [12, 1, 16, 6], [20, 1, 24, 6]], scores=[0.9] * 3, states=states)
            edit.add("movie.tif#t=1", three)
            edit.add("movie.tif#t=2", boxes(7))
            edit.finish("movie.tif#t=1")
    return tmp_path / "work.localize"


ALIKE = {"one/a.png": (10, 1.0), "two/a.png": (20, 2.0)}


@pytest.mark.parametrize("turned", [False, True])
def test_each_file_is_about_the_images_of_its_own_folder(plates, turned):
    folders = [plates / "one", plates / "two"]
    files = [folder / "boxes.json" for folder in folders]
    pairs = gather(folders[::-1] if turned else folders, files)
    assert seen(pairs) == ALIKE
    assert pairs.places == [str(plates / name) for name in pairs.names]
    assert any("2 images such as" in note for note in pairs.notes)
    beside = gather(None, files)
    assert list(seen(beside).values()) == list(ALIKE.values())


def test_as_many_folders_as_files_go_together(plates):
    for folder in ("one", "two"):
        (plates / folder / "boxes.json").rename(plates / f"{folder}.json")
    folders = [plates / "one", plates / "two"]
    assert seen(gather(folders, [plates / "one.json", plates / "two.json"])) == ALIKE


def test_one_file_about_several_folders_must_say_which_image_it_means(plates):
    folders = [plates / "one", plates / "two"]
    assert seen(gather(folders, {"one/a.png": boxes(3), "two/b.png": boxes(4)})) == {
        "one/a.png": (10, 3.0),
        "two/b.png": (21, 4.0),
    }
    with pytest.raises(UserError, match="may be"):
        gather(folders, {"a.png": boxes(3)})


def test_two_opinions_on_one_image_are_both_there(plates):
    second = plates / "one" / "second.json"
    write_annotations(second, Annotations({"a.png": boxes(9), "b.png": boxes(8)}))
    pairs = gather(plates / "one", [plates / "one" / "boxes.json", second])
    assert seen(pairs) == {"a.png": (10, 1.0), "second.json: a.png": (10, 9.0), "b.png": (11, 8.0)}


def test_a_project_gives_what_is_finished_with_what_was_rejected(project):
    pairs = gather(None, project)
    assert pairs.names == ["movie.tif#t=1"]
    assert pairs.annotations[0].states.tolist() == ["accepted", "rejected"]
    assert pairs.known == [EVERYWHERE]
    assert pairs.places == [str(project.parent / "movie.tif")]
    assert any("nobody had finished" in note for note in pairs.notes)
    with open_project(project) as opened:
        assert gather(None, [opened]).names == pairs.names


def test_areas_of_a_project_are_kept(project):
    with open_project(project) as opened:
        opened.set_area("movie.tif#t=2", (0, 0, 15, 20), "reviewed")
        opened.set_area("movie.tif#t=1", (18, 0, 30, 20), "ignored")
    pairs = gather(None, project)
    assert dict(zip(pairs.names, pairs.known, strict=True)) == {
        "movie.tif#t=1": KnownArea(None, [[18, 0, 30, 20]]),
        "movie.tif#t=2": KnownArea([[0, 0, 15, 20]]),
    }


def test_files_and_projects_are_learnt_from_together(plates, project):
    pairs = gather(plates / "one", [plates / "one" / "boxes.json", project])
    assert pairs.names == ["a.png", "movie.tif#t=1"]
    assert seen(pairs)["movie.tif#t=1"] == (51, 5.0)


def test_images_of_a_project_that_are_gone_are_said(project):
    (project.parent / "movie.tif").unlink()
    with pytest.raises(UserError, match=r"work\.localize: "):
        gather(None, project)


def test_classes_are_mapped_and_dropped_ones_ignored(plates):
    both = Detections([[1, 1, 6, 6], [10, 1, 16, 6]], [0, 1], class_names=("rbc", "dirt"))
    pairs = gather(plates / "one", {"a.png": both, "b.png": boxes(3, "RBC")}, {"rbc": "RBC", "dirt": None})
    assert [part.class_names for part in pairs.annotations] == [("RBC",), ("RBC",)]
    assert pairs.known == [KnownArea(None, [[10, 1, 16, 6]]), EVERYWHERE]
    with pytest.raises(UserError, match="no class 'wbc'"):
        gather(plates / "one", {"a.png": both}, {"wbc": "RBC"})


def test_what_lies_in_a_dropped_box_is_said():
    nested = Detections([[0, 0, 20, 20], [8, 8, 12, 12]], [0, 1], class_names=("cell", "nucleus"))
    pairs = gather({"x": np.zeros((30, 30))}, {"x": nested}, {"cell": None})
    assert "1 boxes lie in those of classes that are not learnt" in pairs.notes[-1]


def test_areas_of_files_are_kept(tmp_path):
    data = Annotations({"x": boxes(1), "y": boxes(2)}, areas={"x": [Area((), (0, 0, 9, 9), "reviewed")]})
    pairs = gather({"x": np.zeros((30, 30))}, [data])
    assert pairs.known == [KnownArea([[0, 0, 9, 9]])]


@pytest.mark.parametrize("given", [lambda p: [p, 3], lambda p: [p, p.with_name("none.json")]])
def test_what_is_no_annotation_gets_a_sentence(plates, given):
    with pytest.raises(UserError):
        gather(plates / "one", given(plates / "one" / "boxes.json"))


def test_projects_have_their_own_images(plates, project):
    with pytest.raises(UserError, match="projects know their images"):
        gather(plates / "one", [project])


def test_reading_can_be_stopped(project):
    def progress(done, total):
        assert (done, total) == (0, 2)
        raise Cancelled

    with pytest.raises(Cancelled):
        gather(None, project, progress=progress)
