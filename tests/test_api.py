from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
import tifffile
import torch

import napari_localize as nl
from napari_localize.core.samples import ANNOTATIONS, sample_folder
from napari_localize.models import localizer
from napari_localize.models.card import ModelCard
from napari_localize.models.heatmap.network import HeatmapNetwork, NetworkConfig
from napari_localize.models.localizer import Model

IMAGE = np.random.default_rng(0).random((64, 96))


@pytest.fixture(scope="module")
def model():
    """It finds boxes, in no useful places."""
    torch.manual_seed(0)
    config = NetworkConfig(classes=2, widths=(8, 8, 16, 16, 16), depths=(1, 1, 1, 1), decoder=16, head=16)
    network = HeatmapNetwork(config)
    with torch.no_grad():
        network.heatmap.bias.zero_()
    card = ModelCard(
        name="untrained",
        architecture={"kind": "heatmap", **config.model_dump()},
        classes=["cell", "dot"],
        object_diameter=24,
        diameter_range=(10, 50),
        threshold=0.1,
    )
    return Model(network, card, "cpu")


@pytest.fixture(scope="module")
def nuclei():
    """A quarter of the sample with its true boxes."""
    pixels = tifffile.imread(sample_folder() / "nuclei.tif")[:256, :256]
    return pixels, nl.read_annotations(sample_folder() / ANNOTATIONS)["nuclei.tif"].clip(256, 256)


def find(image, model, **settings):
    return nl.predict(image, model, object_diameter=24, device="cpu", **settings)


def test_importing_imports_nothing_heavy():
    code = "import sys, napari_localize as nl; print(sorted({'numpy', 'torch', 'pandas', 'napari'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_all_public_names_are_there():
    assert set(nl.__all__) <= set(dir(nl))
    assert all(getattr(nl, name) is not None for name in nl.__all__)
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = nl.nothing_such


def test_boxes_lie_in_the_image(model):
    found = find(IMAGE, model)
    assert isinstance(found, nl.Detections)
    assert len(found) > 0
    assert (found.boxes >= 0).all()
    assert (found.boxes <= [96, 64, 96, 64]).all()
    assert found.class_names == ("cell", "dot")
    assert set(found.origins.tolist()) == {"untrained@1"}


def test_saved_and_loaded_it_finds_the_same(model, tmp_path):
    model.save(tmp_path / "m.safetensors")
    loaded = nl.load_model(tmp_path / "m.safetensors", device="cpu")
    assert loaded.card.model_dump(mode="json") == model.card.model_dump(mode="json")
    first, second = find(IMAGE, loaded), find(IMAGE, str(tmp_path / "m.safetensors"))
    np.testing.assert_array_equal(first.boxes, second.boxes)
    with pytest.raises(nl.UserError, match="exists already"):
        model.save(tmp_path / "m.safetensors")


@pytest.mark.parametrize(
    "image",
    [
        IMAGE.tolist(),
        torch.from_numpy(IMAGE),
        np.asfortranarray(IMAGE),
        IMAGE[..., None],
        IMAGE.astype(">f4"),
        (IMAGE * 65535).astype(np.uint16),
        np.ma.masked_array(IMAGE),
    ],
    ids=["list", "tensor", "columns first", "one channel", "big endian", "uint16", "masked"],
)
def test_anything_like_an_array_is_an_image(model, image):
    assert len(find(image, model)) == pytest.approx(len(find(IMAGE, model)), rel=0.05)


@pytest.mark.parametrize(
    ("axes", "keys"),
    [
        ("TYX", [(0,), (1,)]),
        ("tyx", [(0,), (1,)]),
        ("YXZ", [(0,), (1,)]),
        ("TZYX", [(0, 0), (0, 1), (1, 0), (1, 1)]),
        ("TCYX", [(0,), (1,)]),
        ("ZYXC", [(0,), (1,)]),
        ("YX", None),
        ("CYX", None),
        ("YXC", None),
    ],
)
def test_planes_of_a_stack_are_found_each_for_itself(model, axes, keys):
    sizes = {"Y": 64, "X": 96}
    letters = axes.upper()
    stack = np.random.default_rng(1).random([sizes.get(axis, 2) for axis in letters])
    found = find(stack, model, axes=axes)
    if keys is None:
        found, keys = {(): found}, [()]
    assert list(found) == keys
    for key in keys:
        places = dict(zip([axis for axis in letters if axis not in "YXC"], key, strict=True))
        plane = stack[tuple(places.get(axis, slice(None)) for axis in letters)]
        kept = [axis for axis in letters if axis in "YXC"]
        alone = find(plane.transpose([kept.index(axis) for axis in "YXC" if axis in kept]), model)
        np.testing.assert_array_equal(found[key].boxes, alone.boxes)


def test_files_bring_their_own_axes(model, tmp_path):
    stack = np.random.default_rng(1).integers(0, 255, (3, 64, 96), np.uint8)
    tifffile.imwrite(tmp_path / "movie.tif", stack, imagej=True, metadata={"axes": "TYX"})
    tifffile.imwrite(tmp_path / "frame.tif", stack[1])
    movie = find(tmp_path / "movie.tif", model)
    assert list(movie) == [(0,), (1,), (2,)]
    np.testing.assert_array_equal(movie[1,].boxes, find(str(tmp_path / "frame.tif"), model).boxes)
    assert isinstance(find(tmp_path / "movie.tif", model, axes="CYX"), nl.Detections)


def test_settings_and_events(model):
    events = []
    found = find(IMAGE, model, on_event=events.append)
    assert {event["event"] for event in events} >= {"diameter", "progress"}
    threshold = float(np.median(found.scores))
    fewer = find(IMAGE, model, threshold=threshold)
    assert 0 < len(fewer) < len(found)
    assert fewer.scores.min() >= threshold
    assert len(find(np.stack([IMAGE, IMAGE], -1), model, channel=1)) == len(found)


@pytest.mark.parametrize(
    ("image", "settings", "words"),
    [
        (np.ones((8, 8), complex), {}, "complex128"),
        (np.ones(8), {}, "shape"),
        (np.float64(3), {}, "shape"),
        (np.ones((0, 8)), {}, "empty"),
        (np.array([["a", "b"]]), {}, "numbers"),
        ([[1, 2], [3]], {}, "cannot be used as an image"),
        (None, {}, "numbers|shape"),
        (np.ones((3, 64, 64)), {}, "axes='TYX'"),
        (np.ones((2, 3, 64, 64)), {}, "axes='TCYX'"),
        (np.ones((64, 64)), {"axes": "TYX"}, "name 3 axes"),
        (np.ones((64, 64)), {"axes": "TZ"}, "Y and X"),
        (np.ones((64, 64)), {"threshold": 2}, "threshold"),
        (np.ones((64, 64)), {"channel": 1}, "channel 1"),
        (np.ones((64, 64)), {"channel": -1}, "channel"),
        (np.ones((64, 64)), {"batch_size": 0}, "batch size"),
        ("nowhere.tif", {}, "nowhere.tif"),
    ],
)
def test_what_cannot_be_used_gets_a_sentence(model, image, settings, words):
    with pytest.raises(nl.UserError, match=words) as raised:
        find(image, model, **settings)
    assert str(raised.value).endswith((".", ")"))


@pytest.mark.parametrize("value", [0, np.nan, np.inf, -np.inf])
def test_images_without_anything_to_see_give_no_error(model, value):
    assert isinstance(find(np.full((40, 40), value, np.float32), model), nl.Detections)


def test_holes_in_an_image_do_not_spoil_the_rest(model):
    image = IMAGE.copy()
    image[5, 5], image[10, 10] = np.nan, np.inf
    assert len(find(image, model)) == pytest.approx(len(find(IMAGE, model)), rel=0.2)


def test_unknown_models_and_devices_are_told(model):
    with pytest.raises(nl.UserError, match="nowhere"):
        nl.load_model("nowhere")
    with pytest.raises(nl.UserError, match="pickled"):
        nl.load_model("weights.pt")
    with pytest.raises(nl.UserError, match="tpu"):
        nl.predict(IMAGE, model, device="tpu")


@pytest.fixture(scope="module")
def trained(nuclei):
    """A model trained for an epoch from nothing, and what was told meanwhile."""
    pixels, boxes = nuclei
    events = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        annotations = {"n": boxes, "gone": boxes}
        model = nl.train({"n": pixels}, annotations, None, epochs=1, device="cpu", seed=3, on_event=events.append)
    return model, events


def test_training_gives_a_model_that_can_be_used_and_trained_on(trained, nuclei, tmp_path):
    model, events = trained
    assert model.card.classes == ["nucleus"]  # there is no box of the other class
    assert {event["event"] for event in events} >= {"message", "progress", "curve"}
    model.save(tmp_path / "first.safetensors")
    again = nl.train(nuclei[0], nuclei[1], base=tmp_path / "first.safetensors", seconds=1, device="cpu", on_event=print)
    assert again.card.parent == model.card.reference
    assert isinstance(nl.predict(nuclei[0], again, device="cpu"), nl.Detections)


def test_what_training_leaves_out_is_told(trained):
    texts = [event["text"] for event in trained[1] if event["event"] == "message"]
    assert any("gone" in text for text in texts)
    # The sample's other class has no box in this image.
    assert any("bacterium" in text for text in texts)


def test_training_is_repeatable(trained, nuclei):
    again = nl.train([nuclei[0]], [nuclei[1]], base=None, epochs=1, device="cpu", seed=3, on_event=print)
    first, second = trained[0].network.state_dict(), again.network.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("annotations", "settings", "words"),
    [
        ([nl.Detections.empty()], {}, "no box"),
        ([nl.Detections([[500, 500, 510, 510]])], {}, "no box"),
        ([nl.Detections([[5, 5, 20, 20]])] * 2, {}, "1 images but 2"),
        ([nl.Detections([[5, 5, 20, 20]])], {"base": "nowhere"}, "nowhere"),
        ([nl.Detections([[5, 5, 20, 20]])], {"seconds": 1, "epochs": 1}, "only one"),
        ([nl.Detections([[5, 5, 20, 20]])], {"epochs": 0}, "epochs"),
    ],
)
def test_training_on_what_cannot_be_learnt_from_gets_a_sentence(nuclei, annotations, settings, words):
    with pytest.raises(nl.UserError, match=words):
        nl.train([nuclei[0]], annotations, **{"base": None, "device": "cpu", **settings})


def test_one_box_is_enough_to_train_and_a_script_is_warned_of_what_is_left_out(nuclei):
    one = nl.Detections([[5, 5, 30, 30], [900, 900, 910, 910]], class_names=("spot", "never"))
    with pytest.warns() as told:
        model = nl.train({"n": nuclei[0]}, {"n": one, "gone": one}, base=None, epochs=1, device="cpu")
    assert model.card.classes == ["spot"]
    assert {warning.filename for warning in told} == {__file__}
    words = ("gone", "1 boxes lie wholly outside", "class never")
    assert len(told) == len(words)
    assert all(word in str(warning.message) for word, warning in zip(words, told, strict=True))


def test_a_pixel_size_without_effect_is_warned_of_once(model):
    with pytest.warns(UserWarning, match="pixel size is not used") as told:
        nl.predict(np.stack([IMAGE, IMAGE]), model, pixel_size=0.5, axes="TYX", device="cpu")
    assert len(told) == 1
    assert told[0].filename == __file__
    events = []
    nl.predict(IMAGE, model, pixel_size=0.5, device="cpu", on_event=events.append)
    assert any("pixel size is not used" in event.get("text", "") for event in events)


def test_further_images_in_a_file_are_warned_of(model, tmp_path):
    with tifffile.TiffWriter(tmp_path / "two.tif") as file:
        file.write((IMAGE * 255).astype(np.uint8))
        file.write(np.zeros((8, 8), np.uint8))
    with pytest.warns(UserWarning, match="holds 2 images") as told:
        find(tmp_path / "two.tif", model)
    assert len(told) == 1
    assert told[0].filename == __file__


def test_a_model_stays_where_its_owner_put_it(model, nuclei, monkeypatch):
    moved = []
    monkeypatch.setattr(model, "move_to", lambda device, text="": moved.append(device.type))
    nl.predict(IMAGE, model, object_diameter=24)
    nl.train(*nuclei, base=model, epochs=1, on_event=print)
    assert moved == []
    find(IMAGE, model)
    assert moved == ["cpu"]


def test_a_named_model_is_loaded_once_and_runs_where_it_is_wanted(model, tmp_path, monkeypatch):
    model.save(tmp_path / "m.safetensors")
    loaded, moved = [], []
    real = localizer.load_checkpoint
    monkeypatch.setattr(localizer, "load_checkpoint", lambda path: loaded.append(path) or real(path))
    monkeypatch.setattr(localizer.Model, "move_to", lambda self, device, text="": moved.append(device.type))
    for device in ("cpu", "auto", "cpu"):
        nl.predict(IMAGE, tmp_path / "m.safetensors", object_diameter=24, device=device)
    assert len(loaded) == 1
    assert len(moved) == 3


def test_evaluation_and_files_go_together(model, tmp_path):
    found = find(np.stack([IMAGE, IMAGE[::-1]]), model, axes="TYX")
    table = nl.evaluate(found, found)
    assert table.loc["all", "AP50"] == pytest.approx(1)
    assert table.attrs["count_error_per_image"] == {(0,): 0, (1,): 0}
    nl.write_annotations(tmp_path / "boxes.csv", found[0,])
    (back,) = nl.read_annotations(tmp_path / "boxes.csv").values()
    np.testing.assert_allclose(back.boxes, found[0,].boxes, atol=1e-3)
