"""Measurements of objects and planes, as tables to publish."""

from __future__ import annotations

from napari_localize.measurements.measure import measure_plane, measure_planes
from napari_localize.measurements.tables import MeasuredPlane, Measurements, tables

__all__ = ["MeasuredPlane", "Measurements", "measure_plane", "measure_planes", "tables"]
