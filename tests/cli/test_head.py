#!/usr/bin/env python3
"""test_head.py TARE [CLASS ...]: the rule of the output head (docs/head.md). Standard library and numpy."""
import json
import os
import shutil
import sys
import unittest

import numpy as np

import made
from made import AWQ, GPT2, LLAMA, NIBBLE, Case, Packed, gpt2, llama, read_names, spawn, values, write_json

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/models"))
from folded import config_of, unfold
PARTS = ("qweight", "qzeros", "scales")
TIED, UNTIED = {**LLAMA, "tie_word_embeddings": True}, {**LLAMA, "tie_word_embeddings": False}


def triple(*parts, prefix="lm_head"):
    return {"%s.%s" % (prefix, p) for p in parts or PARTS}


def aside(plan):
    return {s["name"] for s in plan["set_aside"]}


def codes(plan, level=None):
    return [f["code"] for f in plan["findings"] if level in (None, f["level"])]


class Seed16(Case):
    """The sixteen named cases of the specification, on headers alone."""

    @staticmethod
    def head_rows(config, names):
        text = config.get("text_config", config)
        hidden, vocab = text.get("hidden_size") or text.get("n_embd"), text.get("vocab_size") or config["vocab_size"]
        form = {"qweight": ([hidden, vocab // 8], "int32"), "qzeros": ([hidden // 32, vocab // 8], "int32"),
                "scales": ([hidden // 32, vocab], "float16")}
        return [[n, *form[n.rsplit(".", 1)[1]]] for n in names]

    def one(self, case):
        folder = self.path("model")
        os.mkdir(folder)
        write_json(os.path.join(folder, "config.json"), {"quantization_config": AWQ, **case["config"]})
        made.write_holes(os.path.join(folder, "model.safetensors"), case["body"] + self.head_rows(case["config"], case["head"]))
        loads = case["strict_load"] == "ok"
        plan = self.check(folder, 0 if loads else 4, "--no-data")
        want = {d["prefix"]: (d["decision"], d["evidence"].split(":")[0]) for d in case["decisions"]}
        self.assertEqual({h["prefix"]: (h["decision"], h["evidence"].split(":")[0]) for h in plan["head"]}, want)
        self.assertEqual(plan["loads"], loads)
        self.assertEqual({d["decision"] for d in case["decisions"]}, {case["expected"]})
        dropped = sum(d["decision"] == "drop" for d in case["decisions"])
        self.assertEqual({n for n in aside(plan) if "lm_head" in n}, {"%s%s" % (case["source_prefix"], p) for p in PARTS} if dropped else set())
        self.assertIsNone(plan["head"][0]["proof"])


def add_seed16():
    with open(os.path.join(ROOT, "tests/data/head/seed16.json"), encoding="utf-8") as f:
        cases = json.load(f)["cases"]
    for case in cases:
        setattr(Seed16, "test_" + case["case"], lambda self, case=case: self.one(case))
    return len(cases)


SEEDS = add_seed16()


class Proof(Case):
    """By values, where the flag says tied."""

    def setUp(self):
        super().setUp()
        self.body = llama()
        self.embedding = self.body["model.embed_tokens.weight"].astype(np.float32)

    def head(self, packed, status, proof, config=None, body=None):
        plan = self.check(self.model(config or TIED, {**(body or self.body), **packed.tensors("lm_head")}), status)
        (head,) = plan["head"]
        self.assertEqual((head["prefix"], head["decision"], head["evidence"]), ("lm_head", "drop", "config:tie_word_embeddings"))
        self.assertEqual(head["proof"], proof)
        self.assertEqual(aside(plan), triple())
        self.assertEqual(codes(plan, "warning"), ["head-differs"] if proof == "differs" else [])
        return plan

    def test_equal_within_half_a_step(self):
        packed = Packed(self.embedding)
        off = np.abs(packed.floats() - self.embedding) / packed.steps()
        self.assertLess(np.where((packed.codes > 0) & (packed.codes < 15), off, 0).max(), 0.505)
        self.assertGreater(off.max(), 0.4)
        self.head(packed, 0, "equal")

    def test_a_whole_step_off_differs(self):
        packed = Packed(self.embedding)
        row, column = np.argwhere((packed.codes > 3) & (packed.codes < 12))[-1]
        packed.codes[row, column] += 1 if packed.floats()[row, column] > self.embedding[row, column] else -1
        plan = self.head(packed, 1, "differs")
        text = next(f["text"] for f in plan["findings"] if f["code"] == "head-differs")
        self.assertIn("row %d, column %d" % (row, column), text)

    def test_clipped_codes_lie_beyond(self):
        packed = Packed(self.embedding, clip=0.7)
        off = np.abs(packed.floats() - self.embedding) / packed.steps()
        self.assertGreater(off.max(), 2)
        self.assertTrue(np.isin(packed.codes[off > 0.505], (0, 15)).all())
        self.head(packed, 0, "equal")

    def test_clipped_to_the_wrong_side_differs(self):
        packed = Packed(self.embedding)
        row, column = np.argwhere(packed.codes == 15)[0]
        packed.codes[row, column] = 0
        self.head(packed, 1, "differs")
        packed = Packed(self.embedding)
        row, column = np.argwhere(packed.codes == 0)[0]
        packed.codes[row, column] = 15
        self.head(packed, 1, "differs")

    def test_rows_exchanged_differ(self):
        self.head(Packed(self.embedding[::-1].copy()), 1, "differs")

    def test_not_a_number_differs(self):
        packed = Packed(self.embedding)
        packed.scales[3, 1] = np.nan
        self.head(packed, 1, "differs")

    def both(self, left, right):
        body = {**self.body, **right.tensors("model.embed_tokens")}
        del body["model.embed_tokens.weight"]
        return left, body

    def test_both_packed(self):
        left, body = self.both(Packed(self.embedding, clip=0.8), Packed(self.embedding))
        self.head(left, 0, "equal", body=body)

    def test_both_packed_and_different(self):
        left, body = self.both(Packed(values((160, 64), 99)), Packed(self.embedding))
        self.head(left, 1, "differs", body=body)

    def test_nothing_is_read_without_data(self):
        folder = self.model(TIED, {**self.body, **Packed(values((160, 64), 99)).tensors("lm_head")})
        plan = self.check(folder, 0, "--no-data")
        self.assertEqual((plan["head"][0]["decision"], plan["head"][0]["proof"]), ("drop", None))
        self.assertIn("head-not-compared", codes(plan, "note"))
        self.assertEqual(self.check(folder, 1)["head"][0]["proof"], "differs")

    def test_gpt2(self):
        body = gpt2()
        packed = Packed(body["wte.weight"])
        plan = self.check(self.model({**GPT2, "tie_word_embeddings": True}, {**body, **packed.tensors("lm_head")}), 0)
        self.assertEqual((plan["head"][0]["decision"], plan["head"][0]["proof"]), ("drop", "equal"))
        packed.codes ^= 8
        plan = self.check(self.model({**GPT2, "tie_word_embeddings": True}, {**body, **packed.tensors("lm_head")}), 1)
        self.assertEqual(plan["head"][0]["proof"], "differs")

    def test_qwen2(self):
        body = llama()
        for part, size in {"q": 64, "k": 32, "v": 32}.items():
            body["model.layers.0.self_attn.%s_proj.bias" % part] = values((size,), 7)
        config = {**TIED, "model_type": "qwen2"}
        plan = self.check(self.model(config, {**body, **Packed(self.embedding).tensors("lm_head")}), 0)
        self.assertEqual((plan["head"][0]["decision"], plan["head"][0]["proof"]), ("drop", "equal"))

    def test_packer_of_this_test(self):
        """The nibbles are AutoAWQ's: order_map [0, 2, 4, 6, 1, 3, 5, 7] names the column of each nibble."""
        (word,) = made.pack_nibbles(np.arange(8)[None]).view(np.uint32)[0]
        self.assertEqual([int(word) >> 4 * k & 15 for k in range(8)], [0, 2, 4, 6, 1, 3, 5, 7])
        self.assertEqual(sorted(NIBBLE), list(range(8)))


class Differs(Case):
    """A head of its own, and what each policy makes of it."""

    def setUp(self):
        super().setUp()
        self.real = Packed(values((160, 64), 99)).tensors("lm_head")

    def llama(self, **flag):
        return self.model({**LLAMA, **flag}, {**llama(), **self.real})

    def gemma4(self, packed=None, **flag):
        """transformers takes a silent gemma4_text for tied, and so do mlx-lm's args."""
        with open(os.path.join(ROOT, "tests/data/models/gemma4_text.json"), encoding="utf-8") as f:
            doc = json.load(f)
        case = doc["checkpoints"][0]
        config = {k: v for k, v in config_of(doc, case).items() if k != "tie_word_embeddings"}
        tensors = {n: values(tuple(shape), k) for k, (n, shape, _) in enumerate(unfold(case["rows"])) if not n.startswith("lm_head")}
        embedding = next(a for n, a in tensors.items() if n.endswith("embed_tokens.weight"))
        self.assertEqual(embedding.shape, (160, 64))
        tensors.update(Packed(embedding).tensors("lm_head") if packed == "equal" else self.real)
        return self.model({**config, **flag, "quantization_config": AWQ}, tensors)

    def written(self, target):
        with open(os.path.join(target, "config.json"), encoding="utf-8") as f:
            return json.load(f), read_names(os.path.join(target, "model.safetensors"))

    def test_flag_check(self):
        plan = self.check(self.llama(tie_word_embeddings=True), 1)
        self.assertEqual(codes(plan, "warning"), ["head-differs"])
        self.assertEqual(plan["findings"][codes(plan).index("head-differs")]["where"], "lm_head")
        self.assertIn("tie_word_embeddings", plan["findings"][codes(plan).index("head-differs")]["text"])

    def test_flag_convert_warns(self):
        target, err = self.convert(self.llama(tie_word_embeddings=True), 0)
        self.assertRegex(err, r"\Atare: warning: [^\n]*lm_head[^\n]*\n\Z")
        config, names = self.written(target)
        self.assertIs(config["tie_word_embeddings"], True)
        self.assertFalse({n for n in names if "lm_head" in n})

    def test_flag_run_warns(self):
        folder = self.path("fable")
        shutil.copytree(os.path.join(ROOT, "models/fable"), folder)
        head, data = made.read_raw(os.path.join(folder, "model.safetensors"))
        begin, end = json.loads(head)["lm_head.qweight"]["data_offsets"]
        made.write_raw(os.path.join(folder, "model.safetensors"), head, data[:begin] + bytes(end - begin) + data[end:])
        told = spawn("run", os.path.join(ROOT, "models/fable"), "A fox", "--max-tokens", "8", "--temp", "0")
        self.assertEqual((told[0], "warning" in told[2]), (0, False), told[2])
        code, out, err, _, _ = spawn("run", folder, "A fox", "--max-tokens", "8", "--temp", "0")
        self.assertEqual((code, out), (0, told[1]), err)
        self.assertRegex(err, r"tare: warning: [^\n]*lm_head")
        self.assertEqual(spawn("run", folder, "A fox", "--max-tokens", "8", "--tie=proved")[0], 4)

    def test_flag_logits_warns(self):
        folder = self.llama(tie_word_embeddings=True)
        code, _, err, _, _ = spawn("logits", folder, "--ids", "1,2,3", "-o", self.path("l.npy"))
        self.assertEqual(code, 0, err)
        self.assertRegex(err, r"tare: warning: [^\n]*lm_head")

    def test_flag_proved_refuses(self):
        folder = self.llama(tie_word_embeddings=True)
        self.assertIn("lm_head", self.check(folder, 4, "--tie=proved")["why"])
        self.assertIn("differs", self.convert(folder, 4, "--tie=proved")[1])

    def test_flag_config_warns(self):
        self.assertEqual(codes(self.check(self.llama(tie_word_embeddings=True), 1, "--tie=config"), "warning"), ["head-differs"])

    def test_flag_keep(self):
        folder = self.llama(tie_word_embeddings=True)
        plan = self.check(folder, 0, "--tie=keep")
        self.assertEqual((plan["head"][0]["decision"], aside(plan)), ("load", set()))
        config, names = self.written(self.convert(folder, 0, "--tie=keep")[0])
        self.assertIs(config["tie_word_embeddings"], False)
        self.assertIn("lm_head.scales", names)

    def test_silent_llama_has_its_own(self):
        folder = self.llama()
        plan = self.check(folder, 1)
        self.assertEqual((plan["head"][0]["decision"], plan["head"][0]["proof"], aside(plan)), ("load", "differs", set()))
        self.assertEqual(plan["counts"]["missing"], 0)
        target, err = self.convert(folder, 0)
        self.assertIn("lm_head", err)
        config, names = self.written(target)
        self.assertIs(config["tie_word_embeddings"], False)
        self.assertEqual({n for n in names if "lm_head" in n}, {"lm_head.weight", "lm_head.scales", "lm_head.biases"})
        self.assertEqual(self.check(target, 0)["head"][0]["decision"], "load")

    def test_silent_llama_null_flag_has_no_default(self):
        plan = self.check(self.llama(tie_word_embeddings=None), 0)
        self.assertEqual((plan["head"][0]["decision"], plan["head"][0]["proof"], aside(plan)), ("load", None, set()))

    def test_silent_llama_config_drops(self):
        folder = self.llama()
        plan = self.check(folder, 1, "--tie=config")
        self.assertEqual((plan["head"][0]["decision"], plan["head"][0]["proof"], aside(plan)), ("drop", "differs", triple()))
        self.assertEqual(plan["head"][0]["evidence"].split(":")[0], "args")
        _, names = self.written(self.convert(folder, 0, "--tie=config")[0])
        self.assertFalse({n for n in names if "lm_head" in n})

    def test_silent_llama_proved_refuses(self):
        self.assertIn("differs", self.check(self.llama(), 4, "--tie=proved")["why"])

    def test_silent_llama_keep(self):
        plan = self.check(self.llama(), 0, "--tie=keep")
        self.assertEqual((plan["head"][0]["decision"], aside(plan)), ("load", set()))

    def test_silent_llama_equal_is_dropped(self):
        body = llama()
        plan = self.check(self.model(LLAMA, {**body, **Packed(body["model.embed_tokens.weight"]).tensors("lm_head")}), 0)
        self.assertEqual((plan["head"][0]["decision"], plan["head"][0]["proof"]), ("drop", "equal"))
        self.assertEqual(plan["head"][0]["evidence"], "args:<root>.tie_word_embeddings")

    def test_silent_qwen2_has_its_own(self):
        body = llama()
        for part, size in {"q": 64, "k": 32, "v": 32}.items():
            body["model.layers.0.self_attn.%s_proj.bias" % part] = values((size,), 7)
        plan = self.check(self.model({**LLAMA, "model_type": "qwen2"}, {**body, **self.real}), 1)
        self.assertEqual((plan["head"][0]["decision"], plan["head"][0]["proof"]), ("load", "differs"))

    def test_silent_gemma4_is_refused_with_both_readings(self):
        folder = self.gemma4()
        why = self.check(folder, 4)["why"]
        for word in ("lm_head", "--tie=config", "--tie=keep", "tie_word_embeddings", "differs"):
            self.assertIn(word, why)
        self.convert(folder, 4)

    def test_silent_gemma4_equal_is_dropped(self):
        plan = self.check(self.gemma4("equal"), 0)
        self.assertEqual((plan["head"][0]["decision"], plan["head"][0]["proof"]), ("drop", "equal"))

    def test_silent_gemma4_config_drops(self):
        plan = self.check(self.gemma4(), 1, "--tie=config")
        self.assertEqual((plan["head"][0]["decision"], plan["head"][0]["proof"]), ("drop", "differs"))

    def test_gemma4_keep(self):
        plan = self.check(self.gemma4(tie_word_embeddings=True), 0, "--tie=keep")
        self.assertEqual((plan["head"][0]["decision"], aside(plan)), ("load", set()))

    def test_gpt2_has_no_place_to_keep_one(self):
        folder = self.model({**GPT2, "tie_word_embeddings": True}, {**gpt2(), **self.real})
        for why in (self.check(folder, 4, "--tie=keep")["why"], self.convert(folder, 4, "--tie=keep")[1]):
            self.assertIn("lm_head", why)
            self.assertIn("gpt2", why)

    def test_silent_gpt2_has_no_answer(self):
        plan = self.check(self.model(GPT2, {**gpt2(), **self.real}), 4)
        self.assertEqual((plan["head"][0]["decision"], plan["head"][0]["evidence"]), ("preserve", "none"))
        self.assertEqual(plan["counts"]["unexpected"], 3)
        self.assertIn("lm_head", plan["why"])


class OnlyCopy(Case):
    """AutoAWQ 0.2.7: the embedding lies under the head's name."""

    def setUp(self):
        super().setUp()
        self.body = llama()
        self.embedding = self.body.pop("model.embed_tokens.weight")

    def test_packed(self):
        folder = self.model(TIED, {**self.body, **Packed(self.embedding).tensors("lm_head")})
        plan = self.check(folder, 0)
        self.assertEqual((plan["counts"]["missing"], aside(plan)), (0, set()))
        self.assertIn("head-is-embedding", codes(plan, "note"))
        names = read_names(os.path.join(self.convert(folder, 0)[0], "model.safetensors"))
        self.assertIn("model.embed_tokens.scales", names)
        self.assertFalse({n for n in names if "lm_head" in n})

    def test_dense(self):
        plan = self.check(self.model(TIED, {**self.body, "lm_head.weight": self.embedding}), 0)
        self.assertEqual((plan["counts"]["missing"], aside(plan)), (0, set()))
        self.assertIn("head-is-embedding", codes(plan, "note"))

    def test_untied_misses_its_embedding(self):
        plan = self.check(self.model(UNTIED, {**self.body, **Packed(self.embedding).tensors("lm_head")}), 4)
        self.assertEqual([m["name"] for m in plan["missing"]], ["model.embed_tokens.weight"])
        self.assertIn("model.embed_tokens.weight", plan["why"])

    def test_incomplete_cannot_be_the_embedding(self):
        head = Packed(self.embedding).tensors("lm_head")
        del head["lm_head.scales"]
        self.assertIn("model.embed_tokens.weight", self.check(self.model(TIED, {**self.body, **head}), 4)["why"])


class Incomplete(Case):
    def head(self, *parts):
        body = llama()
        full = Packed(body["model.embed_tokens.weight"]).tensors("lm_head")
        return {**body, **{n: full[n] for n in triple(*parts)}}

    def untied(self, missing, *parts):
        folder = self.model(UNTIED, self.head(*parts))
        self.assertIn(missing, self.check(folder, 4)["why"])
        self.assertIn(missing, self.convert(folder, 4)[1])

    def tied(self, *parts):
        folder = self.model(TIED, self.head(*parts))
        plan = self.check(folder, 0)
        self.assertEqual((plan["head"][0]["decision"], plan["head"][0]["proof"], aside(plan)), ("drop", None, triple(*parts)))
        self.assertIn("head-not-compared", codes(plan, "note"))
        self.assertIn("lm_head", self.check(folder, 4, "--tie=proved")["why"])

    def test_untied_without_scales(self):
        self.untied("lm_head.scales", "qweight", "qzeros")

    def test_untied_qweight_alone(self):
        self.untied("lm_head.scales", "qweight")

    def test_untied_without_qweight(self):
        self.untied("lm_head.qweight", "qzeros", "scales")

    def test_untied_without_qzeros(self):
        self.untied("lm_head.qzeros", "qweight", "scales")

    def test_untied_scales_alone(self):
        self.untied("lm_head", "scales")

    def test_tied_without_scales(self):
        self.tied("qweight", "qzeros")

    def test_tied_qweight_alone(self):
        self.tied("qweight")

    def test_tied_without_qweight(self):
        self.tied("qzeros", "scales")

    def test_tied_scales_alone(self):
        self.tied("scales")

    def test_tied_qzeros_alone(self):
        self.tied("qzeros")


class FlagType(Case):
    def refused(self, value):
        body = llama()
        for head in ({}, Packed(body["model.embed_tokens.weight"]).tensors("lm_head")):
            folder = self.model({**LLAMA, "tie_word_embeddings": value}, {**body, **head})
            for why in (self.check(folder, 4)["why"], self.convert(folder, 4)[1]):
                self.assertIn("tie_word_embeddings", why)
                self.assertIn("config.json", why)

    def test_string(self):
        self.refused("true")

    def test_string_false(self):
        self.refused("false")

    def test_one(self):
        self.refused(1)

    def test_zero(self):
        self.refused(0)

    def test_float(self):
        self.refused(1.0)

    def test_list(self):
        self.refused([True])

    def test_object(self):
        self.refused({})

    def test_where_the_args_have_no_such_field(self):
        for value in ("true", 0, 1.5, [], {}):
            why = self.check(self.model({**GPT2, "tie_word_embeddings": value}, gpt2()), 4)["why"]
            self.assertIn("tie_word_embeddings", why)
            self.assertIn("config.json", why)

    def test_in_the_fragments_of_a_wrapper(self):
        with open(os.path.join(ROOT, "tests/data/head/seed16.json"), encoding="utf-8") as f:
            case = next(c for c in json.load(f)["cases"] if c["case"] == "qwen2_vl_tied")
        folder = self.path("model")
        os.mkdir(folder)
        made.write_holes(os.path.join(folder, "model.safetensors"), case["body"])
        for text in (False, True):
            for value in ("true", 1, None):
                config = {"quantization_config": AWQ, **case["config"], "text_config": dict(case["config"]["text_config"])}
                (config["text_config"] if text else config)["tie_word_embeddings"] = value
                write_json(os.path.join(folder, "config.json"), config)
                # null in the text model's own fragment: it has a head of its own, which is missing; at the top: nothing is said there
                plan = self.check(folder, 4 if value or text else 0, "--no-data")
                self.assertIn("tie_word_embeddings" if value else "lm_head.weight" if text else "", plan["why"])

    def test_null_is_no_answer(self):
        body = llama()
        folder = self.model({**LLAMA, "tie_word_embeddings": None}, {**body, **Packed(body["model.embed_tokens.weight"]).tensors("lm_head")})
        plan = self.check(folder, 0)
        self.assertEqual((plan["head"][0]["decision"], plan["head"][0]["evidence"], aside(plan)), ("load", "target", set()))
        self.assertEqual(self.check(self.model({**LLAMA, "tie_word_embeddings": None}, body), 4)["missing"][0]["name"], "lm_head.weight")


    def test_null_asks_no_default_elsewhere(self):
        body = llama()
        copies = Packed(body["model.embed_tokens.weight"])
        plan = self.check(self.model({**LLAMA, "tie_word_embeddings": None}, {**body, **copies.tensors("lm_head"), **copies.tensors("model.lm_head")}), 4)
        self.assertEqual({h["prefix"]: (h["decision"], h["evidence"]) for h in plan["head"]},
                         {"lm_head": ("load", "target"), "model.lm_head": ("preserve", "none")})
        plan = self.check(self.model(LLAMA, {**body, **copies.tensors("model.lm_head")}), 0)
        self.assertEqual([(h["prefix"], h["decision"], h["evidence"]) for h in plan["head"]], [("model.lm_head", "drop", "args:model.tie_word_embeddings")])


class TwoForms(Case):
    def setUp(self):
        super().setUp()
        self.body = llama()
        embedding = self.body["model.embed_tokens.weight"]
        self.both = {**self.body, **Packed(embedding).tensors("lm_head"), "lm_head.weight": embedding}

    def test_tied_sets_both_aside(self):
        folder = self.model(TIED, self.both)
        plan = self.check(folder, 0)
        self.assertEqual(aside(plan), triple() | {"lm_head.weight"})
        self.assertEqual({h["decision"] for h in plan["head"]}, {"drop"})
        self.convert(folder, 0)

    def test_untied_is_refused(self):
        folder = self.model(UNTIED, self.both)
        self.assertIn("lm_head", self.check(folder, 4)["why"])
        self.convert(folder, 4)

    def test_dense_alone_tied(self):
        plan = self.check(self.model(TIED, {**self.body, "lm_head.weight": self.body["model.embed_tokens.weight"]}), 0)
        self.assertEqual((aside(plan), plan["findings"]), ({"lm_head.weight"}, []))

    def test_dense_alone_that_differs(self):
        plan = self.check(self.model(TIED, {**self.body, "lm_head.weight": values((160, 64), 99)}), 1)
        self.assertEqual((codes(plan, "warning"), aside(plan)), (["head-differs"], {"lm_head.weight"}))


class Shards(Case):
    def head(self, seed=None):
        body = llama()
        return {**body, **Packed(body["model.embed_tokens.weight"] if seed is None else values((160, 64), seed)).tensors("lm_head")}

    def split(self, config, tensors):
        second = {"lm_head.scales", "model.norm.weight"}
        return self.model(config, tensors, [set(tensors) - second, second])

    def test_tied(self):
        plan = self.check(self.split(TIED, self.head()), 0)
        self.assertEqual((aside(plan), plan["head"][0]["proof"]), (triple(), "equal"))
        files = {s["name"]: s["file"] for s in plan["set_aside"]}
        self.assertNotEqual(files["lm_head.scales"], files["lm_head.qweight"])

    def test_differing(self):
        self.assertEqual(self.check(self.split(TIED, self.head(99)), 1)["head"][0]["proof"], "differs")

    def test_untied(self):
        folder = self.split(UNTIED, self.head(99))
        self.assertEqual(self.check(folder, 0)["head"][0]["decision"], "load")
        one = self.convert(folder, 0)[0]
        with open(os.path.join(one, "model.safetensors"), "rb") as f:
            sharded = f.read()
        other = self.convert(self.model(UNTIED, self.head(99)), 0)[0]
        with open(os.path.join(other, "model.safetensors"), "rb") as f:
            self.assertEqual(f.read(), sharded)


class Extras(Case):
    """g_idx and bias."""

    def setUp(self):
        super().setUp()
        body = llama()
        self.all = {**body, **Packed(body["model.embed_tokens.weight"]).tensors("lm_head")}

    def test_g_idx(self):
        for config in (TIED, UNTIED, LLAMA):
            folder = self.model(config, {**self.all, "lm_head.g_idx": np.arange(64, dtype=np.int32) // 32})
            why = self.check(folder, 4)["why"]
            self.assertIn("lm_head.g_idx", why)
            self.assertIn("awq", why.lower())
            self.convert(folder, 4)

    def test_bias_zero(self):
        folder = self.model(TIED, {**self.all, "lm_head.bias": np.zeros(160, np.float16)})
        self.assertEqual(aside(self.check(folder, 0)), triple() | {"lm_head.bias"})
        self.convert(folder, 0)

    def test_bias_negative_zero(self):
        folder = self.model(TIED, {**self.all, "lm_head.bias": -np.zeros(160, np.float16)})
        self.assertEqual(aside(self.check(folder, 0)), triple() | {"lm_head.bias"})

    def test_bias_not_zero(self):
        bias = np.zeros(160, np.float16)
        bias[-1] = 2 ** -24
        folder = self.model(TIED, {**self.all, "lm_head.bias": bias})
        self.assertIn("lm_head.bias", self.check(folder, 4)["why"])
        self.assertIn("lm_head.bias", self.convert(folder, 4)[1])

    def test_bias_of_a_head_that_loads(self):
        plan = self.check(self.model(UNTIED, {**self.all, "lm_head.bias": np.zeros(160, np.float16)}), 4)
        self.assertIn("lm_head.bias", plan["why"])


class Architectures(Case):
    """Heads of architectures that always have one, or none, as their authors publish them (tests/data/models)."""

    def published(self, name, without=(), more=None, **config):
        with open(os.path.join(ROOT, "tests/data/models", name + ".json"), encoding="utf-8") as f:
            doc = json.load(f)
        case = doc["checkpoints"][0]
        tensors = {n: values(tuple(shape), k) for k, (n, shape, _) in enumerate(unfold(case["rows"])) if n not in without}
        return self.model({**config_of(doc, case), **config}, {**tensors, **(more or {})})

    def test_tied_where_there_is_always_a_head(self):
        """The embedding is bound to it, so that mlx-lm finds it."""
        for name in ("stablelm", "phi", "glm4", "gpt_oss", "deepseek_v3"):
            folder = self.published(name, without=("lm_head.weight", "lm_head.bias"), tie_word_embeddings=True)
            if name == "phi":  # its head has a bias, which no embedding has
                self.assertIn("lm_head.bias", self.check(folder, 4)["why"])
                continue
            self.check(folder, 0)
            names = read_names(os.path.join(self.convert(folder, 0)[0], "model.safetensors"))
            self.assertIn("lm_head.weight", names)

    def test_dense_head_beside_a_tied_embedding(self):
        folder = self.published("stablelm", tie_word_embeddings=True)
        plan = self.check(folder, 1)  # it differs, and a flag said tied: dropped with a warning
        self.assertEqual((aside(plan), codes(plan, "warning")), ({"lm_head.weight"}, ["head-differs"]))

    def test_untied_where_mlx_has_no_head(self):
        folder = self.published("gemma2", tie_word_embeddings=False, more={"lm_head.weight": values((160, 64), 5)})
        self.check(folder, 0)
        self.assertIn("no output head of its own", self.convert(folder, 4)[1])

    def test_silent_where_mlx_has_no_head(self):
        folder = self.published("gemma2", more={"lm_head.weight": values((160, 64), 5)})
        self.assertIn("lm_head.weight", self.check(folder, 4)["why"])

    def test_wrapper_with_the_head_at_the_top(self):
        folder = self.published("gemma4", tie_word_embeddings=False, more={"lm_head.weight": values((160, 64), 5)})
        self.check(folder, 0)
        with open(os.path.join(self.convert(folder, 0)[0], "config.json"), encoding="utf-8") as f:
            self.assertIs(json.load(f)["text_config"]["tie_word_embeddings"], False)

    def test_minicpm_with_a_packed_head(self):
        """mlx-lm makes a head of the embedding and has no place for it then: neither of the two is taken in silence."""
        head = Packed(values((160, 64), 5)).tensors("lm_head")
        folder = self.published("minicpm", without=("lm_head.weight",), more=head, tie_word_embeddings=True, quantization_config=AWQ)
        self.assertIn("lm_head.weight", self.check(folder, 4)["why"])

    def test_only_a_normalized_head(self):
        folder = self.published("baichuan_m1", without=("model.embed_tokens.weight",), tie_word_embeddings=True)
        plan = self.check(folder, 0)
        self.assertEqual(codes(plan, "note"), ["head-is-embedding"])

    def test_nobody_says_anything(self):
        folder = self.published("minicpm3")
        self.assertEqual(codes(self.check(folder, 1), "warning"), ["no-head"])


class Count(unittest.TestCase):
    def test_sixteen(self):
        self.assertEqual(SEEDS, 16)


if __name__ == "__main__":
    made.TARE = os.path.abspath(sys.argv.pop(1))
    unittest.main()
