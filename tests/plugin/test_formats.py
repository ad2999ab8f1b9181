"""All annotation formats through napari's own menus: opened by their name alone, saved by their extension."""

from __future__ import annotations

import numpy as np
import pytest

from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.formats import write_annotations
from napari_localize.plugin.boxes import box_layer
from napari_localize.plugin.readers import get_reader

PART = Detections([[1, 2, 30.25, 40], [50, 60, 70, 80.5]], [0, 1], [0.5, 0.25], class_names=["RBC", "WBC"])
DATA = Annotations({"a.png": PART}, {"a.png": (100, 90)})


@pytest.mark.parametrize("extension", [".json", ".csv", ".geojson", ".zip", ".xml"])
def test_a_layer_is_saved_and_opened_by_its_extension(make_napari_viewer, tmp_path, extension):
    viewer = make_napari_viewer()
    write_annotations(tmp_path / "in.json", DATA)
    (layer,) = viewer.open(tmp_path / "in.json", plugin="napari-localize")
    assert layer.save(str(tmp_path / f"out{extension}"), plugin="napari-localize") == [
        str(tmp_path / f"out{extension}")
    ]
    (again,) = viewer.open(tmp_path / f"out{extension}", plugin="napari-localize")
    np.testing.assert_allclose(box_layer(again).detections().boxes, PART.boxes, atol=0.01)
    np.testing.assert_array_equal(box_layer(again).detections().scores, PART.scores)
    assert list(again.features["class"]) == ["RBC", "WBC"]


def test_what_is_lost_is_said(make_napari_viewer, tmp_path):
    from napari.utils.notifications import notification_manager

    viewer = make_napari_viewer()
    write_annotations(tmp_path / "in.json", DATA)
    (layer,) = viewer.open(tmp_path / "in.json", plugin="napari-localize")
    box_layer(layer).reject([1])
    seen = len(notification_manager.records)
    layer.save(str(tmp_path / "out.zip"), plugin="napari-localize")
    assert "Rejected boxes left out" in notification_manager.records[seen].message


def test_a_yolo_folder_opens_by_its_data_yaml_and_label_files_by_themselves(make_napari_viewer, tmp_path):
    write_annotations(tmp_path / "set", DATA, format="yolo")
    viewer = make_napari_viewer()
    for name in ("data.yaml", "labels/a.txt"):
        (layer,) = viewer.open(tmp_path / "set" / name, plugin="napari-localize")
        assert len(layer.data) == 2


def test_other_files_and_those_of_napari_itself_are_left_alone(tmp_path):
    for name, content in (
        ("shapes.csv", "index,shape-type,vertex-index,axis-0,axis-1\n0,rectangle,0,1,2\n"),
        ("points.csv", "index,axis-0,axis-1\n0,1,2\n"),
        ("x.xml", "<svg/>"),
        ("x.txt", "hello"),
        ("x.yaml", "a: 1"),
        ("x.zip", "PK"),
    ):
        (tmp_path / name).write_text(content)
        assert get_reader(str(tmp_path / name)) is None
    assert get_reader([]) is None
