#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""packings.py GOLDEN OUT: small checkpoints of packed weights, as their producers name and shape them, for mlx_load.py.

Each is golden/sanitize's "hf" case of an architecture whose sanitize in mlx-lm reads the format, with seeded random codes in
place of some weights. Needs mlx and numpy.
"""
import json
import os
import re
import sys

import mlx.core as mx
import numpy as np

golden, out = sys.argv[1:3]
rng = np.random.default_rng(7)
FP8 = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128], "activation_scheme": "dynamic"}
INT4 = {"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {"group_0": {"targets": ["Linear"],
        "weights": {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 32}}}}


def bytes_of(shape, mask=0xFF):
    return mx.array((rng.integers(0, 256, shape) & mask).astype(np.uint8))


def e4m3(shape):
    return bytes_of(shape, 0xF7)  # no NaN


def e8m0(shape):
    return mx.array(rng.integers(118, 128, shape).astype(np.uint8))


def floats(shape, dtype=mx.float32):
    return mx.array(rng.uniform(0.01, 0.1, shape).astype(np.float32)).astype(dtype)


def tiles(n, size):
    return -(-n // size)


def fp8_block(name, shape, dtype=mx.float32):
    m, n = shape
    return {name: e4m3(shape), name + "_scale_inv": floats((tiles(m, 128), tiles(n, 128)), dtype)}


def fp8_fused(name, shape):  # mistral4: one scale an expert, and static scales of activations
    return {name: e4m3(shape), name + "_scale_inv": floats((shape[0], 1, 1), mx.bfloat16), name + "_activation_scale": floats(())}


def fp8_tensor(name, shape):
    return {name: e4m3(shape), name + "_scale_inv": floats((), mx.bfloat16),
            name[:-len("weight")] + "activation_scale": floats(())}


def int4(name, shape):
    stem, (m, n) = name[:-len("weight")], shape
    return {stem + "weight_packed": mx.array(rng.integers(0, 2**31, (m, n // 8)).astype(np.int32)),
            stem + "weight_scale": floats((m, n // 32), mx.bfloat16), stem + "weight_shape": mx.array([m, n], dtype=mx.int32)}


def mxfp4_packed(name, shape):
    stem, (m, n) = name[:-len("weight")], shape
    return {stem + "weight_packed": bytes_of((m, n // 2)), stem + "weight_scale": e8m0((m, n // 32))}


def mxfp8_inverse(name, shape):
    return {name: e4m3(shape), name + "_scale_inv": e8m0((*shape[:-1], shape[-1] // 32))}


def fp8_tiles(name, shape):
    m, n = shape
    return {name: e4m3(shape), name[:-len("weight")] + "scale": e8m0((tiles(m, 32), n // 32))}


def fp4_rows(name, shape):
    m, n = shape
    return {name: bytes_of((m, n // 2)), name[:-len("weight")] + "scale": e8m0((m, n // 32))}


def nvfp4(name, shape):  # muse_spark: (n, in, out) becomes (n, out, in / 2)
    n, m, k = shape
    parts = {} if "gate_up" in name else None
    scale_2 = floats((n, 2)) if parts is not None else floats((n,))
    return {name: bytes_of((n, m, k // 2)), name + "_weight_scale": bytes_of((n, m, k // 16), 0x77),
            name + "_weight_scale_2": scale_2, name + "_input_scale": floats((n,))}


def write(case, config, tensors):
    folder = os.path.join(out, case)
    os.makedirs(folder, exist_ok=True)
    mx.save_safetensors(os.path.join(folder, "model.safetensors"), tensors, metadata={"format": "pt"})
    json.dump(config, open(os.path.join(folder, "config.json"), "w"))


def case(name, word, kinds, quantization=None, of="hf", change=None):
    """kinds: (pattern, packer); the first that matches a matrix packs it."""
    path = os.path.join(golden, "sanitize", name + ".json")
    found = next((c for c in json.load(open(path))["cases"] if c["case"] == of), None) if os.path.exists(path) else None
    if not found:
        print("no golden case of " + name)
        return
    config, tensors = dict(found["config"]), {}
    if quantization:
        config["quantization_config"] = quantization
    for key, shape, dtype in (r[:3] for r in found["input"]):
        pack = next((p for pattern, p in kinds if re.search(pattern, key) and len(shape) >= 2), None)
        if pack:
            tensors.update(pack(key, change(key, shape) if change else shape))
        elif dtype in ("uint8", "int32", "uint32"):
            tensors[key] = e8m0(shape) if "scale" in key else bytes_of(shape)
        else:
            tensors[key] = mx.array(rng.uniform(-0.5, 0.5, shape).astype(np.float32)).astype(getattr(mx, dtype))
    write("%s-%s" % (name, word), config, tensors)


LINEAR = r"(proj|experts\.\d+\.w\d)\.weight$"
for name in ("deepseek_v3", "deepseek_v32", "mimo_v2_flash", "glm_moe_dsa", "minimax", "mistral4"):
    case(name, "fp8", [(LINEAR, fp8_block)], FP8)
case("deepseek_v3", "fp8-bf16-scales", [(LINEAR, lambda n, s: fp8_block(n, s, mx.bfloat16))])
case("mistral4", "fp8-fused", [(r"experts\.(gate_up|down)_proj$", fp8_fused), (LINEAR, fp8_tensor)],
     {"quant_method": "fp8", "activation_scheme": "static", "weight_block_size": None})
case("deepseek_v3", "int4", [(r"experts\.\d+\..*_proj\.weight$", int4)], INT4)
case("mistral4", "int4", [(r"shared_experts\..*_proj\.weight$", int4)], INT4)
case("gpt_oss", "mxfp4", [], of="hf mxfp4")
case("deepseek_v41", "fp4-fp8", [(r"experts\.\d+\.w\d\.weight$", fp4_rows), (r"(attn\.w(q_a|q_b|kv|o_a|o_b)|shared_experts\.w\d)\.weight$", fp8_tiles)],
     {"quant_method": "fp8", "fmt": "e4m3", "scale_fmt": "ue8m0", "weight_block_size": [32, 32]})
case("minimax_m3_vl", "mxfp8", [(LINEAR, mxfp8_inverse)], {"quant_method": "mxfp8"})
case("muse_spark", "nvfp4", [(r"layers\.1\.mlp\.experts\.(gate_up|down)_proj$", nvfp4)], {"quant_method": "modelopt", "quant_algo": "NVFP4"})
case("kimi_k3", "mxfp4", [(r"experts\.\d+\.w\d\.weight$", mxfp4_packed)], dict(INT4, format="mxfp4-pack-quantized", config_groups={}))

# MLX's own modes in one checkpoint: mlx-lm names the odd ones in the config, and infers what it does not find there.
MODES = [("mxfp4", 32, 4), ("mxfp8", 32, 8), ("nvfp4", 16, 4), ("affine", 64, 8)]
quantization = {"group_size": 32, "bits": 4, "mode": "mxfp4"}


def mlx_mode(name, shape):
    path = name[:-len(".weight")]
    mode, group, bits = MODES[len(quantization) % len(MODES)]
    quantization[path] = {"group_size": group, "bits": bits, "mode": mode}
    if mode == "affine":
        del quantization[path]["mode"]  # an entry without one is affine
    made = mx.quantize(floats(shape) - 0.05, group_size=group, bits=bits, mode=mode)
    return dict(zip((name, path + ".scales", path + ".biases"), made))


case("llama", "mlx-modes", [(LINEAR, mlx_mode)], None)
config = os.path.join(out, "llama-mlx-modes", "config.json")
json.dump(dict(json.load(open(config)), quantization=quantization), open(config, "w"))
