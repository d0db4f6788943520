# shellcheck shell=sh
# Read by the scripts of this checkout: its virtual environment .venv, and --help, which prints a script's first lines.
#
#   $root      the checkout
#   $python    the interpreter of .venv
#   $PYTHON    may name the interpreter that .venv is made with

case ${1:-} in -h | --help)
    sed -n '/^#!/d; /^#/!q; s/^# \{0,1\}//p' "$0"
    exit
    ;;
esac

unset CDPATH PIP_PREFIX PIP_TARGET PIP_USER PYTHONHOME PYTHONPATH # what a site sets must not get into our environment
root=$(cd -- "$(dirname -- "$0")/.." && pwd -P)
python=$root/.venv/bin/python

say() { printf '==> %s\n' "$*"; }

fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# Run a command; what it prints is shown only if it fails, which ends everything.
quietly() {
    if ! printed=$("$@" 2>&1 </dev/null); then
        printf '%s\n' "$printed" >&2
        fail "this failed: $*"
    fi
}

is_debian_root() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

apt_install() {
    say "installing with apt-get: $*"
    quietly apt-get -o Acquire::Retries=3 update
    quietly env DEBIAN_FRONTEND=noninteractive \
        apt-get -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends "$@"
}

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

makes_environments() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

# Print the first Python that will do; fail if there is none.
find_python() {
    if [ -n "${PYTHON:-}" ]; then
        set -- "$PYTHON"
    else
        set -- python3 python3.14 python3.13 python3.12 python3.11 python
    fi
    incomplete=
    for candidate; do
        is_new_enough "$candidate" || continue
        if makes_environments "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
        incomplete=${incomplete:-$(command -v "$candidate")}
    done
    [ -n "$incomplete" ] || fail "Python 3.11 or later is needed, and none of these is one: $*" \
        "(PYTHON=/path/to/python names another)"
    fail "$incomplete cannot make virtual environments, since it has no venv or no ensurepip;" \
        "on Debian and Ubuntu: apt-get install python3-venv"
}

make_environment() {
    if ! (find_python >/dev/null 2>&1) && [ -z "${PYTHON:-}" ] && is_debian_root && is_new_enough /usr/bin/python3; then
        apt_install python3-venv
    fi
    base=$(find_python)
    say "making the virtual environment .venv with $("$base" --version)"
    quietly "$base" -m venv --clear "$root/.venv"
}

# install EXTRA...: this checkout with these extras is in .venv, as pyproject.toml asks for it now, and on PATH.
install() {
    wanted="$root $(cksum <"$root/pyproject.toml")"
    complete=yes
    for extra; do
        [ "$(cat "$root/.venv/installed-$extra" 2>/dev/null)" = "$wanted" ] || complete=
    done
    if ! "$python" -c 'import pip' >/dev/null 2>&1; then
        make_environment
        complete=
    fi
    if [ -z "$complete" ]; then
        extras=$(IFS=, && printf '%s' "$*")
        say "installing hpc_connect[$extras] into .venv"
        (cd -- "$root" && quietly "$python" -m pip install --editable ".[$extras]")
        for extra; do
            printf '%s\n' "$wanted" >"$root/.venv/installed-$extra"
        done
    fi
    # Python does not keep the bytecode of what is started with PYTHONDONTWRITEBYTECODE, which makes starts slow.
    quietly "$python" -m compileall -q "$root/src"
    export PATH="$root/.venv/bin:$PATH"
}
