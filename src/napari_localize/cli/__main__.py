"""``python -m napari_localize.cli``, for where the scripts of the environment are not on the path."""

from __future__ import annotations

from napari_localize.cli import main

raise SystemExit(main())
