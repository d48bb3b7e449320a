#!/usr/bin/env python3
"""quantize.py TARE SHIM: tare quantize, on models/fable as floats.

What is packed is refused by name, options that contradict one another are refused, an output that exists stays as it is; each format is
read again by tare itself, with the bits, types and sizes that were asked for; a killed run continues, and ends with the files of an
undisturbed one; the number of threads changes nothing. SHIM is the library made of kill_at.c."""
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

tare, shim = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
work = tempfile.mkdtemp(prefix="tare-quantize-")
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


def refused(what, code, *words):
    done = run("quantize", *words, "-o", at("no"))
    expect(what, done.returncode == code and not os.path.exists(at("no")), (done.returncode, done.stderr))
    return done.stderr


def check_refusals(source):
    said = refused("packed", 4, os.path.join(root, "models/fable"))
    expect("the packed module's name", "is packed already" in said and "tare convert" in said, said)
    for words in (["--bits", "7"], ["--group", "48"], ["--mode", "mxfp4", "--bits", "8"], ["--recipe", "mixed_3_6", "--bits", "4"],
                  ["--type", "Q4_0"], ["--to", "gguf", "--bits", "4"], ["--to", "gguf", "--mode", "mxfp4"], ["--pure"]):
        refused(" ".join(words), 2, source, *words)


def check_mlx(source):
    for words, bits, scales in ((["--bits", "4", "--group", "32"], 4, None), (["--bits", "3", "--group", "32"], 3, None), (["--mode", "mxfp8"], 8, "U8")):
        out = at("mlx")
        done = run("quantize", source, "-o", out, *words)
        expect(words, done.returncode == 0, done.stderr)
        found, config = header(out), json.load(open(out + "/config.json", encoding="utf-8"))
        packed = [name[:-7] for name in found if name.endswith(".scales")]
        expect("modules", len(packed) > 3 and config["quantization"]["bits"] == bits, (packed, config.get("quantization")))
        for name in packed:
            columns = found[name + ".weight"]["shape"][-1] * 32 // bits
            expect(name, columns == found[name + ".scales"]["shape"][-1] * 32, found[name + ".weight"])
            expect(name, (name + ".biases" in found) == (scales is None) and found[name + ".scales"]["dtype"] == (scales or found[name + ".biases"]["dtype"]))
        record = json.load(open(out + "/tare.json", encoding="utf-8"))
        expect("tare.json", "group size" in record["target"]["quantized"] and record["back"]["one-way"] == len(packed), record["target"])
        for verb in ("check", "verify"):
            done = run(verb, out)
            expect(verb, done.returncode == 0, done.stderr + done.stdout)
        before = files(out)
        expect("an output that exists", run("quantize", source, "-o", out).returncode != 0 and files(out) == before)
        shutil.rmtree(out)


def check_gguf(source):
    for type_ in ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q6_K"):
        out = at("made.gguf")
        done = run("quantize", source, "-o", out, "--to", "gguf", "--type", type_)
        if type_ == "Q6_K" and done.returncode:
            expect("whole blocks", "whole blocks of 256" in done.stderr, done.stderr)
            continue
        expect(type_, done.returncode == 0, done.stderr)
        done = run("explain", out)
        expect(type_, done.returncode == 0 and type_.lower() in done.stdout.lower(), done.stderr + done.stdout)
        os.remove(out)


def check_killed(source):
    out, count = at("killed"), at("count")
    run("quantize", source, "-o", out, "--group", "32", "--threads", "1", LD_PRELOAD=shim, TARE_KILL_COUNT=count, ASAN_OPTIONS="verify_asan_link_order=0")
    want, calls = files(out), int(open(count, encoding="utf-8").read())
    for k in range(6):
        shutil.rmtree(out)
        run("quantize", source, "-o", out, "--group", "32", "--threads", str(1 + 3 * (k % 2)), LD_PRELOAD=shim, TARE_KILL_COUNT=count,
            TARE_KILL_AT=str(calls * (k + 1) // 8), TARE_KILL_SIGNAL="9", ASAN_OPTIONS="verify_asan_link_order=0")
        expect("killed", not os.path.exists(out))
        # Other bits are another output: what the killed run left is not taken for it.
        done = run("quantize", source, "-o", out, "--group", "32", *(["--bits", "8"] if k == 5 else []))
        expect("gone on with", done.returncode == 0, done.stderr)
        expect("the files of an undisturbed run", (files(out) == want) == (k != 5))


def main():
    source = at("floats")
    made = run("convert", os.path.join(root, "models/fable"), "-o", source, "--to", "dense")
    expect("floats", made.returncode == 0, made.stderr)
    check_refusals(source)
    check_mlx(source)
    check_gguf(source)
    check_killed(source)
    shutil.rmtree(work)
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
