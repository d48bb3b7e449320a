#!/usr/bin/env python3
"""test_tokenize.py TARE: tare tokenize: text to ids and back, and which files a vocabulary is read from. Standard library only."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

TARE = ""
DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data/tokenizer")


def run(folder, given, *flags):
    """(exit status, stdout, stderr)"""
    p = subprocess.run([TARE, "tokenize", folder, *flags], input=given, capture_output=True, timeout=60)
    return p.returncode, p.stdout.decode(), p.stderr.decode()


class Folder:
    """A copy of one of DATA's folders with further files."""

    def __init__(self, name, **files):
        self.name, self.files = name, files

    def __enter__(self):
        self.top = tempfile.TemporaryDirectory()
        path = os.path.join(self.top.name, "model")
        shutil.copytree(os.path.join(DATA, self.name), path)
        for name, content in self.files.items():
            with open(os.path.join(path, name.replace("__", ".")), "w", encoding="utf-8") as f:
                json.dump(content, f)
        return path

    def __exit__(self, *_):
        self.top.cleanup()


class Both(unittest.TestCase):
    def test_there_and_back(self):
        for name in "spm_bpe", "spm_unigram", "tekken":
            with self.subTest(name), Folder(name) as model:
                text = "she said \"no\" and 123."
                code, out, err = run(model, text.encode(), "--json", "--no-special")
                self.assertEqual((code, err), (0, ""))
                ids = json.loads(out)["ids"]
                self.assertEqual(json.loads(run(model, out.encode(), "--decode", "--json")[1]), {"text": text})
                self.assertEqual(run(model, b"", "--json", "--no-special")[1], '{"ids": []}\n')
                self.assertEqual(run(model, text.encode(), "--no-special")[1], " ".join(map(str, ids)) + "\n")
                special = json.loads(run(model, text.encode(), "--json")[1])["ids"]
                self.assertEqual(special, ids + [2] if name == "spm_unigram" else [1] + ids)
                self.assertEqual(run(model, " ".join(map(str, special)).encode(), "--decode", "--no-special")[1], text)

    def test_zeros(self):
        for name in "spm_bpe", "tekken":
            with self.subTest(name), Folder(name) as model:
                ids = run(model, b"a\0b\0", "--no-special")[1]
                self.assertEqual(run(model, ids.encode(), "--decode")[1], "a\0b\0")
                self.assertEqual(json.loads(run(model, ids.encode(), "--decode", "--json")[1]), {"text": "a\0b\0"})

    def test_no_line_feed(self):
        """The last number ends where standard input does, whatever lies in memory after it: here digits."""
        with Folder("spm_bpe") as model:
            p = subprocess.run([TARE, "tokenize", model, "--decode", "--json"], input=b"99", capture_output=True, timeout=60,
                               env=dict(os.environ, MALLOC_PERTURB_="206"))  # glibc fills with 255 - 206 = '1'
            self.assertEqual(p.stdout.decode(), run(model, b"99\n", "--decode", "--json")[1])

    def test_refused(self):
        with Folder("spm_bpe") as model:
            self.assertEqual(run(model, b"a\xff")[0], 2)
            self.assertIn("byte 1", run(model, b"a\xff")[2])
            self.assertEqual(run(model, b"1 x", "--decode")[0], 2)
            self.assertEqual(run(model, b"99999999999", "--decode")[0], 2)
            self.assertEqual(run(model, b"100000", "--decode", "--json")[:2], (0, '{"text": ""}\n'))  # as the reference has it


class Files(unittest.TestCase):
    def test_none(self):
        with tempfile.TemporaryDirectory() as model:
            code, _, err = run(model, b"a")
            self.assertEqual(code, 3)
            for name in "tokenizer.json", "tokenizer.model", "tekken.json":
                self.assertIn(name, err)

    def test_tiktoken(self):
        with tempfile.TemporaryDirectory() as model:
            with open(os.path.join(model, "tokenizer.model"), "w") as f:
                f.write("IQ== 0\nIg== 1\n")
            code, _, err = run(model, b"a")
            self.assertEqual((code, "tiktoken" in err), (4, True), err)

    def test_tokenizer_json_goes_first(self):
        with Folder("syn_norm_replace") as model:
            shutil.copy(os.path.join(DATA, "spm_bpe/tokenizer.model"), model)
            before = run(os.path.join(DATA, "syn_norm_replace"), b"Hello there")
            self.assertEqual(run(model, b"Hello there"), before)

    def test_added_tokens(self):
        """Ids as the files say, also with a gap; found in the text, and left out of it where they are special."""
        config = {"added_tokens_decoder": {"900": {"content": "<|im_end|>", "special": True, "normalized": True},
                                           "1": {"content": "<s>", "special": True}},
                  "eos_token": "<|im_end|>", "add_bos_token": False, "model_max_length": 10**30}
        with Folder("spm_bpe", tokenizer_config__json=config, added_tokens__json={"<|im_start|>": 800}) as model:
            ids = json.loads(run(model, b"<|im_start|>a<|im_end|>", "--json")[1])["ids"]
            self.assertEqual((ids[0], ids[-1]), (800, 900))
            self.assertEqual(run(model, str(ids).encode(), "--decode", "--no-special")[1], "<|im_start|> a")
            self.assertEqual(json.loads(run(model, b"<s>", "--json")[1])["ids"], [1])

    def test_ends(self):
        for config, around in ({"add_bos_token": True, "add_eos_token": True}, ([1], [2])), ({"add_bos_token": False}, ([], [])):
            with Folder("spm_bpe", tokenizer_config__json=config) as model:
                own = json.loads(run(model, b"the", "--json", "--no-special")[1])["ids"]
                self.assertEqual(json.loads(run(model, b"the", "--json")[1])["ids"], around[0] + own + around[1])

    def test_bad_added_tokens(self):
        for files in ({"added_tokens__json": {"<x>": -1}}, {"added_tokens__json": {"<x>": "1"}}, {"added_tokens__json": {"<x>": 1 << 40}},
                      {"tokenizer_config__json": {"added_tokens_decoder": {"x": {"content": "a"}}}},
                      {"tokenizer_config__json": {"added_tokens_decoder": {"3": "a"}}}):
            with self.subTest(files=files), Folder("spm_bpe", **files) as model:
                self.assertEqual(run(model, b"a")[0], 4)


if __name__ == "__main__":
    TARE = os.path.abspath(sys.argv.pop(1))
    unittest.main()
