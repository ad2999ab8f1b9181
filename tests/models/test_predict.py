"""From a plane of any size to boxes in its pixels."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional

from napari_localize.core.detections import Detections
from napari_localize.core.errors import Cancelled, UserError
from napari_localize.core.planes import ArrayPlane
from napari_localize.core.settings import PredictSettings
from napari_localize.models import predict
from napari_localize.models.localizer import Model
from napari_localize.models.predict import predict_plane, settings_for_stack

WANTED = 28.0
EXACT = PredictSettings(object_diameter=WANTED)


class Eye(Model):
    """Finds the bright rectangles in what a network would see, wherever and however large they are."""

    def __init__(self, model, fails):
        super().__init__(model.network, model.card, "cpu")
        self.fails = list(fails)
        self.seen: list[tuple[str, tuple[int, ...]]] = []

    def detect(self, pixels, floor):
        self.seen.append((self.device.type, tuple(pixels.shape)))
        if self.fails and (error := self.fails.pop(0)) is not None:
            raise error
        answers = []
        for image in pixels.numpy():
            places = ndimage.find_objects(ndimage.label(image[0] > 0.5)[0])
            boxes = np.array([[x.start, y.start, x.stop, y.stop] for y, x in places], np.float32).reshape(-1, 4)
            answers.append((boxes, np.zeros(len(boxes), np.int64), np.full(len(boxes), 0.9, np.float32)))
        return answers


@pytest.fixture
def eye(make_model):
    def make(fails=(), **card):
        return Eye(make_model(("bright",), name="eye", **card), fails)

    return make


def scene(height, width, size, pitch, seed=0):
    """Bright rectangles of about one size on a dark plane; the plane and their boxes."""
    rng = np.random.default_rng(seed)
    image, boxes = np.zeros((height, width), np.uint8), []
    for y in range(0, height - pitch + 1, pitch):
        for x in range(0, width - pitch + 1, pitch):
            h, w = np.clip(rng.integers(size * 0.8, size * 1.2 + 1, 2), 1, pitch - 2)
            top, left = y + rng.integers(1, pitch - h), x + rng.integers(1, pitch - w)
            image[top : top + h, left : left + w] = 200
            boxes.append([left, top, left + w, top + h])
    return image, np.array(boxes, np.float32)


def assert_same(found, boxes, tolerance=0.01):
    found = found.boxes if isinstance(found, Detections) else found
    assert len(found) == len(boxes)
    center = (found[:, None, :2] + found[:, None, 2:] - boxes[:, :2] - boxes[:, 2:]) / 2
    nearest = np.abs(center).sum(axis=-1).argmin(axis=1)
    assert len(set(nearest.tolist())) == len(boxes)
    np.testing.assert_allclose(found, boxes[nearest], atol=tolerance)


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(predict, "TILE", 160)
    monkeypatch.setattr(predict, "OVERLAP", 64)


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize(("zoom", "tolerance"), [(1, 0.01), (0.5, 1.5), (3, 0.6)])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_tiles_make_no_difference(eye, zoom, tolerance, batch_size):
    image, boxes = scene(600, 450, WANTED / zoom, round(WANTED / zoom * 1.6))
    model = eye()
    settings = PredictSettings(object_diameter=WANTED / zoom, batch_size=batch_size)
    assert_same(predict_plane(model, ArrayPlane(image), settings), boxes, tolerance)
    assert len(model.seen) > 1


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("size", [100, 150, 230])
def test_objects_larger_than_overlap_or_tile_come_out_once_and_whole(eye, size):
    image, boxes = scene(800, 800, size, round(size * 1.5))
    assert_same(predict_plane(eye(), ArrayPlane(image), EXACT), boxes)


def test_the_size_of_the_objects_is_found(eye):
    for size in (7, 28, 112):
        image, boxes = scene(size * 16, size * 12, size, size * 2)
        events = []
        found = predict_plane(eye(), ArrayPlane(image), PredictSettings(), on_event=events.append)
        (said,) = (event for event in events if event["event"] == "diameter")
        assert said["object_diameter"] == pytest.approx(size, rel=0.15)
        assert "px" in said["text"]
        assert_same(found, boxes, tolerance=size / 8)


def test_where_nothing_is_found_the_image_is_searched_as_it_is(eye):
    events = []
    found = predict_plane(eye(), ArrayPlane(np.zeros((90, 70))), PredictSettings(), on_event=events.append)
    assert len(found) == 0
    assert events[0]["object_diameter"] is None
    assert "No object" in events[0]["text"]


def test_pixel_size(eye):
    image, boxes = scene(300, 300, 14, 30)
    events = []
    settings = PredictSettings(pixel_size=0.5)
    model = eye(pixel_size=0.25)
    assert_same(predict_plane(model, ArrayPlane(image), settings, on_event=events.append), boxes, 1)
    assert events[0]["object_diameter"] == pytest.approx(14)
    predict_plane(eye(), ArrayPlane(image), settings, on_event=events.append)
    assert "does not know how large its objects are in um" in str(events)


def test_one_size_for_a_stack(eye):
    planes = [ArrayPlane(scene(300, 300, size, 45)[0]) for size in (20, 9, 22, 9, 21)]
    settings = settings_for_stack(eye(), planes, PredictSettings(threshold=0.3))
    assert settings.object_diameter == pytest.approx(21, rel=0.15)
    assert settings.threshold == 0.3
    for alone in (EXACT, PredictSettings(pixel_size=1)):
        assert settings_for_stack(eye(pixel_size=0.25), planes, alone) is alone
    unused = settings_for_stack(eye(), planes, PredictSettings(pixel_size=1))
    assert unused.object_diameter == settings.object_diameter
    events = []
    predict_plane(eye(), planes[0], unused, on_event=events.append)
    assert "pixel size is not used" in events[0]["text"]
    assert settings_for_stack(eye(), planes[:1], PredictSettings()).object_diameter is None
    empty = [ArrayPlane(np.zeros((50, 50)))] * 3
    assert settings_for_stack(eye(), empty, PredictSettings()).object_diameter is None


@pytest.mark.usefixtures("small_tiles")
def test_a_region(eye):
    image, boxes = scene(400, 500, WANTED, 40)
    region = (80, 280, 120, 440)
    found = predict_plane(eye(), ArrayPlane(image), EXACT, region=region)
    inside = np.clip(boxes, [120, 80] * 2, [440, 280] * 2)
    assert_same(found, inside[(inside[:, 2:] > inside[:, :2]).all(axis=1)])
    beyond = predict_plane(eye(), ArrayPlane(image), EXACT, region=(-50, 9999, -50, 9999))
    assert_same(beyond, boxes)
    for outside in [(400, 500, 0, 10), (0, 10, -20, 0), (50, 50, 0, 10), (60, 50, 0, 10)]:
        with pytest.raises(UserError, match="outside the image"):
            predict_plane(eye(), ArrayPlane(image), EXACT, region=outside)


@pytest.mark.usefixtures("small_tiles")
def test_progress_and_provisional_boxes(eye):
    image, boxes = scene(300, 300, WANTED, 45)
    events = []
    found = predict_plane(eye(), ArrayPlane(image), EXACT, on_event=events.append)
    progress = [(event["done"], event["total"]) for event in events if event["event"] == "progress"]
    total = progress[-1][1]
    assert progress == [(done, total) for done in range(1, total + 1)]
    provisional = Detections.concatenate([event["detections"] for event in events if event["event"] == "boxes"])
    assert set(provisional.origins) == {"eye@1"}
    whole = {tuple(box) for box in boxes.tolist()}
    assert {tuple(box) for box in provisional.boxes.tolist()} <= whole
    assert found.origins.tolist() == ["eye@1"] * len(boxes)
    assert set(found.states) == {"proposed"}


def shape_of(tile):
    return (1, 3, tile, tile)


def out_of_memory(times):
    return [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.") for _ in range(times)]


def test_when_memory_runs_out_less_is_tried_and_the_result_is_the_same(eye, monkeypatch):
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    image, boxes = scene(1300, 1300, WANTED, 50)
    model = eye(fails=out_of_memory(4))
    model.device = torch.device("cuda")
    events = []
    settings = replace(EXACT, batch_size=3)
    assert_same(predict_plane(model, ArrayPlane(image), settings, on_event=events.append), boxes)
    assert [shape for _, shape in model.seen[:4]] == [(3, 3, 1024, 1024), *map(shape_of, (1024, 512, 256))]
    assert {device for device, _ in model.seen[4:]} == {"cpu"}
    assert {shape for _, shape in model.seen[4:]} == {shape_of(1024)}
    assert [event["text"] for event in events if event["event"] == "message"] == [
        "The GPU's memory is full; going on with 1 tile at a time.",
        "The GPU's memory is full; going on with tiles of 512 px.",
        "The GPU's memory is full; going on with tiles of 256 px.",
        "The GPU's memory is full even for small tiles; going on with the CPU, which is slower.",
    ]


def test_memory_that_runs_out_half_way_loses_and_doubles_nothing(eye):
    image, boxes = scene(1400, 1400, WANTED, 50)
    model = eye(fails=[None, None, MemoryError()])
    assert_same(predict_plane(model, ArrayPlane(image), EXACT), boxes)


def test_memory_that_runs_out_while_the_size_is_found(eye):
    image, boxes = scene(300, 300, WANTED, 50)
    assert_same(predict_plane(eye(fails=out_of_memory(1)), ArrayPlane(image), PredictSettings()), boxes, 2)


def test_memory_that_is_never_enough(eye):
    with pytest.raises(UserError, match="close other programs"):
        predict_plane(eye(fails=out_of_memory(50)), ArrayPlane(np.ones((50, 50))), EXACT)


def test_other_errors_are_not_taken_for_want_of_memory(eye):
    with pytest.raises(RuntimeError, match="shapes"):
        predict_plane(eye(fails=[RuntimeError("mat1 and mat2 shapes")]), ArrayPlane(np.ones((50, 50))), EXACT)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("settings", [EXACT, PredictSettings()])
@pytest.mark.parametrize("after", [0, 1, 5])
def test_cancel(eye, settings, after):
    image, _ = scene(600, 600, WANTED, 50)
    calls = iter(range(1000))
    model = eye()
    with pytest.raises(Cancelled):
        predict_plane(model, ArrayPlane(image), settings, should_stop=lambda: next(calls) >= after)
    assert len(model.seen) == after


@pytest.mark.usefixtures("small_tiles")
def test_a_plane_that_cannot_be_read_to_the_end(eye):
    class Broken(ArrayPlane):
        def read(self, y0, y1, x0, x1):
            if y1 > 400 and y1 - y0 < 600:
                raise UserError("the file is cut off.")
            return super().read(y0, y1, x0, x1)

    with pytest.raises(UserError, match="cut off"):
        predict_plane(eye(), Broken(scene(600, 600, WANTED, 50)[0]), EXACT)


def test_several_thousand_objects(eye):
    image, boxes = scene(2400, 2400, 14, 28)
    assert len(boxes) > 7000
    found = predict_plane(eye(), ArrayPlane(image), EXACT)
    assert len(found) == len(boxes)


@pytest.mark.parametrize("shape", [(100_000, 10), (10, 100_000)])
def test_a_very_long_plane(eye, shape):
    image, boxes = scene(*shape, 5, 10)
    found = predict_plane(eye(), ArrayPlane(image), PredictSettings(object_diameter=7))
    assert len(found) == len(boxes)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (33, 31), (40, 40, 2), (40, 40, 7), (30_000, 10)])
@pytest.mark.parametrize("diameter", [None, 0.1, 1e5])
def test_a_real_network_takes_any_shape(shape, diameter, small_model):
    if max(shape) > 1000 and diameter is not None:
        diameter = WANTED  # enlarging this one eight times would take its time
    image = np.random.default_rng(0).integers(0, 255, shape)
    found = predict_plane(small_model, ArrayPlane(image), PredictSettings(object_diameter=diameter), full=True)
    assert (found.boxes >= 0).all()
    assert (found.boxes <= [shape[1], shape[0]] * 2).all()


def test_the_threshold(small_model):
    with torch.no_grad():
        small_model.network.heatmap.bias += 3  # so that an untrained network finds something
    plane = ArrayPlane(np.random.default_rng(0).random((128, 128)))
    everything = predict_plane(small_model, plane, EXACT, full=True)
    assert (np.diff(everything.scores) <= 0).all()
    middle = float(np.median(everything.scores))
    chosen = predict_plane(small_model, plane, replace(EXACT, threshold=middle))
    assert 0 < len(chosen) < len(everything)
    np.testing.assert_array_equal(chosen.boxes, everything[everything.scores >= middle].boxes)
    small_model.card.threshold = middle
    assert len(predict_plane(small_model, plane, EXACT)) == len(chosen)
    np.testing.assert_array_equal(small_model.predict([[1.0, 2.0]], object_diameter=WANTED).boxes.shape[1:], [4])


@pytest.fixture(scope="module")
def nuclei():
    from napari_localize.core.samples import sample_folder
    from napari_localize.formats import read_annotations
    from napari_localize.formats.images import open_image
    from napari_localize.models.localizer import load_model

    folder = sample_folder()
    ((_, plane),) = open_image(folder / "nuclei.tif").planes()
    true = read_annotations(folder / "annotations.json")["nuclei.tif"]
    return load_model("nuclei", device="cpu"), plane.read(0, 320, 0, 320)[..., 0], true.clip(320, 320)


def agreement(found, true):
    from napari_localize.evaluation.metrics import summarize

    names = found.class_names
    return summarize([found], [Detections(true.boxes, class_names=names)])["F1"]


@pytest.mark.parametrize("factor", [0.25, 1, 4])
def test_real_nuclei_at_any_size(nuclei, factor):
    model, image, true = nuclei
    pixels = torch.from_numpy(image).float()[None, None]
    resized = functional.interpolate(pixels, scale_factor=factor, mode="bilinear", antialias=True)[0, 0].numpy()
    found = predict_plane(model, ArrayPlane(resized), PredictSettings())
    assert agreement(replace(found, boxes=found.boxes / np.float32(factor)), true) > 0.8


def test_real_nuclei_on_seams(nuclei, monkeypatch):
    model, image, _ = nuclei
    settings = PredictSettings(object_diameter=25.0)
    one = predict_plane(model, ArrayPlane(image), settings)
    monkeypatch.setattr(predict, "TILE", 224)
    monkeypatch.setattr(predict, "OVERLAP", 128)
    assert agreement(predict_plane(model, ArrayPlane(image), settings), one) > 0.95


def test_real_nuclei_in_other_light(nuclei):
    model, image, true = nuclei
    settings = PredictSettings(object_diameter=25.0)
    for other in (255 - image, image.astype(np.float64) * 1e6 - 5, np.stack([image // 2, image], axis=-1)):
        assert agreement(predict_plane(model, ArrayPlane(other), settings), true) > 0.75
