from __future__ import annotations

import numpy as np
import pytest

from napari_localize.core.errors import UserError
from napari_localize.formats import find_format, read_annotations, write_annotations

FILE = """<?xml version="1.0" encoding="UTF-8"?>
<TrackMate version="7.11.1">
  <Log>TrackMate v7.11.1 started</Log>
  <Model spatialunits="micron" timeunits="frame">
    <AllSpots nspots="3">
      <SpotsInFrame frame="0">
        <Spot ID="12" name="a" QUALITY="{q0}" POSITION_X="10.0" POSITION_Y="5.0" POSITION_Z="{z}" FRAME="0" RADIUS="2.0"
          VISIBILITY="1" />
        <Spot ID="13" name="b" QUALITY="0.5" POSITION_X="3.0" POSITION_Y="3.0" POSITION_Z="0.0" FRAME="0" RADIUS="2.0"
          VISIBILITY="0" />
      </SpotsInFrame>
      <SpotsInFrame frame="1" />
      <SpotsInFrame frame="2">
        <Spot ID="14" name="c" QUALITY="-1.0" POSITION_X="10.25" POSITION_Y="8.0" POSITION_Z="0.0" FRAME="2"
          RADIUS="9.0" VISIBILITY="1" ROI_N_POINTS="4">-1.0 -0.5 1.0 -0.5 1.0 0.5 -1.0 0.5</Spot>
      </SpotsInFrame>
    </AllSpots>
  </Model>
  <Settings>
    <ImageData filename="movie.tif" folder="" width="100" height="80" nslices="{slices}" nframes="3" pixelwidth="0.5"
      pixelheight="0.5" voxeldepth="2.0" timeinterval="1.0" />
  </Settings>
</TrackMate>
"""


@pytest.fixture
def save(tmp_path):
    def write(q0="0.75", z="0.0", slices="1", **changes):
        text = FILE.format(q0=q0, z=z, slices=slices)
        for old, new in changes.items():
            text = text.replace(old, new)
        path = tmp_path / "movie.xml"
        path.write_text(text)
        return path

    return write


def test_visible_spots_become_boxes_in_pixels_and_empty_frames_are_kept(save):
    assert find_format(save()).name == "trackmate"
    data = read_annotations(save())
    assert {name: len(part) for name, part in data.items()} == {
        "movie.tif#t=0": 1,
        "movie.tif#t=1": 0,
        "movie.tif#t=2": 1,
    }
    # The spot at 10 um is in the middle of pixel 20, which spans 20 to 21.
    assert data["movie.tif#t=0"].boxes.tolist() == [[16.5, 6.5, 24.5, 14.5]]
    assert data["movie.tif#t=2"].boxes.tolist() == [[19, 15.5, 23, 17.5]]
    assert data["movie.tif#t=0"].ids.tolist() == [12]
    assert data.sizes["movie.tif#t=1"] == (80, 100)
    assert data["movie.tif#t=0"].scores.tolist() == [0.75]
    assert np.isnan(data["movie.tif#t=2"].scores).all()
    assert data.notes == ["Spots left out because they are filtered out in TrackMate: 1."]


def test_qualities_that_are_no_probabilities_are_no_scores(save):
    assert np.isnan(read_annotations(save(q0="37.5"))["movie.tif#t=0"].scores).all()


def test_depth_gives_the_slice(save):
    assert "movie.tif#t=0,z=3" in read_annotations(save(z="6.1", slices="9"))


@pytest.mark.parametrize("value", ["0", "-1"])
def test_an_impossible_calibration_is_told(save, value):
    path = save()
    path.write_text(path.read_text().replace('pixelwidth="0.5"', f'pixelwidth="{value}"'))
    with pytest.raises(UserError, match="calibrate"):
        read_annotations(path)


def test_it_is_only_read(tmp_path):
    with pytest.raises(UserError, match="only read"):
        write_annotations(tmp_path / "x.xml", {}, format="trackmate")
