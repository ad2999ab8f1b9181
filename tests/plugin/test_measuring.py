from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import tifffile
from napari.components import LayerList
from napari.layers import Image

import napari_localize as nl
from napari_localize.core.detections import Detections
from napari_localize.core.errors import Cancelled, UserError
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.layers import MOST_SHAPES, new_box_layer
from napari_localize.plugin.measured import measured_of, put_measured
from napari_localize.plugin.measuring import MeasuringJob, layer_pixel_size, measuring_task

PIXELS = np.random.default_rng(0).integers(0, 255, (60, 80)).astype(np.uint8)
FOUND = Detections([[5, 5, 15, 15], [30, 10, 42, 20], [50, 40, 60, 55]], scores=[0.9, 0.8, 0.7], class_names=("cell",))


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    """Write features without a timer, also where an earlier test has made a Qt application."""
    monkeypatch.setattr("napari_localize.plugin.measured.single_shot", lambda action: None)


def made(data=PIXELS, found=FOUND, plane=(), **kwargs):
    image = Image(data, name="cells", **kwargs)
    layer = new_box_layer(image, ("cell",))
    box_layer(layer).set_proposals({plane: found}, "model@1")
    return image, layer, LayerList([image, layer])


def measured(layer, layers, pixel_size=None):
    return MeasuringJob(measuring_task(layer, layers, pixel_size), lambda event: None).result()


def numbers(layer, column="mean_ch0"):
    return dict(zip(layer.features["id"].tolist(), layer.features[column].tolist(), strict=True))


def test_the_numbers_are_those_of_a_script_and_become_features():
    _, layer, layers = made()
    put_measured(layer, measured(layer, layers, 0.5))
    table = nl.measure(PIXELS, box_layer(layer).detections(), pixel_size=0.5).objects
    for column in ("mean_ch0", "corrected_ch0", "area_um2", "nearest_neighbor_px"):
        assert numbers(layer, column) == pytest.approx(dict(zip(table["id"], table[column], strict=True)))
    assert "counted" not in layer.features
    assert not any(name.endswith("_um") for name in put_and_features(layer, measured(layer, layers)))


def put_and_features(layer, found):
    put_measured(layer, found)
    return list(layer.features)


def test_numbers_stay_with_their_boxes_whatever_a_person_does():
    _, layer, layers = made()
    boxes = box_layer(layer)
    put_measured(layer, measured(layer, layers))
    before = numbers(layer)
    first, second, third = boxes.drawn.tolist()
    boxes.accept([second])
    boxes.delete([first])
    layer.add_rectangles(np.array([[1.0, 1], [1, 9], [9, 9], [9, 1]]))
    boxes.reconcile()
    after = numbers(layer)
    (new,) = set(after) - set(before)
    assert np.isnan(after.pop(new))
    assert after == {second: before[second], third: before[third]}
    assert layer.feature_defaults["class"].iloc[0] == "cell"
    boxes.undo()
    boxes.undo()
    assert numbers(layer) == before


def test_a_box_that_moved_has_no_number_until_it_is_back():
    _, layer, layers = made()
    boxes = box_layer(layer)
    put_measured(layer, measured(layer, layers))
    before = numbers(layer)
    data = [np.array(shape) for shape in layer.data]
    data[1] = data[1] + 3
    layer.data = data
    boxes.reconcile()
    moved = layer.features["id"].iloc[1]
    assert np.isnan(numbers(layer)[moved])
    assert sum(np.isnan(list(numbers(layer).values()))) == 1
    boxes.undo()
    assert numbers(layer) == before


def test_of_very_many_boxes_those_that_are_shapes_have_numbers():
    side = 4
    y, x = np.mgrid[0:400:8, 0:400:8].reshape(2, -1)
    many = Detections(np.stack([x, y, x + side, y + side], axis=1), class_names=("cell",))
    assert len(many) > 2 * MOST_SHAPES
    _, layer, layers = made(np.arange(160_000, dtype=np.float32).reshape(400, 400), many)
    boxes = box_layer(layer)
    put_measured(layer, measured(layer, layers))
    assert len(layer.features) == MOST_SHAPES
    assert layer.features["mean_ch0"].notna().all()
    hidden = np.setdiff1d(boxes.table.boxes.ids, boxes.drawn)[:5].tolist()
    boxes.select(hidden)
    table = measured_of(layer).tables.objects.set_index("id")["mean_ch0"]
    found = numbers(layer)
    assert set(hidden) <= set(found)
    assert found == {key: table[key] for key in found}


def test_boxes_that_got_other_ids_in_a_project_keep_their_numbers(tmp_path):
    _, layer, layers = made()
    boxes = box_layer(layer)
    put_measured(layer, measured(layer, layers))
    before = sorted(numbers(layer).values())
    with nl.open_project(tmp_path / "study.localize", create=True) as project:
        other = project.add_array("other", (60, 80), "YX")
        with project.edit("draw") as edit:
            edit.add("other", FOUND)
        boxes.keep(project.add_array("cells", (60, 80), "YX").journal())
        assert other.id
        assert sorted(numbers(layer).values()) == before


def test_finished_planes_and_areas_are_what_counts():
    _, layer, layers = made(np.stack([PIXELS] * 4), plane=(1,))
    boxes = box_layer(layer)
    boxes.set_proposals({(2,): FOUND, (3,): FOUND}, "model@1")
    unmarked = measured(layer, layers)
    assert unmarked.tables.planes["reviewed"].tolist() == ["unmarked"] * 3
    assert unmarked.tables.planes["count"].tolist() == [3, 3, 3]
    boxes.finish((0,))
    boxes.finish((1,))
    boxes.finish_area((2,), (0, 0, 45, 60))
    boxes.ignore_area((2,), (0, 0, 20, 20))
    planes = measured(layer, layers).tables.planes
    assert planes["reviewed"].tolist() == ["plane", "plane", "areas", "nothing"]
    assert planes["count"].tolist() == [0, 3, 1, 0]
    assert planes["area_px2"].tolist() == [4800, 4800, 45 * 60 - 400, 0]
    assert planes.iloc[:, :2].to_numpy().tolist() == [["cells", 0], ["cells", 1], ["cells", 2], ["cells", 3]]


def test_colours_have_names_and_channels_numbers():
    _, layer, layers = made(np.stack([PIXELS] * 3, axis=-1), rgb=True)
    assert "mean_green" in measured(layer, layers).tables.objects
    image = Image(np.stack([PIXELS, PIXELS // 2]), name="two")
    layer = new_box_layer(image, ("cell",), channel_axis=0)
    box_layer(layer).set_proposals({(): FOUND}, "model@1")
    table = measured(layer, LayerList([image, layer])).tables.objects
    assert (table["mean_ch0"] > table["mean_ch1"]).all()


@pytest.mark.parametrize(
    ("scale", "units", "expected"),
    [
        ((0.5, 0.5), ("um", "um"), 0.5),
        ((500, 0.5), ("nm", "um"), 0.5),
        ((0.5, 0.5), ("pixel", "pixel"), None),
        ((0.5, 0.5), ("s", "um"), None),
        ((0.5, 0.6), ("um", "um"), None),
    ],
)
def test_the_pixel_size_of_a_layer(scale, units, expected):
    image = Image(PIXELS, scale=scale, units=units)
    assert layer_pixel_size(image) == (None if expected is None else pytest.approx(expected))


def test_the_file_of_a_layer_is_asked_where_the_layer_does_not_know(tmp_path):
    path = tmp_path / "cells.tif"
    tifffile.imwrite(path, PIXELS, imagej=True, resolution=(4, 4), metadata={"unit": "um"})
    image, layer, layers = made()
    image._source = image.source.model_copy(update={"path": str(path)})
    found = measured(layer, layers)
    assert (found.pixel_size, found.size_from) == (0.25, "from the file cells.tif")
    assert measured(layer, layers, 2).pixel_size == 2
    tifffile.imwrite(path, PIXELS[:10], imagej=True, resolution=(4, 4), metadata={"unit": "um"})
    assert measured(layer, layers).pixel_size is None
    path.write_bytes(b"nothing")
    assert measured(layer, layers).pixel_size is None


def test_without_an_image_or_boxes_there_is_one_sentence():
    _, layer, layers = made()
    with pytest.raises(UserError, match=r"not clear which image .* belongs to; .*\.$"):
        measuring_task(layer, [layer])
    _, layer, layers = made(found=FOUND[:0])
    with pytest.raises(UserError, match=r"has no boxes on 'cells'; .*\.$"):
        measuring_task(layer, layers)


class SlowPixels:
    """A plane of 50,000 x 50,000 pixels of which each piece takes a while."""

    shape, dtype, ndim = (50_000, 50_000), np.dtype(np.uint8), 2
    reads = 0

    def __getitem__(self, index):
        self.reads += 1
        time.sleep(0.02)
        size = [len(range(*part.indices(n))) for part, n in zip(index, self.shape, strict=True)]
        return np.zeros(size, np.uint8)


def test_a_huge_plane_can_be_stopped_at_once():
    _, layer, layers = made()
    task = measuring_task(layer, layers)
    pixels = SlowPixels()
    at = np.arange(0, 49_000, 250)
    task.planes[0].plane.source._data = pixels
    task.planes[0].plane.source.shape = (*pixels.shape, 1)
    corners = np.stack([at, at, at + 20, at + 20], axis=1)
    object.__setattr__(task.planes[0], "detections", Detections(corners))
    events = []
    job = MeasuringJob(task, events.append)
    stopped = []

    def work():
        with pytest.raises(Cancelled):
            job.result()
        stopped.append(time.perf_counter())

    thread = threading.Thread(target=work)
    thread.start()
    while len(events) < 4:
        time.sleep(0.005)
    started = time.perf_counter()
    job.cancel()
    thread.join(30)
    assert stopped[0] - started < 1
    assert pixels.reads < 20
    assert 0 < events[3]["done"] < 1


def test_points_keep_their_numbers_too():
    image = Image(PIXELS, name="cells")
    layer = new_box_layer(image, ("cell",), point_size=9)
    boxes = box_layer(layer)
    boxes.set_proposals({(): FOUND}, "model@1")
    put_measured(layer, measured(layer, LayerList([image, layer])))
    before = numbers(layer)
    layer.add(np.array([[30.0, 30.0]]))
    boxes.reconcile()
    assert sum(np.isnan(list(numbers(layer).values()))) == 1
    boxes.undo()
    assert numbers(layer) == before


def test_numbers_are_no_step_of_a_person():
    _, layer, layers = made()
    boxes = box_layer(layer)
    revision = boxes.revision
    put_measured(layer, measured(layer, layers))
    boxes.reconcile()
    assert boxes.undo_text is None
    assert boxes.revision == revision
    boxes.accept(boxes.drawn.tolist())
    boxes.reconcile()
    assert boxes.undo_text == "accept 3 boxes"


@pytest.mark.parametrize("seed", range(3))
def test_no_box_ever_has_the_numbers_of_another(seed):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:300:12, 0:300:12].reshape(2, -1)
    many = Detections(np.stack([x, y, x + 8, y + 9], axis=1), class_names=("cell",))
    _, layer, layers = made(rng.random((310, 310)).astype(np.float32), many)
    boxes = box_layer(layer)
    put_measured(layer, measured(layer, layers))
    table = measured_of(layer).tables.objects
    expected = {(x, y): mean for x, y, mean in zip(table["x_px"], table["y_px"], table["mean_ch0"], strict=True)}

    def move(row):
        data = [np.array(shape) for shape in layer.data]
        data[row] = data[row] + 1
        layer.data = data

    def act(kind, row):
        key = int(layer.features["id"].iloc[row])
        if kind == "move":
            move(row)
        elif kind == "draw":
            layer.add_rectangles(np.array([[row, 1.0], [row, 9], [row + 8, 9], [row + 8, 1]]))
        elif kind == "remove":
            layer.selected_data = {row, (row * 7) % layer.nshapes}
            layer.remove_selected()
        elif kind == "paste":
            layer.selected_data = {row}
            layer._copy_data()
            layer._paste_data()
        elif kind == "look":
            boxes.select(rng.choice(boxes.table.boxes.ids, 3).tolist())
        elif kind == "accept":
            boxes.accept([key])
        else:
            getattr(boxes, kind)()

    kinds = ("move", "draw", "remove", "paste", "look", "accept", "undo", "undo", "redo")
    for kind in rng.choice(kinds, 50).tolist():
        act(kind, int(rng.integers(layer.nshapes)))
        boxes.reconcile()
        frame = layer.features
        assert len(frame) == layer.nshapes
        for key, mean in zip(frame["id"].tolist(), frame["mean_ch0"].tolist(), strict=True):
            x0, y0, x1, y1 = boxes.get(key).xyxy
            there = expected.get(((x0 + x1) / 2, (y0 + y1) / 2))
            assert (np.isnan(mean) and there is None) or mean == pytest.approx(there), kind
