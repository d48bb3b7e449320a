#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Perplexity of fable against transformers: perplexity.py TARE [FILE ...] [--write FILE]

The dequantized weights of tests/oracle/greedy.py in float32, and the same windows as `tare perplexity` (its --help says how they are cut). Held
against each FILE (a text) and against tests/data/fable/stories.txt, within 0.1%, with float32 throughout within a thousandth of a percent. --write records the figures of the latter for
tests/cli/test_measure.py, which needs neither torch nor transformers.
"""
import json
import math
import os
import subprocess
import sys

import torch

import fable_model

CONTEXTS = (256, 100, 4096)  # the model's own; one that cuts elsewhere; one that the short text does not fill
STORIES = os.path.join(fable_model.ROOT, "tests/data/fable/stories.txt")


def perplexity(ids, context):
    """(exp of the mean of -ln p, tokens): window k feeds ids [k context, (k + 1) context), each predicts the next one."""
    whole = (len(ids) - 1) // context
    nats = []
    for k in range(max(whole, 1)):
        window = torch.tensor(ids[k * context:(k + 1) * context + 1])
        with torch.no_grad():
            logits = model(window[None, :-1]).logits[0].double()
        nats.append(-torch.log_softmax(logits, -1)[torch.arange(len(window) - 1), window[1:]])
    nats = torch.cat(nats)
    return math.exp(nats.mean()), len(nats)


tare, texts = sys.argv[1], [a for a in sys.argv[2:] if not a.startswith("--")]
if "--write" in sys.argv:
    texts.remove(sys.argv[sys.argv.index("--write") + 1])
model, tokenizer = fable_model.model(), fable_model.tokenizer()
record, bad = [], False
for path in [STORIES] + texts:
    with open(path, encoding="utf-8") as f:
        ids = tokenizer(f.read())["input_ids"]
    for context in CONTEXTS:
        want, n = perplexity(ids, context)
        got = json.loads(subprocess.run([tare, "perplexity", "fable", path, "--context", str(context), "--against-exact", "--json"], check=True,
                                        capture_output=True, text=True).stdout)
        usual, exact = got["perplexity"] / want - 1, got["exact"]["perplexity"] / want - 1
        most = 1e-3 if context <= 256 else 5e-3  # beyond what the model was made for it guesses, and rounding shows
        good = abs(usual) < most and abs(exact) < 1e-5 and got["tokens"] == n
        bad |= not good
        print("%-40s context %4d: %.5f; tare off by %.4f%%, exact by %.6f%%%s" % (os.path.basename(path), context, want, 100 * usual, 100 * exact,
                                                                                "" if good else "  FAILED"))
        if path == STORIES:
            record.append({"context": context, "perplexity": want, "tokens": n})
if "--write" in sys.argv:
    with open(sys.argv[sys.argv.index("--write") + 1], "w", encoding="utf-8") as f:
        json.dump({"transformers": fable_model.VERSION, "windows": record}, f, indent=1)
        f.write("\n")
sys.exit(bad)
