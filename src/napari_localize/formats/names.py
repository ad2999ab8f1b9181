"""Names of files for planes, safe on every system."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath

from napari_localize.core.annotations import split_plane_name

_UNSAFE = re.compile(r"[^\w.()+@,= -]")
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)
_LONGEST = 180


def file_stems(planes: Iterable[str]) -> dict[str, str]:
    """Return a relative path without extension for each plane: ``a/b`` for ``a/b.tif``, ``m_t3`` for ``m.tif#t=3``.

    No two are equal, not even on systems that do not tell capitals apart, and none leads out of its folder or is
    a name that some system forbids.
    """
    stems: dict[str, str] = {}
    taken: set[str] = set()
    for plane in planes:
        file, position = split_plane_name(plane)
        path = PurePosixPath(file.replace("\\", "/"))
        parts = [*path.parts[:-1], path.stem + "".join(f"_{axis}{index}" for axis, index in position.items())]
        stem = "/".join(safe_name(part) for part in parts if part.strip("/. ")) or "plane"
        unique, number = stem, 1
        while _key(unique) in taken:
            number += 1
            unique = f"{stem}_{number}"
        taken.add(_key(unique))
        stems[plane] = unique
    return stems


def safe_name(name: str) -> str:
    """Return a name without characters that some system forbids in a file name."""
    text = _UNSAFE.sub("_", unicodedata.normalize("NFC", name)).lstrip(".")
    text = text.encode()[:_LONGEST].decode(errors="ignore").rstrip(". ") or "_"
    return f"_{text}" if _DEVICES.match(text) else text


def _key(stem: str) -> str:
    return unicodedata.normalize("NFC", stem.casefold())
