#!/usr/bin/env python3
"""formats_doc.py TARE [--check]: write the table of docs/formats.md from what conversions do, or say whether it is up to date.

A small checkpoint of random codes is made of each kind of source (tests/save/layouts.py), and converted to each format. Where it is
refused, the sentence is looked up in REASONS; where it is not, the weights of the output are held against those of the source, in
float32: exact, or rounded and by how much. What stands above the table is kept as it is there. Needs numpy.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(ROOT, "tests", "save"), os.path.join(ROOT, "tests", "cli")]
import numpy as np  # noqa: E402

import gguf_made  # noqa: E402
import layouts  # noqa: E402

PATH = os.path.join(ROOT, "docs/formats.md")
MARK = "<!-- table: tools/formats_doc.py -->\n"
SHAPE = dict(hidden=128, ff=256, heads=2, kv=1, head=64)
TARGETS = (("mlx", "mlx"), ("mlx", "mlx --exact", "--exact"), ("dense", "dense", "--dtype", "float32"), ("awq", "awq"), ("gptq", "gptq"),
           ("gptq_v2", "gptq_v2"), ("compressed-tensors", "compressed-tensors"), ("gguf", "gguf"), ("gguf", "gguf --exact", "--exact"))
REASONS = (  # part of the sentence, what the table says
    (r"has no \d+ bits", "bits"), (r"\d+ bits have no MLX form", "bits"), ("are floats, those of", "floats"), ("act-order", "act-order"),
    ("are floats, which no block", "floats"), ("rounded more than once", "twice rounded"), ("is no whole number", "real zeros"), ("do not fit Q8_0", "real zeros"),
    ("a zero of 0", "zero of 0"), ("no whole multiple", "biases"), ("group_size .* where most have", "mixed groups"),
    (r"group_size \d+ has no MLX form", "group size"), ("a packed embedding", "embedding"),
    ("scales hold for .* columns", "group size"), ("need 9 bits", "bits"), ("is no float16 number", "float16"))
tare = os.path.abspath(sys.argv[1])
work = tempfile.mkdtemp(prefix="tare-formats-")


def integers(layout, bits, group, **more):
    rng, symmetric, order = np.random.default_rng(3), more.get("symmetric", False), more.get("order", False)
    linears = {}
    for k, (path, (out, into)) in enumerate(layouts.sizes(SHAPE).items()):
        size = more["other"] if "other" in more and path.endswith("down_proj") else group
        linears[path] = layouts.Linear(rng, out, into, bits, size, more.get("least", 1), symmetric, order)
    tensors = layouts.rest(SHAPE)
    for path, linear in linears.items():
        tensors.update(linear.tensors(path, layout, symmetric))
        if layout == "mlx" and more.get("biases"):
            tensors[path + ".biases"] = tensors[path + ".biases"] + np.float16(0.4) * tensors[path + ".scales"]
    return layouts.config(layout, SHAPE, linears, symmetric, order), tensors


def others(kind):
    """Layouts whose codes are floats, or whose integers are signed bytes."""
    rng, tensors = np.random.default_rng(3), layouts.rest(SHAPE)
    made = layouts.config("", SHAPE, {"": layouts.Linear(rng, 8, 32, 4, 32)})
    for path, (out, into) in layouts.sizes(SHAPE).items():
        nibbles = rng.integers(0, 256, (out, into // 2)).astype(np.uint8)
        if kind == "mxfp4":
            tensors[path + ".weight"] = np.ascontiguousarray(nibbles).view("<u4")
            tensors[path + ".scales"] = rng.integers(118, 124, (out, into // 32)).astype(np.uint8)
            made["quantization"] = {"group_size": 32, "bits": 4, "mode": "mxfp4"}
        elif kind == "fp8":
            tensors[path + ".weight"] = ("F8_E4M3", rng.integers(0, 126, (out, into)).astype(np.uint8))
            tensors[path + ".weight_scale_inv"] = rng.random((-(-out // 128), -(-into // 128))).astype(np.float32)
            made["quantization_config"] = {"quant_method": "fp8", "weight_block_size": [128, 128]}
        else:
            tensors[path + ".weight"] = ("I8", rng.integers(-127, 128, (out, into)).astype(np.int8))
            tensors[path + ".weight_scale"] = (rng.random((out, 1)) / 100 + 0.001).astype(np.float16)
            weights = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel", "group_size": None, "dynamic": False}
            made["quantization_config"] = {"quant_method": "compressed-tensors", "format": "int-quantized", "ignore": ["lm_head"],
                                           "quantization_status": "compressed",
                                           "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}}}
    return made, tensors


def by_tensors(kind):
    """Layouts whose tensors, not the config, say how each module is stored."""
    rng, tensors = np.random.default_rng(3), layouts.rest(SHAPE)
    made = layouts.config("", SHAPE, {"": layouts.Linear(rng, 8, 32, 4, 32)})
    for path, (out, into) in layouts.sizes(SHAPE).items():
        scales = (rng.random((out, into // 64)) / 100 + 0.001).astype(np.float32)
        if kind == "nf4":
            state = {"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [out, into]}
            text = np.frombuffer(json.dumps(state).encode(), np.uint8)
            tensors[path + ".weight"] = rng.integers(0, 256, (out * into // 2, 1)).astype(np.uint8)
            tensors.update({path + ".weight.absmax": scales.ravel(), path + ".weight.quant_state.bitsandbytes__nf4": text})
            tensors[path + ".weight.quant_map"] = np.linspace(-1, 1, 16).astype(np.float32)
            made["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
        elif kind == "int8":
            tensors[path + ".weight"] = ("I8", rng.integers(-127, 128, (out, into)).astype(np.int8))
            tensors.update({path + ".SCB": scales[:, 0], path + ".weight_format": np.zeros((), np.uint8)})
            made["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_8bit": True}
        elif kind == "hqq":
            tensors[path + ".W_q"] = rng.integers(0, 256, (out * into // 128, 64)).astype(np.uint8)
            tensors.update({path + ".scale": scales.reshape(-1, 1).astype(np.float16), path + ".shape": np.array([out, into])})
            tensors[path + ".zero"] = (7 + rng.random((scales.size, 1))).astype(np.float16)
            tensors[path + ".nbits"] = np.array(4, np.int32)
            made["quantization_config"] = {"quant_method": "hqq"}
        elif kind == "fp8":
            tensors[path + ".weight"] = ("F8_E4M3", rng.integers(0, 126, (out, into)).astype(np.uint8))
            tensors[path + ".weight_scale"] = scales[:, :1]
            made["quantization_config"] = {"quant_method": "fbgemm_fp8"}
        elif kind == "sparse":
            mask = np.packbits(np.tile([1, 0, 0, 1], (out, into // 4)).astype(np.uint8), axis=1, bitorder="little")
            tensors[path + ".compressed"] = rng.standard_normal((out, into // 2)).astype(np.float16)
            tensors.update({path + ".bitmask": mask, path + ".shape": np.array([[out], [into]])})
            made["quantization_config"] = {"quant_method": "compressed-tensors", "sparsity_config": {"format": "sparse-24-bitmask"}}
        elif kind == "modelopt":
            tensors[path + ".weight"] = rng.integers(0, 256, (out // 2, into)).astype(np.uint8)
            tensors[path + ".weight_scale"] = scales.astype(np.float16)
            made["quantization_config"] = {"quant_method": "modelopt", "quant_algo": "W4A16_AWQ", "group_size": 64}
        else:
            tensors[path + "._weight_qdata"] = ("I8", rng.integers(-128, 128, (out, into // 2)).astype(np.int8))
            tensors[path + "._weight_scale"] = np.ascontiguousarray(scales.T).astype(np.float16)
            tensors[path + "._weight_zero_point"] = rng.random((into // 64, out)).astype(np.float16)
            made["quantization_config"] = {"quant_method": "torchao"}
    return made, tensors


def gguf(kind):
    """A GGUF file, as bytes: linear layers of one kind of block, the rest float32."""
    shape, rng, tensors = dict(SHAPE, hidden=256, heads=4, kv=2), np.random.default_rng(3), {}
    for path, (out, into) in layouts.sizes(shape).items():
        tensors[gguf_made.gguf_name(path + ".weight", False)] = gguf_made.random_blocks(rng, kind, (out, into))
    for name, x in layouts.rest(shape).items():
        tensors[gguf_made.gguf_name(name, False)] = np.asarray(x, dtype=np.float32)
    layers = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blk."))
    return gguf_made.gguf({"general.architecture": "llama", "llama.embedding_length": 256, "llama.block_count": layers,
                           "llama.feed_forward_length": shape["ff"], "llama.attention.head_count": 4,
                           "llama.attention.head_count_kv": 2, "llama.attention.layer_norm_rms_epsilon": 1e-5}, tensors)


SOURCES = (
    ("AWQ, gemm", lambda: integers("awq", 4, 64)),
    ("AWQ, gemm, with a zero of 0", lambda: integers("awq", 4, 64, least=0)),
    ("AWQ, gemm, group_size 16", lambda: integers("awq", 4, 16)),
    ("GPTQ, 4 bits, symmetric", lambda: integers("gptq", 4, 64, symmetric=True)),
    ("GPTQ, 4 bits, asymmetric", lambda: integers("gptq", 4, 64)),
    ("GPTQ v2, 4 bits, with a zero of 0", lambda: integers("gptq_v2", 4, 64, least=0)),
    ("GPTQ, 4 bits, act-order", lambda: integers("gptq", 4, 64, order=True)),
    ("GPTQ, 4 bits, mixed group sizes", lambda: integers("gptq", 4, 64, other=32)),
    ("GPTQ, 2 bits, asymmetric", lambda: integers("gptq", 2, 64)),
    ("GPTQ, 3 bits, asymmetric", lambda: integers("gptq", 3, 64)),
    ("GPTQ, 8 bits, symmetric", lambda: integers("gptq", 8, 64, symmetric=True)),
    ("GPTQ, 8 bits, asymmetric", lambda: integers("gptq", 8, 64)),
    ("compressed-tensors, 4 bits, symmetric", lambda: integers("compressed-tensors", 4, 64, symmetric=True)),
    ("compressed-tensors, 4 bits, asymmetric", lambda: integers("compressed-tensors", 4, 64)),
    ("compressed-tensors, 5 or 6 bits, symmetric", lambda: integers("compressed-tensors", 6, 64, symmetric=True)),
    ("compressed-tensors, 7 bits, symmetric", lambda: integers("compressed-tensors", 7, 64, symmetric=True)),
    ("compressed-tensors, int-quantized, 8 bits", lambda: others("int8")),
    ("MLX affine, 4 bits, biases of whole zeros", lambda: integers("mlx", 4, 64)),
    ("MLX affine, 4 bits, any biases", lambda: integers("mlx", 4, 64, biases=True)),
    ("MLX mxfp4", lambda: others("mxfp4")),
    ("FP8 in blocks", lambda: others("fp8")),
    ("FP8 by row (fbgemm, torchao, quanto, ModelOpt)", lambda: by_tensors("fp8")),
    ("bitsandbytes nf4, fp4", lambda: by_tensors("nf4")),
    ("bitsandbytes int8", lambda: by_tensors("int8")),
    ("HQQ, 4 bits", lambda: by_tensors("hqq")),
    ("torchao int4", lambda: by_tensors("torchao")),
    ("ModelOpt W4A16_AWQ", lambda: by_tensors("modelopt")),
    ("compressed-tensors, 2:4 sparse", lambda: by_tensors("sparse")),
    ("GGUF Q4_0", lambda: gguf("Q4_0")),
    ("GGUF Q4_1", lambda: gguf("Q4_1")),
    ("GGUF Q5_0", lambda: gguf("Q5_0")),
    ("GGUF Q5_1", lambda: gguf("Q5_1")),
    ("GGUF Q8_0", lambda: gguf("Q8_0")),
    ("GGUF Q2_K", lambda: gguf("Q2_K")),
    ("GGUF Q3_K", lambda: gguf("Q3_K")),
    ("GGUF Q4_K", lambda: gguf("Q4_K")),
    ("GGUF Q5_K", lambda: gguf("Q5_K")),
    ("GGUF Q6_K", lambda: gguf("Q6_K")),
    ("GGUF MXFP4", lambda: gguf("MXFP4")),
    ("GGUF IQ1_S", lambda: gguf("IQ1_S")),
    ("GGUF IQ1_M", lambda: gguf("IQ1_M")),
    ("GGUF IQ2_XXS", lambda: gguf("IQ2_XXS")),
    ("GGUF IQ2_XS", lambda: gguf("IQ2_XS")),
    ("GGUF IQ2_S", lambda: gguf("IQ2_S")),
    ("GGUF IQ3_XXS", lambda: gguf("IQ3_XXS")),
    ("GGUF IQ3_S", lambda: gguf("IQ3_S")),
    ("GGUF IQ4_NL", lambda: gguf("IQ4_NL")),
    ("GGUF IQ4_XS", lambda: gguf("IQ4_XS")),
    ("GGUF TQ1_0", lambda: gguf("TQ1_0")),
    ("GGUF TQ2_0", lambda: gguf("TQ2_0")),
    ("GGUF Q1_0", lambda: gguf("Q1_0")),
    ("GGUF Q2_0", lambda: gguf("Q2_0")),
)


def convert(source, out, *flags):
    shutil.rmtree(out, True)
    return subprocess.run([tare, "convert", source, "-o", out, *flags], capture_output=True, text=True)


def weights(folder, scratch):
    done = convert(folder, scratch, "--to", "dense", "--dtype", "float32")
    if done.returncode:
        raise SystemExit("%s: %s" % (folder, done.stderr))
    return {name: np.frombuffer(raw, "<f4") for name, (dtype, _, raw) in layouts.read(scratch).items() if name.endswith("_proj.weight")}


def cell(source, exact, target, *flags):
    out = os.path.join(work, "out")
    done = convert(source, out, "--to", target, *flags)
    if done.returncode == 4:
        for pattern, word in REASONS:
            if re.search(pattern, done.stderr):
                return "refused: %s" % word
    if done.returncode:
        raise SystemExit("%s -> %s: %s; REASONS has no word for it" % (source, target, done.stderr))
    made = weights(out, os.path.join(work, "made"))
    if all(np.array_equal(exact[name], made[name]) for name in exact):
        floats = target == "mlx" and not any(name.endswith(".scales") for name in layouts.read(out))
        return "exact: float32" if floats else "exact"
    worst = max(float(np.abs(exact[name] - made[name]).max() / np.abs(exact[name]).max()) for name in exact)
    if target == "gguf":
        assert worst <= 2.0**-8, "%s -> gguf is off by %g of the largest weight" % (source, worst)
        return "rounded: offsets" if "offsets" in done.stderr else "rounded: bfloat16"
    packed = any(name.endswith(".biases") for name in layouts.read(out))
    assert worst <= 2.0**-9 if packed else worst <= 2.0**-8, "%s -> %s is off by %g of the largest weight" % (source, target, worst)
    return "rounded: bfloat16" if target == "mlx" and not packed else "rounded: biases" if packed else "rounded: zeros"


def table():
    lines = ["| from | " + " | ".join("`%s`" % t[1] for t in TARGETS) + " |", "|---" * (len(TARGETS) + 1) + "|"]
    for name, make in SOURCES:
        source = os.path.join(work, "in")
        shutil.rmtree(source, True)
        made = make()
        if isinstance(made, bytes):
            os.mkdir(source)
            with open(os.path.join(source, "model.gguf"), "wb") as f:
                f.write(made)
        else:
            layouts.write(source, *made)
        exact = weights(source, os.path.join(work, "exact"))
        lines.append("| %s | " % name + " | ".join(cell(source, exact, t[0], *t[2:]) for t in TARGETS) + " |")
    return "\n".join(lines) + "\n"


def main():
    with open(PATH, encoding="utf-8") as f:
        now = f.read()
    want = now.split(MARK)[0] + MARK + table()
    shutil.rmtree(work, True)
    if sys.argv[2:] == ["--check"]:
        if now != want:
            print("docs/formats.md is not up to date: run tools/formats_doc.py build/tare")
        return int(now != want)
    with open(PATH, "w", encoding="utf-8") as f:
        f.write(want)
    return 0


sys.exit(main())
