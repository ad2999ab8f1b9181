"""What earlier models could do is looked at again with every new one."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_localize.core.detections import Detections
from napari_localize.core.known import EVERYWHERE, KnownArea
from napari_localize.core.planes import ArrayPlane
from napari_localize.core.splitting import Split
from napari_localize.models.card import Ancestor
from napari_localize.models.checks import MOST_WINDOWS, WINDOW, CheckSet, save_checks
from napari_localize.models.localizer import Model, load_model
from napari_localize.models.registry import STORE_VARIABLE, checks_path, keep_model
from napari_localize.training.domains import SAMPLES, check_domains, earlier_domains, make_checks, sample_checks
from napari_localize.training.record import ancestors_of

SIDE = 192


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv(STORE_VARIABLE, str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture(scope="module")
def nuclei():
    return load_model("nuclei", "cpu")


def child_of(base, **changes):
    """A new model with the weights of its base."""
    ancestors = ancestors_of(base)
    known = {"name": "child", "parent": ancestors[0].reference, "ancestors": ancestors}
    return Model(base.network, base.card.model_copy(update={**known, **changes}), "cpu")


def blind(base):
    """A new model that has forgotten everything."""
    model = child_of(base)
    network = type(base.network)(base.network.config)
    network.load_state_dict(base.network.state_dict())
    with torch.no_grad():
        network.heatmap.bias.fill_(-20)
    return Model(network, model.card, "cpu")


def split(held=(0,), held_back=True):
    return Split([9] if held_back else list(held), list(held), "Said.")


def test_the_samples_are_the_domains_of_the_bundled_models(nuclei):
    child = child_of(nuclei)
    domains = earlier_domains(child.card, nuclei, [])
    assert [domain.name for domain in domains] == ["nuclei (sample)", "tissue (sample)"]
    assert {domain.of for domain in domains} == {"nuclei@1"}
    assert all(domain.any_class for domain in domains)
    # What is learnt from now is no earlier domain.
    learnt = {window.sha256 for window in domains[0].checks.windows}
    assert [domain.name for domain in earlier_domains(child.card, nuclei, learnt)] == ["tissue (sample)"]
    for names in SAMPLES.values():
        for name in names:
            assert all(len(window.counted) > 5 for window in sample_checks(name).windows)


def test_a_model_that_forgets_is_named_and_one_that_does_not_is_not(nuclei):
    domains = earlier_domains(child_of(nuclei).card, nuclei, [])[:1]
    (same,) = check_domains(child_of(nuclei), nuclei, domains, lambda: False, seconds=300)
    assert (same["word"], same["forgets"], same["planes"]) == ("", False, 1)
    assert same["old"] == same["new"]
    assert same["old"]["F1"] > 0.8
    assert same["classes_ignored"]
    (lost,) = check_domains(blind(nuclei), nuclei, domains, lambda: False, seconds=300)
    assert lost["forgets"]
    assert lost["new"]["F1"] == 0
    json.dumps(lost)


def test_time_and_cancel_end_it_and_what_was_left_out_is_named(nuclei):
    domains = earlier_domains(child_of(nuclei).card, nuclei, [])
    for stop, seconds in ((lambda: True, 300), (lambda: False, -1)):
        found = check_domains(child_of(nuclei), nuclei, domains, stop, seconds)
        assert [domain["name"] for domain in found] == ["nuclei (sample)", "tissue (sample)"]
        assert all("not checked" in domain["reason"] and not domain["forgets"] for domain in found)


def kept(base, name, checks, tmp_path):
    path = tmp_path / "candidate.safetensors"
    child_of(base).save(path)
    save_checks(checks_path(path), checks)
    return load_model(keep_model(path, name).path, "cpu")


def crop(names=("nucleus",), label=0, sha256="", known=EVERYWHERE):
    window = sample_checks("nuclei.tif").windows[0]
    boxes = Detections(window.boxes.boxes, np.full(len(window.boxes), label), class_names=names)
    pixels = window.pixels[:SIDE, :SIDE]
    return replace(window, pixels=pixels, boxes=boxes.clip(SIDE, SIDE), sha256=sha256, known=known)


def test_the_check_sets_of_all_ancestors_are_earlier_domains(nuclei, tmp_path):
    first = kept(nuclei, "a", CheckSet([crop(sha256="one")], held_back=False), tmp_path)
    second = kept(first, "b", CheckSet([crop(sha256="one"), crop(sha256="two")]), tmp_path)
    domains = earlier_domains(child_of(second).card, second, [])
    # The plane that both have counts for the nearer one.
    assert [domain.name for domain in domains] == ["b@1", "nuclei (sample)", "tissue (sample)"]
    assert len(domains[0].checks.windows) == 2
    assert earlier_domains(child_of(second).card, second, ["one", "two"])[0].name == "nuclei (sample)"
    checks_path(second.path).write_bytes(b"damaged")
    nearest = earlier_domains(child_of(second).card, second, [])[0]
    assert (nearest.name, nearest.checks.held_back) == ("a@1", False)


@pytest.mark.parametrize(
    ("classes", "names", "label", "ignored"),
    [
        (["nucleus"], ("nucleus",), 0, False),
        (["dot"], ("nucleus",), 0, True),
        (["nucleus"], ("cell", "nucleus"), 1, False),
    ],
)
def test_classes_count_where_both_models_have_them(nuclei, tmp_path, classes, names, label, ignored):
    base = kept(nuclei, "a", CheckSet([crop(names, label)]), tmp_path)
    new = child_of(base, classes=classes)
    domains = earlier_domains(new.card, base, [])[:1]
    (found,) = check_domains(new, base, domains, lambda: False, seconds=300)
    assert found["classes_ignored"] == ignored
    assert not found["forgets"]
    assert found["new"]["F1"] > 0.8


def test_only_known_areas_count(nuclei, tmp_path):
    base = kept(nuclei, "a", CheckSet([crop(known=KnownArea([[0, 0, 90, 192]]))]), tmp_path)
    (found,) = check_domains(
        child_of(base), base, earlier_domains(child_of(base).card, base, [])[:1], lambda: False, 300
    )
    assert 0 < found["boxes"] < len(crop().boxes)
    assert found["new"]["precision"] > 0.8


def test_an_ancestor_that_is_gone_costs_nothing(nuclei):
    card = child_of(nuclei).card.model_copy(update={"ancestors": [Ancestor(reference="gone@1", sha256="0" * 64)]})
    loaded = load_model("nuclei", "cpu")
    loaded.path = None
    assert earlier_domains(card, loaded, []) == []


def test_a_few_windows_of_the_planes_compared_on_are_kept():
    rng = np.random.default_rng(0)
    planes, boxes = [], []
    for _ in range(3):
        corner = rng.uniform(0, 1100, (40, 2))
        planes.append(ArrayPlane(rng.integers(0, 99, (1200, 1300)).astype(np.uint16)))
        boxes.append(Detections(np.hstack([corner, corner + 20])))
    known = [EVERYWHERE, KnownArea([[0, 0, 300, 300]]), EVERYWHERE]
    checks = make_checks(planes, boxes, known, "abc", ["1", "2", "3"], split((1, 2)))
    assert checks.held_back
    assert {window.plane for window in checks.windows} == {"b", "c"}
    assert {window.sha256 for window in checks.windows} == {"2", "3"}
    assert len(checks.windows) <= MOST_WINDOWS
    assert max(max(window.pixels.shape[:2]) for window in checks.windows) <= WINDOW
    assert all(len(window.counted) for window in checks.windows)
    assert not make_checks(planes, boxes, known, "abc", "123", split((0, 1, 2), held_back=False)).held_back
    # Large objects are kept reduced.
    large = [Detections([[100, 100, 500, 500]])] * 3
    (only,) = make_checks(planes, large, [EVERYWHERE] * 3, "abc", "123", split((0,))).windows[:1]
    assert float(only.counted.diameters[0]) < 100
