"""Quality of the bundled models on test images that took no part in any decision.

    python benchmarks/quality.py --data ../shared/data

One row for each model and data set. AP50 and AP are COCO's, of all boxes; precision, recall, F1 and the error of the
count are at the threshold stored in the model's card. Everything is automatic: no size, no threshold is given.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from napari_localize.models.localizer import load_model
from napari_localize.training import bundled

BARS = {"nuclei": "AP50 0.87, AP 0.60", "blood": "AP50 0.91"}


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["nuclei", "blood", "generalist"])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--part", default="test", choices=["train", "validation", "test"])
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    rows = []
    for name in args.models:
        model = load_model(name, args.device)
        print(f"{name}: {model.device_text}", file=sys.stderr)
        for folder in bundled.RECIPES[name].folders:
            samples = [sample for sample in bundled.load_samples(args.data / folder) if sample.part == args.part]
            if samples[0].sized:
                measured = bundled.measure_on(model, samples)
                rows.append({"model": model.card.reference, "data": folder, "images": len(samples), **measured})
    table = pd.DataFrame(rows)
    table["bar"] = [BARS.get(row["model"].partition("@")[0], "") for row in rows]
    print(table.round(3).to_string(index=False))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
