"""What a training is judged on it has not learnt from: whole groups, or in turns."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
import tifffile

from napari_localize import train
from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.core.errors import Cancelled, UserError
from napari_localize.core.planes import ArrayPlane
from napari_localize.core.samples import sample_folder
from napari_localize.core.settings import TrainSettings
from napari_localize.core.splitting import Fold
from napari_localize.evaluation.verdict import verdict
from napari_localize.formats import read_annotations
from napari_localize.models.heatmap.network import NetworkConfig
from napari_localize.training import compare, learning
from napari_localize.training.crops import CropRecipe
from napari_localize.training.optimise import Recipe
from napari_localize.training.train import train_model
from napari_localize.training.turns import learn_in_turns

QUICK = Recipe(batch_size=2, crops=CropRecipe(side=64))
ONE_EPOCH = {"base": None, "epochs": 1, "device": "cpu"}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Small crops, few of them, and a small network: a training takes a second."""
    monkeypatch.setattr(learning, "SCRATCH", QUICK)
    monkeypatch.setattr(learning, "FINE_TUNE", QUICK)
    monkeypatch.setattr(learning, "EPOCH_CROPS", 4)
    small = {"widths": (4, 8, 8, 8, 8), "depths": (0, 1, 0, 0), "decoder": 8, "head": 8}
    monkeypatch.setattr(learning, "NetworkConfig", lambda classes: NetworkConfig(classes=classes, **small))


@pytest.fixture(scope="module")
def pieces():
    """Pieces of the nuclei with their boxes, each with some."""
    pixels = tifffile.imread(sample_folder() / "nuclei.tif")
    found = read_annotations(sample_folder() / "annotations.json")["nuclei.tif"]
    pieces = []
    for y in range(0, 384, 96):
        for x in range(0, 384, 96):
            moved = Detections(found.boxes - np.array([x, y] * 2), class_names=("nucleus",)).clip(96, 96)
            if len(moved) > 2:
                pieces.append((ArrayPlane(pixels[y : y + 96, x : x + 96]), moved))
    return pieces


def learn(pieces, names, events=None, should_stop=None, **options):
    settings = TrainSettings(**{**ONE_EPOCH, **options.pop("settings", {})})
    planes, boxes = zip(*pieces[: len(names)], strict=True)
    tell = (lambda event: None) if events is None else events.append
    return train_model(planes, boxes, settings, names=names, on_event=tell, should_stop=should_stop, **options)


NAMES = [f"{well}_f{field}.tif" for well in ("A01", "A02", "B01", "B02") for field in (1, 2)]


def test_whole_wells_are_held_back_and_the_card_says_which(pieces):
    events = []
    result = learn(pieces, NAMES, events)
    told = result.model.card.training
    held = {part["name"] for part in told["held_back"]}
    assert set(result.comparison["planes"]) == held
    (well,) = {part["group"] for part in told["held_back"]}
    assert held == {f"{well}_f1.tif", f"{well}_f2.tif"}
    assert f"1 of 4 wells ({well}; 2 planes) is held back" in told["split"]
    assert any(event.get("text") == told["split"] for event in events)
    assert result.comparison["held_back"]
    assert not result.comparison["cross_validated"]


def test_somebody_may_say_what_belongs_together(pieces):
    groups = ["x", "y", "z", "w"] * 2
    told = learn(pieces, NAMES, groups=groups).model.card.training
    held = {part["name"] for part in told["held_back"]}
    assert {groups[NAMES.index(name)] for name in held} == {told["held_back"][0]["group"]}
    with pytest.raises(UserError, match="8 planes but 1 groups"):
        learn(pieces, NAMES, groups=["x"])
    with pytest.raises(UserError, match="such as mouse3"):
        learn(pieces, NAMES, settings={"hold_back": "animal"})


def test_next_to_what_is_held_back_of_a_movie_nothing_is_learnt(pieces):
    told = learn(pieces, [f"m.tif#t={time}" for time in range(8)]).model.card.training
    held = {int(part["name"][8:]) for part in told["held_back"]}
    assert {int(name[8:]) for name in told["left_out"]} == {
        time for time in range(8) if time not in held and {time - 1, time + 1} & held
    }


@pytest.mark.parametrize("length", [{"epochs": 2}, {"epochs": None, "seconds": 0.5}])
def test_three_planes_are_judged_in_turns(pieces, monkeypatch, length):
    judged = []
    real = compare.predict_plane

    def predict_plane(model, plane, *args, **options):
        judged.append((id(model), [id(each) for each, _ in pieces[:3]].index(id(plane))))
        return real(model, plane, *args, **options)

    monkeypatch.setattr(compare, "predict_plane", predict_plane)
    events = []
    result = learn(pieces, ["x", "y", "z"], events, settings=length)
    # Three models, each on the plane that it has not seen; then, for its threshold alone, the one that is kept.
    judges, kept = {model for model, _ in judged[:3]}, {model for model, _ in judged[3:]}
    assert [plane for _, plane in judged] == [0, 1, 2] * 2
    assert len(judges) == 3
    assert kept == {id(result.model)}
    assert not judges & kept
    assert result.comparison["planes"] == ["x", "y", "z"]
    assert result.comparison["cross_validated"]
    assert verdict(result.comparison).sentence.startswith("Cross-validated: each plane was judged by a model that had")
    told = result.model.card.training
    assert "cross-validated" in told["split"]
    assert told["folds"] == [["x"], ["y"], ["z"]]
    assert "held_back" not in told
    assert list(result.model.card.metrics) == ["cross-validation"]
    progress = [event for event in events if event["event"] == "progress"]
    done = [event["done"] / event["total"] for event in progress]
    assert done == sorted(done)
    assert 0.5 < done[-1] <= 1
    assert len({event["total"] for event in progress}) == 1
    curve = [event for event in events if event["event"] == "curve"]
    assert [point["step"] for point in curve] == list(range(1, len(curve) + 1))
    assert all(one["seconds"] < other["seconds"] for one, other in pairwise(curve))
    # Only the last training tells what it reaches.
    last = next(index for index, event in enumerate(events) if event.get("text", "").startswith("Learning from all"))
    assert curve[-1]["ap50"] is not None
    assert all(event["ap50"] is None for event in events[:last] if event["event"] == "curve")
    json.dumps(events)


@pytest.mark.parametrize(("slow", "last"), [(1.0, 40.0), (1.5, 30.0), (9.0, 15.0)])
def test_the_limit_of_time_is_for_all_turns_together(slow, last):
    # Where the turns take longer than their share, the last training gets less, but not nothing.
    now, given = [100.0], []

    def learn(train, settings, tell, watched=()):
        given.append(settings.seconds)
        now[0] += slow * settings.seconds
        return len(given), False

    folds = [Fold([1], [0]), Fold([0], [1])]
    learnt = learn_in_turns(
        learn, folds, lambda fold: [], [], TrainSettings(), 60.0, lambda event: None, lambda: now[0]
    )
    assert given == [10.0, 10.0, last]
    assert learnt.model == 3
    assert learnt.judges == [(folds[0], 1), (folds[1], 2)]


def test_the_halves_of_one_plane_judge_each_other(pieces):
    pixels = tifffile.imread(sample_folder() / "nuclei.tif")[:160, :160]
    found = read_annotations(sample_folder() / "annotations.json")["nuclei.tif"].clip(160, 160)
    found = Detections(found.boxes, class_names=("nucleus",))
    assert len(found) >= 10
    result = learn([(ArrayPlane(pixels), found)], ["only"])
    assert result.comparison["planes"] == ["only"]
    assert result.comparison["cross_validated"]
    assert "half of the plane" in result.model.card.training["split"]
    # Said once: the verdict has it.
    assert "half of the plane" in verdict(result.comparison).sentence
    assert "half" not in result.comparison["note"]
    assert result.model.card.training["boxes"] == {"nucleus": len(found)}


def test_same_seed_same_threshold(pieces):
    one, two = (learn(pieces, ["x", "y"]) for _ in range(2))
    assert one.model.card.threshold == two.model.card.threshold
    np.testing.assert_equal(one.comparison["new"], two.comparison["new"])


def stop_in(turn, events, after=1):
    """Give a function that says stop as soon as a turn has made its first step, or so many."""

    def should_stop():
        starts = ("Cross-validation, turn", "Learning from all")
        begun = [index for index, event in enumerate(events) if event.get("text", "").startswith(starts)]
        if len(begun) != turn:
            return False
        return sum(event["event"] == "progress" for event in events[begun[-1] :]) >= after

    return should_stop


@pytest.mark.parametrize("turn", [1, 2])
def test_stopped_in_a_turn_its_model_is_kept_and_judged_by_what_it_has_not_seen(pieces, turn):
    events = []
    result = learn(pieces, ["x", "y", "z"], events, stop_in(turn, events), settings={"epochs": 4})
    assert result.cancelled
    unseen = "xyz"[turn - 1]
    assert result.comparison["planes"] == [unseen]
    assert result.comparison["held_back"]
    assert not result.comparison["cross_validated"]
    assert f"has not learnt from {unseen}" in result.model.card.training["split"]
    assert [part["name"] for part in result.model.card.training["held_back"]] == [unseen]


def test_stopped_in_the_last_training_all_turns_count(pieces):
    events = []
    result = learn(pieces, ["x", "y", "z"], events, stop_in(4, events, 8), settings={"epochs": 4})
    assert result.cancelled
    assert result.comparison["planes"] == ["x", "y", "z"]
    assert result.comparison["cross_validated"]
    # Steps of the models that only judge are not its own.
    assert result.model.card.training["steps"] == result.steps == 8


def test_stopped_when_the_last_training_has_hardly_begun_it_is_not_what_the_turns_speak_for(pieces):
    events = []
    result = learn(pieces, ["x", "y", "z"], events, stop_in(4, events), settings={"epochs": 4})
    assert result.cancelled
    assert result.comparison["planes"] == ["z"]
    assert not result.comparison["cross_validated"]
    assert result.steps > 1


def test_stopped_before_the_first_step_there_is_nothing(pieces):
    events = []
    with pytest.raises(Cancelled):
        learn(pieces, ["x", "y"], events, lambda: any("turn 1" in event.get("text", "") for event in events))


def test_an_image_given_twice_is_on_one_side_only(pieces):
    twice = [*pieces[:5], pieces[0], pieces[1]]
    events = []
    result = learn(twice, [f"p{index}" for index in range(7)], events)
    told = result.model.card.training
    assert [part["name"] for part in told["planes"]] == [f"p{index}" for index in range(5)]
    assert any("p5 is the same as p0" in event.get("text", "") for event in events)


def test_several_sources_with_their_classes_from_python(pieces):
    images = {f"p{index}": plane.read(0, 96, 0, 96)[..., 0] for index, (plane, _) in enumerate(pieces[:6])}
    first = Annotations({f"p{index}": pieces[index][1] for index in range(3)})
    renamed = {
        f"p{index}": Detections(
            pieces[index][1].boxes, class_names=("Nuclei",), states=["accepted"] * len(pieces[index][1])
        )
        for index in range(3, 6)
    }
    events = []
    model = train(
        images, [first, renamed], base=None, epochs=1, device="cpu", class_map={"Nuclei": "nucleus"},
        groups={f"p{index}": str(index // 2) for index in range(6)}, on_event=events.append,
    )  # fmt: skip
    assert model.card.classes == ["nucleus"]
    assert model.card.training["boxes"] == {"nucleus": sum(len(found) for _, found in pieces[:6])}
    assert "each group" in model.card.training["split"]
    assert model.card.training["folds"] == [["p0", "p1"], ["p2", "p3"], ["p4", "p5"]]
    with pytest.raises(UserError, match="no class 'x'"):
        train(images, [first], base=None, epochs=1, class_map={"x": "y"})
    with pytest.raises(UserError, match="hold back by 'moon'"):
        train(images, [first], base=None, epochs=1, hold_back="moon")
