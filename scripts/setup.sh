#!/bin/sh
# Makes .venv beside this folder and installs the pinned dependencies and the project into it.
set -eu
cd "$(dirname "$0")/.."
PYTHON="${PYTHON:-python3}"
UV_VERSION=0.13.9

"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Python 3.11 or newer is needed; $PYTHON is $("$PYTHON" --version). Set PYTHON=/path/to/python3.11." >&2
    exit 1
}
[ -x .venv/bin/python ] || "$PYTHON" -m venv .venv || {
    echo "The venv module is missing; on Debian: apt-get install python3-venv" >&2
    exit 1
}
[ -x .venv/bin/uv ] || .venv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$UV_VERSION"
.venv/bin/uv pip install --quiet --python .venv/bin/python -r requirements.txt -r requirements-dev.txt
.venv/bin/uv pip install --quiet --python .venv/bin/python --no-deps --editable .
