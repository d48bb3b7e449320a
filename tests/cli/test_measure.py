#!/usr/bin/env python3
"""test_measure.py TARE [CLASS ...]: tare perplexity, against transformers' record (tests/oracle/perplexity.py), and tare bench."""
import json
import os
import subprocess
import sys
import unittest

import test_cli
from test_cli import ROOT, Case, tare

STORIES = os.path.join(ROOT, "tests/data/fable/stories.txt")
COST = {"tokens", "seconds", "cpu_seconds", "tokens_per_second"}
SHORT = ("--prompt", "40", "--context", "8", "--generate", "6", "--runs", "2")


class Perplexity(Case):
    def measure(self, *args, **more):
        code, out, err = tare("perplexity", *args, "--json", **more)
        self.assertEqual((code, err), (0, ""), args)
        return json.loads(out)

    def test_equals_transformers(self):
        with open(os.path.join(ROOT, "tests/data/fable/perplexity.json"), encoding="utf-8") as f:
            windows = json.load(f)["windows"]
        self.assertGreaterEqual(len(windows), 3)
        for want in windows:
            rounded = 1e-3 if want["context"] <= 256 else 5e-3  # beyond what the model was made for it guesses, and rounding shows
            for flags, most in ((("--as-run",), rounded), ((), 1e-5)):
                got = self.measure("fable", STORIES, "--context", str(want["context"]), *flags)
                self.assertEqual(got["tokens"], want["tokens"])
                self.assertLess(abs(got["perplexity"] / want["perplexity"] - 1), most)
                self.assertNotIn("kl", got)

    def test_against_exact(self):
        both = self.measure("fable", STORIES, "--against-exact")
        self.assertEqual(both["perplexity"], self.measure("fable", STORIES, "--as-run")["perplexity"])
        self.assertEqual(both["exact"]["perplexity"], self.measure("fable", STORIES)["perplexity"])
        self.assertLess(both["perplexity"] / both["exact"]["perplexity"], 1.005)
        self.assertTrue(0 < both["kl"] < 0.002, both["kl"])
        self.assertTrue(0.9 < both["same_best"] < 1)
        self.assertIn("all in float32", tare("perplexity", "fable", STORIES, "--against-exact")[1])

    def test_windows_and_what_is_left_add_up(self):
        whole = self.measure("fable", STORIES)
        self.assertEqual(whole["context"], 256)  # the model's own
        self.assertEqual(whole["tokens"], whole["windows"] * 256)
        for context in (1, 300, 5000):
            got = self.measure("fable", STORIES, "--context", str(context))
            self.assertEqual(got["tokens"] + got["left_out"], whole["tokens"] + whole["left_out"])
            self.assertLess(got["left_out"], context)
        self.assertEqual(got["windows"], 1)  # shorter than a window: scored all the same

    def test_threads_and_input_do_not_matter(self):
        one = self.measure("fable", STORIES, "--threads", "1")
        with open(STORIES, "rb") as f:
            text = f.read()
        for got in (self.measure("fable", STORIES, "--threads", "3"), self.measure("fable", "-", stdin=text)):
            self.assertEqual(got["perplexity"], one["perplexity"])

    def test_words(self):
        code, out, err = tare("perplexity", "fable", STORIES)
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out, r"\Afable: perplexity 7\.14\d+ \+- 0\.\d+ on .*stories\.txt\n  768 tokens in 3 windows of 256, 239 left out; ")

    def test_bad(self):
        self.refused(2, "perplexity", text="MODEL FILE")
        self.refused(2, "perplexity", "fable", text="MODEL FILE")
        self.refused(2, "perplexity", "fable", STORIES, "--context", "0", text="--context")
        self.refused(3, "perplexity", "fable", self.path("nowhere"), text="nowhere")
        self.refused(4, "perplexity", "fable", self.work, text=self.work)
        for content, status, word in ((b"", 2, "two tokens"), (b"a\xff", 2, "UTF-8")):
            with open(self.path("text"), "wb") as f:
                f.write(content)
            self.refused(status, "perplexity", "fable", self.path("text"), text=word)

    def test_nan(self):
        folder = self.copy()
        path = os.path.join(folder, "model.safetensors")
        with open(path, "rb") as f:
            data = bytearray(f.read())
        size = int.from_bytes(data[:8], "little")
        at = 8 + size + json.loads(data[8:8 + size])["model.norm.weight"]["data_offsets"][0]
        data[at:at + 2] = b"\x00\x7e"
        with open(path, "wb") as f:
            f.write(data)
        self.refused(4, "perplexity", folder, STORIES, text="finite")


class Bench(Case):
    def test_json(self):
        code, out, err = tare("bench", "fable", *SHORT, "--threads", "1,2", "--json")
        self.assertEqual((code, err), (0, ""))
        got = json.loads(out)
        self.assertEqual([row["threads"] for row in got["runs"]], [1, 2])
        self.assertGreater(got["first_token_seconds"], got["load_seconds"])
        # 2.65 M packed weights of 4 bits, a little for scales and zeros; the tied head of 2048 rows in float16 at most
        self.assertTrue(1.2e6 < got["weights_bytes"] < 3e6, got["weights_bytes"])
        self.assertGreater(got["peak_bytes"], got["weights_bytes"])
        for row in got["runs"]:
            self.assertEqual((row["prefill"]["tokens"], row["decode"]["tokens"]), (40, 6))
            self.assertNotIn("batch", row)
            for phase in ("prefill", "decode"):
                self.assertEqual(set(row[phase]), COST)
                self.assertGreater(row[phase]["tokens_per_second"], 0)
            self.assertGreater(row["read_bytes_per_second"], 1e8)
            self.assertAlmostEqual(row["share_of_read"], row["weights_bytes_per_second"] / row["read_bytes_per_second"], 3)

    def test_sequences(self):
        got = json.loads(tare("bench", *SHORT, "--threads", "2", "--sequences", "3", "--no-read", "--json")[1])
        (row,) = got["runs"]
        self.assertEqual(row["batch"]["tokens"], 3 * 6)
        self.assertIsNone(row["read_bytes_per_second"])

    def test_table(self):
        code, out, err = tare("bench", *SHORT, "--no-read")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("fable: prefill of 40 tokens, decode of 6 after 8; best of 2; ", out)
        self.assertEqual(len([line for line in out.splitlines() if line.split()[0].isdigit()]), len(default_counts()))

    def test_kernels(self):
        usual = json.loads(tare("bench", *SHORT, "--threads", "1", "--no-read", "--json")[1])["kernels"]
        self.assertIn("; " + usual + "\n", tare("bench", *SHORT, "--threads", "1", "--no-read", "--kernels", usual)[1])
        scalar = json.loads(tare("bench", *SHORT, "--threads", "1", "--no-read", "--kernels", "scalar", "--json")[1])
        self.assertEqual(scalar["kernels"], "scalar")
        self.refused(2, "bench", "--kernels", "mmx", text="kernels")

    def test_bad(self):
        for counts in ("0", "1,", ",1", "1,x", "1 2", "2000", "1," * 16 + "1"):
            self.refused(2, "bench", "--threads", counts, text="--threads")
        self.refused(2, "bench", "--runs", "0", text="--runs")
        self.refused(3, "bench", self.path("nowhere"), text="nowhere")


def default_counts():
    """1, 2, 4 .. and one a core."""
    cores = os.sysconf("SC_NPROCESSORS_ONLN")
    counts = [2 ** k for k in range(16) if 2 ** k < cores]
    return counts[:15] + [cores]


if __name__ == "__main__":
    test_cli.TARE = sys.argv.pop(1)
    unittest.main(argv=[sys.argv[0], *sys.argv[1:]])
