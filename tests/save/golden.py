#!/usr/bin/env python3
"""golden.py TARE FOLDER: are converted checkpoints, bit for bit, what mlx-lm makes of them?

FOLDER holds checkpoints with expected.json: every parameter that mlx-lm has after loading it, as (name, dtype, shape, sha256). Each is
converted by one thread and by four, which must give the same files.
"""
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile

WORDS = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "U32": "uint32", "I32": "int32"}
tare, folder = sys.argv[1:]
work = tempfile.mkdtemp(prefix="tare-golden-")


def read(path):
    """name -> (dtype, shape, sha256) of a file, and its metadata; offsets must follow one another."""
    raw = open(path, "rb").read()
    n = int.from_bytes(raw[:8], "little")
    head, at, found = json.loads(raw[8:8 + n]), 0, {}
    assert n % 8 == 0, "the header's length is no multiple of 8"
    assert head.pop("__metadata__") == {"format": "mlx"}
    for name, e in head.items():
        first, last = e["data_offsets"]
        assert first == at, "%s: a hole before it" % name
        at = last
        found[name] = (WORDS[e["dtype"]], e["shape"], hashlib.sha256(raw[8 + n + first:8 + n + last]).hexdigest())
    assert 8 + n + at == len(raw), "bytes after the last tensor"
    return found


def convert(case, threads):
    out = os.path.join(work, "out%d" % threads)
    shutil.rmtree(out, True)
    source = os.path.join(work, case)
    if not os.path.isdir(source):
        shutil.copytree(os.path.join(folder, case), source, ignore=shutil.ignore_patterns("expected.json"))
    done = subprocess.run([tare, "convert", source, "-o", out, "--tie=config", "--threads", str(threads)],
                          capture_output=True, text=True)
    assert done.returncode == 0, "exit %d: %s" % (done.returncode, done.stderr)
    return out


def check(case):
    expected = json.load(open(os.path.join(folder, case, "expected.json")))
    want = {name: (dtype, shape, digest) for name, dtype, shape, digest in expected["parameters"]}
    outs = [convert(case, threads) for threads in (1, 4)]
    for name in os.listdir(outs[0]):
        if name != "README.md":  # it has the folder's name in it
            one, four = (open(os.path.join(out, name), "rb").read() for out in outs)
            assert one == four, "%s depends on the number of threads" % name
    got = read(os.path.join(outs[0], "model.safetensors"))
    assert sorted(got) == sorted(want), "other names: %s" % sorted(set(got) ^ set(want))[:4]
    for name in want:
        assert got[name] == want[name], "%s: %s, want %s" % (name, got[name], want[name])
    index = json.load(open(os.path.join(outs[0], "model.safetensors.index.json")))
    assert sorted(index["weight_map"]) == sorted(want) and set(index["weight_map"].values()) == {"model.safetensors"}
    config = json.load(open(os.path.join(outs[0], "config.json")))
    assert config["quantization"] == config["quantization_config"] and config["quantization"]["mode"] == "affine"
    assert list(config) == sorted(config) and "_name_or_path" not in config


bad = seen = 0
try:
    for case in sorted(os.listdir(folder)):
        seen += 1
        try:
            check(case)
        except AssertionError as e:
            bad += 1
            print("%s: %s" % (case, e))
finally:
    shutil.rmtree(work, True)
print("as mlx-lm: %d of %d" % (seen - bad, seen))
sys.exit(0 if seen and not bad else 1)
