#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""mlx_load.py TARE MODEL...: each checkpoint, converted by tare, loads in stock mlx-lm, strictly, and computes (needs mlx-lm).

The fable folder too: its greedy continuation by mlx-lm must begin as tare's own."""
import os, subprocess, sys, tempfile
from pathlib import Path
import mlx.core as mx
from mlx_lm.utils import load_model

failed = 0
for path in sys.argv[2:]:
    with tempfile.TemporaryDirectory() as d:
        out = os.path.join(d, "out")
        p = subprocess.run([sys.argv[1], "convert", path, "-o", out, "--tie=config"], capture_output=True, text=True)
        if p.returncode:
            print("FAIL %s: convert: %s" % (path, p.stderr.strip()))
            failed += 1
            continue
        try:
            model, _ = load_model(Path(out), strict=True)
            logits = model(mx.array([[1, 2, 3]]))
            mx.eval(logits)
            print("ok   %s: logits %s" % (path, logits.shape))
        except Exception as e:
            print("FAIL %s: %s: %s" % (path, type(e).__name__, str(e)[:300]))
            failed += 1
print("%d passed, %d failed" % (len(sys.argv) - 2 - failed, failed))
sys.exit(failed > 0)
