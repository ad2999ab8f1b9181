"""Images of a project open with their boxes, at the right plane, and what is done to them is kept."""

from __future__ import annotations

import os

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Image
from napari.layers._source import layer_source

from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.formats.images import open_image
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.keeping import close_keepers, keeper_of
from napari_localize.plugin.layers import new_box_layer
from napari_localize.plugin.lazy import pixels_of
from napari_localize.plugin.opening import close_image, layer_of, open_in, switch_to
from napari_localize.plugin.pairs import image_of
from napari_localize.plugin.standing import image_now, planes_now
from napari_localize.project import open_project, recoverable


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_LOCALIZE_DATA", str(tmp_path / "data"))


@pytest.fixture
def pixels():
    return np.arange(4 * 2 * 30 * 40, dtype=np.uint16).reshape(4, 2, 30, 40)


@pytest.fixture
def project(tmp_path, pixels):
    folder = tmp_path / "images"
    folder.mkdir()
    tifffile.imwrite(folder / "movie.tif", pixels, imagej=True, metadata={"axes": "TCYX"})
    tifffile.imwrite(folder / "plane.tif", pixels[0, 0])
    tifffile.imwrite(folder / "colour.tif", np.full((30, 40, 3), 7, np.uint8), photometric="rgb")
    project = open_project(tmp_path / "plate", create=True)
    project.add_images([folder])
    yield project
    project.close()


@pytest.fixture
def viewer(project):
    viewer = ViewerModel()
    switch_to(viewer, project)
    return viewer


def add(layer, y, x, plane=()):
    corners = [(*plane, y, x), (*plane, y, x + 5), (*plane, y + 5, x + 5), (*plane, y + 5, x)]
    layer.add(np.array(corners, float), shape_type="rectangle")
    return box_layer(layer)


def test_a_stack_with_channels_opens_at_its_plane(viewer, project, pixels):
    boxes = open_in(viewer, project.planes(project.image("movie.tif"))[2])
    image = image_of(boxes, viewer.layers)
    assert (image.data.shape, boxes.ndim) == ((2, 4, 30, 40), 3)
    assert viewer.dims.current_step[1] == 2
    assert viewer.layers.selection.active is boxes
    np.testing.assert_array_equal(np.asarray(image.data), np.moveaxis(pixels, 1, 0))
    add(boxes, 3, 4, (2,)).reconcile()
    found = project.detections("movie.tif#t=2")
    np.testing.assert_allclose(found.boxes, [[4.5, 3.5, 9.5, 8.5]])


def test_a_colour_image_has_no_axis_of_channels(viewer, project):
    boxes = open_in(viewer, project.image("colour.tif"))
    image = image_of(boxes, viewer.layers)
    assert image.rgb
    assert (boxes.ndim, image.ndim) == (2, 2)
    assert str(image.source.path).endswith("colour.tif")


def test_the_next_image_takes_the_place_of_the_last_and_its_boxes_are_kept(viewer, project):
    viewer.add_image(np.zeros((5, 5)), name="mine")
    plane, colour = project.image("plane.tif"), project.image("colour.tif")
    layer = open_in(viewer, plane, replace=True)
    add(layer, 3, 4)
    open_in(viewer, colour, replace=True)
    assert [each.name for each in viewer.layers] == ["mine", "colour.tif", "colour.tif boxes"]
    again = open_in(viewer, plane, replace=True)
    assert len(box_layer(again)) == 1
    box_layer(again).undo()
    assert len(box_layer(again)) == 0


def test_what_is_open_is_not_opened_again(viewer, project):
    plane = project.image("plane.tif")
    layer = open_in(viewer, plane)
    add(layer, 3, 4)
    open_in(viewer, project.image("colour.tif"))
    assert open_in(viewer, project.image("plane.tif"), replace=True) is layer
    assert len(viewer.layers) == 4
    close_image(viewer, plane)
    assert layer_of(viewer, plane) is None
    assert len(project.detections("plane.tif")) == 1


def test_a_file_that_has_gone_or_changed_gets_no_boxes(viewer, project, pixels):
    plane, colour = project.image("plane.tif"), project.image("colour.tif")
    plane.path.unlink()
    tifffile.imwrite(colour.path, np.full((30, 40, 3), 9, np.uint8), photometric="rgb")
    os.utime(colour.path, (1, 1))
    for image, word in ((plane, "missing"), (colour, "changed")):
        with pytest.raises(UserError, match=word):
            open_in(viewer, image)
    assert not viewer.layers


def test_another_project_closes_the_layers_of_the_first(viewer, project, tmp_path):
    layer = open_in(viewer, project.image("plane.tif"))
    add(layer, 3, 4)
    switch_to(viewer, open_project(tmp_path / "other", create=True))
    assert not viewer.layers
    assert project.closed
    with open_project(tmp_path / "plate") as again:
        assert len(again.detections("plane.tif")) == 1


def test_a_read_only_project_can_be_looked_at(project, tmp_path):
    with open_project(tmp_path / "plate", read_only=True) as other:
        viewer = ViewerModel()
        switch_to(viewer, other)
        boxes = add(open_in(viewer, other.image("plane.tif")), 3, 4)
        assert len(boxes) == 1
        assert boxes.journal is None


def test_boxes_kept_without_a_project_open_on_the_same_planes(tmp_path, project, pixels):
    path = project.image("movie.tif").path
    viewer = ViewerModel()
    keeper_of(viewer)
    with layer_source(path=str(path)):
        viewer.add_layer(Image(pixels, name="movie"))
    layer = new_box_layer(viewer.layers[0], channel_axis=1)
    viewer.add_layer(layer)
    add(layer, 3, 4, (1, 0)).reconcile()
    viewer.add_image(np.zeros((30, 40)), name="fresh")
    loose = new_box_layer(viewer.layers["fresh"])
    viewer.add_layer(loose)
    box_layer(loose).set_proposals({(): Detections(np.array([[1, 2, 9, 9]]))}, "model@1")
    close_keepers()
    again = ViewerModel()
    (left,) = recoverable()
    recovered = open_project(left.path)
    switch_to(again, recovered)
    movie, fresh = recovered.images()
    boxes = open_in(again, movie)
    image = image_of(boxes, again.layers)
    assert (image.data.shape, boxes.ndim) == ((2, 4, 1, 30, 40), 4)
    assert box_layer(boxes).planes() == [(1, 0)]
    np.testing.assert_array_equal(image.data[1, 3, 0], pixels[3, 1])
    # That one was never in a file.
    assert len(box_layer(open_in(again, fresh))) == 1


def test_what_a_layer_says_is_what_the_project_says(viewer, project):
    movie = project.image("movie.tif")
    boxes = add(open_in(viewer, movie), 3, 4, (2,))
    add(boxes.layer, 8, 9, (3,))
    boxes.set_proposals({(1,): Detections(np.array([[1, 2, 9, 9]]), scores=[0.5])}, "model@1")
    boxes.finish((3,))
    project.settle()
    image = project.image("movie.tif")
    assert image_now(movie, boxes.table) == image
    assert planes_now(image, boxes.table) == project.planes(image)
    boxes.set_filter(0.9)
    assert image_now(movie, boxes.table).counts == {"object": {"added": 2}}
    assert planes_now(image, boxes.table)[1].status == "predicted"
    boxes.set_filter()
    boxes.unfinish((3,))
    for plane in range(4):
        boxes.finish((plane,))
    project.settle()
    assert image_now(movie, boxes.table).status == project.image("movie.tif").status == "finished"


def test_planes_that_do_not_fit_are_refused(project):
    file = open_image(project.image("movie.tif").path)
    with pytest.raises(UserError, match="do not fit"):
        pixels_of(file, [5])
    assert pixels_of(file, [4, 2]).data.shape == (4, 2, 30, 40)
    assert pixels_of(file, [4, 1]).channel_axis == 0


@pytest.mark.parametrize("index", [np.s_[1, 2, 3:20:4, ::-1], np.s_[..., 5], np.s_[:, 1:3, 4], np.s_[0, :, :, 7:7]])
def test_a_stack_slices_like_an_array(project, pixels, index):
    stack = pixels_of(open_image(project.image("movie.tif").path)).data
    np.testing.assert_array_equal(stack[index], np.moveaxis(pixels, 1, 0)[index])


@pytest.mark.parametrize("in_a_file", [True, False])
def test_points_open_as_points(viewer, project, in_a_file):
    image = project.image("plane.tif") if in_a_file else project.add_array("loose", (30, 40), "YX")
    image.set_point_size(6.0)
    project.propose(image.name, Detections(np.array([[2, 2, 8, 8]]), scores=np.array([0.5])), "spots@1")
    layer = open_in(viewer, project.image(image.id))
    assert type(layer).__name__ == "Points"
    np.testing.assert_allclose(layer.data, [[4.5, 4.5]])
    boxes = box_layer(layer)
    boxes.accept(boxes.shown())
    project.settle()
    assert project.detections(image.name).states.tolist() == ["accepted"]
