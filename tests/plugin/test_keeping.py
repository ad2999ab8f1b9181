"""Boxes of a viewer are on disk as they change, and come back."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from skimage.io import imsave

from napari_localize.core.detections import Detections
from napari_localize.models.card import read_card
from napari_localize.models.registry import find_model
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.files import to_layers
from napari_localize.plugin.keeping import close_keepers, keeper_of
from napari_localize.plugin.layers import new_box_layer
from napari_localize.project import open_project, recoverable


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_LOCALIZE_DATA", str(tmp_path / "data"))


@pytest.fixture
def viewer():
    viewer = ViewerModel()
    keeper_of(viewer)
    return viewer


def found(*starts):
    corners = np.array([(x, 10, x + 20, 30) for x in starts], np.float32).reshape(-1, 4)
    return Detections(corners, scores=np.full(len(starts), 0.5))


def add_boxes(viewer, image, *starts):
    viewer.add_layer(image)
    layer = new_box_layer(image)
    viewer.add_layer(layer)
    box_layer(layer).set_proposals({(0,) * (layer.ndim - 2): found(*starts)}, "model@1")
    return layer


def stored(viewer, layer):
    image = keeper_of(viewer).image_of(layer)
    rows = image.load().rows
    return dict(rows.items())


def test_what_happens_to_loose_boxes_is_on_disk(viewer):
    layer = add_boxes(viewer, Image(np.zeros((100, 200)), name="cells"), 0, 50, 100)
    boxes = box_layer(layer)
    first = min(boxes.shown())
    boxes.accept([first])
    layer.add(np.array([[50, 50], [50, 70], [70, 70], [70, 50]], float), shape_type="rectangle")
    boxes.reject([first + 1])
    boxes.finish(())
    assert stored(viewer, layer) == dict(boxes.table.boxes)
    boxes.undo()
    boxes.undo()
    assert stored(viewer, layer) == dict(boxes.table.boxes)
    assert keeper_of(viewer).state_of(layer).startswith("saved ")


def test_two_images_do_not_share_ids_nor_steps(viewer):
    layers = [add_boxes(viewer, Image(np.zeros((100, 200)), name=name), 0, 50) for name in "ab"]
    ids = [set(box_layer(layer).shown()) for layer in layers]
    assert not ids[0] & ids[1]
    for layer in layers:
        box_layer(layer).accept(box_layer(layer).shown())
    box_layer(layers[0]).undo()
    for layer in layers:
        assert stored(viewer, layer) == dict(box_layer(layer).table.boxes)


def test_a_class_renamed_on_one_image_keeps_its_name_on_others(viewer):
    layers = [add_boxes(viewer, Image(np.zeros((100, 200)), name=name), 0, 50) for name in "ab"]
    one, other = map(box_layer, layers)
    for deed in (
        lambda: one.rename_class("object", "nucleus"),
        one.undo,
        one.redo,
        lambda: other.accept(other.shown()),
    ):
        deed()
        for layer in layers:
            assert stored(viewer, layer) == dict(box_layer(layer).table.boxes)
    assert {box.label for _, box in other.table.boxes.items()} == {"object"}
    other.rename_class("object", "spot")
    for layer in layers:
        assert stored(viewer, layer) == dict(box_layer(layer).table.boxes)
    assert set(keeper_of(viewer).unnamed.classes) == {"nucleus", "spot"}


def test_a_class_renamed_on_one_image_of_a_project_follows_on_the_others(viewer, tmp_path):
    with open_project(tmp_path / "mine", create=True) as project:
        for name in ("a", "b"):
            project.add_array(name, (100, 200), "YX")
            with project.edit("begin") as edit:
                edit.add(name, found(0, 50))
    project = open_project(tmp_path / "mine")
    keeper = keeper_of(viewer)
    keeper.open(project)
    layers = []
    for image in project.images():
        viewer.add_layer(Image(np.zeros((100, 200)), name=image.name))
        layers.append(new_box_layer(viewer.layers[-1]))
        keeper.show(project.image(image.id), layers[-1])
        viewer.add_layer(layers[-1])
    one, other = map(box_layer, layers)
    other.next_class = "object"
    (first, second) = sorted(other.shown())
    other.delete([first])
    other.add_class("dirt")
    other.set_class([second], "dirt")

    def named(name):
        project.settle()
        assert set(one.classes) == {name, "dirt"} == set(project.classes) == set(other.classes)
        assert other.next_class == name
        assert list(layers[0].features["class"]) == [name] * 2
        for layer in layers:
            assert stored(viewer, layer) == dict(box_layer(layer).table.boxes)

    one.add_class("dirt")
    for deed, name in (
        (lambda: one.rename_class("object", "nucleus"), "nucleus"),
        (one.undo, "object"),
        (one.redo, "nucleus"),
        # What was done before it does not bring the old name back.
        (other.undo, "nucleus"),
    ):
        deed()
        named(name)
    assert other.table.boxes[second].label == "nucleus"
    assert "rename" not in other.undo_text


def test_boxes_that_were_there_before_are_kept_with_their_history():
    image = Image(np.zeros((100, 200)), name="cells")
    layer = new_box_layer(image)
    boxes = box_layer(layer)
    boxes.set_proposals({(): found(0, 50, 100)}, "model@1")
    boxes.accept([1, 2])
    boxes.undo()
    viewer = ViewerModel()
    viewer.add_layer(image)
    viewer.add_layer(layer)
    keeper_of(viewer)
    boxes.redo()
    assert boxes.table.by_state()["accepted"] == 2
    assert stored(viewer, layer) == dict(boxes.table.boxes)
    assert sorted(layer.features["id"]) == sorted(boxes.shown())


def test_after_a_crash_boxes_are_offered_and_shown_again(tmp_path):
    file = tmp_path / "cells.png"
    imsave(file, np.zeros((100, 200), np.uint8), check_contrast=False)
    viewer = ViewerModel()
    keeper_of(viewer)
    image = Image(np.zeros((100, 200)), name="cells")
    image._source = image.source.model_copy(update={"path": str(file)})
    layer = add_boxes(viewer, image, 0, 50, 100)
    boxes = box_layer(layer)
    boxes.accept([min(boxes.shown())])
    expected = dict(boxes.table.boxes)
    close_keepers()
    (left,) = recoverable()
    assert (left.images, left.boxes) == (["cells.png"], 3)
    again = ViewerModel()
    keeper = keeper_of(again)
    with open_project(left.path) as project:
        keeper.open(project)
        (entry,) = project.images()
        assert entry.path == file
        again.add_layer(Image(np.zeros((100, 200)), name="cells"))
        layer = new_box_layer(again.layers["cells"])
        assert keeper.show(entry, layer) is None
        again.add_layer(layer)
        assert dict(box_layer(layer).table.boxes) == expected
        box_layer(layer).undo()
        assert box_layer(layer).table.by_state()["accepted"] == 0
        assert stored(again, layer) == dict(box_layer(layer).table.boxes)


def test_the_models_that_worked_on_a_project_are_noted_once_with_their_hash(viewer):
    layer = add_boxes(viewer, Image(np.zeros((100, 200)), name="cells"), 0, 50)
    keeper = keeper_of(viewer)
    keeper.note_model(layer, "nuclei@1")
    keeper.note_model(layer, "nuclei@1")
    keeper.note_model(layer, "gone@1")
    path = keeper.image_of(layer).project.path
    close_keepers()
    assert "gone@1" in keeper.problem
    with open_project(path) as project:
        (model,) = project.models()
    assert model.reference == "nuclei@1"
    assert model.card["name"] == "nuclei"
    assert len(model.sha256) == 64


def test_nothing_is_left_behind_where_nothing_was_done(viewer):
    viewer.add_layer(Image(np.zeros((100, 200)), name="cells"))
    viewer.add_layer(new_box_layer(viewer.layers["cells"]))
    close_keepers()
    assert recoverable() == []


def test_loose_boxes_become_a_project_with_a_name(viewer, tmp_path):
    layer = add_boxes(viewer, Image(np.zeros((3, 100, 200)), name="movie"), 0, 50)
    keeper = keeper_of(viewer)
    keeper.save_as(tmp_path / "mine")
    box_layer(layer).accept(box_layer(layer).shown())
    close_keepers()
    assert recoverable() == []
    with open_project(tmp_path / "mine") as project:
        (image,) = project.images()
        assert image.planes() == [(0,), (1,), (2,)]
        assert image.counts == {"object": {"accepted": 2}}


def test_boxes_of_a_project_that_is_closed_are_kept_as_loose_ones(viewer, tmp_path):
    layer = add_boxes(viewer, Image(np.zeros((100, 200)), name="cells"), 0, 50)
    keeper = keeper_of(viewer)
    keeper.save_as(tmp_path / "mine")
    keeper.open(open_project(tmp_path / "other", create=True))
    boxes = box_layer(layer)
    boxes.accept(boxes.shown())
    boxes.undo()
    boxes.redo()
    assert stored(viewer, layer) == dict(boxes.table.boxes)
    with open_project(tmp_path / "mine") as project:
        assert project.images()[0].counts == {"object": {"proposed": 2}}


def test_that_edits_of_a_project_for_reading_are_not_saved_is_said(viewer, tmp_path):
    with open_project(tmp_path / "mine", create=True) as project:
        image = project.add_array("cells", (100, 200), "YX")
        project.propose("cells", found(0, 50), "model@1")
    project = open_project(tmp_path / "mine", read_only=True)
    keeper = keeper_of(viewer)
    keeper.open(project)
    viewer.add_layer(Image(np.zeros((100, 200)), name="cells"))
    layer = new_box_layer(viewer.layers["cells"])
    keeper.show(project.image(image.id), layer)
    viewer.add_layer(layer)
    box_layer(layer).accept(box_layer(layer).shown())
    assert keeper.state_of(layer).startswith("not saved: ")
    assert stored(viewer, layer) != dict(box_layer(layer).table.boxes)


def test_what_was_done_to_a_project_for_reading_goes_into_its_copy(viewer, tmp_path):
    with open_project(tmp_path / "mine", create=True) as project:
        image = project.add_array("cells", (3, 100, 200), "TYX")
        with project.edit("begin") as edit:
            edit.add("cells#t=0", found(0, 50, 100))
            edit.finish("cells#t=2")
        before = project.image("cells").load()
    project = open_project(tmp_path / "mine", read_only=True)
    keeper = keeper_of(viewer)
    keeper.open(project)
    viewer.add_layer(Image(np.zeros((3, 100, 200)), name="cells"))
    layer = new_box_layer(viewer.layers["cells"])
    keeper.show(project.image(image.id), layer)
    viewer.add_layer(layer)
    boxes = box_layer(layer)
    first, second, _ = sorted(boxes.shown())
    boxes.delete([first])
    boxes.set_class([second], "object")
    boxes.unfinish((2,))
    boxes.finish((1,))
    done = sorted(box for _, box in boxes.table.boxes.items())
    keeper.save_as(tmp_path / "copy")
    assert sorted(box for _, box in boxes.table.boxes.items()) == done
    assert stored(viewer, layer) == dict(boxes.table.boxes)
    boxes.accept(boxes.shown())
    boxes.undo()
    boxes.finish((0,))
    assert stored(viewer, layer) == dict(boxes.table.boxes)
    assert keeper.state_of(layer).startswith("saved ")
    close_keepers()
    with open_project(tmp_path / "copy") as copy:
        loaded = copy.image("cells").load()
        assert dict(loaded.rows.items()) == dict(boxes.table.boxes)
        assert loaded.finished == {(0,), (1,)}
        assert copy.check() == []
        # Steps on boxes that have other ids by now are gone.
        assert loaded.history.undo_text == "finish the plane"
    with open_project(tmp_path / "mine") as old:
        loaded = old.image("cells").load()
        assert (dict(loaded.rows.items()), loaded.finished) == (dict(before.rows.items()), before.finished)


def test_where_nothing_can_be_written_one_goes_on_and_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("NAPARI_LOCALIZE_DATA", str(tmp_path / "file"))
    viewer = ViewerModel()
    keeper = keeper_of(viewer)
    layer = add_boxes(viewer, Image(np.zeros((100, 200)), name="cells"), 0, 50)
    assert len(box_layer(layer)) == 2
    assert "not kept on disk" in keeper.state_of(layer)


def test_boxes_of_a_file_are_kept_from_the_moment_they_are_open(viewer, tmp_path):
    from napari.layers import Layer

    from napari_localize.core.annotations import Annotations

    (data,) = to_layers(Annotations({"cells.tif": found(0, 50)}), "boxes.json")
    layer = viewer.add_layer(Layer.create(*data))
    assert len(stored(viewer, layer)) == 2


def shown_again(tmp_path, viewer, name="cells"):
    """Open the one image of a project in a new viewer and return its boxes."""
    close_keepers()
    project = open_project(tmp_path / "mine")
    keeper = keeper_of(viewer)
    keeper.open(project)
    image = viewer.add_image(np.zeros((100, 200)), name=name)
    layer = new_box_layer(image)
    keeper.show(project.image(name), layer)
    viewer.add_layer(layer)
    return box_layer(layer)


def test_what_is_shown_of_an_image_is_shown_again(viewer, tmp_path):
    layer = add_boxes(viewer, Image(np.zeros((100, 200)), name="cells"), 0, 50)
    boxes = box_layer(layer)
    boxes.set_filter(0.2)
    keeper_of(viewer).save_as(tmp_path / "mine")
    assert shown_again(tmp_path, ViewerModel()).filter == (0.2, (0.0, np.inf))
    second = ViewerModel()
    again = shown_again(tmp_path, second)
    for score in np.linspace(0.3, 0.6, 50):
        again.set_filter(float(score), (5.0, 40.0))
    again = shown_again(tmp_path, ViewerModel())
    assert again.filter == (0.6, (5.0, 40.0))
    assert not again.shown()
    with open_project(tmp_path / "other", create=True) as other:
        other.add_array("cells", (10, 10), "YX")
        connection = other.database
        for forged in (
            "[1]",
            "{",
            '["a", 0, 1]',
            "[0.5, -1, 3]",
            "[NaN, 0, 1]",
            "[0.5, 3, 1]",
            "[" * 100_000,
            f"[0.5, 0, {'9' * 400}]",
        ):
            with connection.transaction() as writing:
                writing.execute(
                    "INSERT INTO meta VALUES ('filter:1', ?) ON CONFLICT DO UPDATE SET value = excluded.value",
                    (forged,),
                )
            assert other.image("cells").load().filter is None


@pytest.mark.parametrize(
    ("origin", "threshold"), [("nuclei", None), ("elsewhere@3", 0.7), ("odd@1", 0.0), ("unknown@1", 0.0)]
)
def test_guesses_that_were_never_looked_at_are_shown_from_the_threshold_of_their_model(
    tmp_path, viewer, origin, threshold
):
    if threshold is None:
        card = read_card(find_model(origin))
        origin, threshold = card.reference, card.threshold
    scores = [0.06, threshold - 0.01, threshold + 0.01, 0.99]
    boxes = Detections(np.array([(x, 0, x + 9, 9) for x in (0, 20, 40, 60)], float), scores=np.clip(scores, 0, 1))
    with open_project(tmp_path / "mine", create=True) as project:
        project.add_array("cells", (100, 200), "YX")
        project.propose("cells", boxes, origin)
        project.add_model("elsewhere@3", "0" * 64, {"threshold": 0.7})
        project.add_model("odd@1", "0" * 64, {"threshold": "high"})
    again = shown_again(tmp_path, viewer)
    assert again.filter == (threshold, (0.0, np.inf))
    assert len(again.shown()) == (2 if threshold else 4)
    again.finish(())
    assert len(again.approved()) == len(again.shown())
