#!/bin/sh
# SPDX-License-Identifier: MIT
# fuzz.sh BUILD SECONDS: each fuzzer of a build (fuzz/NAME) for so long, from tests/fuzz/corpus/NAME. What it finds stays in
# BUILD/found/NAME, crashes too.
set -eu
build=$1 seconds=$2 status=0 here=$(cd "$(dirname "$0")/.." && pwd)
for fuzzer in "$build"/fuzz/fuzz_*; do
    if [ ! -x "$fuzzer" ]; then
        echo "no fuzzers in $build/fuzz"
        continue
    fi
    name=${fuzzer##*/}
    found=$build/found/$name
    mkdir -p "$found"
    corpus=$here/tests/fuzz/corpus/$name
    [ -d "$corpus" ] || corpus=
    echo "== $name, $seconds s"
    if ! "$fuzzer" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -artifact_prefix="$found/crash-" \
        -print_final_stats=1 "$found" ${corpus:+"$corpus"} >"$build/found/$name.log" 2>&1; then
        tail -n 40 "$build/found/$name.log"
        status=1
    else
        grep -E 'stat::(number_of_executed_units|average_exec_per_sec|peak_rss_mb)' "$build/found/$name.log" || true
    fi
done
exit $status
