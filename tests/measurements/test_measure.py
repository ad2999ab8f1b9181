from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

import napari_localize as nl
from napari_localize.core.errors import Cancelled
from napari_localize.measurements import measure_plane
from napari_localize.measurements.neighbors import nearest_neighbors, nearest_of_same_class

IMAGE = np.random.default_rng(0).integers(0, 200, (60, 80)).astype(np.uint8)
CELLS = nl.Detections(
    [[10, 10, 20, 20], [30, 10, 40, 22], [30, 40, 41, 50], [60, 40, 70, 50]],
    labels=[0, 0, 1, 0],
    scores=[0.9, 0.8, np.nan, 0.3],
    ids=[7, 3, 9, 4],
    class_names=("RBC", "WBC"),
    states=["proposed", "accepted", "added", "rejected"],
)


def test_a_row_for_each_object_in_its_order():
    table = nl.measure(IMAGE, CELLS, pixel_size=0.5).objects
    assert table["id"].tolist() == [7, 3, 9]
    assert table["class"].tolist() == ["RBC", "RBC", "WBC"]
    assert table["state"].tolist() == ["proposed", "accepted", "added"]
    np.testing.assert_allclose(table["score"], [0.9, 0.8, np.nan], rtol=1e-6)
    assert table["x_px"].tolist() == [15, 35, 35.5]
    assert table["y_um"].tolist() == [7.5, 8, 22.5]
    assert table["width_px"].tolist() == [10, 10, 11]
    assert table["height_um"].tolist() == [5, 6, 5]
    assert table["area_px2"].tolist() == [100, 120, 110]
    assert table["area_um2"].tolist() == [25, 30, 27.5]
    assert table["pixels"].tolist() == [100, 120, 110]
    assert table["integrated_ch0"].tolist() == [
        IMAGE[10:20, 10:20].sum(),
        IMAGE[10:22, 30:40].sum(),
        IMAGE[40:50, 30:41].sum(),
    ]
    first = math.hypot(20, 1)
    np.testing.assert_allclose(table["nearest_neighbor_px"], [first, first, math.hypot(0.5, 29)])
    np.testing.assert_allclose(table["nearest_same_class_um"], [first / 2, first / 2, np.nan])
    np.testing.assert_allclose(
        table["corrected_ch0"], table["integrated_ch0"] - table["background_ch0"] * table["pixels"]
    )


def test_a_row_for_each_plane():
    (row,) = nl.measure(IMAGE, CELLS, pixel_size=0.5).planes.to_dict("records")
    assert row == pytest.approx(
        {
            "reviewed": "unmarked",
            "pixel_size_um": 0.5,
            "area_px2": 4800,
            "area_mm2": 0.0012,
            "count": 3,
            "density_per_mm2": 2500,
            "count_RBC": 2,
            "density_RBC_per_mm2": 2 / 0.0012,
            "count_WBC": 1,
            "density_WBC_per_mm2": 1 / 0.0012,
        }
    )


def test_only_reviewed_area_is_counted():
    result = nl.measure(
        IMAGE, CELLS, pixel_size=1, reviewed=[[0, 0, 50, 60], [25, 0, 99, 16]], ignored=[[0, 0, 16, 16]]
    )
    assert result.objects["counted"].tolist() == [False, True, True]
    row = result.planes.iloc[0]
    assert row["area_px2"] == 50 * 60 + 30 * 16 - 256
    assert (row["count"], row["count_RBC"], row["count_WBC"]) == (2, 1, 1)
    assert row["density_per_mm2"] == pytest.approx(2e6 / row["area_px2"])


def test_without_any_area_there_is_no_density():
    row = nl.measure(IMAGE, CELLS, pixel_size=1, reviewed=[]).planes.iloc[0]
    assert (row["area_px2"], row["count"]) == (0, 0)
    assert math.isnan(row["density_per_mm2"])


def test_without_a_pixel_size_nothing_is_in_micrometres():
    result = nl.measure(IMAGE, CELLS)
    assert result.objects.filter(regex="_um2?$").isna().all(axis=None)
    assert result.planes[["pixel_size_um", "area_mm2", "density_per_mm2"]].isna().all(axis=None)


def test_the_part_inside_of_the_image_is_measured():
    outside = nl.Detections([[-10, -10, 6, 4], [70, 50, 200, 200], [90, 10, 99, 20]])
    inside = nl.Detections([[0, 0, 6, 4], [70, 50, 80, 60]])
    table = nl.measure(IMAGE, outside).objects
    pd.testing.assert_frame_equal(table[:2].drop(columns="id"), nl.measure(IMAGE, inside).objects.drop(columns="id"))
    lost = table.iloc[2]
    assert (lost["counted"], lost["pixels"], lost["background_pixels"]) == (False, 0, 0)
    assert lost.drop(["id", "class", "state", "counted", "pixels", "background_pixels"]).isna().all()


def test_crowded_boxes_have_no_background():
    y, x = np.mgrid[0:60:10, 0:80:10].reshape(2, -1)
    crowd = nl.Detections(np.stack([x, y, x + 10, y + 10], axis=1))
    table = nl.measure(IMAGE, crowd).objects
    assert table["background_ch0"].isna().all()
    assert table["corrected_ch0"].isna().all()
    assert table["integrated_ch0"].sum() == IMAGE.sum()


def test_a_rejected_box_is_neither_neighbour_nor_in_the_way():
    alone, far = [[10, 10, 20, 20]], [[[10, 10, 20, 20], [18, 10, 28, 20]]][0]
    rejected = nl.Detections(far, states=["added", "rejected"])
    found = nl.measure(IMAGE, rejected).objects
    pd.testing.assert_frame_equal(found, nl.measure(IMAGE, nl.Detections(alone)).objects)


def test_a_stack_by_its_indices():
    stack = np.stack([IMAGE, IMAGE + 1, IMAGE + 2])
    other = nl.Detections([[1, 1, 4, 4]], class_names=["platelet"])
    result = nl.measure(stack, {(2,): CELLS, (0,): other}, axes="TYX", reviewed={(2,): [[0, 0, 80, 60]]})
    assert result.planes["t"].tolist() == [2, 0]
    assert result.planes["count"].tolist() == [3, 0]
    assert result.planes["count_platelet"].tolist() == [0, 0]
    assert result.objects["t"].tolist() == [2, 2, 2, 0]
    alone = nl.measure(stack[2], CELLS).objects
    pd.testing.assert_frame_equal(result.objects[:3].drop(columns="t"), alone)


def test_colours_and_names(tmp_path):
    picture = np.stack([IMAGE, IMAGE // 2, 255 - IMAGE], axis=-1)
    tifffile.imwrite(tmp_path / "p.tif", picture, photometric="rgb")
    table = nl.measure(tmp_path / "p.tif", CELLS, channel_names=["red", "green", "blue"]).objects
    for channel, name in enumerate(["red", "green", "blue"]):
        alone = nl.measure(picture[..., channel], CELLS).objects
        for what in ("mean", "integrated", "background", "corrected"):
            np.testing.assert_array_equal(table[f"{what}_{name}"], alone[f"{what}_ch0"])


def test_nothing_found():
    result = nl.measure(IMAGE, nl.Detections.empty(["RBC"]))
    assert len(result.objects) == 0
    assert result.planes[["count", "count_RBC"]].to_numpy().tolist() == [[0, 0]]
    assert list(result.objects) == list(nl.measure(IMAGE, CELLS).objects)
    nothing = nl.measure(np.stack([IMAGE] * 2), {}, axes="TYX")
    assert len(nothing.objects) == len(nothing.planes) == 0


@pytest.mark.parametrize(
    ("image", "boxes", "settings", "says"),
    [
        (IMAGE, CELLS, {"pixel_size": 0}, "pixel size"),
        (IMAGE, CELLS, {"pixel_size": math.nan}, "pixel size"),
        (IMAGE, CELLS, {"channel_names": ["a", "b"]}, "2 channel names"),
        (IMAGE, CELLS, {"channel_names": "a"}, "list of names"),
        (np.zeros((9, 9, 2)), CELLS, {"channel_names": ["a", "a"]}, "name of its own"),
        (IMAGE, CELLS, {"reviewed": [1, 2, 3]}, "rectangles"),
        (np.zeros((2, 9, 9)), CELLS, {"axes": "TYX"}, "2 planes"),
        (np.zeros((2, 9, 9)), {(2,): CELLS}, {"axes": "TYX"}, r"plane \(2,\)"),
        (np.zeros((2, 9, 9)), {(0,): CELLS}, {"axes": "TYX", "reviewed": [[0, 0, 1, 1]]}, "by index"),
        (np.zeros((2, 9, 9)), [CELLS], {"axes": "TYX"}, "by index"),
    ],
)
def test_a_wrong_call_gets_one_sentence(image, boxes, settings, says):
    with pytest.raises(nl.UserError, match=says) as error:
        nl.measure(image, boxes, **settings)
    assert str(error.value).endswith(".")


points = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 2)), max_size=30)


@settings(deadline=None)
@given(points)
def test_the_nearest_of_all_pairs(rows):
    centers = np.array([row[:2] for row in rows], float).reshape(-1, 2)
    labels = np.array([row[2] for row in rows], np.int64)
    apart = np.linalg.norm(centers[:, None] - centers[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    for found, distances in (
        (nearest_neighbors(centers), apart),
        (nearest_of_same_class(centers, labels), np.where(labels[:, None] == labels, apart, np.inf)),
    ):
        expected = distances.min(axis=1, initial=np.inf)
        np.testing.assert_allclose(found, np.where(np.isinf(expected), np.nan, expected))


def test_saved_tables_are_read_back(tmp_path):
    boxes = nl.Detections([[0.1, 0.2, 12.4, 9.3]], class_names=["Zelle, weiß"])
    result = nl.measure(IMAGE, boxes, pixel_size=0.25, channel_names=["dapi_px"])
    result.save(tmp_path / "objects.csv", tmp_path / "planes.csv")
    objects = pd.read_csv(tmp_path / "objects.csv", encoding="utf-8")
    assert list(objects) == list(result.objects)
    assert ",12.3," in (tmp_path / "objects.csv").read_text(encoding="utf-8")
    assert objects["class"].tolist() == ["Zelle, weiß"]
    assert objects["mean_dapi_px"][0] == result.objects["mean_dapi_px"][0]
    np.testing.assert_allclose(objects["area_um2"], result.objects["area_um2"])
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "planes.csv", encoding="utf-8"), result.planes)


def test_neither_table_is_written_where_one_cannot_be(tmp_path):
    result = nl.measure(IMAGE, CELLS)
    (tmp_path / "planes.csv").write_text("mine")
    with pytest.raises(nl.UserError, match="exists already"):
        result.save(tmp_path / "objects.csv", tmp_path / "planes.csv")
    with pytest.raises(nl.UserError, match="both tables"):
        result.save(tmp_path / "a.csv", tmp_path / "a.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["planes.csv"]
    result.save(tmp_path / "objects.csv", tmp_path / "planes.csv", overwrite=True)
    assert len(pd.read_csv(tmp_path / "planes.csv")) == 1


def test_the_table_says_what_a_person_has_reviewed():
    stack = np.stack([IMAGE] * 4)
    boxes = {(t,): CELLS for t in range(4)}
    planes = nl.measure(stack, boxes, axes="TYX", reviewed={(0,): None, (1,): [[0, 0, 25, 60]], (2,): []}).planes
    assert planes["reviewed"].tolist() == ["plane", "areas", "nothing", "nothing"]
    assert planes["area_px2"].tolist() == [4800, 1500, 0, 0]
    assert planes["count"].tolist() == [3, 1, 0, 0]
    whole = nl.measure(stack, boxes, axes="TYX", ignored={(0,): [[0, 0, 25, 60]]}).planes
    assert whole["reviewed"].tolist() == ["unmarked"] * 4
    assert whole["count"].tolist() == [2, 3, 3, 3]


def test_the_pixel_size_of_a_file_holds_unless_another_is_given(tmp_path):
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, IMAGE, imagej=True, resolution=(4, 4), metadata={"unit": "um"})
    assert nl.measure(path, CELLS).planes["pixel_size_um"].tolist() == [0.25]
    assert nl.measure(path, CELLS, pixel_size=2).planes["pixel_size_um"].tolist() == [2]
    tifffile.imwrite(path, IMAGE, imagej=True, resolution=(4, 2), metadata={"unit": "um"})
    with pytest.warns(UserWarning, match=r"0\.25 µm wide and 0\.5 µm high"):
        assert nl.measure(path, CELLS).planes["pixel_size_um"].isna().all()


def test_measuring_a_huge_plane_can_be_stopped_after_any_tile():
    class Huge:
        shape = (50_000, 50_000, 1)
        reads = 0

        def read(self, y0, y1, x0, x1):
            self.reads += 1
            return np.zeros((y1 - y0, x1 - x0, 1), np.uint8)

    def stop(done, total):
        if done == 3:
            assert total > 50
            raise Cancelled

    corners = np.stack([np.arange(0, 49_000, 250)] * 2, axis=1)
    plane = Huge()
    with pytest.raises(Cancelled):
        measure_plane(plane, nl.Detections(np.hstack([corners, corners + 20])), on_tile=stop)
    assert plane.reads == 3
