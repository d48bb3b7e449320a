#!/usr/bin/env python3
"""mask.py BUILD [--golden DIR, or $GOLDEN] [--only NAME,NAME]: what does a grammar cost a token?

Answers by a JSON schema are followed id by id, with the tokenizers of real models (128,000 to 262,000 ids; golden/tokenizer has them): the first one
works the masks out, the next ones find them, as texts of one server do that share a schema. CPU time of one thread. A mask is to take less
than 0.2 ms on average after the first answer. Exit status 1 when a target is missed.
"""
import argparse
import json
import lzma
import os
import subprocess
import sys
import tempfile

GOAL = 0.2e-3
HERE = os.path.dirname(os.path.abspath(__file__))
SCHEMA = {"type": "object", "additionalProperties": False, "required": ["name", "age", "email", "tags", "address"], "properties": {
    "name": {"type": "string"}, "age": {"type": "integer", "minimum": 0, "maximum": 150}, "email": {"type": "string", "maxLength": 60},
    "tags": {"type": "array", "items": {"enum": ["new", "regular", "premium"]}, "maxItems": 5},
    "address": {"type": "object", "required": ["street", "zip"], "properties": {"street": {"type": "string"}, "zip": {"type": "string", "pattern": "^[0-9]{5}$"}}}}}


def answer(name, age, email, tags, street, code):
    return json.dumps({"name": name, "age": age, "email": email, "tags": tags, "address": {"street": street, "zip": code}}, ensure_ascii=False)


ANSWERS = [answer("Ada Lovelace", 36, "ada@analytical.example", ["new", "premium"], "12 St James's Square, London", "10115"),
           answer("Зоя Космодемьянская", 18, "zoya.k@school.example.org", [], "улица Александра и Зои", "12507"),
           answer("Grace Hopper", 85, "grace.hopper@navy.example", ["regular"], "Arlington \"Cemetery\", Section 59", "22211")]

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("build")
parser.add_argument("--golden", default=os.environ.get("GOLDEN"))
parser.add_argument("--only", default="qwen2,llama3,gemma4")
args = parser.parse_args()
if not args.golden:
    sys.exit("no GOLDEN: not run")

missed = False
with tempfile.TemporaryDirectory() as work:
    program, library = os.path.join(work, "mask"), os.path.join(os.path.abspath(args.build), "libtare.so")
    subprocess.run([os.environ.get("CC", "cc"), "-std=gnu11", "-O2", "-o", program, os.path.join(HERE, "mask.c"), "-I",
                    os.path.join(HERE, "../include"), library, "-Wl,-rpath," + os.path.dirname(library)], check=True)
    print("%-12s %8s %14s %18s %18s %14s" % ("", "ids", "grammar opened", "first answer", "later answers", "their slowest"))
    for name in args.only.split(","):
        with lzma.open(os.path.join(args.golden, "tokenizer", name, "tokenizer.json.xz")) as f, open(os.path.join(work, "tokenizer.json"), "wb") as to:
            to.write(f.read())
        lines = subprocess.run([program, work, json.dumps(SCHEMA), *ANSWERS, *ANSWERS], check=True, capture_output=True, text=True).stdout.splitlines()
        (ids, opened), rows = lines[0].split(), [[float(word) for word in line.split()] for line in lines[1:]]
        later = sum(row[1] for row in rows[1:]) / sum(row[0] for row in rows[1:])
        missed = missed or later > GOAL
        print("%-12s %8s %11.0f ms %11.3f ms/id %11.3f ms/id %11.3f ms%s" % (
            name, ids, 1e3 * float(opened), 1e3 * rows[0][1] / rows[0][0], 1e3 * later, 1e3 * max(row[2] for row in rows[1:]), "  MISSED" if later > GOAL else ""))
sys.exit(missed)
