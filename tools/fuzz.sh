#!/bin/sh
# fuzz.sh BUILD [SECONDS] [TARGET..]: run the libFuzzer programs of a build with -DTARE_FUZZ=ON, so long each (60).
# New inputs stay in BUILD/fuzz/TARGET.corpus; what was found wrong lies beside it as TARGET-crash-..., and the status is 1.
set -eu
build=$1
seconds=${2:-60}
shift $(($# < 2 ? $# : 2))
root=$(cd "$(dirname "$0")/.." && pwd)
status=0
for program in "$build"/fuzz/fuzz_*; do
    [ -f "$program" ] && [ -x "$program" ] || continue
    target=${program##*/}
    case " ${*:-$target} " in *" $target "*) ;; *) continue ;; esac
    mkdir -p "$program.corpus"
    echo "== $target, $seconds s"
    "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=16384 -print_final_stats=1 \
        -artifact_prefix="$program-" "$program.corpus" "$root/tests/fuzz/corpus/$target" >"$program.log" 2>&1 || status=1
    grep -E '^stat::number_of_executed|^==[0-9]+==ERROR|SUMMARY|does not hold|runtime error|Test unit written' "$program.log" || true
done
exit $status
