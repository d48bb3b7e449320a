#!/usr/bin/env python3
"""readers.py TARE CHECKPOINT..: what tare converts, loaded by the formats' own libraries (slow; CPU).

Each checkpoint goes to awq, gptq, gptq_v2 and compressed-tensors; where tare writes the format, GPTQModel (awq, gptq) or
transformers with compressed-tensors load the folder, and each quantized weight that they dequantize must equal that of
`convert --to dense` of the source, bit for bit in float32 (GPTQModel's AWQ multiplies in float16: rounded likewise).
Refusals are printed. Needs gptqmodel, compressed-tensors, transformers and torch: exit 77 without them.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
try:
    import numpy as np
    import torch
    from compressed_tensors.compressors import decompress_module
    from gptqmodel import BACKEND, GPTQModel
    from transformers import AutoModelForCausalLM, CompressedTensorsConfig
except ImportError as e:
    print("not run: %s" % e)
    sys.exit(77)

tare, checkpoints = os.path.abspath(sys.argv[1]), sys.argv[2:]
FLOAT = {"F32": "<f4", "F16": "<f2"}
HIDDEN = ("truth", "expected", "logits")  # of shared/: not of the checkpoint


def read(folder):
    """name -> float32 array of the floats of a folder."""
    found = {}
    for file in sorted(os.listdir(folder)):
        if not file.endswith(".safetensors"):
            continue
        raw = open(os.path.join(folder, file), "rb").read()
        n = int.from_bytes(raw[:8], "little")
        for name, e in json.loads(raw[8:8 + n]).items():
            if name != "__metadata__" and e["dtype"] in FLOAT:
                first, last = e["data_offsets"]
                found[name] = np.frombuffer(raw[8 + n + first:8 + n + last], FLOAT[e["dtype"]]).reshape(e["shape"]).astype("<f4")
    return found


def wide_scales(folder):
    """Are there scales in float32? GPTQModel holds them in 16 bits."""
    raw = open(os.path.join(folder, "model.safetensors"), "rb").read()
    header = json.loads(raw[8:8 + int.from_bytes(raw[:8], "little")])
    return any(n.endswith(".scales") and e["dtype"] == "F32" for n, e in header.items() if n != "__metadata__")


def convert(source, out, *flags):
    return subprocess.run([tare, "convert", source, "-o", out, *flags], capture_output=True, text=True)


def by_gptqmodel(folder):
    """path -> weight (out, in) in float32, and the dtype in which it was computed."""
    model = GPTQModel.load(folder, device="cpu", dtype=torch.float16, backend=BACKEND.TORCH if "awq" not in folder else BACKEND.AWQ_TORCH)
    weights = {}
    for path, module in model.model.named_modules():
        if hasattr(module, "dequantize_weight") and hasattr(module, "qweight"):
            weights[path] = module.dequantize_weight().T.float().numpy()
        elif hasattr(module, "qweight"):
            from gptqmodel.quantization.awq.utils.packing_utils import dequantize_gemm
            weights[path] = dequantize_gemm(module.qweight, module.qzeros, module.scales, module.bits, module.group_size).T.float().numpy()
    return weights


def by_transformers(folder):
    """Dequantized while loading; of several groups module by module, because transformers takes the first one for all. (Asymmetric
    files it loads in the first way only, its own producer's too.)"""
    if len(json.load(open(os.path.join(folder, "config.json")))["quantization_config"]["config_groups"]) == 1:
        model = AutoModelForCausalLM.from_pretrained(folder, quantization_config=CompressedTensorsConfig(run_compressed=False), dtype="auto")
        return {p: w.detach().float().numpy() for p, w in ((n[:-len(".weight")], w) for n, w in model.state_dict().items()
                                                           if n.endswith(".weight")) if p in packed_paths(folder)}
    model, weights = AutoModelForCausalLM.from_pretrained(folder, dtype="auto"), {}
    for path, module in model.named_modules():
        if getattr(module, "quantization_scheme", None) is not None:
            decompress_module(module)
            weights[path] = module.weight.detach().float().numpy()
    return weights


def packed_paths(folder):
    index = json.load(open(os.path.join(folder, "model.safetensors.index.json")))
    return {n.rpartition(".")[0] for n in index["weight_map"] if n.endswith((".qweight", ".weight_packed"))}


def wrong(got, want, out):
    """What is wrong with the weights of a reader, or None."""
    if set(got) != packed_paths(out):
        return "other modules: %s" % sorted(set(got) ^ packed_paths(out))[:4]
    for path, weight in got.items():
        exact = want[path + ".weight"]
        if weight.shape != exact.shape:
            return "%s is %s" % (path, weight.shape)
        if not any(np.array_equal(weight, exact.astype(t).astype("<f4")) for t in ("<f4", "<f2")) and \
                not np.array_equal(weight, torch.from_numpy(exact).bfloat16().float().numpy()):
            return "%s differs by up to %g" % (path, float(np.abs(weight - exact).max()))
    return None


work, failed, done = tempfile.mkdtemp(prefix="tare-readers-"), 0, 0
for source in checkpoints:
    name = os.path.basename(source.rstrip("/"))
    copy = os.path.join(work, "in")
    shutil.rmtree(copy, True)
    shutil.copytree(source, copy, ignore=lambda _, files: [f for f in files if f.startswith(HIDDEN)])
    dense = os.path.join(work, "dense")
    shutil.rmtree(dense, True)
    if convert(copy, dense, "--to", "dense", "--dtype", "float32").returncode:
        print("%s: not converted to dense" % name)
        failed += 1
        continue
    for to in ("awq", "gptq", "gptq_v2", "compressed-tensors"):
        out = os.path.join(work, to)
        shutil.rmtree(out, True)
        made = convert(copy, out, "--to", to)
        if made.returncode:
            print("%s -> %s: refused: %s" % (name, to, made.stderr.strip().splitlines()[-1][:160]))
            continue
        if to == "compressed-tensors" and "phi3" in name and name.startswith("gptq"):
            print("%s -> %s: not tried: GPTQModel split gate_up_proj, and transformers has the whole" % (name, to))
            continue
        if to != "compressed-tensors" and wide_scales(out):
            print("%s -> %s: not tried: scales in float32, which GPTQModel rounds to 16 bits" % (name, to))
            continue
        try:
            problem = wrong((by_transformers if to == "compressed-tensors" else by_gptqmodel)(out), read(dense), out)
        except Exception as e:  # whatever a library raises is its verdict
            problem = "%s: %s" % (type(e).__name__, str(e)[:300])
        failed, done = failed + bool(problem), done + 1
        print("%s -> %s: %s" % (name, to, problem or "equal"))
shutil.rmtree(work, True)
print("%d loaded, %d wrong" % (done, failed))
sys.exit(bool(failed) or not done)
