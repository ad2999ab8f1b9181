"""Files: annotation formats, and images read piece by piece."""

from __future__ import annotations

from napari_localize.formats.registry import FORMATS, find_format, read_annotations, write_annotations

__all__ = ["FORMATS", "find_format", "read_annotations", "write_annotations"]
