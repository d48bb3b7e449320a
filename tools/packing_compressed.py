#!/usr/bin/env python3
"""packing_compressed.py OUT: small modules as compressed-tensors itself packs them, with the truth, for tests/unit.

Needs torch, and compressed-tensors 0.12.2 or 0.19.0 on the path: run once with each (`pip install --no-deps --target DIR
compressed-tensors==0.19.0`, PYTHONPATH=DIR). Truth is what its own unpacking gives, float32: (q - zero) * scale.
"""
import os
import sys

import compressed_tensors
import torch
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from safetensors.torch import save_file

out = sys.argv[1]
old = compressed_tensors.__version__.startswith("0.12")
name = "ct012-" if old else "ct019-"
torch.manual_seed(5)


def save(case, tensors, truth):
    made = {"m." + k: v.contiguous() for k, v in tensors.items()}
    save_file(dict(made, truth=truth.float().contiguous()), os.path.join(out, name + case + ".safetensors"))


def integers(bits, rows, columns, groups, symmetric):
    """Codes as compressed-tensors has them (signed), zeros likewise, scales."""
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    q = torch.randint(low, high + 1, (rows, columns), dtype=torch.int8)
    z = torch.zeros(rows, groups, dtype=torch.int8) if symmetric else torch.randint(low, high + 1, (rows, groups), dtype=torch.int8)
    s = (torch.rand(rows, groups) * 0.02 + 0.001).to(torch.float16)
    return q, z, s, (q.float() - z.float().repeat_interleave(columns // groups, 1)) * s.float().repeat_interleave(columns // groups, 1)


def packed(case, bits, rows, columns, groups, symmetric):
    if old:
        from compressed_tensors.compressors.quantized_compressors.pack_quantized import pack_to_int32, unpack_from_int32
    else:
        from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32, unpack_from_int32
    q, z, s, truth = integers(bits, rows, columns, groups, symmetric)
    made = {"weight_packed": pack_to_int32(q, bits), "weight_scale": s, "weight_shape": torch.tensor([rows, columns])}
    assert torch.equal(unpack_from_int32(made["weight_packed"], bits, torch.Size((rows, columns))), q)
    if not symmetric:
        made["weight_zero_point"] = pack_to_int32(z, bits, packed_dim=0)
        assert torch.equal(unpack_from_int32(made["weight_zero_point"], bits, torch.Size((rows, groups)), packed_dim=0), z)
    save(case, made, truth)


for b in (2, 3, 5, 6, 7) if not old else (3, 5, 6):
    packed("b%d-asym" % b, b, 40, 96, 3, False)
packed("b3-chan", 3, 8, 384 if old else 416, 1, True)  # 39 words in both
if not old:
    packed("b8-asym", 8, 9, 64, 2, False)
    packed("b4-odd", 4, 8, 72, 3, True)  # groups of 24
    from compressed_tensors.compressors import BaseCompressor

    def whole(case, fmt, weight, state, **args):
        """Through the compressor of a format, and back with float32 scales."""
        scheme = QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(**args))
        way = BaseCompressor.get_value_from_registry(fmt)
        made = way.compress(dict(state, weight=weight), scheme)
        wide = {k: v.float() if v.is_floating_point() and k == "weight_scale" and v.dtype in (torch.float16, torch.bfloat16) else v for k, v in made.items()}
        truth = way.decompress(wide, scheme)["weight"]
        if "nvfp4" in fmt:  # it computes in bfloat16; this is the same in float32
            from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8
            codes = unpack_fp4_from_uint8(made["weight_packed"], *weight.shape)
            truth = codes.float() * (made["weight_scale"].float() / made["weight_global_scale"]).repeat_interleave(16, 1)
        save(case, made, truth)

    w = torch.randn(24, 64) * 0.05
    scale = lambda shape: (torch.rand(shape) * 0.0005 + 0.0003)
    whole("int8-chan", "int-quantized", w, {"weight_scale": scale((24, 1)).bfloat16()}, num_bits=8, type="int", strategy="channel")
    whole("int8-asym", "int-quantized", w, {"weight_scale": scale((24, 1)).half(), "weight_zero_point": torch.randint(-100, 100, (24, 1), dtype=torch.int8)},
          num_bits=8, type="int", strategy="channel", symmetric=False)
    whole("int8-tensor", "int-quantized", w, {"weight_scale": scale((1,))}, num_bits=8, type="int", strategy="tensor")
    whole("int8-group", "naive-quantized", w, {"weight_scale": scale((24, 2)).half()}, num_bits=6, type="int", strategy="group", group_size=32)
    whole("fp8-tensor", "float-quantized", w, {"weight_scale": scale((1,)).bfloat16()}, num_bits=8, type="float", strategy="tensor")
    whole("fp8-chan", "float-quantized", w, {"weight_scale": scale((24, 1))}, num_bits=8, type="float", strategy="channel")
    whole("fp8-block", "float-quantized", torch.randn(40, 72) * 0.05, {"weight_scale": scale((3, 3)).bfloat16()}, num_bits=8, type="float", strategy="block",
          block_structure=[16, 32])
    whole("mxfp8", "mxfp8-quantized", w, {"weight_scale": 2.0 ** torch.randint(-12, -8, (24, 2)).float()}, num_bits=8, type="float", strategy="group",
          group_size=32, scale_dtype=torch.uint8)
    w = torch.randn(24, 64)
    whole("nvfp4", "nvfp4-pack-quantized", w, {"weight_scale": (torch.rand(24, 4) * 100 + 20).to(torch.float8_e4m3fn).float(), "weight_global_scale": torch.tensor([187.3])},
          num_bits=4, type="float", strategy="tensor_group", group_size=16)
    # ModelOpt's NVFP4 of a linear layer: its second scale multiplies
    code = torch.randint(0, 256, (24, 32), dtype=torch.uint8)
    values = torch.tensor([0, .5, 1, 1.5, 2, 3, 4, 6, -0.0, -.5, -1, -1.5, -2, -3, -4, -6])
    s, g = (torch.rand(24, 4) * 400 + 1).to(torch.float8_e4m3fn), torch.tensor(0.0007123)
    name = "modelopt-"
    q = torch.stack([values[(code & 15).long()], values[(code >> 4).long()]], 2).reshape(24, 64)
    save("nvfp4", {"weight": code, "weight_scale": s, "weight_scale_2": g}, (s.float() * g).repeat_interleave(16, 1) * q)
