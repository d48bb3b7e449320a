#!/bin/sh
# SPDX-License-Identifier: MIT
# check_install.sh SOURCE BUILD CC: install into a scratch folder, build the example against what pkg-config says, shared
# and static, and run it on models/fable.
set -eu
source=$1 build=$2 cc=$3
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

cmake --install "$build" --prefix "$stage/usr" >/dev/null
pc=$(find "$stage/usr" -name tare.pc)
[ -n "$pc" ] || { echo "no tare.pc"; exit 1; }
# The file names the configured prefix; the staged copy is asked for the staged one.
sed -i "s|^prefix=.*|prefix=$stage/usr|" "$pc"
PKG_CONFIG_PATH=$(dirname "$pc"):${PKG_CONFIG_PATH:-}
export PKG_CONFIG_PATH
libdir=$(pkg-config --variable=libdir tare)
for file in "$stage/usr/bin/tare" "$stage/usr/include/tare.h" "$stage/usr/share/man/man1/tare.1" "$libdir/libtare.a" \
    "$libdir/libtare.so" "$libdir/libtare.so.0"; do
    [ -e "$file" ] || { echo "not installed: $file"; exit 1; }
done
for verb in $(sed -n 's/^VERB(\(.*\))$/\1/p' "$source/cli/verbs.def"); do
    [ -s "$stage/usr/share/man/man1/tare-$verb.1" ] || { echo "no page of tare $verb"; exit 1; }
done
for shell in bash:bash-completion/completions/tare zsh:zsh/site-functions/_tare fish:fish/vendor_completions.d/tare.fish; do
    "$stage/usr/bin/tare" completion "${shell%%:*}" | cmp - "$stage/usr/share/${shell#*:}"
done
[ "$(wc -l <"$source/examples/plan.c")" -le 40 ] || { echo "examples/plan.c is over 40 lines"; exit 1; }

strict="-std=c11 -Wall -Wextra -Wpedantic -Werror"
# shellcheck disable=SC2046,SC2086 # words, on purpose
$cc $strict -o "$stage/shared" "$source/examples/plan.c" $(pkg-config --cflags --libs tare)
# shellcheck disable=SC2046,SC2086
$cc $strict -o "$stage/static" "$source/examples/plan.c" $(pkg-config --cflags tare) "$libdir/libtare.a" \
    $(pkg-config --static --libs tare | tr ' ' '\n' | grep -v -x -e -ltare)
LD_LIBRARY_PATH=$libdir "$stage/shared" "$source/models/fable" >"$stage/shared.txt"
"$stage/static" "$source/models/fable" >"$stage/static.txt"
cat "$stage/shared.txt"
cmp "$stage/shared.txt" "$stage/static.txt"
grep -q 'lm_head.qweight' "$stage/shared.txt" || { echo "the example names no tensor that was set aside"; exit 1; }
grep -q 'after 1, 2, 3' "$stage/shared.txt" || { echo "the example names no next id"; exit 1; }
if strings -a "$libdir/libtare.a" 2>/dev/null | grep -q cli_fable; then
    echo "the library contains fable"
    exit 1
fi
"$stage/usr/bin/tare" --version
