#!/bin/sh
# Everything: a virtual environment with the pinned peers where there is none, then the comparison.
# Arguments go to compare.py; VENV names the environment's folder.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
venv=${VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/tessera-benchmarks/venv}
if [ ! -x "$venv/bin/python" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
fi
exec "$venv/bin/python" "$here/compare.py" "$@"
