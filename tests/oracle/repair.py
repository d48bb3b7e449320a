#!/usr/bin/env python3
"""repair.py TARE SHARED [golden | producers]: repair over golden/load_errors, golden/gptq and the producers' checkpoints, as the project's shared data has them.

load_errors   each case is mended, needs nothing, or is refused, as OUTCOME has it; a mended one loads.
producers     as they are, there is nothing to do (but for AutoGPTQ's biases of zeros). Then each key of their settings is damaged, one
              at a time: repair either gives a checkpoint of the same float32 values as before, or it is refused and writes nothing.
              A checkpoint that loads and is another one is a failure; how many were mended is printed.
Without SHARED it exits 77.
"""
import copy
import glob
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile

MENDED = """bits_8 bits_missing gemma3_text_silent_redundant_head gpt2_silent_redundant_head group_size_wrong quant_config_absent
    quant_method_missing quant_method_unknown""".split()
NOTHING = """head_float_and_packed head_without_qweight mixed_scales_dtype no_packed_tensor stale_shard group_16 gptq_with_g_idx
    gptq_without_g_idx""".split()
# Nothing in the file tells: 8-bit zeros are known too badly (plan/gptq_zeros.c), and codes of 3 bits read in another order are codes too.
UNTOLD = {("gptq_8bit", "checkpoint_format=gptq_v2"), ("gptqp-b3-g32-qwen2", "checkpoint_format=gptq")}
tare, shared = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "/work/shared"
if not os.path.isdir(os.path.join(shared, "golden", "load_errors")):
    print("no shared data here: skipped")
    sys.exit(77)
work = tempfile.mkdtemp(prefix="tare-repair-")
bad = []


def run(*args):
    p = subprocess.run([tare, *args], capture_output=True, text=True, check=False)
    return p.returncode, p.stdout, p.stderr


def fresh(source):
    folder = os.path.join(work, "model")
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder)
    for name in os.listdir(source):
        path = os.path.join(source, name)
        if os.path.isfile(path) and not name.startswith("truth") and name != "expected.json":
            shutil.copyfile(path, os.path.join(folder, name))
    return folder


def values(folder):
    """What it is, in float32: a hash of the tensors that convert writes; None where it does not."""
    out = os.path.join(work, "dense")
    shutil.rmtree(out, ignore_errors=True)
    if run("convert", folder, "-o", out, "--to", "dense", "--dtype", "float32")[0]:
        return None
    h = hashlib.sha256()
    for name in sorted(glob.glob(os.path.join(out, "*.safetensors"))):
        with open(name, "rb") as f:
            h.update(f.read())
    return h.hexdigest()


def mend(folder):
    """(exit status, its values) of -o; the status is 0 where there is nothing to do."""
    target = os.path.join(work, "out")
    shutil.rmtree(target, ignore_errors=True)
    code, out, err = run("repair", folder, "-o", target)
    if os.path.exists(target) and code:
        bad.append("%s: refused, and written" % folder)
    return code, target if os.path.exists(target) else folder, out + err


def golden():
    for case in sorted(os.listdir(os.path.join(shared, "golden", "load_errors"))):
        folder = fresh(os.path.join(shared, "golden", "load_errors", case))
        status = run("repair", folder)[0]
        want = 1 if case in MENDED else 0 if case in NOTHING else 3 if case in ("config_missing", "missing_shard", "no_safetensors") else 4
        if status != want:
            bad.append("load_errors/%s: exit %d, want %d" % (case, status, want))
        if want == 1:
            code, target, said = mend(folder)
            if code or run("check", target)[0]:
                bad.append("load_errors/%s: mended, and not sound: %s" % (case, said))


def damages(config):
    """(name, config) with one key otherwise."""
    tops = [k for k in ("quantization", "quantization_config") if k in config]
    both = len(tops) == 2

    def with_keys(change):
        c = copy.deepcopy(config)
        for top in tops if both else tops[:1]:
            change(c[top])
        return c
    top = config[tops[0]]
    for key in sorted(top):
        if isinstance(top[key], (dict, list)) and key not in ("config_groups",):
            continue
        if key not in ("config_groups",):
            yield "no " + key, with_keys(lambda q, k=key: q.pop(k, None))
        for value in {"bits": (2, 3, 4, 5, 8), "group_size": (16, 32, 64, 128, -1), "sym": (True, False), "desc_act": (True, False),
                      "checkpoint_format": ("gptq", "gptq_v2"), "version": ("gemm", "gemv", "gemv_fast"), "zero_point": (True, False),
                      "quant_method": ("awq", "gptq", "hqq"), "mode": ("affine", "mxfp4", "nvfp4")}.get(key, ()):
            if value != top[key]:
                yield "%s=%s" % (key, value), with_keys(lambda q, k=key, v=value: q.__setitem__(k, v))
    for name, group in top.get("config_groups", {}).items():
        for key, options in (("num_bits", (3, 4, 8)), ("group_size", (32, 64, None)), ("symmetric", (True, False)), ("strategy", ("group", "channel"))):
            for value in options:
                if (group.get("weights") or {}).get(key, ...) not in (value, ...):
                    yield "%s.%s=%s" % (name, key, value), with_keys(lambda q, n=name, k=key, v=value: q["config_groups"][n]["weights"].__setitem__(k, v))
    c = copy.deepcopy(config)
    for t in tops:
        del c[t]
    yield "no " + " and ".join(tops), c


def producers():
    count = {"mended": 0, "the same": 0, "refused": 0}
    rows = sorted(glob.glob(os.path.join(shared, "producers", "*", ""))) + sorted(glob.glob(os.path.join(shared, "golden", "gptq", "*", "")))
    for source in rows:
        name = os.path.basename(source[:-1])
        folder = fresh(source)
        good = values(folder)
        status, _, said = mend(folder)
        if good is None:
            continue
        if status or ("nothing to do" not in said) != ("all zero, and the linear has no bias" in said):
            bad.append("%s: sound, and repair says %s" % (name, said))
        path = os.path.join(folder, "config.json")
        with open(path, encoding="utf-8") as f:
            config = json.load(f)
        for what, damaged in damages(config) if {"quantization", "quantization_config"} & set(config) else ():
            with open(path, "w", encoding="utf-8") as f:
                json.dump(damaged, f)
            loaded = values(folder)
            status, target, said = mend(folder)
            now = values(target) if not status else None
            if now == good:
                count["mended" if loaded != good else "the same"] += 1
            elif status or now is None:
                count["refused"] += 1
                print("%s, %s: refused: %s" % (name, what, said.strip().splitlines()[-1][:150]))
            elif loaded == now and (name, what) in UNTOLD:
                print("%s, %s: not told by the data" % (name, what))
            elif loaded == now:
                bad.append("%s, %s: loads with other values, and repair does not see it" % (name, what))
            else:
                bad.append("%s, %s: mended into another model: %s" % (name, what, said[:300]))
    print("producers, one key damaged: " + ", ".join("%s %d" % row for row in count.items()))


for part in sys.argv[3:] or ("golden", "producers"):
    {"golden": golden, "producers": producers}[part]()
shutil.rmtree(work)
for line in bad:
    print("BAD " + line)
sys.exit(1 if bad else 0)
