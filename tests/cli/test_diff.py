#!/usr/bin/env python3
"""test_diff.py TARE [CLASS ...]: tare diff and tare verify, on small checkpoints made here. Standard library and numpy."""
import hashlib
import json
import os
import shutil
import sys
import unittest

import numpy as np

import gguf_made
import made
from made import AWQ, GPT2, GROUP, LLAMA, Case, Packed, gpt2, llama, read_raw, spawn, values, write_json, write_raw, write_safetensors

TIED = {**LLAMA, "tie_word_embeddings": True}
PLAIN = {k: v for k, v in TIED.items() if k != "quantization_config"}
O_PROJ = "model.layers.0.self_attn.o_proj"
DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data/load")


def packed():
    """The packed linear of made.llama()."""
    return Packed(values((64, 64), 30))


def pack_words(codes):
    """[rows, columns] of 4-bit codes -> uint32 [rows, columns / 8], the lowest first, as MLX has them."""
    words = np.zeros((codes.shape[0], codes.shape[1] // 8), np.uint32)
    for j in range(8):
        words |= codes[:, j::8].astype(np.uint32) << np.uint32(4 * j)
    return words


def without(tensors, prefix):
    return {k: v for k, v in tensors.items() if not k.startswith(prefix)}


class Verb(Case):
    def folder(self, name, config, tensors):
        at = self.model(config, tensors)
        to = self.path(name)
        shutil.rmtree(to, True)
        os.rename(at, to)
        return to

    def json(self, status, *args):
        code, out, err, _, _ = spawn(*args, "--json")
        self.assertEqual((code, err), (status, ""), out)
        found = json.loads(out)
        self.assertEqual(found["exit"], status)
        return found

    def refused(self, status, *args, text=""):
        code, _, err, _, _ = spawn(*args)
        self.assertEqual(code, status, err)
        self.assertRegex(err, r"\Atare: [^\n]+\n\Z")
        self.assertIn(text, err)


class Diff(Verb):
    def diff(self, a, b, status, *flags):
        found = self.json(status, "diff", a, b, *flags)
        self.assertEqual(found["equal"], status == 0)
        self.assertEqual(sum(found["counts"].values()), len(found["parameters"]))
        rows = {p["name"]: p for p in found["parameters"]}
        self.assertEqual(len(rows), len(found["parameters"]))
        for word, n in found["counts"].items():
            self.assertEqual(sum(p["same"] == word for p in rows.values()), n)
        return rows

    def test_itself(self):
        a = self.folder("a", TIED, llama())
        self.assertEqual({p["same"] for p in self.diff(a, a, 0).values()}, {"bytes"})
        code, out, err, _, _ = spawn("diff", a, a)
        self.assertEqual((code, err), (0, ""))
        self.assertTrue(out.endswith("equal\n"), out)

    def test_in_memory(self):
        self.assertEqual({p["same"] for p in self.diff("fable", "fable", 0).values()}, {"bytes"})

    def mlx(self, dtype):
        p, t = packed(), without(llama(), O_PROJ)
        scales = p.scales.astype(dtype)
        t.update({O_PROJ + ".weight": pack_words(p.codes), O_PROJ + ".scales": scales,
                  O_PROJ + ".biases": (-p.zeros * p.scales.astype(np.float32)).astype(dtype)})
        return self.folder("mlx", {**PLAIN, "quantization": {"bits": 4, "group_size": GROUP}}, t)

    def test_equal_codes_in_another_layout(self):
        row = self.diff(self.folder("a", TIED, llama()), self.mlx(np.float32), 0)[O_PROJ + ".weight"]
        self.assertEqual(row["same"], "codes")
        self.assertEqual([s["packing"] for s in row["sides"]], ["awq-gemm", "mlx-affine"])

    def test_rounded_biases_are_told_apart_from_other_codes(self):
        p = packed()
        row = self.diff(self.folder("a", TIED, llama()), self.mlx(np.float16), 1)[O_PROJ + ".weight"]
        step = np.repeat(p.scales.astype(np.float32), GROUP, 1)
        bias = np.repeat((-p.zeros * p.scales.astype(np.float32)).astype(np.float16).astype(np.float32), GROUP, 1)
        a, b = p.floats(), step * p.codes.astype(np.float32) + bias
        far = np.abs(a.astype(np.float64) - b)
        self.assertEqual((row["same"], row["codes"]), ("different", True))
        self.assertEqual((row["row"], row["column"]), divmod(int(far.argmax()), 64))
        self.assertEqual(row["largest"], far.max())
        self.assertEqual(row["values"], [a.flat[far.argmax()], b.flat[far.argmax()]])
        self.assertEqual((row["differing"], row["elements"]), (int((far > 0).sum()), 64 * 64))

    def test_another_code(self):
        t, u = llama(), llama()
        u[O_PROJ + ".qweight"] = u[O_PROJ + ".qweight"].copy()
        u[O_PROJ + ".qweight"][5, 2] ^= 1 << 8  # nibble 2 holds column 4 of the eight
        row = self.diff(self.folder("a", TIED, t), self.folder("b", TIED, u), 1)[O_PROJ + ".weight"]
        self.assertEqual((row["codes"], row["row"], row["column"], row["differing"]), (False, 20, 5, 1))
        self.assertEqual(row["largest"], float(packed().scales[20, 0]))

    def test_dequantized_is_equal_in_values(self):
        t = without(llama(), O_PROJ)
        t[O_PROJ + ".weight"] = packed().floats().astype(np.float32)
        row = self.diff(self.folder("a", TIED, llama()), self.folder("b", PLAIN, t), 0)[O_PROJ + ".weight"]
        self.assertEqual(row["same"], "values")

    def dense(self, name, change=None, dtype=None):
        t = without(llama(), O_PROJ)
        t[O_PROJ + ".weight"] = values((64, 64), 30)
        if dtype:
            t = {k: v.astype(dtype) for k, v in t.items()}
        if change:
            change(t)
        return self.folder(name, PLAIN, t)

    def one(self, change, status, dtype=None):
        name = "model.layers.0.mlp.up_proj.weight"

        def on(tensors):
            tensors[name] = tensors[name].copy()
            change(tensors[name])
        rows = self.diff(self.dense("a"), self.dense("b", on, dtype), status)
        if not dtype:
            self.assertEqual({p["same"] for k, p in rows.items() if k != name}, {"bytes"})
        return rows[name]

    def test_wider_dtype(self):
        self.assertEqual(self.one(lambda w: None, 0, np.float32)["same"], "values")
        self.assertEqual(self.one(lambda w: None, 0, np.float64)["same"], "values")

    def test_beyond_float32(self):
        def change(w):
            w[3, 4] = 1e300
        row = self.one(change, 1, np.float64)
        self.assertEqual((row["row"], row["column"], row["values"][1], row["differing"]), (3, 4, 1e300, 1))

    def test_one_element(self):
        def change(w):
            w[127, 63] += 1
        row = self.one(change, 1)
        self.assertEqual((row["same"], row["row"], row["column"], row["differing"]), ("different", 127, 63, 1))
        self.assertAlmostEqual(row["largest"], 1, 2)

    def test_nan_is_infinitely_far(self):
        def change(w):
            w[7, 9] = np.nan
        row = self.one(change, 1)
        self.assertEqual((row["largest"], row["row"], row["column"], row["values"][1]), ("inf", 7, 9, "nan"))

    def test_minus_zero(self):
        a, b = self.dense("a", lambda t: t["model.norm.weight"].fill(0)), self.dense("b", lambda t: t["model.norm.weight"].fill(-0.0))
        self.assertEqual(self.diff(a, b, 0)["model.norm.weight"]["same"], "values")

    def test_shapes_and_what_only_one_has(self):
        t = {k: v for k, v in llama().items()}
        wide = {**t, "model.embed_tokens.weight": values((168, 64), 1)}
        wide.update({k.replace("layers.0", "layers.1"): v for k, v in t.items() if "layers.0" in k})
        a, b = self.folder("a", TIED, t), self.folder("b", {**TIED, "vocab_size": 168, "num_hidden_layers": 2}, wide)
        rows = self.diff(a, b, 1)
        self.assertEqual(rows["model.embed_tokens.weight"]["same"], "shape")
        self.assertEqual([s["shape"] for s in rows["model.embed_tokens.weight"]["sides"]], [[160, 64], [168, 64]])
        only = {k for k, p in rows.items() if p["same"] == "only-second"}
        self.assertEqual(only, {k for k in rows if "layers.1" in k})
        self.assertEqual({p["same"] for k, p in self.diff(b, a, 1).items() if k in only}, {"only-first"})
        out = spawn("diff", a, b)[1]
        self.assertIn("(160, 64) in A, (168, 64) in B", out)
        self.assertIn("only in B", out)

    def test_transposed(self):
        t = gpt2()
        name = "h.0.mlp.c_fc.weight"  # Conv1D: (in, out); the parameter is (out, in)
        u = {**t, name: t[name].copy()}
        u[name][10, 200] += 1
        rows = self.diff(self.folder("a", GPT2, t), self.folder("b", GPT2, u), 1)
        row = rows["model." + name]
        self.assertEqual((row["row"], row["column"], row["differing"]), (200, 10, 1))

    def test_stacked_experts(self):
        source, out = os.path.join(DATA, "qwen3_moe"), self.path("out")
        self.assertEqual(spawn("convert", source, "-o", out)[0], 0)
        code, text, err, _, _ = spawn("diff", source, out, "--json")
        self.assertIn(code, (0, 1), err)
        for p in json.loads(text)["parameters"]:
            self.assertEqual(p["sides"][0]["shape"], p["sides"][1]["shape"])
            self.assertTrue(p["same"] in ("bytes", "codes", "values") or p["codes"], p)

    def test_threads_do_not_matter(self):
        a, b = self.folder("a", TIED, llama()), self.mlx(np.float16)
        texts = {spawn("diff", a, b, "--json", "--threads", n)[1] for n in ("1", "2", "7")}
        self.assertEqual(len(texts), 1)

    def test_refused(self):
        a = self.folder("a", TIED, llama())
        b = self.folder("b", TIED, without(llama(), "model.norm"))
        self.refused(4, "diff", a, b, text="model.norm.weight")
        self.refused(4, "diff", b, a, text="model.norm.weight")
        self.refused(3, "diff", a, self.path("nothing"), text="nothing")
        self.refused(2, "diff", a, text="B is needed")
        self.refused(2, "diff", a, a, a)


class Verify(Verb):
    def verify(self, folder, status, *flags):
        return self.json(status, "verify", folder, *flags)

    def one(self, folder, code, where, *phrases):
        """The one finding."""
        found = self.verify(folder, 1)["findings"]
        self.assertEqual([(f["code"], f["where"]) for f in found], [(code, where)], found)
        for phrase in phrases:
            self.assertIn(phrase, found[0]["text"])

    def changed(self, name, change, tensors=None, config=TIED):
        t = dict(tensors or llama())
        t[name] = t[name].copy()
        change(t[name])
        return self.folder("m", config, t)

    def test_clean(self):
        at = self.folder("m", TIED, llama())
        found = self.verify(at, 0)
        with open(os.path.join(at, "model.safetensors"), "rb") as f:
            data = f.read()
        self.assertEqual([(f["name"], f["size"], f["sha256"], f["expected"], f["matches"]) for f in found["files"]],
                         [("model.safetensors", len(data), hashlib.sha256(data).hexdigest(), None, True)])
        self.assertEqual(found["bytes_hashed"], len(data))
        self.assertTrue(spawn("verify", at)[1].endswith("clean\n"))
        self.assertEqual(self.verify(at, 0, "--no-hash")["files"], [])
        self.assertEqual(self.verify(at, 0, "--no-values")["bytes_scanned"], 0)

    def test_fable(self):
        self.assertEqual(self.verify("fable", 0)["findings"], [])

    # ---- hashes

    def cache(self):
        """A cache of huggingface_hub: links into blobs, named by sha256 (large files) or git's sha1 (small ones)."""
        at, root = self.folder("m", TIED, llama()), self.path("models--o--n")
        snapshot = os.path.join(root, "snapshots", "abc")
        os.makedirs(snapshot)
        os.makedirs(os.path.join(root, "blobs"))
        os.makedirs(os.path.join(root, "refs"))
        with open(os.path.join(root, "refs/main"), "w", encoding="utf-8") as f:
            f.write("abc")
        blobs = {}
        for name in os.listdir(at):
            with open(os.path.join(at, name), "rb") as f:
                data = f.read()
            git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            blobs[name] = git if name.endswith(".json") else hashlib.sha256(data).hexdigest()
            os.rename(os.path.join(at, name), os.path.join(root, "blobs", blobs[name]))
            os.symlink("../../blobs/" + blobs[name], os.path.join(snapshot, name))
        return root, {n: os.path.join(root, "blobs", b) for n, b in blobs.items()}

    def test_hub_cache(self):
        root, blobs = self.cache()
        files = {f["name"]: f for f in self.verify(root, 0)["files"]}
        self.assertEqual(set(files), {"model.safetensors", "config.json"})
        for name, f in files.items():
            self.assertEqual((f["source"], f["matches"], f["expected"]), ("hub cache", True, os.path.basename(blobs[name])))

    def test_damaged_in_the_cache(self):
        root, blobs = self.cache()
        with open(blobs["model.safetensors"], "r+b") as f:
            f.seek(-1, 2)
            last = f.read(1)[0]
            f.seek(-1, 2)
            f.write(bytes([last ^ 1]))
        self.one(root, "hash", "model.safetensors", os.path.basename(blobs["model.safetensors"]), "fetch it again")

    def test_small_file_changed_in_the_cache(self):
        root, blobs = self.cache()
        with open(blobs["config.json"], "ab") as f:
            f.write(b" ")
        self.one(root, "hash", "config.json", "git's sha1")

    def proof(self, files):
        at = self.folder("m", TIED, llama())
        write_json(os.path.join(at, "tare.json"), {"modules": {}, "files": files})
        with open(os.path.join(at, "model.safetensors"), "rb") as f:
            return at, hashlib.sha256(f.read()).hexdigest()

    def test_proof(self):
        at, true = self.proof({})
        self.verify(at, 0)
        for files in ({"model.safetensors": true}, {"model.safetensors": {"sha256": true, "size": 1}}):
            f = self.verify(self.proof(files)[0], 0)["files"][0]
            self.assertEqual((f["expected"], f["source"]), (true, "tare.json"))
        self.one(self.proof({"model.safetensors": "0" * 64})[0], "hash", "model.safetensors", "tare.json", "0" * 64, true)
        self.one(self.proof({"gone.safetensors": true})[0], "file-absent", "gone.safetensors")
        self.one(self.proof({"../model.safetensors": true})[0], "proof", "tare.json")
        self.one(self.proof({"model.safetensors": 7})[0], "proof", "tare.json")
        self.one(self.proof([])[0], "proof", "tare.json")

    def test_proof_that_is_no_json(self):
        at, _ = self.proof({})
        with open(os.path.join(at, "tare.json"), "w", encoding="utf-8") as f:
            f.write("{")
        self.one(at, "proof", "tare.json")

    def test_duplicate(self):
        t = llama()
        names = [{n for n in t if "mlp" in n}, {n for n in t if "mlp" not in n}]
        at = self.model(TIED, t, names)
        self.assertEqual(len(self.verify(at, 0)["files"]), 2)
        shutil.copy(os.path.join(at, "model-00001-of-00002.safetensors"), os.path.join(at, "model-00003-of-00003.safetensors"))
        self.one(at, "duplicate", "model-00003-of-00003.safetensors", "model-00001-of-00002.safetensors")

    # ---- numbers

    def test_special_numbers(self):
        name = "model.layers.0.mlp.up_proj.weight"
        for dtype in (np.float16, np.float32, np.float64):
            base = {k: v.astype(dtype) if k == name else v for k, v in llama().items()}

            def two(w):
                w[100, 3] = w[2, 17] = np.nan

            def infinite(w):
                w[127, 63] = -np.inf
            self.one(self.changed(name, two, base), "nan", name, "2 of 8192", "(2, 17)", "model.safetensors")
            self.one(self.changed(name, infinite, base), "infinite", name, "1 of 8192", "(127, 63)")

    def test_at_any_alignment(self):
        t = llama()
        t["model.norm.weight"] = t["model.norm.weight"].copy()
        t["model.norm.weight"][63] = np.nan
        at = self.folder("m", TIED, t)
        head, data = read_raw(os.path.join(at, "model.safetensors"))
        for pad in range(1, 9):
            write_raw(os.path.join(at, "model.safetensors"), head + b" " * pad, data)
            self.one(at, "nan", "model.norm.weight", "(63)")

    def test_bfloat16(self):
        at = self.folder("m", TIED, llama())
        head, data = read_raw(os.path.join(at, "model.safetensors"))
        head = json.loads(head)
        entry = head["model.norm.weight"]
        entry["dtype"], data = "BF16", bytearray(data)
        start, end = entry["data_offsets"]
        data[start:end] = np.full(64, 0x3F80, np.uint16).tobytes()
        data[start + 10:start + 12] = b"\x81\x7f"
        write_raw(os.path.join(at, "model.safetensors"), json.dumps(head).encode(), bytes(data))
        self.one(at, "nan", "model.norm.weight", "(5)")

    def test_scales(self):
        def one(value):
            def change(w):
                w[1, 40] = value
            return self.changed(O_PROJ + ".scales", change)
        self.one(one(np.nan), "scale-nan", O_PROJ + ".scales", "(1, 40)")
        self.one(one(np.inf), "scale-nan", O_PROJ + ".scales", "(1, 40)")
        self.one(one(3e-6), "scale-denormal", O_PROJ + ".scales", "(1, 40)")
        self.one(one(0), "dead-group", O_PROJ + ".weight", "1 of 128", "group 1 of row 40", "scale is 0")

    def dead(self, p, rows):
        p.codes[rows, :GROUP] = p.zeros[rows, :1]
        return p

    def test_dead_groups_of_awq(self):
        t = without(llama(), O_PROJ)
        t.update(self.dead(packed(), [7, 9, 63]).tensors(O_PROJ))
        self.one(self.folder("m", TIED, t), "dead-group", O_PROJ + ".weight", "3 of 128", "group 0 of row 7", "codes are the zero")
        p = packed()
        p.codes[5, GROUP:] = (p.zeros[5, 1] + 1) % 16  # alike, and not the zero
        self.verify(self.folder("m", TIED, {**t, **p.tensors(O_PROJ)}), 0)

    def test_dead_groups_of_mlx(self):
        for dtype in (np.float16, np.float32):
            p, t = self.dead(packed(), [11]), without(llama(), O_PROJ)
            t.update({O_PROJ + ".weight": pack_words(p.codes), O_PROJ + ".scales": p.scales.astype(dtype),
                      O_PROJ + ".biases": (-p.zeros * p.scales.astype(np.float32)).astype(dtype)})
            config = {**PLAIN, "quantization": {"bits": 4, "group_size": GROUP}}
            self.one(self.folder("m", config, t), "dead-group", O_PROJ + ".weight", "1 of 128", "group 0 of row 11")
            t[O_PROJ + ".biases"] += np.array(1, dtype)
            self.verify(self.folder("m", config, t), 0)

    def test_set_aside_counts_too(self):
        t = {**llama(), **Packed(values((160, 64), 1)).tensors("lm_head")}
        t["lm_head.scales"] = t["lm_head.scales"].copy()
        t["lm_head.scales"][0, 0] = np.nan
        self.one(self.folder("m", TIED, t), "scale-nan", "lm_head.scales")

    def test_threads_do_not_matter(self):
        def change(w):
            w[:, ::3] = np.nan
        at = self.changed("model.embed_tokens.weight", change)
        self.assertEqual(len({spawn("verify", at, "--json", "--threads", n)[1] for n in ("1", "2", "7")}), 1)

    def test_refused(self):
        self.refused(4, "verify", self.folder("m", TIED, without(llama(), "model.norm")), text="model.norm.weight")
        self.refused(3, "verify", self.path("nothing"))
        self.refused(2, "verify", "a", "b")


class Gguf(Verb):
    def made(self, *words, **more):
        where = self.path("m%d" % len(os.listdir(self.work)))
        os.mkdir(where)
        return gguf_made.Model(where, *words, **more)

    def test_diff(self):
        for words in (("llama", "llama"), ("gemma", "gemma"), ("qwen3", "qwen3")):
            m = self.made(*words)
            found = self.json(0, "diff", m.file, m.folder)
            self.assertTrue(found["equal"])
        for quantize in (gguf_made.q4_0, gguf_made.q8_0):
            m = self.made("llama", "llama", quantize=quantize)
            same = {p["name"]: p["same"] for p in self.json(0, "diff", m.file, m.folder)["parameters"]}
            self.assertEqual(same["model.layers.0.self_attn.q_proj.weight"], "values")
            out = self.path("out")
            self.assertEqual(spawn("convert", m.file, "-o", out)[0], 0)
            same = {p["name"]: p["same"] for p in self.json(0, "diff", m.file, out)["parameters"]}
            self.assertEqual(same["model.layers.0.self_attn.q_proj.weight"], "codes")
            shutil.rmtree(out)

    def test_verify(self):
        m = self.made("llama", "llama", quantize=gguf_made.q4_0)
        self.assertEqual(self.json(0, "verify", m.file)["findings"], [])
        kind, shape, raw = m.tensors["blk.0.ffn_up.weight"]
        for half, code in ((0x7e00, "scale-nan"), (0x7c00, "scale-nan"), (0x0003, "scale-denormal"), (0, "dead-group")):
            block = bytearray(raw)
            block[18 * 5:18 * 5 + 2] = half.to_bytes(2, "little")  # group 1 of row 2
            m.write(m.file, tensors={**m.tensors, "blk.0.ffn_up.weight": (kind, shape, bytes(block))})
            found = self.json(1, "verify", m.file)["findings"]
            self.assertEqual([f["code"] for f in found], [code])
            self.assertIn("group 1 of row 2", found[0]["text"])
        block = bytearray(raw)
        block[18 * 7 + 2:18 * 8] = b"\x88" * 16
        m.write(m.file, tensors={**m.tensors, "blk.0.ffn_up.weight": (kind, shape, bytes(block))})
        self.assertEqual([f["code"] for f in self.json(1, "verify", m.file)["findings"]], ["dead-group"])


if __name__ == "__main__":
    made.TARE = sys.argv.pop(1)
    unittest.main(argv=[sys.argv[0], *sys.argv[1:]])
