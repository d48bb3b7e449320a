#!/usr/bin/env python3
"""gguf_blocks.py FOLDER: makes blocks.gguf and blocks.f32 there, by gguf-py (PyPI: gguf, 0.19.0 wrote those in tests/data).

One tensor a kind of block, three rows of two blocks (of eight where a block has 32 columns) of random bits; scales are
random finite float16, subnormals and zeros among them. blocks.f32 has what gguf-py dequantizes, in order of the file.
"""
import sys

import gguf
import numpy as np

KINDS = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
         "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "MXFP4": []}
folder, rng = sys.argv[1], np.random.default_rng(5)
writer = gguf.GGUFWriter(folder + "/blocks.gguf", "llama")
writer.add_name("blocks")
floats = []
for kind, halves in KINDS.items():
    number = gguf.GGMLQuantizationType[kind]
    columns, size = gguf.GGML_QUANT_SIZES[number]
    blocks = rng.integers(0, 256, (3 * (2 if columns == 256 else 8), size), dtype=np.uint8)
    for at in halves:
        half = rng.integers(0, 65536, len(blocks), dtype=np.uint16)
        half[half >> 10 & 31 == 31] = 0x8001
        half[half >> 10 & 31 > 20] &= 0x83ff  # no scale above what a weight has
        blocks[:, at:at + 2] = half.astype("<u2").view(np.uint8).reshape(-1, 2)
    if kind == "MXFP4":
        blocks[:, 0] = rng.integers(0, 255, len(blocks))
        blocks[0, 0], blocks[1, 0] = 0, 1
        blocks[2:, 0] = np.minimum(blocks[2:, 0], 250)
    data = blocks.reshape(3, -1)
    writer.add_tensor("t.%s" % kind, data, raw_dtype=number)
    floats.append(gguf.quants.dequantize(data, number).astype("<f4").ravel())
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
np.concatenate(floats).tofile(folder + "/blocks.f32")
