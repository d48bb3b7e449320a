#!/bin/sh
# SPDX-License-Identifier: MIT
# macos_files.sh SOURCE: compile what differs between systems against Apple's headers, with warnings as errors: src/base, the
# choice of kernels, NEON, files on the disk, the terminal, and fable. Needs `zig cc` (pip install ziglang): from ZIG_PYTHON,
# build-platforms/zig (.ci/run makes it) or python3; exit status 77 where there is none. `make check-platforms` builds all.
set -eu
cd "$1"
for python in "${ZIG_PYTHON:-}" build-platforms/zig/bin/python python3; do
    [ -n "$python" ] && "$python" -m ziglang version >/dev/null 2>&1 && break
    python=
done
[ -n "$python" ] || { echo "skipped: no ziglang"; exit 77; }
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# Headers of libraries only, none of this system's own.
mkdir "$out/include"
for header in jansson.h jansson_config.h xxhash.h; do
    found=$(find /usr/include /usr/local/include -maxdepth 2 -name "$header" | head -n 1)
    [ -z "$found" ] || cp "$found" "$out/include"
done
# Newer compilers than those that `make test` is strict with warn of more.
flags="-std=c11 -O1 -D_POSIX_C_SOURCE=200809L -D_FILE_OFFSET_BITS=64 -D_DARWIN_C_SOURCE -DXXH_INLINE_ALL= -Wall -Wextra -Wpedantic
    -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror -Wno-enum-float-conversion -ffp-contract=off
    -Iinclude -Isrc -Icli -isystem $out/include"
n=0
for file in $(find src/base -name '*.c' ! -name 'hash_crypto.c' | sort) src/kernels/kernels.c src/kernels/neon_*.c src/save/commit.c src/save/journal.c \
    src/repair/in_place.c src/repair/header.c src/open/mapping.c cli/bench.c cli/line_plain.c cli/progress.c; do
    more=
    ! grep -q '^#define _GNU_SOURCE' "$file" || more=-D_GNU_SOURCE=
    case $file in
    */neon_*) more=-mcpu=baseline+dotprod ;;
    cli/*) ;;
    *) more="$more -include src/base/banned.h" ;;
    esac
    # shellcheck disable=SC2086 # words, on purpose
    "$python" -m ziglang cc -target aarch64-macos $flags $more -c "$file" -o "$out/file.o"
    n=$((n + 1))
done
for target in aarch64-macos x86_64-macos; do
    "$python" -m ziglang cc -target "$target" -I. -Wa,-I. -c cli/fable.S -o "$out/file.o"
done
echo "$n files"
