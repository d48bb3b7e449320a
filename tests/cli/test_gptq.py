#!/usr/bin/env python3
"""test_gptq.py TARE [CLASS ...]: GPTQ checkpoints of all widths, orders and writers, by the command. Standard library and numpy."""
import itertools
import json
import os
import shutil
import sys
import unittest

import numpy as np

import made
from made import LLAMA, Case, llama, read_raw, spawn, values, write_json

P = "model.layers.0."
PLANES = {3: [(2, 0), (1, 2)], 5: [(4, 0), (1, 4)], 6: [(4, 0), (2, 4)], 7: [(4, 0), (2, 4), (1, 6)]}  # docs/layouts.md: width, offset


def to_words(bits):
    """[rows, n] of single bits -> uint32 [rows, ceil(n / 32)], lowest first."""
    rows, n = bits.shape
    full = np.zeros((rows, -(-n // 32) * 32), np.uint64)
    full[:, :n] = bits
    return (full.reshape(rows, -1, 32) << np.arange(32, dtype=np.uint64)).sum(2).astype(np.uint32)


def stream(codes, bits):
    """[rows, n] -> the dense stream of each row."""
    return to_words((codes[:, :, None] >> np.arange(bits) & 1).reshape(len(codes), -1))


def planes(codes, bits):
    """[rows, n] -> blocks of 32 codes, one plane after another."""
    if bits not in PLANES:
        return stream(codes, bits)
    rows, n = codes.shape
    full = np.zeros((rows, -(-n // 32) * 32), np.int64)
    full[:, :n] = codes
    blocks = full.reshape(-1, 32)
    words = np.concatenate([stream(blocks >> low & ((1 << width) - 1), width) for width, low in PLANES[bits]], 1)
    return words.reshape(rows, -1)[:, :-(-n * bits // 32)]


class Gptq:
    """A float [out, in] in GPTQ's layout. sym: all zeros are half of the range."""

    def __init__(self, weight, bits=4, group=32, act=False, sym=False, seed=0):
        w = weight.astype(np.float32)
        n = w.shape[1]
        self.bits, self.group = bits, n if group == -1 else min(group, n)
        self.g_idx = np.arange(n) // self.group
        if act:
            self.g_idx = np.random.default_rng(seed).permutation(self.g_idx)
        groups, most = int(self.g_idx.max()) + 1, (1 << bits) - 1
        low, high = np.zeros((groups, len(w)), np.float32), np.zeros((groups, len(w)), np.float32)
        for g in range(groups):
            low[g], high[g] = np.minimum(w[:, self.g_idx == g].min(1), 0), np.maximum(w[:, self.g_idx == g].max(1), 0)
        if sym:
            high = np.maximum(high, -low)
            low = -high
        self.scales = ((high - low) / most + 1e-6).astype(np.float16)
        step = self.scales.astype(np.float32)
        self.zeros = np.full(step.shape, 1 << (bits - 1)) if sym else np.clip(np.rint(-low / step), 1, most).astype(np.int64)
        self.codes = np.clip(np.rint(w.T / step[self.g_idx]) + self.zeros[self.g_idx], 0, most).astype(np.int64)  # [in, out]

    def floats(self):
        return ((self.codes - self.zeros[self.g_idx]).astype(np.float32) * self.scales.astype(np.float32)[self.g_idx]).T.copy()

    def tensors(self, prefix, form="gptq", with_g_idx=True, words=False):
        pack = planes if form == "gptq_p" else stream
        fields = self.zeros
        if form == "gptq" and not words:
            fields = self.zeros - 1 & ((1 << self.bits) - 1)
        qzeros = pack(fields, self.bits)
        if form == "gptq" and words:  # GPTQModel's: from whole words
            qzeros = qzeros - np.uint32({2: 0x55555555, 4: 0x11111111, 8: 0x01010101}[self.bits])
        t = {prefix + ".qweight": np.ascontiguousarray(pack(self.codes.T, self.bits).T).view(np.int32),
             prefix + ".qzeros": qzeros.view(np.int32), prefix + ".scales": self.scales}
        if with_g_idx:
            t[prefix + ".g_idx"] = self.g_idx.astype(np.int32)
        return t


def read(folder):
    """name -> array of a folder of one file."""
    kinds = {"F32": np.float32, "F16": np.float16, "U32": np.uint32, "I32": np.int32}
    head, data = read_raw(os.path.join(folder, "model.safetensors"))
    return {k: np.frombuffer(data[e["data_offsets"][0]:e["data_offsets"][1]], kinds[e["dtype"]]).reshape(e["shape"])
            for k, e in json.loads(head).items() if k != "__metadata__"}


def codes_of(words, bits, n):
    """The dense stream of each row, taken apart."""
    flat = (words[:, :, None] >> np.arange(32, dtype=np.uint32) & 1).reshape(len(words), -1)[:, :n * bits]
    return (flat.reshape(len(words), n, bits).astype(np.int64) << np.arange(bits)).sum(2)


class World(Case):
    """A llama whose linears are GPTQ's."""

    SHAPES = {"mlp.down_proj": (64, 128), "mlp.gate_proj": (128, 64), "mlp.up_proj": (128, 64), "self_attn.q_proj": (64, 64),
              "self_attn.k_proj": (32, 64), "self_attn.v_proj": (32, 64), "self_attn.o_proj": (64, 64)}

    def make(self, bits=4, group=32, act=False, sym=False, form="gptq", words=False, with_g_idx=True, hidden=128, modules=None,
             config=None, **more):
        """(folder, {module: Gptq}); config: what quantization_config has besides."""
        shapes = {k: tuple(hidden if n == 128 else n for n in s) for k, s in self.SHAPES.items()}
        tensors = {k: v for k, v in llama().items() if "norm" in k or "embed" in k}
        packed = {}
        for k, (name, shape) in enumerate(shapes.items()):
            if modules is not None and name not in modules:
                tensors[P + name + ".weight"] = values(shape, 10 + k)
                continue
            packed[P + name] = Gptq(values(shape, 10 + k), bits, group, act is True or (act and name in act), sym, k)
            tensors.update(packed[P + name].tensors(P + name, form, with_g_idx, words))
        tensors.update(more)
        quant = {"quant_method": "gptq", "bits": bits, "group_size": group, "sym": sym, "desc_act": bool(act), "checkpoint_format": form,
                 **(config or {})}
        return self.model({**LLAMA, "intermediate_size": hidden, "tie_word_embeddings": True, "quantization_config": quant}, tensors), packed

    def convert(self, folder, status, *flags, to="mlx"):
        out = self.path("out")
        shutil.rmtree(out, ignore_errors=True)
        code, _, err, _, _ = spawn("convert", folder, "-o", out, "--to", to, *flags)
        self.assertEqual(code, status, err)
        return (read(out) if status == 0 else None), err

    def dense(self, folder, packed, *flags):
        got, _ = self.convert(folder, 0, "--dtype", "float32", *flags, to="dense")
        for name, module in packed.items():
            np.testing.assert_array_equal(got[name + ".weight"], module.floats(), name)
        return got

    def refused(self, folder, phrase, *flags):
        _, err = self.convert(folder, 4, *flags)
        self.assertIn(phrase, err.splitlines()[0])


class Widths(World):
    def test_values(self):
        """Every width, form, order and group size; tails too: 100 columns and rows fill no whole words."""
        for bits, form, act, group, hidden in itertools.product(range(2, 9), ("gptq", "gptq_v2", "gptq_p"), (False, True), (32, 64, -1), (128, 100)):
            if hidden == 100 and (group != 64 or form == "gptq_p"):
                continue
            with self.subTest(bits=bits, form=form, act=act, group=group, hidden=hidden):
                self.dense(*self.make(bits, group, act, form=form, hidden=hidden))

    def test_no_g_idx(self):
        for bits in range(2, 9):
            self.dense(*self.make(bits, with_g_idx=False))

    def test_words(self):
        """GPTQModel's borrow runs into the next field where z = 0."""
        for bits in (2, 4, 8):
            with self.subTest(bits=bits):
                folder, packed = self.make(bits)
                tensors, rng = read(folder), np.random.default_rng(bits)
                for name, module in packed.items():
                    module.zeros[rng.random(module.zeros.shape) < 0.05] = 0
                    tensors.update(module.tensors(name, words=True))
                quant = {"quant_method": "gptq", "bits": bits, "group_size": 32, "meta": {"quantizer": ["gptqmodel:7.7.0"]}}
                self.dense(self.model({**LLAMA, "tie_word_embeddings": True, "quantization_config": quant}, tensors), packed, "--zeros=v1")

    def test_mlx(self):
        for bits, form, group in itertools.product((2, 3, 4, 5, 6, 8), ("gptq", "gptq_p"), (32, 64, -1)):
            with self.subTest(bits=bits, form=form, group=group):
                folder, packed = self.make(bits, group, form=form)
                got, _ = self.convert(folder, 0)
                for name, module in packed.items():
                    size = {128: 128, 64: 64, 32: 32}[module.group]
                    repeat = module.group // size
                    np.testing.assert_array_equal(codes_of(got[name + ".weight"], bits, len(module.codes)), module.codes.T)
                    scales = np.repeat(module.scales.T, repeat, 1)
                    np.testing.assert_array_equal(got[name + ".scales"], scales)
                    biases = -np.repeat(module.zeros.T, repeat, 1).astype(np.float32) * scales.astype(np.float32)
                    np.testing.assert_array_equal(got[name + ".biases"], biases.astype(np.float16))

    def test_no_mlx_form(self):
        for more, phrase in (({"bits": 7}, "7 bits have no MLX form"), ({"group": 16}, "group_size 16 has no MLX form"),
                             ({"act": True}, "act-order"), ({"hidden": 100, "group": 64}, "is short")):
            with self.subTest(phrase):
                folder, packed = self.make(**more)
                self.refused(folder, phrase)
                got, _ = self.convert(folder, 0, "--dequantize=model.layers")
                for name, module in packed.items():
                    np.testing.assert_array_equal(got[name + ".weight"], module.floats().astype(np.float16))

    def test_planar_blocks(self):
        self.refused(self.make(5, form="gptq_p", hidden=100)[0], "whole blocks of 32")
        self.dense(*self.make(4, 64, form="gptq_p", hidden=100))  # one plane: a stream

    def test_runs(self):
        """Logits of the packed folder, act-order too, are those of its dense twin."""
        for bits, act, form in itertools.product((2, 4, 5, 8), (False, True), ("gptq_v2", "gptq_p")):
            folder, _ = self.make(bits, act=act, form=form)
            self.convert(folder, 0, "--dtype", "float32", to="dense")
            made_of = []
            for path in (folder, self.path("out")):
                file = self.path("logits.npy")
                self.assertEqual(spawn("logits", path, "--ids", "1,2,3,50", "-o", file)[0], 0)
                made_of.append(np.load(file))
            np.testing.assert_allclose(*made_of, atol=1e-5)


class Order(World):
    """Act-order into mlx: columns are sorted where the producer of the input can follow."""

    ONE_HEAD = {"num_attention_heads": 1, "num_key_value_heads": 1}

    def logits(self, path):
        file = self.path("logits.npy")
        self.assertEqual(spawn("logits", path, "--ids", "1,2,3,50,7", "-o", file)[0], 0)
        return np.load(file)

    def folded(self, folder, packed, name, *flags):
        """The output computes what the checkpoint does, and the module's codes are its own, sorted by group."""
        got, _ = self.convert(folder, 0, "--exact", *flags)
        np.testing.assert_allclose(self.logits(self.path("out")), self.logits(folder), atol=2e-5)
        module = packed[P + name]
        order = np.argsort(module.g_idx, kind="stable")
        np.testing.assert_array_equal(codes_of(got[P + name + ".weight"], module.bits, len(order)), module.codes[order].T)
        np.testing.assert_array_equal(got[P + name + ".scales"], module.scales.T.astype(np.float32))
        return got, order

    def test_down(self):
        for bits, form in itertools.product((2, 3, 4, 5, 6, 8), ("gptq", "gptq_p")):
            with self.subTest(bits=bits, form=form):
                folder, packed = self.make(bits, act={"mlp.down_proj"}, form=form)
                got, order = self.folded(folder, packed, "mlp.down_proj")
                self.assertFalse((order == np.arange(128)).all())
                for name in ("mlp.gate_proj", "mlp.up_proj"):
                    codes = codes_of(got[P + name + ".weight"], bits, 64)
                    np.testing.assert_array_equal(codes, packed[P + name].codes.T[order])
                self.dense(folder, packed)  # other formats keep the order

    def test_dense_producers(self):
        """Those in act-order themselves are written as floats, in the new order of rows."""
        folder, packed = self.make(act={"mlp.down_proj", "mlp.gate_proj"})
        self.refused(folder, "act-order")
        got, order = self.folded(folder, packed, "mlp.down_proj", "--dequantize=**.gate_proj")
        np.testing.assert_array_equal(got[P + "mlp.gate_proj.weight"], packed[P + "mlp.gate_proj"].floats()[order])

    def test_plain_producers(self):
        folder, _ = self.make(act={"mlp.down_proj"}, modules=["mlp.down_proj", "mlp.up_proj"])
        self.refused(folder, "act-order")

    def attention(self, heads, **more):
        folder, packed = self.make(act={"self_attn.o_proj"}, **more)
        tensors = read(folder)
        for k, name in enumerate(("self_attn.k_proj", "self_attn.v_proj")):
            packed[P + name] = Gptq(values((64, 64), 60 + k))
            tensors.update(packed[P + name].tensors(P + name))
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
            config = json.load(f)
        return self.model({**config, "num_attention_heads": heads, "num_key_value_heads": heads}, tensors), packed

    def test_attention(self):
        """Within one head the rows of v follow; across heads nothing can."""
        folder, packed = self.attention(1)
        self.folded(folder, packed, "self_attn.o_proj")
        folder, packed = self.attention(4)
        self.refused(folder, "act-order")

    def test_shared_input(self):
        for name in ("self_attn.q_proj", "mlp.up_proj"):
            folder, _ = self.make(act={name})
            self.refused(folder, "act-order")

    def test_grouped_queries(self):
        folder, _ = self.make(act={"self_attn.o_proj"})
        self.refused(folder, "act-order")

    def test_halves(self):
        """phi3, whose gate_up_proj GPTQModel has split."""
        folder, packed = self.make(act={"mlp.down_proj"})
        tensors = {k: v for k, v in read(folder).items() if not any("." + x + "_proj" in k for x in "qkv")}
        packed[P + "self_attn.qkv_proj"] = Gptq(values((128, 64), 50))
        tensors.update(packed[P + "self_attn.qkv_proj"].tensors(P + "self_attn.qkv_proj"))
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
            config = {**json.load(f), "model_type": "phi3"}
        got, order = self.folded(self.model(config, tensors), packed, "mlp.down_proj")
        halves = [packed[P + "mlp." + k].codes.T[order] for k in ("gate_proj", "up_proj")]
        np.testing.assert_array_equal(codes_of(got[P + "mlp.gate_up_proj.weight"], 4, 64), np.concatenate(halves))


class Config(World):
    def test_rules(self):
        dynamic = {"-:.*o_proj": {}, "+:.*\\.down_proj": {"bits": 8, "group_size": 64}, ".*k_proj": {"bits": 2}}
        sizes = {"mlp.down_proj": (8, 64), "self_attn.k_proj": (2, 32)}
        folder, packed = self.make(modules=[k for k in self.SHAPES if "o_proj" not in k], config={"dynamic": dynamic})
        tensors = read(folder)
        for name, (bits, group) in sizes.items():
            packed[P + name] = Gptq(values(self.SHAPES[name], 99), bits, group)
            tensors.update(packed[P + name].tensors(P + name))
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
            config = json.load(f)
        folder = self.model(config, tensors)
        self.dense(folder, packed)
        quant = config["quantization_config"]
        extra = {P + "mlp.down_proj": {"bits": 8, "group_size": 64}, "k_proj$": {"bits": 2}, P + "self_attn.o_proj": {"bits": 16}}
        for change, phrase in (({"dynamic": {**dynamic, "+:.*\\.down_proj": {"bits": 4}}}, "says 4 bits"),
                               ({"dynamic": {**dynamic, "+:.*\\.down_proj": {"bits": 8}}}, "says group_size 32"),
                               ({"dynamic": {**dynamic, "-:.*v_proj": {}}}, "says that it is not quantized"),
                               ({"dynamic": {"+:down_proj": {"bits": 8, "group_size": 64}}}, "bits"),  # matches from the start only
                               ({"dynamic": None, "extra_config": {**extra, "k_proj$": {"bits": 3}}}, "says 3 bits"),
                               ({"dynamic": None, "extra_config": {"proj": {"bits": 4}, **extra, P + "self_attn.k_proj": {"bits": 2}}}, None),
                               ({"dynamic": None, "extra_config": {"other." + k: v for k, v in extra.items()}}, None),
                               ({"dynamic": None, "extra_config": extra}, None)):
            with self.subTest(change=change):
                folder = self.model({**config, "quantization_config": {**quant, **change}}, tensors)
                if phrase:
                    self.refused(folder, phrase)
                else:
                    self.dense(folder, packed)

    def test_contradictions(self):
        for change, phrase in (({"bits": 8}, "says 8 bits, the shapes of the parts are those of 4"), ({"group_size": 64}, "says group_size 64"),
                               ({"checkpoint_format": "marlin"}, '"marlin" is not known'), ({"is_marlin_format": True}, "is_marlin_format"),
                               ({"checkpoint_format": None, "format": "bitblas"}, '"bitblas"'), ({"pack_dtype": "int8"}, "pack_dtype"),
                               ({"bits": 9}, "bits must be"), ({"group_size": 0}, "group_size must be"), ({"sym": "no"}, "sym must be"),
                               ({"dynamic": []}, "dynamic must be"), ({"quant_method": "auto-round", "packing_format": "auto_round:llm_compressor"}, "auto_round:llm_compressor")):
            with self.subTest(change=change):
                folder, _ = self.make(config=change)
                self.refused(folder, phrase)

    def test_spellings(self):
        """auto-round's containers, old AutoGPTQ's quantize_config.json, and silence about bits."""
        for change in ({"quant_method": "auto-round", "packing_format": "auto_round:auto_gptq"}, {"checkpoint_format": None},
                       {"quant_method": "intel/auto-round"}, {"quant_method": "auto-round", "packing_format": "auto_round:gptq"},
                       {"bits": None, "group_size": None}, {"checkpoint_format": None, "format": "gptq"}):
            folder, packed = self.make(config=change)
            self.dense(folder, packed)
        for word in ("auto_round:gptqmodel", "auto_round"):
            folder, packed = self.make(form="gptq_v2", config={"quant_method": "auto-round", "packing_format": word})
            self.dense(folder, packed)
        folder, packed = self.make()
        path = os.path.join(folder, "config.json")
        with open(path, encoding="utf-8") as f:
            config = json.load(f)
        quant = config.pop("quantization_config")
        del quant["quant_method"]
        write_json(path, config)
        write_json(os.path.join(folder, "quantize_config.json"), quant)
        self.dense(folder, packed)

    def test_auto_awq(self):
        quant = {"quant_method": "auto-round", "packing_format": "auto_round:auto_awq", "bits": 4, "group_size": 32}
        plan = self.check(self.model({**LLAMA, "tie_word_embeddings": True, "quantization_config": quant}, llama()), 0)
        self.assertIn("awq-gemm", [f["packing"] for f in plan["formats"]])

    def test_g_idx(self):
        """It is what g_idx says, whatever desc_act says; and it is held against the groups."""
        folder, packed = self.make(act=True, config={"desc_act": False})
        self.check(folder, 1)
        self.dense(folder, packed)
        _, err = self.convert(folder, 4, "--no-data", to="dense")
        self.assertIn("act-order", err)
        for wrong in (-1, 2, 2**31 - 1):
            tensors = read(folder)
            order = tensors[P + "self_attn.q_proj.g_idx"].copy()
            order[5] = wrong
            with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
                config = json.load(f)
            self.refused(self.model(config, {**tensors, P + "self_attn.q_proj.g_idx": order}), "there are 2 groups")
            self.convert(self.path("model"), 4, "--no-data", to="dense")


class Zeros(World):
    def test_lie(self):
        """A file that says one and holds the other, symmetric or not, is refused, and read as asked."""
        for sym, said, held in itertools.product((False, True), ("gptq", "gptq_v2"), ("gptq", "gptq_v2")):
            with self.subTest(sym=sym, said=said, held=held):
                folder, packed = self.make(sym=sym, form=held, config={"checkpoint_format": said})
                forced = "--zeros=v1" if held == "gptq" else "--zeros=v2"
                if said == held:
                    self.check(folder, 0)
                else:
                    self.refused(folder, "the data are those of v%d" % (1 + (held == "gptq_v2")))
                self.dense(folder, packed, forced)

    def test_forced_wrong(self):
        folder, packed = self.make(sym=True)
        plan = self.check(folder, 1, "--zeros=v2")
        self.assertEqual([f["code"] for f in plan["findings"]], ["zeros-forced"])

    def test_no_data(self):
        folder, packed = self.make(form="gptq_v2", config={"checkpoint_format": "gptq"})
        plan = self.check(folder, 0, "--no-data")
        self.assertEqual([f["code"] for f in plan["findings"]], ["zeros-not-judged"])

    def test_all_ones(self):
        """z = 0 in v1: AutoGPTQ's field of all ones is refused, and read as 0 when asked; GPTQModel's is read."""
        folder, packed = self.make()
        name = P + "self_attn.q_proj"
        packed[name].zeros[1, 7] = 0
        tensors = {**read(folder), **packed[name].tensors(name)}
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
            config = json.load(f)
        folder = self.model(config, tensors)
        self.refused(folder, "1 of 1152 fields of zeros are all ones")
        self.assertIn("all ones", self.convert(folder, 0, "--zeros=v1", to="dense")[1])
        self.dense(folder, packed, "--zeros=v1")


class Extras(World):
    def test_biases(self):
        """Of zeros: set aside. Another: refused. Of an architecture that has them: kept."""
        zero, some = np.zeros(128, np.float16), values((128,), 3)
        folder, packed = self.make(**{P + "mlp.up_proj.bias": zero})
        plan = self.check(folder, 0)
        self.assertEqual([s["name"] for s in plan["set_aside"]], [P + "mlp.up_proj.bias"])
        self.assertNotIn(P + "mlp.up_proj.bias", self.dense(folder, packed))
        self.check(folder, 0, "--no-data")
        folder, _ = self.make(**{P + "mlp.up_proj.bias": some})
        self.refused(folder, "this one is not zero")
        folder, _ = self.make(modules=["self_attn.o_proj"], **{P + "mlp.up_proj.bias": zero})  # not packed: not AutoGPTQ's
        self.refused(folder, P + "mlp.up_proj.bias")

    def test_embedding(self):
        """GPTQModel's: a linear of as many inputs as there are tokens."""
        table = "model.embed_tokens"
        for bits, act, form in itertools.product((2, 3, 4, 5, 8), (False, True), ("gptq", "gptq_p")):
            with self.subTest(bits=bits, act=act, form=form):
                folder, packed = self.make(bits, act=act, form=form)
                tensors = {k: v for k, v in read(folder).items() if k != table + ".weight"}
                turned = Gptq(values((64, 160), 70), bits, 32, act)
                tensors.update(turned.tensors(table, form))
                with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
                    folder = self.model(json.load(f), tensors)
                got = self.dense(folder, packed)
                np.testing.assert_array_equal(got[table + ".weight"], turned.floats().T)
                logits = []
                for path in (folder, self.path("out")):
                    file = self.path("logits.npy")
                    self.assertEqual(spawn("logits", path, "--ids", "1,2,3,50", "-o", file)[0], 0)
                    logits.append(np.load(file))
                np.testing.assert_allclose(*logits, atol=1e-5)
                if not act:
                    self.refused(folder, "packed along its rows")
                    got, _ = self.convert(folder, 0, "--dequantize=**.embed_tokens")
                    np.testing.assert_array_equal(got[table + ".weight"], turned.floats().T.astype(np.float16))

    def test_split(self):
        """phi3's gate_up_proj as GPTQModel writes it, and as a dense folder made of that has it."""
        folder, packed = self.make()
        tensors = read(folder)
        names = [P + "self_attn." + k + "_proj" for k in "qkv"]
        for name in names:
            tensors = {k: v for k, v in tensors.items() if not k.startswith(name)}
            packed.pop(name)
        packed[P + "self_attn.qkv_proj"] = Gptq(values((128, 64), 50))
        tensors.update(packed[P + "self_attn.qkv_proj"].tensors(P + "self_attn.qkv_proj"))
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
            config = {**json.load(f), "model_type": "phi3"}
        folder = self.model(config, tensors)
        self.dense(folder, packed)
        self.check(self.path("out"), 0)
        got, _ = self.convert(folder, 0)
        halves = [packed[P + "mlp." + k].codes.T for k in ("gate_proj", "up_proj")]
        np.testing.assert_array_equal(codes_of(got[P + "mlp.gate_up_proj.weight"], 4, 64), np.concatenate(halves))


if __name__ == "__main__":
    made.TARE = os.path.abspath(sys.argv.pop(1))
    unittest.main(argv=[sys.argv[0], "--verbose", *sys.argv[1:]] if len(sys.argv) < 2 else [sys.argv[0], *sys.argv[1:]])
