#!/usr/bin/env python3
"""memory.py TARE BENCH [--threads N]: does a conversion stay below 64 MiB of anonymous memory a thread?

A checkpoint with as long rows and as many of them as large models have is converted to every format that takes it, and the kernel's
RssAnon is sampled. What the program has before its threads begin is allowed for: 32 MiB.
"""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("tare")
parser.add_argument("bench")
parser.add_argument("--threads", type=int, default=2)
args = parser.parse_args()
sys.path.insert(0, args.bench)
import synthetic  # noqa: E402

work = tempfile.mkdtemp(prefix="tare-memory-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
MOST = 64 * args.threads + 32  # MiB
TARGETS = (("mlx",), ("mlx", "--exact"), ("dense",), ("awq",), ("gptq_v2",), ("compressed-tensors",), ("mlx", "--proof"))


def most_anonymous(*command):
    """(exit status, peak of RssAnon in MiB, stderr)"""
    child, most = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True), 0
    while child.poll() is None:
        try:
            with open("/proc/%d/status" % child.pid) as f:
                most = max([most] + [int(line.split()[1]) for line in f if line.startswith("RssAnon")])
        except (OSError, ValueError):
            pass
        time.sleep(0.002)
    return child.returncode, most / 1024, child.communicate()[1]


wide = dict(synthetic.LLAMA_7B, hidden_size=2048, intermediate_size=28672, num_hidden_layers=1, num_attention_heads=16, num_key_value_heads=8,
            vocab_size=20000)
bad = 0
try:
    source, out = os.path.join(work, "in"), os.path.join(work, "out")
    synthetic.write(source, dict(wide, quantization_config=synthetic.AWQ), synthetic.tensors(wide))
    for target in TARGETS:
        code, most, text = most_anonymous(args.tare, "convert", source, "-o", out, "--no-data", "--threads", str(args.threads), "--to", *target)
        shutil.rmtree(out, True)
        wrong = code != 0 or most > MOST
        bad += wrong
        print("%-24s %5.1f MiB of %d%s" % (" ".join(target), most, MOST, ": exit %d, %s" % (code, text.strip()) if code else ""))
finally:
    shutil.rmtree(work, True)
sys.exit(1 if bad else 0)
