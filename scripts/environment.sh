#!/usr/bin/env bash
# Make .venv with the extras that are asked for (environment.sh all,testing) and, where this may install
# them, the system libraries that a napari window needs. Cheap when all is there already.
set -euo pipefail
cd "$(dirname "$0")/.."
extras=$1

# Two calls at once would install over each other. macOS has no flock; there nobody waits.
if command -v flock >/dev/null; then
    exec 9>.make.lock
    flock 9
fi

fail() {
    echo "$1" >&2
    exit 1
}

libraries="xvfb xauth libegl1 libgl1 libxkbcommon-x11-0 libdbus-1-3 libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1
    libxcb-shape0 libxcb-xinerama0 libxcb-randr0 libxcb-render-util0 libxcb-image0 libfontconfig1"

install_libraries() {
    command -v dpkg-query >/dev/null || return 0
    local missing=() name
    for name in $libraries; do
        [[ "$(dpkg-query -W -f '${Status}' "$name" 2>/dev/null)" == *" installed" ]] || missing+=("$name")
    done
    [[ ${#missing[@]} -gt 0 ]] || return 0
    if [[ $EUID -eq 0 ]]; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    else
        echo "napari windows need system libraries; install them with: sudo apt-get install ${missing[*]}" >&2
    fi
}

find_python() {
    local name
    for name in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11 python; do
        [[ -n "$name" ]] && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        command -v "$name"
        return
    done
    fail "Python 3.11 or newer was not found; install it, or name it: make test PYTHON=/path/to/python"
}

# One stamp a set of extras; it holds what it was made from.
stamp=".venv/.installed-${extras//,/-}"
wanted=$(cksum <pyproject.toml)
if [[ "$(cat "$stamp" 2>/dev/null)" == "$wanted" ]]; then
    exit 0
fi

install_libraries
if [[ ! -x .venv/bin/python ]]; then
    python=$(find_python)
    "$python" -m venv .venv || fail "$python cannot make environments; on Debian and Ubuntu install python3-venv."
    .venv/bin/python -m pip install --quiet --upgrade pip
fi
echo "installing napari-localize[$extras] into .venv; the first time this takes some minutes"
.venv/bin/python -m pip install --quiet --editable ".[$extras]"
echo "$wanted" >"$stamp"
