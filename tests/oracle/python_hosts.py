#!/usr/bin/env python3
"""python_hosts.py TARE mlx|torch|truth FOLDER... [--only NAME,..] [--every N]

Hold what the package libtare hands to Python's engines against what they have without it. A FOLDER is a checkpoint, or holds some;
golden/load, golden/gptq and producers are meant. Runs where libtare is installed (make test-hosts).

mlx    libtare.mlx.load(C) against `tare convert C` and the stock mlx_lm.load: the same config, the same parameters, dtypes and bits,
       the same logits, the same 16 greedy tokens; where there is a tokenizer, mlx_lm.generate's text. Then the same of the GGUF file
       that tare makes of C, whose tokenizer comes from its metadata and must give the ids of C's own.
torch  libtare.torch.load(C) in float32: the logits of the golden data (logits_torch.f32; truth.safetensors), within 1e-4 of their
       largest, or ten times the distance that the golden data tell between two engines. Then in bfloat16: every parameter is the
       float32 one, rounded.
truth  model.sources of each producer's checkpoint: sha256 of every module's float32 numbers as MANIFEST.json has it (-0 as 0); what
       codes() gives is the same within 1e-6.
What tare refuses, libtare must refuse, and is counted apart. Exit status 0: everything held, and something was checked.
"""
import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

import numpy as np

import libtare

OURS = ("expected.json", "truth.safetensors", "logits.f32", "logits_native.f32", "logits_torch.f32")
TEXT = "Once upon a time, there was 1 small dog."
# Golden logits that transformers 5.24 does not give on the numbers of the checkpoint, while tare and it agree to 1e-6.
GOLDEN = ("qwen3_untied_quantized_head",)
# tare runs it as mlx-lm does, which adds 1 to the norms in their stored 16 bits.
UNLIKE = ("qwen3_5_untied",)


class Refused(Exception):
    pass


def checkpoints(folders):
    for folder in map(Path, folders):
        yield from [folder] if (folder / "config.json").exists() else sorted(p for p in folder.iterdir() if (p / "config.json").exists())


def tare(*arguments):
    return subprocess.run([options.tare, *map(str, arguments)], capture_output=True, text=True)


# ---- mlx ----

def bits(x):
    import mlx.core as mx
    return np.array(x.reshape(-1).view(mx.uint8))


def greedy(model, prompt):
    import mlx.core as mx
    from mlx_lm.generate import generate_step
    return [int(token) for token, _ in generate_step(mx.array(prompt), model, max_tokens=16)]


def same_model(ours, theirs, prompt):
    import mlx.core as mx
    from mlx.utils import tree_flatten
    one, other = dict(tree_flatten(ours.parameters())), dict(tree_flatten(theirs.parameters()))
    assert one.keys() == other.keys(), "other parameters: %s" % sorted(set(one) ^ set(other))[:4]
    for name, value in other.items():
        assert (one[name].dtype, one[name].shape) == (value.dtype, value.shape), "%s: %s %s" % (name, one[name].dtype, value.dtype)
        assert np.array_equal(bits(one[name]), bits(value)), name + " differs"
    assert np.array_equal(bits(ours(mx.array([prompt]))), bits(theirs(mx.array([prompt])))), "the logits differ"
    assert greedy(ours, prompt) == greedy(theirs, prompt), "the tokens differ"


def against_convert(path, out, prompt):
    """One checkpoint or GGUF file; gives the tokenizer where there is one."""
    import mlx_lm
    from mlx_lm.utils import load_model
    import libtare.mlx
    try:
        dense = libtare.mlx.without_form(libtare.open(path))
    except libtare.Error as e:
        assert tare("convert", path, "-o", out, "--to", "mlx").returncode, "tare converts what libtare refuses: %s" % e
        raise Refused(str(e))
    done = tare("convert", path, "-o", out, "--to", "mlx", *(["--dequantize=" + ",".join(dense)] if dense else []))
    assert not done.returncode, done.stderr
    theirs, their_config = load_model(out)
    ours, config = libtare.mlx.load_model(path)
    assert config == their_config, "the config differs: %s" % {k for k in {**config, **their_config} if config.get(k) != their_config.get(k)}
    same_model(ours, theirs, prompt)
    if not (out / "tokenizer.json").exists():
        return None
    (ours, tokenizer), (theirs, their_tokenizer) = libtare.mlx.load(path), mlx_lm.load(str(out))
    assert tokenizer.encode(TEXT) == their_tokenizer.encode(TEXT), "the ids of a text differ"
    assert tokenizer.eos_token_ids == their_tokenizer.eos_token_ids, "the ids that end a text differ"
    texts = [mlx_lm.generate(model, words, TEXT, max_tokens=16) for model, words in ((ours, tokenizer), (theirs, their_tokenizer))]
    assert texts[0] == texts[1], "mlx_lm.generate: %r, %r" % tuple(texts)
    return tokenizer


def check_mlx(path, source, work):
    tokenizer = against_convert(path, work / "mlx", prompt_of(source)[0])
    count["mlx"] += 1
    done = tare("convert", path, "-o", work / "model.gguf", "--to", "gguf")
    if done.returncode:
        count["no GGUF form"] += 1
        return
    of_gguf = against_convert(work / "model.gguf", work / "mlx-of-gguf", prompt_of(source)[0])
    if tokenizer is not None and of_gguf is not None:
        assert of_gguf.encode(TEXT) == tokenizer.encode(TEXT), "GGUF: the ids of a text differ"
        count["tokenizers of GGUF"] += 1
    count["mlx of GGUF"] += 1


# ---- torch ----

def safetensors(path):
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:8 + size])
    return {name: np.frombuffer(raw[8 + size:][row["data_offsets"][0]:row["data_offsets"][1]], "<f4").reshape(row["shape"])
            for name, row in header.items() if name != "__metadata__" and row["dtype"] == "F32"}


def prompt_of(source):
    """(ids, logits or None, how far two engines are apart) of the golden data beside a checkpoint."""
    if (source / "expected.json").exists():
        expected = json.loads((source / "expected.json").read_text())
        apart = expected.get("torch", {}).get("max_abs_diff_rounded_bias", 0)
        logits = np.fromfile(source / "logits_torch.f32", "<f4") if (source / "logits_torch.f32").exists() else None
        return expected["prompt"], logits, apart
    manifest = source.parent / "MANIFEST.json"
    if manifest.exists():
        truth = source / "truth.safetensors"
        return json.loads(manifest.read_text())["input_ids"], safetensors(truth)["logits"] if truth.exists() else None, 0
    return [1, 2, 3, 5], None, 0


def check_torch(path, source, work):
    import torch
    import libtare.torch
    prompt, want, apart = prompt_of(source)
    if want is None:
        raise Refused("no golden logits")
    try:
        model = libtare.torch.load(path)
    except libtare.Error as e:
        raise Refused(str(e))
    with torch.no_grad():
        got = model(torch.tensor([prompt])).logits[0].float().numpy().ravel()
    far, room = float(np.abs(got - want.ravel()).max()), max(1e-4 * float(np.abs(want).max()), 10 * apart)
    own = libtare.open(path).session(exact=True).feed(prompt, all=True).ravel()
    assert np.abs(got - own).max() <= 1e-4 * np.abs(own).max() or source.name in UNLIKE, "tare's own logits are %g away" % np.abs(got - own).max()
    assert far <= room or source.name in GOLDEN, "logits are %g from the golden ones, %g is allowed" % (far, room)
    half = dict(libtare.torch.load(path, dtype=torch.bfloat16).named_parameters())
    for name, value in model.named_parameters():
        assert torch.equal(value.to(torch.bfloat16), half[name]), name + " is not the float32 one, rounded"
    count["torch"] += 1


# ---- truth ----

def check_numbers(model, truth):
    """A producer that does not compute to the last bit has its numbers beside it, of some modules."""
    for name, want in truth.items():
        if not name.startswith("logits"):
            got = model.sources[name].numpy()
            assert np.abs(got - want).max() <= 2.0**-20 * np.abs(want).max(), name + ": other numbers"
            count["modules"] += 1
    count["truth"] += 1


def check_truth(path, source, work):
    manifest = json.loads((source.parent / "MANIFEST.json").read_text())
    row = next(f for f in manifest["fixtures"] if f["name"] == source.name)
    if not row.get("weights_sha256") and not (source / "truth.safetensors").exists():
        raise Refused("no truth")
    try:
        model = libtare.open(path)
    except libtare.Error as e:
        raise Refused(str(e))
    if not row.get("weights_sha256"):
        return check_numbers(model, safetensors(source / "truth.safetensors"))
    for name, digest in row["weights_sha256"].items():
        values = model.sources[name[:-len(".weight")]].numpy()
        assert hashlib.sha256((values + np.float32(0)).tobytes()).hexdigest() == digest, name + ": another sha256"
        tensor = model.sources[name]
        if tensor.info.codes is not None:
            c = tensor.codes()
            code = c.codes if tensor.info.table is None else tensor.info.table[c.codes]
            again = c.scales[:, c.group_of_column] * code + c.offsets[:, c.group_of_column]
            assert np.abs(again - values).max() <= 1e-6, name + ": scale * code + offset is another weight"
        count["modules"] += 1
    count["truth"] += 1


parser = argparse.ArgumentParser()
parser.add_argument("tare")
parser.add_argument("what", choices=("mlx", "torch", "truth"))
parser.add_argument("folders", nargs="+")
parser.add_argument("--only", default="")
parser.add_argument("--every", type=int, default=1)
parser.add_argument("--trace", action="store_true", help="print where an error came from")
options = parser.parse_args()
count = dict.fromkeys(("mlx", "mlx of GGUF", "tokenizers of GGUF", "no GGUF form", "torch", "truth", "modules"), 0)
check = {"mlx": check_mlx, "torch": check_torch, "truth": check_truth}[options.what]
bad = refused = seen = 0
if options.what == "mlx":
    import mlx.core
    mlx.core.set_default_device(mlx.core.cpu)
for source in list(checkpoints(options.folders))[::options.every]:
    if options.only and source.name not in options.only.split(","):
        continue
    work = Path(tempfile.mkdtemp(prefix="tare-hosts-"))
    try:
        shutil.copytree(source, work / source.name, ignore=shutil.ignore_patterns(*OURS))
        seen += 1
        check(work / source.name, source, work)
    except Refused as e:
        refused += 1
        print("%s: not checked, %s" % (source.name, str(e)[:160]))
    except Exception as e:
        bad += 1
        print("%s: %s" % (source.name, str(e)[:400] or type(e).__name__))
        if options.trace:
            traceback.print_exc()
    finally:
        shutil.rmtree(work, True)
print("%s: %d of %d right, %d not checked (%s)" % (options.what, seen - bad - refused, seen, refused,
                                                   ", ".join("%s %d" % row for row in count.items() if row[1])))
sys.exit(0 if seen - bad - refused > 0 and not bad else 1)
