#!/usr/bin/env python3
"""test_compressed.py TARE [CLASS ...]: compressed-tensors, ModelOpt and the layouts of AWQ, by the command. Standard library and numpy."""
import json
import os
import struct
import sys
import unittest

import numpy as np

import made
from made import AWQ, LLAMA, NIBBLE, Case, Packed, llama, read_raw, spawn, values

P = "model.layers.0."
LINEARS = {"mlp.down_proj": (64, 128), "mlp.gate_proj": (128, 64), "mlp.up_proj": (128, 64), "self_attn.q_proj": (64, 64),
           "self_attn.k_proj": (32, 64), "self_attn.v_proj": (32, 64), "self_attn.o_proj": (64, 64)}
E2M1 = np.array([0, .5, 1, 1.5, 2, 3, 4, 6, -0., -.5, -1, -1.5, -2, -3, -4, -6], np.float32)
RNG = np.random.default_rng(7)


def e4m3(byte):
    """The numbers of e4m3 bytes (no NaN among them)."""
    b = byte.astype(np.int32)
    exponent, fraction = b >> 3 & 15, b & 7
    size = np.where(exponent, (8 + fraction) * 2.0 ** (exponent - 10), fraction * 2.0 ** -9)
    return np.where(b & 128, -size, size).astype(np.float32)


def stream(codes, bits, whole=False):
    """[rows, n] -> int32 words, one stream, or 32 / bits codes a word."""
    rows, n = codes.shape
    if whole:
        per = 32 // bits
        full = np.zeros((rows, -(-n // per), per), np.uint32)
        full.reshape(rows, -1)[:, :n] = codes
        return (full << (bits * np.arange(per, dtype=np.uint32))).sum(2, dtype=np.uint32).view(np.int32)
    single = (codes[:, :, None] >> np.arange(bits) & 1).reshape(rows, -1)
    full = np.zeros((rows, -(-single.shape[1] // 32) * 32), np.uint32)
    full[:, :single.shape[1]] = single
    return (full.reshape(rows, -1, 32) << np.arange(32, dtype=np.uint32)).sum(2, dtype=np.uint32).view(np.int32)


def repeat(scale, columns):
    return np.repeat(scale.astype(np.float32), columns // scale.shape[1], 1)


class Typed(np.ndarray):
    """Bytes that a header calls by another dtype."""


def typed(array, code):
    made.CODES["typed " + code] = code
    view = array.view(Typed)
    view.code = code
    return view


def header_of(tensors):
    head, at = {}, 0
    for name, array in tensors.items():
        code = getattr(array, "code", None) or made.CODES[str(array.dtype)]
        head[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    return head


def integers(shape, bits=4, groups=2, asymmetric=False, whole=False, order=None):
    """(format, weights of the config, tensors, floats)"""
    out, columns = shape
    q = RNG.integers(0, 1 << bits, shape)
    z = RNG.integers(0, 1 << bits, (out, groups)) if asymmetric else np.full((out, groups), 1 << bits - 1)
    s = (RNG.random((out, groups)) * 0.01 + 0.002).astype(np.float16)
    group = np.arange(columns) // (columns // groups)
    if order == "shuffled":
        group = RNG.permutation(group)
    tensors = {"weight_packed": stream(q, bits, whole), "weight_scale": s, "weight_shape": np.array(shape, np.int64)}
    if asymmetric:
        tensors["weight_zero_point"] = np.ascontiguousarray(stream(z.T, bits, whole).T)
    if order:
        tensors["weight_g_idx"] = group.astype(np.int32)
    said = {"num_bits": bits, "type": "int", "symmetric": not asymmetric, "strategy": "group" if groups > 1 else "channel",
            "group_size": columns // groups if groups > 1 else None, "actorder": "group" if order else None}
    return "pack-quantized", said, tensors, (q - z[:, group]).astype(np.float32) * s[:, group].astype(np.float32)


def int8(shape):
    q, s = RNG.integers(-128, 128, shape), (RNG.random((shape[0], 1)) * 0.001 + 0.0002).astype(np.float16)
    return "int-quantized", {"num_bits": 8, "type": "int", "strategy": "channel"}, {"weight": q.astype(np.int8), "weight_scale": s}, q * repeat(s, shape[1])


def fp8(shape, strategy):
    code = RNG.integers(0, 127, shape).astype(np.uint8) & np.uint8(0xBF) | RNG.integers(0, 2, shape).astype(np.uint8) << np.uint8(7)
    said = {"num_bits": 8, "type": "float", "strategy": strategy}
    if strategy == "block":
        said["block_structure"] = [32, 32]
        s = (RNG.random((shape[0] // 32, shape[1] // 32)) * 0.1 + 0.01).astype(np.float32)
        wide = np.repeat(np.repeat(s, 32, 0), 32, 1)
    else:
        s = (RNG.random((1,) if strategy == "tensor" else (shape[0], 1)) * 0.1 + 0.01).astype(np.float32)
        wide = s if strategy == "tensor" else repeat(s, shape[1])
    return "float-quantized", said, {"weight": typed(code, "F8_E4M3"), "weight_scale": s}, e4m3(code) * wide


def nvfp4(shape, modelopt=False):
    code = RNG.integers(0, 16, shape)
    s = RNG.integers(0x48, 0x70, (shape[0], shape[1] // 16)).astype(np.uint8)
    packed = (code[:, ::2] | code[:, 1::2] << 4).astype(np.uint8)
    said = {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16}
    if modelopt:
        over = np.array(0.0007123, np.float32)
        return None, said, {"weight": packed, "weight_scale": typed(s, "F8_E4M3"), "weight_scale_2": over}, E2M1[code] * repeat(e4m3(s) * over, shape[1])
    over = np.array([1873.0], np.float32)
    tensors = {"weight_packed": packed, "weight_scale": typed(s, "F8_E4M3"), "weight_global_scale": over, "input_global_scale": over}
    return "nvfp4-pack-quantized", said, tensors, E2M1[code] * repeat(e4m3(s) / over, shape[1])


def mxfp(shape, bits):
    s = RNG.integers(118, 123, (shape[0], shape[1] // 32)).astype(np.uint8)
    wide = repeat(2.0 ** (s.astype(np.float32) - 127), shape[1])
    said = {"num_bits": bits, "type": "float", "strategy": "group", "group_size": 32}
    if bits == 8:
        code = RNG.integers(0, 0x38, shape).astype(np.uint8)
        return "mxfp8-quantized", said, {"weight": typed(code, "F8_E4M3"), "weight_scale": s}, e4m3(code) * wide
    code = RNG.integers(0, 16, shape)
    return "mxfp4-pack-quantized", said, {"weight_packed": (code[:, ::2] | code[:, 1::2] << 4).astype(np.uint8), "weight_scale": s}, E2M1[code] * wide


class Forms(Case):
    def build(self, forms):
        """A model whose linears have these forms, its config, and the floats of each."""
        tensors = {k: v for k, v in llama().items() if "_proj" not in k}
        groups, floats, ignore = {}, {}, ["re:.*lm_head$"]
        for k, (name, shape) in enumerate(LINEARS.items()):
            form = forms[k % len(forms)](shape)
            path = P + name
            if form is None:
                floats[path] = values(shape, 10 + k).astype(np.float32)
                tensors[path + ".weight"] = values(shape, 10 + k)
                ignore.append(path)
                continue
            kind, said, parts, floats[path] = form
            tensors.update({path + "." + part: array for part, array in parts.items()})
            groups["group_%d" % k] = {"format": kind, "targets": ["re:.*%s$" % name.replace(".", "\\."), "x"], "weights": said}
        kinds = {g["format"] for g in groups.values()}
        config = {"quant_method": "compressed-tensors", "format": kinds.pop() if len(kinds) == 1 else "mixed-precision", "config_groups": groups,
                  "ignore": ignore, "version": "0.19.0"}
        return {**LLAMA, "tie_word_embeddings": True, "quantization_config": config}, tensors, floats

    def setUp(self):
        super().setUp()
        before = made.header_of
        made.header_of = header_of
        self.addCleanup(setattr, made, "header_of", before)

    def logits(self, folder):
        file = self.path("l.npy")
        code, _, err, _, _ = spawn("logits", folder, "--ids", "1,5,9,33,7", "-o", file)
        self.assertEqual(code, 0, err)
        array = np.load(file)
        os.unlink(file)
        return array

    def dense(self, folder, floats, **config):
        """--to dense gives these floats to the last bit, and logits of either are the same."""
        target, _ = self.convert(folder, 0, "--to", "dense", "--dtype", "float32")
        got = {}
        for file in sorted(os.listdir(target)):
            if file.endswith(".safetensors"):
                head, data = read_raw(os.path.join(target, file))
                got.update({k: np.frombuffer(data[e["data_offsets"][0]:e["data_offsets"][1]], np.float32).reshape(e["shape"])
                            for k, e in json.loads(head).items() if k != "__metadata__"})
        for path, want in floats.items():
            np.testing.assert_array_equal(got[path + ".weight"], want, path)
        np.testing.assert_allclose(self.logits(folder), self.logits(target), rtol=0, atol=2e-5)

    def exact_in_mlx(self, folder):
        """MLX's form has the same logits."""
        before = self.logits(folder)
        target, _ = self.convert(folder, 0, "--to", "mlx")
        np.testing.assert_allclose(before, self.logits(target), rtol=0, atol=2e-5)


class Compressed(Forms):
    def test_integers(self):
        for bits in (2, 3, 4, 5, 6, 8):
            for whole in (False, True):
                folder = self.model(*self.build([lambda s: integers(s, bits, whole=whole)])[:2])
                config, tensors, floats = self.build([lambda s: integers(s, bits, whole=whole), lambda s: None])
                folder = self.model(config, tensors)
                self.dense(folder, floats)
                self.exact_in_mlx(folder)

    def test_integers_more(self):
        config, tensors, floats = self.build([lambda s: integers(s, 4, asymmetric=True), lambda s: integers(s, 3, 1, asymmetric=True),
                                              lambda s: integers(s, 7, asymmetric=True), lambda s: integers(s, 4, order="shuffled")])
        folder = self.model(config, tensors)
        self.dense(folder, floats)
        self.convert(folder, 4, "--to", "mlx")  # 7 bits, and act-order

    def test_act_order(self):
        """Columns of down_proj are sorted in MLX, and rows of gate and up with them; g_idx in order is no act-order."""
        for bits, whole in ((4, False), (3, False), (3, True), (6, True)):
            down = lambda s: integers(s, bits, asymmetric=bits != 3, whole=whole, order="shuffled")
            rest = lambda s: integers(s, bits, whole=whole)
            folder = self.model(*self.build([down] + [rest] * 6)[:2])
            self.assertIn("act-order", [f["code"] for f in self.check(folder, 0)["findings"]])
            before = self.logits(folder)
            target, _ = self.convert(folder, 0, "--to", "mlx", "--exact")
            np.testing.assert_allclose(before, self.logits(target), rtol=0, atol=2e-5)
        config, tensors, floats = self.build([lambda s: integers(s, 4, order="straight")])
        folder = self.model(config, tensors)
        self.dense(folder, floats)
        self.exact_in_mlx(folder)
        tensors[P + "mlp.up_proj.weight_g_idx"][3] = 2
        self.assertIn("g_idx[3] is 2", self.check(self.model(config, tensors), 4)["why"])

    def test_bytes(self):
        config, tensors, floats = self.build([int8])
        folder = self.model(config, tensors)
        self.dense(folder, floats)
        self.exact_in_mlx(folder)
        config, tensors, floats = self.build([lambda s: fp8(s, "channel"), lambda s: fp8(s, "tensor"), lambda s: fp8(s, "block")])
        self.dense(self.model(config, tensors), floats)

    def test_small_floats(self):
        for forms in ([nvfp4], [lambda s: mxfp(s, 4)], [lambda s: mxfp(s, 8)]):
            config, tensors, floats = self.build(forms)
            folder = self.model(config, tensors)
            self.dense(folder, floats)
            self.exact_in_mlx(folder)

    def test_mixed(self):
        config, tensors, floats = self.build([integers, nvfp4, lambda s: fp8(s, "channel"), int8, lambda s: mxfp(s, 4), lambda s: None, lambda s: mxfp(s, 8)])
        folder = self.model(config, tensors)
        self.dense(folder, floats)
        plan = self.check(folder, 0)
        self.assertEqual({a["name"] for a in plan["set_aside"]}, {k for k in tensors if k.endswith("input_global_scale")})

    def test_modelopt(self):
        config, tensors, floats = self.build([lambda s: nvfp4(s, True)])
        config["quantization_config"] = {"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 16}
        folder = self.model(config, tensors)
        self.dense(folder, floats)
        self.exact_in_mlx(folder)
        config["quantization_config"]["group_size"] = 32
        self.assertIn("says group_size 32", self.check(self.model(config, tensors), 4)["why"])

    def refused(self, phrase, change):
        config, tensors, _ = self.build([integers, int8])
        change(config["quantization_config"], tensors)
        folder = self.model(config, tensors)
        self.assertIn(phrase, self.check(folder, 4)["why"])
        self.convert(folder, 4, "--to", "dense")

    def test_contradictions(self):
        def weights(key, value, group="group_0"):
            return lambda c, t: c["config_groups"][group]["weights"].update({key: value})
        self.refused("says group_size 32", weights("group_size", 32))
        self.refused("group_size", weights("num_bits", 8))
        self.refused("weight_zero_point is missing", weights("symmetric", False))
        self.refused("weight_zero_point is missing", weights("symmetric", False, "group_1"))
        self.refused("strategy tensor", weights("strategy", "tensor", "group_1"))
        self.refused("says format float-quantized", lambda c, t: c["config_groups"]["group_1"].update(format="float-quantized", weights={"num_bits": 8, "type": "float"}))
        self.refused("ignore names " + P + "mlp.down_proj", lambda c, t: c["ignore"].append("re:model.*down_proj"))
        self.refused("no group of config_groups targets " + P + "mlp.down_proj", lambda c, t: c["config_groups"].pop("group_0"))
        self.refused("marlin-24", lambda c, t: c.update(format="marlin-24"))
        self.refused("weight_scale is missing", lambda c, t: t.pop(P + "mlp.down_proj.weight_scale"))

    def test_weight_shape(self):
        """What no header tells: the values of weight_shape."""
        config, tensors, _ = self.build([integers])
        tensors[P + "mlp.down_proj.weight_shape"] = np.array([64, 120])
        _, err = self.convert(self.model(config, tensors), 4, "--to", "dense")
        self.assertIn("it says [64, 120]", err)


def awq_gemv(p, group):
    """AutoAWQ's gemv of a Packed: padded words of zeros, and scales."""
    words = -(-p.zeros.shape[1] // 8)
    m = max(1, 128 // group)
    words = -(-words // m) * m
    zeros, scales = np.zeros((len(p.zeros), 8 * words), np.int64), np.zeros((len(p.zeros), 8 * words), np.float16)
    zeros[:, :p.zeros.shape[1]], scales[:, :p.scales.shape[1]] = p.zeros, p.scales
    return zeros, scales


def fast_words(codes):
    """[out, in] -> int16 [out / 4, in], which docs/layouts.md, "AWQ, gemv_fast and llm-awq" undoes."""
    out, columns = codes.shape
    stored = np.zeros((out, columns), np.int64)
    for i in range(columns):
        a, d = i % 8 // 2, i % 32 // 8 * 2 + i % 2
        stored[:, i // 32 * 32 + 8 * a + [0, 2, 4, 6, 1, 3, 5, 7].index(d)] = codes[:, i]
    flat = stored.reshape(out // 4, 4, columns // 64, 64).transpose(0, 2, 1, 3).reshape(out // 4, columns // 64, 64, 4)
    return (flat << 4 * np.arange(4)).sum(3).astype(np.uint16).view(np.int16).reshape(out // 4, columns)


class Awq(Forms):
    def awq(self, tensors_of, **quant):
        tensors = {k: v for k, v in llama().items() if "_proj" not in k}
        floats = {}
        for k, (name, shape) in enumerate(LINEARS.items()):
            parts, floats[P + name] = tensors_of(Packed(values(shape, 10 + k)))
            tensors.update({P + name + "." + part: np.ascontiguousarray(array) for part, array in parts.items()})
        made.CODES["int16"] = "I16"
        return self.model({**LLAMA, "tie_word_embeddings": True, "quantization_config": {**AWQ, **quant}}, tensors), floats

    def gemv(self, p):
        zeros, scales = awq_gemv(p, p.group)
        return {"qweight": stream(p.codes, 4), "qzeros": stream(zeros, 4), "scales": scales}, p.floats().astype(np.float32)

    def fast(self, p, name="qzeros"):
        zeros, scales = awq_gemv(p, p.group)
        terms = (-zeros * scales.astype(np.float32)).astype(np.float16)
        floats = p.codes * np.repeat(p.scales, p.group, 1).astype(np.float32) + np.repeat(terms[:, :p.zeros.shape[1]], p.group, 1).astype(np.float32)
        return {"qweight": fast_words(p.codes), name: terms.T, "scales": scales.T}, floats.astype(np.float32)

    def bytes(self, p):
        q, z = p.codes * 16 + 3, p.zeros * 16 + 5
        words = lambda c: np.ascontiguousarray(c).astype(np.uint8).view(np.int32)
        return {"qweight": words(q.T), "qzeros": words(z.T), "scales": p.scales.T}, ((q - np.repeat(z, p.group, 1)) * p.steps()).astype(np.float32)

    def test_layouts(self):
        self.dense(*self.awq(self.gemv, version="gemv"))
        self.dense(*self.awq(self.gemv, version=None, checkpoint_format="gemv", format="gemv"))
        self.dense(*self.awq(self.bytes, bits=8))
        for version, name in (("gemv_fast", "qzeros"), ("llm-awq", "scaled_zeros")):
            folder, floats = self.awq(lambda p: self.fast(p, name), version=version)
            self.dense(folder, floats)

    def test_fast_in_mlx(self):
        """The stored zero terms are MLX's biases: but for dense tensors in float16, nothing changes."""
        self.exact_in_mlx(self.awq(self.fast, version="gemv_fast")[0])

    def test_refused(self):
        for quant, phrase in (({"version": "marlin"}, "marlin"), ({"version": "gemm", "format": "gemv"}, "they mean the same"),
                              ({"version": "gemv", "group_size": 64}, "needs scales"), ({"version": "gemv", "bits": 8}, "8 bits"),
                              ({"version": "gemv_fast"}, "awq-gemv-fast needs I16")):
            folder, _ = self.awq(self.gemv, **quant)
            self.assertIn(phrase, self.check(folder, 4)["why"])
        folder, _ = self.awq(lambda p: ({k: v for k, v in self.gemv(p)[0].items() if k != "qzeros"}, None), version="gemv")
        self.assertIn("zero_point true, but the tensor", self.check(folder, 4)["why"])


if __name__ == "__main__":
    made.TARE = os.path.abspath(sys.argv.pop(1))
    unittest.main(argv=[sys.argv[0], "--verbose", *sys.argv[1:]] if len(sys.argv) < 2 else [sys.argv[0], *sys.argv[1:]])
