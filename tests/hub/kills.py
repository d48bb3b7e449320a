#!/usr/bin/env python3
"""kills.py TARE [N] [--seed S]: `tare pull` killed at N random moments (100), each time continued by the next one. After every kill: no content is
under a name that is not its hash, no link leads to what is not there, no ref is there before its files. In the end all is there, and little came
twice. Standard library only."""
import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from check_hub import Case, blobs_true, cached, settle, walk  # noqa: E402
import check_hub  # noqa: E402
from fakehub import Hub  # noqa: E402

FILES = {"config.json": {"text": '{"model_type": "llama"}'}, "tokenizer.json": {"text": "{}" + " " * 300000}, "model.safetensors": {"fill": 24_000_000, "seed": 3}}
LOST = 3 << 20  # bytes that a kill may lose: what eight streams had gathered, and what was on its way


def sound(c, rid):
    blobs_true(c, rid)
    root = c.folder(rid)
    for p in walk(root) if os.path.isdir(root) else []:
        full = os.path.join(root, p)
        assert not os.path.islink(full) or os.path.exists(full), f"{p} leads to what is not there"
        if p.startswith("refs/"):
            snapshot = f"{root}/snapshots/{open(full).read()}"
            assert {"config.json", "model.safetensors"} <= set(os.listdir(snapshot)), f"{p} is there before its files"


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("tare")
    ap.add_argument("n", nargs="?", type=int, default=100)
    ap.add_argument("--seed", type=int, default=1)
    check_hub.ARGS = args = ap.parse_args()
    args.tare, args.verbose, args.client = os.path.abspath(args.tare), False, None
    rng, base, kills, rounds = random.Random(args.seed), tempfile.mkdtemp(prefix="kills-"), 0, 0
    with Hub() as hub:
        while kills < args.n:
            c = Case(hub, f"{base}/{rounds}")
            hub.repo("t/kills", files=FILES)
            c.fault("t/kills", {"on": "cdn", "method": "GET", "rate": 3_000_000})
            mine = 0
            while True:
                p = c.start("pull", "t/kills")
                try:
                    p.wait(rng.uniform(0, 0.6) if kills < args.n else 60)
                except subprocess.TimeoutExpired:
                    check_hub.kill(p)
                    kills += 1
                    mine += 1
                r = c.end(p)
                sound(c, "t/kills")
                if r.rc == 0:
                    break
            cached(c, "t/kills")
            settle(c)
            got = check_hub.sent(c, host="cdn")
            assert got <= 24_000_000 + mine * LOST, f"{got} bytes were sent for a file of 24,000,000 and {mine} kills"
            c.close()
            shutil.rmtree(c.root)
            rounds += 1
    shutil.rmtree(base)
    print(f"kills: {kills} kills in {rounds} downloads, every content sound")


if __name__ == "__main__":
    main()
