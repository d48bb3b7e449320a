#!/usr/bin/env python3
"""gguf.py TARE DATA [SEED]: --to gguf over random shapes, layouts, groups and bits; what is exact, what is rounded and counted, what is
refused; the vocabulary. The reader is the test's own (gguf_read.py); where gguf-py can be imported, it must say the same.
DATA is tests/data."""
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import numpy as np

sys.path.pop(0)  # this folder has a gguf.py of its own
try:
    import gguf as peer
except ImportError:
    peer = None
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import gguf_read  # noqa: E402
import layouts  # noqa: E402

TRIALS = 6
NAMES = {"mlp.up_proj": "ffn_up", "mlp.gate_proj": "ffn_gate", "mlp.down_proj": "ffn_down", "self_attn.q_proj": "attn_q",
         "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
TARE, DATA = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
SEED = int(sys.argv[3]) if len(sys.argv) > 3 else 11
BITS = {"awq": (4,), "gptq": (2, 3, 4, 8), "gptq_v2": (2, 3, 4, 8), "compressed-tensors": (2, 3, 4, 5, 6, 7, 8), "mlx": (2, 3, 4)}
P = "model.layers.0."


def run(*args):
    return subprocess.run([TARE, *args], capture_output=True, text=True)


def source_of(name):
    folders = [os.path.join(DATA, place, name) for place in ("gguf_out", "load")]
    return next(f for f in folders if os.path.isdir(f))


def by_peer(path):
    """gguf-py's own reading, of what it dequantizes."""
    return {t.name: peer.quants.dequantize(t.data, t.tensor_type) for t in peer.GGUFReader(path).tensors}


class Case(unittest.TestCase):
    def setUp(self):
        self.work = tempfile.mkdtemp(prefix="tare-gguf-")
        self.addCleanup(shutil.rmtree, self.work, True)

    def path(self, name):
        return os.path.join(self.work, name)

    def convert(self, source, *flags, out="model.gguf"):
        """(the file, stderr)"""
        target = self.path(out)
        shutil.rmtree(target, True)
        if os.path.isfile(target):
            os.remove(target)
        done = run("convert", source, "-o", target, "--to", "gguf", *flags)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([n for n in os.listdir(self.work) if ".tare-" in n], [])
        made = target if out.endswith(".gguf") else os.path.join(target, "model.gguf")
        file = gguf_read.File(made)
        if peer:
            theirs = by_peer(made)
            self.assertEqual(sorted(theirs), sorted(file.tensors))
            for name in theirs:
                np.testing.assert_array_equal(theirs[name].astype(np.float32), file.floats(name), name)
        return file, done.stderr

    def refused(self, source, *words, flags=()):
        done = run("convert", source, "-o", self.path("no"), "--to", "gguf", *flags)
        self.assertEqual(done.returncode, 4, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertFalse(os.path.exists(self.path("no")))

    def make(self, config, tensors):
        folder = self.path("in")
        shutil.rmtree(folder, True)
        layouts.write(folder, config, tensors)
        return folder

    def dense(self, source):
        target = self.path("dense")
        shutil.rmtree(target, True)
        done = run("convert", source, "-o", target, "--to", "dense", "--dtype", "float32")
        self.assertEqual(done.returncode, 0, done.stderr)
        return {n: np.frombuffer(raw, "<f4").reshape(shape) for n, (_, shape, raw) in layouts.read(target).items()}


def draw(rng, layout):
    bits, group = rng.choice(BITS[layout]), rng.choice([32, 64, 128] if layout != "awq" else [32, 64, 96, 128])
    symmetric = layout != "mlx" and (bits == 8 or rng.random() < 0.5)
    if layout == "mlx":
        group = rng.choice([32, 64])
    shape = dict(hidden=group * rng.randint(1, 3), ff=group * rng.randint(1, 5), heads=rng.choice([1, 2, 6]), kv=rng.choice([1, 2]),
                 head=rng.choice([32, 64]) if group == 32 else group)
    shape["kv"] = min(shape["kv"], shape["heads"])
    return bits, group, symmetric, shape


class Weights(Case):
    def built(self, layout, number, **fixed):
        rng, codes = random.Random("%d %s %d" % (SEED, layout, number)), np.random.default_rng([SEED, number])
        bits, group, symmetric, shape = draw(rng, layout)
        bits, symmetric = fixed.get("bits", bits), fixed.get("symmetric", symmetric)
        linears = {path: layouts.Linear(codes, out, into, bits, group, 1 if layout == "gptq" else 0, symmetric)
                   for path, (out, into) in layouts.sizes(shape).items()}
        tensors = layouts.rest(shape)
        for path, linear in linears.items():
            tensors.update(linear.tensors(path, layout, symmetric))
        about = "%s, %d bits, group %d, symmetric %s, %s" % (layout, bits, group, symmetric, shape)
        return self.make(layouts.config(layout, shape, linears, symmetric), tensors), linears, shape, symmetric, about

    def compare(self, source, file, shape, about, exact):
        """Against --to dense in float32; gives the number of weights that differ, and the largest difference."""
        dense, count, most = self.dense(source), 0, 0.0
        for name, want in dense.items():
            stem = name[len(P):].rsplit(".", 1)[0] if name.startswith(P) else name
            own = "blk.0.%s.weight" % NAMES[stem] if name.startswith(P) else {
                "model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}[name]
            got = file.floats(own)
            if stem.endswith(("q_proj", "k_proj")):
                got = gguf_read.unpermuted(got, shape["heads" if stem.endswith("q_proj") else "kv"])
            if exact:
                np.testing.assert_array_equal(got, want, "%s: %s" % (about, name))
            count, most = count + int((got != want).sum()), max(most, float(np.abs(got - want).max()))
        self.assertEqual(len(file.tensors), len(dense))
        return count, most

    def test_exact(self):
        for layout in BITS:
            for number in range(TRIALS):
                source, linears, shape, symmetric, about = self.built(layout, number)
                with self.subTest(about):
                    file, said = self.convert(source, "--exact")
                    self.assertNotIn("rounded", said)
                    bits = next(iter(linears.values())).bits
                    want = ("Q4_1" if layout == "mlx" else "Q4_0" if bits < 4 or (bits == 4 and symmetric) else "Q8_0")
                    self.assertEqual(file.tensors["blk.0.attn_q.weight"][0], want, about)
                    self.assertEqual(file.tensors["blk.0.attn_norm.weight"][0], "F32")
                    self.assertEqual(file.tensors["token_embd.weight"][0], "F16")
                    if layout != "mlx":
                        self.compare(source, file, shape, about, True)
                        for path, linear in linears.items():
                            got = file.floats("blk.0.%s.weight" % NAMES[path[len(P):]])
                            if path.endswith(("q_proj", "k_proj")):
                                got = gguf_read.unpermuted(got, shape["heads" if "q_proj" in path else "kv"])
                            np.testing.assert_array_equal(got, linear.floats(), about)
                    else:  # the sum is rounded in float32, by either reader in its own order
                        count, most = self.compare(source, file, shape, about, False)
                        self.assertEqual((count, most), (0, 0.0), about)

    def test_rounded(self):
        for layout in ("awq", "gptq", "gptq_v2", "compressed-tensors"):
            source, linears, shape, _, about = self.built(layout, 90, bits=4, symmetric=False)
            file, said = self.convert(source)
            lost, most = 0, 0.0
            for linear in linears.values():
                offset = -linear.zeros.astype(np.float32) * linear.scales.astype(np.float32)
                errors = np.abs(offset - offset.astype(np.float16).astype(np.float32))
                lost, most = lost + int((errors > 0).sum()), max(most, float(errors.max()))
            self.assertIn("note: %d offsets" % lost, said)
            self.assertIn("by %.3g at most" % most, said)
            self.assertEqual(file.tensors["blk.0.ffn_up.weight"][0], "Q4_1", about)
            for path, linear in linears.items():  # by a fused way or the neutral one: the same bytes
                wide = linear.scales.astype(np.float32)
                offsets = (-linear.zeros.astype(np.float32) * wide).astype(np.float16)
                want = np.zeros((linear.out, linear.into // 32, 20), np.uint8)
                repeat, blocks = linear.group // 32, linear.codes.reshape(linear.out, -1, 32).astype(np.uint8)
                want[:, :, 0:2] = np.repeat(linear.scales, repeat, 1)[:, :, None].view(np.uint8)
                want[:, :, 2:4] = np.repeat(offsets, repeat, 1)[:, :, None].view(np.uint8)
                want[:, :, 4:] = blocks[:, :, :16] | blocks[:, :, 16:] << 4
                kind, rows, raw = file.tensors["blk.0.%s.weight" % NAMES[path[len(P):]]]
                got = np.frombuffer(raw, np.uint8).reshape(want.shape)
                if path.endswith(("q_proj", "k_proj")):
                    got = gguf_read.unpermuted(got, shape["heads" if "q_proj" in path else "kv"])
                np.testing.assert_array_equal(got, want, about + ": " + path)
            self.assertLessEqual(self.compare(source, file, shape, about, False)[1], most * 1.01)

    def test_dtypes(self):
        source, _, shape, _, about = self.built("gptq_v2", 91, bits=4, symmetric=False)
        for dtype, word in (("float32", "F32"), ("bfloat16", "BF16"), ("float16", "F16")):
            file, _ = self.convert(source, "--dequantize=**", "--dtype", dtype)
            kinds = {n: t[0] for n, t in file.tensors.items()}
            self.assertEqual({k for n, k in kinds.items() if "norm" not in n}, {word})
            self.assertEqual({k for n, k in kinds.items() if "norm" in n}, {"F32"})
            if word == "F32":
                self.compare(source, file, shape, about, True)

    def test_threads(self):
        source = self.built("awq", 92)[0]
        self.assertEqual(self.convert(source, "--threads", "1")[0].data, self.convert(source, "--threads", "7")[0].data)

    def test_refused(self):
        rng, shape = np.random.default_rng(3), dict(hidden=64, ff=64, heads=2, kv=1, head=32)

        def source(layout, bits, group, order=False, dtype=None, **config):
            linears = {p: layouts.Linear(rng, out, into, bits, group, 1, False, order) for p, (out, into) in layouts.sizes(shape).items()}
            tensors = layouts.rest(shape)
            for path, linear in linears.items():
                tensors.update(linear.tensors(path, layout))
            if dtype:
                for name in [n for n in tensors if n.endswith("scales")]:
                    tensors[name] = dtype(tensors[name])
            return self.make(dict(layouts.config(layout, shape, linears, False, order), **config), tensors)

        self.refused(source("gptq", 4, 32, order=True), "act-order", "--dequantize")
        self.refused(source("gptq", 4, 16), "one for 32")
        self.refused(source("gptq", 8, 32), "9 bits")
        self.convert(source("gptq", 8, 32), "--dequantize=**")
        odd = lambda scales: ("BF16", (np.full(scales.shape, 1e-9, np.float32).view(np.uint32) >> 16).astype(np.uint16))
        self.refused(source("awq", 4, 32, dtype=odd), "float16")
        self.refused(source("awq", 4, 32, model_type="xverse"), "xverse")
        self.refused(source("awq", 4, 32, rope_scaling={"rope_type": "dynamic", "factor": 2.0}), "rope_scaling")
        self.refused(source("awq", 4, 32, hidden_act="gelu"), "hidden_act")

    def test_bfloat16_scales(self):
        """bfloat16 scales that are float16 numbers are exact."""
        rng, shape = np.random.default_rng(3), dict(hidden=64, ff=64, heads=2, kv=1, head=32)
        linears = {p: layouts.Linear(rng, out, into, 4, 32) for p, (out, into) in layouts.sizes(shape).items()}
        tensors = layouts.rest(shape)
        for path, linear in linears.items():
            linear.scales = (linear.scales.view(np.uint16) & 0xFFF8).view(np.float16)
            tensors.update(linear.tensors(path, "awq"))
            words = linear.scales.astype(np.float32).view(np.uint32)
            self.assertFalse((words & 0xFFFF).any())
            tensors[path + ".scales"] = ("BF16", (words.T >> 16).astype(np.uint16))
        source = self.make(layouts.config("awq", shape, linears), tensors)
        file, _ = self.convert(source, "--exact")
        self.compare(source, file, shape, "bfloat16", True)


class Families(Case):
    def golden(self, name, *flags):
        source = source_of(name)
        with open(os.path.join(source, "config.json")) as f:
            return source, json.load(f), self.convert(source, *flags)[0]

    def test_tied(self):
        file = self.golden("llama_silent_redundant_head")[2]
        self.assertNotIn("output.weight", file.tensors)
        self.assertEqual(file.meta["general.architecture"], "llama")
        file = self.golden("llama_untied_2shards")[2]
        self.assertIn("output.weight", file.tensors)

    def test_gemma(self):
        source, config, file = self.golden("gemma2", "--exact")
        dense = self.dense(source)
        np.testing.assert_array_equal(file.floats("output_norm.weight"), dense["model.norm.weight"] + 1)
        np.testing.assert_array_equal(file.floats("blk.0.post_ffw_norm.weight"),
                                      dense[P + "post_feedforward_layernorm.weight"] + 1)
        np.testing.assert_array_equal(file.floats("blk.0.attn_q.weight"), dense[P + "self_attn.q_proj.weight"])
        self.assertEqual(file.meta["gemma2.attention.sliding_window"], config["sliding_window"])

    def test_experts(self):
        source, config, file = self.golden("mixtral", "--exact")
        dense = self.dense(source)
        for own, w in (("ffn_gate_exps", "w1"), ("ffn_down_exps", "w2"), ("ffn_up_exps", "w3")):
            want = np.stack([dense[P + "block_sparse_moe.experts.%d.%s.weight" % (e, w)] for e in range(config["num_local_experts"])])
            np.testing.assert_array_equal(file.floats("blk.0.%s.weight" % own), want)
        self.assertEqual(file.tensors["blk.0.ffn_gate_inp.weight"][0], "F32")
        self.assertEqual(file.meta["llama.expert_count"], config["num_local_experts"])

    def test_fused(self):
        source, _, file = self.golden("phi3", "--exact")
        dense = self.dense(source)
        np.testing.assert_array_equal(file.floats("blk.0.attn_qkv.weight"), dense[P + "self_attn.qkv_proj.weight"])
        np.testing.assert_array_equal(file.floats("blk.0.ffn_up.weight"), dense[P + "mlp.gate_up_proj.weight"])

    def test_there_and_back(self):
        """A GGUF file of tare's, read by tare: the same weights under the source's names."""
        for name in ("llama_silent_redundant_head", "llama_untied_2shards", "qwen2_symmetric", "gemma2", "gemma3_text_tied_redundant_head",
                     "phi3", "mixtral"):
            with self.subTest(name):
                source = source_of(name)
                self.convert(source, "--exact")
                want, got = self.plain(source), self.plain(self.path("model.gguf"))
                self.assertEqual(sorted(got), sorted(want))
                for tensor in got:
                    np.testing.assert_array_equal(got[tensor], want[tensor], name + ": " + tensor)

    def plain(self, source):
        """All parameters as float32, by mlx-lm's names."""
        target = self.path("plain")
        shutil.rmtree(target, True)
        done = run("convert", source, "-o", target, "--dequantize=**", "--keep-dtypes", "--dtype", "float32")
        self.assertEqual(done.returncode, 0, done.stderr)
        return {n: np.frombuffer(raw, "<f4") for n, (_, _, raw) in layouts.read(target).items()}


class Vocabulary(Case):
    def model(self, tokenizer, more=None, vocabulary=48):
        shape = dict(hidden=32, ff=32, heads=1, kv=1, head=32)
        linear = layouts.Linear(np.random.default_rng(1), 32, 32, 4, 32)
        tensors = layouts.rest(shape)
        for path in layouts.sizes(shape):
            tensors.update(linear.tensors(path, "awq"))
        folder = self.make(dict(layouts.config("awq", shape, {"": linear}), bos_token_id=1, eos_token_id=[2, 3]), tensors)
        with open(os.path.join(folder, "tokenizer.json"), "w") as f:
            json.dump(tokenizer, f)
        with open(os.path.join(folder, "tokenizer_config.json"), "w") as f:
            json.dump(more or {}, f)
        return folder

    BYTES = {"added_tokens": [{"id": 1, "content": "<s>", "special": True}, {"id": 2, "content": "</s>", "special": True},
                              {"id": 9, "content": "me", "special": False}],
             "normalizer": None, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
             "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                                                                         {"Sequence": {"id": "A", "type_id": 0}}]},
             "model": {"type": "BPE", "vocab": {"a": 4, "b": 5, "ab": 6, "aba": 7}, "merges": [["a", "b"], ["ab", "a"]]}}

    def test_bytes(self):
        meta = self.convert(self.model(self.BYTES, {"chat_template": "{{ x }}", "eos_token": "</s>"}))[0].meta
        self.assertEqual(meta["tokenizer.ggml.model"], "gpt2")
        self.assertEqual(meta["tokenizer.ggml.pre"], "gpt-2")
        self.assertEqual(meta["tokenizer.ggml.tokens"][:10], ["[PAD0]", "<s>", "</s>", "[PAD3]", "a", "b", "ab", "aba", "[PAD8]", "me"])
        self.assertEqual(meta["tokenizer.ggml.token_type"][:10], [5, 3, 3, 5, 1, 1, 1, 1, 5, 4])
        self.assertEqual(len(meta["tokenizer.ggml.tokens"]), 48)
        self.assertEqual(meta["tokenizer.ggml.merges"], ["a b", "ab a"])
        self.assertEqual(meta["tokenizer.ggml.bos_token_id"], 1)
        self.assertEqual(meta["tokenizer.ggml.eos_token_id"], 2)
        self.assertEqual(meta["tokenizer.ggml.eot_token_id"], 3)
        self.assertTrue(meta["tokenizer.ggml.add_bos_token"])
        self.assertFalse(meta["tokenizer.ggml.add_eos_token"])
        self.assertEqual(meta["tokenizer.chat_template"], "{{ x }}")

    def test_pieces(self):
        space = "\u2581"
        tokenizer = {"added_tokens": [{"id": 0, "content": "<unk>", "special": True}], "pre_tokenizer": None, "post_processor": None,
                     "normalizer": {"type": "Sequence", "normalizers": [
                         {"type": "Prepend", "prepend": space}, {"type": "Replace", "pattern": {"String": " "}, "content": space}]},
                     "model": {"type": "BPE", "byte_fallback": True, "unk_token": "<unk>",
                               "vocab": {"<unk>": 0, "<0x41>": 1, "a": 4, space: 5, space + "a": 6, "aa": 7}, "merges": ["a a", space + " a"]}}
        meta = self.convert(self.model(tokenizer))[0].meta
        self.assertEqual(meta["tokenizer.ggml.model"], "llama")
        self.assertEqual(meta["tokenizer.ggml.token_type"][:8], [2, 6, 5, 5, 1, 1, 1, 1])
        scores = meta["tokenizer.ggml.scores"]
        self.assertGreater(scores[7], scores[6])
        self.assertGreater(scores[6], scores[4])
        self.assertTrue(meta["tokenizer.ggml.add_space_prefix"])

    def test_refused(self):
        for change in ({"normalizer": {"type": "Lowercase"}}, {"model": {"type": "WordPiece", "vocab": {}}},
                       {"pre_tokenizer": {"type": "Whitespace"}},
                       {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                           {"type": "Split", "pattern": {"Regex": "x+"}, "behavior": "Isolated"}, {"type": "ByteLevel", "use_regex": False}]}}):
            self.refused(self.model(dict(self.BYTES, **change)), "tokenizer.json")


class Output(Case):
    def test_folder_and_file(self):
        source = source_of("qwen2_symmetric")
        file, said = self.convert(source, out="folder")
        self.assertEqual(sorted(os.listdir(self.path("folder"))), ["model.gguf", "tare.json"])
        self.assertIn("no vocabulary", said)
        self.assertEqual(self.convert(source)[0].data, file.data)
        done = run("convert", source, "-o", self.path("model.gguf"), "--to", "gguf")
        self.assertEqual(done.returncode, 4)
        self.assertIn("exists already", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
