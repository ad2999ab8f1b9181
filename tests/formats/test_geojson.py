from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.formats import find_format, read_annotations, write_annotations

SQUARE = [[[10, 20], [30, 20], [30, 50], [10, 50], [10, 20]]]


def feature(coordinates=SQUARE, kind="Polygon", object_type="detection", name=None, **more):
    """Return an object as QuPath exports it."""
    properties = {"objectType": object_type, **more}
    if name:
        properties["classification"] = {"name": name, "color": [200, 0, 0]}
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "id": "b1e9-1", "geometry": geometry, "properties": properties}


@pytest.fixture
def read(tmp_path):
    def from_features(*features, name="slide.geojson", wrap=True, **options):
        content = {"type": "FeatureCollection", "features": list(features)} if wrap else list(features)
        (tmp_path / name).write_text(json.dumps(content))
        assert find_format(tmp_path / name).name == "geojson"
        return read_annotations(tmp_path / name, **options)

    return from_features


@pytest.mark.parametrize("wrap", [True, False])
def test_what_qupath_exports(read, wrap):
    cell = feature(
        name="Tumor: Positive", object_type="cell", measurements={"Area": 600.0, "Detection probability": 0.75}
    )
    cell["nucleusGeometry"] = {"type": "Polygon", "coordinates": SQUARE}
    old = feature(name="Tumor", measurements=[{"name": "Area", "value": 9}, {"name": "Score", "value": 0.5}])
    derived = feature()
    derived["properties"]["classification"] = {"names": ["Tumor", "Negative"], "color": [1, 2, 3]}
    region = feature([[[0, 0], [999, 0], [999, 999], [0, 0]]], object_type="annotation")
    data = read(region, cell, old, derived, wrap=wrap)
    part = data["slide"]
    assert part.boxes.tolist() == [[10, 20, 30, 50]] * 3
    assert data.class_names == ("Tumor: Positive", "Tumor", "Tumor: Negative")
    np.testing.assert_array_equal(part.scores, np.array([0.75, 0.5, np.nan], np.float32))
    assert [note.rsplit(": ")[-1] for note in data.notes] == ["1."]
    assert "regions and not objects" in data.notes[0]


def test_annotations_alone_are_objects_and_points_get_squares(read):
    data = read(
        feature(object_type="annotation"),
        feature([[SQUARE[0]], [[[50, 60], [70, 60], [70, 61], [50, 60]]]], "MultiPolygon", "annotation", name="B"),
        feature([40.5, 60.5], "Point", "annotation", name="B"),
        feature([[1, 1]], "LineString", "annotation", name="B"),
        feature([], "Polygon", "annotation"),
        point_size=10,
    )
    assert data["slide"].boxes.tolist()[:3] == [[10, 20, 30, 50], [10, 20, 70, 61], [35.5, 55.5, 45.5, 65.5]]
    assert data.class_names == ("object", "B")
    assert any("square of 10 pixels" in note for note in data.notes)
    assert any("neither" in note or "no place" in note for note in data.notes)


def test_positions_and_the_image_beside_the_file(read, tmp_path):
    Image.new("L", (60, 80)).save(tmp_path / "slide.tif")
    one, two = feature(), feature()
    two["geometry"]["plane"] = {"c": -1, "z": 3, "t": 0}
    data = read(one, two)
    assert list(data) == ["slide.tif#z=0", "slide.tif#z=3"]
    assert data.sizes == dict.fromkeys(data, (80, 60))


def test_the_first_plane_that_qupath_does_not_name_is_named_as_the_others(read, tmp_path):
    first, later, deeper = feature(), feature(), feature()
    later["geometry"]["plane"] = {"c": -1, "z": 0, "t": 2}
    deeper["geometry"]["plane"] = {"c": -1, "z": 1, "t": 0}
    assert list(read(first, later, deeper)) == ["slide#t=0,z=0", "slide#t=2,z=0", "slide#t=0,z=1"]
    # The image beside the file tells its axes where the objects do not.
    tifffile.imwrite(tmp_path / "slide.tif", np.zeros((3, 2, 80, 60), np.uint8), metadata={"axes": "TZYX"})
    assert list(read(first, later)) == ["slide.tif#t=0,z=0", "slide.tif#t=2,z=0"]


def test_what_qupath_adds_to_our_planes_of_a_stack_lies_on_one_of_them(tmp_path):
    names = ["movie.tif#z=1,t=2", "movie.tif#z=0,t=0"]
    write_annotations(tmp_path / "x.geojson", Annotations(dict.fromkeys(names, Detections([[0, 0, 5, 5]]))))
    content = json.loads((tmp_path / "x.geojson").read_text())
    content["features"].append(feature(object_type="annotation", name="new"))
    (tmp_path / "x.geojson").write_text(json.dumps(content))
    data = read_annotations(tmp_path / "x.geojson")
    assert {name: len(part) for name, part in data.items()} == dict(zip(names, (1, 2), strict=True))


def test_shapely_and_geojson_read_what_is_written(tmp_path):
    import geojson
    import shapely

    part = Detections([[1, 2, 11.5, 22], [3, 3, 6, 6]], [0, 1], [0.5, np.nan], class_names=('A "1"', "B"))
    write_annotations(tmp_path / "x.geojson", {"s.tif#t=1": part})
    collection = geojson.loads((tmp_path / "x.geojson").read_text())
    assert collection.is_valid
    shapes = [shapely.geometry.shape(item["geometry"]) for item in collection["features"]]
    assert [shape.bounds for shape in shapes] == [(1, 2, 11.5, 22), (3, 3, 6, 6)]
    first, second = (item["properties"] for item in collection["features"])
    assert (first["objectType"], second["objectType"]) == ("detection", "annotation")
    assert first["classification"] == {"name": 'A "1"', "color": [230, 159, 0]}
    assert first["measurements"] == {"Score": 0.5}
    assert all(isinstance(value, str) for value in first["metadata"].values())
    assert collection["features"][0]["geometry"]["plane"] == {"c": -1, "z": 0, "t": 1}


def test_what_qupath_adds_to_our_objects_is_of_the_same_image(tmp_path):
    write_annotations(tmp_path / "x.geojson", {"cells.tif": Detections([[0, 0, 5, 5]])})
    content = json.loads((tmp_path / "x.geojson").read_text())
    content["features"].append(feature(object_type="annotation", name="new"))
    del content["napari_localize"]
    (tmp_path / "y.geojson").write_text(json.dumps(content))
    assert {name: len(part) for name, part in read_annotations(tmp_path / "y.geojson").items()} == {"cells.tif": 2}


def test_several_images_are_kept_apart_but_said(tmp_path):
    planes = {"a.tif": Detections([[0, 0, 5, 5]]), "b.tif": Detections([[0, 0, 5, 5]])}
    notes = write_annotations(tmp_path / "x.geojson", Annotations(planes))
    assert "of 2 images" in notes[0]
    assert set(read_annotations(tmp_path / "x.geojson")) == set(planes)


@pytest.mark.parametrize(
    "odd",
    [
        5,
        None,
        {"type": "Feature"},
        {"type": "Feature", "geometry": 3, "properties": [1]},
        feature([[["a", "b"]]]),
        feature([[[1e400, 0], [10**400, 1]]]),
        feature(measurements="x", metadata=3, classification=7),
        feature(measurements={"score": "high"}, metadata={"id": -4, "state": 5, "plane": {}}),
    ],
)
def test_odd_objects_are_left_out_or_read_without_the_odd_part(read, odd):
    data = read(odd, feature(name="A"))
    assert sum(map(len, data.values())) in (1, 2)


def test_files_that_are_none_are_told(tmp_path):
    (tmp_path / "x.geojson").write_text('{"type": "FeatureCollection", "features": {}}')
    with pytest.raises(UserError, match="not a list"):
        read_annotations(tmp_path / "x.geojson")
    (tmp_path / "x.geojson").write_text('{"type": "FeatureCollection", "features": [' + "[" * 100_000)
    with pytest.raises(UserError, match=r"nested|valid JSON"):
        read_annotations(tmp_path / "x.geojson")
