#!/usr/bin/env python3
"""packing_mlx.py OUT: small floats as mlx and the models' producers lay them out, with the truth, for tests/unit.

Each file holds the parts as stored and `truth`, float32 or bfloat16 (.., rows, in), by mlx's own dequantize and from_fp8. Needs mlx.
"""
import os
import sys

import mlx.core as mx
import numpy as np

out = sys.argv[1]
rng = np.random.default_rng(11)
E2M1 = mx.array([0, .5, 1, 1.5, 2, 3, 4, 6, -0.0, -.5, -1, -1.5, -2, -3, -4, -6])


def random_bytes(shape, mask=0xFF):
    return mx.array((rng.integers(0, 256, shape) & mask).astype(np.uint8))


def exponents(shape):
    return mx.array(rng.integers(0, 250, shape).astype(np.uint8))


def save(name, **tensors):
    mx.save_safetensors(os.path.join(out, name + ".safetensors"), tensors, metadata={"format": "pt"})


def spread(scale, shape, block):
    """A scale for each element: blocks of block[0] x block[1], cut off at the edges."""
    return mx.repeat(mx.repeat(scale, block[0], axis=-2), block[1], axis=-1)[..., :shape[-2], :shape[-1]]


words = random_bytes((16, 128), 0xF7).view(mx.uint32)
scales = exponents((16, 4))
save("mlx-mxfp8", **{"m.weight": words, "m.scales": scales,
                     "truth": mx.dequantize(words, scales=scales, group_size=32, bits=8, mode="mxfp8", dtype=mx.float32)})
words, scales, glob = random_bytes((2, 8, 32)).view(mx.uint32), random_bytes((2, 8, 4), 0xF7), mx.array([3.7, 0.02])
save("mlx-nvfp4-global", **{"m.weight": words, "m.scales": scales, "m.global_scale": glob, "truth": mx.stack([
    mx.dequantize(words[e], scales=scales[e], group_size=16, bits=4, mode="nvfp4", dtype=mx.float32, global_scale=glob[e]) for e in range(2)])})

# mlx_lm/models/deepseek_v3.py: bfloat16(from_fp8(weight, bfloat16) * scale_inv)
weight, scale = random_bytes((130, 136), 0xF7), mx.array(rng.uniform(0.001, 2, (2, 2)).astype(np.float32))
save("fp8-block", **{"m.weight": weight, "m.weight_scale_inv": scale, "truth": (
    mx.from_fp8(weight, dtype=mx.bfloat16) * spread(scale, weight.shape, (128, 128))).astype(mx.bfloat16)})
weight, scale = random_bytes((3, 4, 8), 0xF7), mx.array(rng.uniform(0.001, 2, (3, 1, 1)).astype(np.float32)).astype(mx.bfloat16)
save("fp8-experts", **{"m.gate_up_proj": weight, "m.gate_up_proj_scale_inv": scale,
                       "truth": (mx.from_fp8(weight, dtype=mx.bfloat16) * scale).astype(mx.bfloat16)})

# mlx_lm/models/deepseek_v41.py: _repack, then mlx's mxfp8 and mxfp4
weight, scale = random_bytes((40, 64), 0xF7), exponents((2, 2))
save("mxfp8-tiles", **{"m.weight": weight, "m.scale": scale, "truth": mx.dequantize(
    weight.view(mx.uint32), scales=mx.repeat(scale, 32, axis=-2)[:40], group_size=32, bits=8, mode="mxfp8", dtype=mx.float32)})
weight, scale = random_bytes((2, 6, 3, 16)), exponents((2, 6, 3))
save("mxfp4-blocks", **{"m.gate_up_proj_blocks": weight, "m.gate_up_proj_scales": scale, "truth": mx.dequantize(
    weight.view(mx.uint32).flatten(-2), scales=scale, group_size=32, bits=4, mode="mxfp4", dtype=mx.float32)})

# mlx_lm/models/muse_spark.py: nvfp4 whose global scale is 6 * 448 * scale_2, one for gate and one for up
weight, scale, two = random_bytes((2, 8, 16)), random_bytes((2, 8, 2), 0x77), mx.array(rng.uniform(0.01, 1, (2, 2)).astype(np.float32))
save("nvfp4-modelopt", **{"m.gate_up_proj": weight, "m.gate_up_proj_weight_scale": scale, "m.gate_up_proj_weight_scale_2": two,
     "truth": mx.stack([mx.concatenate([mx.dequantize(weight[e, 4 * h:4 * h + 4].view(mx.uint32), scales=scale[e, 4 * h:4 * h + 4],
                                                      group_size=16, bits=4, mode="nvfp4", dtype=mx.float32,
                                                      global_scale=two[e, h] * 2688) for h in range(2)]) for e in range(2)])})
