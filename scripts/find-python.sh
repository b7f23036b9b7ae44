# Sourced by the other scripts: finds a Python 3.11 or newer with venv, or says what to install.
find_python() {
    local candidate
    for candidate in "${EDGESWEEP_PYTHON:-}" python3.11 python3.12 python3.13 python3.14 python3; do
        [ -n "$candidate" ] || continue
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "error: Edgesweep needs Python 3.11 or newer with its venv module" >&2
    echo "remedy: install one (Debian: apt-get install python3 python3-venv) or set EDGESWEEP_PYTHON" >&2
    return 2
}

# Finds an interpreter of one version, on PATH or among pyenv's; prints nothing and fails when there is none.
find_version() {
    local candidate
    for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python; do
        if "$candidate" -c "import sys, venv; sys.exit(sys.version_info[:2] != tuple(map(int, '$1'.split('.'))))" 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    return 1
}
