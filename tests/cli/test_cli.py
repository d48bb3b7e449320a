#!/usr/bin/env python3
"""test_cli.py TARE [CLASS ...]: the command as a user has it, on fable. Standard library and numpy."""
import json
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

import numpy as np

TARE = ""
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FABLE = os.path.join(ROOT, "models/fable")
KEYS = {"tare", "model", "model_type", "loads", "exit", "formats", "counts", "head", "set_aside", "missing", "unexpected",
        "misshapen", "findings"}
# Greedy from "Once upon a time, a little fox", transformers on the dequantized weights (models/fable/README.md).
PROMPT_IDS = [0, 908, 1117, 260, 768, 14, 260, 304, 565]
NEXT_IDS = [270, 260, 331, 468, 506, 342, 260, 1376, 16, 382, 308, 260, 331, 468, 270, 260, 409, 565, 16, 382]


def tare(*args, stdin=b"", env=None, limit=60):
    """(exit status, stdout, stderr), texts decoded."""
    p = subprocess.run([TARE, *args], input=stdin, capture_output=True, timeout=limit, env={**os.environ, **(env or {})})
    return p.returncode, p.stdout.decode(errors="replace"), p.stderr.decode(errors="replace")


def on_terminal(*args, keys=None, after=b"", limit=60, env=None):
    """(exit status, what the terminal showed): the command on a terminal of its own; keys are typed once `after` is seen."""
    try:
        child, fd = pty.fork()
    except OSError as e:
        raise unittest.SkipTest("no terminal to be had: %s" % e) from e
    if child == 0:
        os.environ.update({"TERM": "xterm", **(env or {})})
        os.execv(TARE, [TARE, *args])
    seen, end = b"", time.monotonic() + limit
    while time.monotonic() < end:
        if select.select([fd], [], [], 0.1)[0]:
            try:
                data = os.read(fd, 65536)
            except OSError:
                break
            if not data:
                break
            seen += data
        if keys and after in seen:
            os.write(fd, keys)
            keys = None
    else:
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(fd)
    return status, seen.decode(errors="replace")


def read_safetensors(path):
    with open(path, "rb") as f:
        (n,) = struct.unpack("<Q", f.read(8))
        head = json.loads(f.read(n))
        return {k: (e["dtype"], e["shape"]) for k, e in head.items() if k != "__metadata__"}


class Case(unittest.TestCase):
    def setUp(self):
        self.work = tempfile.mkdtemp(prefix="tare-cli-")
        self.addCleanup(shutil.rmtree, self.work, True)

    def path(self, name):
        return os.path.join(self.work, name)

    def copy(self, **changes):
        """A copy of fable with keys of config.json changed; a value of ... removes the key."""
        folder = self.path("copy")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(FABLE, folder)
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as f:
            config = json.load(f)
        for key, value in changes.items():
            config[key] = value
            if value is ...:
                del config[key]
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
            json.dump(config, f)
        return folder

    def refused(self, status, *args, text="", **more):
        """The command ends so, with one line on stderr that begins with "tare: " and holds text."""
        code, out, err = tare(*args, **more)
        self.assertEqual(code, status, (args, err))
        self.assertRegex(err, r"\Atare: [^\n]+\n\Z")
        self.assertIn(text, err)
        return out


class Usage(Case):
    def test_no_verb(self):
        code, out, err = tare()
        self.assertEqual((code, out), (2, ""))
        self.assertIn("tare check", err)

    def test_help(self):
        for args in (["--help"], ["-h"], ["help"]):
            code, out, err = tare(*args)
            self.assertEqual((code, err), (0, ""))
            for verb in ("check", "explain", "convert", "run", "logits", "perplexity", "bench", "diff", "verify"):
                self.assertIn("tare " + verb, out)

    def test_run_stops_and_grammars(self):
        prompt = "Once upon a time"
        whole = tare("run", prompt, "--max-tokens", "30")[1]
        word = whole[len(prompt) + 20:len(prompt) + 26]
        self.assertEqual(tare("run", prompt, "--stop", "@@", "--stop", word, "--max-tokens", "30")[1], whole[:whole.index(word, len(prompt))] + "\n")
        for draft in ("lookup", "none", "fable", FABLE):
            self.assertEqual(tare("run", prompt, "--draft", draft, "--max-tokens", "30")[1], whole, draft)
        schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 10, "maximum": 19}, "b": {"type": "boolean"}}, "required": ["n", "b"]}
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "s.json")
            for text, code in ((json.dumps(schema), 0), ('{"not": {}}', 4), ("{", 4)):
                with open(path, "w", encoding="utf-8") as f:
                    f.write(text)
                got, out, err = tare("run", prompt, "--json-schema", path, "--temp", "3", "--seed", "1")
                self.assertEqual(got, code, err)
                if code == 0:
                    self.assertIn(json.loads(out[len(prompt):])["n"], range(10, 20))
            self.assertIn("schema", err)
            with open(path, "w", encoding="utf-8") as f:
                f.write('root ::= " in " [a-z]{3} "!"')
            self.assertRegex(tare("run", prompt, "--grammar", path)[1], "^" + prompt + " in [a-z]{3}!\n$")
        for args in (["--logit-bias", "1"], ["--logit-bias", "x=1"], ["--logit-bias", "1=nan"], ["--stop", ""]):
            self.assertEqual(tare("run", prompt, *args)[0], 2, args)
        self.assertEqual(tare("run", prompt, "--draft", "no-such-model")[0], 3)

    def test_help_of_each_verb(self):
        flags = {"check": ["--json", "--no-data", "--tie"], "explain": ["--json"], "convert": ["-o", "--to", "--keep-dtypes"],
                 "run": ["--max-tokens", "--temp", "--top-p", "--top-k", "--min-p", "--seed"], "logits": ["--ids", "--prefill"],
                 "diff": ["--json", "--all"], "verify": ["--json", "--no-hash", "--no-values"],
                 "perplexity": ["--context", "--as-run", "--against-exact", "--json"], "bench": ["--threads", "--prompt", "--generate", "--sequences", "--json"]}
        for verb, words in flags.items():
            texts = {tare(*args)[:2] for args in (["help", verb], [verb, "--help"], [verb, "-h"])}
            self.assertEqual(len(texts), 1, verb)
            code, out = texts.pop()
            self.assertEqual(code, 0)
            for word in words:
                self.assertIn(word, out)

    def test_version(self):
        with open(os.path.join(ROOT, "include/tare/base.h"), encoding="utf-8") as f:
            parts = re.findall(r"#define TARE_VERSION_\w+ (\d+)", f.read())
        self.assertEqual(tare("--version"), (0, "tare %s\n" % ".".join(parts), ""))

    def test_unknown_verb_names_the_nearest(self):
        self.refused(2, "chekc", text="did you mean tare check?")
        self.refused(2, "xplain", text="explain")
        self.refused(2, "", text="verb")
        self.refused(2, "help", "nothing", text="unknown verb")

    def test_unknown_flag_is_named(self):
        self.refused(2, "check", "--frobnicate", text="--frobnicate")
        self.refused(2, "check", "--jsn", text="did you mean --json?")
        self.refused(2, "--frobnicate", text="--frobnicate")
        self.refused(2, "check", "-x", text="-x")

    def test_values_are_strict(self):
        for args in (["check", "--tie=maybe"], ["check", "--tie"], ["check", "--json=yes"], ["check", "--threads", "-1"],
                     ["check", "--threads", "1x"], ["check", "--threads="], ["run", "--max-tokens", "0"], ["run", "--temp", "-1"],
                     ["run", "--temp", "nan"], ["run", "--temp", "1e999"], ["run", "--top-p", "1.5"], ["run", "--min-p", "2"],
                     ["run", "--top-k", "1.5"], ["run", "--seed", "0x10"], ["run", "--seed", " 1"],
                     ["run", "--max-tokens", "99999999999999999999"], ["convert", "-o", "out", "--to", "onnx"], ["convert", "-o", ""],
                     ["logits", "--ids", "1", "--prefill", "0"]):
            with self.subTest(args=args):
                self.refused(2, *args)

    def test_words_are_counted(self):
        self.refused(2, "check", "a", "b", text='"b"')
        self.refused(2, "explain", "a", "b", "c", text='"c"')
        self.refused(2, "convert", "a", "b", "-o", "c", text='"b"')
        self.refused(2, "convert", "fable", text="-o")
        self.refused(2, "logits", "fable", text="--ids")

    def test_double_dash_ends_flags(self):
        self.refused(3, "check", "--", "--json", text="--json")

    def test_a_full_disk_is_no_success(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            p = subprocess.run([TARE, "--help"], stdout=full, stderr=subprocess.PIPE, check=False)
        self.assertEqual(p.returncode, 5)


class Check(Case):
    def test_fable_is_sound(self):
        for args in ([], ["fable"], [FABLE]):
            code, out, err = tare("check", *args)
            self.assertEqual((code, err), (0, ""), out)
            self.assertIn("llama, 2.8 M parameters", out)
            self.assertRegex(out, r"lm_head: redundant quantized head set aside \(config\.json: tie_word_embeddings = true\), "
                                  r"proved equal to the embedding\n")
            self.assertIn("lm_head.qzeros", out)
            self.assertIn("awq-gemm", out)
            self.assertRegex(out, r"\nsound: [^\n]+\n\Z")

    def test_no_data_proves_nothing(self):
        code, out, _ = tare("check", "--no-data")
        self.assertEqual(code, 0)
        self.assertIn("not compared with the embedding", out)

    def test_json(self):
        code, out, err = tare("check", "--json")
        plan = json.loads(out)
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(KEYS - set(plan), set())
        self.assertNotIn("parameters", plan)
        self.assertEqual((plan["loads"], plan["exit"], plan["model_type"]), (True, 0, "llama"))
        (head,) = plan["head"]
        self.assertEqual((head["prefix"], head["decision"], head["proof"]), ("lm_head", "drop", "equal"))
        self.assertEqual(head["evidence"], "config:tie_word_embeddings")
        self.assertEqual({s["name"] for s in plan["set_aside"]}, {"lm_head." + p for p in ("qweight", "qzeros", "scales")})

    def test_findings_end_with_1(self):
        folder = self.copy()
        with open(os.path.join(folder, "model.safetensors.index.json"), "w", encoding="utf-8") as f:
            names = read_safetensors(os.path.join(folder, "model.safetensors"))
            json.dump({"metadata": {}, "weight_map": {n: "model.safetensors" for n in names}}, f)
        shutil.copy(os.path.join(FABLE, "model.safetensors"), os.path.join(folder, "other.safetensors"))
        code, out, err = tare("check", folder)
        self.assertEqual((code, err), (1, ""), out)
        self.assertIn("warning", out)
        self.assertIn("other.safetensors", out)
        self.assertRegex(out, r"loads, with 1 finding\n\Z")
        code, out, _ = tare("check", folder, "--json")
        self.assertEqual((code, json.loads(out)["exit"]), (1, 1))
        self.assertEqual(tare("explain", folder, "--json")[0], 0)

    def test_a_difference_is_a_finding(self):
        folder = self.copy()
        path = os.path.join(folder, "model.safetensors")
        with open(path, "r+b") as f:
            (n,) = struct.unpack("<Q", f.read(8))
            begin, end = json.loads(f.read(n))["lm_head.qweight"]["data_offsets"]
            f.seek(8 + n + begin)
            f.write(bytes(end - begin))
        code, out, _ = tare("check", folder)
        self.assertEqual(code, 1, out)
        self.assertIn("it differs from the embedding", out)
        self.assertEqual(tare("check", folder, "--tie=proved")[0], 4)
        code, _, err = tare("convert", folder, "-o", self.path("out"))
        self.assertEqual(code, 0)
        self.assertRegex(err, r"tare: warning: .*lm_head")

    def test_not_there(self):
        self.refused(3, "check", self.path("nowhere"), text="nowhere")
        os.mkdir(self.path("empty"))
        self.refused(3, "check", self.path("empty"))
        out = self.refused(3, "check", self.path("nowhere"), "--json")
        plan = json.loads(out)
        self.assertEqual((plan["loads"], plan["exit"], KEYS - set(plan)), (False, 3, set()))

    def test_the_reason_comes_first(self):
        folder = self.copy(model_type="lama")
        code, out, err = tare("check", folder)
        self.assertEqual(code, 4)
        self.assertRegex(err.splitlines()[0], r"\Atare: .*lama")
        self.assertIn("llama", err.splitlines()[0])
        self.assertIn("does not load", out)

    def test_hub_cache(self):
        hub = self.path("hub")
        snapshot = os.path.join(hub, "models--some--fable", "snapshots", "0123abcd")
        shutil.copytree(FABLE, snapshot)
        os.makedirs(os.path.join(hub, "models--some--fable", "refs"))
        with open(os.path.join(hub, "models--some--fable", "refs", "main"), "w", encoding="utf-8") as f:
            f.write("0123abcd")
        bare = {"HF_HUB_CACHE": "", "HF_HOME": "", "XDG_CACHE_HOME": "", "HOME": self.path("home"), "HF_HUB_OFFLINE": "1"}
        self.assertEqual(tare("check", "some/fable", env={**bare, "HF_HUB_CACHE": hub})[0], 0)
        self.assertEqual(tare("check", "some/fable", env={**bare, "HF_HOME": self.work})[0], 0)
        self.refused(3, "check", "some/other", env={**bare, "HF_HUB_CACHE": hub}, text=hub + "/models--some--other")
        self.refused(3, "check", "some/fable", env=bare, text=self.path("home") + "/.cache/huggingface/hub/models--some--fable")

    def test_a_path_comes_before_the_cache(self):
        for cwd, status in ((ROOT, 0), (self.work, 3)):
            p = subprocess.run([TARE, "check", "models/fable"], cwd=cwd, capture_output=True, check=False,
                               env={**os.environ, "HF_HUB_CACHE": self.work})
            self.assertEqual(p.returncode, status)

    def test_colours(self):
        self.assertIn("\033[32m", on_terminal("check")[1])
        self.assertNotIn("\033[32m", on_terminal("check", env={"NO_COLOR": "1"})[1])
        self.assertNotIn("\033", tare("check")[1])


class Explain(Case):
    def test_whole(self):
        code, out, err = tare("explain")
        self.assertEqual((code, err), (0, ""))
        rows = [line for line in out.splitlines() if line.startswith("    model.layers.")]
        self.assertGreater(len(rows), 50)
        at = {line.index("(") for line in rows}
        self.assertEqual(len(at), 1, "shapes are not aligned")

    def test_json_account(self):
        code, out, _ = tare("explain", "--json")
        plan = json.loads(out)
        self.assertEqual(code, 0)
        c = plan["counts"]
        self.assertEqual(c["sources"], c["used"] + c["set_aside"] + c["unexpected"])
        self.assertEqual(c["parameters"], c["bound"] + c["missing"])
        self.assertEqual(c["parameters"], len(plan["parameters"]))
        self.assertEqual(c["sources"], len(read_safetensors(os.path.join(FABLE, "model.safetensors"))))
        for p in plan["parameters"]:
            self.assertEqual({"name", "shape", "dtype", "packing", "bits", "group_size", "sources", "recipe"} - set(p), set())
        shapes = {p["name"]: p["shape"] for p in plan["parameters"]}
        self.assertEqual(shapes["model.embed_tokens.weight"], [2048, 192])
        self.assertEqual(shapes["model.layers.0.mlp.down_proj.weight"], [192, 512])

    def test_gguf_names_its_own_tensors_and_the_permuted_rows(self):
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "f.gguf")
            self.assertEqual(tare("convert", FABLE, "--to", "gguf", "-o", file)[0], 0)
            for name in ("model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight"):
                code, out, _ = tare("explain", file, name)
                self.assertEqual(code, 0)
                self.assertIn("from    blk.0.attn_q.weight  Q4_1", out)
                self.assertIn("recipe  as stored, the permuted rows of 6 heads put back in order", out)
            plan = json.loads(tare("explain", "--json", file)[1])
            rows = {p["name"]: p for p in plan["parameters"]}
            self.assertEqual(rows["model.layers.0.self_attn.k_proj.weight"]["sources"], ["blk.0.attn_k.weight"])
            self.assertIn("permuted rows of 2 heads", rows["model.layers.0.self_attn.k_proj.weight"]["recipe"])
            self.assertEqual(rows["model.layers.0.self_attn.v_proj.weight"]["recipe"], "as stored")

    def test_json_equals_check_json(self):
        whole = json.loads(tare("explain", "--json")[1])
        del whole["parameters"]
        self.assertEqual(whole, json.loads(tare("check", "--json")[1]))

    def test_one_tensor(self):
        code, out, err = tare("explain", "fable", "lm_head.qweight")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("tie_word_embeddings", out)
        self.assertIn("model.safetensors", out)
        code, out, _ = tare("explain", "fable", "model.layers.0.mlp.up_proj.weight", "--json")
        self.assertEqual(code, 0)
        json.loads(out)

    def test_no_such_tensor(self):
        self.refused(2, "explain", "fable", "lm_head.qweigth", text="lm_head.qweight")

    def test_json_when_it_does_not_load(self):
        folder = self.copy(num_hidden_layers=7)
        code, out, err = tare("explain", folder, "--json")
        plan = json.loads(out)
        self.assertEqual((code, plan["loads"], plan["exit"]), (4, False, 4))
        self.assertTrue(plan["missing"])
        self.assertTrue(err.startswith("tare: "))


class Convert(Case):
    def test_fable(self):
        out = self.path("out")
        code, text, err = tare("convert", "-o", out)
        self.assertEqual((code, text, err), (0, "", ""))
        names = read_safetensors(os.path.join(out, "model.safetensors"))
        self.assertFalse([n for n in names if "lm_head" in n or "qweight" in n])
        self.assertEqual(names["model.layers.0.mlp.down_proj.weight"], ("U32", [192, 64]))
        with open(os.path.join(out, "config.json"), encoding="utf-8") as f:
            config = json.load(f)
        self.assertEqual(config["quantization"]["group_size"], 64)
        self.assertTrue(os.path.exists(os.path.join(out, "tokenizer.json")))
        self.assertEqual(tare("check", out)[0], 0)

    def test_path_and_memory_agree(self):
        for name, args in (("a", []), ("b", [FABLE]), ("c", ["--threads=1"])):
            self.assertEqual(tare("convert", *args, "-o", self.path(name))[0], 0)
        files = sorted(os.listdir(self.path("a")))
        for name in ("b", "c"):
            self.assertEqual(sorted(os.listdir(self.path(name))), files)
            for f in files:
                if f != "README.md":
                    with open(os.path.join(self.path("a"), f), "rb") as x, open(os.path.join(self.path(name), f), "rb") as y:
                        self.assertEqual(x.read(), y.read(), f)

    def test_theta_of_transformers_5(self):
        """mlx-lm reads the older key only, and would run with a default."""
        folder = self.copy(rope_parameters={"rope_type": "default", "rope_theta": 123456.0})
        config = os.path.join(folder, "config.json")
        with open(config, encoding="utf-8") as f:
            old = json.load(f)
        old.pop("rope_theta", None)
        with open(config, "w", encoding="utf-8") as f:
            json.dump(old, f)
        out = self.path("out")
        self.assertEqual(tare("convert", folder, "-o", out)[0], 0)
        with open(os.path.join(out, "config.json"), encoding="utf-8") as f:
            self.assertEqual(json.load(f)["rope_theta"], 123456.0)

    def test_the_output_says_the_same(self):
        out = self.path("out")
        self.assertEqual(tare("convert", "-o", out)[0], 0)
        a, b = self.path("a.npy"), self.path("b.npy")
        self.assertEqual(tare("logits", "--ids", "0,908,1117", "-o", a)[0], 0)
        self.assertEqual(tare("logits", out, "--ids", "0,908,1117", "-o", b)[0], 0)
        # Biases are rounded to float16: the two are near, not equal.
        self.assertLess(np.abs(np.load(a) - np.load(b)).max(), 0.05)

    def test_an_output_that_exists_is_refused(self):
        os.mkdir(self.path("out"))
        self.refused(4, "convert", "-o", self.path("out"), text="out")
        self.assertEqual(os.listdir(self.path("out")), [])
        self.refused(4, "convert", FABLE, "-o", FABLE)

    def test_no_output_of_what_does_not_load(self):
        self.assertEqual(tare("convert", self.copy(num_hidden_layers=7), "-o", self.path("out"))[0], 4)
        self.assertFalse(os.path.exists(self.path("out")))
        self.assertEqual(sorted(os.listdir(self.work)), ["copy"])

    def test_no_place_for_the_output(self):
        code, _, err = tare("convert", "-o", self.path("no/such/place"))
        self.assertIn(code, (3, 4))
        self.assertTrue(err.startswith("tare: "))


class Logits(Case):
    def logits(self, *args, ids="1,2,3"):
        path = self.path("x.npy")
        code, out, err = tare("logits", *args, "--ids", ids, "-o", path)
        self.assertEqual((code, out, err), (0, "", ""))
        return np.load(path, allow_pickle=False)

    def test_npy(self):
        x = self.logits()
        self.assertEqual((x.dtype, x.shape, x.flags["C_CONTIGUOUS"]), (np.dtype("float32"), (3, 2048), True))
        self.assertTrue(np.isfinite(x).all())
        with open(self.path("x.npy"), "rb") as f:
            head = f.read(10)
        self.assertEqual(head[:8], b"\x93NUMPY\x01\x00")
        self.assertEqual((10 + struct.unpack("<H", head[8:])[0]) % 64, 0)
        self.assertEqual(os.listdir(self.work), ["x.npy"])

    def test_greedy(self):
        ids = PROMPT_IDS + NEXT_IDS
        best = self.logits(ids=",".join(map(str, ids))).argmax(1)
        self.assertEqual(best[len(PROMPT_IDS) - 1:-1].tolist(), NEXT_IDS)

    def test_prefill_and_threads_agree(self):
        ids = ",".join(map(str, PROMPT_IDS))
        whole = self.logits(ids=ids)
        np.testing.assert_allclose(self.logits("--prefill", "4", ids=ids), whole, rtol=0, atol=1e-3)
        np.testing.assert_allclose(self.logits("--prefill=1", ids=ids), whole, rtol=0, atol=1e-3)
        np.testing.assert_array_equal(self.logits("--threads", "1", ids=ids), whole)

    def test_an_old_file_is_replaced(self):
        with open(self.path("x.npy"), "w", encoding="utf-8") as f:
            f.write("old" * 100000)
        self.assertEqual(self.logits().shape, (3, 2048))

    def test_words(self):
        code, out, _ = tare("logits", "--ids", "0,908")
        self.assertEqual(code, 0)
        self.assertEqual(len(re.findall(r"^\d: after", out, re.M)), 2)
        self.assertEqual(len(out.splitlines()), 12)

    def test_ids_are_strict(self):
        for ids in ("1,", ",1", "1,,2", "1 2", "1, 2", "-1", "x", "1.0", "2147483648", "99999999999999999999", "+1"):
            with self.subTest(ids=ids):
                self.refused(2, "logits", "--ids", ids)
        self.refused(2, "logits", "--ids", "1,2", "--prefill", "3")
        self.refused(2, "logits", "--ids", "5000", "-o", self.path("x.npy"), text="5000")
        self.assertFalse(os.listdir(self.work))

    def test_a_device_is_written_in_place(self):
        self.refused(5, "logits", "--ids", "1", "-o", "/dev/full", text="/dev/full")
        self.assertFalse(os.path.isfile("/dev/full"))
        self.refused(3, "logits", "--ids", "1", "-o", self.path("no/x.npy"))


class Run(Case):
    PROMPT = "Once upon a time, a little fox"

    def test_the_default_story(self):
        code, out, err = tare("run", "--max-tokens", "20")
        self.assertEqual((code, err), (0, ""))
        self.assertTrue(out.startswith(self.PROMPT + " "), out)
        self.assertTrue(out.endswith("\n"))

    def test_ways_to_say_it(self):
        flags = ["--max-tokens=12"]
        want = tare("run", *flags)
        for args in (["fable"], [FABLE], [self.PROMPT], ["fable", self.PROMPT], [FABLE, self.PROMPT]):
            stdin = b"" if len(args) == 2 or args[0] == self.PROMPT else self.PROMPT.encode() + b"\n"
            self.assertEqual(tare("run", *args, *flags, stdin=stdin), want, args)
        self.assertEqual(tare("run", *flags, stdin=self.PROMPT.encode()), want)

    def test_no_prompt(self):
        self.refused(2, "run", FABLE, text="prompt")
        self.refused(2, "run", "fable", "", text="prompt")

    def test_a_word_with_a_slash_is_a_model(self):
        self.refused(3, "run", "./nowhere", text="nowhere")
        self.assertTrue(tare("run", "The fox and/or the bear", "--max-tokens=1")[1].startswith("The fox and/or the bear"))

    def test_seeds(self):
        flags = ["--temp", "1", "--max-tokens", "30"]
        one = tare("run", *flags, "--seed", "1")
        self.assertEqual(one, tare("run", *flags, "--seed", "1"))
        self.assertGreater(len({tare("run", *flags, "--seed", str(s))[1] for s in range(4)}), 1)
        self.assertEqual(tare("run", *flags, "--top-k", "1"), tare("run", "--max-tokens", "30"))

    def test_ends_by_itself(self):
        code, out, _ = tare("run", "--max-tokens", "100000")
        self.assertEqual(code, 0)
        self.assertLess(len(out), 3000)
        self.assertNotIn("endoftext", out)

    def test_invalid_utf8_is_refused(self):
        code, _, err = tare("run", stdin=b"\xff\xfe")
        self.assertIn(code, (2, 4))
        self.assertTrue(err.startswith("tare: "))

    def test_on_a_terminal(self):
        code, out = on_terminal("run", "--max-tokens", "5")
        self.assertEqual(code, 0)
        self.assertRegex(out, r"5 tokens, [0-9.]+ tokens/s")

    def test_ctrl_c(self):
        # The story ends within a second, so Ctrl-C may come late: then it is an ordinary end.
        code, out = on_terminal("run", "--max-tokens", "100000", "--temp", "1", keys=b"\x03", after=b"Once")
        self.assertIn(code, (0, 130))
        self.assertNotIn("AddressSanitizer", out)

    def test_a_closed_pipe(self):
        p = subprocess.run("'%s' run --max-tokens 50 | head -c 10" % TARE, shell=True, capture_output=True, stdin=subprocess.DEVNULL,
                           check=False, timeout=60)
        self.assertEqual((p.stdout, p.stderr), (b"Once upon ", b""))


class Bad(Case):
    """What a checkpoint must not do to a terminal, and a line a class of exit codes."""

    def test_names_cannot_drive_the_terminal(self):
        folder = self.copy()
        path = os.path.join(folder, "model.safetensors")
        with open(path, "rb") as f:
            raw = f.read()
        (n,) = struct.unpack("<Q", raw[:8])
        head = json.loads(raw[8:8 + n])
        head["\033[31mred"] = head.pop("lm_head.scales")
        text = json.dumps(head).encode()
        with open(path, "wb") as f:
            f.write(struct.pack("<Q", len(text)) + text + raw[8 + n:])
        for verb in ("check", "explain"):
            code, out, err = tare(verb, folder)
            self.assertEqual(code, 4)
            self.assertNotIn("\033", out + err)

    def test_refusals(self):
        cases = {"model_type": 4, "hidden_size": "192", "vocab_size": -1, "tie_word_embeddings": "true", "num_hidden_layers": 1e99}
        for key, value in cases.items():
            with self.subTest(key=key):
                code, _, err = tare("check", self.copy(**{key: value}))
                self.assertEqual(code, 4)
                self.assertIn(key, err.splitlines()[0])

    def test_truncated(self):
        folder = self.copy()
        os.truncate(os.path.join(folder, "model.safetensors"), 100000)
        code, out, err = tare("check", folder, "--json")
        self.assertEqual(code, 4)
        self.assertEqual(json.loads(out)["loads"], False)
        self.assertIn("model.safetensors", err.splitlines()[0])

    def test_a_fifo_does_not_hang(self):
        folder = self.copy()
        os.unlink(os.path.join(folder, "config.json"))
        os.mkfifo(os.path.join(folder, "config.json"))
        self.assertEqual(tare("check", folder, limit=10)[0], 4)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    TARE = os.path.abspath(sys.argv[1])
    unittest.main(argv=["test_cli.py"] + sys.argv[2:])
