from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

import napari_localize as nl
from napari_localize.core.detections import Detections
from napari_localize.core.errors import UserError
from napari_localize.core.findings import Finding
from napari_localize.evaluation import pictures
from napari_localize.evaluation.html import page
from napari_localize.evaluation.pictures import picture, planes_from
from napari_localize.evaluation.svg import Axis, Line, line_plot

HOSTILE = "<script>alert('x')</script>\"&.png"


class Reader(HTMLParser):
    """Every tag must be closed, and nothing may be run or fetched."""

    EMPTY = ("meta", "img", "circle", "line", "polyline")

    def __init__(self):
        super().__init__()
        self.open, self.text, self.sources = [], [], []

    def handle_starttag(self, tag, attrs):
        assert tag not in ("script", "link", "iframe", "object", "embed", "form")
        for name, value in attrs:
            assert not name.startswith("on")
            if name in ("src", "href", "data"):
                self.sources.append(value)
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in self.EMPTY

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    return reader


@pytest.fixture
def hostile():
    """Names of planes and classes that would be run if they were not escaped."""
    classes = ("</table><script>1</script>", "b&<b>")
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 100, (30, 2)).astype(np.float32)
    true = Detections(np.hstack([corner, corner + 12]), rng.integers(0, 2, 30), class_names=classes)
    found = Detections(true.boxes + 2, true.labels, rng.random(30), class_names=classes, origins=["<i>@1"] * 30)
    names = [HOSTILE, "../../etc/passwd", *(f"{number}.png" for number in range(5))]
    return dict.fromkeys(names, found), dict.fromkeys(names, true)


def test_a_page_holds_the_numbers_and_escapes_all_names(hostile):
    image = np.random.default_rng(0).integers(0, 4000, (120, 130)).astype(np.uint16)
    report = nl.report(*hostile, images={HOSTILE: image}, title="<b>Title</b>")
    reader = read(page(report))
    assert all(source.startswith("data:image/jpeg;base64,") for source in reader.sources)
    assert len(reader.sources) == 1
    text = " ".join(reader.text)
    assert HOSTILE in text
    assert "</table><script>1</script>" in text
    assert "<b>Title</b>" in text
    for number in (report.ap50, report.all.f1, report.intervals["F1"].low, report.all.average_precision[5]):
        assert f"{number:.3f}" in text
    assert report.methods in text
    assert report.command in text
    assert report.receipt["data"]["annotations"]["boxes_sha256"] in text


def test_a_page_of_points_and_one_of_nothing():
    true = {"p": Detections([[0, 0, 9, 9]], class_names=("spot",))}
    assert "too far off" in page(nl.report(true, true, distance=3, pixel_size=0.2))
    read(page(nl.report({}, {"p": Detections.empty()})))


def test_it_is_written_whole_and_never_over_something(tmp_path, hostile):
    report = nl.report(*hostile, tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    read(text)
    with pytest.raises(UserError, match="exists already"):
        report.save(tmp_path / "r.html")
    with pytest.raises(UserError, match="exists already"):
        nl.report(*hostile, tmp_path / "r.html")
    report.save(tmp_path / "r.html", overwrite=True)
    with pytest.raises(UserError, match="does not exist"):
        report.save(tmp_path / "no" / "r.html")
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


def test_a_name_that_is_no_text_stops_nothing(tmp_path):
    name = b"\xff.png".decode(errors="surrogateescape")
    report = nl.report({}, {name: Detections([[0, 0, 9, 9]])}, tmp_path / "r.html")
    report.save_receipt(tmp_path / "r.json")
    assert (tmp_path / "r.html").read_text(encoding="utf-8")


def test_names_lead_to_no_file_outside_of_the_folder(tmp_path):
    from PIL import Image

    (tmp_path / "images").mkdir()
    Image.new("L", (20, 20)).save(tmp_path / "images" / "a.png")
    Image.new("L", (20, 20)).save(tmp_path / "secret.png")
    found = planes_from(tmp_path / "images", ["a.png", "../secret.png", str(tmp_path / "secret.png"), "b.png"])
    assert list(found) == ["a.png"]
    (tmp_path / "images" / "a.png").write_bytes(b"no picture")
    assert planes_from(tmp_path / "images", ["a.png"]) == {}
    with pytest.raises(UserError, match="not a folder"):
        planes_from(tmp_path / "none", ["a.png"])


class Huge:
    """A plane that must not be read whole."""

    shape = (50_000, 60_000, 2)

    def read(self, y0, y1, x0, x1):
        assert (y1 - y0) * (x1 - x0) <= pictures.WINDOW**2
        self.read_at = (x0, y0, x1, y1)
        return np.full((y1 - y0, x1 - x0, 2), np.nan)


def test_of_a_huge_plane_the_part_that_is_wrong_is_shown():
    plane = Huge()
    url = picture(plane, [Finding("p", (40_000.0, 100.0, 40_020.0, 120.0), "missed", "")], [])
    x0, y0, x1, y1 = plane.read_at
    assert x0 < 40_000 < x1
    assert (y0, y1) == (0, pictures.WINDOW)
    assert len(url) < 200_000


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 400, 3), (64, 64, 5)])
def test_planes_of_any_kind_become_pictures(shape):
    for kind in (np.uint8, bool, np.float32):
        pixels = np.random.default_rng(0).integers(0, 2, shape).astype(kind)
        assert picture(planes_from({"p": pixels}, ["p"])["p"], [], [(0, 0, 1, 1)]).startswith("data:image/jpeg")


def test_plots_escape_names_and_leave_out_what_is_not_a_number():
    text = line_plot(
        [Line("<x>", [0, 0.5, 1], [0, float("nan"), 1], "#000000"), Line("y", [], [], "#000000")], Axis("<a>"), Axis("")
    )
    assert "&lt;x&gt;" in text
    assert "<a>" not in text
    assert "nan" not in text
    assert re.search(r'points="[\d.]+,[\d.]+ [\d.]+,[\d.]+"', text)
