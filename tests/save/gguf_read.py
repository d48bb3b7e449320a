"""GGUF v3 read by numpy, from docs/layouts.md and the GGUF specification of ggml: metadata, tensors, and blocks as float32."""
import struct

import numpy as np

SINGLE = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
TYPES = {0: ("F32", 1, 4), 1: ("F16", 1, 2), 30: ("BF16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 8: ("Q8_0", 32, 34),
         39: ("MXFP4", 32, 17)}
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], np.float32)


class File:
    """meta: key -> value; tensors: name -> (type, shape, bytes)."""

    def __init__(self, path):
        with open(path, "rb") as f:
            self.data = f.read()
        self.at = 8
        assert self.data[:8] == b"GGUF\x03\0\0\0", self.data[:8]
        count, pairs = self.take("<QQ")
        self.meta = {}
        for _ in range(pairs):
            key = self.text()
            assert key not in self.meta, key
            self.meta[key] = self.value(self.take("<I")[0])
        table = []
        for _ in range(count):
            name, rank = self.text(), self.take("<I")[0]
            shape, (kind, offset) = self.take("<%dQ" % rank)[::-1], self.take("<IQ")
            table.append((name, kind, shape, offset))
        start, self.tensors, end = -(-self.at // 32) * 32, {}, 0
        for name, kind, shape, offset in table:
            word, columns, size = TYPES[kind]
            assert offset == -(-end // 32) * 32 and shape[-1] % columns == 0, name
            end = offset + int(np.prod(shape)) // columns * size
            assert name not in self.tensors, name
            self.tensors[name] = (word, tuple(int(n) for n in shape), self.data[start + offset:start + end])
        assert len(self.data) == start + -(-end // 32) * 32

    def take(self, form):
        values = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return values

    def text(self):
        (n,) = self.take("<Q")
        self.at += n
        return self.data[self.at - n:self.at].decode()

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind == 9:
            item, n = self.take("<IQ")
            return [self.text() for _ in range(n)] if item == 8 else list(self.take("<%d%s" % (n, SINGLE[item])))
        return self.take("<" + SINGLE[kind])[0]

    def floats(self, name):
        kind, shape, raw = self.tensors[name]
        return dequantize(kind, raw).reshape(shape)


def half(blocks, at):
    return np.ascontiguousarray(blocks[:, at:at + 2]).view("<f2").astype(np.float32)


def nibbles(blocks, at):
    bytes_ = blocks[:, at:at + 16]
    return np.concatenate([bytes_ & 15, bytes_ >> 4], 1)


def dequantize(kind, raw):
    if kind in ("F32", "F16"):
        return np.frombuffer(raw, "<f4" if kind == "F32" else "<f2").astype(np.float32)
    if kind == "BF16":
        return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
    size = {word: size for word, _, size in TYPES.values()}[kind]
    blocks = np.frombuffer(raw, np.uint8).reshape(-1, size)
    if kind == "Q4_0":
        return half(blocks, 0) * (nibbles(blocks, 2).astype(np.float32) - 8)
    if kind == "Q4_1":
        return half(blocks, 0) * nibbles(blocks, 4).astype(np.float32) + half(blocks, 2)
    if kind == "Q8_0":
        return half(blocks, 0) * blocks[:, 2:].view(np.int8).astype(np.float32)
    return np.exp2(blocks[:, :1].astype(np.float32) - 127) * E2M1[nibbles(blocks, 1)]


def unpermuted(rows, heads):
    """Rows of q or k as the model's own files have them: row 2j + h of a head is row h * half + j there."""
    n = len(rows) // heads
    return rows.reshape(heads, n // 2, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
