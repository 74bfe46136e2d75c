# Sourced by demo and check, from the repository's root: makes the virtual environment, or finds it up to date.
#
#   LABAN_VENV  its folder (default .venv)      PYTHON  the interpreter to make it with (default: a search)

unset PYTHONHOME PYTHONPATH
PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONNOUSERSITE=1
export PIP_USER PIP_DISABLE_PIP_VERSION_CHECK PYTHONNOUSERSITE
if [ -z "${HOME:-}" ]; then
    HOME=$PWD/.cache/home
    export HOME
fi
venv=${LABAN_VENV:-.venv}

say() {
    printf '%s\n' "$*" >&2
}

fail() {
    say "$*"
    exit 1
}

find_python() {
    for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3.12 python3.13 python3 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    fail "No Python 3.11 or newer found. Install one, or name it: PYTHON=/path/to/python3.11 sh ./demo"
}

make_venv() {
    python=$(find_python) || exit 1
    say "Making $venv with $("$python" --version 2>&1)"
    # Only a folder that already is a virtual environment is ever emptied.
    if [ -f "$venv/pyvenv.cfg" ]; then clear=--clear; else clear=; fi
    # shellcheck disable=SC2086
    "$python" -m venv $clear "$venv" || fail "$python cannot make a virtual environment here;" \
        "on Debian and Ubuntu its venv module is a package of its own (python3-venv)"
}

# What an installed environment depends on. The folder is part of it, because scripts in it hold absolute paths.
fingerprint() {
    { cat pyproject.toml constraints.txt laban/__init__.py && pwd && "$venv/bin/python" --version; } | cksum
}

# use_environment EXTRAS: `laban` with these extras in $venv; a second call that changes nothing is instant.
use_environment() {
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 || make_venv
    stamp="$venv/laban-$1.stamp"
    if ! [ -f "$stamp" ] || [ "$(cat "$stamp")" != "$(fingerprint)" ]; then
        install_laban "$1"
        fingerprint >"$stamp"
        rm -f "$venv/laban-setup.stamp"
    fi
    if ! [ -f "$venv/laban-setup.stamp" ]; then
        if "$venv/bin/laban" setup; then
            : >"$venv/laban-setup.stamp"
        else
            say "(Neither generating motion nor the tests need that, so this goes on; the next run tries again.)"
        fi
    fi
}

install_laban() {
    if [ -t 1 ]; then quiet=; else quiet=--quiet; fi
    say "Installing into $venv (several minutes the first time)"
    # PyTorch goes first and alone, so that nothing else decides which build of it is taken.
    # shellcheck disable=SC2086
    "$venv/bin/python" -m pip install $quiet -c constraints.txt torch &&
        "$venv/bin/python" -m pip install $quiet -c constraints.txt -e ".[$1]" ||
        fail "The installation failed; the lines above say why. Run the same command again to go on."
}
