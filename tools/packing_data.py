#!/usr/bin/env python3
"""packing_data.py PRODUCERS OUT: a few rows of modules as their producers packed them, with the truth, for tests/unit.

Each file holds m.<part> as stored and `truth`, float32 (rows, in), from PRODUCERS/*/truth.safetensors.
"""
import json
import os
import struct
import sys

import numpy as np

TYPES = {"F16": "<u2", "BF16": "<u2", "I32": "<i4", "U32": "<u4", "F32": "<f4", "U8": "u1", "I64": "<i8", "I16": "<i2",
         "F8_E4M3": "u1"}
ROWS = 16


def read(path):
    raw = open(path, "rb").read()
    n = struct.unpack("<Q", raw[:8])[0]
    at = 8 + n
    return {k: (e["dtype"], np.frombuffer(raw[at + e["data_offsets"][0]:at + e["data_offsets"][1]], TYPES[e["dtype"]])
                .reshape(e["shape"])) for k, e in json.loads(raw[8:at]).items() if k != "__metadata__"}


def write(path, tensors):
    head, data = {}, b""
    for name, (dtype, values) in tensors.items():
        raw = np.ascontiguousarray(values).tobytes()
        head[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + data)


producers, out = sys.argv[1:]
module = "model.layers.0.self_attn.k_proj"
for case in ("awq-gemm-g32-smol", "awq-gemm-g128-qwen2", "gm-awq-gemm-sym-g128-smol"):
    tensors = read(os.path.join(producers, case, "model.safetensors"))
    truth = read(os.path.join(producers, case, "truth.safetensors"))[module + ".weight"]
    some = {"m.qweight": ROWS // 8, "m.qzeros": ROWS // 8, "m.scales": ROWS}
    made = {k: (tensors[module + k[1:]][0], tensors[module + k[1:]][1][:, :n]) for k, n in some.items()}
    write(os.path.join(out, case + ".safetensors"), dict(made, truth=("F32", truth[1][:ROWS])))
for case in ("mlx-affine-b3-g64-smol", "mlx-affine-b4-g64-smol", "mlx-affine-b6-g64-qwen3", "mlx-affine-b8-g32-llama"):
    tensors = read(os.path.join(producers, case, "model.safetensors"))
    truth = read(os.path.join(producers, case, "truth.safetensors"))[module + ".weight"]
    made = {"m." + k: (tensors[module + "." + k][0], tensors[module + "." + k][1][:ROWS])
            for k in ("weight", "scales", "biases")}
    write(os.path.join(out, case + ".safetensors"), dict(made, truth=("F32", truth[1][:ROWS])))
# how many of a part's first axis make ROWS rows; None: the whole part
SHARE = {"weight_zero_point": ROWS // 8, "weight_g_idx": None, "weight_global_scale": None}
for case in ("mlx-mxfp4-smol", "mlx-nvfp4-llama", "awq-gemv-g64-smol", "awq-gemvfast-g64-qwen2", "ct-w4a16-g32-smol", "ct-mxfp4a16-llama",
             "ct-nvfp4a16-smol", "ct-fp8-block-llama", "ct-fp8-dynamic-smol", "ct-w3a16-g32-qwen2", "ct-w4a16-g64-asym-llama", "ct012-w3a16-g32-llama",
             "ct012-w4a16-actgroup-g32-smol"):
    tensors = read(os.path.join(producers, case, "model.safetensors"))
    truth = read(os.path.join(producers, case, "truth.safetensors"))[module + ".weight"]
    made = {}
    for name, (dtype, values) in tensors.items():
        part = name[len(module) + 1:]
        if not name.startswith(module + ".") or part == "bias":
            continue
        share = SHARE.get(part, ROWS)
        if "gemvfast" in case:
            values = values[:ROWS // 4] if part == "qweight" else values[:, :ROWS]
        elif part == "weight_shape":
            values = np.array([ROWS, values[1]])
        elif case == "ct-fp8-block-llama" and part == "weight_scale":
            pass  # one block
        elif share:
            values = values[:share]
        made["m." + part] = (dtype, values)
    write(os.path.join(out, case + ".safetensors"), dict(made, truth=("F32", truth[1][:ROWS])))
