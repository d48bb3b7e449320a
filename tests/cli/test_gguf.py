#!/usr/bin/env python3
"""test_gguf.py TARE: GGUF files as models. Each family gives the very logits of the checkpoint that it was made of."""
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import gguf_made
from gguf_made import Model

TARE = sys.argv.pop(1)
IDS = "1,5,9,22,3,39,0,7,7,30,31,2"
WORDS = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % i for i in range(256)] + ["\u2581", "a", "b", "c", "ab", "\u2581ab", "abc"]


def read_json(path):
    with open(path) as f:
        return json.load(f)


class Gguf(unittest.TestCase):
    def setUp(self):
        self.work = tempfile.mkdtemp(prefix="tare-gguf-")

    def tearDown(self):
        shutil.rmtree(self.work)

    def tare(self, *words, code=0):
        done = subprocess.run([TARE, *words], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def logits(self, model):
        out = os.path.join(self.work, "out.npy")
        if os.path.exists(out):
            os.unlink(out)
        self.tare("logits", model, "--ids", IDS, "-o", out)
        return np.load(out)

    def model(self, *words, **more):
        where = os.path.join(self.work, "m%d" % len(os.listdir(self.work)))
        os.mkdir(where)
        return Model(where, *words, **more)

    def same(self, *words, **more):
        """Packed weights are summed in another order than floats: equal but for that."""
        model = self.model(*words, **more)
        apart = 2e-6 if "quantize" in more else 0
        np.testing.assert_allclose(self.logits(model.file), self.logits(model.folder), rtol=0, atol=apart)
        self.tare("check", model.file)
        return model

    def test_families(self):
        self.same("llama", "llama")
        self.same("llama", "llama", tied=True, bias=("q_proj", "k_proj", "v_proj", "o_proj"), config={"attention_bias": True})
        self.same("llama", "mistral", config={"sliding_window": 4}, metadata={"llama.attention.sliding_window": 4})
        self.same("qwen2", "qwen2", bias=("q_proj", "k_proj", "v_proj"))
        self.same("qwen3", "qwen3", tied=True)
        self.same("gemma", "gemma", tied=True)
        more = {"query_pre_attn_scalar": 16, "sliding_window": 5, "attn_logit_softcapping": 3.0, "final_logit_softcapping": 7.5}
        self.same("gemma2", "gemma2", tied=True, config=more,
                  metadata={"gemma2.attention.sliding_window": 5, "gemma2.attn_logit_softcapping": 3.0,
                            "gemma2.final_logit_softcapping": 7.5})
        self.same("gemma3", "gemma3_text", tied=True, metadata={"gemma3.attention.sliding_window": 5},
                  config={"query_pre_attn_scalar": 16, "sliding_window": 5, "sliding_window_pattern": 6})
        self.same("phi3", "phi3")
        self.same("phi3", "phi3", config={"partial_rotary_factor": 0.75}, metadata={"phi3.rope.dimension_count": 12})

    def test_rotary(self):
        self.same("llama", "llama", config={"rope_scaling": {"rope_type": "linear", "factor": 4.0}},
                  metadata={"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 4.0})
        scaling = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
        self.same("qwen2", "qwen2", bias=("q_proj", "k_proj", "v_proj"), config={"rope_scaling": scaling},
                  metadata={"qwen2.rope.scaling.type": "yarn", "qwen2.rope.scaling.factor": 4.0,
                            "qwen2.rope.scaling.original_context_length": 32})
        scaling = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                   "original_max_position_embeddings": 8192}
        model = self.model("llama", "llama", config={"rope_scaling": scaling, "rope_theta": 500000.0},
                           metadata={"llama.rope.freq_base": 500000.0})
        wave = 2 * np.pi * 500000.0 ** (np.arange(8) / 8)
        smooth = np.clip((8192 / wave - 1) / 3, 0, 1)
        factors = (1 / ((1 - smooth) / 8 + smooth)).astype(np.float32)
        model.write(model.file, tensors={**model.tensors, "rope_freqs.weight": factors})
        np.testing.assert_array_equal(self.logits(model.file), self.logits(model.folder))
        report = json.loads(self.tare("check", model.file, "--json").stdout)
        self.assertEqual([t["name"] for t in report["set_aside"]], ["rope_freqs.weight"])
        odd = np.linspace(1, 3, 8).astype(np.float32)  # nobody's formula: carried as a list
        model.write(model.file, tensors={**model.tensors, "rope_freqs.weight": odd})
        self.tare("check", model.file)

    def test_packed(self):
        for quantize, bits in ((gguf_made.q4_0, 4), (gguf_made.q8_0, 8)):
            model = self.same("llama", "llama", quantize=quantize)
            out = os.path.join(self.work, "mlx%d" % bits)
            self.tare("convert", model.file, "-o", out)
            config = read_json(os.path.join(out, "config.json"))
            self.assertEqual(config["quantization"], {"bits": bits, "group_size": 32, "mode": "affine"})
            np.testing.assert_array_equal(self.logits(out), self.logits(model.file))

    def one_layer(self, kind):
        """A llama of one layer of 256, whose linear layers are random blocks of a kind: metadata and tensors."""
        rng, size = np.random.default_rng(4), (256, 256)
        tensors = {"token_embd.weight": rng.standard_normal((40, 256)), "output.weight": rng.standard_normal((40, 256)) / 16}
        for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
            tensors[name + ".weight"] = np.ones(256)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
            tensors["blk.0.%s.weight" % name] = gguf_made.random_blocks(rng, kind, size)
        return {"general.architecture": "llama", "llama.embedding_length": 256, "llama.block_count": 1,
                "llama.feed_forward_length": 256, "llama.attention.head_count": 4, "llama.attention.head_count_kv": 4,
                "llama.attention.layer_norm_rms_epsilon": 1e-5}, tensors

    def test_every_kind(self):
        """Running on blocks gives what running on their numbers gives; GGUF to GGUF copies them."""
        for kind in gguf_made.KINDS:
            with self.subTest(kind):
                path, out = os.path.join(self.work, kind + ".gguf"), os.path.join(self.work, kind)
                with open(path, "wb") as f:
                    f.write(gguf_made.gguf(*self.one_layer(kind)))
                self.tare("convert", path, "-o", out, "--to", "dense", "--dtype", "float32")
                want, got = self.logits(out), self.logits(path)
                np.testing.assert_allclose(got, want, rtol=0, atol=1e-4 * np.abs(want).max())
                self.tare("convert", path, "-o", out + ".copy.gguf", "--to", "gguf")
                self.tare("diff", path, out + ".copy.gguf")

    def test_split(self):
        metadata, tensors = self.one_layer("IQ4_XS")
        tensors["rope_freqs.weight"] = np.linspace(1, 3, 32).astype(np.float32)  # is read for the config, from whichever part
        whole, parts = os.path.join(self.work, "whole.gguf"), os.path.join(self.work, "parts")
        with open(whole, "wb") as f:
            f.write(gguf_made.gguf(metadata, tensors))
        os.mkdir(parts)
        names = list(tensors)
        for k, mine in enumerate(([], names[:5], names[5:])):  # as by --no-tensor-first-split
            said = {"split.no": k, "split.count": 3, "split.tensors.count": len(names)}
            with open(os.path.join(parts, "m-%05d-of-00003.gguf" % (k + 1)), "wb") as f:
                f.write(gguf_made.gguf({**said, **({} if k else metadata)}, {name: tensors[name] for name in mine}))
        want = self.logits(whole)
        for path in (parts, os.path.join(parts, "m-00001-of-00003.gguf"), os.path.join(parts, "m-00003-of-00003.gguf")):
            np.testing.assert_array_equal(self.logits(path), want)
        joined = os.path.join(self.work, "joined.gguf")
        self.tare("convert", parts, "-o", joined, "--to", "gguf")
        np.testing.assert_array_equal(self.logits(joined), want)
        os.unlink(os.path.join(parts, "m-00002-of-00003.gguf"))
        self.assertIn("m-00002-of-00003.gguf: is not beside", self.tare("check", parts, code=3).stderr)

    def test_published_names(self):
        """Formats with the checkpoint's own names have its own rows and norms too."""
        for words, more in ((("llama", "llama"), {"bias": ("q_proj", "k_proj", "v_proj", "o_proj"),
                                                  "config": {"attention_bias": True}}),
                            (("gemma", "gemma"), {"tied": True}), (("phi3", "phi3"), {}),
                            (("llama", "llama"), {"quantize": gguf_made.q4_0}),
                            (("llama", "llama"), {"quantize": gguf_made.q8_0})):
            model = self.model(*words, **more)
            out = model.file + ".out"
            self.tare("convert", model.file, "-o", out, "--to", "dense", "--dtype", "float32")
            got = gguf_made.read_safetensors(os.path.join(out, "model.safetensors"))
            self.assertEqual(sorted(got), sorted(model.weights))
            for name, x in model.weights.items():
                np.testing.assert_array_equal(got[name], x, name)
        for to in ("gptq_v2", "awq", "compressed-tensors"):
            model = self.model("llama", "llama", quantize=gguf_made.q4_0)
            out = model.file + ".out"
            self.tare("convert", model.file, "-o", out, "--to", to, "--dequantize", "model.embed_tokens,lm_head")
            np.testing.assert_allclose(self.logits(out), self.logits(model.file), atol=1e-2)  # the table is rounded
            report = json.loads(self.tare("check", out, "--json").stdout)
            self.assertTrue(report["loads"])

    def test_folder(self):
        model = self.model("qwen3", "qwen3")
        folder = os.path.dirname(model.file)
        np.testing.assert_array_equal(self.logits(folder), self.logits(model.folder))
        shutil.copy(model.file, os.path.join(folder, "mmproj-model.gguf"))
        self.tare("check", folder)
        shutil.copy(model.file, os.path.join(folder, "second.gguf"))
        self.assertIn("second.gguf: lies beside model.gguf", self.tare("check", folder, code=4).stderr)
        shutil.copy(os.path.join(model.folder, "config.json"), folder)
        shutil.copy(os.path.join(model.folder, "model.safetensors"), folder)
        self.tare("check", folder)  # safetensors come first
        out = os.path.join(folder, "out")
        self.tare("convert", model.file, "-o", out)  # beside the file is not within the input
        np.testing.assert_array_equal(self.logits(out), self.logits(model.folder))

    def test_text(self):
        pieces = [w.encode() for w in WORDS]
        scores = [0.0] * 259 + [-float(i) for i in range(len(WORDS) - 259)]
        more = {"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": WORDS, "tokenizer.ggml.scores": scores,
                "tokenizer.ggml.token_type": [2, 3, 3] + [6] * 256 + [1] * (len(WORDS) - 259),
                "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2, "tokenizer.ggml.unknown_token_id": 0,
                "tokenizer.chat_template": "{{ messages }}\n\"x\""}
        model = self.model("llama", "llama", metadata=more)
        out = os.path.join(self.work, "out")
        self.tare("convert", model.file, "-o", out)
        made = read_json(os.path.join(out, "tokenizer.json"))
        self.assertEqual(made["model"]["merges"], [["a", "b"], ["\u2581", "ab"], ["ab", "c"]])
        self.assertEqual(len(made["model"]["vocab"]), len(pieces))
        config = read_json(os.path.join(out, "tokenizer_config.json"))
        self.assertEqual((config["chat_template"], config["eos_token"]), ("{{ messages }}\n\"x\"", "</s>"))
        self.assertEqual(read_json(os.path.join(out, "generation_config.json"))["eos_token_id"], [2])
        def render(given):
            done = subprocess.run([TARE, "template", model.file, "--json"], input=json.dumps(given), capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stdout
        hello = {"messages": [{"role": "user", "content": "hi"}]}
        model.write(model.file, metadata=dict(more, **{"tokenizer.chat_template": "{{ bos_token }}{{ messages[0].content }}"}))
        self.assertEqual(render(hello), "<s>hi")
        model.write(model.file, metadata=dict(more, **{"tokenizer.chat_template": "D", "tokenizer.chat_templates": ["tool_use"],
                                                       "tokenizer.chat_template.tool_use": "{{ tools[0] }}"}))
        self.assertEqual((render(hello), render(dict(hello, tools=["T"]))), ("D", "T"))
        model.write(model.file, metadata={"tokenizer.ggml.model": "t5"})
        report = json.loads(self.tare("check", model.file, "--json").stdout)
        self.assertIn("no-tokenizer", [f["code"] for f in report["findings"]])
        self.tare("logits", model.file, "--ids", IDS)

    def test_story(self):
        """The built-in model as a GGUF file, its vocabulary of gpt2's kind, tells the same story."""
        folder, path = os.path.join(self.work, "fable"), os.path.join(self.work, "fable.gguf")
        self.tare("convert", "fable", "-o", folder, "--to", "dense", "--dtype", "float32")
        config = read_json(os.path.join(folder, "config.json"))
        vocabulary = read_json(os.path.join(folder, "tokenizer.json"))
        words = sorted(vocabulary["model"]["vocab"], key=vocabulary["model"]["vocab"].get)
        special = {token["content"] for token in vocabulary["added_tokens"]}
        merges = [m if isinstance(m, str) else " ".join(m) for m in vocabulary["model"]["merges"]]
        heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
        tensors = {}
        for name, x in gguf_made.read_safetensors(os.path.join(folder, "model.safetensors")).items():
            part = name.split(".")[-2]
            tensors[gguf_made.gguf_name(name, False)] = gguf_made.permute(x, heads[part]) if part in heads else x
        with open(path, "wb") as f:
            f.write(gguf_made.gguf({
                "general.architecture": "llama", "llama.embedding_length": config["hidden_size"],
                "llama.block_count": config["num_hidden_layers"], "llama.context_length": 256,
                "llama.feed_forward_length": config["intermediate_size"],
                "llama.attention.head_count": heads["q_proj"], "llama.attention.head_count_kv": heads["k_proj"],
                "llama.attention.layer_norm_rms_epsilon": 1e-5, "tokenizer.ggml.model": "gpt2",
                "tokenizer.ggml.pre": "gpt-2", "tokenizer.ggml.tokens": words, "tokenizer.ggml.merges": merges,
                "tokenizer.ggml.token_type": [3 if w in special else 1 for w in words],
                "tokenizer.ggml.bos_token_id": 0, "tokenizer.ggml.eos_token_id": 0,
                "tokenizer.ggml.add_bos_token": True}, tensors))
        tell = ["--temp", "0", "--max-tokens", "60"]
        for prompt in ("Once upon a time", "The dog's 3 red balls,\n"):
            self.assertEqual(self.tare("run", path, prompt, *tell).stdout, self.tare("run", folder, prompt, *tell).stdout)

    def test_refused(self):
        model = self.model("llama", "llama")
        with open(model.file, "rb") as f:
            raw = f.read()
        path = os.path.join(self.work, "bad.gguf")

        def refused(phrase, data=None, **more):
            if data is None:
                model.write(path, **more)
            else:
                with open(path, "wb") as f:
                    f.write(data)
            self.assertIn(phrase, self.tare("check", path, code=4).stderr)

        refused("no GGUF file", b"")
        refused("no GGUF file", b"GGML" + raw[4:])
        refused("version 1", b"GGUF\x01\0\0\0" + raw[8:])
        refused("big-endian", b"GGUF\0\0\0\x03" + raw[8:])
        refused("cut short", raw[:-5000])
        refused("bytes after the last tensor", raw + b"x")
        refused("do not fit", raw[:8] + struct.pack("<Q", 1 << 40) + raw[16:])
        refused("\"bert\" is not known", metadata={"general.architecture": "bert"})
        refused("part 1 of 3 of a split file", metadata={"split.count": 3})
        refused("list of unlike", metadata={"llama.feed_forward_length": [96, 128]})
        refused("rope.dimension_count", metadata={"llama.rope.dimension_count": 8})
        refused("rope.scaling.type", metadata={"llama.rope.scaling.type": "new"})
        for number, name in ((33, "Q4_0_8_8"), (38, "IQ4_NL_8_8"), (9, "Q8_1"), (4, "Q4_2"), (144, "144")):
            refused("ggml's type %s" % name, tensors={**model.tensors, "output.weight": (number, (40, 64), bytes(64))})
        refused("in blocks of 32", tensors={**model.tensors, "output.weight": (2, (4, 40), bytes(90))})
        refused("no parameter for", tensors={**model.tensors, "blk.0.new.weight": np.zeros((4, 4))})
        less = dict(model.tensors)
        del less["blk.1.ffn_up.weight"]
        refused("model.layers.1.mlp.up_proj.weight", tensors=less)


if __name__ == "__main__":
    unittest.main()
