#!/usr/bin/env python3
"""tokenizers_property.py BUILD GOLDEN [NAME ...] [--texts N] [--seed N]: random texts against PyPI tokenizers.

Over the tokenizers of GOLDEN/tokenizer: ids with and without special tokens of texts of every script, of random bytes made UTF-8 and
of pieces that are in the vocabulary; the text of these ids; and the text of random ids.
"""
import argparse
import json
import lzma
import os
import random
import sys
import tempfile

import tokenizers

import tokens

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("build")
parser.add_argument("golden")
parser.add_argument("names", nargs="*")
parser.add_argument("--texts", type=int, default=300)
parser.add_argument("--seed", type=int, default=1)
args = parser.parse_args()
root = os.path.join(args.golden, "tokenizer")
known = open(os.path.join(root, "mixed.txt"), encoding="utf-8").read()


def source(name):
    path = os.path.join(root, name, "tokenizer.json")
    return lzma.open(path + ".xz").read() if os.path.exists(path + ".xz") else open(path, "rb").read()


def refusable(call, *words):
    try:
        return call(*words)
    except tokens.Refused as refusal:
        return "refused: %s" % refusal
    except Exception as problem:  # what the reference raises has no class of its own
        return "raised: %s" % problem


def agree(got, want):
    """Equal, or both say no; texts up to their first NUL, which the interface does not tell."""
    if isinstance(want, str) and want.startswith("raised: "):
        return isinstance(got, str) and got.startswith("refused: ")
    return got == (want.encode().split(b"\0")[0] if isinstance(want, str) else want)


def check_text(tare, peer, text):
    for special in (False, True):
        want = refusable(lambda: peer.encode(text, add_special_tokens=special).ids)
        got = refusable(tare.encode, text.encode(), special)
        if not agree(got, want):
            return "%r: want %s, got %s" % (text, want, got)
        if isinstance(want, list):
            back, own = peer.decode(want, skip_special_tokens=special), refusable(tare.decode, want, special)
            if not agree(own, back):
                return "%s: back %r, got %r" % (want, back, own)
    return None


def check(name, folder):
    data = source(name)
    with open(os.path.join(folder, "tokenizer.json"), "wb") as f:
        f.write(data)
    peer = tokenizers.Tokenizer.from_str(data.decode())
    peer.no_truncation(), peer.no_padding()
    tare = tokens.Tokenizer(args.build, folder)
    ids = sorted(peer.get_vocab().values())
    words = [t["content"] for t in json.loads(data)["added_tokens"]]
    rng = random.Random(args.seed)
    problems, n = [], 0
    for text in tokens.texts(args.seed, args.texts, known):
        while words and rng.random() < 0.3:
            at = rng.randrange(len(text) + 1)
            text = text[:at] + rng.choice(words) + text[at:]
        n += 1
        problems.append(check_text(tare, peer, text))
    for _ in range(args.texts // 2):
        some = [rng.choice(ids) for _ in range(rng.randrange(1, 12))]
        n += 1
        back, own = peer.decode(some, skip_special_tokens=False), refusable(tare.decode, some)
        problems.append(None if agree(own, back) else "%s: back %r, got %r" % (some, back, own))
    problems = [p for p in problems if p]
    print("%-34s %d of %d" % (name, n - len(problems), n) + (", first %s" % problems[0][:700] if problems else ""), flush=True)
    return len(problems)


bad = 0
with tempfile.TemporaryDirectory(prefix="tare-property-") as folder:
    for name in args.names or sorted(os.listdir(root)):
        if os.path.isdir(os.path.join(root, name)):
            bad += check(name, folder)
sys.exit(bool(bad))
