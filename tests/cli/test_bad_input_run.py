#!/usr/bin/env python3
"""test_bad_input_run.py TARE: texts that continue from bad input; each ends in a clear error or a choice that is told. Standard library.

The models are copies of fable (2048 ids, a context of 256) with one thing changed.
"""
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

TARE = ""
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FABLE = os.path.join(ROOT, "models/fable")
NORM, EMBED = "model.norm.weight", "model.embed_tokens.weight"
NAN, INFINITY = b"\x00\x7e", b"\x00\x7c"  # float16, little endian
CONTEXT, VOCABULARY = 256, 2048


def tare(*args, stdin=b""):
    p = subprocess.run([TARE, *args], input=stdin, capture_output=True, timeout=60, check=False)
    return p.returncode, p.stdout.decode(), p.stderr.decode()


def put_number(folder, tensor, index, raw):
    """Number `index` of a float16 tensor becomes raw; from the end where index is negative."""
    path = os.path.join(folder, "model.safetensors")
    with open(path, "r+b") as f:
        (n,) = struct.unpack("<Q", f.read(8))
        entry = json.loads(f.read(n))[tensor]
        assert entry["dtype"] == "F16", entry
        begin, end = entry["data_offsets"]
        f.seek(8 + n + (begin if index >= 0 else end) + 2 * index)
        f.write(raw)


class Case(unittest.TestCase):
    def setUp(self):
        self.work = tempfile.mkdtemp(prefix="tare-bad-run-")
        self.addCleanup(shutil.rmtree, self.work, True)

    def copy(self):
        return shutil.copytree(FABLE, os.path.join(self.work, "model"))

    def tokenizer(self, change):
        """A copy whose tokenizer.json went through change."""
        folder = self.copy()
        path = os.path.join(folder, "tokenizer.json")
        with open(path, encoding="utf-8") as f:
            value = json.load(f)
        change(value)
        with open(path, "w", encoding="utf-8") as f:
            json.dump(value, f)
        return folder

    def refused(self, status, *args, text=(), stdin=b""):
        """One line on stderr that holds all of text; what was printed is given back."""
        code, out, err = tare(*args, stdin=stdin)
        self.assertEqual(code, status, (args, out, err))
        self.assertRegex(err, r"\Atare: [^\n]+\n\Z")
        for phrase in text:
            self.assertIn(phrase, err)
        return out


class Context(Case):
    def test_prompt_longer_than_the_context(self):
        self.refused(2, "run", "fable", "--max-tokens=3", stdin=b"the fox " * 150, text=("context", "do not fit", str(CONTEXT)))

    def test_prompt_far_longer_than_the_context(self):
        self.refused(2, "run", "fable", "--max-tokens=3", stdin=b"the fox " * 3000, text=("context", str(CONTEXT)))

    def test_the_text_ends_where_the_context_does(self):
        code, out, err = tare("run", "fable", "the fox" + " the fox" * 123, "--max-tokens=1000", "--logit-bias=0=-inf")
        self.assertEqual((code, err), (0, ""))
        ids = tare("tokenize", "fable", "--json", stdin=out.rstrip("\n").encode())[1]
        self.assertLessEqual(len(json.loads(ids)["ids"]), CONTEXT + 1)  # the last one is said and not fed
        self.assertGreater(len(out), len("the fox" + " the fox" * 123) + 1)


class Ids(Case):
    def test_logits(self):
        self.refused(2, "logits", "fable", "--ids", "1,%d" % VOCABULARY, text=("id %d" % VOCABULARY, "number 1", "vocabulary"))
        self.refused(2, "logits", "fable", "--ids=1,-1", text=("-1",))

    def test_bias(self):
        self.refused(2, "run", "fable", "Once", "--logit-bias=%d=1" % VOCABULARY, text=("bias", "id %d" % VOCABULARY))

    def test_the_tokenizer_has_more_ids_than_the_embedding(self):
        def far(tokenizer):
            tokenizer["added_tokens"].append({**tokenizer["added_tokens"][0], "id": VOCABULARY, "content": "<|far|>"})
        folder = self.tokenizer(far)
        self.refused(2, "run", folder, "Once <|far|> more", "--max-tokens=3", text=("id %d" % VOCABULARY, "vocabulary"))
        self.assertEqual(tare("run", folder, "Once", "--max-tokens=3"), tare("run", "fable", "Once", "--max-tokens=3"))

    def test_the_tokenizer_has_fewer_ids_than_the_embedding(self):
        """The choice: such an id is drawn like any other, and says nothing."""
        def drop(tokenizer):
            last = max(tokenizer["model"]["vocab"].items(), key=lambda item: item[1])
            assert last[1] == VOCABULARY - 1
            del tokenizer["model"]["vocab"][last[0]]
            tokenizer["model"]["merges"].pop()
        folder = self.tokenizer(drop)
        force = ("--max-tokens=3", "--logit-bias=%d=1000" % (VOCABULARY - 1))
        self.assertEqual(tare("run", folder, "Once", *force), (0, "Once\n", ""))
        self.assertEqual(tare("run", "fable", "Once", *force)[1], "Once" + " library" * 3 + "\n")


class Weights(Case):
    """Never garbage: a text ends at the first logits that are no numbers, and says what to look at."""

    def test_nan_in_the_norm(self):
        for raw in (NAN, INFINITY):
            for flags in ((), ("--temp=1", "--seed=3"), ("--draft=lookup",)):
                with self.subTest(raw=raw, flags=flags):
                    shutil.rmtree(os.path.join(self.work, "model"), True)
                    folder = self.copy()
                    put_number(folder, NORM, 5, raw)
                    out = self.refused(4, "run", folder, "Once", "--max-tokens=8", *flags, text=("NaN or infinity", "tare verify"))
                    self.assertEqual(out, "Once\n")

    def test_nan_in_one_row_of_the_embedding(self):
        """Tied: one logit of each row is a NaN; the others look fine."""
        folder = self.copy()
        put_number(folder, EMBED, -1, NAN)
        code, out, err = tare("run", folder, "Once", "--max-tokens=8")  # a warning comes first: the file has a head, too
        self.assertEqual((code, out), (4, "Once\n"))
        self.assertRegex(err, r"tare: logits: 1 of %d .*NaN or infinity[^\n]*\n\Z" % VOCABULARY)

    def test_a_bias_of_minus_infinity_is_no_such_thing(self):
        self.assertEqual(tare("run", "fable", "Once", "--max-tokens=3", "--logit-bias=3=-inf")[0], 0)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    TARE = os.path.abspath(sys.argv[1])
    unittest.main(argv=["test_bad_input_run.py"] + sys.argv[2:])
