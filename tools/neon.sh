#!/bin/sh
# SPDX-License-Identifier: MIT
# neon.sh [FOLDER]: build the kernels for 64-bit ARM, and run their tests: in qemu, or as they are on such a machine. Only
# src/kernels, the pool and its threads, dtypes, locale and errors are compiled, so no library of that machine is needed;
# tests/neon/cmocka.h stands in for cmocka. Debian: apt-get install gcc-aarch64-linux-gnu qemu-user
set -eu

cd "$(dirname "$0")/.."
out=${1:-build-neon}
if [ "$(uname -m)" = aarch64 ]; then
    cc=${CC:-cc} emulator=
else
    cc=${CC:-aarch64-linux-gnu-gcc} emulator=${QEMU:-qemu-aarch64}
    for tool in "$cc" "$emulator"; do
        command -v "$tool" >/dev/null 2>&1 ||
            { echo "test-neon needs $tool (Debian: gcc-aarch64-linux-gnu qemu-user)" >&2; exit 1; }
    done
fi

# The same warnings and flags as in CMakeLists.txt.
warnings="-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror"
flags="-std=c11 -O3 -g1 -D_POSIX_C_SOURCE=200809L -D_FILE_OFFSET_BITS=64 -ffp-contract=off -fno-math-errno $warnings"
flags="$flags -Isrc -Iinclude -Itests/neon -Itests/unit"
mkdir -p "$out"
rm -f "$out"/*.o

compile() # file, more flags
{
    # shellcheck disable=SC2086 # words, on purpose
    $cc $flags ${2:-} -c "$1" -o "$out/$(basename "$1" .c).o"
}

for file in src/kernels/*.c src/base/pool.c src/base/threads.c src/base/sized.c src/base/error.c src/base/dtype.c src/base/locale.c; do
    case $file in
    *neon*) compile "$file" -march=armv8.2-a+dotprod ;;
    *) compile "$file" "$(grep -q '^#define _GNU_SOURCE' "$file" || echo '-include src/base/banned.h')" ;;
    esac
done
objects=$(echo "$out"/*.o)
compile tests/unit/guarded.c
for test in tests/neon/picked.c tests/unit/kernels/*.c; do
    compile "$test"
    name=$(basename "$test" .c)
    # shellcheck disable=SC2086
    $cc -static -pthread "$out/$name.o" "$out/guarded.o" $objects -lm -o "$out/$name"
done

is_picked() # kernels, CPU
{
    got=$($emulator -cpu "$2" "$out/picked")
    [ "$got" = "$1" ] || { echo "a $2 is given the kernels \"$got\", not \"$1\"" >&2; exit 1; }
    echo "ok $2: $got"
}

run="$emulator ${emulator:+-cpu neoverse-n1}"
if [ -n "$emulator" ]; then # the second has no dot products
    is_picked neon neoverse-n1
    is_picked scalar cortex-a53
elif [ "$("$out/picked")" != neon ]; then
    echo "this machine has no dot products of bytes (asimddp)" >&2
    exit 1
fi
for test in tests/unit/kernels/*.c; do
    name=$(basename "$test" .c)
    echo "$name"
    $run "$out/$name"
done
