"""What files are called tells which planes are of one experiment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_localize.core.errors import UserError
from napari_localize.core.groups import HOLD_BACK, group_planes, groups_by_name, kinds_told, natural

WELLS = [f"{row}{column:02}" for row in "ABCD" for column in (1, 2, 3)]


@pytest.mark.parametrize(
    ("names", "kind", "count"),
    [
        ([f"{well}_f{field:03}.tif" for well in WELLS for field in (1, 2)], "well", 12),
        # Opera, CellVoyager, Cellomics, MetaXpress: as these microscopes write them
        ([f"r{r:02}c{c:02}f{f:02}p01-ch1sk1fk1fl1.tiff" for r in (2, 3) for c in (4, 5) for f in (1, 2)], "well", 4),
        ([f"Exp_{well}_T0001F{field:03}L01A01Z01C01.tif" for well in WELLS for field in (1, 2)], "well", 12),
        ([f"AS_09125_050116030001_{well}f{field:02}d0.TIF" for well in WELLS for field in (0, 1)], "well", 12),
        ([f"screen/{well}_s{site}_w1.tif" for well in WELLS for site in (1, 2)], "well", 12),
        ([f"{well}/img_{number}.png" for well in WELLS for number in (1, 2)], "well", 12),
        ([f"well {well}, {number}.tif" for well in ("A1", "A2", "B1", "B2") for number in (1, 2)], "well", 4),
        # Four plates with their wells: a plate is the coarser unit.
        ([f"plate{plate}/{well}.tif" for plate in range(1, 6) for well in WELLS], "experiment", 5),
        ([f"mouse{animal}_section{section}.tif" for animal in range(1, 6) for section in range(3)], "animal", 5),
        ([f"sub-{animal:02}/ses-01/{number}.tif" for animal in range(1, 7) for number in range(3)], "animal", 6),
        ([f"Patient_{animal} HE {number}.svs" for animal in (3, 7, 12, 40) for number in "ab"], "animal", 4),
        ([f"2024-05-{day:02}/{number}.tif" for day in range(1, 6) for number in range(4)], "experiment", 5),
        ([f"202405{day:02}_cells_{number}.tif" for day in range(11, 16) for number in range(4)], "experiment", 5),
        ([f"{name}/{number}.png" for name in ("control", "drug", "wash", "heat") for number in range(3)], "folder", 4),
        ([f"pos{field}_t{time:03}.tif" for field in range(5) for time in range(8)], "field", 5),
        ([f"m{movie}x.tif#t={time}" for movie in range(6) for time in range(5)], "movie", 6),
        ([f"run.nd2#t={time},p={place}" for place in range(6) for time in range(5)], "field", 6),
        ([f"BloodImage_{number:05}.jpg" for number in range(20)], "image", 20),
        (["one.tif"] + [f"other {number}.tif" for number in "abc"], "image", 4),
        # Too few of anything to hold back whole ones
        ([f"movie.tif#t={time}" for time in range(20)], "blocks", 1),
        ([f"t{time:03}.tif" for time in range(20)], "blocks", 1),
        ([f"cells_z{z}.tif" for z in range(20)], "blocks", 1),
        ([f"{animal}/stack.tif#z={z}" for animal in ("mouse1", "mouse2") for z in range(9)], "blocks", 2),
    ],
)
def test_the_coarsest_unit_of_which_there_are_enough_is_chosen(names, kind, count):
    found = group_planes(names)
    assert (found.kind, found.count) == (kind, count)
    assert len(found.groups) == len(names)
    assert found.why


def test_wells_of_row_c_are_not_taken_for_channels():
    names = [f"{well}_f{field}.tif" for well in WELLS for field in (1, 2)]
    assert len(set(group_planes(names).movies)) == len(names)


def test_a_few_images_from_elsewhere_do_not_matter():
    names = [*(f"{well}.tif" for well in WELLS), "cells"]
    places = [*(f"/tmp/data/plate/{well}.tif" for well in WELLS), ""]
    found = group_planes(names, places)
    assert (found.kind, found.groups) == ("well", (*WELLS, "cells"))


def test_channels_are_not_taken_for_wells():
    names = [f"C{channel}-image{number}.tif" for number in range(3) for channel in (1, 2, 3, 4)]
    assert group_planes(names).kind != "well"


def test_folders_of_time_points_do_not_tear_wells_apart():
    names = [f"t{time}/{well}.tif" for time in range(5) for well in WELLS]
    found = group_planes(names)
    assert (found.kind, found.count) == ("well", 12)
    assert found.groups[0] == found.groups[len(WELLS)]


def test_dates_do_not_tear_animals_apart():
    names = [f"2024-05-{day:02}/mouse{animal}.tif" for day in range(1, 5) for animal in range(1, 7)]
    assert group_planes(names).kind == "animal"


def test_files_tell_what_names_leave_out():
    names = [f"img{number}.tif" for number in range(8)]
    places = [f"/home/mouse9/data/{folder}/img{number}.tif" for number, folder in enumerate("aabbccdd")]
    assert group_planes(names).kind == "image"
    found = group_planes(names, places)
    # The home of the user is above all of them and no animal.
    assert (found.kind, found.groups) == ("folder", tuple("aabbccdd"))
    assert group_planes(names, [place.replace("/", "\\") for place in places]).groups == found.groups


def test_a_choice_is_kept_to():
    names = [f"mouse{animal}/{well}_{number}.tif" for animal in (1, 2) for well in WELLS[:3] for number in (1, 2)]
    for kind, count in {"animal": 2, "folder": 2, "well": 3, "image": 12, "movie": 12}.items():
        found = group_planes(names, hold_back=kind)
        assert (found.kind, found.count) == (kind, count)
        assert "as chosen" in found.why
    assert group_planes(names, hold_back="blocks").kind == "blocks"


def test_a_plane_whose_name_does_not_tell_is_a_group_of_its_own():
    found = group_planes(["A01.tif", "B01.tif", "A01_2.tif", "extra.tif"], hold_back="well")
    assert found.groups == ("A01", "B01", "A01", "extra.tif")


@pytest.mark.parametrize(
    ("kind", "words"),
    [("well", "such as A01"), ("animal", "such as mouse3"), ("folder", "a folder"), ("moon", "one of auto, animal")],
)
def test_what_names_do_not_tell_cannot_be_chosen(kind, words):
    with pytest.raises(UserError, match=words):
        group_planes(["x.tif", "y.tif"], hold_back=kind)


def test_groups_that_somebody_has_named():
    names = ["a/x.tif#t=0", "a/x.tif#t=1", "b/y.tif", "b/z.tif"]
    assert groups_by_name(names, None) is None
    assert groups_by_name(names, [1, 1, 2, 2]) == ["1", "1", "2", "2"]
    by_name = {"a/x.tif#t=1": "late", "x.tif": "early", "b": "other"}
    assert groups_by_name(names, by_name) == ["early", "late", "other", "other"]
    assert group_planes(names, groups=["1", "1", "2", "2"]).kind == "given"
    for groups, words in (([1, 2], "4 planes but 2 groups"), ({"a": "1"}, "'b/y.tif'"), ("abcd", "one for each")):
        with pytest.raises(UserError, match=words):
            groups_by_name(names, groups)
    with pytest.raises(UserError, match="4 planes but 1 groups"):
        group_planes(names, groups=["1"])


part = st.text("abAB_-. 0129#=tzpxyrcfms", max_size=12)


@given(st.lists(st.tuples(part, part, st.integers(0, 3)), min_size=1, max_size=12), st.sampled_from(HOLD_BACK))
def test_any_names_can_be_grouped(parts, hold_back):
    names = [f"{folder}/{file}#t={time}" for folder, file, time in parts]
    try:
        found = group_planes(names, hold_back=hold_back)
    except UserError:
        assert hold_back not in ("auto", "image", "movie", "blocks")
        return
    assert len(found.groups) == len(found.movies) == len(found.frames) == len(names)
    assert all(found.movies)
    if hold_back == "auto" and found.kind not in ("blocks", "image"):
        assert found.count >= 4
    for one, group, movie in zip(names, found.groups, found.movies, strict=True):
        assert all(
            group == found.groups[index] and movie == found.movies[index]
            for index, name in enumerate(names)
            if name == one
        )
    assert found.of([0]).groups == found.groups[:1]


def test_numbers_are_sorted_as_numbers():
    assert sorted(["p10", "p2", "p1", "q"], key=natural) == ["p1", "p2", "p10", "q"]


def test_hashes_tell_no_fields_or_channels():
    hashes = [
        "0b2e702f90aee4ff.png",
        "3852c7e45bd885b9.png",
        "00071198d059ba7f.png",
        "1d02c4f4921e916b.png",
        "f90aee4ff0b2e702.png",
    ]
    found = group_planes(hashes)
    assert found.kind == "image"
    assert set(kinds_told(hashes)) == {"auto", "image", "movie", "blocks"}
    assert len(set(found.groups)) == len(hashes)
    # What numbers the frames beside a hash does, and dates with fields are none.
    frames = group_planes([f"{name[:-4]}_t{time}.png" for name in hashes for time in range(3)])
    assert len(set(frames.movies)) == len(hashes)
    assert (
        group_planes([f"20240101f{field:02}c{channel:02}.tif" for field in range(1, 6) for channel in (1, 2)]).count
        == 5
    )
