#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""llama.py TARE LLAMA_LOGITS ROOT [GOLDEN]: what tare writes as GGUF, in stock llama.cpp (tools/peers.sh). Needs numpy.

Floats must give tare's own logits, to float32's rounding (Gemma's activation is a float16 table in ggml). With blocks llama.cpp rounds the
activations to 8 bits, so there the logits are near and the best token is mostly the same. GOLDEN is a folder with load/."""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

tare, peer, root = (os.path.abspath(p) for p in sys.argv[1:4])
golden = os.path.abspath(sys.argv[4]) if len(sys.argv) > 4 else None
data = os.path.join(root, "tests/data")
PROMPT = [1, 5, 9, 42, 77, 100, 133, 159]  # the prompt of the records of the reference
FAMILIES = ("llama_silent_redundant_head", "llama_untied_2shards", "qwen2_symmetric", "gemma2", "gemma3_text_tied_redundant_head", "phi3")
MORE = ("llama_silent_real_packed_head", "mistral_untied_quantized_head", "qwen2_tied_redundant_head", "qwen3_tied_redundant_head_symmetric",
        "qwen3_untied_quantized_head")
FLOATS = ["--dequantize=**", "--dtype", "float32"]
work = tempfile.mkdtemp(prefix="tare-llama-")
failed = []


def run(*args):
    done = subprocess.run(args, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit("%s: exit %d: %s" % (" ".join(args[:4]), done.returncode, done.stderr))
    return done.stdout


def made(source, *flags):
    path = os.path.join(work, "model.gguf")
    if os.path.exists(path):
        os.remove(path)
    run(tare, "convert", source, "-o", path, "--to", "gguf", *flags)
    return path


def logits(path, ids):
    out = os.path.join(work, "logits")
    run(peer, path, out, *map(str, ids))
    return np.fromfile(out, "<f4").reshape(len(ids), -1)


def hold(name, got, want, limit, same):
    off, best = float(np.abs(got - want).max() / np.abs(want).max()), int((got.argmax(1) == want.argmax(1)).sum())
    good = off <= limit and best >= same * len(want)
    print("%-60s off by %.2g of the largest, best token %d of %d%s" % (name, off, best, len(want), "" if good else "  FAILED"))
    if not good:
        failed.append(name)


def by_tare(source, ids):
    out = os.path.join(work, "tare.npy")
    run(tare, "logits", source, "--ids", ",".join(map(str, ids)), "-o", out)
    return np.load(out).reshape(len(ids), -1)


def family(name, source):
    ids = PROMPT + [(37 * i + 11) % 160 for i in range(24)]
    want = by_tare(source, ids)
    hold(name + ", floats", logits(made(source, *FLOATS), ids), want, 1e-3 if "gemma" in name else 1e-5, 1)
    hold(name, logits(made(source), ids), want, 0.06, 0.85)
    hold(name + ", --exact", logits(made(source, "--exact"), ids), want, 0.06, 0.85)


def story():
    """The built-in model: the record of transformers, token for token."""
    truth = json.load(open(os.path.join(data, "fable/greedy.json")))
    ids, n = truth["ids"], truth["tokens"]
    for flags in (FLOATS, [], ["--exact"]):
        path = made("fable", *flags)
        got = [int(w) for w in run(peer, path, "--generate", str(n), truth["prompt"]).split()]
        equal = next((k for k in range(len(ids)) if k >= len(got) or got[k] != ids[k]), len(ids)) - (len(ids) - n)
        good = equal == n if flags == FLOATS else equal >= 16
        print("%-60s %d of %d greedy tokens equal%s" % ("fable " + " ".join(flags), equal, n, "" if good else "  FAILED"))
        if not good:
            failed.append("fable")
        hold("fable %s" % " ".join(flags), logits(path, ids), by_tare("fable", ids), 1e-5 if flags == FLOATS else 0.03, 0.9)


story()
for name in FAMILIES:
    folders = [os.path.join(data, place, name) for place in ("gguf_out", "load")]
    family(name, next(f for f in folders if os.path.isdir(f)))
experts = os.path.join(data, "gguf_out/mixtral")  # tare does not run it: torch's logits, on weights that are not rounded
want = np.fromfile(os.path.join(experts, "logits_torch.f32"), "<f4").reshape(len(PROMPT), -1)
hold("mixtral, floats", logits(made(experts, *FLOATS), PROMPT), want, 1e-5, 1)
hold("mixtral", logits(made(experts), PROMPT), want, 0.06, 0.75)
for name in MORE if golden else ():
    family(name, os.path.join(golden, "load", name))
sys.exit("failed: " + ", ".join(failed) if failed else 0)
