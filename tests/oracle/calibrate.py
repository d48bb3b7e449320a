#!/usr/bin/env python3
"""calibrate.py TARE TEXT: what tare quantize --calibrate writes, loaded by transformers with the packages of the formats.

models/fable as floats goes to compressed-tensors, gptq, gptq_v2 and awq by a text, and each result is loaded by transformers on a CPU: no tensor may be missing,
unexpected or of another shape, and the logits of a sentence are those of `tare logits`. Needs torch, transformers, safetensors, and for its formats compressed-tensors
or gptqmodel: a format whose package is not there is named, and is no failure. Exit 77: none could be looked at."""
import importlib.util
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NEEDS = {"compressed-tensors": "compressed_tensors", "gptq": "gptqmodel", "gptq_v2": "gptqmodel", "awq": "gptqmodel"}
IDS = [0, 908, 1117, 260, 768, 14, 260, 304, 565, 270, 260, 331, 468, 506]


def main():
    tare, text = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    there = [name for name in NEEDS if importlib.util.find_spec("transformers") and importlib.util.find_spec(NEEDS[name])]
    for name in sorted(set(NEEDS) - set(there)):
        print("%s: not looked at, %s is not installed" % (name, NEEDS[name]))
    if not there:
        return 77
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM

    wrong = 0
    with tempfile.TemporaryDirectory() as work:
        floats = os.path.join(work, "floats")
        subprocess.run([tare, "convert", os.path.join(ROOT, "models/fable"), "-o", floats, "--to", "dense"], check=True)
        for name in there:
            out = os.path.join(work, name)
            subprocess.run([tare, "quantize", floats, "-o", out, "--to", name, "--group", "64", "--calibrate", text, "--calibrate-length", "128"], check=True)
            try:
                model, info = AutoModelForCausalLM.from_pretrained(out, output_loading_info=True, dtype=torch.float32, device_map="cpu")
            except Exception as e:  # whatever the package raises is what is told
                print("%s: %s: %s" % (name, type(e).__name__, str(e)[:300]))
                wrong += 1
                continue
            left = {key: value for key, value in info.items() if value and key in ("missing_keys", "unexpected_keys", "mismatched_keys")}
            with torch.no_grad():
                theirs = model(torch.tensor([IDS])).logits[0, -1].float().numpy()
            npy = os.path.join(work, "logits.npy")
            subprocess.run([tare, "logits", out, "--ids", json.dumps(IDS)[1:-1].replace(" ", ""), "-o", npy], check=True)
            ours = np.load(npy).reshape(-1, theirs.size)[-1]
            apart = float(np.abs(ours - theirs).max())
            print("%s: left %s, logits %.4g apart of %.4g" % (name, left or "nothing", apart, float(np.abs(theirs).max())))
            wrong += bool(left) or apart > 0.02 * float(np.abs(theirs).max())
    return 1 if wrong else 0


sys.exit(main())
