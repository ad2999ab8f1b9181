"""The real child with a real, if untrained, network: what it gives is what the library gives in one process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.known import KnownArea
from napari_localize.core.planes import ArrayPlane
from napari_localize.core.settings import PredictSettings, TrainSettings
from napari_localize.engine import Engine

PATIENCE = 120.0
SETTINGS = PredictSettings(object_diameter=28.0, device="cpu")


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine() as engine:
        yield engine


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    from napari_localize.models.card import ModelCard
    from napari_localize.models.heatmap.network import HeatmapNetwork, NetworkConfig
    from napari_localize.models.localizer import Model

    torch.manual_seed(0)
    network = HeatmapNetwork(NetworkConfig(classes=2))
    with torch.no_grad():
        network.heatmap.bias += 3  # so that an untrained network finds something
    card = ModelCard(
        name="untrained",
        architecture={"kind": "heatmap", **network.config.model_dump()},
        classes=["a", "b"],
        object_diameter=28.0,
        diameter_range=(14.0, 56.0),
        threshold=0.4,
    )
    path = tmp_path_factory.mktemp("models") / "untrained.safetensors"
    Model(network, card, "cpu").save(path)
    return path


def blobs(seed: int, side: int = 160, count: int = 12) -> tuple[np.ndarray, Detections]:
    rng = np.random.default_rng(seed)
    image = rng.normal(200, 10, (side, side))
    cells = rng.permutation((side // 32) ** 2)[:count]
    corners = np.stack([cells % (side // 32), cells // (side // 32)], axis=1) * 32 + rng.integers(0, 8, (count, 2))
    for x, y in corners:
        image[y : y + 24, x : x + 24] += 300
    boxes = np.hstack([corners, corners + 24]).astype(np.float32)
    return image.astype(np.uint16), Detections(boxes, class_names=("blob",))


def test_predictions_are_those_of_the_library(engine: Engine, model_file: Path, Events: Any) -> None:
    from napari_localize.models.localizer import load_model
    from napari_localize.models.predict import predict_plane

    model = load_model(model_file, device="cpu")
    planes = [ArrayPlane(blobs(seed, side)[0]) for seed, side in ((0, 160), (1, 900))]
    regions = [None, (100, 800, 50, 850)]
    events = Events()
    job = engine.predict(planes, str(model_file), SETTINGS, regions=regions, on_event=events)
    found = job.result(PATIENCE)
    events.wait("done")
    for plane, region, got in zip(planes, regions, found, strict=True):
        expected = predict_plane(model, plane, SETTINGS, region=region, full=True)
        assert len(expected) > 0
        np.testing.assert_allclose(got.boxes, expected.boxes, atol=1e-3)
        np.testing.assert_allclose(got.scores, expected.scores, atol=1e-5)
        assert got.class_names == ("a", "b")
    finished = [event for event in events if event["event"] == "plane"]
    assert [event["plane"] for event in finished] == [0, 1]
    assert {event["plane"] for event in events if event["event"] == "progress"} == {0, 1}
    assert "CPU" in engine.device_text or "GPU" in engine.device_text


def test_a_changed_model_file_is_loaded_anew(engine: Engine, model_file: Path, tmp_path: Path) -> None:
    from napari_localize.models.localizer import load_model

    path = tmp_path / "model.safetensors"
    model = load_model(model_file, device="cpu")
    model.save(path)
    plane = ArrayPlane(blobs(0)[0])
    (first,) = engine.predict([plane], str(path), SETTINGS).result(PATIENCE)
    model.card.classes = ["c", "d"]
    model.save(path, overwrite=True)
    (second,) = engine.predict([plane], str(path), SETTINGS).result(PATIENCE)
    assert (first.class_names, second.class_names) == (("a", "b"), ("c", "d"))


def test_a_model_that_does_not_exist(engine: Engine) -> None:
    with pytest.raises(UserError, match="no model 'nonesuch'"):
        engine.predict([ArrayPlane(np.zeros((8, 8)))], "nonesuch", SETTINGS).result(PATIENCE)


def test_a_training_leaves_a_candidate_that_predicts(engine: Engine, Events: Any) -> None:
    images, annotations = zip(*(blobs(seed) for seed in range(2)), strict=True)
    planes = [ArrayPlane(image) for image in images]
    settings = TrainSettings(base=None, seconds=2, device="cpu")
    events = Events()
    job = engine.train(planes, annotations, settings, names=["one", "two"], on_event=events)
    result = job.result(PATIENCE)
    assert Path(result["path"]).is_file()
    assert result["card"]["classes"] == ["blob"]
    assert set(result["comparison"]) >= {"planes", "old", "new", "note", "gate", "changes"}
    assert not result["cancelled"]
    events.wait("done")
    assert {"curve", "progress", "message"} <= set(events.names)
    (found,) = engine.predict(planes[:1], result["path"], SETTINGS).result(PATIENCE)
    assert found.class_names == ("blob",)


def test_a_training_learns_only_where_something_is_known(engine: Engine) -> None:
    image, boxes = blobs(0)
    settings = TrainSettings(base=None, epochs=1, device="cpu")
    known = [KnownArea([[0, 0, 1, 1]], [[0, 0, 1, 1]])]
    with pytest.raises(UserError, match="no box to learn from"):
        engine.train([ArrayPlane(image)], [boxes], settings, names=["one"], known=known).result(PATIENCE)


def test_a_cancelled_training_keeps_the_best_so_far(engine: Engine, Events: Any) -> None:
    image, boxes = blobs(0)
    events = Events()
    settings = TrainSettings(base=None, seconds=600, device="cpu")
    job = engine.train([ArrayPlane(image)], [boxes], settings, names=["one"], on_event=events)
    events.wait("curve")
    job.cancel()
    result = job.result(PATIENCE)
    assert result["cancelled"]
    assert Path(result["path"]).is_file()


def test_nothing_to_learn_from(engine: Engine) -> None:
    plane = ArrayPlane(np.zeros((64, 64), np.uint8))
    with pytest.raises(UserError, match="no box to learn from"):
        engine.train([plane], [Detections.empty()], replace(TrainSettings(), base=None), names=["a"]).result(PATIENCE)


def test_the_doctor_runs_in_the_child(engine: Engine) -> None:
    report = engine.doctor().result(PATIENCE)
    assert report["devices"][0]["ok"]
    assert report["sentences"]


def test_teaching_gives_what_the_library_gives_and_looks_only_once(engine):
    import napari_localize as nl

    image = np.random.default_rng(0).normal(0.2, 0.02, (160, 160)).astype(np.float32)
    corners = np.array([(x, y, x + 16, y + 16) for y in range(12, 140, 36) for x in range(12, 140, 36)])
    for x0, y0, x1, y1 in corners:
        image[y0:y1, x0:x1] += 0.5
    examples = Detections(corners[:2], class_names=("square",))
    reads = []

    class Counted(ArrayPlane):
        def read(self, *rectangle):
            reads.append(rectangle)
            return super().read(*rectangle)

    def run(examples, rejected):
        job = engine.teach(
            [Counted(image)], ["a"], [examples], [rejected], "generalist", device="cpu", center=(80.0, 80.0)
        )
        return job.result(PATIENCE)

    found = run(examples, examples[:0])
    expected = nl.teach(image, examples, device="cpu")
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-3)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-3)
    assert len(found) > 8
    looked = len(reads)
    run(examples, Detections(corners[2:3], class_names=("square",)))
    assert len(reads) == looked
    with pytest.raises(UserError, match="draw a box"):
        engine.teach([ArrayPlane(image)], ["a"], [examples[:0]], [examples[:0]], "generalist", center=(0.0, 0.0))


def test_of_a_plane_that_is_large_for_its_objects_the_part_around_the_next_example_is_looked_at(engine):
    image = np.random.default_rng(0).normal(0.2, 0.02, (1500, 1500)).astype(np.float32)
    corners = np.array([[40, 40, 50, 50], [60, 44, 70, 54], [1400, 1400, 1410, 1410], [1430, 1400, 1440, 1410]])
    for x0, y0, x1, y1 in corners:
        image[y0:y1, x0:x1] += 0.5
    examples = Detections(corners[[0, 2]], class_names=("square",))
    events = []
    job = engine.teach(
        [ArrayPlane(image)],
        ["large"],
        [examples],
        [examples[:0]],
        "generalist",
        device="cpu",
        center=(1300.0, 1350.0),
        on_event=events.append,
    )
    found = job.result(PATIENCE)
    (region,) = [event["region"] for event in events if event["event"] == "part"]
    y0, y1, x0, x1 = region
    assert 300 < y1 - y0 < 1500
    assert y1 == x1 == 1500
    assert len(found)
    assert (found.centers > x0).all()


def test_objects_that_look_alike_have_numbers_alike_also_on_other_planes(engine):
    y, x = np.mgrid[:192, :192] + 0.5
    images, boxes = [], []
    for seed in (0, 1):
        image = np.random.default_rng(seed).normal(0.2, 0.02, (192, 192))
        corners = [(px - 9, py - 9, px + 9, py + 9) for py in (40, 96, 150) for px in (40, 96, 150)]
        for number, (x0, y0, _, _) in enumerate(corners):
            far = np.hypot(x - x0 - 9, y - y0 - 9)
            image[(far < 9) if number % 2 else (far < 9) & (far > 5)] += 0.6
        images.append(ArrayPlane(image.astype(np.float32)))
        boxes.append(Detections(corners))
    job = engine.describe(images, ["rings 1", "rings 2"], boxes, "generalist", device="cpu")
    first, second = job.result(PATIENCE)
    assert first.shape == second.shape == (9, first.shape[1])
    table = np.concatenate([first, second])
    table = (table - table.mean(axis=0)) / (table.std(axis=0) + 1e-6)
    distance = np.linalg.norm(table[:, None] - table[None], axis=2) + np.diag([np.inf] * 18)
    disc = np.tile(np.arange(9) % 2, 2)
    assert (disc[distance.argmin(axis=1)] == disc).mean() > 0.9
    assert engine.describe([], [], [], "generalist", device="cpu").result(PATIENCE) == []
