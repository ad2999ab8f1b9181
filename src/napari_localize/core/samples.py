"""Where the sample images are. `SOURCES.md` beside them says where they come from."""

from __future__ import annotations

from pathlib import Path

from napari_localize.core.errors import UserError

ANNOTATIONS = "annotations.json"
"""The true boxes of all samples, COCO, beside the images."""


def sample_folder() -> Path:
    """Return the folder of the sample images: in the installed package, or at the top of a checkout.

    Raises
    ------
    UserError
        When it is at neither place.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "sample_data", package.parents[1] / "sample_data"):
        if (folder / ANNOTATIONS).is_file():
            return folder
    raise UserError(f"the sample images are missing beside {package}; install napari-localize again.")
