"""A model file gives back what was saved, and anything else gives one sentence."""

from __future__ import annotations

import json
import pickle
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_localize.core.errors import UserError
from napari_localize.models.card import BUNDLED, HEADER_KEY, UNNAMED, ModelCard, read_card
from napari_localize.models.checkpoint import load_checkpoint, save_checkpoint
from napari_localize.models.heatmap.network import NetworkConfig
from napari_localize.models.localizer import Model
from napari_localize.models.registry import export_model, list_models


@pytest.fixture
def saved(small_model, tmp_path):
    path = tmp_path / "small.safetensors"
    small_model.save(path)
    return path


def rewrite(path, card=None, change=None):
    """Write a model file again with a changed card, or changed weights."""
    known = {**read_card(path).model_dump(mode="json"), **(card or {})}
    weights = load_file(path)
    if change is not None:
        change(weights)
    save_file(weights, path, metadata={HEADER_KEY: json.dumps(known)})


def test_weights_and_card_come_back(small_model, saved):
    network, card = load_checkpoint(saved)
    assert card == small_model.card
    assert not network.training
    for name, value in network.state_dict().items():
        expected = small_model.network.state_dict()[name]
        assert value.dtype == expected.dtype
        torch.testing.assert_close(value, expected, atol=1e-3, rtol=1e-3)
    image = torch.rand(1, 3, 64, 32)
    with torch.no_grad():
        torch.testing.assert_close(network(image), small_model.network(image), atol=0.02, rtol=0.02)
    network.train()(torch.ones(1, 3, 64, 64))[0].sum().backward()  # what was loaded can learn


def test_numbers_too_large_for_half_precision_survive(small_model, tmp_path):
    path = tmp_path / "model.safetensors"
    small_model.network.stem[1].running_var[0] = 1e6
    small_model.save(path)
    assert load_checkpoint(path)[0].stem[1].running_var[0] == 1e6


def test_nothing_is_overwritten_unasked(small_model, saved):
    before = saved.read_bytes()
    with pytest.raises(UserError, match="exists already"):
        small_model.save(saved)
    assert saved.read_bytes() == before
    small_model.card.threshold = 0.7
    small_model.save(saved, overwrite=True)
    assert read_card(saved).threshold == 0.7
    with pytest.raises(UserError, match="does not exist"):
        small_model.save(saved.parent / "missing" / "model.safetensors")


@pytest.mark.parametrize("size", [0, 1, 7, 8, 100, 5000, -1])
def test_a_truncated_file(saved, size):
    content = saved.read_bytes()
    saved.write_bytes(content[:size])
    with pytest.raises(UserError, match=f"{saved.name}.* copy it again"):
        load_checkpoint(saved)


@pytest.mark.parametrize("protocol", [None, 2, 4, 5])
def test_pickles_are_never_opened(saved, protocol):
    class Trap:
        def __reduce__(self):
            return pytest.fail, ("the pickle was opened",)

    if protocol is None:
        torch.save(Trap(), saved)
    else:
        saved.write_bytes(pickle.dumps(Trap(), protocol))
    with pytest.raises(UserError, match=r"can run code; only \.safetensors"):
        load_checkpoint(saved)


@pytest.mark.parametrize(
    "content",
    [
        b"hello, I am a text file with some words in it",
        struct.pack("<Q", 2**62) + b"{}",
        struct.pack("<Q", 2) + b"{]",
        struct.pack("<Q", 4) + b"null",
        bytes(range(256)) * 9,
    ],
)
def test_other_files(saved, content):
    saved.write_bytes(content)
    with pytest.raises(UserError, match=r"small\.safetensors"):
        load_checkpoint(saved)


def test_another_programs_file(saved):
    save_file({"weight": torch.ones(3)}, saved, metadata={"format": "pt"})
    with pytest.raises(UserError, match="made by another program"):
        load_checkpoint(saved)


def test_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "missing.safetensors", tmp_path):
        with pytest.raises(UserError, match="cannot read the model"):
            load_checkpoint(path)


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({"classes": ["a"]}, "names 1 classes, its network has 2"),
        ({"classes": ["a", "a"]}, "named twice"),
        ({"classes": []}, "not valid: classes"),
        ({"name": "../up"}, "not valid: name"),
        ({"name": ""}, "not valid: name"),
        ({"threshold": 2}, "not valid: threshold"),
        ({"object_diameter": 0}, "not valid: object_diameter"),
        ({"object_diameter": float("nan")}, "not valid: object_diameter"),
        ({"diameter_range": [0, 5]}, "not valid: diameter_range"),
        ({"pixel_size": float("inf")}, "not valid: pixel_size"),
        ({"architecture": {"kind": "other"}}, "holds a 'other' network"),
        ({"architecture": {}}, "holds a None network"),
        ({"architecture": {"kind": "heatmap"}}, "do not fit"),
        ({"architecture": {"kind": "heatmap", "classes": 2}}, "do not fit"),
        ({"architecture": {"kind": "heatmap", "classes": 2, "widths": [10**9] * 5}}, "do not fit"),
        ({"architecture": {"kind": "heatmap", "classes": 2, "depths": [-1] * 4}}, "do not fit"),
    ],
)
def test_cards_that_are_not_valid_or_do_not_fit(saved, card, message):
    rewrite(saved, card)
    with pytest.raises(UserError, match=message):
        load_checkpoint(saved)


def test_absurd_sizes_take_no_memory(saved):
    # 64 GB if it were believed.
    absurd = NetworkConfig(classes=2, widths=(2048,) * 5, depths=(32,) * 4, decoder=2048, head=2048)
    rewrite(saved, {"architecture": {"kind": "heatmap", **absurd.model_dump()}})
    with pytest.raises(UserError, match="do not fit"):
        load_checkpoint(saved)


def spoil(value):
    def change(weights):
        weights["stem.0.weight"][0] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (spoil(float("nan")), "not numbers"),
        (spoil(float("inf")), "not numbers"),
        (lambda weights: weights.pop("stem.0.weight"), "do not fit"),
        (lambda weights: weights.update(other=torch.ones(2)), "do not fit"),
        (lambda weights: weights.update({"stem.0.weight": torch.ones(4, 3, 5, 5)}), "do not fit"),
    ],
)
def test_weights_that_do_not_fit(saved, change, message):
    rewrite(saved, change=change)
    with pytest.raises(UserError, match=message):
        load_checkpoint(saved)


def test_weights_in_another_precision_are_taken(small_model, saved):
    rewrite(saved, change=lambda weights: weights.update({n: w.double() for n, w in weights.items() if w.ndim}))
    network, _ = load_checkpoint(saved)
    assert {value.dtype for value in network.parameters()} == {torch.float32}


def test_what_a_later_version_adds_to_the_card_is_passed_over(saved):
    rewrite(saved, {"future": [1, 2, 3]})
    assert read_card(saved).name == "small"


def test_measures_that_could_not_be_taken_are_kept_as_none(small_model, tmp_path):
    path = tmp_path / "model.safetensors"
    card = ModelCard.model_validate({**small_model.card.model_dump(), "metrics": {"AP50": np.nan, "F1": 0.5}})
    save_checkpoint(path, small_model.network, card)
    assert read_card(path).metrics == {"AP50": None, "F1": 0.5}


def test_a_new_model_is_named_like_its_file_once(small_model, tmp_path):
    model = Model(small_model.network, small_model.card.model_copy(update={"name": UNNAMED}), "cpu")
    model.save(tmp_path / "my cells@2.safetensors")
    assert read_card(tmp_path / "my cells@2.safetensors").name == "my cells"
    model.save(tmp_path / "copy.safetensors")
    assert read_card(tmp_path / "copy.safetensors").name == "my cells"


@pytest.mark.parametrize(("file", "name"), [("a:b.safetensors", "a-b"), ("..safetensors", "small"), (" x .st", "x")])
def test_a_name_that_no_model_can_have_is_mended_or_not_taken(small_model, file, name):
    card = small_model.card.model_copy(update={"name": "small"})
    named = card.named_like(file)
    assert named.name == name
    assert ModelCard.model_validate(named.model_dump()) == named


def test_bundled_models_know_what_their_scores_mean(tmp_path):
    for entry in list_models():
        if entry.bundled:
            assert entry.card.calibration is not None, entry.reference
            assert entry.card.calibration.error_after < entry.card.calibration.error_before / 2
    # Outside of the package the card has it in its own file; other files beside it mean nothing.
    export_model("blood", tmp_path / "out.safetensors")
    exported = read_card(tmp_path / "out.safetensors")
    assert exported.calibration == read_card(BUNDLED / "blood.safetensors").calibration
    assert set(exported.calibration.classes) <= set(exported.classes)


@pytest.mark.parametrize(
    "calibration",
    [
        {"pooled": {"method": "platt", "boxes": 9, "slope": 1e9}},
        {"pooled": {"method": "isotonic", "boxes": 9, "scores": [0.1] * 1000, "chances": [0.1] * 1000}},
        "trust me",
    ],
)
def test_a_calibration_that_makes_no_sense_is_refused(saved, calibration):
    rewrite(saved, {"calibration": calibration})
    with pytest.raises(UserError, match=r"the card of .* is not valid: calibration"):
        read_card(saved)
