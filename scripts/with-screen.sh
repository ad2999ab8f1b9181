#!/usr/bin/env bash
# Run a command on a virtual screen where there is no real one.
set -euo pipefail
if [[ "$(uname)" != Linux || -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]]; then
    exec "$@"
fi
if ! command -v xvfb-run >/dev/null; then
    echo "there is no screen here, and no xvfb-run to make a virtual one; install the packages xvfb and xauth" >&2
    exit 1
fi
exec xvfb-run -a -s "-screen 0 1600x1000x24" "$@"
