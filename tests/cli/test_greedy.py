#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test_greedy.py TARE ROOT: the built-in model's story equals, token for token, what transformers gave on its dequantized weights.

The record is tests/data/fable/greedy.json, written by tests/oracle/greedy.py."""
import json, os, subprocess, sys

tare, root = sys.argv[1:3]
truth = json.load(open(os.path.join(root, "tests/data/fable/greedy.json")))
for threads in ("1", "2"):
    p = subprocess.run([tare, "run", truth["prompt"], "--max-tokens", str(truth["tokens"]), "--threads", threads], capture_output=True,
                       text=True, stdin=subprocess.DEVNULL)
    if p.returncode or p.stdout.strip() != truth["text"].strip():
        sys.exit("exit %d with %s threads\n got:  %s\n want: %s\n%s" % (p.returncode, threads, p.stdout, truth["text"], p.stderr))
# each token of the record is the largest logit after those before it
import numpy as np, tempfile
with tempfile.TemporaryDirectory() as d:
    out = os.path.join(d, "l.npy")
    ids = truth["ids"]
    n = len(ids) - truth["tokens"]
    subprocess.run([tare, "logits", "fable", "--ids", ",".join(map(str, ids)), "--prefill", str(n), "-o", out], check=True)
    best = np.load(out).argmax(1)[n - 1:-1]
    if list(best) != ids[n:]:
        sys.exit("greedy ids differ: %s, want %s" % (list(best), ids[n:]))
print("greedy: %d tokens equal" % truth["tokens"])
