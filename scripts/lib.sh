# shellcheck shell=bash
# What scripts/demo, scripts/test, scripts/lint and .ci/run share. Sourced with the repository's root as the
# working directory; everything said here goes to stderr.

say() { printf '==> %s\n' "$*" >&2; }

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 3
}

# as_root COMMAND…: as root, by sudo where needed (which may ask for a password only at a terminal).
as_root() {
  if ((EUID == 0)); then
    "$@"
  elif [[ -t 0 ]]; then
    sudo "$@"
  else
    sudo -n "$@"
  fi
}

# apt_install WHY PACKAGE…: says what it does before it does it.
apt_install() {
  local why=$1
  shift
  command -v apt-get >/dev/null || die "$why: install $* (or what your system calls them) and run this again"
  ((EUID == 0)) || command -v sudo >/dev/null || die "$why: as root, run: apt-get install $*"
  say "$why; installing with apt-get: $*"
  { as_root apt-get -qq update &&
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$@"; } \
    </dev/null >/dev/null || die "apt-get could not install them; as root, run: apt-get update && apt-get install $*"
}

need_python() {
  command -v python3 >/dev/null || die "there is no python3 here: install Python 3.11 or newer"
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "python3 is $(python3 -c 'import platform; print(platform.python_version())'): install Python 3.11 or newer"
}

# make_venv FOLDER: a virtual environment that works, made anew when the clone was moved or Python changed.
make_venv() {
  local folder=$1
  if [[ -x $folder/bin/python && -x $folder/bin/pip ]] &&
    [[ $("$folder/bin/pip" --version 2>/dev/null) == *"$PWD/$folder/"* ]]; then
    return
  fi
  need_python
  if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    apt_install "python3 has no venv module" python3-venv
  fi
  rm -rf "$folder"
  python3 -m venv "$folder" >&2 || die "python3 -m venv failed: install python3-venv and run this again"
}

# install_into FOLDER PIP_ARGUMENT…: pip install, skipped when nothing changed since the last time.
install_into() {
  local folder=$1 stamp wanted
  shift
  make_venv "$folder"
  stamp=$folder/installed-$(printf '%s' "$*" | cksum | cut -d ' ' -f 1)
  wanted=$(cat pyproject.toml requirements/*.txt | cksum)
  [[ -f $stamp && $(<"$stamp") == "$wanted" ]] && return
  say "installing into $folder (a minute or two the first time)"
  "$folder/bin/python" -m pip --disable-pip-version-check install --quiet "$@" </dev/null >&2 ||
    die "pip could not install into $folder; its message is above"
  printf '%s\n' "$wanted" >"$stamp"
}

# has_server [FLAVOUR]: whether a server with its tools is here; needs the .venv of the package.
has_server() {
  .venv/bin/python - "$@" <<'PYTHON'
import sys

from examples.private_server import find_tools, flavours, PrivateServerError

try:
    sys.exit(0 if all(find_tools(flavour) for flavour in sys.argv[1:] or flavours()) else 1)
except PrivateServerError:
    sys.exit(1)
PYTHON
}

# need_server [FLAVOUR]: programs only; no service is started, none that runs is touched.
need_server() {
  has_server "$@" && return
  apt_install "no ${1:-MySQL or MariaDB} server program with its client tools here" \
    mariadb-server-core mariadb-client
  has_server "$@" || die "there is still no ${1:-MySQL or MariaDB} server with its client tools in the PATH"
}

# need_sysbench: the load of the benchmarks.
need_sysbench() {
  command -v sysbench >/dev/null || apt_install "no sysbench here" sysbench
}
