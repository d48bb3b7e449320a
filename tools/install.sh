#!/bin/sh
# SPDX-License-Identifier: MIT
# Install what is missing: `tools/install.sh build` for the program, `tools/install.sh test` for the tests too.
# Looks for the things themselves (a command, a pkg-config module), not for packages: where all is there, nothing is
# installed and no network is needed.
set -eu

what=${1:-build}
missing=

need()
{
    missing="$missing $1"
}

# On a gcc without the C library's headers nothing compiles, so a compiler is one that builds a program.
compiles()
{
    out=$(mktemp) && printf 'int main(void) { return 0; }\n' | ${CC:-gcc} -x c -o "$out" - >/dev/null 2>&1
    status=$?
    rm -f "$out"
    return $status
}

module()
{
    command -v pkg-config >/dev/null 2>&1 && pkg-config --exists "$1"
}

numpy()
{
    for python in python3 /usr/bin/python3; do
        "$python" -c 'import numpy' >/dev/null 2>&1 && return 0
    done
    return 1
}

compiles || need "gcc libc6-dev"
command -v make >/dev/null 2>&1 || command -v ninja >/dev/null 2>&1 || need make
command -v cmake >/dev/null 2>&1 || need cmake
command -v pkg-config >/dev/null 2>&1 || need pkg-config
module jansson || need libjansson-dev
module yajl || need libyajl-dev
module libpcre2-8 || need libpcre2-dev
module libutf8proc || need libutf8proc-dev
module libxxhash || need libxxhash-dev
module 'libcrypto >= 3' || need libssl-dev
module libedit || need libedit-dev
module libcurl || need libcurl4-openssl-dev
module libevent_openssl || need libevent-dev
case $what in
build)
    ;;
test)
    module cmocka || need libcmocka-dev
    [ -f /usr/share/i18n/locales/de_DE ] || need locales # test_locale makes a locale with a decimal comma
    numpy || need "python3 python3-numpy"
    for tool in zsh fish mandoc; do # completions and manual; without them their tests are skipped
        command -v $tool >/dev/null 2>&1 || need $tool
    done
    command -v man >/dev/null 2>&1 || need "man-db groff-base"
    command -v g++ >/dev/null 2>&1 || command -v clang++ >/dev/null 2>&1 || need g++ # is tare.h C++ too?
    ;;
*)
    echo "usage: tools/install.sh [build|test]" >&2
    exit 2
    ;;
esac

[ -n "$missing" ] || exit 0

install="apt-get install -y --no-install-recommends$missing"
if ! command -v apt-get >/dev/null 2>&1; then
    echo "tare needs these (Debian's names):$missing" >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    as=
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    as="sudo -n"
else
    echo "Some packages are missing. Please type this, then try again:" >&2
    echo "    sudo apt-get update && sudo $install" >&2
    exit 1
fi
echo "installing:$missing" >&2
log=$(mktemp)
# shellcheck disable=SC2086 # words, on purpose
if ! { $as apt-get update && $as env DEBIAN_FRONTEND=noninteractive $install; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    echo "could not install:$missing" >&2
    exit 1
fi
rm -f "$log"
