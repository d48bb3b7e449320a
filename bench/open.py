#!/usr/bin/env python3
"""open.py BUILD [--runs N]: how fast is a plan? (tare check --no-data, less the start of the program)

A checkpoint of 100,000 tensors (a mixture of experts in AWQ) is to be planned in under a second, a usual 7B in under 10 ms. Both are
sparse files: headers are all that a plan reads. Best of five. Exit status 1 when a target is missed.
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
parser.add_argument("--runs", type=int, default=5)
args = parser.parse_args()
work = tempfile.mkdtemp(prefix="tare-bench-")
atexit.register(shutil.rmtree, work, True)
tare = os.path.join(args.build, "tare")


def seconds(*command):
    least = float("inf")
    for _ in range(args.runs):
        start = time.monotonic()
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        least = min(least, time.monotonic() - start)
        if done.returncode not in (0, 1):
            sys.exit("%s: exit %d: %s" % (" ".join(command), done.returncode, done.stderr.strip()))
    return least


def mixtral(layers, experts):
    """(config, tensors) with experts * 3 packed modules a layer: 9 tensors each."""
    config = dict(synthetic.LLAMA_7B, model_type="mixtral", architectures=["MixtralForCausalLM"], hidden_size=256,
                  intermediate_size=256, num_hidden_layers=layers, num_attention_heads=4, num_key_value_heads=4,
                  num_local_experts=experts, num_experts_per_tok=2, vocab_size=1000, rope_theta=1e6)
    rows = []
    for name, dtype, shape in synthetic.tensors(config):
        if ".mlp." not in name:
            rows.append((name, dtype, shape))
        elif ".mlp.gate_proj." in name:
            at, part = name.split(".mlp.gate_proj.")
            rows += [("%s.block_sparse_moe.experts.%d.%s.%s" % (at, e, w, part), dtype, shape)
                     for e in range(experts) for w in ("w1", "w2", "w3")]
    rows += [("model.layers.%d.block_sparse_moe.gate.weight" % i, "F16", [experts, 256]) for i in range(layers)]
    return config, rows


start = seconds(tare, "--version")
missed = False
for name, (config, rows), target in (("a 7B", (synthetic.LLAMA_7B, synthetic.tensors(synthetic.LLAMA_7B)), 0.010),
                                     ("large", mixtral(85, 128), 1.0)):
    folder = os.path.join(work, name.replace(" ", "-"))
    synthetic.write(folder, dict(config, quantization_config=synthetic.AWQ), rows, sparse=True)
    took = seconds(tare, "check", "--no-data", folder) - start
    missed |= took >= target
    print("%-6s %6d tensors: %8.2f ms (target %g ms)" % (name, len(rows), took * 1e3, target * 1e3))
sys.exit(1 if missed else 0)
