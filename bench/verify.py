#!/usr/bin/env python3
"""verify.py BUILD [--threads N] [--runs N]: how fast does tare verify look at a checkpoint?

A synthetic checkpoint of Qwen2.5-1.5B's shape (1.15 GB, random codes) in two shards lies in memory (/dev/shm). Against tare stand:
openssl   openssl speed -evp sha256 of 128 KiB blocks, by as many threads as there are shards (and threads)
read      every byte through read(2) into a buffer that is used again, by as many threads; and, for comparison, through a mapping
Best of nine, taken in turn, since other programs' load comes and goes; the CPU time beside (the middle one of nine) swings less. Exit status 1 when
tare is below 80% of either, by the clock and by CPU time.
"""
import argparse
import atexit
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import synthetic

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("build")
parser.add_argument("--threads", type=int, default=min(2, len(os.sched_getaffinity(0))))
parser.add_argument("--runs", type=int, default=9)
args = parser.parse_args()

SHARDS = 2
here = os.path.dirname(os.path.abspath(__file__))
work = tempfile.mkdtemp(prefix="tare-bench-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
atexit.register(shutil.rmtree, work, True)
model = os.path.join(work, "in")


def run(*command, status=(0,)):
    """(seconds, CPU seconds, its output) of a command that must end so."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in status:
        sys.exit("%s: exit %d\n%s" % (" ".join(command), done.returncode, done.stderr))
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def write():
    """Two shards of like size, and their index; the bytes of both."""
    config = dict(synthetic.QWEN_1_5B, quantization_config=synthetic.AWQ)
    rows, places, size = synthetic.tensors(synthetic.QWEN_1_5B), {}, 0
    total, at, cut = sum(synthetic.count(s) * synthetic.SIZE[d] for _, d, s in rows), 0, 0
    while at < total / SHARDS:
        at += synthetic.count(rows[cut][2]) * synthetic.SIZE[rows[cut][1]]
        cut += 1
    for k, part in enumerate((rows[:cut], rows[cut:])):
        name = "model-%05d-of-%05d.safetensors" % (k + 1, SHARDS)
        synthetic.write(model, config, part, name=name)
        places.update({n: name for n, _, _ in part})
        size += os.path.getsize(os.path.join(model, name))
    with open(os.path.join(model, "model.safetensors.index.json"), "w") as f:
        json.dump({"metadata": {}, "weight_map": places}, f)
    return size / 1e9


size = write()
reader, joined = os.path.join(work, "read"), os.path.join(work, "joined")
run(os.environ.get("CC", "cc"), "-O3", "-pthread", "-o", reader, os.path.join(here, "read.c"))
with open(joined, "wb") as f:  # one file for the reader, of the same bytes
    for name in sorted(os.listdir(model)):
        if name.endswith(".safetensors"):
            with open(os.path.join(model, name), "rb") as part:
                shutil.copyfileobj(part, f, 1 << 22)
tare, threads = os.path.join(args.build, "tare"), str(args.threads)
many = min(args.threads, SHARDS)
runs = {}


def openssl():
    """Seconds that `many` threads need for the checkpoint, by the clock; and CPU seconds of one."""
    def rate(*flags):
        text = run("openssl", "speed", "-seconds", "1", "-bytes", "131072", *flags, "-evp", "sha256")[2]
        return float(re.search(r"^(?:sha256|evp)\s+([\d.]+)k", text, re.M).group(1)) * 1e3
    return size * 1e9 / rate("-elapsed", "-multi", str(many)), size * 1e9 / rate()


def take(what, figures):
    runs.setdefault(what, []).append(figures)


for k in range(args.runs):
    take("hash", run(tare, "verify", model, "--no-values", "--threads", threads)[:2])
    take("openssl", openssl()) if k % 3 == 0 else None
    take("numbers", run(tare, "verify", model, "--no-hash", "--threads", threads, status=(0, 1))[:2])
    take("read", run(reader, joined, threads, "read")[:2])
    take("map", run(reader, joined, threads, "map")[:2])
    take("all", run(tare, "verify", model, "--threads", threads, status=(0, 1))[:2])

# The clock's best; of CPU time, which the kernel counts in ticks, the middle one.
best = {what: (min(w for w, _ in rows), statistics.median(c for _, c in rows)) for what, rows in runs.items()}
print("checkpoint  %.3f GB in %d shards, %d threads, best of %d" % (size, SHARDS, args.threads, args.runs))
for what, note in (("hash", "tare verify --no-values"), ("openssl", "openssl speed -elapsed -multi %d" % many),
                   ("numbers", "tare verify --no-hash"), ("read", "read(2)"), ("map", "through a mapping"), ("all", "tare verify")):
    wall, cpu = best[what]
    print("%-11s %.3f s, %.3f CPU s: %.2f GB/s  %s" % (what, wall, cpu, size / wall, note))
bad = False
for what, peer in (("hash", "openssl"), ("numbers", "read"), ("numbers", "map")):
    ratio = [best[peer][i] / best[what][i] for i in range(2)]
    print("ratio       %s: %.2f of %s's speed, %.2f by CPU time%s" % (what, ratio[0], peer, ratio[1], "" if peer == "map" else " (target 0.80)"))
    bad |= peer != "map" and max(ratio) < 0.8
sys.exit(bad)
