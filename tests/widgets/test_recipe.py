from __future__ import annotations

import pytest

from napari_localize.core.recipe import RecipeChoices
from napari_localize.core.settings import TrainSettings
from napari_localize.widgets import retrain
from napari_localize.widgets._recipe import RecipeSection


@pytest.fixture
def section(qtbot):
    section = RecipeSection()
    qtbot.addWidget(section)
    return section


def test_every_part_is_automatic_until_it_is_chosen(section):
    assert section.choices == RecipeChoices()
    assert set(section.parts) == set(RecipeChoices.__dataclass_fields__)
    assert all(choice.currentText() == "automatic" for choice in section.parts.values())


def test_all_that_is_offered_can_be(section):
    for field, choice in section.parts.items():
        for index in range(choice.count()):
            choice.setCurrentIndex(index)
            assert getattr(section.choices, field) == choice.itemData(index)
        choice.setCurrentIndex(0)


def test_the_heading_counts_what_was_chosen_and_all_can_be_automatic_again(section):
    assert "automatic" in section._head.text()
    section.parts["average"].setCurrentText("no")
    section.parts["head_first"].setCurrentText("first 20 %")
    assert "2 of" in section._head.text()
    assert section.choices == RecipeChoices(average=False, head_first=0.2)
    section.reset()
    assert section.choices == RecipeChoices()
    assert "automatic" in section._head.text()


def test_the_dock_hands_the_choices_on_and_says_what_was_chosen(dock, squares, viewer, engine, monkeypatch, finish):
    from napari_localize.core.detections import Detections
    from napari_localize.plugin.boxes import box_layer
    from napari_localize.plugin.layers import new_box_layer
    from napari_localize.plugin.pairs import pair

    widget = dock(retrain.RetrainWidget)
    widget.base.choose("plain@1")
    image = viewer.add_image(squares, name="cells")
    layer = new_box_layer(image, ("small", "large"))
    pair(layer, image)
    viewer.add_layer(layer)
    boxes = box_layer(layer)
    found = Detections([[5, 5, 13, 13], [60, 50, 80, 70]], [0, 1], [0.9, 0.8], class_names=("small", "large"))
    boxes.set_proposals({(): found}, "plain@1")
    boxes.reject([next(iter(boxes.shown()))])
    boxes.finish(())
    given = {}
    real = engine.train

    def train(sources, annotations, settings: TrainSettings, **options):
        given.update(settings=settings, annotations=annotations)
        return real(sources, annotations, settings, **options)

    monkeypatch.setattr(engine, "train", train)
    widget.recipe.parts["norm"].setCurrentText("frozen")
    widget.train()
    finish(widget)
    assert given["settings"].choices == RecipeChoices(norm="frozen")
    assert sorted(given["annotations"][0].states.tolist()) == ["accepted", "rejected"]
    # What was chosen automatically stands in the rows; what a person chose is not called automatic.
    parts = {"object_diameter": 35.6, "average": True, "norm": "frozen", "most_steps": 700, "crop_side": 96}
    widget._on_news({"event": "message", "text": "Recipe: <all> layers.", "recipe": parts})
    assert "Recipe: &lt;all&gt;" in widget.recipe.told.text()
    said = {field: choice.itemText(0) for field, choice in widget.recipe.parts.items()}
    assert said["object_diameter"] == "automatic: 36 px"
    assert said["average"] == "automatic: yes"
    assert said["most_steps"] == "automatic: 700"
    assert said["norm"] == said["patience"] == "automatic"
    assert widget.recipe.choices == RecipeChoices(norm="frozen")
