"""Small checkpoints with real values, made by the tests of the head and of bad input. Standard library and numpy."""
import json
import os
import shutil
import struct
import subprocess
import tempfile
import time
import unittest

import numpy as np

TARE = ""
GROUP = 32
CODES = {"float32": "F32", "float16": "F16", "float64": "F64", "int32": "I32", "uint32": "U32", "int64": "I64", "uint8": "U8", "int8": "I8"}
ITEM = {"float32": ("F32", 4), "float16": ("F16", 2), "bfloat16": ("BF16", 2), "int32": ("I32", 4), "uint32": ("U32", 4)}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": GROUP, "version": "gemm", "zero_point": True}
LLAMA = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_hidden_layers": 1,
         "num_key_value_heads": 2, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "vocab_size": 160, "max_position_embeddings": 512,
         "quantization_config": AWQ}
GPT2 = {"model_type": "gpt2", "n_embd": 64, "n_head": 4, "n_layer": 1, "n_ctx": 128, "n_positions": 128, "vocab_size": 160,
        "layer_norm_epsilon": 1e-05, "quantization_config": AWQ}
# Column j of the eight of a word lies in this nibble (docs/layouts.md, "AWQ, gemm").
NIBBLE = [0, 4, 1, 5, 2, 6, 3, 7]


def pack_nibbles(codes):
    """[rows, columns] of 4-bit codes -> int32 [rows, columns / 8], AutoAWQ's order."""
    words = np.zeros((codes.shape[0], codes.shape[1] // 8), np.uint32)
    for j, nibble in enumerate(NIBBLE):
        words |= codes[:, j::8].astype(np.uint32) << np.uint32(4 * nibble)
    return words.view(np.int32)


class Packed:
    """A float [out, in] in AutoAWQ's gemm layout: codes [out, in], zeros and scales [out, groups]. clip < 1 cuts the range."""

    def __init__(self, weight, clip=1.0, group=GROUP):
        w = weight.astype(np.float32)
        grouped = w.reshape(w.shape[0], -1, group)
        high, low = np.maximum(grouped.max(2), 0) * clip, np.minimum(grouped.min(2), 0) * clip
        self.group = group
        self.scales = ((high - low) / 15 + 1e-6).astype(np.float16)
        step = self.scales.astype(np.float32)
        self.zeros = np.clip(np.rint(-low / step), 0, 15).astype(np.int64)
        codes = np.rint(grouped / step[:, :, None]) + self.zeros[:, :, None]
        self.codes = np.clip(codes, 0, 15).astype(np.int64).reshape(w.shape)

    def floats(self):
        return (self.codes - np.repeat(self.zeros, self.group, 1)) * np.repeat(self.scales.astype(np.float32), self.group, 1)

    def steps(self):
        return np.repeat(self.scales.astype(np.float32), self.group, 1)

    def tensors(self, prefix):
        return {prefix + ".qweight": pack_nibbles(self.codes.T), prefix + ".qzeros": pack_nibbles(self.zeros.T),
                prefix + ".scales": np.ascontiguousarray(self.scales.T)}


def values(shape, seed=0, size=0.05):
    return (np.random.default_rng([seed, *shape]).standard_normal(shape) * size).astype(np.float16)


def llama():
    """The tensors of LLAMA without a head, one linear packed."""
    p = "model.layers.0."
    t = {"model.embed_tokens.weight": values((160, 64), 1), "model.norm.weight": np.ones(64, np.float16),
         p + "input_layernorm.weight": np.ones(64, np.float16), p + "post_attention_layernorm.weight": np.ones(64, np.float16)}
    for k, (name, shape) in enumerate({"mlp.down_proj": (64, 128), "mlp.gate_proj": (128, 64), "mlp.up_proj": (128, 64),
                                       "self_attn.q_proj": (64, 64), "self_attn.k_proj": (32, 64), "self_attn.v_proj": (32, 64)}.items()):
        t[p + name + ".weight"] = values(shape, 10 + k)
    t.update(Packed(values((64, 64), 30)).tensors(p + "self_attn.o_proj"))
    return t


def gpt2():
    """The tensors of GPT2 without a head, one linear packed."""
    p = "h.0."
    t = {"wte.weight": values((160, 64), 1), "wpe.weight": values((128, 64), 2)}
    for name in ("ln_f", p + "ln_1", p + "ln_2"):
        t[name + ".weight"], t[name + ".bias"] = np.ones(64, np.float16), np.zeros(64, np.float16)
    for name, shape in {"attn.c_attn": (64, 192), "mlp.c_fc": (64, 256), "mlp.c_proj": (256, 64)}.items():
        t[p + name + ".weight"], t[p + name + ".bias"] = values(shape, 3), values(shape[1:], 4)
    t.update(Packed(values((64, 64), 5)).tensors(p + "attn.c_proj"))
    t[p + "attn.c_proj.bias"] = values((64,), 6)
    return t


def header_of(tensors):
    head, at = {}, 0
    for name, array in tensors.items():
        head[name] = {"dtype": CODES[str(array.dtype)], "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    return head


def write_raw(path, header, data):
    """A safetensors file of these bytes, right or wrong."""
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(header)) + header + data)


def write_safetensors(path, tensors):
    write_raw(path, json.dumps(header_of(tensors)).encode(), b"".join(np.ascontiguousarray(a).tobytes() for a in tensors.values()))


def write_holes(path, rows):
    """A safetensors file of [name, shape, dtype]; its data is a hole. Gives the number of bytes of data."""
    head, at = {}, 0
    for name, shape, dtype in rows:
        code, size = ITEM[dtype]
        for n in shape:
            size *= n
        head[name] = {"dtype": code, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    write_raw(path, json.dumps(head).encode(), b"")
    os.truncate(path, os.path.getsize(path) + at)
    return at


def read_raw(path):
    """(header bytes, data bytes)"""
    with open(path, "rb") as f:
        (n,) = struct.unpack("<Q", f.read(8))
        return f.read(n), f.read()


def read_names(path):
    return {k: (e["dtype"], e["shape"]) for k, e in json.loads(read_raw(path)[0]).items() if k != "__metadata__"}


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f)


def spawn(*args, limit=10):
    """(exit status, stdout, stderr, peak memory in bytes, seconds) of tare; it is killed, and the test fails, past the limit."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.monotonic()
        p = subprocess.Popen([TARE, *args], stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        pid = 0
        while not pid:
            pid, status, usage = os.wait4(p.pid, os.WNOHANG)
            if not pid and time.monotonic() - start > limit:
                p.kill()
                os.wait4(p.pid, 0)
                p.returncode = -9
                raise AssertionError("no end in %d s: tare %s" % (limit, " ".join(args)))
            if not pid:
                time.sleep(0.001)
        took = time.monotonic() - start
        p.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        return p.returncode, out.read().decode(errors="replace"), err.read().decode(errors="replace"), usage.ru_maxrss * 1024, took


def sanitized():
    """Is the program built with AddressSanitizer? Its shadow counts as memory."""
    with open(TARE, "rb") as f:
        return b"__asan_init" in f.read()


class Case(unittest.TestCase):
    def setUp(self):
        self.work = tempfile.mkdtemp(prefix="tare-made-")
        self.addCleanup(shutil.rmtree, self.work, True)

    def path(self, *names):
        return os.path.join(self.work, *names)

    def model(self, config, tensors, shards=None):
        """A folder; shards is a list of sets of names, and then there is an index."""
        folder = self.path("model")
        shutil.rmtree(folder, ignore_errors=True)
        os.mkdir(folder)
        write_json(os.path.join(folder, "config.json"), config)
        if not shards:
            write_safetensors(os.path.join(folder, "model.safetensors"), tensors)
            return folder
        places = {}
        for k, names in enumerate(shards):
            shard = "model-%05d-of-%05d.safetensors" % (k + 1, len(shards))
            write_safetensors(os.path.join(folder, shard), {n: tensors[n] for n in tensors if n in names})
            places.update({n: shard for n in tensors if n in names})
        write_json(os.path.join(folder, "model.safetensors.index.json"), {"metadata": {"total_size": 0}, "weight_map": places})
        return folder

    def account(self, plan):
        """The account of docs/json.md holds, and the lists are as long as it says."""
        n = plan["counts"]
        self.assertEqual(n["sources"], n["used"] + n["set_aside"] + n["unexpected"] + n["misshapen"], n)
        self.assertEqual(n["parameters"], n["bound"] + n["missing"] + n["misshapen"], n)
        for key in ("set_aside", "missing", "unexpected", "misshapen"):
            self.assertLessEqual(len(plan[key]), n[key], key)
        self.assertEqual(plan["loads"], plan["exit"] in (0, 1))

    def check(self, folder, status, *flags):
        """The plan of `check --json`, which ends so; a refusal says why in one line, which is in plan["why"]."""
        code, out, err, _, _ = spawn("check", folder, "--json", *flags)
        plan = json.loads(out)
        self.assertEqual(code, status, err + json.dumps(plan["findings"], indent=1))
        self.assertEqual(plan["exit"], status)
        self.account(plan)
        self.assertRegex(err, r"\Atare: [^\n]+\n\Z" if status > 1 else r"\A\Z")
        plan["why"] = err
        return plan

    def convert(self, folder, status, *flags):
        """(output folder, stderr) of a convert that ends so; nothing is left of a refused one."""
        target = self.path("out")
        shutil.rmtree(target, ignore_errors=True)
        code, _, err, _, _ = spawn("convert", folder, "-o", target, *flags)
        self.assertEqual(code, status, err)
        if status:
            self.assertRegex(err, r"\Atare: [^\n]+\n\Z")
            self.assertEqual([n for n in os.listdir(self.work) if n != "model"], [], "left behind")
        return target, err
