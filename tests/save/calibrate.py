#!/usr/bin/env python3
"""calibrate.py TARE SHIM: tare quantize to awq, gptq, gptq_v2 and compressed-tensors, rounded and by a text, on models/fable as floats.

The result is sound, converts to mlx and runs; a text makes a held-out text likelier than rounding does, by both methods; a killed run
continues and ends with the files of an undisturbed one; the number of threads changes nothing; options that contradict one another are
refused, and so is what cannot be calibrated. SHIM is the library made of kill_at.c."""
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

tare, shim = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
text, held_out = (os.path.join(root, "tests/data/quantize", name) for name in ("calibrate.txt", "held_out.txt"))
work = tempfile.mkdtemp(prefix="tare-calibrate-")
wrong = []


def run(*words, **env):
    return subprocess.run([tare, *words], capture_output=True, text=True, check=False, env={**os.environ, **env})


def expect(what, condition, more=""):
    if not condition:
        wrong.append("%s %s" % (what, more))


def at(name):
    return os.path.join(work, name)


def files(path):
    return {name: open(os.path.join(path, name), "rb").read() for name in sorted(os.listdir(path))}


def header(path):
    with open(os.path.join(path, "model.safetensors"), "rb") as f:
        return json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))


def made(*words):
    """The folder that these words make, which the next call replaces."""
    out = at("made")
    shutil.rmtree(out, ignore_errors=True)
    done = run("quantize", at("floats"), "-o", out, *words)
    expect(words, done.returncode == 0, done.stderr)
    return out


def perplexity(path):
    done = run("perplexity", path, held_out, "--json")
    expect("perplexity", done.returncode == 0, done.stderr)
    return json.loads(done.stdout)["perplexity"]


def check_forms():
    """Each format, and what its config and tensors say."""
    for words, method, bits, parts in ((["--to", "awq", "--group", "64"], "awq", 4, ("qweight", "qzeros", "scales")),
                                       (["--to", "gptq", "--group", "32", "--bits", "8"], "gptq", 8, ("qweight", "qzeros", "scales", "g_idx")),
                                       (["--to", "gptq_v2", "--bits", "2", "--group", "64", "--scheme", "asymmetric"], "gptq", 2, ("g_idx",)),
                                       (["--to", "gptq", "--group", "64", "--scheme", "asymmetric"], "gptq", 4, ("g_idx",)),
                                       (["--to", "compressed-tensors", "--group", "-1"], "compressed-tensors", 4, ("weight_packed", "weight_scale", "weight_shape")),
                                       (["--to", "compressed-tensors", "--group", "64", "--scheme", "asymmetric"], "compressed-tensors", 4, ("weight_zero_point",))):
        out = made(*words)
        config, found = json.load(open(out + "/config.json", encoding="utf-8"))["quantization_config"], header(out)
        expect(words, config["quant_method"] == method and config.get("bits", 4) == bits, config)
        for part in parts:
            expect(words, "model.layers.0.mlp.down_proj." + part in found, part)
        expect("the embedding stays", found["model.embed_tokens.weight"]["dtype"] == "F16")
        for verb in ("check", "verify"):
            done = run(verb, out)
            expect((words, verb), done.returncode == 0, done.stderr + done.stdout)
        expect(words, perplexity(out) < (12 if bits > 2 else 40), perplexity(out))
        if bits in (2, 4, 8):
            mlx = at("mlx")
            done = run("convert", out, "-o", mlx, "--to", "mlx")
            expect((words, "to mlx"), done.returncode == 0, done.stderr)
            expect((words, "as mlx"), abs(perplexity(mlx) / perplexity(out) - 1) < 0.01)
            shutil.rmtree(mlx)
    config = json.load(open(made("--to", "gptq", "--group", "64", "--rule", "model.layers.*.mlp.down_proj=8:32", "--rule", "model.layers.0.**=float") +
                            "/config.json", encoding="utf-8"))["quantization_config"]
    expect("rules", any(v.get("bits") == 8 for v in config["dynamic"].values()) and any(k.startswith("-:") for k in config["dynamic"]), config)


def check_better():
    """Of 2 bits a text gains much; all orders of columns are better than rounding, and two orders are two results."""
    form = ["--to", "gptq_v2", "--bits", "2", "--group", "32", "--scheme", "asymmetric"]
    rounded, seen = perplexity(made(*form)), set()
    for more in (["--method", "awq"], [], ["--act-order", "none"], ["--act-order", "full"]):
        out = made(*form, "--calibrate", text, "--calibrate-length", "256", *more)
        found = perplexity(out)
        seen.add(found)
        expect(("better than rounding", more), found < 0.95 * rounded, (found, rounded))
        config = json.load(open(out + "/config.json", encoding="utf-8"))["quantization_config"]
        expect("desc_act", config["desc_act"] == (more == ["--act-order", "full"]), config)
        expect("sound", run("check", out).returncode == 0)
        record = json.load(open(out + "/tare.json", encoding="utf-8"))["target"]["quantized"]
        expect("tare.json", ("by AWQ" if "awq" in more else "by GPTQ") in record, record)
    expect("four results", len(seen) == 4, seen)


def check_killed(*words):
    with open(text, encoding="utf-8") as whole, open(at("short.txt"), "w", encoding="utf-8") as short:
        short.write(whole.read(1500))
    words = ["quantize", at("floats"), "--group", "64", "--calibrate", at("short.txt"), "--calibrate-length", "128", *words]
    out, count = at("killed"), at("count")
    run(*words, "-o", out, "--threads", "1", LD_PRELOAD=shim, TARE_KILL_COUNT=count, ASAN_OPTIONS="verify_asan_link_order=0")
    want, calls = files(out), int(open(count, encoding="utf-8").read())
    for k in range(3):
        shutil.rmtree(out)
        run(*words, "-o", out, "--threads", str(1 + 2 * (k % 2)), LD_PRELOAD=shim, TARE_KILL_COUNT=count, TARE_KILL_AT=str(2 + calls * k // 4),
            TARE_KILL_SIGNAL="9", ASAN_OPTIONS="verify_asan_link_order=0")
        expect("killed", not os.path.exists(out))
        done = run(*words, "-o", out, "--threads", "3")
        expect("gone on with", done.returncode == 0, done.stderr)
        expect(("the files of an undisturbed run", words, k), files(out) == want)
    shutil.rmtree(out)
    expect("nothing is left beside it", not [name for name in os.listdir(work) if name.startswith(".killed")], os.listdir(work))


def check_refusals():
    for code, words in ((2, ["--to", "awq", "--bits", "3"]), (2, ["--to", "awq", "--scheme", "symmetric"]), (4, ["--to", "gptq", "--group", "128"]),
                        (2, ["--to", "gptq", "--bits", "5"]), (2, ["--to", "gptq", "--method", "gptq"]), (2, ["--to", "mlx", "--calibrate", text]),
                        (2, ["--to", "gptq", "--act-order", "none"]), (2, ["--to", "awq", "--group", "64", "--calibrate", text, "--act-order", "none"]),
                        (2, ["--to", "compressed-tensors", "--group", "64", "--calibrate", text, "--act-order", "full"]), (2, ["--scheme", "symmetric"]),
                        (3, ["--to", "gptq", "--group", "64", "--calibrate", at("none")]), (2, ["--to", "gptq", "--mode", "mxfp4"])):
        done = run("quantize", at("floats"), "-o", at("no"), *words)
        expect(words, done.returncode == code and not os.path.exists(at("no")), (done.returncode, done.stderr))
    done = run("quantize", os.path.join(root, "models/fable"), "-o", at("no"), "--to", "gptq", "--group", "64", "--calibrate", text)
    expect("packed", done.returncode == 4 and "is packed already" in done.stderr, done.stderr)


def main():
    done = run("convert", os.path.join(root, "models/fable"), "-o", at("floats"), "--to", "dense")
    expect("floats", done.returncode == 0, done.stderr)
    check_refusals()
    check_forms()
    check_better()
    check_killed("--to", "gptq")
    check_killed("--to", "awq")
    shutil.rmtree(work)
    for line in wrong:
        print(line)
    return 1 if wrong else 0


sys.exit(main())
