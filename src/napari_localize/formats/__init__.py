"""Files: annotation formats, and images read piece by piece."""

from __future__ import annotations

from napari_localize.formats.registry import FORMATS, find_format, read_annotations, writable_formats, write_annotations

__all__ = ["FORMATS", "find_format", "read_annotations", "writable_formats", "write_annotations"]
