#!/usr/bin/env python3
"""stream.py TARE FOLDER BENCH [--kills N] [--only WORD] [--seed S]: `tare convert org/name`, which reads from the hub and writes the output in
one pass, held against fakehub.py: the same bytes as from the disk, nothing in the cache, a wrong byte withdraws all, a kill costs little, memory
does not grow. FOLDER holds checkpoints, BENCH is the folder of synthetic. Standard library only."""
import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import check_hub  # noqa: E402
from check_hub import Case, settle, sent, walk  # noqa: E402
from fakehub import Hub  # noqa: E402

parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
parser.add_argument("tare")
parser.add_argument("folder")
parser.add_argument("bench")
parser.add_argument("--kills", type=int, default=6)
parser.add_argument("--only", default="")
parser.add_argument("--seed", type=int, default=None)
check_hub.ARGS = args = parser.parse_args()
args.tare, args.verbose, args.client = os.path.abspath(args.tare), False, None
seed = random.randrange(1 << 30) if args.seed is None else args.seed
draw = random.Random(seed)
sys.path.insert(0, args.bench)
import synthetic  # noqa: E402
import synthetic.gguf  # noqa: E402

work = tempfile.mkdtemp(prefix="tare-stream-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
SMALL = dict(synthetic.LLAMA_7B, hidden_size=512, intermediate_size=1536, num_hidden_layers=24, num_attention_heads=8, num_key_value_heads=4, vocab_size=4000)
LOST = 32 << 20  # bytes that a kill may cost: blocks that were under way, and tiles that were not complete
AGAIN = 16 << 20  # bytes that lie elsewhere and are read before their turn, of a small model


def shards(folder, config, n):
    """As the Hugging Face writers do: n shards, in each I32 before F16, then by name; each tensor of other bytes."""
    os.makedirs(folder)
    rows, names, index = synthetic.tensors(config), [], {}
    for k in range(n):
        part = sorted(rows[len(rows) * k // n:len(rows) * (k + 1) // n], key=lambda row: (row[1] != "I32", row[0]))
        name = f"model-{k + 1:05}-of-{n:05}.safetensors"
        synthetic.write(folder, dict(config, quantization_config=synthetic.AWQ), part, name=name)
        with open(f"{folder}/{name}", "r+b") as f:
            start = 8 + int.from_bytes(f.read(8), "little")
            for tensor, dtype, shape in part:
                size = synthetic.count(shape) * synthetic.SIZE[dtype]
                if dtype == "I32":
                    f.seek(start)
                    f.write(random.Random(tensor).randbytes(size))
                start += size
                index[tensor] = name
    with open(f"{folder}/model.safetensors.index.json", "w") as f:
        json.dump({"metadata": {}, "weight_map": index}, f)


def files(path):
    if os.path.isfile(path):
        return {"": open(path, "rb").read()}
    return {name: open(os.path.join(path, name), "rb").read() for name in sorted(os.listdir(path))}


def weigh(folder):
    return sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder) if name.endswith((".safetensors", ".gguf")))


def nothing_left(c, out):
    left = [name for name in os.listdir(c.root + "/cwd/out") if name.startswith("." + out) or name == out]
    assert not left, f"left behind: {left}"


def cache_is_empty(c):
    if os.path.isdir(c.root + "/hf"):
        there = [p for p in walk(c.root + "/hf") if os.path.isfile(f"{c.root}/hf/{p}")]
        assert not there, f"in the cache: {there}"


def from_disk(folder, out, *options):
    path = f"{work}/disk/{out}"
    shutil.rmtree(f"{work}/disk", True)
    os.makedirs(f"{work}/disk")
    r = subprocess.run([args.tare, "convert", folder, "-o", path, *options], capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    return files(path)


def same(got, expected):
    assert sorted(got) == sorted(expected), f"{sorted(got)} and not {sorted(expected)}"
    for name in expected:
        assert got[name] == expected[name], f"{name} differs"


def model(name):
    """Folders of the same name as the repository, since both are in the model card."""
    path = f"{work}/{name}"
    if os.path.isdir(path):
        return path
    if name == "shards":
        shards(path, SMALL, 3)
    elif name == "blocks":
        os.makedirs(path)
        synthetic.gguf.write(f"{path}/blocks-Q4_0.gguf", SMALL, "Q4_0")
    elif name == "large":
        shards(path, dict(SMALL, hidden_size=2048, intermediate_size=5632, num_attention_heads=16, num_hidden_layers=16), 2)
    else:
        shutil.copytree(os.path.join(args.folder, name), path)
    return path


# ---- tests -------------------------------------------------------------------------------------------------------------------------------------

def equal_to_the_disk(hub):
    for name, variant, *options in (("shards", "", "--to", "mlx"), ("shards", "", "--to", "gguf"), ("shards", "", "--to", "gptq_v2", "--proof"),
                                    ("shards", "", "--no-sums"), ("llama_untied_2shards", "", "--to", "mlx"), ("qwen3_moe", "", "--to", "mlx"),
                                    ("gemma3_text_tied_redundant_head", "", "--to", "dense"), ("blocks", ":Q4_0", "--to", "mlx"),
                                    ("blocks", ":Q4_0", "--to", "gguf")):
        folder, c = model(name), Case(hub, f"{work}/case")
        hub.repo(f"t/{name}", dir=folder)
        source = f"{folder}/blocks-Q4_0.gguf" if variant else folder
        for threads in ("1", "4"):
            expected = from_disk(source, f"out{threads}", *options)
            c.hub.reset()
            r = c.tare("convert", f"t/{name}{variant}", "-o", f"out/out{threads}", "--threads", threads, *options)
            assert r.rc == 0, r
            same(files(f"{c.root}/cwd/out/out{threads}"), expected)
            cache_is_empty(c)
            settle(c)
            times = 2 if "--proof" in options else 1
            got, most = sent(c, host="cdn"), times * weigh(folder) + AGAIN
            assert got <= most, f"{name} {options}: {got} bytes were sent, of {weigh(folder)}"
        print(f"   {name}{variant} {' '.join(options)}: {got} bytes for {weigh(folder)}")
        c.close()
        shutil.rmtree(c.root)


def wrong_bytes_withdraw(hub):
    folder, c = model("shards"), Case(hub, f"{work}/case")
    hub.repo("t/shards", dir=folder)
    size = os.path.getsize(f"{folder}/model-00003-of-00003.safetensors")
    for name, at in (("model-00001", 3_000_000), ("model-00003", size - 1000), ("model-00002", 40_000)):
        c.fault("t/shards", {"on": "cdn", "method": "GET", "path": name, "corrupt": at})
        for options in ((), ("--proof", "--to", "awq")):
            r = c.tare("convert", "t/shards", "-o", "out/out", *options)
            assert r.rc == 4 and len(r.err.strip().split("\n")) == 1 and name in r.err, r
            nothing_left(c, "out")
            cache_is_empty(c)
    c.fault("t/shards")
    c.close()
    shutil.rmtree(c.root)


def killed_and_again(hub):
    folder, c = model("shards"), Case(hub, f"{work}/case")
    hub.repo("t/shards", dir=folder)
    expected, size = from_disk(folder, "out", "--to", "mlx"), weigh(folder)
    c.fault("t/shards", {"on": "cdn", "method": "GET", "rate": 1_000_000})
    start, kills = time.time(), 0
    c.hub.reset()
    while True:
        p = c.start("convert", "t/shards", "-o", "out/out", "--to", "mlx")
        try:
            p.wait(draw.uniform(0.5, 3) if kills < args.kills else 120)
        except subprocess.TimeoutExpired:
            check_hub.kill(p, draw.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGINT)))
            kills += 1
        r = c.end(p)
        if r.rc == 0:
            break
        assert kills <= args.kills and (r.rc < 0 or r.rc == 130), r
        assert not os.path.exists(c.root + "/cwd/out/out"), "the output is there before it is complete"
    same(files(c.root + "/cwd/out/out"), expected)
    cache_is_empty(c)
    settle(c)
    got = sent(c, host="cdn")
    print(f"   {kills} kills, {time.time() - start:.0f} s: {got} bytes were sent for {size}")
    assert kills == 0 or got <= size + AGAIN + kills * LOST, f"{got} bytes were sent for {size} and {kills} kills"
    c.close()
    shutil.rmtree(c.root)


def interrupted(c, after):
    """A conversion that is killed when that many bytes were sent."""
    p = c.start("convert", "t/shards", "-o", "out/out")
    until = time.time() + 60
    while time.time() < until and p.poll() is None and not (sent(c, host="cdn") >= after and os.path.exists(c.root + "/cwd/out/.out.tare-partial/journal")
                                                            and os.path.getsize(c.root + "/cwd/out/.out.tare-partial/journal") > 2000):
        time.sleep(0.02)
    assert p.poll() is None, "it was through before it could be killed"
    check_hub.kill(p)
    c.end(p)
    settle(c)


def only_what_is_missing(hub):
    folder, c = model("shards"), Case(hub, f"{work}/case")
    hub.repo("t/shards", dir=folder)
    c.fault("t/shards", {"on": "cdn", "method": "GET", "rate": 3_000_000})
    c.hub.reset()
    interrupted(c, weigh(folder) // 2)
    first = sum(1 for line in open(c.root + "/cwd/out/.out.tare-partial/journal") if line.startswith("job "))
    assert first, "no module was done"
    c.fault("t/shards")
    c.hub.reset()
    r = c.tare("convert", "t/shards", "-o", "out/out")
    assert r.rc == 0, r
    same(files(c.root + "/cwd/out/out"), from_disk(folder, "out"))
    settle(c)
    asked = [row for row in c.hub.log(host="cdn") if "model-00001" in json.dumps(row) and row["bytes"] > 1 << 20]
    got = sent(c, host="cdn")
    print(f"   after a kill at half of {weigh(folder)} bytes {got} were sent, {len(asked)} long ranges of the first shard")
    assert not asked, "the first shard, which was through, is read again"
    assert got < weigh(folder) * 3 // 4 + AGAIN
    c.close()
    shutil.rmtree(c.root)


def another_commit_begins_anew(hub):
    folder, c = model("shards"), Case(hub, f"{work}/case")
    hub.repo("t/shards", dir=folder)
    c.fault("t/shards", {"on": "cdn", "method": "GET", "rate": 3_000_000})
    c.hub.reset()
    interrupted(c, weigh(folder) // 2)
    other = f"{work}/other/shards"
    shutil.copytree(folder, other)
    with open(f"{other}/model-00001-of-00003.safetensors", "r+b") as f:
        f.seek(5_000_000)
        f.write(b"another revision")
    hub.repo("t/shards", dir=other)
    c.fault("t/shards")
    c.hub.reset()
    r = c.tare("convert", "t/shards", "-o", "out/out")
    assert r.rc == 0, r
    same(files(c.root + "/cwd/out/out"), from_disk(other, "out"))
    settle(c)
    assert sent(c, host="cdn") >= weigh(folder), "something of the old revision was believed"
    c.close()
    shutil.rmtree(c.root)
    shutil.rmtree(f"{work}/other")


def the_cache_is_used(hub):
    folder, c = model("llama_untied_2shards"), Case(hub, f"{work}/case")
    hub.repo("t/llama_untied_2shards", dir=folder)
    assert c.tare("convert", "t/llama_untied_2shards", "-o", "out/off", HF_HUB_OFFLINE="1").rc == 3
    assert c.tare("pull", "t/llama_untied_2shards").rc == 0
    c.hub.reset()
    r = c.tare("convert", "t/llama_untied_2shards", "-o", "out/out", HF_HUB_OFFLINE="1")
    assert r.rc == 0 and not c.hub.log(), r
    c.close()
    shutil.rmtree(c.root)


def memory_does_not_grow(hub):
    """Anonymous memory of a stream: at most that of the same model on the disk, and the window."""
    folder, c = model("large"), Case(hub, f"{work}/case")
    hub.repo("t/large", dir=folder)
    window = (192 << 20) >> 10

    def most_of(p):
        most = 0
        while p.poll() is None:
            try:
                most = max([most] + [int(x) for x in re.findall(r"RssAnon:\s+(\d+)", open(f"/proc/{p.pid}/status").read())])
            except OSError:
                pass
            time.sleep(0.005)
        return most
    disk = most_of(c.start("convert", folder, "-o", "out/disk", "--threads", "2"))
    c.hub.reset()
    p = c.start("convert", "t/large", "-o", "out/large", "--threads", "2")
    stream = most_of(p)
    assert c.end(p).rc == 0
    settle(c)
    got, size = sent(c, host="cdn"), weigh(folder)
    print(f"   {size >> 20} MiB of weights: {disk >> 10} MiB from the disk, {stream >> 10} MiB in a stream, which was sent {got} bytes for {size}")
    assert got < size + size // 16 + AGAIN // 4, "more than scales was read twice"
    assert stream <= disk + window
    cache_is_empty(c)
    c.close()
    shutil.rmtree(c.root)


TESTS = (equal_to_the_disk, wrong_bytes_withdraw, killed_and_again, only_what_is_missing, another_commit_begins_anew,
         the_cache_is_used, memory_does_not_grow)


def main():
    print(f"stream.py --seed {seed}")
    try:
        with Hub() as hub:
            for test in TESTS:
                if args.only in test.__name__:
                    test(hub)
                    print("ok", test.__name__)
    finally:
        shutil.rmtree(work, True)


if __name__ == "__main__":
    main()
