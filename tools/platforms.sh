#!/bin/sh
# SPDX-License-Identifier: MIT
# platforms.sh [FOLDER] [TARGET..]: build library and command for other platforms with `zig cc`, which brings their headers and C
# libraries along: aarch64-macos, x86_64-macos, aarch64-linux-gnu, x86_64-linux-musl (all without arguments). Every file is
# compiled and everything is linked; what is for Linux runs too, in qemu where it is for another processor. Nobody runs what
# is for macOS here.
#
# The libraries that tare uses are built from Debian's sources, into FOLDER. Needs Python with pip or ziglang, cmake, and Debian's
# apt-get with dpkg-source (dpkg-dev). Exit status 77: a tool is missing, and nothing was checked.
set -eu

cd "$(dirname "$0")/.."
source=$PWD
mkdir -p "${1:-build-platforms}"
out=$(cd "${1:-build-platforms}" && pwd)
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- aarch64-macos x86_64-macos aarch64-linux-gnu x86_64-linux-musl
generator=$(command -v ninja >/dev/null 2>&1 && echo -GNinja || true)
unset CMAKE_C_COMPILER_LAUNCHER

fail()
{
    echo "platforms: $*" >&2
    exit 1
}

skip()
{
    echo "platforms: skipped: $*" >&2
    exit 77
}

quietly() # command
{
    "$@" >"$out/log" 2>&1 || { grep -m 5 "error:" "$out/log" | cut -c 1-300; tail -n 3 "$out/log" | cut -c 1-300; fail "$* fails"; }
}

if [ -z "${ZIG_PYTHON:-}" ]; then
    ZIG_PYTHON=$out/zig/bin/python
    [ -x "$ZIG_PYTHON" ] || { python3 -m venv "$out/zig" && "$out/zig/bin/pip" install -q ziglang; } >"$out/log" 2>&1 ||
        { rm -rf "$out/zig"; skip "no ziglang (pip install ziglang; ZIG_PYTHON: a Python with it)"; }
fi
command -v dpkg-source >/dev/null 2>&1 || skip "no dpkg-source (Debian: dpkg-dev)"

# Debian's sources of the libraries, by an apt-get with a folder of its own.
sources()
{
    [ ! -e "$out/sources/complete" ] || return 0
    rm -rf "$out/sources"
    mkdir -p "$out/sources/lists/partial" "$out/sources/cache/archives/partial"
    cd "$out/sources"
    echo 'deb-src http://deb.debian.org/debian bookworm main' >list
    set -- -q -o Dir::Etc::sourcelist="$PWD/list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$PWD/lists" \
        -o Dir::Cache="$PWD/cache" -o APT::Sandbox::User=root
    { apt-get "$@" update && apt-get "$@" source jansson yajl pcre2 utf8proc xxhash; } >"$out/log" 2>&1 || skip "no Debian sources: $(tail -n 1 "$out/log")"
    rm -rf lists cache ./*.tar.* ./*.dsc ./*.diff.gz
    touch complete
    cd "$source"
}

tool() # name, command line of zig: a program in FOLDER/TARGET/bin
{
    printf '#!/bin/sh\nexec "%s" -m ziglang %s "$@"\n' "$ZIG_PYTHON" "$2" >"$out/$target/bin/$1"
    chmod +x "$out/$target/bin/$1"
}

# What CMake is told about a platform, in a toolchain file.
toolchain()
{
    mkdir -p "$out/$target/bin" "$out/$target/prefix/include" "$out/$target/prefix/lib/pkgconfig"
    tool cc "cc -target $target"
    tool ar ar
    tool ranlib ranlib
    system=Linux
    case $target in *macos*) system=Darwin ;; esac
    cat >"$out/$target/toolchain.cmake" <<EOF
set(CMAKE_SYSTEM_NAME $system)
set(CMAKE_SYSTEM_PROCESSOR ${target%%-*})
set(CMAKE_C_COMPILER $out/$target/bin/cc)
set(CMAKE_AR $out/$target/bin/ar)
set(CMAKE_RANLIB $out/$target/bin/ranlib)
set(CMAKE_INSTALL_NAME_TOOL /bin/true)
set(CMAKE_OSX_SYSROOT "")
set(CMAKE_OSX_DEPLOYMENT_TARGET "")
set(CMAKE_FIND_ROOT_PATH $out/$target/prefix)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_C_FLAGS_INIT "-O1 -fPIC")
EOF
}

configure() # source folder, build folder, options
{
    from=$1 to=$2
    shift 2
    # shellcheck disable=SC2086 # no word where there is no ninja
    quietly cmake -S "$from" -B "$to" $generator -DCMAKE_TOOLCHAIN_FILE="$out/$target/toolchain.cmake" -DCMAKE_BUILD_TYPE=None \
        -DCMAKE_INSTALL_PREFIX="$out/$target/prefix" -DCMAKE_INSTALL_LIBDIR=lib -DBUILD_SHARED_LIBS=OFF "$@"
}

library() # name, options
{
    name=$1
    shift
    configure "$(echo "$out/sources/$name"-*)" "$out/$target/$name" "$@"
    quietly cmake --build "$out/$target/$name"
    quietly cmake --install "$out/$target/$name"
}

module() # name, what to link: a file for pkg-config
{
    printf 'Name: %s\nDescription: %s\nVersion: 1\nCflags: -I%s\nLibs: %s\n' "$1" "$1" "$out/$target/prefix/include" "$2" \
        >"$out/$target/prefix/lib/pkgconfig/$1.pc"
}

libraries()
{
    [ ! -e "$out/$target/complete" ] || return 0
    rm -rf "${out:?}/$target"
    toolchain
    prefix=$out/$target/prefix
    library jansson -DJANSSON_BUILD_DOCS=OFF -DJANSSON_WITHOUT_TESTS=ON -DJANSSON_EXAMPLES=OFF
    library pcre2 -DPCRE2_BUILD_PCRE2GREP=OFF -DPCRE2_BUILD_TESTS=OFF
    library utf8proc
    # yajl's CMake builds programs too; its library is eight files and the headers.
    mkdir -p "$prefix/include/yajl" "$out/$target/yajl"
    yajl=$(echo "$out/sources"/yajl-*)
    cp "$yajl"/src/api/*.h "$prefix/include/yajl"
    sed -e 's/\${YAJL_MAJOR}/2/; s/\${YAJL_MINOR}/1/; s/\${YAJL_MICRO}/0/' "$yajl/src/api/yajl_version.h.cmake" >"$prefix/include/yajl/yajl_version.h"
    for file in "$yajl"/src/*.c; do
        quietly "$out/$target/bin/cc" -O1 -fPIC -I"$prefix/include" -c "$file" -o "$out/$target/yajl/$(basename "$file").o"
    done
    quietly "$out/$target/bin/ar" rcs "$prefix/lib/libyajl.a" "$out/$target"/yajl/*.o
    cp "$out/sources"/xxhash-*/*.h "$prefix/include"
    module jansson "-L$prefix/lib -ljansson"
    module libpcre2-8 "-L$prefix/lib -lpcre2-8"
    module libutf8proc "-L$prefix/lib -lutf8proc"
    module yajl "-L$prefix/lib -lyajl"
    module libxxhash ""
    touch "$out/$target/complete"
}

# libcrypto and libedit are left out: the first has no CMake, the second comes with macOS, but not with zig.
build()
{
    PKG_CONFIG_LIBDIR=$out/$target/prefix/lib/pkgconfig
    export PKG_CONFIG_LIBDIR
    static=OFF
    [ "$target" != x86_64-linux-musl ] || static=ON
    configure . "$out/$target/tare" -DTARE_OPENSSL=OFF -DTARE_EDIT=OFF -DTARE_HUB=OFF -DTARE_TESTS=OFF -DTARE_STATIC=$static
    unset PKG_CONFIG_LIBDIR
    quietly cmake --build "$out/$target/tare"
    [ "$(find "$out/$target/tare" -name '*.c.o' | wc -l)" -gt 400 ] || fail "$target: not every file was compiled"
}

check()
{
    program=$out/$target/tare/tare
    case $target in
    *macos*) # Mach-O, 64 bits, and an executable's type: 2
        [ "$(od -An -tx4 -N4 "$program" | tr -d ' ')" = feedfacf ] || fail "$program is not Mach-O"
        ls "$out/$target"/tare/libtare.*dylib >/dev/null || fail "$target: no libtare.dylib"
        echo "$target: compiled and linked; it cannot run here"
        return
        ;;
    aarch64-*)
        command -v qemu-aarch64 >/dev/null 2>&1 || { echo "$target: compiled and linked; not run: no qemu-aarch64 (Debian: qemu-user)"; return; }
        set -- qemu-aarch64 -cpu max -L "${AARCH64_ROOT:-/usr/aarch64-linux-gnu}" "$program"
        ;;
    *)
        set -- "$program"
        ;;
    esac
    "$@" check >"$out/said" || fail "$program does not run"
    grep -q '^sound' "$out/said" || fail "$program does not find fable sound"
    "$@" verify >/dev/null || fail "$program does not verify fable"
    said=$("$@" run --temp 0 --exact --max-tokens 12 </dev/null) || fail "$program does not run fable"
    case $said in
    "Once upon a time, a little fox and "*) echo "$target: compiled, linked, and tells \"$said\"" ;;
    *) fail "$program tells \"$said\"" ;;
    esac
}

sources
for target; do
    libraries
    build
    check
done
