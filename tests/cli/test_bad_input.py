#!/usr/bin/env python3
"""test_bad_input.py TARE [CLASS ...]: P1 to P15 of docs/bad-input.md, end to end. Standard library and numpy.

A way to break a checkpoint is a row: name, what it does to a folder, the exit code of `check`, what the message must say (a phrase, and
the file, tensor or key), or the code of a finding where it loads. Each is tried with `check --json` and with `convert`.
"""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import unittest

import numpy as np

import made
from made import AWQ, LLAMA, Case, Packed, llama, read_raw, spawn, values, write_json, write_raw

MEMORY = 256 << 20
MAIN, INDEX = "model.safetensors", "model.safetensors.index.json"
ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
O_PROJ = "model.layers.0.self_attn.o_proj"
NORM = "model.norm.weight"
EMBED = "model.embed_tokens.weight"
ROWS = {}


# ---- what the breaking is done with ----

def config(folder, **changes):
    path = os.path.join(folder, "config.json")
    with open(path, encoding="utf-8") as f:
        value = json.load(f)
    value.update(changes)
    write_json(path, {k: v for k, v in value.items() if v is not ...})


def quant(folder, **changes):
    config(folder, quantization_config={k: v for k, v in {**AWQ, **changes}.items() if v is not ...})


def config_text(folder, old, new):
    text_of(os.path.join(folder, "config.json"), old, new)


def text_of(path, old, new):
    with open(path, "rb") as f:
        text = f.read()
    assert old.encode() in text, (old, text)
    with open(path, "wb") as f:
        f.write(text.replace(old.encode(), new.encode(), 1))


def header(folder, change, name=MAIN):
    """The header goes through change as text; the data stays."""
    path = os.path.join(folder, name)
    head, data = read_raw(path)
    changed = change(head.decode())
    assert changed != head.decode()
    write_raw(path, changed.encode("utf-8"), data)


def entry(folder, tensor, name=MAIN, **changes):
    def change(text):
        head = json.loads(text)
        head[tensor].update(changes)
        head[tensor] = {k: v for k, v in head[tensor].items() if v is not ...}
        return json.dumps(head)
    header(folder, change, name)




def rewrite(folder, change, name=MAIN):
    """The tensors go through change as arrays."""
    head, data = read_raw(os.path.join(folder, name))
    kinds = {v: k for k, v in made.CODES.items()}
    arrays = {n: np.frombuffer(data[e["data_offsets"][0]:e["data_offsets"][1]], kinds[e["dtype"]]).reshape(e["shape"])
              for n, e in json.loads(head).items()}
    change(arrays)
    made.write_safetensors(os.path.join(folder, name), arrays)


def put(path, mode, what):
    with open(path, mode) as f:
        f.write(what)


def index(folder, change):
    path = os.path.join(folder, INDEX)
    with open(path, encoding="utf-8") as f:
        value = json.load(f)
    write_json(path, change(value) or value)


def instead(folder, name, make):
    path = os.path.join(folder, name)
    os.unlink(path)
    make(path)


def unix_socket(path):
    s = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(os.path.dirname(path))
    try:
        s.bind(os.path.basename(path))
    finally:
        os.chdir(here)
        s.close()


def way(p, name, status, phrases, function, base="plain", finding=None):
    """A row of P<p>: function breaks the folder it is given; phrases must all stand in the message."""
    ROWS.setdefault(p, []).append((name, function, status, phrases, base, finding))


# ---- P1: no duplicate JSON keys ----
way(1, "config top", 4, ("config.json", "hidden_size"), lambda d: config_text(d, "{", '{"hidden_size": 64, '))
way(1, "config nested", 4, ("config.json", "bits"), lambda d: config_text(d, '"bits": 4', '"bits": 4, "bits": 8'))
way(1, "config by escape", 4, ("config.json", "hidden_size"), lambda d: config_text(d, "{", '{"hidden_siz\\u0065": 64, '))
way(1, "config same value", 4, ("config.json", "vocab_size"), lambda d: config_text(d, "{", '{"vocab_size": 160, '))
way(1, "tensor twice", 4, (MAIN, NORM), lambda d: header(d, lambda t: t[:-1] + ', "%s": %s}' % (NORM, json.dumps(json.loads(t)[NORM]))))
way(1, "dtype twice", 4, (MAIN, "dtype"), lambda d: header(d, lambda t: t.replace('"dtype": "F16"', '"dtype": "F16", "dtype": "F16"', 1)))
way(1, "shape twice", 4, (MAIN, "shape"), lambda d: header(d, lambda t: t.replace('"shape": [160, 64]', '"shape": [160, 64], "shape": [64, 160]', 1)))
way(1, "tensor by escape", 4, (MAIN, NORM), lambda d: header(d, lambda t: t[:-1] + ', "model.n\\u006frm.weight": %s}' % json.dumps(json.loads(t)[NORM])))
way(1, "index tensor", 4, (INDEX, NORM), lambda d: text_of(os.path.join(d, INDEX), '"weight_map": {', '"weight_map": {"%s": "%s", ' % (NORM, ONE)), base="shards")
way(1, "index top", 4, (INDEX, "weight_map"), lambda d: text_of(os.path.join(d, INDEX), '"weight_map": {', '"weight_map": {}, "weight_map": {'), base="shards")

# ---- P2: no U+0000 in names ----
way(2, "config key", 4, ("config.json",), lambda d: config_text(d, "{", '{"a\\u0000b": 1, '))
way(2, "config value", 4, ("config.json",), lambda d: config_text(d, '"llama"', '"llama\\u0000"'))
way(2, "config raw", 4, ("config.json",), lambda d: config_text(d, "{", '{"a\0b": 1, '))
way(2, "tensor name", 4, (MAIN,), lambda d: header(d, lambda t: t.replace(NORM, NORM + "\\u0000x", 1)))
way(2, "tensor name raw", 4, (MAIN,), lambda d: header(d, lambda t: t.replace(NORM, NORM + "\0", 1)))
way(2, "index name", 4, (INDEX,), lambda d: text_of(os.path.join(d, INDEX), NORM, NORM + "\\u0000"), base="shards")
way(2, "index shard", 4, (INDEX,), lambda d: text_of(os.path.join(d, INDEX), '"%s"' % ONE, '"%s\\u0000"' % ONE), base="shards")
way(2, "metadata", 4, (MAIN,), lambda d: header(d, lambda t: '{"__metadata__": {"format\\u0000": "pt"}, ' + t[1:]))

# ---- P3: strict types, sane ranges ----
for key, value in {"hidden_size": "64", "vocab_size": 160.5, "num_hidden_layers": -1, "num_attention_heads": 0, "intermediate_size": True,
                   "num_key_value_heads": [2], "rms_norm_eps": "1e-5", "head_dim": {}}.items():
    way(3, "%s %r" % (key, value), 4, ("config.json", key), lambda d, k=key, v=value: config(d, **{k: v}))
way(3, "vocab_size 1e30", 4, ("config.json", "vocab_size"), lambda d: config_text(d, '"vocab_size": 160', '"vocab_size": 1e30'))
way(3, "hidden_size past 64 bits", 4, ("config.json",), lambda d: config_text(d, '"hidden_size": 64', '"hidden_size": 99999999999999999999'))
way(3, "layers without end", 4, ("config.json", "num_hidden_layers"), lambda d: config(d, num_hidden_layers=2 ** 62))
way(3, "Infinity", 4, ("config.json", "rms_norm_eps"), lambda d: config_text(d, '"rms_norm_eps": 1e-05', '"rms_norm_eps": Infinity'))
way(3, "NaN", 4, ("config.json", "rope_theta"), lambda d: config_text(d, '"rope_theta": 10000.0', '"rope_theta": NaN'))
way(3, "1e999", 4, ("config.json",), lambda d: config_text(d, '"rope_theta": 10000.0', '"rope_theta": 1e999'))
way(3, "config is a list", 4, ("config.json",), lambda d: write_json(os.path.join(d, "config.json"), [LLAMA]))
way(3, "config is cut", 4, ("config.json",), lambda d: os.truncate(os.path.join(d, "config.json"), 40))
way(3, "config is empty", 4, ("config.json",), lambda d: os.truncate(os.path.join(d, "config.json"), 0))
way(3, "a comma too many", 4, ("config.json",), lambda d: config_text(d, "{", "{,"))
way(3, "no UTF-8", 4, ("config.json",), lambda d: put(os.path.join(d, "config.json"), "ab", b"\xff"))
way(3, "text after it", 4, ("config.json",), lambda d: put(os.path.join(d, "config.json"), "ab", b"{}"))
way(3, "deep", 4, ("config.json",), lambda d: config_text(d, "{", '{"a": ' + "[" * 100000 + "]" * 100000 + ", "))
way(3, "bits is text", 4, ("bits",), lambda d: quant(d, bits="4"))
way(3, "zero_point is a number", 4, ("zero_point",), lambda d: quant(d, zero_point=1))
way(3, "Infinity where none looks", 0, (), lambda d: config_text(d, "{", '{"time_step_limit": [0.0, Infinity], '))

# ---- P4: a shard is one plain file name ----
for shard in ("../" + ONE, "/etc/passwd", "sub/" + ONE, "", ".", "..", "./" + ONE, ONE + "/", ".."+ "/" * 20 + "x.safetensors"):
    way(4, "shard %r" % shard, 4, (INDEX,), lambda d, s=shard: index(d, lambda v: v["weight_map"].update({NORM: s})), base="shards")

# ---- P5: shards and index agree ----
way(5, "shard absent", 3, (TWO,), lambda d: os.unlink(os.path.join(d, TWO)), base="shards")
way(5, "all shards absent", 3, ("safetensors",), lambda d: [os.unlink(os.path.join(d, n)) for n in (ONE, TWO)], base="shards")
way(5, "named shard absent", 3, ("gone.safetensors",), lambda d: index(d, lambda v: v["weight_map"].update({NORM: "gone.safetensors"})), base="shards")
way(5, "not in its shard", 4, (NORM,), lambda d: rewrite(d, lambda t: t.pop(NORM), TWO), base="shards")
way(5, "in another shard", 4, (NORM,), lambda d: index(d, lambda v: v["weight_map"].update({NORM: ONE})), base="shards")
way(5, "absent from the index", 4, (NORM,), lambda d: index(d, lambda v: v["weight_map"].pop(NORM) and None), base="shards")
way(5, "absent from the index, its shard read", 4, ("input_layernorm.weight", ONE),
       lambda d: index(d, lambda v: v["weight_map"].pop("model.layers.0.input_layernorm.weight") and None), base="shards")
way(5, "in two shards", 4, (NORM,), lambda d: rewrite(d, lambda t: t.update({NORM: np.ones(64, np.float16)}), ONE), base="shards")
way(5, "in no shard", 4, ("model.more.weight",), lambda d: index(d, lambda v: v["weight_map"].update({"model.more.weight": ONE})), base="shards")
way(5, "no weights", 3, ("safetensors",), lambda d: os.unlink(os.path.join(d, MAIN)))
way(5, "no config", 3, ("config.json",), lambda d: os.unlink(os.path.join(d, "config.json")))
way(5, "file outside the index", 1, ("extra.safetensors",), lambda d: shutil.copy(os.path.join(d, ONE), os.path.join(d, "extra.safetensors")), base="shards", finding=True)
way(5, "total_size is ignored", 0, (), lambda d: index(d, lambda v: v["metadata"].update(total_size=-7)), base="shards")
way(5, "empty weight_map", 4, (INDEX,), lambda d: index(d, lambda v: {"metadata": {}, "weight_map": {}}), base="shards")

# ---- P6: quantization_config agrees with the tensors ----
for group in (64, 16, 128, -1):
    way(6, "group_size %d" % group, 4, ("group_size", "quantization_config"), lambda d, g=group: quant(d, group_size=g))
for bits in (8, 3, 2):
    way(6, "bits %d" % bits, 4, ("bits",), lambda d, b=bits: quant(d, bits=b))
way(6, "zero_point without qzeros", 4, (O_PROJ + ".qzeros",), lambda d: rewrite(d, lambda t: t.pop(O_PROJ + ".qzeros")))
way(6, "no quantization_config", 4, (O_PROJ, "quantization_config"), lambda d: config(d, quantization_config=...))
way(6, "qzeros under zero_point false", 0, (), lambda d: quant(d, zero_point=False))
way(6, "no qzeros under zero_point false", 0, (), lambda d: (quant(d, zero_point=False), rewrite(d, lambda t: t.pop(O_PROJ + ".qzeros"))))

# ---- P7: one form per module, complete ----
for part in ("qweight", "scales"):
    way(7, "no " + part, 4, (O_PROJ + "." + part,), lambda d, p=part: rewrite(d, lambda t: t.pop(O_PROJ + "." + p)))
way(7, "qweight alone", 4, (O_PROJ + ".scales",), lambda d: rewrite(d, lambda t: (t.pop(O_PROJ + ".scales"), t.pop(O_PROJ + ".qzeros"))))
way(7, "qzeros alone", 4, (O_PROJ,), lambda d: rewrite(d, lambda t: (t.pop(O_PROJ + ".scales"), t.pop(O_PROJ + ".qweight"))))
way(7, "two forms", 4, (O_PROJ,), lambda d: rewrite(d, lambda t: t.update({O_PROJ + ".weight": values((64, 64))})))
way(7, "g_idx in awq", 4, (O_PROJ + ".g_idx",), lambda d: rewrite(d, lambda t: t.update({O_PROJ + ".g_idx": np.zeros(64, np.int32)})))
way(7, "stray scales", 4, ("gate_proj.scales",), lambda d: rewrite(d, lambda t: t.update({"model.layers.0.mlp.gate_proj.scales": np.ones((2, 128), np.float16)})))
way(7, "stray scales of nothing", 4, ("model.other.scales",), lambda d: rewrite(d, lambda t: t.update({"model.other.scales": np.ones((2, 128), np.float16)})))
way(7, "module missing", 4, (O_PROJ,), lambda d: rewrite(d, lambda t: [t.pop(O_PROJ + "." + p) for p in ("qweight", "qzeros", "scales")]))

# ---- P8: dtypes are the table's ----
for part, kind, shape in (("qweight", np.float32, (64, 8)), ("qweight", np.int64, (64, 8)), ("scales", np.int32, (2, 64)), ("scales", np.uint8, (2, 64)),
                          ("qzeros", np.float16, (2, 8)), ("qzeros", np.float32, (2, 8)), ("qweight", np.float16, (64, 8))):
    way(8, "%s %s" % (part, kind.__name__), 4, (O_PROJ + "." + part, made.CODES[kind.__name__]),
           lambda d, p=part, k=kind, s=shape: rewrite(d, lambda t: t.update({O_PROJ + "." + p: np.ones(s, k)})))
way(8, "norm int32", 4, (NORM, "I32"), lambda d: rewrite(d, lambda t: t.update({NORM: np.ones(64, np.int32)})))
way(8, "embedding int8", 4, (EMBED, "I8"), lambda d: rewrite(d, lambda t: t.update({EMBED: np.ones((160, 64), np.int8)})))
way(8, "unknown dtype", 4, (MAIN, "F7"), lambda d: header(d, lambda t: t.replace('"F16"', '"F7"', 1)))

# ---- P9: sizes are checked before anything is allocated ----
def length(folder, n):
    with open(os.path.join(folder, MAIN), "r+b") as f:
        f.write(n.to_bytes(8, "little"))


for n in (2 ** 63, 2 ** 64 - 1, 2 ** 40, 100_000_001, 0, 1):
    way(9, "header length %d" % n, 4, (MAIN,), lambda d, n=n: length(d, n))
way(9, "file of 4 bytes", 4, (MAIN,), lambda d: os.truncate(os.path.join(d, MAIN), 4))
way(9, "empty file", 4, (MAIN,), lambda d: os.truncate(os.path.join(d, MAIN), 0))
way(9, "cut in the header", 4, (MAIN,), lambda d: os.truncate(os.path.join(d, MAIN), 100))
way(9, "cut in the data", 4, (MAIN,), lambda d: os.truncate(os.path.join(d, MAIN), os.path.getsize(os.path.join(d, MAIN)) - 1))
way(9, "bytes after the data", 4, (MAIN,), lambda d: put(os.path.join(d, MAIN), "ab", b"\0"))
way(9, "shape overflows", 4, (MAIN, NORM), lambda d: entry(d, NORM, shape=[2 ** 33, 2 ** 33]))
way(9, "shape past 64 bits", 4, (MAIN, NORM), lambda d: entry(d, NORM, shape=[2 ** 64]))
way(9, "shape negative", 4, (MAIN, NORM), lambda d: entry(d, NORM, shape=[-64]))
way(9, "shape and range", 4, (MAIN, NORM), lambda d: entry(d, NORM, shape=[63]))
way(9, "range backwards", 4, (MAIN, NORM), lambda d: entry(d, NORM, data_offsets=[128, 0]))
way(9, "range past the end", 4, (MAIN,), lambda d: entry(d, NORM, data_offsets=[2 ** 40, 2 ** 40 + 128]))
way(9, "overlap", 4, (MAIN,), lambda d: entry(d, NORM, data_offsets=[0, 128]))
way(9, "embedding of another shape", 4, (EMBED,), lambda d: rewrite(d, lambda t: t.update({EMBED: values((152, 64))})))
way(9, "rank 100000", 4, (NORM,), lambda d: entry(d, NORM, shape=[64] + [1] * 100000))

# ---- P10: only regular files ----
for name in (MAIN, "config.json"):
    way(10, "fifo " + name, 4, (name,), lambda d, n=name: instead(d, n, os.mkfifo))
    way(10, "folder " + name, 4, (name,), lambda d, n=name: instead(d, n, os.mkdir))
    way(10, "socket " + name, 4, (name,), lambda d, n=name: instead(d, n, unix_socket))
way(10, "fifo index", 4, (INDEX,), lambda d: instead(d, INDEX, os.mkfifo), base="shards")
way(10, "fifo shard", 4, (TWO,), lambda d: instead(d, TWO, os.mkfifo), base="shards")
way(10, "device", 4, (MAIN,), lambda d: instead(d, MAIN, lambda p: os.symlink("/dev/zero", p)))
way(10, "device config", 4, ("config.json",), lambda d: instead(d, "config.json", lambda p: os.symlink("/dev/zero", p)))

# ---- P11: no pickle, no code ----
PICKLE = b"\x80\x02cposix\nsystem\nX\x0c\0\0\0touch /tmp/xx\x85R."
for name in ("pytorch_model.bin", "consolidated.00.pth", "model.pt", "model.ckpt", "model.pkl"):
    way(11, name, 4, (name,), lambda d, n=name: instead(d, MAIN, lambda p: put(os.path.join(d, n), "wb", PICKLE)))
way(11, "pickle by another name", 4, (MAIN,), lambda d: put(os.path.join(d, MAIN), "wb", PICKLE))
way(11, "zip by another name", 4, (MAIN,), lambda d: put(os.path.join(d, MAIN), "wb", b"PK\x03\x04" + bytes(100)))
way(11, "index of pickles", 4, ("pytorch_model.bin",), lambda d: index(d, lambda v: v["weight_map"].update({NORM: "pytorch_model.bin"})), base="shards")
way(11, "modelling code", 0, (), lambda d: (config(d, auto_map={"AutoModel": "evil.Model"}), put(os.path.join(d, "evil.py"), "w", "raise SystemExit(9)\n")))

# ---- P12: what is not known is refused by name ----
way(12, "model_type", 4, ("lama", "llama"), lambda d: config(d, model_type="lama"))
way(12, "no model_type", 4, ("config.json", "model_type"), lambda d: config(d, model_type=...))
way(12, "model_type is a number", 4, ("config.json", "model_type"), lambda d: config(d, model_type=3))
way(12, "quant_method", 4, ("quant_method", "other"), lambda d: quant(d, quant_method="other"))
way(12, "no quant_method", 4, ("quant_method",), lambda d: quant(d, quant_method=...))
way(12, "version", 4, ("version", "gemw"), lambda d: quant(d, version="gemw"))
way(12, "rope type", 4, ("rope", "spiral"), lambda d: config(d, rope_scaling={"rope_type": "spiral", "factor": 2.0}))
way(12, "activation", 4, ("hidden_act", "gulu"), lambda d: config(d, hidden_act="gulu"))
way(12, "tensor", 4, ("model.layers.0.novel.weight",), lambda d: rewrite(d, lambda t: t.update({"model.layers.0.novel.weight": values((64,))})))
way(12, "layer", 4, ("model.layers.1.",), lambda d: rewrite(d, lambda t: t.update({"model.layers.1.input_layernorm.weight": values((64,))})))


# ---- P13: a redundant tied head is dropped, with its reason ----
def head(folder, seed=None, **more):
    def change(t):
        t.update(Packed(t[EMBED] if seed is None else values((160, 64), seed)).tensors("lm_head"))
        t.update({"lm_head." + k: v for k, v in more.items()})
    rewrite(folder, change)


way(13, "equal", 0, (), head)
way(13, "differs", 1, ("lm_head", "tie_word_embeddings"), lambda d: head(d, 99), finding=True)
way(13, "bias", 4, ("lm_head.bias",), lambda d: head(d, bias=np.ones(160, np.float16)))
way(13, "g_idx", 4, ("lm_head.g_idx",), lambda d: head(d, g_idx=np.zeros(64, np.int32)))
way(13, "flag is text", 4, ("config.json", "tie_word_embeddings"), lambda d: (head(d), config(d, tie_word_embeddings="yes")))
way(13, "flag is a number", 4, ("config.json", "tie_word_embeddings"), lambda d: (head(d), config(d, tie_word_embeddings=1)))
way(13, "flag says untied, half a head", 4, ("lm_head.scales",), lambda d: (head(d), config(d, tie_word_embeddings=False), rewrite(d, lambda t: t.pop("lm_head.scales"))))
way(13, "flag says untied, no head", 4, ("lm_head.weight",), lambda d: config(d, tie_word_embeddings=False))
way(13, "another name", 4, ("output.",), lambda d: rewrite(d, lambda t: t.update(Packed(t[EMBED]).tensors("output"))))

# ---- P14: links are followed ----
def moved(folder, name):
    target = os.path.join(folder, "blobs-" + name.replace(".", "-"))
    os.rename(os.path.join(folder, name), target)
    os.symlink(os.path.basename(target), os.path.join(folder, name))


way(14, "links that hold", 0, (), lambda d: [moved(d, n) for n in (MAIN, "config.json")])
for name in (MAIN, "config.json"):
    way(14, "broken " + name, 3, (name,), lambda d, n=name: instead(d, n, lambda p: os.symlink("nowhere", p)))
    way(14, "loop " + name, 4, (name,), lambda d, n=name: instead(d, n, lambda p: os.symlink(os.path.basename(p), p)))
    way(14, "to a folder " + name, 4, (name,), lambda d, n=name: instead(d, n, lambda p: os.symlink("..", p)))
way(14, "broken shard", 3, (TWO,), lambda d: instead(d, TWO, lambda p: os.symlink("nowhere", p)), base="shards")
way(14, "to a fifo", 4, (MAIN,), lambda d: (os.mkfifo(os.path.join(d, "pipe")), instead(d, MAIN, lambda p: os.symlink("pipe", p))))

# ---- P15: entries are objects ----
for value in ("null", "[]", '"F16"', "7", "true", "{}"):
    way(15, "entry " + value, 4, (MAIN, "x.weight"), lambda d, v=value: header(d, lambda t: '{"x.weight": %s, %s' % (v, t[1:])))
for key in ("dtype", "shape", "data_offsets"):
    way(15, "no " + key, 4, (MAIN, NORM, key), lambda d, k=key: entry(d, NORM, **{k: ...}))
way(15, "header is a list", 4, (MAIN,), lambda d: header(d, lambda t: "[%s]" % t))
way(15, "header is text", 4, (MAIN,), lambda d: header(d, lambda t: '"' + "a" * (len(t) - 2) + '"'))
way(15, "header is no JSON", 4, (MAIN,), lambda d: header(d, lambda t: "}" + t[1:]))
way(15, "metadata is a list", 4, (MAIN, "__metadata__"), lambda d: header(d, lambda t: '{"__metadata__": [], ' + t[1:]))
way(15, "metadata of numbers", 4, (MAIN, "__metadata__"), lambda d: header(d, lambda t: '{"__metadata__": {"a": 1}, ' + t[1:]))
way(15, "offsets of three", 4, (MAIN, NORM), lambda d: entry(d, NORM, data_offsets=[0, 64, 128]))
way(15, "offsets of floats", 4, (MAIN, NORM), lambda d: entry(d, NORM, data_offsets=[0.0, 128.0]))
way(15, "shape is a number", 4, (MAIN, NORM), lambda d: entry(d, NORM, shape=64))
way(15, "another key", 4, (MAIN, NORM), lambda d: entry(d, NORM, strides=[1]))
way(15, "index is a list", 4, (INDEX,), lambda d: index(d, lambda v: [v]), base="shards")
way(15, "weight_map is a list", 4, (INDEX, "weight_map"), lambda d: index(d, lambda v: {"weight_map": []}), base="shards")
way(15, "shard is a number", 4, (INDEX, NORM), lambda d: index(d, lambda v: v["weight_map"].update({NORM: 1})), base="shards")


class Bad(Case):
    def one(self, breaks, status, phrases, base, finding):
        arrays = llama()
        config_of = {**LLAMA, "tie_word_embeddings": True}
        shards = [set(arrays) - {NORM}, {NORM}] if base == "shards" else None
        folder = self.model(config_of, arrays, shards)
        self.check(folder, 0)
        breaks(folder)
        before = sorted(os.listdir(folder))
        plan = self.check(folder, status)
        self.assertNotRegex(plan["why"], r"[,(]\s*\Z", "the message is cut off")
        texts = [plan["why"]] if status > 1 else [" ".join(f[k] for k in ("code", "where", "text")) for f in plan["findings"]]
        self.assertEqual(bool(finding), status == 1)
        self.assertTrue(not phrases or any(all(p in t for p in phrases) for t in texts), (phrases, texts))
        target, err = self.convert(folder, status if status > 1 else 0)
        if status > 1:
            for phrase in phrases:
                self.assertIn(phrase, err)
            self.assertLess(len(err), 1000)
        else:
            self.check(target, 0)
        self.assertEqual(sorted(os.listdir(folder)), before)

    def test_each_has_five_ways(self):
        self.assertEqual(sorted(ROWS), list(range(1, 16)))
        for p, rows in ROWS.items():
            self.assertGreaterEqual(sum(r[2] > 1 for r in rows), 5, "P%d" % p)
            self.assertEqual(len({r[0] for r in rows}), len(rows), "P%d" % p)

    def test_memory(self):
        """256 MiB: those that ask for much."""
        if made.sanitized():
            self.skipTest("a sanitizer's shadow counts")
        for p, rows in ROWS.items():
            for name, breaks, status, _, base, _ in rows:
                arrays = llama()
                folder = self.model({**LLAMA, "tie_word_embeddings": True}, arrays, [set(arrays) - {NORM}, {NORM}] if base == "shards" else None)
                breaks(folder)
                with self.subTest(p=p, name=name):
                    self.assertLess(spawn("check", folder, "--json")[3], MEMORY)


for p, rows in ROWS.items():
    for name, breaks, status, phrases, base, finding in rows:
        method = "test_P%02d_%s" % (p, re.sub(r"\W+", "_", name).strip("_"))
        while hasattr(Bad, method):
            method += "_"
        setattr(Bad, method, lambda self, a=(breaks, status, phrases, base, finding): self.one(*a))


class Many(Case):
    """Ten seconds hold for names by the ten thousand too: no loop over heads or misshapen parameters may be quadratic."""

    def ends_soon(self, rows, layers=1):
        folder = self.path("many")
        os.makedirs(folder, exist_ok=True)
        made.write_holes(os.path.join(folder, MAIN), rows)
        write_json(os.path.join(folder, "config.json"), {**LLAMA, "tie_word_embeddings": True, "num_hidden_layers": layers})
        begun = time.monotonic()
        done = subprocess.run([made.TARE, "check", folder], capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 4)
        self.assertLess(time.monotonic() - begun, 10)

    def test_heads(self):
        self.ends_soon([("a%d.lm_head.weight" % i, [1], "float16") for i in range(80000)])

    def test_misshapen(self):
        self.ends_soon([("model.layers.%d.input_layernorm.weight" % i, [3], "float16") for i in range(60000)], 60000)


class Sparse(Case):
    """No stage before the proof reads a weight: a hole of 1 TiB."""

    def test_one_tebibyte(self):
        hidden, vocab = 1 << 16, 1 << 22
        shapes = {"model.embed_tokens.weight": [vocab, hidden], "lm_head.weight": [vocab, hidden], NORM: [hidden]}
        layer = "model.layers.%d."
        for k in range(2):
            shapes.update({layer % k + n + ".weight": [hidden] for n in ("input_layernorm", "post_attention_layernorm")})
            shapes.update({layer % k + "self_attn.%s_proj.weight" % n: [hidden, hidden] for n in "qkvo"})
            shapes.update({layer % k + "mlp.gate_proj.weight": [128, hidden], layer % k + "mlp.up_proj.weight": [128, hidden],
                           layer % k + "mlp.down_proj.weight": [hidden, 128]})
        folder = self.path("model")
        os.mkdir(folder)
        write_json(os.path.join(folder, "config.json"),
                   {**{k: v for k, v in LLAMA.items() if k != "quantization_config"}, "hidden_size": hidden, "vocab_size": vocab, "num_hidden_layers": 2,
                    "num_attention_heads": 512, "num_key_value_heads": 512, "tie_word_embeddings": True})
        try:
            size = made.write_holes(os.path.join(folder, MAIN), [[n, s, "float16"] for n, s in shapes.items()])
        except OSError as e:
            self.skipTest("the file system has no file of 1 TiB: %s" % e)
        self.assertGreaterEqual(size, 1 << 40)
        code, out, err, memory, took = spawn("check", folder, "--json", "--no-data")
        plan = json.loads(out)
        self.assertEqual((code, err, plan["loads"]), (0, "", True))
        self.account(plan)
        self.assertEqual([s["name"] for s in plan["set_aside"]], ["lm_head.weight"])
        self.assertLess(took, 1)
        if not made.sanitized():
            self.assertLess(memory, 64 << 20)


if __name__ == "__main__":
    made.TARE = os.path.abspath(sys.argv.pop(1))
    unittest.main()
