#!/bin/sh
# SPDX-License-Identifier: MIT
# check_install.sh SOURCE BUILD CC: install into a scratch folder that the build never heard of, move it, and use what lies
# there as it is: the examples by pkg-config, shared and static, a CMake project by find_package. Then take the source in by
# add_subdirectory (configured; `make test-builds` builds it).
set -eu
source=$1 build=$2 cc=$3
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT

cmake --install "$build" --prefix "$stage/first" >/dev/null
mv "$stage/first" "$stage/usr"
pc=$(find "$stage/usr" -name tare.pc)
[ -n "$pc" ] || { echo "no tare.pc"; exit 1; }
PKG_CONFIG_PATH=$(dirname "$pc"):${PKG_CONFIG_PATH:-}
export PKG_CONFIG_PATH
libdir=$(pkg-config --variable=libdir tare)
doc=$stage/usr/share/doc/tare
for file in "$stage/usr/bin/tare" "$stage/usr/include/tare.h" "$stage/usr/share/man/man1/tare.1" "$libdir/libtare.a" \
    "$libdir/libtare.so" "$libdir/libtare.so.0" "$doc/README.md" "$doc/LICENSE" "$doc/docs/errors.md" "$doc/examples/plan.c"; do
    [ -e "$file" ] || { echo "not installed: $file"; exit 1; }
done
for header in "$source"/include/tare/*.h; do
    cmp "$header" "$stage/usr/include/tare/$(basename "$header")"
done
if grep -rlF -e "$build" -e "$source" "$stage/usr/lib" --include='*.cmake' --include='*.pc'; then
    echo "these name a folder of the build"
    exit 1
fi
for verb in $(sed -n 's/^VERB(\(.*\))$/\1/p' "$source/cli/verbs.def"); do
    [ -s "$stage/usr/share/man/man1/tare-$verb.1" ] || { echo "no page of tare $verb"; exit 1; }
done
for shell in bash:bash-completion/completions/tare zsh:zsh/site-functions/_tare fish:fish/vendor_completions.d/tare.fish; do
    "$stage/usr/bin/tare" completion "${shell%%:*}" | cmp - "$stage/usr/share/${shell#*:}"
done
[ "$(wc -l <"$source/examples/plan.c")" -le 40 ] || { echo "examples/plan.c is over 40 lines"; exit 1; }

strict="-std=c11 -Wall -Wextra -Wpedantic -Werror"
for example in plan "loader -lcrypto -lm"; do # as their first lines say
    more=${example#"${example%% *}"} example=${example%% *}
    # shellcheck disable=SC2046,SC2086 # words, on purpose
    $cc $strict -o "$stage/$example" "$doc/examples/$example.c" $(pkg-config --cflags --libs tare) $more
done
# libtare.so lies beside libtare.a, so the archive is named.
# shellcheck disable=SC2046,SC2086
$cc $strict -o "$stage/static" "$doc/examples/plan.c" $(pkg-config --static --cflags --libs tare | sed 's/-ltare/-l:libtare.a/')
LD_LIBRARY_PATH=$libdir "$stage/plan" "$source/models/fable" >"$stage/shared.txt"
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

unset PKG_CONFIG_PATH
cmake -S "$source/tests/build/shown" -B "$stage/shown" -DCMAKE_C_COMPILER="$cc" -DCMAKE_PREFIX_PATH="$stage/usr" >"$stage/log" &&
    cmake --build "$stage/shown" >>"$stage/log" || { cat "$stage/log"; exit 1; }
[ -x "$stage/shown/shown_static" ] || { echo "find_package gives no tare::static"; exit 1; }
"$stage/shown/shown" "$source/models/fable" >"$stage/shown.txt"
"$stage/shown/shown_static" "$source/models/fable" | cmp - "$stage/shown.txt"
cat "$stage/shown.txt"
cmake -S "$source/tests/build/within" -B "$stage/within" -DCMAKE_C_COMPILER="$cc" -DTARE_SOURCE="$source" >"$stage/log" ||
    { cat "$stage/log"; exit 1; }
