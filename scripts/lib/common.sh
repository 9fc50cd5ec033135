# Words that the scripts share; sourced, never run.
# It knows how to speak, where things are kept and how to ask Debian for packages; it knows nothing of Rust, wasm or Kafka.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CACHE=${SANGAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sangam}

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "$(basename "$0"): $*"
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

# True when the first version is the second or newer: `at_least 1.95.0 1.95`.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# need_packages WHY PACKAGE... : has Debian install what is missing, or says what a person must install.
need_packages() {
    local why=$1 missing=() package as_root=()
    shift
    have apt-get || fail "$why: please install what Debian calls: $*"
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    if [ "$(id -u)" -ne 0 ]; then
        have sudo || fail "$why: run as root: apt-get install ${missing[*]}"
        as_root=(sudo)
    fi
    say "installing ${missing[*]} ($why)"
    apt_install "${missing[@]}" && return
    # The package lists of a fresh image are empty, those of an old one point to files that are gone.
    "${as_root[@]}" apt-get update -qq || fail "$why: apt-get update failed; install ${missing[*]} yourself"
    apt_install "${missing[@]}" || fail "$why: apt-get could not install ${missing[*]}: $(tail -n 3 "${TMPDIR:-/tmp}/sangam-apt.$UID.log")"
}

apt_install() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" \
        >"${TMPDIR:-/tmp}/sangam-apt.$UID.log" 2>&1
}
