"""A recipe can be chosen in parts, and what cannot be is said in one sentence."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from napari_localize.core.errors import UserError
from napari_localize.core.recipe import RecipeChoices
from napari_localize.core.settings import TrainSettings


def test_everything_is_automatic_until_it_is_chosen():
    assert RecipeChoices().as_dict() == {}
    assert RecipeChoices.of({"head_first": "auto", "norm": None}) == RecipeChoices()


def test_words_are_read():
    read = RecipeChoices.parse(
        [
            "head-first=0.3",
            "norm=Frozen",
            "learning_rate=1e-3",
            "average=no",
            "invert=yes",
            "patience=4",
            "augmentation=strong",
            "crop_side=160",
            "copy_paste=auto",
        ]
    )
    assert read.as_dict() == {
        "head_first": 0.3,
        "norm": "frozen",
        "learning_rate": 0.001,
        "augmentation": "strong",
        "invert": True,
        "crop_side": 160,
        "average": False,
        "patience": 4,
    }


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("head_first", "NAME=VALUE"),
        ("=3", "NAME=VALUE"),
        ("head_first=", "NAME=VALUE"),
        ("speed=3", "no part 'speed'"),
        ("head_first=0.9", "from 0 to 0.8"),
        ("head_first=nan", "from 0 to 0.8"),
        ("copy_paste=often", "from 0 to 1"),
        ("learning_rate=0", "from 1e-06 to 0.1"),
        ("patience=1.5", "a whole number"),
        ("norm=half", "frozen or updated"),
        ("invert=perhaps", "yes or no"),
        ("crop_side=100", "96, 128"),
        ("augmentation=none", "weak, medium or strong"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(word, message):
    with pytest.raises(UserError, match=message) as caught:
        RecipeChoices.parse([word])
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_a_part_is_given_once():
    with pytest.raises(UserError, match="twice"):
        RecipeChoices.parse(["patience=1", "patience=2"])


def test_settings_carry_the_choices_through_a_dictionary():
    settings = TrainSettings(recipe={"head-first": 0.25, "average": False})
    assert settings.choices == RecipeChoices(head_first=0.25, average=False)
    assert TrainSettings(**asdict(settings)) == settings
    assert TrainSettings().choices == RecipeChoices()
