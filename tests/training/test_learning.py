"""What is added to learning: heads first, rejected boxes, mixing, stopping early; all of it repeatable."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from napari_localize.core.detections import Detections
from napari_localize.core.known import KnownArea
from napari_localize.core.planes import ArrayPlane
from napari_localize.core.settings import PredictSettings, TrainSettings
from napari_localize.evaluation.metrics import summarize
from napari_localize.formats import read_annotations
from napari_localize.models.heatmap.network import STRIDE, HeatmapNetwork, NetworkConfig
from napari_localize.models.localizer import load_model
from napari_localize.models.predict import FLOOR, predict_plane
from napari_localize.training import learning
from napari_localize.training.crops import REJECTED_WEIGHT, CropRecipe, TrainingPlane, make_batch
from napari_localize.training.heads import HeadFirst
from napari_localize.training.optimise import HEAD, Optimisation, Recipe
from napari_localize.training.train import train_model

PLAIN = CropRecipe(side=64, diameters=(20, 20), stretch=0, invert=0, grey=0, recolour=0, noise=0, blur=0)
SMALL = NetworkConfig(classes=1, widths=(4, 8, 8, 8, 8), depths=(0, 1, 0, 0), decoder=8, head=8)


def plane(**options):
    """Two bright squares on a dark plane; by default the left half is reviewed."""
    pixels = torch.zeros(3, 64, 128, dtype=torch.uint8)
    pixels[:, 20:40, 20:40] = pixels[:, 20:40, 90:110] = 255
    boxes = torch.tensor([[20.0, 20, 40, 40]])
    known = KnownArea([[0, 0, 64, 64]])
    return replace(TrainingPlane(pixels, boxes, torch.zeros(1, dtype=torch.int64), 20.0, known=known), **options)


WRONG = torch.tensor([[90.0, 20, 110, 40]])


def test_rejected_boxes_are_background_that_weighs_more_even_outside_of_what_is_reviewed():
    batches = [
        make_batch([one], 1, 60, PLAIN, np.random.default_rng(0))
        for one in (plane(rejected=WRONG), plane(rejected=WRONG, known=KnownArea([[0, 0, 64, 64]], [[80, 0, 128, 64]])))
    ]
    with_rejected, ignored = (batch.targets for batch in batches)
    weighty = with_rejected.emphasis == REJECTED_WEIGHT
    assert weighty.any()
    assert (with_rejected.known[weighty] == 1).all()
    assert (with_rejected.heat[weighty] < 0.1).all()
    assert (ignored.known[ignored.emphasis == REJECTED_WEIGHT] == 0).all()
    # A rejected box of 20 x 20 pixels in a crop that shows it whole covers so many cells.
    assert weighty.sum(dim=(1, 2, 3)).max() >= (20 / STRIDE) ** 2


def test_crops_are_taken_around_rejected_boxes():
    without, with_rejected = (
        make_batch([one], 1, 80, PLAIN, np.random.default_rng(1)).pixels[:, :, 32, 32]
        for one in (plane(), plane(rejected=WRONG.repeat(3, 1)))
    )
    assert without.shape == with_rejected.shape
    shown = make_batch([plane(rejected=WRONG)], 1, 80, PLAIN, np.random.default_rng(1)).targets.emphasis
    assert (shown > 1).any(dim=(1, 2, 3)).float().mean() > 0.15


def optimisation(seed=0, **recipe):
    torch.manual_seed(0)
    whole = plane(known=KnownArea(), boxes=torch.cat([plane().boxes, WRONG]), labels=torch.zeros(2, dtype=torch.int64))
    crops = replace(PLAIN, paste=0.5, balance=0.5)
    return Optimisation(
        HeatmapNetwork(SMALL), [whole], Recipe(batch_size=4, crops=crops, **recipe), torch.device("cpu"), seed
    )


def heads_learnt(seed=0, steps=40):
    with optimisation(seed) as training:
        heads = HeadFirst(training)
        while not heads.ready:
            heads.look()
        losses = [heads.step(step / steps) for step in range(steps)]
        heads.finish()
        return training, losses


def test_heads_learn_first_and_nothing_else_changes():
    with optimisation() as fresh:
        before = {name: value.clone() for name, value in fresh.network.state_dict().items()}
    training, losses = heads_learnt()
    assert np.mean(losses[-5:]) < 0.95 * np.mean(losses[:5])
    for name, value in training.network.state_dict().items():
        assert torch.equal(value, before[name]) == (name.partition(".")[0] not in HEAD)
        torch.testing.assert_close(training.average.state_dict()[name], value)


def test_heads_learn_the_same_again():
    first, again, other = (heads_learnt(seed)[1] for seed in (3, 3, 4))
    assert first == again
    assert first != other


@pytest.fixture(scope="module")
def nuclei():
    """A part of a real image, with ten boxes in a reviewed area and the others outside of it."""
    folder = Path(__file__).parents[2] / "sample_data"
    image = tifffile.imread(folder / "nuclei.tif")
    boxes = read_annotations(folder / "annotations.json")["nuclei.tif"]
    return image, Detections(boxes.boxes, class_names=("nucleus",))


def ten_boxes(boxes):
    """The smallest upper part that holds ten centres."""
    order = np.sort(boxes.centers[:, 1])
    return KnownArea([[0, 0, 10_000, float(order[9] + order[10]) / 2]])


@pytest.fixture
def quick(monkeypatch):
    for name in ("SCRATCH", "FINE_TUNE"):
        recipe = getattr(learning, name)
        monkeypatch.setattr(learning, name, replace(recipe, batch_size=2, crops=replace(recipe.crops, side=96)))


def trained(nuclei, base="nuclei", names=("nucleus",), **settings):
    image, boxes = nuclei
    boxes = Detections(boxes.boxes, np.zeros(len(boxes), int), class_names=names)
    known = ten_boxes(boxes)
    events = []
    result = train_model(
        [ArrayPlane(image)],
        [boxes],
        TrainSettings(base=base, epochs=1, device="cpu", **settings),
        known=[known],
        on_event=events.append,
    )
    rest = boxes[~known.holds(boxes.boxes)]
    return result, events, rest, known


def ap50_on(model, image, rest, known):
    found = predict_plane(model, ArrayPlane(image), PredictSettings(threshold=FLOOR))
    found = found[~known.holds(found.boxes)]
    return summarize([found], [replace(rest, class_names=found.class_names)])["AP50"]


@pytest.mark.usefixtures("quick")
def test_one_image_one_class_and_ten_boxes_are_enough(nuclei):
    result, events, rest, known = trained(nuclei)
    assert result.model.card.training["boxes"] == {"nucleus": 10}
    assert result.steps == result.model.card.training["steps"] > 0
    assert (
        result.recipe
        == result.model.card.training["recipe"]["text"]
        == next(e["text"] for e in events if e.get("recipe"))
    )
    image = nuclei[0]
    base = ap50_on(load_model("nuclei", "cpu"), image, rest, known)
    # One box of a hundred more or less.
    assert ap50_on(result.model, image, rest, known) >= base - 0.02


@pytest.mark.usefixtures("quick")
def test_a_new_class_is_learnt_heads_first_and_the_same_again(nuclei):
    first, again = (trained(nuclei, names=("cell",), recipe={"head_first": 0.4, "copy_paste": 0.5}) for _ in range(2))
    assert first[0].model.card.training["recipe"]["head steps"] > 0
    assert "last layers alone for 40%" in first[0].recipe
    for name, value in first[0].model.network.state_dict().items():
        assert torch.equal(value, again[0].model.network.state_dict()[name])


@pytest.mark.usefixtures("quick")
def test_a_training_without_progress_stops_and_says_so(nuclei, monkeypatch):
    monkeypatch.setattr(learning.Optimisation, "loss_on", lambda self, batches: 1.0)
    result, events, *_ = trained(nuclei, recipe={"patience": 2})
    assert not result.cancelled
    assert any("Stopped early" in event.get("text", "") for event in events)
    whole = trained(nuclei, recipe={"patience": 0})[0]
    assert result.steps < whole.steps


@pytest.mark.usefixtures("quick")
def test_a_training_that_only_does_harm_says_that_the_base_stays_even_where_nothing_is_mixed(nuclei, monkeypatch):
    monkeypatch.setattr(learning.Learning, "_ap50", lambda self, weights: 0.9 if self.best is None else 0.1)
    result, events, *_ = trained(nuclei, recipe={"average": False})
    assert result.model.card.training["recipe"]["share of the base"] == 1
    assert sum("better than the base, which stays" in event.get("text", "") for event in events) == 1
    base = load_model("nuclei", "cpu").network.state_dict()
    for name, value in result.model.network.state_dict().items():
        assert torch.equal(value, base[name])


@pytest.mark.usefixtures("quick")
def test_without_planes_held_back_at_least_half_of_the_base_stays(nuclei, monkeypatch):
    """The image that was learnt from would say that nothing of the base is needed."""
    rising = iter(range(1, 1000))
    # Each look finds the weights better than those before, the base first.
    monkeypatch.setattr(learning, "mix_with_base", lambda base, tuned, ap50, *_: (tuned, 1.0, ap50))
    monkeypatch.setattr(learning.Learning, "_ap50", lambda self, weights: next(rising) / 1000)
    result, events, *_ = trained(nuclei)
    assert result.comparison["cross_validated"]
    assert result.model.card.training["recipe"]["share of the base"] == 0.5
    assert "at least half" in result.recipe
    # The models of the cross-validation are made as the one that they speak for.
    assert sum("mixed of 50%" in event.get("text", "") for event in events) >= 1
    whole = trained(nuclei, recipe={"average": False})[0].model.network.state_dict()
    base = load_model("nuclei", "cpu").network.state_dict()
    name = "heatmap.weight"
    torch.testing.assert_close(result.model.network.state_dict()[name], (base[name] + whole[name]) / 2)


def test_a_model_remembers_how_large_the_objects_of_its_images_are():
    def plane(diameter, boxes, **options):
        corners = torch.arange(boxes, dtype=torch.float32)[:, None] * 30 + torch.tensor([0.0, 0, 20, 20])
        labels = torch.zeros(boxes, dtype=torch.int64)
        return TrainingPlane(torch.zeros(3, 64, 64, dtype=torch.uint8), corners, labels, diameter, **options)

    alike = [plane(size, 8) for size in (20.0, 21.0, 22.0)]
    low, high = learning.usual_diameters([*alike, plane(90.0, 1)])
    assert 20 <= low < high <= 22
    assert learning.usual_diameters([plane(20.0, 8, reduced=3)]) == (60.0, 60.0)
    assert learning.usual_diameters([plane(90.0, 1)]) == (90.0, 90.0)
    assert learning.usual_diameters([plane(20.0, 8, sized=False), plane(20.0, 0)]) is None
