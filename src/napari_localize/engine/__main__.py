"""The engine's child process; started by `napari_localize.engine.client`."""

from __future__ import annotations

import sys

from napari_localize.engine.jobs import JOBS, prepare
from napari_localize.engine.server import serve

if __name__ == "__main__":
    if sys.stdin is not None and sys.stdin.isatty():
        sys.exit("This is napari-localize's engine, which napari starts by itself; use 'napari-localize' instead.")
    serve(JOBS, prepare)
