#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Greedy fable against transformers: greedy.py TARE [--write FILE]

Dequantizes models/fable in numpy ((code - zero) * scale, float32), lets transformers continue "Once upon a time, a little fox"
greedily on those weights, and compares with `tare run`, token for token. Needs torch, transformers, numpy. --write records the
reference's ids and text for tests/cli/test_greedy.py, which needs none of them.
"""
import json, os, subprocess, sys
import numpy as np
import torch
import transformers

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODEL = os.path.join(ROOT, "models", "fable")
PROMPT, TOKENS = "Once upon a time, a little fox", 128
ORDER = [0, 4, 1, 5, 2, 6, 3, 7]  # nibble of each column of a word


def tensors():
    raw = open(os.path.join(MODEL, "model.safetensors"), "rb").read()
    n = int.from_bytes(raw[:8], "little")
    kinds = {"I32": "<u4", "F16": "<f2"}
    for name, e in json.loads(raw[8:8 + n]).items():
        if name != "__metadata__":
            a, b = e["data_offsets"]
            yield name, np.frombuffer(raw[8 + n + a:8 + n + b], kinds[e["dtype"]]).reshape(e["shape"])


def unpack(words):
    return np.stack([words >> np.uint32(4 * k) & np.uint32(15) for k in ORDER], -1).reshape(words.shape[0], -1).astype("f4")


def weights():
    all_ = dict(tensors())
    out = {n: t.astype("f4") for n, t in all_.items() if t.dtype == np.dtype("<f2") and not n.endswith(".scales")}
    for name, t in all_.items():
        stem = name[:-8]
        if name.endswith(".qweight") and stem != "lm_head":
            scale, zero, code = all_[stem + ".scales"].astype("f4"), unpack(all_[stem + ".qzeros"]), unpack(t)
            group = np.arange(len(code)) // (len(code) // len(scale))
            out[stem + ".weight"] = ((code - zero[group]) * scale[group]).T
    return {n: torch.tensor(np.ascontiguousarray(t)) for n, t in out.items()}


config = json.load(open(os.path.join(MODEL, "config.json")))
del config["quantization_config"], config["torch_dtype"]
model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**config)).eval()
missing, unexpected = model.load_state_dict(weights(), strict=False)
assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
model.tie_weights()
tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=os.path.join(MODEL, "tokenizer.json"))
ids = tokenizer(PROMPT)["input_ids"]
with torch.no_grad():
    for _ in range(TOKENS):
        best = int(model(torch.tensor([ids])).logits[0, -1].argmax())
        if best == config["eos_token_id"]:
            break
        ids.append(best)
text = tokenizer.decode(ids, skip_special_tokens=True)
got = subprocess.run([sys.argv[1], "run", PROMPT, "--max-tokens", str(TOKENS)], capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
same = got.strip() == text.strip() and tokenizer(got.strip())["input_ids"] == tokenizer(text.strip())["input_ids"]
if "--write" in sys.argv:
    json.dump({"transformers": transformers.__version__, "prompt": PROMPT, "tokens": TOKENS, "ids": ids, "text": text},
              open(sys.argv[sys.argv.index("--write") + 1], "w"), indent=1)
print("greedy: %d tokens, %s" % (len(ids), "equal" if same else "DIFFERENT\n tare: %s\n transformers: %s" % (got, text)))
sys.exit(0 if same else 1)
