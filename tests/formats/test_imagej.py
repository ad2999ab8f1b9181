from __future__ import annotations

import zipfile

import numpy as np
import pytest
from roifile import ROI_SUBTYPE, ROI_TYPE, ImagejRoi, roiread, roiwrite

from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.formats import find_format, read_annotations, write_annotations


def area(kind, left, top, right, bottom, **more):
    return ImagejRoi(roitype=kind, left=left, top=top, right=right, bottom=bottom, **more)


def outline(points, kind=ROI_TYPE.POLYGON, **more):
    roi = ImagejRoi.frompoints(points, **more)
    roi.roitype = kind
    return roi


@pytest.fixture
def read(tmp_path):
    """Write regions with roifile and read them."""

    def regions(*rois, name="cells.zip", **options):
        for number, roi in enumerate(rois):
            roi.name = f"{number:04}"
        roiwrite(tmp_path / name, rois[0] if name.endswith(".roi") else rois, mode="w")
        assert find_format(tmp_path / name).name == "imagej"
        return read_annotations(tmp_path / name, **options)

    return regions


def test_rectangles_ovals_and_outlines(read):
    data = read(
        area(ROI_TYPE.RECT, 10, 20, 30, 50),
        area(ROI_TYPE.OVAL, 10, 20, 30, 50, group=3),
        outline([[10, 20], [31, 25], [12, 60]]),
        outline([[10.5, 20.25], [31.5, 25], [12, 60.75]], ROI_TYPE.FREEHAND),
        outline(np.array([[10, 20], [31, 25], [12, 60]]), ROI_TYPE.TRACED),
    )
    assert data["cells"].boxes.tolist() == [
        *[[10, 20, 30, 50], [10, 20, 30, 50], [10, 20, 31, 60], [10.5, 20.25, 31.5, 60.75], [10, 20, 31, 60]]
    ]
    assert data.class_names == ("object", "group 3")


def test_points_lines_and_text(read):
    data = read(
        outline([[10, 20], [40, 20]], ROI_TYPE.POINT),
        outline([[10.5, 60.5]], ROI_TYPE.POINT),
        outline([[1, 1], [5, 5]], ROI_TYPE.POLYLINE),
        ImagejRoi(roitype=ROI_TYPE.LINE, x1=1, y1=1, x2=9, y2=9),
        area(ROI_TYPE.RECT, 1, 1, 9, 9, subtype=ROI_SUBTYPE.TEXT, text="A"),
        point_size=4,
    )
    assert data["cells"].centers.tolist() == [[10.5, 20.5], [40.5, 20.5], [10.5, 60.5]]
    assert data.notes[0] == "Regions left out because they are lines, text or images: 3."


def test_positions_name_the_plane(read):
    data = read(
        area(ROI_TYPE.RECT, 0, 0, 5, 5),
        area(ROI_TYPE.RECT, 0, 0, 5, 5, position=4),
        area(ROI_TYPE.RECT, 0, 0, 5, 5, c_position=1, z_position=2, t_position=3),
    )
    assert list(data) == ["cells", "cells#z=3", "cells#t=2,z=1"]


def test_a_single_region(read):
    assert read(area(ROI_TYPE.RECT, 1, 2, 3, 4), name="0001.roi")["0001"].boxes.tolist() == [[1, 2, 3, 4]]


def test_roifile_reads_what_is_written(tmp_path):
    part = Detections([[1, 2, 11.5, 22], [3, 3, 6, 6]], [1, 0], [0.5, np.nan], class_names=("A/B", "T-\u03b1 "))
    write_annotations(tmp_path / "x.zip", {"s.tif#t=1": part})
    first, second = roiread(tmp_path / "x.zip")
    assert first.name.startswith("1-T-")
    assert (first.roitype, first.subpixelrect) == (ROI_TYPE.RECT, True)
    assert (first.xd, first.yd, first.widthd, first.heightd) == (1, 2, 10.5, 20)
    assert (first.left, first.top, first.right, first.bottom) == (1, 2, 12, 22)
    assert (first.t_position, first.z_position, first.group, second.group) == (2, 0, 2, 1)
    assert first.stroke_color == b"\xff\x56\xb4\xe9"
    assert second.properties["class"] == "A/B"
    assert second.properties["state"] == "added"
    with zipfile.ZipFile(tmp_path / "x.zip") as file:
        assert all("/" not in name and name.endswith(".roi") for name in file.namelist())
    assert read_annotations(tmp_path / "x.zip").class_names == ("T-\u03b1 ", "A/B")


def test_several_images_are_kept_apart_but_said(tmp_path):
    planes = {"a.tif": Detections([[0, 0, 5, 5]]), "b.tif": Detections([[0, 0, 5, 5]])}
    assert "of 2 images" in write_annotations(tmp_path / "x.zip", Annotations(planes))[0]
    assert set(read_annotations(tmp_path / "x.zip")) == set(planes)


def test_files_that_unpack_to_too_much_are_refused(tmp_path, monkeypatch):
    roi = area(ROI_TYPE.RECT, 0, 0, 5, 5).tobytes()
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.roi", roi + bytes(1 << 27))
    assert (tmp_path / "x.zip").stat().st_size < 1 << 20
    with pytest.raises(UserError, match="unpacks to more"):
        read_annotations(tmp_path / "x.zip")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        for number in range(5):
            file.writestr(f"{number}.roi", roi)
    monkeypatch.setattr("napari_localize.formats.imagej._LARGEST_ZIP", 300)
    with pytest.raises(UserError, match="unpacks to more"):
        read_annotations(tmp_path / "x.zip")
    monkeypatch.setattr("napari_localize.formats.imagej._MOST", 3)
    with pytest.raises(UserError, match="has 5 regions"):
        read_annotations(tmp_path / "x.zip")


@pytest.mark.parametrize("name", ["../../up.roi", "/etc/x.roi"])
def test_names_in_a_zip_file_lead_nowhere(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr(name, area(ROI_TYPE.RECT, 0, 0, 5, 5).tobytes())
        file.writestr("readme.txt", "nothing")
    assert {plane: len(part) for plane, part in read_annotations(tmp_path / "x.zip").items()} == {"x": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["x.zip"]


def test_zip_files_of_other_things_are_not_claimed(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr("image.png", b"1")
    assert find_format(tmp_path / "x.zip") is None


@pytest.mark.parametrize("points", [70_000, 5])
def test_regions_that_are_cut_off_are_told(tmp_path, points):
    roi = outline(np.zeros((points, 2)) + np.arange(points)[:, None] % 50)
    content = roi.tobytes()
    (tmp_path / "x.roi").write_bytes(content)
    assert len(read_annotations(tmp_path / "x.roi")["x"]) == 1
    (tmp_path / "x.roi").write_bytes(content[:70])
    with pytest.raises(UserError, match="not a region"):
        read_annotations(tmp_path / "x.roi")
