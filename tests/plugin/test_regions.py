from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Shapes

from napari_localize.core.errors import UserError
from napari_localize.plugin.regions import shape_diameter, shape_region, view_region


def rectangle(y0, x0, y1, x1):
    return np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0]], float)


def test_a_rectangle_is_widened_to_whole_pixels_and_cut_at_the_border():
    image = Image(np.zeros((50, 80)))
    assert shape_region(Shapes([rectangle(9.7, 19.7, 20.2, 30.2)]), 0, image) == (10, 21, 20, 31)
    assert shape_region(Shapes([rectangle(-9, -9, 200, 30.5)]), 0, image) == (0, 50, 0, 31)


def test_transforms_of_both_layers_count():
    image = Image(np.zeros((50, 80)), scale=(0.5, 0.5), translate=(10, 0))
    shapes = Shapes([rectangle(0, 0, 2, 4)], scale=(2.5, 2.5), translate=(11, 1))
    assert shape_region(shapes, 0, image) == (2, 13, 2, 23)
    assert shape_diameter(shapes, [0], image) == pytest.approx(np.sqrt(10 * 20))


def test_of_a_rotated_image_the_box_around_the_rectangle_is_taken():
    image = Image(np.zeros((100, 100)), rotate=45)
    y, x = image.data_to_world((50, 50))
    y0, y1, x0, x1 = shape_region(Shapes([rectangle(y - 10, x - 10, y + 10, x + 10)]), 0, image)
    assert (y0 + y1) / 2 == pytest.approx(50, abs=1)
    assert (x0 + x1) / 2 == pytest.approx(50, abs=1)
    assert y1 - y0 == pytest.approx(28, abs=3)
    assert x1 - x0 == pytest.approx(28, abs=3)


def test_in_stacks_colour_images_and_pyramids_the_last_two_axes_count():
    shape = Shapes([rectangle(1, 2, 3, 4)])
    assert shape_region(shape, 0, Image(np.zeros((5, 50, 80)))) == (1, 4, 2, 5)
    assert shape_region(shape, 0, Image(np.zeros((50, 80, 3)), rgb=True)) == (1, 4, 2, 5)
    pyramid = Image([np.zeros((64, 64)), np.zeros((32, 32))], multiscale=True)
    assert shape_region(Shapes([rectangle(40, 40, 99, 99)]), 0, pyramid) == (40, 64, 40, 64)


def test_a_rectangle_beside_the_image_is_refused():
    with pytest.raises(UserError, match="outside 'cells'"):
        shape_region(Shapes([rectangle(60, 0, 70, 10)]), 0, Image(np.zeros((50, 80)), name="cells"))


def test_a_shape_without_area_has_no_diameter():
    line = Shapes([np.array([[0, 0], [0, 9]])], shape_type="line")
    with pytest.raises(UserError, match="no area"):
        shape_diameter(line, [0], Image(np.zeros((50, 80))))


@pytest.fixture
def viewer():
    viewer = ViewerModel()
    viewer.add_image(np.zeros((3, 100, 200)), name="cells")
    return viewer


def look_at(viewer, center, zoom):
    camera = viewer.scene.camera if hasattr(viewer, "scene") else viewer.camera
    camera.center, camera.zoom = (0, *center), zoom


def test_the_view_is_what_the_canvas_shows(viewer):
    height, width = viewer.canvas.size if hasattr(viewer, "canvas") else viewer._canvas_size
    look_at(viewer, (50, 100), 40)
    y0, y1, x0, x1 = view_region(viewer, viewer.layers[0])
    assert (y0 + y1) / 2 == pytest.approx(50, abs=1)
    assert (x0 + x1) / 2 == pytest.approx(100, abs=1)
    assert y1 - y0 == pytest.approx(height / 40, abs=2)
    assert x1 - x0 == pytest.approx(width / 40, abs=2)
    look_at(viewer, (50, 100), 0.1)
    assert view_region(viewer, viewer.layers[0]) == (0, 100, 0, 200)


def test_a_view_without_the_image_or_of_a_volume_is_refused(viewer):
    look_at(viewer, (5000, 100), 40)
    with pytest.raises(UserError, match="nothing of 'cells'"):
        view_region(viewer, viewer.layers[0])
    viewer.dims.order = (1, 0, 2)
    with pytest.raises(UserError, match="not a view of one plane"):
        view_region(viewer, viewer.layers[0])
    viewer.dims.order = (0, 1, 2)
    viewer.dims.ndisplay = 3
    with pytest.raises(UserError, match="2-D"):
        view_region(viewer, viewer.layers[0])
