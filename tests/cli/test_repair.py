#!/usr/bin/env python3
"""test_repair.py TARE [CLASS ...]: checkpoints damaged in each way that `tare repair` mends, and in ways that it must leave alone.
Standard library and numpy."""
import copy
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import unittest

import numpy as np

import made
from made import AWQ, GPT2, LLAMA, Case, Packed, gpt2, llama, read_raw, spawn, values, write_json

MAIN, INDEX = "model.safetensors", "model.safetensors.index.json"
P = "model.layers.0."
UP = P + "mlp.up_proj"
EMBED, NORM = "model.embed_tokens.weight", "model.norm.weight"
NONE = ...


def config(quant=AWQ, **changes):
    c = {**copy.deepcopy(LLAMA), "tie_word_embeddings": True, **changes}
    if quant is None:
        c.pop("quantization_config")
    else:
        c["quantization_config"] = quant
    return {k: v for k, v in c.items() if v is not NONE}


def awq(**changes):
    return {k: v for k, v in {**AWQ, **changes}.items() if v is not NONE}


def packed_llama(group=32, zeros=True):
    """All linears of LLAMA packed."""
    t = llama()
    for name in [n for n in t if n.endswith("_proj.weight")]:
        t.update(Packed(t.pop(name), group=group).tensors(name[:-len(".weight")]))
    t.update(Packed(values((64, 64), 30), group=group).tensors(P + "self_attn.o_proj"))
    return t if zeros else {n: a for n, a in t.items() if not n.endswith(".qzeros")}


def mlx_llama(recipes, general, byte_scales=False):
    """(quantization, tensors) of LLAMA in MLX's affine layout; recipes: path -> (bits, group)."""
    t, out = llama(), {}
    shapes = {n[:-7]: a.shape for n, a in t.items() if n.endswith("_proj.weight")}
    shapes[P + "self_attn.o_proj"] = (64, 64)
    for name, a in t.items():
        if "_proj" not in name:
            out[name] = a
    for path, (rows, columns) in shapes.items():
        bits, group = recipes.get(path, general)
        rng = np.random.default_rng([rows, columns, bits])
        out[path + ".weight"] = rng.integers(0, 2**32, (rows, columns * bits // 32), np.uint32)
        if byte_scales:
            out[path + ".scales"] = rng.integers(118, 124, (rows, columns // group), np.uint8)
            continue
        out[path + ".scales"] = (rng.random((rows, columns // group)) / 100).astype(np.float16)
        out[path + ".biases"] = (-rng.random((rows, columns // group)) / 10).astype(np.float16)
    quantization = {"group_size": general[1], "bits": general[0]}
    quantization.update({p: {"group_size": g, "bits": b} for p, (b, g) in recipes.items()})
    return quantization, out


def read(*names):
    with open(os.path.join(*names), "rb") as f:
        return f.read()


def tree_of(folder):
    return {n: hashlib.sha256(read(folder, n)).hexdigest() for n in sorted(os.listdir(folder))}


def tight(folder):
    """Headers without a space to spare, as safetensors writes them."""
    for name in os.listdir(folder):
        if name.endswith(".safetensors"):
            head, data = read_raw(os.path.join(folder, name))
            made.write_raw(os.path.join(folder, name), json.dumps(json.loads(head), separators=(",", ":")).encode(), data)
    return folder


class Repair(Case):
    def show(self, folder, status, *flags):
        before = tree_of(folder)
        code, out, err, _, _ = spawn("repair", folder, "--json", *flags)
        self.assertEqual(code, status, err + out)
        if status in (0, 1):
            self.assertEqual(err, "")
        self.assertEqual(tree_of(folder), before, "showing changed something")
        patch = json.loads(out)
        patch["why"] = err
        text_code, text, _, _, _ = spawn("repair", folder, *flags)
        self.assertEqual(text_code, status)
        self.assertTrue(text)
        return patch

    def arrays(self, folder):
        """Parameter -> (format, bytes of its sources), by `explain --json` of each."""
        code, out, err, _, _ = spawn("convert", folder, "-o", self.path("mlx"), "--to", "mlx")
        self.assertEqual(code, 0, err)
        got = {n: hashlib.sha256(read(self.path("mlx", n))).hexdigest()
               for n in os.listdir(self.path("mlx")) if n.endswith(".safetensors")}
        shutil.rmtree(self.path("mlx"))
        return got

    def mends(self, folder, want, good=None, place=True, check=0):
        """The patch is `want` (key -> after), and applied in both ways gives a checkpoint that is sound; undo takes it back."""
        patch = self.show(folder, 1)
        self.assertEqual({c["key"]: c["after"] for c in patch["changes"]}, want)
        for c in patch["changes"]:
            self.assertTrue(c["because"])
        self.assertTrue(patch["loads"])
        was = tree_of(folder)
        target = self.path("out")
        shutil.rmtree(target, ignore_errors=True)
        code, _, err, _, _ = spawn("repair", folder, "-o", target)
        self.assertEqual(code, 0, err)
        self.assertEqual(tree_of(folder), was)
        self.check(target, check)
        self.assertEqual(self.show(target, 0)["changes"], [])
        if good is not None:
            self.assertEqual(self.arrays(target), good)
        code, out, err, _, _ = spawn("repair", folder, "--in-place")
        if not place:
            self.assertEqual(code, 4, err)
            self.assertIn("-o DIR", err)
            self.assertTrue(patch["not_in_place"])
            self.assertEqual(tree_of(folder), was)
            return target
        self.assertEqual(code, 0, err)
        self.assertIsNone(patch["not_in_place"])
        self.check(folder, check)
        if good is not None:
            self.assertEqual(self.arrays(folder), good)
        kept = [n for n in os.listdir(folder) if "before-repair" in n]
        self.assertEqual(len(kept), len({c["file"] for c in patch["changes"]}))
        code, out, err, _, _ = spawn("repair", folder, "--undo")
        self.assertEqual((code, out.split()[0]), (0, str(len(kept))), err)
        self.assertEqual(tree_of(folder), was)
        return target

    def leaves(self, folder, status, *phrases):
        """No change, and why."""
        shutil.rmtree(self.path("out"), ignore_errors=True)
        patch = self.show(folder, status)
        self.assertEqual(patch["changes"], [])
        said = patch["why"] + json.dumps(patch["notes"])
        for phrase in phrases:
            self.assertIn(phrase, said)
        if status:
            self.assertEqual(spawn("repair", folder, "-o", self.path("out"))[0], status)
            self.assertFalse(os.path.exists(self.path("out")))
            was = tree_of(folder)
            self.assertEqual(spawn("repair", folder, "--in-place")[0], status)
            self.assertEqual(tree_of(folder), was)
        return patch


class Awq(Repair):
    def setUp(self):
        super().setUp()
        self.good = self.arrays(self.model(config(), packed_llama()))

    def test_sound(self):
        self.leaves(self.model(config(), packed_llama()), 0)

    def test_keys(self):
        rows = {
            "group": ({"group_size": 128}, {"quantization_config.group_size": "32"}),
            "group_whole": ({"group_size": -1}, {"quantization_config.group_size": "32"}),
            "no_group": ({"group_size": NONE}, {"quantization_config.group_size": "32"}),
            "bits": ({"bits": 8}, {"quantization_config.bits": "4"}),
            "no_bits": ({"bits": NONE}, {"quantization_config.bits": "4"}),
            "bits_text": ({"bits": "4"}, {"quantization_config.bits": "4"}),
            "version": ({"version": "gemv"}, {"quantization_config.version": '"gemm"'}),
            "no_version": ({"version": NONE}, {"quantization_config.version": '"gemm"'}),
            "no_zero": ({"zero_point": NONE}, {"quantization_config.zero_point": "true"}),
            "false_zero": ({"zero_point": False}, {"quantization_config.zero_point": "true"}),
            "method": ({"quant_method": "gptq"}, {"quantization_config.quant_method": '"awq"'}),
            "no_method": ({"quant_method": NONE}, {"quantization_config.quant_method": '"awq"'}),
            "unknown": ({"quant_method": "hqq"}, {"quantization_config.quant_method": '"awq"'}),
            "many": ({"group_size": 64, "bits": 3, "version": NONE},
                     {"quantization_config.group_size": "32", "quantization_config.bits": "4", "quantization_config.version": '"gemm"'}),
        }
        for name, (changes, want) in rows.items():
            with self.subTest(name):
                self.mends(self.model(config(awq(**changes)), packed_llama()), want, self.good)

    def test_w_bit_and_q_group_size_keep_their_names(self):
        q = {"quant_method": "awq", "w_bit": 8, "q_group_size": 64, "version": "gemm", "zero_point": True}
        self.mends(self.model(config(q), packed_llama()),
                   {"quantization_config.w_bit": "4", "quantization_config.q_group_size": "32"}, self.good)

    def test_whole_object_is_absent(self):
        folder = self.model(config(None), packed_llama())
        target = self.mends(folder, {"quantization_config": json.dumps(
            {"quant_method": "awq", "bits": 4, "group_size": 32, "version": "gemm", "zero_point": True})}, self.good)
        self.assertEqual(json.loads(read(target, "config.json"))["quantization_config"], AWQ)

    def test_no_qzeros(self):
        folder = self.model(config(), packed_llama(zeros=False))
        self.mends(folder, {"quantization_config.zero_point": "false"})

    def test_qzeros_of_some(self):
        t = packed_llama()
        del t[UP + ".qzeros"]
        self.leaves(self.model(config(), t), 4, "zero_point", "cannot be told")

    def test_symmetric_with_zeros_of_8(self):
        t = {n: np.full_like(a, 0x88888888 - 2**32) if n.endswith("qzeros") else a for n, a in packed_llama().items()}
        self.leaves(self.model(config(awq(zero_point=False)), t), 0)

    def test_mixed_groups_have_no_one_size(self):
        t = packed_llama()
        t.update(Packed(values((128, 64), 12), group=64).tensors(UP))
        patch = self.leaves(self.model(config(), t), 4, "no one size fits")
        self.assertFalse(patch["loads"])

    def test_text_config_and_beside(self):
        c = config(None)
        folder = self.model(c, packed_llama())
        write_json(os.path.join(folder, "quantize_config.json"), awq(group_size=128))
        self.mends(folder, {"group_size": "32"}, self.good)

    def test_incomplete_is_left(self):
        t = packed_llama()
        del t[UP + ".scales"]
        self.leaves(self.model(config(), t), 4, UP + ".scales is missing")

    def test_the_rest_of_the_text_stays(self):
        folder = self.model(config(), packed_llama())
        path = os.path.join(folder, "config.json")
        text = json.dumps({**config(awq(group_size=64)), "odd": float("inf"), "a\u00e9": "\u00e9\n"}, indent=3)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        self.assertEqual(spawn("repair", folder, "--in-place")[0], 0)
        self.assertEqual(read(path).decode(), text.replace('"group_size": 64', '"group_size": 32'))


def lsb_first(codes, bits):
    """[rows, n] of codes -> int32 [rows, n * bits / 32], a dense stream, least significant bit first."""
    stream = ((codes[:, :, None].astype(np.uint64) >> np.arange(bits, dtype=np.uint64)) & np.uint64(1)).reshape(codes.shape[0], -1, 32)
    return (stream << np.arange(32, dtype=np.uint64)).sum(2).astype(np.uint32).view(np.int32)


def gptq_tensors(prefix, shape, bits, group, zeros, order=False):
    """GPTQ's tensors of a weight (out, in) whose codes lie around the zero; zeros: what is stored above the zero (-1: v1, 0: v2)."""
    out, columns = shape
    rng = np.random.default_rng([*shape, bits])
    most, n = 2**bits - 1, columns // group
    zero = rng.integers(max(most // 2 - 1, 1), min(most // 2 + 3, most), (n, out)) if order is not None else np.full((n, out), 2**(bits - 1))
    g_idx = np.arange(columns) // group
    if order:
        g_idx = rng.permutation(g_idx)
    codes = np.clip(np.rint(rng.standard_normal((columns, out)) * most / 8 + zero[g_idx]), 0, most).astype(np.int64)
    return {prefix + ".qweight": np.ascontiguousarray(lsb_first(codes.T, bits).T), prefix + ".qzeros": lsb_first(zero + zeros, bits),
            prefix + ".scales": (rng.random((n, out)) / 100 + 0.001).astype(np.float16), prefix + ".g_idx": g_idx.astype(np.int32)}


def gptq_llama(bits=4, group=32, zeros=-1, order=False):
    t = llama()
    shapes = {n[:-7]: a.shape for n, a in t.items() if n.endswith("_proj.weight")}
    shapes[P + "self_attn.o_proj"] = (64, 64)
    t = {n: a for n, a in t.items() if "_proj" not in n}
    for path, shape in shapes.items():
        t.update(gptq_tensors(path, shape, bits, group, zeros, order))
    return t


GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": False, "desc_act": False, "checkpoint_format": "gptq"}


class Gptq(Repair):
    def values(self, q, t):
        return self.arrays(self.model(config(q), t))

    def test_keys(self):
        t = gptq_llama()
        good = self.values(GPTQ, t)
        self.leaves(self.model(config(GPTQ), t), 0)
        rows = (({"bits": 8}, {"bits": "4"}), ({"group_size": 128}, {"group_size": "32"}), ({"group_size": -1}, {"group_size": "32"}),
                ({"quant_method": "awq"}, {"quant_method": '"gptq"'}), ({"checkpoint_format": "gptq_v2"}, {"checkpoint_format": '"gptq"'}),
                ({"sym": True}, {"sym": "false"}), ({"bits": 3, "group_size": 64}, {"bits": "4", "group_size": "32"}))
        for change, want in rows:
            with self.subTest(str(change)):
                self.mends(self.model(config({**GPTQ, **change}), t), {"quantization_config." + k: v for k, v in want.items()}, good)

    def test_v2(self):
        t = gptq_llama(zeros=0)
        good = self.values({**GPTQ, "checkpoint_format": "gptq_v2"}, t)
        for q in (GPTQ, {k: v for k, v in GPTQ.items() if k != "checkpoint_format"}):
            self.mends(self.model(config(q), t), {"quantization_config.checkpoint_format": '"gptq_v2"'}, good)

    def test_widths(self):
        for bits in (2, 3, 8):
            t = gptq_llama(bits=bits)
            good = self.values({**GPTQ, "bits": bits}, t)
            self.mends(self.model(config({**GPTQ, "bits": 4}), t), {"quantization_config.bits": str(bits)}, good)

    def test_whole_object_is_absent(self):
        for zeros, version in ((-1, "gptq"), (0, "gptq_v2")):
            t = gptq_llama(zeros=zeros)
            want = {**GPTQ, "checkpoint_format": version}
            good = self.values(want, t)
            self.mends(self.model(config(None), t), {"quantization_config": json.dumps(want)}, good)
        t = gptq_llama(order=None)
        self.mends(self.model(config(None), t), {"quantization_config": json.dumps({**GPTQ, "sym": True})})
        self.leaves(self.model(config(None), gptq_llama(bits=3)), 4, "two layouts")
        folder = self.model(config(None), t)
        self.assertIn("was not to be read", self.show(folder, 4, "--no-data")["why"])

    def test_act_order(self):
        t = gptq_llama(order=True)
        good = {**GPTQ, "desc_act": True}
        folder = self.model(config(GPTQ), t)
        self.check(folder, 1)
        patch = self.show(folder, 1)
        self.assertEqual([(c["key"], c["after"]) for c in patch["changes"]], [("quantization_config.desc_act", "true")])
        self.leaves(self.model(config(good), t), 0)

    def test_three_bits_have_two_layouts(self):
        t = gptq_llama(bits=3, zeros=0)
        self.leaves(self.model(config({**GPTQ, "bits": 3}), t), 4, "two layouts")

    def test_dynamic(self):
        t = gptq_llama()
        t.update(gptq_tensors(UP, (128, 64), 8, 32, -1))
        q = {**GPTQ, "dynamic": {"+:.*up_proj.*": {"bits": 8}}}
        good = self.values(q, t)
        self.leaves(self.model(config(q), t), 0)
        self.mends(self.model(config({**q, "bits": 2}), t), {"quantization_config.bits": "4"}, good)
        self.mends(self.model(config({**q, "group_size": 128}), t), {"quantization_config.group_size": "32"}, good)

    def test_zero_biases(self):
        t = gptq_llama()
        good = self.values(GPTQ, t)
        t[UP + ".bias"] = np.zeros(128, np.float16)
        self.mends(self.model(config(GPTQ), t), {UP + ".bias": None}, good, place=False)


class Compressed(Repair):
    def setUp(self):
        super().setUp()
        t = llama()
        shapes = {n[:-7]: a.shape for n, a in t.items() if n.endswith("_proj.weight")}
        shapes[P + "self_attn.o_proj"] = (64, 64)
        self.tensors = {n: a for n, a in t.items() if "_proj" not in n}
        for path, (rows, columns) in shapes.items():
            rng = np.random.default_rng([rows, columns])
            self.tensors.update({path + ".weight_packed": lsb_first(rng.integers(0, 16, (rows, columns)), 4),
                                 path + ".weight_scale": (rng.random((rows, columns // 32)) / 100).astype(np.float16),
                                 path + ".weight_shape": np.array([rows, columns], np.int64)})
        self.q = {"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {"group_0": {
            "targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 32}}}}

    def test_keys(self):
        good = self.arrays(self.model(config(self.q), self.tensors))
        self.leaves(self.model(config(self.q), self.tensors), 0)
        key = "quantization_config.config_groups.group_0.weights."
        for change, want in (({"group_size": 64}, "32"), ({"num_bits": 8}, "4"), ({"type": "float"}, '"int"'), ({"symmetric": False}, "true")):
            q = copy.deepcopy(self.q)
            q["config_groups"]["group_0"]["weights"].update(change)
            self.mends(self.model(config(q), self.tensors), {key + next(iter(change)): want}, good)
        for change, want in (({"format": "float-quantized"}, '"pack-quantized"'), ({"quant_method": "gptq"}, '"compressed-tensors"')):
            self.mends(self.model(config({**self.q, **change}), self.tensors), {"quantization_config." + next(iter(change)): want}, good)


class Mlx(Repair):
    def test_general(self):
        q, t = mlx_llama({}, (4, 32))
        good = self.arrays(self.model(config(None, quantization=q), t))
        self.leaves(self.model(config(None, quantization=q), t), 0)
        for change, want in (({"bits": 8}, {"quantization.bits": "4"}), ({"group_size": 64}, {"quantization.group_size": "32"}),
                             ({"bits": 2, "group_size": 64}, {"quantization.bits": "4", "quantization.group_size": "32"})):
            self.mends(self.model(config(None, quantization={**q, **change}), t), want, good)
        self.mends(self.model(config(None), t), {"quantization": '{"group_size": 32, "bits": 4}'}, good)

    def test_twice(self):
        q, t = mlx_llama({}, (4, 32))
        wrong = {**q, "bits": 8}
        self.mends(self.model(config(wrong, quantization=wrong), t), {"quantization.bits": "4", "quantization_config.bits": "4"})

    def test_own(self):
        q, t = mlx_llama({UP: (8, 64)}, (4, 32))
        good = self.arrays(self.model(config(None, quantization=q), t))
        key = "quantization." + UP
        for own in (NONE, False, {"group_size": 32, "bits": 8}, {"group_size": 64, "bits": 4}):
            wrong = {k: v for k, v in {**q, UP: own}.items() if v is not NONE}
            self.mends(self.model(config(None, quantization=wrong), t), {key: '{"group_size": 64, "bits": 8}'}, good)
        extra = {**q, P + "mlp.gate_proj": False}
        self.mends(self.model(config(None, quantization=extra), t), {"quantization." + P + "mlp.gate_proj": None}, good)

    def test_many_own(self):
        """More modules than are changed one by one."""
        c = config(None, num_hidden_layers=12)
        q, one = mlx_llama({}, (4, 32))
        t = {n: a for n, a in one.items() if not n.startswith(P)}
        for k in range(12):
            t.update({n.replace(".0.", ".%d." % k): a for n, a in one.items() if n.startswith(P)})
        good = self.arrays(self.model({**c, "quantization": q}, t))
        wrong = {**q, **{n[:-7]: {"group_size": 32, "bits": 8} for n in t if n.endswith("_proj.weight")}}
        self.mends(self.model({**c, "quantization": wrong}, t), {"quantization": json.dumps(q)}, good)
        self.mends(self.model({**c, "quantization": {**wrong, "bits": 8}}, t), {"quantization": json.dumps(
            {"group_size": 32, "bits": 8, **{n: {"group_size": 32, "bits": 4} for n in wrong if "layers" in n}})}, good)

    def test_mode(self):
        q, t = mlx_llama({}, (4, 32), True)
        good = self.arrays(self.model(config(None, quantization={**q, "mode": "mxfp4"}), t))
        self.mends(self.model(config(None, quantization=q), t), {"quantization.mode": '"mxfp4"'}, good)


class Tie(Repair):
    def head(self, tied):
        t = packed_llama()
        weight = t[EMBED] if tied else values((160, 64), 77)
        t.update(Packed(weight).tensors("lm_head"))
        return t

    def test_redundant_and_silent(self):
        t = gpt2()
        t.update(Packed(t["wte.weight"]).tensors("lm_head"))
        self.mends(self.model(GPT2, t), {"tie_word_embeddings": "true"})

    def test_own_and_silent(self):
        folder = self.model(config(tie_word_embeddings=NONE), self.head(False))
        self.check(folder, 1)
        self.mends(folder, {"tie_word_embeddings": "false"})

    def test_own_and_said_tied(self):
        folder = self.model(config(), self.head(False))
        self.check(folder, 1)
        self.mends(folder, {"tie_word_embeddings": "false"})

    def test_redundant_and_said(self):
        self.leaves(self.model(config(), self.head(True)), 0)

    def test_between(self):
        """A head that lies a little off: neither reading is certain."""
        t = packed_llama()
        t.update(Packed((t[EMBED] + values((160, 64), 5) * np.float16(0.3)).astype(np.float16)).tensors("lm_head"))
        self.leaves(self.model(config(), t), 0, "two readings fit")

    def test_no_place(self):
        t = gpt2()
        t.update(Packed(values((160, 64), 77)).tensors("lm_head"))
        self.leaves(self.model({**GPT2, "tie_word_embeddings": False}, t), 4, "no place for one")

    def test_spelling(self):
        for word in ("true", 1, "True"):
            self.mends(self.model(config(tie_word_embeddings=word), self.head(True)), {"tie_word_embeddings": "true"})
        self.leaves(self.model(config(tie_word_embeddings="perhaps"), self.head(True)), 4, "neither true nor false")

    def test_no_data(self):
        t = gpt2()
        t.update(Packed(t["wte.weight"]).tensors("lm_head"))
        patch = self.show(self.model(GPT2, t), 4, "--no-data")
        self.assertEqual(patch["changes"], [])
        self.assertIn("was not to be read", patch["why"])


class Index(Repair):
    def folder(self, change, shards=2):
        t = packed_llama()
        names = sorted(t)
        half = len(names) // shards + 1
        folder = self.model(config(), t, [set(names[k * half:(k + 1) * half]) for k in range(shards)])
        path = os.path.join(folder, INDEX)
        self.good = self.arrays(folder)
        index = json.loads(read(path))
        result = change(index, folder)
        if result is not None:
            with open(path, "w") as f:
                f.write(result if isinstance(result, str) else json.dumps(result))
        return folder

    def test_damaged(self):
        def swapped(index, _):
            m = index["weight_map"]
            m.update({n: sorted(set(m.values()))[m[n].startswith("model-00001")] for n in m})
            return index

        def lacks(index, _):
            del index["weight_map"][NORM]
            return index

        def extra(index, _):
            index["weight_map"]["score.weight"] = "model-00001-of-00002.safetensors"
            return index

        def elsewhere(index, _):
            index["weight_map"] = {n: "pytorch_model.safetensors" for n in index["weight_map"]}
            return index

        rows = {"swapped": swapped, "lacks": lacks, "extra": extra, "elsewhere": elsewhere, "no json": lambda i, f: "{",
                "empty": lambda i, f: {"weight_map": {}}, "absent": lambda i, f: os.unlink(os.path.join(f, INDEX))}
        for name, change in rows.items():
            with self.subTest(name):
                folder = self.folder(change)
                target = self.mends(folder, {"": "35 tensors in 2 files".replace("35", str(len(packed_llama())))}, self.good)
                index = json.loads(read(target, INDEX))
                self.assertEqual(set(index["weight_map"]), set(packed_llama()))
                self.assertEqual(index["metadata"]["total_size"], sum(a.nbytes for a in packed_llama().values()))

    def test_left_over(self):
        """An index of shards beside a single file."""
        folder = self.model(config(), packed_llama())
        write_json(os.path.join(folder, INDEX), {"weight_map": {NORM: "model-00001-of-00009.safetensors"}})
        self.mends(folder, {"": "%d tensors in 1 file" % len(packed_llama())})

    def test_a_shard_is_absent(self):
        def lose(index, folder):
            os.unlink(os.path.join(folder, "model-00002-of-00002.safetensors"))
        self.leaves(self.folder(lose), 3, "the download was not finished")
        folder = self.folder(lambda i, f: (os.unlink(os.path.join(f, INDEX)), lose(i, f)) and None)
        self.leaves(folder, 4)

    def test_with_the_config(self):
        """Both are wrong: both are mended."""
        folder = self.folder(lambda i, f: "{")
        write_json(os.path.join(folder, "config.json"), config(awq(group_size=64)))
        self.mends(folder, {"": "%d tensors in 2 files" % len(packed_llama()), "quantization_config.group_size": "32"}, self.good)

    def test_a_stale_shard_of_the_same_names(self):
        folder = self.folder(lambda i, f: "{")
        shutil.copy(os.path.join(folder, "model-00002-of-00002.safetensors"), os.path.join(folder, "old.safetensors"))
        self.leaves(folder, 4, "no JSON")


class Tensors(Repair):
    def test_head_without_embedding(self):
        t = packed_llama()
        good = self.arrays(self.model(config(), t))
        t = {"lm_head.weight" if n == EMBED else n: a for n, a in t.items()}
        target = self.mends(tight(self.model(config(), t)), {"lm_head.weight": EMBED}, good, place=False)
        self.assertEqual(read_raw(os.path.join(target, MAIN))[1], read_raw(self.path("model", MAIN))[1])

    def test_packed_head_without_embedding(self):
        t = packed_llama()
        packed = Packed(t.pop(EMBED))
        t.update(packed.tensors("lm_head"))
        self.mends(tight(self.model(config(), t)), {"lm_head." + k: "model.embed_tokens." + k for k in ("qweight", "qzeros", "scales")}, place=False)

    def test_in_place_where_there_is_room(self):
        t = {"lm_head.weight" if n == EMBED else n: a for n, a in packed_llama().items()}
        folder = tight(self.model(config(), t))
        head, data = read_raw(os.path.join(folder, MAIN))
        made.write_raw(os.path.join(folder, MAIN), head + b" " * (len(EMBED) - len("lm_head.weight")), data)
        self.mends(folder, {"lm_head.weight": EMBED})

    def test_spelled_without_model(self):
        t = gpt2()
        t["lm_head.weight"] = t.pop("wte.weight")
        folder = tight(self.model({**GPT2, "tie_word_embeddings": True}, t))
        self.mends(folder, {"lm_head.weight": "wte.weight"})

    def test_index_goes_along(self):
        t = {"lm_head.weight" if n == EMBED else n: a for n, a in packed_llama().items()}
        names = sorted(t)
        folder = tight(self.model(config(), t, [set(names[:9]), set(names[9:])]))
        target = self.mends(folder, {"lm_head.weight": EMBED, "": "%d tensors in 2 files" % len(t)}, place=False)
        places = json.loads(read(target, INDEX))["weight_map"]
        self.assertIn(EMBED, places)
        self.assertNotIn("lm_head.weight", places)

    def biases(self, value):
        t = packed_llama()
        good = self.arrays(self.model(config(), t))
        out = {}
        for n, a in t.items(): # in the middle of the data
            out[n] = a
            if n.endswith(("up_proj.scales", "o_proj.qweight")):
                out[n.rsplit(".", 1)[0] + ".bias"] = np.full(128 if "up_proj" in n else 64, value, np.float16)
        return good, self.model(config(), out)

    def test_zero_biases(self):
        good, folder = self.biases(0)
        self.mends(folder, {UP + ".bias": None, P + "self_attn.o_proj.bias": None}, good, place=False)

    def test_biases_that_are_not_zero(self):
        _, folder = self.biases(0.01)
        self.leaves(folder, 4, "is not zero")

    def test_metadata_and_order_stay(self):
        good, folder = self.biases(0)
        path = os.path.join(folder, MAIN)
        head, data = read_raw(path)
        made.write_raw(path, json.dumps({"__metadata__": {"format": "pt", "by": "\u00e9"}, **json.loads(head)}).encode(), data)
        self.assertEqual(spawn("repair", folder, "-o", self.path("out"))[0], 0)
        new = json.loads(read_raw(self.path("out", MAIN))[0])
        self.assertEqual(new["__metadata__"], {"format": "pt", "by": "\u00e9"})
        self.assertEqual([n for n in new if n != "__metadata__"], [n for n in json.loads(head) if not n.endswith(".bias")])
        self.assertEqual(self.arrays(self.path("out")), good)


class Write(Repair):
    def setUp(self):
        super().setUp()
        self.folder = self.model(config(awq(group_size=64)), packed_llama())

    def test_output(self):
        os.mkdir(self.path("there"))
        code, _, err, _, _ = spawn("repair", self.folder, "-o", self.path("there"))
        self.assertEqual(code, 4)
        self.assertIn("exists", err)
        self.assertEqual(spawn("repair", self.folder, "-o", os.path.join(self.folder, "in"))[0], 2)
        self.assertEqual(spawn("repair", self.folder, "-o", self.path("no", "parent"))[0], 3)
        self.assertEqual(sorted(os.listdir(self.work)), ["model", "there"])

    def test_what_stays_is_linked_and_links_are_followed(self):
        other = self.path("blob")
        os.rename(os.path.join(self.folder, MAIN), other)
        os.symlink(other, os.path.join(self.folder, MAIN))
        with open(os.path.join(self.folder, "tokenizer.json"), "w") as f:
            f.write("{}")
        os.mkdir(os.path.join(self.folder, "original"))
        self.assertEqual(spawn("repair", self.folder, "-o", self.path("out"))[0], 0)
        self.assertEqual(sorted(os.listdir(self.path("out"))), ["config.json", MAIN, "tokenizer.json"])
        self.assertTrue(os.path.samefile(self.path("out", MAIN), other))
        self.assertFalse(os.path.islink(self.path("out", MAIN)))

    def test_in_place_through_links(self):
        """As in the Hugging Face cache: the link is replaced, the blob stays."""
        blob = self.path("blob")
        os.rename(os.path.join(self.folder, "config.json"), blob)
        os.symlink(blob, os.path.join(self.folder, "config.json"))
        was = read(blob)
        self.assertEqual(spawn("repair", self.folder, "--in-place")[0], 0)
        self.assertEqual(read(blob), was)
        self.check(self.folder, 0)
        self.assertEqual(spawn("repair", self.folder, "--undo")[0], 0)
        self.assertTrue(os.path.islink(os.path.join(self.folder, "config.json")))
        self.assertEqual(read(self.folder, "config.json"), was)

    def test_twice(self):
        self.assertEqual(spawn("repair", self.folder, "--in-place")[0], 0)
        self.assertEqual(spawn("repair", self.folder, "--in-place")[0], 0)  # nothing to do
        write_json(os.path.join(self.folder, "config.json"), config(awq(group_size=128)))
        was = tree_of(self.folder)
        code, _, err, _, _ = spawn("repair", self.folder, "--in-place")
        self.assertEqual(code, 4)
        self.assertIn("--undo", err)
        self.assertEqual(tree_of(self.folder), was)

    def test_undo_of_nothing(self):
        code, out, _, _, _ = spawn("repair", self.folder, "--undo")
        self.assertEqual((code, out), (0, "0 files put back\n"))

    def test_usage(self):
        self.assertEqual(spawn("repair")[0], 2)
        self.assertEqual(spawn("repair", self.folder, "--in-place", "-o", "x")[0], 2)
        self.assertEqual(spawn("repair", self.folder, "--undo", "--in-place")[0], 2)
        self.assertEqual(spawn("repair", self.path("nowhere"))[0], 3)
        self.assertEqual(spawn("repair", "fable")[0], 0)

    def test_a_full_disk(self):
        """Files that may not grow: nothing is changed, nothing is left."""
        def limit():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        was = tree_of(self.folder)
        for flags in (["--in-place"], ["-o", self.path("out")]):
            p = subprocess.run([made.TARE, "repair", self.folder, *flags], preexec_fn=limit, capture_output=True, check=False)
            self.assertEqual(p.returncode, 5, p.stderr)
            self.assertEqual(tree_of(self.folder), was)
            self.assertEqual(os.listdir(self.work), ["model"])

    def test_killed_while_writing(self):
        """What is left behind is in nobody's way, and undo removes it."""
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        was = tree_of(self.folder)
        p = subprocess.run([made.TARE, "repair", self.folder, "--in-place"], preexec_fn=limit, capture_output=True, check=False)
        self.assertLess(p.returncode, 0)
        self.assertEqual({n: h for n, h in tree_of(self.folder).items() if n[0] != "."}, was)
        self.assertEqual(spawn("repair", self.folder, "--in-place")[0], 0)
        self.check(self.folder, 0)
        self.assertEqual(spawn("repair", self.folder, "--undo")[0], 0)
        self.assertEqual(tree_of(self.folder), was)
        with open(os.path.join(self.folder, ".config.json.tare-repair"), "w", encoding="utf-8"):
            pass
        self.assertEqual(spawn("repair", self.folder, "--undo")[0], 0)
        self.assertEqual(tree_of(self.folder), was)

    def test_a_read_only_folder(self):
        if os.geteuid() == 0:
            self.skipTest("root writes everywhere")
        os.chmod(self.folder, 0o555)
        self.addCleanup(os.chmod, self.folder, 0o755)
        self.assertEqual(spawn("repair", self.folder, "--in-place")[0], 4)

    def test_refusals_name_repair(self):
        _, _, err, _, _ = spawn("check", self.folder)
        self.assertIn("tare repair", err)


if __name__ == "__main__":
    made.TARE = os.path.abspath(sys.argv.pop(1))
    unittest.main()
