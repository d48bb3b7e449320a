# SPDX-License-Identifier: MIT
"""fable_model.py - models/fable as transformers runs it: dequantized in numpy ((code - zero) * scale, float32). Needs torch, transformers, numpy."""
import json
import os

import numpy as np
import torch
import transformers

VERSION = transformers.__version__
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODEL = os.path.join(ROOT, "models", "fable")
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


def config():
    with open(os.path.join(MODEL, "config.json"), encoding="utf-8") as f:
        made = json.load(f)
    del made["quantization_config"], made["torch_dtype"]
    return made


def model():
    made = transformers.LlamaForCausalLM(transformers.LlamaConfig(**config())).eval()
    missing, unexpected = made.load_state_dict(weights(), strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
    made.tie_weights()
    return made


def tokenizer():
    return transformers.PreTrainedTokenizerFast(tokenizer_file=os.path.join(MODEL, "tokenizer.json"))
