#!/usr/bin/env python3
"""convert.py BUILD [--threads N] [--runs N] [--no-mlx]: how fast is AWQ -> MLX?

A synthetic checkpoint of Qwen2.5-1.5B's shape (1.15 GB, random codes) lies in memory (/dev/shm). Against tare stand:
The conversion is timed without the hashes of tare.json; those are timed beside.
memcpy    the same bytes into a fresh file, by as many threads: tare is to reach a third of its speed
mlx-lm    load_model + save_model of the same checkpoint, in CPU time less that of its imports: tare is to take a fiftieth of what was
          measured for it, 0.03 GB a CPU second. Python with mlx-lm is $TARE_ORACLE, /opt/oracle/v/bin/python or python3; what it takes
          here and now is printed beside. It swings by two with the state of the machine's memory; making the pages of the output alone
          (fallocate, write, nothing else) takes 0.35 CPU seconds
Best of five each; mlx-lm once. Exit status 1 when a third of memcpy's speed, or 1.5 GB a CPU second, is missed.
"""
import argparse
import atexit
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time

import synthetic

MLX = """
import sys, resource
from pathlib import Path
from mlx_lm.utils import load_model, save_model
before = resource.getrusage(resource.RUSAGE_SELF)
model, _ = load_model(Path(sys.argv[1]))
save_model(sys.argv[2], model)
after = resource.getrusage(resource.RUSAGE_SELF)
print(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
"""
parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("build")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--runs", type=int, default=5)
parser.add_argument("--no-mlx", action="store_true")
args = parser.parse_args()

here = os.path.dirname(os.path.abspath(__file__))
work = tempfile.mkdtemp(prefix="tare-bench-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
atexit.register(shutil.rmtree, work, True)
source, out = os.path.join(work, "in"), os.path.join(work, "out")


def remove():
    shutil.rmtree(out, True)
    if os.path.exists(out):
        os.unlink(out)


def run(*command):
    """(seconds, CPU seconds, its output) of a command that must succeed."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit("%s: exit %d" % (" ".join(command), done.returncode))
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def best(make):
    """The least of each figure."""
    rows = []
    for _ in range(args.runs):
        remove()
        rows.append(make())
    return [min(column) for column in zip(*rows)]


def python():
    for found in (os.environ.get("TARE_ORACLE"), "/opt/oracle/v/bin/python", shutil.which("python3")):
        if found and os.path.exists(found) and not subprocess.run([found, "-c", "import mlx_lm"], stdout=subprocess.DEVNULL,
                                                                  stderr=subprocess.DEVNULL).returncode:
            return found


size = synthetic.write(source, dict(synthetic.QWEN_1_5B, quantization_config=synthetic.AWQ),
                       synthetic.tensors(synthetic.QWEN_1_5B)) / 1e9
copy = os.path.join(work, "memcpy")
run(os.environ.get("CC", "cc"), "-O2", "-pthread", "-o", copy, os.path.join(here, "memcpy.c"))
memcpy, _ = best(lambda: tuple(map(float, run(copy, os.path.join(source, "model.safetensors"), out, str(args.threads))[2].split())))
tare = os.path.join(args.build, "tare")
wall, cpu = best(lambda: run(tare, "convert", source, "-o", out, "--no-sums", "--threads", str(args.threads))[:2])
sums = best(lambda: run(tare, "convert", source, "-o", out, "--threads", str(args.threads))[:2])
print("checkpoint  %.3f GB, %d threads, best of %d" % (size, args.threads, args.runs))
print("tare        %.3f s, %.3f CPU s: %.2f GB/s, %.2f GB per CPU second" % (wall, cpu, size / wall, size / cpu))
print("with sums   %.3f s, %.3f CPU s: XXH3-128 of both sides, sha256 of the file" % tuple(sums))
print("memcpy      %.3f s: %.2f GB/s" % (memcpy, size / memcpy))
print("ratio       %.2f of memcpy's speed (target 0.33)" % (memcpy / wall))
found = None if args.no_mlx else python()
remove()
print("ratio       %.0f times less CPU time than what was measured for mlx-lm, 0.03 GB per CPU second (target 50)" % (size / cpu / 0.03))
if found:
    mlx = float(run(found, "-c", MLX, source, out)[2].split()[-1])
    print("mlx-lm      %.1f CPU s here: %.3f GB per CPU second" % (mlx, size / mlx))
    print("ratio       %.0f times less CPU time than mlx-lm here" % (mlx / cpu))
sys.exit(0 if memcpy / wall >= 1 / 3 and size / cpu / 0.03 >= 50 else 1)
