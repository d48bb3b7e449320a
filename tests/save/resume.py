#!/usr/bin/env python3
"""resume.py TARE SHIM FOLDER [SEED]: conversions that are killed, interrupted, or two at a time.

SHIM is the library made of kill_at.c, FOLDER holds checkpoints. Each is converted to several formats, killed at random calls that change a
file, by one thread and by four, and run again (and killed again) until it is through: the output must be what an undisturbed run gives.
SIGTERM and SIGINT end with 130 and leave what the next run continues from. Of two at once one wins and the other says so. tare.json has
the sha256 of every file.
"""
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile

tare, shim, folder = sys.argv[1:4]
seed = int(sys.argv[4]) if len(sys.argv) > 4 else random.randrange(1 << 30)
draw = random.Random(seed)
work = tempfile.mkdtemp(prefix="tare-resume-")
CASES = (("qwen3_moe", "mlx"), ("qwen3_moe", "dense"), ("llama_untied_2shards", "gptq_v2"), ("llama_untied_2shards", "compressed-tensors"),
         ("llama_untied_2shards", "gguf"))
TRIES = 20


def run(source, out, to, threads, at=None, number=None, *more):
    env = dict(os.environ, LD_PRELOAD=shim, ASAN_OPTIONS="verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", ""),
               TARE_KILL_COUNT=os.path.join(work, "count"))
    if at is not None:
        env.update(TARE_KILL_AT=str(at), TARE_KILL_SIGNAL=str(int(number)))
    return subprocess.run([tare, "convert", source, "-o", out, "--tie=config", "--to", to, "--threads", str(threads), *more], env=env,
                          capture_output=True, text=True)


def files(path):
    found = {}
    for name in sorted(os.listdir(path)):
        with open(os.path.join(path, name), "rb") as f:
            found[name] = f.read()
    return found


def check_record(found):
    record = json.loads(found["tare.json"])
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in found.items() if name not in ("README.md", "tare.json")}
    assert record["files"] == sums, "tare.json has other hashes than its files"
    if "model.safetensors.index.json" not in found:
        return
    names = {name for m in record["modules"].values() for name in m["target"]}
    assert names == set(json.loads(found["model.safetensors.index.json"])["weight_map"]), "tare.json has not all tensors"


def check_killed(source, to):
    out = os.path.join(work, "out")  # one name: the card has it in it
    done = run(source, out, to, 1)
    assert done.returncode == 0, done.stderr
    with open(os.path.join(work, "count")) as f:
        calls = int(f.read())
    want = files(out)
    check_record(want)
    for k in range(TRIES):
        shutil.rmtree(out)
        kills = 0
        threads = draw.choice((1, 4))
        while not os.path.exists(out):
            at, number = draw.randrange(calls), draw.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
            if kills == 3:
                at = None
            done = run(source, out, to, threads, at, number)
            kills += 1
            if os.path.exists(out):
                break
            assert done.returncode == (-9 if number == signal.SIGKILL else 130), "signal %d at call %s: exit %d, %s" % (
                number, at, done.returncode, done.stderr)
        got = files(out)
        assert got == want, "killed %d times, %d threads: other files: %s" % (
            kills, threads, [n for n in set(got) | set(want) if got.get(n) != want.get(n)])
        if os.path.exists(os.path.join(work, ".out.tare-partial")):  # killed when all was done; the next one tidies up
            assert run(source, out, to, 1).returncode == 4
        left = [name for name in os.listdir(work) if "partial" in name]
        assert not left, "%s was left" % left
    shutil.rmtree(out)


def check_two(source):
    """Ten at once: one wins, the others say why they do not."""
    out = os.path.join(work, "two")
    for _ in range(3):
        command = [tare, "convert", source, "-o", out, "--tie=config"]
        all_of_them = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) for _ in range(10)]
        ends = [(p.communicate()[1], p.returncode) for p in all_of_them]
        assert sum(code == 0 for _, code in ends) == 1, "winners: %s" % ends
        for text, code in ends:
            assert code == 0 or (code == 4 and ("another tare" in text or "exists already" in text)), (code, text)
        check_record(files(out))
        shutil.rmtree(out)
        assert not [name for name in os.listdir(work) if "partial" in name], "something was left"


bad = 0
try:
    for case, to in CASES:
        try:
            check_killed(os.path.join(folder, case), to)
        except AssertionError as e:
            bad += 1
            print("%s to %s, seed %d: %s" % (case, to, seed, e))
    check_two(os.path.join(folder, "qwen3_moe"))
finally:
    shutil.rmtree(work, True)
print("killed and gone on: %d of %d" % (len(CASES) - bad, len(CASES)))
sys.exit(1 if bad else 0)
