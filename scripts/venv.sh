#!/bin/sh
# Make .venv with everything that development needs, at the versions of constraints.txt.
# PYTHON=... chooses the interpreter; else the first Python 3.11 or later on the path is taken.
set -eu
cd "$(dirname "$0")/.."
venv=.venv

say() { printf '%s\n' "$*" >&2; }
die() { say "setup: $*"; exit 1; }

recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        recent "$PYTHON" || die "PYTHON=$PYTHON is not Python 3.11 or later"
        command -v "$PYTHON"
        return
    fi
    for name in python3.11 python3.12 python3 python3.13 python3.14 python; do
        if command -v "$name" >/dev/null 2>&1 && recent "$name"; then command -v "$name"; return; fi
    done
    die "Python 3.11 or later is needed and none is on the path (set PYTHON=/path/to/python3)"
}

# Debian ships venv without pip unless python3-venv is installed, so there are other ways before giving up.
make_venv() {
    "$1" -m venv --clear $venv >/dev/null 2>&1 && return
    "$1" -m virtualenv --clear $venv >/dev/null 2>&1 && return
    command -v virtualenv >/dev/null 2>&1 && virtualenv -p "$1" --clear $venv >/dev/null 2>&1 && return
    command -v uv >/dev/null 2>&1 && uv venv -q --seed --clear -p "$1" $venv && return
    if "$1" -m pip --version >/dev/null 2>&1 && "$1" -m venv --without-pip --clear $venv >/dev/null 2>&1; then
        "$1" -m pip --python $venv/bin/python install -q pip && return
    fi
    rm -rf $venv
    die "$1 can make no virtual environment: install python3-venv (apt-get install python3-venv) or virtualenv"
}

python=$(find_python)
if ! { [ -x $venv/bin/python ] && recent $venv/bin/python && $venv/bin/python -m pip --version >/dev/null 2>&1; }; then
    say "setup: making $venv with $python ($("$python" --version 2>&1))"
    make_venv "$python"
fi
say "setup: installing what constraints.txt pins (once, and again when it or pyproject.toml changes)"
# Python compiles what it imports; pip would compile all there is, most of which nobody ever imports.
$venv/bin/python -m pip install -q --no-compile --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
touch $venv/.ready
