from __future__ import annotations

import re

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.known import EVERYWHERE, KnownArea
from napari_localize.core.steps import Area
from napari_localize.formats import write_annotations
from napari_localize.training.pairs import pair_up


def pixels(value: int) -> np.ndarray:
    return np.full((20, 30), value, np.uint8)


def boxes(x: float) -> Detections:
    return Detections([[x, 1, x + 5, 6]], class_names=("cell",))


def seen(pairs):
    """What each plane shows and where its box is."""
    values = [int(plane.read(0, 1, 0, 1).item()) for plane in pairs.planes]
    return {
        name: (v, a.boxes[:, 0].tolist()) for name, v, a in zip(pairs.names, values, pairs.annotations, strict=True)
    }


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "images"
    for name, value in {"a.png": 1, "b.png": 2, "day 2/a.png": 3, "day 2/c.png": 4}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels(value)).save(root / name)
    frames = np.stack([pixels(value) for value in (10, 11, 12)])
    tifffile.imwrite(root / "movie.tif", frames, imagej=True, metadata={"axes": "TYX"})
    return root


def test_sequences_go_by_order(folder):
    pairs = pair_up([pixels(5), folder / "b.png"], [boxes(1), boxes(2)])
    assert seen(pairs) == {"image 1": (5, [1.0]), "b.png": (2, [2.0])}
    assert pairs.notes == []


def test_a_single_image_goes_with_its_boxes():
    assert seen(pair_up(pixels(7), boxes(3))) == {"image 1": (7, [3.0])}


def test_mappings_go_by_name():
    pairs = pair_up({"x": pixels(1), "y": pixels(2)}, {"y": boxes(2), "x": boxes(1)})
    assert seen(pairs) == {"y": (2, [2.0]), "x": (1, [1.0])}


def test_a_folder_goes_with_a_file_by_name_and_plane(folder, tmp_path):
    data = Annotations({"a.png": boxes(1), "day 2/a.png": boxes(3), "movie.tif#t=2": boxes(12), "c.png": boxes(4)})
    write_annotations(tmp_path / "boxes.json", data)
    pairs = pair_up(folder, tmp_path / "boxes.json")
    assert seen(pairs) == {
        "a.png": (1, [1.0]),
        "day 2/a.png": (3, [3.0]),
        "movie.tif#t=2": (12, [12.0]),
        # The file name alone will do where there is only one such file.
        "day 2/c.png": (4, [4.0]),
    }
    assert len(pairs.notes) == 1
    assert "b.png" in pairs.notes[0]


def test_the_first_position_of_a_single_plane_may_be_named_or_not(folder):
    assert seen(pair_up(folder, {"b.png#t=0,z=0": boxes(2)})) == {"b.png#t=0,z=0": (2, [2.0])}


def test_an_empty_plane_is_an_image_without_objects(folder):
    pairs = pair_up(folder, {"a.png": boxes(1), "b.png": Detections.empty(("cell",))})
    assert [len(part) for part in pairs.annotations] == [1, 0]


def test_annotated_images_that_are_not_there_are_said(folder):
    pairs = pair_up(folder, {"a.png": boxes(1), "gone.png": boxes(2), "../secret.png": boxes(2)})
    assert pairs.names == ["a.png"]
    assert "2 annotated images such as 'gone.png'" in pairs.notes[0]


@pytest.mark.parametrize("names", [("plate1/c.png", "plate2/c.png"), ("day 2/c.png", "c.png"), ("b.png", "b.png#t=0")])
def test_no_image_gets_the_boxes_of_two(folder, names):
    with pytest.raises(UserError, match="would both be") as raised:
        pair_up(folder, {name: boxes(x) for x, name in enumerate(names)})
    assert all(repr(name) in str(raised.value) for name in names)


def test_images_of_another_size_than_the_annotated_ones_are_refused(folder):
    fitting = Annotations({"a.png": boxes(1), "b.png": boxes(2)}, sizes={"a.png": (20, 30)})
    assert pair_up(folder, fitting).names == ["a.png", "b.png"]
    with pytest.raises(UserError, match=r"of 40 x 20 pixels, but b\.png has 30 x 20; give the image"):
        pair_up(folder, Annotations(fitting, sizes={"b.png": (20, 40)}))


def test_only_planes_that_a_person_has_finished_are_learnt_from_where_that_is_known(folder, tmp_path):
    planes = {"a.png": boxes(1), "b.png": boxes(2), "movie.tif#t=0": boxes(10), "movie.tif#t=1": boxes(11)}
    write_annotations(tmp_path / "boxes.json", Annotations(planes, reviewed=["a.png", "movie.tif#t=1"]))
    pairs = pair_up(folder, tmp_path / "boxes.json")
    assert seen(pairs) == {"a.png": (1, [1.0]), "movie.tif#t=1": (11, [11.0])}
    assert any("2 annotated images such as 'b.png' left out, as nobody had finished" in note for note in pairs.notes)
    # They are not without annotations.
    assert not any("'b.png' without annotations" in note for note in pairs.notes)
    with pytest.raises(UserError, match=r"1 annotated image, such as 'gone\.png'"):
        pair_up(folder, Annotations({"a.png": boxes(1), "gone.png": boxes(1)}, reviewed=["gone.png"]))


def test_reviewed_areas_are_learnt_from_and_ignored_ones_are_not(folder):
    planes = {"a.png": boxes(1), "b.png": boxes(2), "movie.tif#t=0": boxes(10)}
    part, hole = Area((), (1, 2, 9, 8), "reviewed"), Area((), (3, 3, 4, 4), "ignored")
    pairs = pair_up(folder, Annotations(planes, reviewed=["a.png"], areas={"a.png": [hole], "b.png": [part]}))
    assert pairs.names == ["a.png", "b.png"]
    assert pairs.known == [KnownArea(None, [hole.xyxy]), KnownArea([part.xyxy])]
    assert pair_up(folder, planes).known == [EVERYWHERE] * 3


def test_what_is_to_be_known_about_a_file_is_passed_on(tmp_path):
    with tifffile.TiffWriter(tmp_path / "two.tif") as file:
        file.write(pixels(1))
        file.write(np.zeros((8, 8), np.uint8))
    assert "holds 2 images" in pair_up(tmp_path, {"two.tif": boxes(1)}).notes[0]


def test_notes_on_the_annotations_are_passed_on(folder):
    data = Annotations({"a.png": boxes(1)}, notes=["Boxes cut: 3."])
    assert pair_up(folder, data).notes[0] == "Boxes cut: 3."


@pytest.mark.parametrize(
    ("annotations", "words"),
    [
        ({"x.png": boxes(1)}, "names must be equal"),
        ({}, "name no images"),
        ({"movie.tif": boxes(1)}, "'movie.tif#t=2'"),
        ({"movie.tif#t=3": boxes(1)}, "is not a plane of that image"),
        ({"a.png#t=3": boxes(1)}, "is not a plane of that image"),
        ({"day 1/a.png": boxes(1)}, "may be a.png or day 2/a.png"),
        ([boxes(1)], "by name"),
        ({"a.png": [[1, 2, 3, 4]]}, "of type list, not Detections"),
        ("nowhere.json", "nowhere.json"),
    ],
)
def test_what_does_not_fit_gets_a_sentence(folder, annotations, words):
    with pytest.raises(UserError, match=re.escape(words)):
        pair_up(folder, annotations)


def test_other_mistakes_get_a_sentence(folder, tmp_path):
    with pytest.raises(UserError, match="2 images but 1 annotations"):
        pair_up([pixels(1), pixels(2)], [boxes(1)])
    with pytest.raises(UserError, match="images as a mapping"):
        pair_up([pixels(1)], {"a": boxes(1)})
    with pytest.raises(UserError, match="3 planes"):
        pair_up([folder / "movie.tif"], [boxes(1)])
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="no images"):
        pair_up(tmp_path / "none", {"a": boxes(1)})
    with pytest.raises(UserError, match="does not exist"):
        pair_up(tmp_path / "nowhere", {"a": boxes(1)})
    with pytest.raises(UserError, match="neither"):
        pair_up({"a": np.zeros((3, 64, 64))}, {"a": boxes(1)})


def test_files_of_the_same_name_are_told_apart(folder):
    (folder / "more").mkdir()
    Image.fromarray(pixels(9)).save(folder / "more" / "b.png")
    files = [folder / "b.png", folder / "more" / "b.png", folder / "b.png"]
    names = pair_up(files, [boxes(1), boxes(2), boxes(3)]).names
    assert len(set(names)) == 3
    assert names[1] == (folder / "more" / "b.png").as_posix()
