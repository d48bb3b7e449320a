#!/usr/bin/env python3
"""packing_producers.py FOLDER OUT: one module of each checkpoint in FOLDER, with the sha256 of its truth, for tests/unit.

FOLDER has MANIFEST.json and one folder a checkpoint, written by the producers themselves (bitsandbytes, hqq, torchao,
optimum-quanto, modelopt, llmcompressor); weights_sha256 there is of what the producer reads: float32 (out, in), -0 as 0.
Of each checkpoint the module with the fewest bytes is taken, as m.*; "sha256" holds its hexadecimal digits as U8 (64).
"""
import json
import os
import sys

folder, out = sys.argv[1:]
WANTED = ("ao-", "bnb-", "hqq-", "quanto-", "modelopt-fp8", "ct012-sparse24")


def tensors(path):
    with open(path, "rb") as file:
        n = int.from_bytes(file.read(8), "little")
        head, body = json.loads(file.read(n)), file.read()
    head.pop("__metadata__", None)
    return {name: (t["dtype"], t["shape"], body[t["data_offsets"][0]:t["data_offsets"][1]]) for name, t in head.items()}


def save(path, made):
    head, body = {}, b""
    for name, (dtype, shape, data) in sorted(made.items(), key=lambda item: (-8 if item[1][0] in ("I64", "F32", "I32") else 0, item[0])):
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + body)


for fixture in json.load(open(os.path.join(folder, "MANIFEST.json")))["fixtures"]:
    name = fixture["name"]
    if not name.startswith(WANTED) or fixture["truth"] == "none":
        continue
    stored, modules = tensors(os.path.join(folder, name, "model.safetensors")), {}
    for weight in fixture["weights_sha256"]:
        path = weight[:-len(".weight")]
        modules[path] = {"m" + k[len(path):]: t for k, t in stored.items() if k.startswith(path + ".") and not k.endswith(".bias")}
    path = min(modules, key=lambda p: (sum(len(t[2]) for t in modules[p].values()), p))
    digest = fixture["weights_sha256"][path + ".weight"].encode()
    save(os.path.join(out, name + ".safetensors"), dict(modules[path], sha256=("U8", [64], digest)))
    print(name, path)
