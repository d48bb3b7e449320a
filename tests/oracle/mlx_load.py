#!/usr/bin/env python3
"""mlx_load.py TARE FOLDER...: does the real mlx-lm load what tare converts, strictly, and is it the same model?

Each FOLDER holds checkpoints (golden/load, models/): every one is converted (--tie=config), loaded by mlx_lm.load_model with
strict=True, and every parameter compared, bit for bit, with what mlx-lm makes of the checkpoint itself, where mlx-lm can load that.
One forward pass must give numbers. Runs under a Python with mlx-lm; without one it says so and exits 77.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_lm.utils import load_model
except ImportError:
    found = next((p for p in (os.environ.get("TARE_ORACLE"), "/opt/oracle/v/bin/python")
                  if p and os.path.exists(p)), None)
    if found and not os.environ.get("TARE_ORACLE_TRIED"):
        os.environ["TARE_ORACLE_TRIED"] = "1"
        os.execv(found, [found] + sys.argv)
    print("no mlx-lm here: skipped")
    sys.exit(77)

# Computed values whose last bit is the maths library's own: muse_spark's sigmoids and roots, baichuan_m1's norms of the head's rows.
COMPUTED = {"_attn_alpha": 1e-6, "_attn_beta": 1e-6, "_ffn_alpha": 1e-6, "_ffn_beta": 1e-6}
NORMALIZED = {"baichuan_m1": {"lm_head.weight": 2.0**-10}}
# What mlx-lm 0.32.2 cannot load in any form: (model_type, packed or not)
FAULTS = {("afm7", True): "its FusedLinear.to_quantized takes no mode", ("olmo", True): "wants the package ai2-olmo",
          ("olmo", False): "wants the package ai2-olmo"}
tare, folders = sys.argv[1], sys.argv[2:]
work = Path(tempfile.mkdtemp(prefix="tare-oracle-"))


def checkpoints(folder):
    folder = Path(folder)
    if (folder / "config.json").exists():
        return [folder]
    return sorted(p for p in folder.iterdir() if (p / "config.json").exists())


def tensors(path):
    model, config = load_model(path, strict=True)
    return model, config, dict(tree_flatten(model.parameters()))


def wrong(path):
    """What is wrong with one checkpoint, "" when nothing is, None when tare does not convert it."""
    out, source = work / "out", work / "in"
    shutil.rmtree(out, True)
    shutil.rmtree(source, True)
    shutil.copytree(path, source, ignore=shutil.ignore_patterns("truth.safetensors", "logits*", "expected.json"))
    name_of, path = path.name, source
    done = subprocess.run([tare, "convert", str(path), "-o", str(out), "--tie=config"], capture_output=True, text=True)
    if done.returncode:
        return None
    model, config, ours = tensors(out)
    if "quantization" in config and config["quantization"] != config["quantization_config"]:
        return "quantization and quantization_config differ"
    try:
        theirs = tensors(path)[2]
    except Exception:  # mlx-lm cannot load the checkpoint itself: that ours loads is all there is to see
        theirs = ours
        alone.append(name_of)
    if set(ours) != set(theirs):
        return "other parameters: %s" % sorted(set(ours) ^ set(theirs))[:4]
    for name, value in theirs.items():
        near = [t for end, t in {**COMPUTED, **NORMALIZED.get(config["model_type"], {})}.items() if name.endswith(end)]
        if near and mx.allclose(value, ours[name], near[0], 1e-6):
            continue
        if value.dtype != ours[name].dtype or value.shape != ours[name].shape or not mx.array_equal(
                value.reshape(-1).view(mx.uint8), ours[name].reshape(-1).view(mx.uint8)):
            return name + " differs"
    model.set_dtype(mx.float32)  # mlx has no bfloat16 experts on a CPU
    try:
        logits = model(mx.array([[1, 2, 3, 4]]))
    except RuntimeError as e:  # some models have kernels for Metal only
        return "" if "Metal" in str(e) else str(e)
    return "" if not mx.isnan(logits).any() else "logits are not numbers"


def verdict(path):
    """wrong(path) and whether mlx-lm loads the checkpoint itself, found out in a process of its own: after some models mlx's heap is damaged."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            text = wrong(path)
        except (Exception, SystemExit) as e:
            text = "mlx-lm: %s" % str(e)[:300]
        os.write(writing, json.dumps([text, bool(alone)]).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return json.loads(said) if said else ["mlx ended without a verdict", False]


alone = []
itself, bad, seen, skipped = [], 0, 0, 0
try:
    for path in (p for folder in folders for p in checkpoints(folder)):
        with open(path / "config.json", encoding="utf-8") as f:
            config = json.load(f)
        fault = FAULTS.get((config["model_type"], "quantization_config" in config))
        if fault:
            print("%s: left out, mlx-lm %s" % (path.name, fault))
            continue
        text, only_ours = verdict(path)
        if text is None:
            skipped += 1
            continue
        if only_ours:
            itself.append(path.name)
        seen += 1
        bad += bool(text)
        if text:
            print("%s: %s" % (path.name, text))
finally:
    shutil.rmtree(work, True)
if itself:
    print("mlx-lm cannot load itself: " + " ".join(itself))
print("mlx-lm loads %d of %d (%d not converted)" % (seen - bad, seen, skipped))
sys.exit(0 if seen and not bad else 1)
