"""Which model comes from which, whatever they are called by now."""

from __future__ import annotations

import errno
import json
import os
import random

import pytest

from napari_localize.core.errors import UserError
from napari_localize.models import card as card_module
from napari_localize.models.card import Ancestor, read_card
from napari_localize.models.digest import file_digest, weights_digest
from napari_localize.models.history import descendants, find_ancestors, model_tree, tree_lines
from napari_localize.models.registry import (
    STORE_VARIABLE,
    checks_path,
    describe_model,
    discard_model,
    export_model,
    find_model,
    import_model,
    keep_model,
    list_models,
    remove_model,
    rename_model,
    scan_models,
)


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    folder = tmp_path / "store"
    monkeypatch.setenv(STORE_VARIABLE, str(folder))
    return folder


@pytest.fixture
def keep(make_model, tmp_path):
    """Keep a model with weights of its own, trained from another one."""
    seeds = iter(range(100))

    def keep(name, parent=None, checks=b""):
        ancestors = []
        if parent is not None:
            card = read_card(find_model(parent))
            digest = weights_digest(find_model(parent))
            ancestors = [Ancestor(reference=card.reference, created=card.created, sha256=digest), *card.ancestors]
        reference = ancestors[0].reference if ancestors else None
        path = tmp_path / "candidate.safetensors"
        make_model(seed=next(seeds), parent=reference, ancestors=ancestors).save(path)
        if checks:
            checks_path(path).write_bytes(checks)
        return keep_model(path, name).reference

    return keep


def drawn():
    """The tree without the bundled models that nothing comes from."""
    lines = tree_lines(model_tree(list_models()))
    return [
        before + node.reference + ("" if node.entry else " (gone)")
        for before, node in lines
        if node.children or not (node.entry and node.entry.bundled)
    ]


def test_models_stand_below_the_one_that_they_come_from(keep):
    keep("a", "nuclei")
    keep("a", "a@1")
    keep("b", "a@1")
    keep("c")
    assert drawn() == ["nuclei@1", "└─ a@1", "   ├─ a@2", "   └─ b@1", "c@1"]
    assert [entry.reference for entry in descendants("nuclei@1", list_models())] == ["a@1", "a@2", "b@1"]
    assert descendants("c@1", list_models()) == []
    found = find_ancestors(read_card(find_model("b")), list_models())
    assert [entry.reference for entry in found] == ["a@1", "nuclei@1"]


def test_a_parent_that_is_gone_is_still_named_in_its_place(keep):
    keep("a", "nuclei")
    keep("b", "a@1")
    keep("b", "a@1")
    remove_model("a@1")
    assert drawn() == ["nuclei@1", "└─ a@1 (gone)", "   ├─ b@1", "   └─ b@2"]


def test_a_renamed_parent_is_found_by_its_weights_and_its_name_by_nobody_else(keep):
    keep("a", "nuclei")
    keep("b", "a@1")
    before = weights_digest(find_model("a@1"))
    assert rename_model("a@1", "first").reference == "first@1"
    assert weights_digest(find_model("first@1")) == before == read_card(find_model("first")).weights_sha256
    assert drawn() == ["nuclei@1", "└─ first@1", "   └─ b@1"]
    # A model from elsewhere with the parent's old name is not the parent.
    keep("other")
    find_model("other").rename(find_model("other").with_name("a@1.safetensors"))
    assert drawn() == ["nuclei@1", "└─ first@1", "   └─ b@1", "a@1"]


def test_cards_that_contradict_each_other_hide_no_model(keep, tmp_path, make_model):
    references = [f"m{index}@1" for index in range(6)]
    rng = random.Random(0)
    for index in range(6):
        ancestors = [Ancestor(reference=rng.choice(references)) for _ in range(rng.randrange(4))]
        path = tmp_path / "x.safetensors"
        make_model(ancestors=ancestors, seed=index).save(path)
        keep_model(path, f"m{index}")
    roots = model_tree(list_models())
    shown = [node.reference for root in roots for node in root.walk() if node.entry and not node.entry.bundled]
    assert sorted(shown) == references


def test_a_version_that_was_used_is_never_given_to_another_model(keep, store):
    for _ in range(3):
        keep("mine")
    remove_model("mine@3")
    assert keep("mine") == "mine@4"
    remove_model("mine")
    assert keep("mine") == "mine@5"
    rename_model("mine@5", "yours")
    assert keep("mine") == "mine@6"
    # Also one that was deleted by hand.
    find_model("mine@6").unlink()
    assert keep("mine") == "mine@7"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"mine": "x", "other": -1}', "[" * 100_000])
def test_a_damaged_ledger_stops_nothing(keep, store, text):
    keep("mine")
    (store / "versions.json").write_text(text)
    assert keep("mine") == "mine@2"
    assert json.loads((store / "versions.json").read_text()) == {"mine": 2}


def test_names_and_descriptions_are_changed_in_the_card(keep):
    keep("a")
    keep("b")
    describe_model("a@1", "Smears of the clinic.")
    assert rename_model("a@1", "b").reference == "b@2"
    card = read_card(find_model("b@2"))
    assert (card.reference, card.description) == ("b@2", "Smears of the clinic.")
    for change, words in (
        (lambda: describe_model("nuclei", "mine now"), "bundled"),
        (lambda: rename_model("nuclei@1", "mine"), "bundled"),
        (lambda: rename_model("b@2", "nuclei"), "bundled"),
        (lambda: rename_model("b@2", "a/b"), "cannot be a model's name"),
        (lambda: rename_model("b@2", "b"), "already"),
        (lambda: rename_model("a@1", "c"), "no model 'a@1'"),
        (lambda: describe_model("b@2", "x" * 3000), "at most 2000"),
    ):
        with pytest.raises(UserError, match=words):
            change()
    assert read_card(find_model("b@2")) == card


def test_check_sets_go_with_their_model_but_not_out_of_the_house(keep, store, tmp_path):
    keep("a", checks=b"planes")
    rename_model("a@1", "b")
    assert checks_path(store / "b@1.safetensors").read_bytes() == b"planes"
    assert not checks_path(store / "a@1.safetensors").exists()
    export_model("b", tmp_path / "out.safetensors")
    assert not checks_path(tmp_path / "out.safetensors").exists()
    export_model("b", tmp_path / "asked.safetensors", with_checks=True)
    entry = import_model(tmp_path / "asked.safetensors", "c")
    assert checks_path(entry.path).read_bytes() == b"planes"
    remove_model("b")
    assert not checks_path(store / "b@1.safetensors").exists()


def test_a_disk_too_full_for_a_check_set_costs_no_model(keep, store, tmp_path, monkeypatch):
    replace = os.replace

    def full(source, target):
        if os.fspath(target).endswith(".npz"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        assert keep("a", checks=b"planes") == "a@1"
    assert not list(tmp_path.glob("candidate*"))
    keep("a", checks=b"planes")
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError, match="a@2 keeps its name"):
        rename_model("a@2", "b")
    assert [file.name for file in sorted(store.glob("*.safetensors"))] == ["a@1.safetensors", "a@2.safetensors"]
    assert checks_path(find_model("a@2")).read_bytes() == b"planes"


def test_check_sets_are_kept_only_where_that_is_wanted(make_model, tmp_path, store):
    path = tmp_path / "candidate.safetensors"
    for wanted in (True, False):
        make_model().save(path)
        checks_path(path).write_bytes(b"planes")
        entry = keep_model(path, "mine", with_checks=wanted)
        assert checks_path(entry.path).is_file() == wanted
        assert not path.exists()
        assert not checks_path(path).exists()
    make_model().save(path)
    checks_path(path).write_bytes(b"planes")
    discard_model(path)
    assert not list(tmp_path.glob("candidate*"))


def test_files_that_cannot_be_read_are_named(keep, store):
    keep("good")
    (store / "bad@2.safetensors").write_bytes(b"PK nothing")
    (damaged,) = scan_models()[1]
    assert damaged.reference == "bad@2"
    assert "can run code" in damaged.reason
    assert "good@1" in [entry.reference for entry in scan_models()[0]]
    (store / "bad@2.safetensors").write_bytes(find_model("good").read_bytes())
    assert scan_models()[1] == []


def test_a_card_without_end_is_not_read(make_model, tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    make_model(training={"note": "x" * 5000}).save(path)
    monkeypatch.setattr(card_module, "MOST_BYTES", 4000)
    with pytest.raises(UserError, match="too large"):
        read_card(path)


def test_a_header_whose_length_looks_like_a_pickle_is_no_pickle(small_model, tmp_path):
    path = tmp_path / "m.safetensors"
    small_model.save(path)
    shortest = int.from_bytes(path.read_bytes()[:8], "little")
    looking_so = [
        n for n in range(0, 1 << 17, 8) if (shortest + n).to_bytes(8, "little").startswith(card_module.PICKLED)
    ]
    assert looking_so
    for length in looking_so:
        card = small_model.card.model_copy(update={"description": "x" * length})
        card_module.copy_with_card(path, tmp_path / "long.safetensors", card)
        assert (tmp_path / "long.safetensors").read_bytes().startswith(card_module.PICKLED)
        assert read_card(tmp_path / "long.safetensors") == card


def test_digests(tmp_path):
    (tmp_path / "short").write_bytes(b"ab")
    assert file_digest(tmp_path / "short").startswith("fb8e20fc2e4c3f24")
    assert weights_digest(tmp_path / "short") == weights_digest(tmp_path / "short")
    with pytest.raises(UserError, match="cannot read"):
        weights_digest(tmp_path / "nowhere")
