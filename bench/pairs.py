#!/usr/bin/env python3
"""pairs.py BUILD [--threads N] [--runs N]: how fast is each conversion between packed formats?

One synthetic checkpoint (a quarter of Qwen2.5-1.5B's layers, random codes and zeros) lies in memory (/dev/shm) as AWQ, and is converted into the other sources; each
pair is timed without the hashes of tare.json, and held against a memcpy of the source's bytes into a fresh file by as many threads. Best of
the runs. Exit status 1 when AWQ -> MLX, GPTQ -> MLX or AWQ -> GGUF is below one half of memcpy's speed.
"""
import argparse
import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import time

import synthetic

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("build")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--runs", type=int, default=3)
args = parser.parse_args()
here = os.path.dirname(os.path.abspath(__file__))
work = tempfile.mkdtemp(prefix="tare-pairs-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
atexit.register(shutil.rmtree, work, True)
tare, out, copy = os.path.join(args.build, "tare"), os.path.join(work, "out"), os.path.join(work, "memcpy")
TARGETS = ("mlx", "gguf", "awq", "gptq_v2", "compressed-tensors", "dense")
HALF = {("awq", "mlx"), ("gptq_v2", "mlx"), ("awq", "gguf")}


def remove(path):
    shutil.rmtree(path, True)
    if os.path.exists(path):
        os.unlink(path)


def convert(source, to, target):
    """Seconds, or why not."""
    remove(target)
    start = time.monotonic()
    done = subprocess.run([tare, "convert", source, "-o", target, "--to", to, "--no-sums", "--threads", str(args.threads)], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True)
    return done.stderr.strip().splitlines()[-1][:110] if done.returncode else time.monotonic() - start


def weights(folder):
    return next(os.path.join(folder, f) for f in sorted(os.listdir(folder)) if f.endswith((".safetensors", ".gguf")))


def memcpy(path):
    remove(out)
    done = subprocess.run([copy, path, out, str(args.threads)], check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.split()[0])


sources = {"awq": os.path.join(work, "awq")}
config = dict(synthetic.QWEN_1_5B, num_hidden_layers=synthetic.QWEN_1_5B["num_hidden_layers"] // 4)
synthetic.write(sources["awq"], dict(config, quantization_config=synthetic.AWQ), synthetic.tensors(config))
for to in ("gptq_v2", "compressed-tensors", "mlx", "gguf"):
    made = convert(sources["awq"], to, os.path.join(work, to))
    if isinstance(made, float):
        sources[to] = os.path.join(work, to)
    else:
        print("awq -> %s: %s" % (to, made))
subprocess.run([os.environ.get("CC", "cc"), "-O2", "-pthread", "-o", copy, os.path.join(here, "memcpy.c")], check=True)
missed = False
print("%-20s%-20s%8s%8s%14s" % ("from", "to", "GB", "GB/s", "of memcpy"))
for name, source in sources.items():
    size = os.path.getsize(weights(source)) / 1e9
    for to in TARGETS:
        took = [convert(source, to, out) for _ in range(args.runs)]
        if not all(isinstance(t, float) for t in took):
            print("%-20s%-20s%s" % (name, to, took[0]))
            continue
        ratio = min(memcpy(weights(source)) for _ in range(args.runs)) / min(took)
        missed |= (name, to) in HALF and ratio < 0.5
        print("%-20s%-20s%8.3f%8.2f%14.2f%s" % (name, to, size, size / min(took), ratio, "  (target 0.5)" if (name, to) in HALF else ""))
sys.exit(1 if missed else 0)
