#!/usr/bin/env python3
"""gguf_blocks.py FOLDER: makes blocks.gguf and blocks.f32 there, by gguf-py (PyPI: gguf, 0.19.0 made those in tests/data).

One tensor a kind of block, three rows of 512 columns (the IQ types and their like: of one block) of random
bits; scales are random finite float16, subnormals and zeros among them. blocks.f32 has what gguf-py dequantizes, in order of
the file. gguf-py does not know Q1_0 and Q2_0: their two lines below say what ggml's documents do.
"""
import os
import sys

import gguf
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))
import gguf_made  # noqa: E402

K_QUANTS = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")
folder, rng = sys.argv[1], np.random.default_rng(5)


def halves(n):
    half = rng.integers(0, 65536, n, dtype=np.uint16)
    half[half >> 10 & 31 == 31] = 0x8001
    half[half >> 10 & 31 > 20] &= 0x83ff  # no scale above what a weight has
    return half.astype("<u2")


def random_blocks(kind, n):
    _, _, size, at = gguf_made.KINDS[kind]
    blocks = rng.integers(0, 256, (n, size), dtype=np.uint8)
    for where in at:
        blocks[:, where:where + 2] = halves(n).view(np.uint8).reshape(-1, 2)
    if kind == "MXFP4":
        blocks[:, 0] = rng.integers(0, 255, n)
        blocks[0, 0], blocks[1, 0] = 0, 1
        blocks[2:, 0] = np.minimum(blocks[2:, 0], 250)
    if kind == "IQ1_M":  # four bits of its scale are above each twelve
        scales = blocks[:, 48:].copy().view("<u2")
        scales[:] = scales & 0xfff | (halves(n)[:, None] >> np.array([0, 4, 8, 12], np.uint16) & 15) << 12
        blocks[:, 48:] = scales.view(np.uint8)
    return blocks


def values(kind, blocks):
    if kind == "Q1_0":
        return (np.unpackbits(blocks[:, 2:], axis=1, bitorder="little") * 2.0 - 1) * blocks[:, :2].copy().view("<f2").astype("<f4")
    if kind == "Q2_0":
        codes = blocks[:, 2:, None] >> np.array([0, 2, 4, 6], np.uint8) & 3
        return (codes.reshape(len(blocks), -1) - 1.0) * blocks[:, :2].copy().view("<f2").astype("<f4")
    return gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType[kind])


tensors, floats = {}, []
for kind, (number, columns, _, _) in gguf_made.KINDS.items():
    row = 512 // columns if columns == 32 or kind in K_QUANTS else 1
    blocks = random_blocks(kind, 3 * row)
    tensors["t." + kind] = (number, (3, row * columns), blocks.tobytes())
    floats.append(np.asarray(values(kind, blocks), "<f4").ravel())
with open(folder + "/blocks.gguf", "wb") as f:
    f.write(gguf_made.gguf({"general.architecture": "llama", "general.name": "blocks"}, tensors))
np.concatenate(floats).tofile(folder + "/blocks.f32")
