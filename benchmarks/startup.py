"""How long a user waits: importing, opening the docks, first boxes from a cold and from a warm engine.

    xvfb-run -a python benchmarks/startup.py

Importing is measured in fresh processes. The docks are opened in a real napari window; the boxes are those of the
bundled 512 x 512 sample image, from the click to the finished layer.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import pandas as pd


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    rows = [
        ("import napari_localize", _import_times("import napari_localize", args.repeats)),
        (
            "import the docks, napari loaded",
            _import_times("import napari_localize.widgets.loop", args.repeats, "import napari, napari.viewer"),
        ),
    ]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NAPARI_LOCALIZE_DATA"] = folder
        rows += _in_napari(args.repeats)
    table = pd.DataFrame(
        [(what, statistics.median(values), min(values), max(values)) for what, values in rows],
        columns=["what", "median s", "min s", "max s"],
    )
    print(table.round(3).to_string(index=False))
    return 0


def _import_times(statement: str, repeats: int, before: str = "pass") -> list[float]:
    code = f"{before}\nimport time\nbegan = time.perf_counter()\n{statement}\nprint(time.perf_counter() - began)"
    run = [sys.executable, "-c", code]
    return [float(subprocess.run(run, check=True, capture_output=True, text=True).stdout) for _ in range(repeats)]


def _in_napari(repeats: int) -> list[tuple[str, list[float]]]:
    import napari
    from npe2 import PluginManager
    from qtpy.QtWidgets import QApplication

    from napari_localize.engine import shared_engine
    from napari_localize.plugin.keeping import close_keepers

    viewer = napari.Viewer()
    viewer.open_sample("napari-localize", "nuclei")
    rows: list[tuple[str, list[float]]] = []
    for contribution in PluginManager.instance().get_manifest("napari-localize").contributions.widgets or ():
        display_name = contribution.display_name
        times = []
        for _ in range(repeats):
            began = time.perf_counter()
            dock, _ = viewer.window.add_plugin_dock_widget("napari-localize", display_name)
            QApplication.processEvents()
            times.append(time.perf_counter() - began)
            viewer.window.remove_dock_widget(dock)
            QApplication.processEvents()
        rows.append((f"open {display_name}", times))

    _, widget = viewer.window.add_plugin_dock_widget("napari-localize", "Localize")
    cold = []
    for _ in range(repeats):
        shared_engine().release()
        cold.append(_seconds_of(widget.run, widget))
    warm = [_seconds_of(widget.run, widget) for _ in range(repeats)]
    viewer.close()
    close_keepers()
    rows.append(("first boxes, cold engine", cold))
    return [*rows, ("boxes again, warm engine", warm)]


def _seconds_of(click: Callable[[], object], widget: object) -> float:
    from qtpy.QtWidgets import QApplication

    began = time.perf_counter()
    click()
    while widget.busy:  # type: ignore[attr-defined]
        QApplication.processEvents()
        time.sleep(0.001)
    return time.perf_counter() - began


if __name__ == "__main__":
    raise SystemExit(main())
