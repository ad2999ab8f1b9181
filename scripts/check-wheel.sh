#!/usr/bin/env bash
# Build sdist and wheel, unpack the wheel where nothing else of ours is, and let npe2 check it there.
# The dependencies come from the environment of the Python that is given, so nothing is downloaded twice.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
dist=${2:-dist}

rm -rf "$dist"
"$python" -m build --outdir "$dist" . >/dev/null
target=$(mktemp -d)
trap 'rm -rf "$target"' EXIT
"$python" -m pip install --quiet --no-deps --no-compile --target "$target" "$dist"/*.whl

cd "$target" # not the checkout, whose folders would be found first
export PYTHONPATH=$target
"$python" - <<'END'
import os
import pathlib

import napari_localize

package = pathlib.Path(napari_localize.__file__).parent
assert package.is_relative_to(os.environ["PYTHONPATH"]), f"checked {package}, not the wheel"
for needed in ("napari.yaml", "py.typed", "icon.svg", "sample_data/SOURCES.md", "sample_data/annotations.json"):
    assert (package / needed).is_file(), f"{needed} is missing in the wheel"
END
"$python" -m npe2 validate napari-localize --imports
echo "the wheel in $dist is sound"
