#!/bin/sh
# SPDX-License-Identifier: MIT
# rooms.sh [FOLDER]: the library in its smaller shapes, and within another project. Each is built, linked with a program and
# run, and what it links is looked at: plan and convert alone ask for jansson and yajl only.
set -eu

cd "$(dirname "$0")/.."
source=$PWD
mkdir -p "${1:-build-rooms}"
out=$(cd "${1:-build-rooms}" && pwd)
generator=$(command -v ninja >/dev/null 2>&1 && echo -GNinja || true)

fail()
{
    echo "rooms: $*" >&2
    exit 1
}

libraries() # of a program or library, but for the C library's own
{
    readelf -d "$1" | sed -n 's/.*(NEEDED).*\[lib\([a-z0-9-]*\)\.so.*/\1/p' | grep -vxE 'c|m|pthread|ld-linux.*|tare' | sort | tr '\n' ' '
}

shape() # name, libraries expected, options
{
    name=$1 expected=$2
    shift 2
    echo "== $name: $*"
    # shellcheck disable=SC2086 # no word where there is no ninja
    cmake -S . -B "$out/$name" $generator "$@" -DTARE_WERROR=ON -DTARE_TESTS=OFF --log-level=WARNING
    cmake --build "$out/$name" >"$out/log" || { tail -n 30 "$out/log"; fail "$name does not build"; }
    rm -rf "$out/prefix"
    cmake --install "$out/$name" --prefix "$out/prefix" >/dev/null
    got=$(libraries "$(find "$out/prefix" -name 'libtare.so')")
    [ "$got" = "$expected " ] || fail "$name links \"$got\", not \"$expected\""
    python3 tests/abi/check_abi.py --headers "$out/prefix/include" "$source" "$(find "$out/prefix" -name libtare.so)" \
        "$(find "$out/prefix" -name libtare.a)" "$(sed -n 's/^project(tare VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)"
    for compiler in "cc -std=c11" "c++ -std=c++17"; do
        echo '#include <tare.h>' | $compiler -x "$(case $compiler in cc*) echo c ;; *) echo c++ ;; esac)" -Wall -Wextra -pedantic -Werror \
            -fsyntax-only -I"$out/prefix/include" - || fail "$name: its tare.h does not compile"
    done
    for library in shared static; do
        pc=$(dirname "$(find "$out/prefix" -name tare.pc)")
        case $library in
        shared) flags=$(PKG_CONFIG_PATH=$pc pkg-config --cflags --libs tare) ;;
        static) flags=$(PKG_CONFIG_PATH=$pc pkg-config --static --cflags --libs tare | sed 's/-ltare/-l:libtare.a/') ;;
        esac
        # shellcheck disable=SC2086 # words, on purpose
        cc tests/build/shown/shown.c $flags -o "$out/shown-$library"
        LD_LIBRARY_PATH=$(dirname "$pc") "$out/shown-$library" models/fable
    done
}

shape small "jansson yajl" -DTARE_TEXT=OFF -DTARE_RUN=OFF -DTARE_OPENSSL=OFF -DTARE_COMMAND=OFF
shape texts "crypto jansson pcre2-8 utf8proc yajl" -DTARE_RUN=OFF -DTARE_COMMAND=OFF
shape own "jansson pcre2-8 utf8proc yajl" -DTARE_OPENSSL=OFF -DTARE_EDIT=OFF -DTARE_HUB=OFF
"$out/prefix/bin/tare" check >/dev/null
"$out/prefix/bin/tare" verify models/fable
[ "$("$out/prefix/bin/tare" verify models/fable | grep -c "$(sha256sum models/fable/model.safetensors | cut -d' ' -f1)")" = 1 ] ||
    fail "own hashes are not sha256sum's"
[ "$(libraries "$out/prefix/bin/tare")" = "jansson pcre2-8 utf8proc yajl " ] || fail "the command without libedit links it"

echo "== within another project"
# shellcheck disable=SC2086
cmake -S tests/build/within -B "$out/within" $generator -DTARE_SOURCE="$source" >"$out/log" && cmake --build "$out/within" >>"$out/log" ||
    { tail -n 30 "$out/log"; fail "add_subdirectory() does not build"; }
"$out/within/shown" models/fable
echo "rooms: passed"
