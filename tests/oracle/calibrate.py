#!/usr/bin/env python3
"""calibrate.py TARE TEXT: what tare quantize --calibrate writes, loaded by the packages of the formats on a CPU.

models/fable as floats goes to compressed-tensors, gptq, gptq_v2 (in full act-order) and awq by a text. transformers loads the first with compressed-tensors, and no tensor
may be missing, unexpected or of another shape; gptqmodel loads the others, by its kernels in torch. The logits of a sentence are those of `tare logits`. A format whose package is
not there is named, and is no failure. Exit 77: none could be looked at."""
import importlib.util
import os
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NEEDS = {"compressed-tensors": "compressed_tensors", "gptq": "gptqmodel", "gptq_v2": "gptqmodel", "awq": "gptqmodel"}
IDS = [0, 908, 1117, 260, 768, 14, 260, 304, 565, 270, 260, 331, 468, 506]


MORE = {"gptq_v2": ["--act-order", "full", "--scheme", "asymmetric"]}


def load_transformers(path):
    import torch
    from transformers import AutoModelForCausalLM
    model, info = AutoModelForCausalLM.from_pretrained(path, output_loading_info=True, dtype=torch.float32, device_map="cpu")
    left = {key: value for key, value in info.items() if value and key in ("missing_keys", "unexpected_keys", "mismatched_keys")}
    if left:
        raise ValueError("left over: %s" % left)
    return model


def load_gptqmodel(path):
    os.cpu_count = lambda: 8  # its pools want more than a small machine has
    import torch
    from gptqmodel import BACKEND, GPTQModel
    awq = path.endswith("awq")
    return GPTQModel.load(path, backend=BACKEND.TORCH_AWQ if awq else BACKEND.TORCH, device="cpu", dtype=torch.float32 if awq else torch.float16).model


def main():
    tare, text = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    there = [name for name in NEEDS if importlib.util.find_spec("transformers") and importlib.util.find_spec(NEEDS[name])]
    for name in sorted(set(NEEDS) - set(there)):
        print("%s: not looked at, %s is not installed" % (name, NEEDS[name]))
    if not there:
        return 77
    import numpy as np
    import torch

    wrong = 0
    with tempfile.TemporaryDirectory() as work:
        floats = os.path.join(work, "floats")
        subprocess.run([tare, "convert", os.path.join(ROOT, "models/fable"), "-o", floats, "--to", "dense"], check=True)
        for name in there:
            out, npy = os.path.join(work, name), os.path.join(work, "logits.npy")
            subprocess.run([tare, "quantize", floats, "-o", out, "--to", name, "--group", "64", "--calibrate", text, "--calibrate-length", "128", *MORE.get(name, [])],
                           check=True)
            try:
                model = (load_gptqmodel if NEEDS[name] == "gptqmodel" else load_transformers)(out)
                with torch.no_grad():
                    theirs = model(torch.tensor([IDS])).logits[0, -1].float().numpy()
            except Exception as e:  # whatever the package raises is what is told
                print("%s: %s: %s" % (name, type(e).__name__, str(e)[:300]))
                wrong += 1
                continue
            subprocess.run([tare, "logits", out, "--ids", ",".join(map(str, IDS)), "-o", npy], check=True)
            apart, most = float(np.abs(np.load(npy).reshape(-1, theirs.size)[-1] - theirs).max()), float(np.abs(theirs).max())
            print("%s: logits %.4g apart of %.4g" % (name, apart, most))
            wrong += apart > 0.005 * most
    return 1 if wrong else 0


sys.exit(main())
