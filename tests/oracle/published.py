#!/usr/bin/env python3
"""published.py GOLDEN OUT [NAME ...]: every architecture's published checkpoint (hf) and its packed form (awq) of golden/sanitize, with data, as
folders OUT/<model>-<case> for mlx_load.py: what tare makes of them has to load in the real mlx-lm, also where mlx-lm cannot load them itself.
Needs numpy.
"""
import json
import os
import struct
import sys

import numpy as np

ITEM = {"float32": ("F32", 4), "float16": ("F16", 2), "bfloat16": ("BF16", 2), "int32": ("I32", 4), "uint32": ("U32", 4), "uint8": ("U8", 1)}
golden, out, only = sys.argv[1], sys.argv[2], sys.argv[3:]


def data(shape, dtype, generator):
    n = int(np.prod(shape, dtype=np.int64))
    if dtype in ("int32", "uint32"):
        return generator.integers(0, 2**32, n, dtype=np.uint32).tobytes()
    if dtype == "uint8":
        return generator.integers(0, 120, n, dtype=np.uint8).tobytes()
    x = (generator.random(n, dtype=np.float32) - np.float32(0.5)) / 8
    if dtype == "bfloat16":
        return (x.view("<u4") >> 16).astype("<u2").tobytes()
    return x.astype({"float32": "<f4", "float16": "<f2"}[dtype]).tobytes()


for file in sorted(os.listdir(os.path.join(golden, "sanitize"))):
    name = file[:-len(".json")]
    if only and name not in only:
        continue
    with open(os.path.join(golden, "sanitize", file), encoding="utf-8") as f:
        cases = json.load(f)["cases"]
    for case in cases:
        if case["case"] not in ("hf", "awq"):
            continue
        folder = os.path.join(out, "%s-%s" % (name, case["case"]))
        os.makedirs(folder, exist_ok=True)
        head, body, generator = {}, b"", np.random.default_rng(len(name))
        for tensor, shape, dtype in case["input"]:
            raw = data(shape, dtype, generator)
            head[tensor] = {"dtype": ITEM[dtype][0], "shape": shape, "data_offsets": [len(body), len(body) + len(raw)]}
            body += raw
        text = json.dumps(head).encode()
        with open(os.path.join(folder, "model.safetensors"), "wb") as f:
            f.write(struct.pack("<Q", len(text)) + text + body)
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
            json.dump(case["config"], f)
