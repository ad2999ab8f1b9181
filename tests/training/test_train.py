"""A training ends with a model and an honest comparison, whatever it is given and whenever it is stopped."""

from __future__ import annotations

import json
import math
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_localize.core.detections import Detections
from napari_localize.core.errors import Cancelled, UserError
from napari_localize.core.known import KnownArea
from napari_localize.core.planes import ArrayPlane
from napari_localize.core.settings import TrainSettings
from napari_localize.models.card import ModelCard
from napari_localize.models.checks import save_checks
from napari_localize.models.heatmap.network import HeatmapNetwork, NetworkConfig
from napari_localize.models.localizer import Model, load_model
from napari_localize.models.registry import checks_path
from napari_localize.models.story import as_text
from napari_localize.training import compare, learning, train
from napari_localize.training import planes as planes_module
from napari_localize.training.crops import CropRecipe
from napari_localize.training.learning import start_from
from napari_localize.training.optimise import Optimisation, Recipe
from napari_localize.training.train import train_model

QUICK = Recipe(batch_size=2, crops=CropRecipe(side=64))
ONE_EPOCH = {"base": None, "epochs": 1, "device": "cpu"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Small crops, few of them, and a small network: a training takes a second."""
    monkeypatch.setattr(learning, "SCRATCH", QUICK)
    monkeypatch.setattr(learning, "FINE_TUNE", QUICK)
    monkeypatch.setattr(learning, "EPOCH_CROPS", 4)
    monkeypatch.setattr(learning, "NetworkConfig", lambda classes: small(classes))
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def small(classes):
    return NetworkConfig(classes=classes, widths=(4, 8, 8, 8, 8), depths=(0, 1, 0, 0), decoder=8, head=8)


def scene(seed, names=("blob",), count=6, side=96):
    """Bright squares on a dark plane, with their boxes; of the classes one after the other."""
    rng = np.random.default_rng(seed)
    image = rng.normal(200, 10, (side, side))
    cells = rng.permutation((side // 32) ** 2)[:count]
    corner = np.column_stack([cells % (side // 32), cells // (side // 32)]) * 32 + rng.integers(1, 8, (count, 2))
    for x, y in corner:
        image[y : y + 20, x : x + 20] += 400
    boxes = np.hstack([corner, corner + 20])
    return ArrayPlane(image.astype(np.uint16)), Detections(boxes, np.arange(count) % len(names), class_names=names)


def scenes(count, **options):
    planes, boxes = zip(*(scene(seed, **options) for seed in range(count)), strict=True)
    return list(planes), list(boxes)


@pytest.fixture
def base(tmp_path):
    def make(*classes, bias=0.0):
        torch.manual_seed(1)
        network = HeatmapNetwork(small(len(classes)))
        with torch.no_grad():
            network.heatmap.bias += bias
        card = ModelCard(
            name="old",
            version=3,
            architecture={"kind": "heatmap", **network.config.model_dump()},
            classes=list(classes),
            object_diameter=20.0,
            diameter_range=(10.0, 40.0),
            pixel_size=0.5,
            threshold=0.3,
        )
        path = tmp_path / "old.safetensors"
        Model(network, card, "cpu").save(path, overwrite=True)
        return str(path)

    return make


def test_a_training_says_what_it_did(tmp_path):
    planes, boxes = scenes(5, names=("a", "b"))
    events = []
    names = [f"p{index}" for index in range(5)]
    result = train_model(planes, boxes, TrainSettings(**ONE_EPOCH), names=names, on_event=events.append)
    assert not result.cancelled
    assert result.comparison["old"] is None
    assert len(result.comparison["planes"]) == 1
    assert set(result.comparison["planes"]) < set(names)
    assert result.comparison["planes"][0] in result.comparison["note"]
    assert set(result.comparison["new"]) == {"AP50", "AP", "precision", "recall", "F1", "count_error"}

    card = result.model.card
    assert card.classes == ["a", "b"]
    assert card.parent is None
    assert card.training["boxes"] == {"a": 15, "b": 15}
    assert [plane["name"] for plane in card.training["planes"]] == names
    assert len({plane["sha256"] for plane in card.training["planes"]}) == 5
    assert card.training["epochs"] == 1
    assert card.training["corrections"] == {
        "boxes": {"added": 30},
        "reviewed planes": 5,
        "reviewed areas": 0,
        "ignored areas": 0,
    }
    assert "random weights" in card.training["recipe"]["text"]
    assert card.training["recipe"]["numbers"]["batch_size"] == QUICK.batch_size
    assert set(card.training["versions"]) == {"napari-localize", "torch", "torchvision", "python"}
    assert card.training["steps"] == len(card.training["curve"]["seconds"])
    assert card.ancestors == []
    assert card.metrics["validation"]["planes"] == 1
    assert result.comparison["domains"] == []
    assert [window.plane for window in result.checks.windows] == result.comparison["planes"]
    assert result.checks.held_back
    assert 0.05 <= card.threshold <= 0.95

    curve = [event for event in events if event["event"] == "curve"]
    assert [point["step"] for point in curve] == list(range(1, len(curve) + 1))
    assert all(math.isfinite(point["train_loss"]) for point in curve)
    assert curve[-1]["ap50"] is not None
    assert curve[-1]["validation_loss"] > 0
    progress = [event for event in events if event["event"] == "progress"]
    assert progress[-1]["done"] == progress[-1]["total"] == 1
    json.dumps(events)

    path = tmp_path / "model.safetensors"
    result.model.save(path)
    assert load_model(path, "cpu").card.classes == ["a", "b"]


LEFT = KnownArea([[0, 0, 64, 96]])


def test_what_lies_outside_of_the_reviewed_area_changes_nothing():
    plane, boxes = scene(0, count=9)
    right = boxes.centers[:, 0] >= 64
    assert 0 < right.sum() < 9
    without, twice = boxes[~right], Detections.concatenate([boxes, boxes[right]])
    models, tables = [], []
    for found in (boxes, without, twice):
        result = train_model([plane], [found], TrainSettings(**ONE_EPOCH), known=[LEFT])
        models.append(result.model.network.state_dict())
        tables.append((result.comparison["new"], result.model.card.training["boxes"], result.model.card.threshold))
    assert tables[0][1] == {"blob": int((~right).sum())}
    for model, table in zip(models[1:], tables[1:], strict=True):
        assert all(torch.equal(models[0][name], model[name]) for name in model)
        np.testing.assert_equal(table, tables[0])
    whole = train_model([plane], [without], TrainSettings(**ONE_EPOCH)).model.network.state_dict()
    assert any(not torch.equal(whole[name], models[0][name]) for name in whole)


def test_without_a_box_in_the_reviewed_area_there_is_nothing_to_learn_from():
    (plane,), (boxes,) = scenes(1)
    known = KnownArea(None, [[0, 0, 96, 96]])
    with pytest.raises(UserError, match="no box to learn from"):
        train_model([plane], [boxes], TrainSettings(**ONE_EPOCH), known=[known])


def test_models_are_compared_where_something_is_known(base):
    # Found are squares of the left half only; the true ones of the right half are no misses.
    plane, boxes = scene(0, count=9)
    known = KnownArea(LEFT.reviewed, [boxes.boxes[0].tolist()])
    counted = known.holds(boxes.boxes)
    seen = []
    real = compare.measure

    def measure(found, true, *others):
        seen.append((found, true))
        return real(found, true, *others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "measure", measure)
        settings = TrainSettings(base=base("blob", bias=3.0), epochs=1, device="cpu")
        train_model([plane], [boxes], settings, known=[known])
    assert len(seen) == 2
    for (found,), (true,) in seen:
        assert len(found)
        assert known.holds(found.boxes).all()
        np.testing.assert_array_equal(true.boxes, boxes.boxes[counted])


def test_same_seed_same_model():
    planes, boxes = scenes(2)
    one, two, other = (
        train_model(planes, boxes, TrainSettings(**ONE_EPOCH, seed=seed)).model.network.state_dict()
        for seed in (7, 7, 8)
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_the_callers_random_numbers_are_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_model(*scenes(1), TrainSettings(**ONE_EPOCH))
    assert torch.equal(torch.rand(3), expected)


def test_a_limit_of_time():
    events = []
    began = time.monotonic()
    train_model(*scenes(1), TrainSettings(base=None, seconds=0.2, device="cpu"), on_event=events.append)
    assert time.monotonic() - began < 100
    (last,) = [event for event in events if event["event"] == "progress"][-1:]
    assert last["done"] == last["total"] == 0.2
    assert [event for event in events if event["event"] == "curve"][-1]["ap50"] is not None


@pytest.mark.parametrize(
    ("planes", "boxes"),
    [
        ([], []),
        ([scene(0)[0]], [Detections.empty()]),
        ([scene(0)[0]], [Detections([[1, 1, 9, 9]], states=["rejected"])]),
    ],
)
def test_nothing_to_learn_from(planes, boxes):
    with pytest.raises(UserError):
        train_model(planes, boxes, TrainSettings(**ONE_EPOCH))


def test_a_base_that_is_not_there():
    with pytest.raises(UserError, match="no model 'unknown'"):
        train_model(*scenes(1), TrainSettings(base="unknown", epochs=1, device="cpu"))


@pytest.mark.parametrize("shape", [(96, 96), (1, 1), (5, 200), (64, 64, 7)])
def test_one_box_on_one_image_of_any_shape(shape):
    image = np.random.default_rng(0).integers(0, 255, shape)
    box = Detections([[0, 0, min(9, shape[1]), min(9, shape[0])]])
    result = train_model([ArrayPlane(image)], [box], TrainSettings(**ONE_EPOCH))
    assert result.comparison["planes"] == ["plane 1"]
    assert "flatter" in result.comparison["note"]


def test_a_class_that_is_never_seen_and_planes_without_boxes():
    planes, boxes = scenes(5)
    boxes = [part.with_classes(("blob", "ghost")) for part in boxes]
    boxes[0] = Detections.empty(("blob", "ghost"))
    events = []
    result = train_model(planes, boxes, TrainSettings(**ONE_EPOCH), on_event=events.append)
    assert result.model.card.classes == ["blob"]
    assert "No box of class ghost was given, so the model will not know it." in str(events)
    assert math.isfinite(result.comparison["new"]["AP50"])


def test_a_class_that_only_the_base_has_seen_stays(base):
    planes, boxes = scenes(2)
    boxes = [part.with_classes(("blob", "known", "ghost")) for part in boxes]
    settings = TrainSettings(base=base("blob", "known", bias=3.0), epochs=1, device="cpu")
    result = train_model(planes, boxes, settings)
    assert result.model.card.classes == ["blob", "known"]
    assert result.model.card.training["boxes"]["known"] == 0


def test_a_base_with_the_same_classes(base):
    result = train_model(*scenes(2), TrainSettings(base=base("blob", bias=3.0), epochs=1, device="cpu"))
    card = result.model.card
    assert (card.parent, card.object_diameter, card.pixel_size) == ("old@3", 20.0, 0.5)
    assert result.comparison["old"] is not None
    assert "without regard to class" not in result.comparison["note"]


def test_a_base_with_other_classes_is_compared_without_regard_to_class(base):
    result = train_model(*scenes(2), TrainSettings(base=base("x", "y", "z"), epochs=1, device="cpu"))
    assert result.model.card.classes == ["blob"]
    assert result.comparison["old"] is not None
    assert "without regard to class" in result.comparison["note"]


def test_a_class_is_added_and_one_dropped(base):
    planes, boxes = scenes(2, names=("new", "blob"))
    result = train_model(planes, boxes, TrainSettings(base=base("gone", "blob", bias=3.0), epochs=1, device="cpu"))
    assert result.model.card.classes == ["new", "blob"]
    assert result.model.network.config.classes == 2
    assert result.comparison["old"] is not None


def test_heads_of_known_classes_are_taken_over():
    old, new = HeatmapNetwork(small(2)), HeatmapNetwork(small(3))
    start_from(new, ("c", "b", "a"), old, ("a", "b"))
    was, now = old.heatmap.weight, new.heatmap.weight
    assert torch.equal(now[2], was[0])
    assert torch.equal(now[1], was[1])
    torch.testing.assert_close(now[0], was.mean(dim=0))
    assert torch.equal(new.stem[0].weight, old.stem[0].weight)


def test_the_base_itself_is_not_changed(base):
    path = base("blob")
    loaded = load_model(path, "cpu")
    before = {name: value.clone() for name, value in loaded.network.state_dict().items()}
    train_model(*scenes(1), TrainSettings(base=loaded, epochs=1, device="cpu"))
    assert all(torch.equal(before[name], value) for name, value in loaded.network.state_dict().items())
    assert loaded.card.reference == "old@3"


def stop_after(calls):
    """Give a function that says stop from its call of that number on."""
    counter = iter(range(10**6))
    return lambda: next(counter) >= calls


def test_stopped_before_the_first_step():
    for calls in (0, 1, 2):
        with pytest.raises(Cancelled):
            train_model(*scenes(2), TrainSettings(**ONE_EPOCH), should_stop=stop_after(calls))


def test_stopped_after_the_first_step_the_result_is_kept():
    planes, boxes = scenes(30)
    steps = []
    settings = TrainSettings(base=None, seconds=600, device="cpu")

    def listen(event):
        if event["event"] == "curve":
            steps.append(event["step"])

    result = train_model(planes, boxes, settings, on_event=listen, should_stop=lambda: len(steps) >= 1)
    assert steps == [1]
    assert result.cancelled
    assert result.model.card.training["stopped"]
    assert "stopped by hand" in as_text(result.model.card)
    assert len(result.comparison["planes"]) == train.PLANES_AFTER_CANCEL < 6


def test_stopped_during_the_comparison():
    planes, boxes = scenes(30)
    told = []

    def should_stop():
        return any(event.get("text", "").startswith("Comparing") for event in told)

    result = train_model(planes, boxes, TrainSettings(**ONE_EPOCH), on_event=told.append, should_stop=should_stop)
    assert not result.cancelled
    assert not result.model.card.training["stopped"]
    assert len(result.comparison["planes"]) == train.PLANES_AFTER_CANCEL


def test_huge_planes_are_learnt_from_and_compared_on_in_windows(monkeypatch):
    monkeypatch.setattr(planes_module, "LARGEST_SIDE", 200)
    monkeypatch.setattr(planes_module, "WINDOW", 96)
    image, boxes = scene(0)
    values = np.full((2000, 3000), 200, np.uint16)
    values[:96, :96] = values[-96:, -96:] = image.read(0, 96, 0, 96)[..., 0]
    corner = np.array([3000 - 96, 2000 - 96] * 2, np.float32)
    both = Detections(np.vstack([boxes.boxes, boxes.boxes + corner]), class_names=("blob",))

    class Counting(ArrayPlane):
        largest = 0

        def read(self, y0, y1, x0, x1):
            type(self).largest = max(self.largest, (y1 - y0) * (x1 - x0))
            return super().read(y0, y1, x0, x1)

    plane = Counting(values)
    result = train_model([plane], [both], TrainSettings(**ONE_EPOCH))
    assert result.comparison["planes"] == ["plane 1"]
    assert Counting.largest < 300_000


def test_a_plane_that_cannot_be_read():
    class Broken(ArrayPlane):
        def read(self, y0, y1, x0, x1):
            raise UserError("movie.tif is cut off; copy it again.")

    with pytest.raises(UserError, match="cut off"):
        train_model([Broken(np.zeros((40, 40)))], [Detections([[1, 1, 9, 9]])], TrainSettings(**ONE_EPOCH))


def test_a_bad_batch_does_not_spoil_the_weights(monkeypatch):
    plane, boxes = scene(0)
    read = planes_module.read_training_plane(plane, boxes, 20.0)
    network = HeatmapNetwork(small(1))
    with Optimisation(network, [read], QUICK, torch.device("cpu"), seed=0) as training:
        before = {name: value.clone() for name, value in network.named_parameters()}
        with monkeypatch.context() as patch:
            patch.setattr("napari_localize.training.optimise.heatmap_loss", lambda *args: torch.tensor(math.nan))
            assert math.isnan(training.step(0.5))
        assert all(torch.equal(before[name], value) for name, value in network.named_parameters())
        assert math.isfinite(training.step(0.5))
        assert training.steps == 2


def test_a_training_goes_on_where_it_was():
    plane, boxes = scene(0)
    read = planes_module.read_training_plane(plane, boxes, 20.0)

    def fresh():
        torch.manual_seed(0)
        return Optimisation(HeatmapNetwork(small(1)), [read], QUICK, torch.device("cpu"), seed=0)

    with fresh() as whole:
        for step in range(4):
            whole.step(step / 4)
    with fresh() as first:
        for step in range(2):
            first.step(step / 4)
        state = first.state()
    with fresh() as second:
        second.restore(state)
        for step in range(2, 4):
            second.step(step / 4)
    assert second.steps == 4
    for name, value in whole.average.state_dict().items():
        torch.testing.assert_close(second.average.state_dict()[name], value)


def test_learning_lowers_the_loss():
    plane, boxes = scene(0)
    read = planes_module.read_training_plane(plane, boxes, 20.0)
    plain = CropRecipe(side=64, invert=0, grey=0, recolour=0, noise=0, blur=0)
    recipe = Recipe(learning_rate=1e-2, batch_size=4, crops=plain)
    torch.manual_seed(0)
    with Optimisation(HeatmapNetwork(small(1)), [read], recipe, torch.device("cpu"), seed=0) as training:
        losses = [training.step(step / 80) for step in range(80)]
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])


def test_a_new_model_knows_its_parent_and_is_tried_on_what_that_could_do(base, tmp_path):
    planes, boxes = scenes(6)
    first = train_model(planes[:5], boxes[:5], TrainSettings(**{**ONE_EPOCH, "base": base("blob")}))
    path = tmp_path / "first.safetensors"
    first.model.save(path)
    save_checks(checks_path(path), first.checks)
    second = train_model(planes[5:], boxes[5:], TrainSettings(**{**ONE_EPOCH, "base": str(path)}))
    card = second.model.card
    assert [ancestor.reference for ancestor in card.ancestors] == ["first@1", "old@3"]
    assert [len(ancestor.sha256) for ancestor in card.ancestors] == [64, 64]
    (domain,) = second.comparison["domains"]
    assert (domain["name"], domain["planes"], domain["held_back"]) == ("first@1", 1, True)
    assert domain["boxes"] == 6
    assert card.metrics["earlier domains"][0]["name"] == "first@1"
    assert card.metrics["compared with the parent"]["planes"] == 1
    json.loads(card.model_dump_json())
    # On the same planes there is no earlier domain: the comparison itself is about them.
    again = train_model(planes[:5], boxes[:5], TrainSettings(**{**ONE_EPOCH, "base": str(path)}))
    assert again.comparison["domains"] == []


def test_a_plane_is_known_again_whatever_of_it_was_reviewed(base, tmp_path):
    planes, boxes = zip(*(scene(seed, side=320, count=80) for seed in range(5)), strict=True)
    reviewed = [KnownArea([[0, 0, 100, 100]])] * 5
    first = train_model(planes, boxes, TrainSettings(**{**ONE_EPOCH, "base": base("blob")}), known=reviewed)
    path = tmp_path / "first.safetensors"
    first.model.save(path)
    save_checks(checks_path(path), first.checks)
    assert all(len(window.counted) for window in first.checks.windows)
    # Finished wholly since, with boxes of another size.
    larger = [replace(each, boxes=each.boxes + np.array([-2, -2, 2, 2], np.float32)) for each in boxes]
    wholly = train_model(planes, larger, TrainSettings(**{**ONE_EPOCH, "base": str(path)}))
    assert wholly.comparison["domains"] == []
    marks = [[plane["sha256"] for plane in each.model.card.training["planes"]] for each in (first, wholly)]
    assert marks[0] == marks[1]


def test_a_cancelled_training_still_looks_back_but_not_for_long(base, tmp_path, monkeypatch):
    planes, boxes = scenes(2)
    first = train_model(planes[:1], boxes[:1], TrainSettings(**{**ONE_EPOCH, "base": base("blob")}))
    path = tmp_path / "first.safetensors"
    first.model.save(path)
    save_checks(checks_path(path), first.checks)
    steps = iter(range(1000))
    settings = TrainSettings(base=str(path), epochs=1000, device="cpu")
    monkeypatch.setattr(train, "SECONDS_AFTER_CANCEL", -1.0)
    result = train_model(planes[1:], boxes[1:], settings, should_stop=lambda: next(steps) > 3)
    assert result.cancelled
    assert "not checked" in result.comparison["domains"][0]["reason"]
    assert not first.checks.held_back
