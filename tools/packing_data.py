#!/usr/bin/env python3
"""packing_data.py PRODUCERS OUT: a few rows of modules as their producers packed them, with the truth, for tests/unit.

Each file holds m.<part> as stored and `truth`, float32 (rows, in), from PRODUCERS/*/truth.safetensors.
"""
import json
import os
import struct
import sys

import numpy as np

TYPES = {"F16": "<u2", "BF16": "<u2", "I32": "<i4", "U32": "<u4", "F32": "<f4", "U8": "u1", "I64": "<i8"}
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
for case, parts in (("mlx-mxfp4-smol", ("weight", "scales")), ("mlx-nvfp4-llama", ("weight", "scales")),
                    ("ct-w4a16-g32-smol", ("weight_packed", "weight_scale", "weight_shape")),
                    ("ct-mxfp4a16-llama", ("weight_packed", "weight_scale"))):
    tensors = read(os.path.join(producers, case, "model.safetensors"))
    truth = read(os.path.join(producers, case, "truth.safetensors"))[module + ".weight"]
    made = {"m." + k: (tensors[module + "." + k][0], tensors[module + "." + k][1][:ROWS]) for k in parts}
    write(os.path.join(out, case + ".safetensors"), dict(made, truth=("F32", truth[1][:ROWS])))
