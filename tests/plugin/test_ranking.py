"""Which planes of a project are best finished next."""

from __future__ import annotations

import numpy as np
import pytest

from napari_localize.core.detections import Detections
from napari_localize.core.errors import Cancelled
from napari_localize.models.card import read_card
from napari_localize.models.registry import find_model
from napari_localize.plugin.ranking import rank_project
from napari_localize.project import open_project

CARD = read_card(find_model("nuclei"))


def guesses(*scores, size=10):
    corners = np.array([(20 * n, 0, 20 * n + size, size) for n in range(len(scores))], float).reshape(-1, 4)
    return Detections(corners, scores=np.array(scores, float), class_names=("nucleus",))


@pytest.fixture
def project(tmp_path):
    with open_project(tmp_path / "plate", create=True) as project:
        for name in "abcdefgh":
            project.add_array(name, (100, 400), "YX")
        project.add_array("film", (3, 100, 400), "TYX")
        yield project


def order(project):
    """The planes that are not drawn by lot, by name."""
    names = {image.id: image for image in project.images()}
    ranked = rank_project(project, project.images())
    return [names[one.image].plane_name(one.index) for one in ranked if one.reason != "lot"]


def test_planes_of_doubt_come_first_and_every_fifth_is_drawn_by_lot(project):
    for name in "abcdefgh":
        project.propose(name, guesses(0.99, 0.99, 0.98), CARD.reference)
    project.propose("e", guesses(*[CARD.threshold + 0.01] * 6), CARD.reference)
    project.propose("film#t=1", guesses(*[CARD.threshold + 0.01] * 12), CARD.reference)
    ranked = rank_project(project, project.images())
    assert len(ranked) == 11
    assert len({(one.image, one.index) for one in ranked}) == 11
    assert [one.reason for one in ranked].count("lot") == 2
    assert order(project)[:2] == ["film#t=1", "e"]
    # Planes where nothing was found come last.
    assert set(order(project)[-2:]) <= {"film#t=0", "film#t=2", *"abcdfgh"}


def test_what_is_finished_judged_or_hidden_does_not_count(project):
    doubt = guesses(*[CARD.threshold + 0.02] * 5)
    for name in "abcd":
        project.propose(name, doubt, CARD.reference)
    project.propose("e", guesses(*[CARD.threshold - 0.1] * 15), CARD.reference)
    with project.edit("work") as edit:
        edit.finish("a")
        edit.accept(project.detections("b").ids)
    project.image("c").set_filter((0.999, (0.0, np.inf)))
    project.propose("f", guesses(*[CARD.threshold + 0.02] * 9), CARD.reference)
    project.image("f").set_filter((0.0, (20.0, np.inf)))
    with project.edit("finish all but one") as edit:
        edit.finish("film#t=0")
        edit.finish("film#t=1")
        edit.finish("film#t=2")
    names = order(project)
    assert names[0] == "d"
    assert "a" not in names
    project.image("e").set_filter((0.0, (0.0, np.inf)))
    assert order(project)[:2] == ["e", "d"]
    with project.edit("finish") as edit:
        for name in "bcdefgh":
            edit.finish(name)
    assert rank_project(project, project.images()) == []


def test_models_that_are_not_installed_count_by_what_the_project_knows_of_them(project):
    project.add_model("far@1", "0" * 64, {"threshold": 0.8})
    project.propose("a", guesses(0.99, 0.99), "far@1")
    project.propose("b", guesses(0.81, 0.82), "far@1")
    project.propose("c", guesses(0.5, 0.5, 0.5), "far@1")
    assert order(project)[:2] == ["b", "a"]


def test_it_can_be_stopped(project):
    def stop(done, total):
        assert total == 9
        raise Cancelled

    with pytest.raises(Cancelled):
        rank_project(project, project.images(), stop)
