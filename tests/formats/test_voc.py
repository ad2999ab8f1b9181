from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from napari_localize.core.annotations import Annotations
from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.formats import find_format, read_annotations, write_annotations

LABELIMG = """<annotation>
	<folder>images</folder>
	<filename>{name}</filename>
	<path>/home/someone/images/{name}</path>
	<source>
		<database>Unknown</database>
	</source>
	<size>
		<width>640</width>
		<height>480</height>
		<depth>3</depth>
	</size>
	<segmented>0</segmented>
	<object>
		<name>RBC</name>
		<pose>Unspecified</pose>
		<truncated>0</truncated>
		<difficult>0</difficult>
		<bndbox>
			<xmin>78</xmin>
			<ymin>336</ymin>
			<xmax>184</xmax>
			<ymax>435</ymax>
		</bndbox>
	</object>
	<object>
		<name>
			T cell
		</name>
		<polygon><x1>1</x1></polygon>
	</object>
</annotation>
"""


def test_a_file_of_labelimg(tmp_path):
    (tmp_path / "a.xml").write_text(LABELIMG.format(name="a.jpg"))
    data = read_annotations(tmp_path / "a.xml")
    assert data["a.jpg"].boxes.tolist() == [[78, 336, 184, 435]]
    assert data.class_names == ("RBC",)
    assert data.sizes == {"a.jpg": (480, 640)}
    assert data["a.jpg"].states.tolist() == ["added"]
    assert data.notes == ["Boxes left out because they have no bndbox: 1."]


def test_a_folder_of_files_in_the_usual_places(tmp_path):
    for file in ("Annotations/a.xml", "Annotations/plate/a.xml"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(LABELIMG.format(name="a.jpg"))
    (tmp_path / "Annotations" / "z.xml").write_text("<other/>")
    data = read_annotations(tmp_path)
    assert list(data) == ["a.jpg", "plate/a.jpg"]
    assert "Files left out because they are not VOC annotations: 1." in data.notes
    assert find_format(tmp_path / "Annotations").name == "voc"


def test_torchvision_reads_what_is_written(tmp_path):
    from torchvision.datasets import VOCDetection

    part = Detections([[1, 2, 11.5, 22], [3, 3, 6, 6]], [0, 1], [0.5, np.nan], class_names=("A & B", "<C>"))
    write_annotations(tmp_path / "x.xml", Annotations({"s.tif#t=1": part}, {"s.tif#t=1": (64, 32)}))
    found = VOCDetection.parse_voc_xml(ElementTree.parse(tmp_path / "x.xml").getroot())["annotation"]
    assert found["filename"] == "s.tif"
    assert found["size"] == {"width": "32", "height": "64", "depth": "1"}
    assert [item["name"] for item in found["object"]] == ["A & B", "<C>"]
    assert found["object"][0]["bndbox"] == {"xmin": "1.0", "ymin": "2.0", "xmax": "11.5", "ymax": "22.0"}


def test_sizes_come_from_the_images_that_are_given(tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("L", (30, 20)).save(tmp_path / "images" / "a.png")
    write_annotations(tmp_path / "x.xml", {"a.png": Detections([[1, 1, 4, 4]])}, images=tmp_path / "images")
    assert read_annotations(tmp_path / "x.xml").sizes == {"a.png": (20, 30)}


def test_a_file_holds_one_image_and_a_folder_all(tmp_path):
    planes = {"a/x.png": Detections([[0, 0, 5, 5]]), "b/x.png": Detections.empty(), "../x.png": Detections.empty()}
    with pytest.raises(UserError, match="one image, but there are 3"):
        write_annotations(tmp_path / "x.xml", planes)
    write_annotations(tmp_path / "out", planes, format="voc")
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.xml")) == [
        *["out/a/x.xml", "out/b/x.xml", "out/x.xml"]
    ]
    assert set(read_annotations(tmp_path / "out")) == set(planes)


def test_a_folder_is_replaced_only_when_that_is_asked_for_and_loses_nothing_else(tmp_path):
    planes = {"a.png": Detections([[0, 0, 5, 5]])}
    out = tmp_path / "out"
    write_annotations(out, planes, format="voc")
    with pytest.raises(UserError, match="exists already"):
        write_annotations(out, planes, format="voc")
    write_annotations(out, {"b.png": planes["a.png"]}, format="voc", overwrite=True)
    assert [file.name for file in out.iterdir()] == ["b.xml"]
    (out / "b.png").write_bytes(b"mine")
    with pytest.raises(UserError, match=r"b\.png would be lost"):
        write_annotations(out, planes, format="voc", overwrite=True)
    assert sorted(file.name for file in out.iterdir()) == ["b.png", "b.xml"]
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('<!DOCTYPE a [<!ENTITY x "y">]><annotation>&x;</annotation>', "document type"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation></annotation>', "document type"),
        ("<annotation>" + "<a>" * 500, "too deeply"),
        ("<annotation><object>", "not valid XML"),
        ("<annotation>&lol;</annotation>", "not valid XML"),
        ('<?xml version="1.0" encoding="no-such"?><annotation/>', "not valid XML"),
    ],
)
def test_hostile_and_broken_files_give_a_sentence(tmp_path, content, sentence):
    (tmp_path / "x.xml").write_text(content)
    with pytest.raises(UserError, match=sentence):
        read_annotations(tmp_path / "x.xml", format="voc")


def test_what_xml_cannot_hold_is_told(tmp_path):
    with pytest.raises(UserError, match="rename it"):
        write_annotations(tmp_path / "x.xml", {"a\x01.png": Detections([[0, 0, 5, 5]])})
    assert list(tmp_path.iterdir()) == []
