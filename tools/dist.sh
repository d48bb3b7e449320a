#!/bin/sh
# SPDX-License-Identifier: MIT
# dist.sh [FOLDER] [MACHINE..]: one static program for each machine (x86_64, aarch64; both without arguments), with fable in
# it, that runs on any Linux of that machine: FOLDER/tare-VERSION-linux-MACHINE. Each is run before it counts, in qemu
# where it is for another machine, and must say what the others say.
#
# Debian: the machine's own libraries come from the system (tools/install.sh build), those of the other one are fetched into
# FOLDER, so nothing is installed. Needs gcc-aarch64-linux-gnu and qemu-user for a foreign machine.
set -eu

cd "$(dirname "$0")/.."
out=${1:-build-dist}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- x86_64 aarch64
mkdir -p "$out"
out=$(cd "$out" && pwd)
version=$(sed -n 's/^project(tare VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
generator=$(command -v ninja >/dev/null 2>&1 && echo -GNinja || true)
rm -f "$out"/tare-*-linux-* "$out"/said-*

fail()
{
    echo "dist: $*" >&2
    exit 1
}

debian_name() # of a machine
{
    case $1 in
    x86_64) echo amd64 ;;
    aarch64) echo arm64 ;;
    *) fail "knows x86_64 and aarch64, not $1" ;;
    esac
}

# Debian's packages for another machine, taken apart in a folder. apt-get works in a folder of its own.
sysroot() # machine
{
    name=$(debian_name "$1") root=$out/sysroot-$1
    [ ! -e "$root/complete" ] || return 0
    rm -rf "$root" "$out/apt"
    mkdir -p "$root" "$out/apt/lists/partial" "$out/apt/cache/archives/partial" "$out/apt/packages"
    own=$(dpkg --print-architecture)
    apt="apt-get -q -o Dir::State::lists=$out/apt/lists -o Dir::Cache=$out/apt/cache -o APT::Architectures::=$own
         -o APT::Architectures::=$name -o APT::Sandbox::User=root"
    # shellcheck disable=SC2086 # words, on purpose
    $apt update >"$out/apt/log" 2>&1 || { tail -n 5 "$out/apt/log" >&2; fail "cannot read Debian's lists"; }
    wanted=
    for package in libjansson-dev libyajl-dev libpcre2-dev libutf8proc-dev libxxhash-dev libssl-dev libedit-dev libncurses-dev \
        libbsd-dev libmd-dev libevent-dev; do
        wanted="$wanted $package:$name"
    done
    # shellcheck disable=SC2086
    (cd "$out/apt/packages" && $apt download $wanted >"$out/apt/log" 2>&1) ||
        { tail -n 5 "$out/apt/log" >&2; fail "cannot fetch the libraries of $1"; }
    for package in "$out"/apt/packages/*.deb; do
        dpkg -x "$package" "$root"
    done
    touch "$root/complete"
}

build() # machine
{
    machine=$1
    set -- -DTARE_STATIC=ON -DTARE_TESTS=OFF --log-level=WARNING
    if [ "$machine" != "$(uname -m)" ]; then
        command -v "$machine-linux-gnu-gcc" >/dev/null 2>&1 || fail "needs $machine-linux-gnu-gcc (Debian: gcc-$machine-linux-gnu)"
        sysroot "$machine"
        PKG_CONFIG_LIBDIR=$root/usr/lib/$machine-linux-gnu/pkgconfig:$root/usr/share/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root
        export PKG_CONFIG_LIBDIR PKG_CONFIG_SYSROOT_DIR
        set -- "$@" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR="$machine" -DCMAKE_C_COMPILER="$machine-linux-gnu-gcc" \
            -DCMAKE_C_FLAGS="-isystem $root/usr/include/$machine-linux-gnu" -DCMAKE_FIND_ROOT_PATH="$root" -DCMAKE_FIND_ROOT_PATH_MODE_LIBRARY=ONLY -DCMAKE_FIND_ROOT_PATH_MODE_INCLUDE=ONLY
    fi
    # shellcheck disable=SC2086 # no word where there is no ninja
    cmake -S . -B "$out/$machine" $generator "$@"
    cmake --build "$out/$machine" --target tare >"$out/log-$machine" 2>&1 || { tail -n 30 "$out/log-$machine" >&2; fail "does not build for $machine"; }
    unset PKG_CONFIG_LIBDIR PKG_CONFIG_SYSROOT_DIR
    strip="strip"
    [ "$machine" = "$(uname -m)" ] || strip=$machine-linux-gnu-strip
    $strip -o "$out/tare-$version-linux-$machine" "$out/$machine/tare"
}

# It asks for no loader and no library, runs where there is nothing else, and its model tells the same story everywhere.
check() # machine
{
    program=$out/tare-$version-linux-$1 emulator=
    ! readelf -lW "$program" | grep -q 'INTERP' || fail "$program asks for a loader"
    ! readelf -d "$program" | grep -q 'NEEDED' || fail "$program asks for shared libraries"
    if [ "$1" != "$(uname -m)" ]; then
        emulator=qemu-$1
        command -v "$emulator" >/dev/null 2>&1 || fail "needs $emulator to run what it built (Debian: qemu-user)"
        emulator="$emulator ${QEMU_CPU_OPTION:--cpu max}"
    elif [ "$(id -u)" = 0 ]; then
        empty=$(mktemp -d)
        cp "$program" "$empty/tare"
        chroot "$empty" /tare check >/dev/null || fail "$program does not run in an empty folder"
        rm -r "$empty"
    fi
    { $emulator "$program" --version && $emulator "$program" check && $emulator "$program" verify &&
        $emulator "$program" run --temp 0 --exact --max-tokens 24 </dev/null && echo &&
        echo 'Once upon a time' | $emulator "$program" tokenize; } >"$out/said-$1" || fail "$program does not run"
    [ -s "$out/said-$1" ] && cmp "$out/said-$1" "$(find "$out" -name 'said-*' | sort | head -n 1)" ||
        fail "the programs of two machines say different things"
}

for machine; do
    build "$machine"
    check "$machine"
    ls -l "$out/tare-$version-linux-$machine" | awk '{ printf "%s: %.1f MB, static, runs\n", $NF, $5 / 1e6 }'
done
(cd "$out" && sha256sum tare-*-linux-* >SHA256SUMS)
