#!/usr/bin/env python3
"""pull.py BUILD [--workers N] [--runs N] [--size MB]: how fast is tare pull, against hf download?

Both fetch the same repository, eight files of pseudo-random bytes, from the fake hub on the loopback (tests/hub/fakehub.py) into an empty cache in
memory, with as many workers. The hub is written in Python, so that its own speed bounds both. hf neither hashes what it fetches nor asks for ranges;
tare hashes everything. hf is $TARE_HF, else `hf` on the path; without it tare is timed alone and the exit status is 77.
Best of N; CPU time is user and system of the client's process. Exit status 1 when tare takes longer than hf, or more than half of its CPU time.
"""
import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests/hub"))
from fakehub import Hub  # noqa: E402


def run(command, cache, endpoint):
    """(seconds, CPU seconds) of a command that must succeed."""
    shutil.rmtree(cache, True)
    env = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and "proxy" not in k.lower()}
    env.update(HF_ENDPOINT=endpoint, HF_HOME=cache, HF_HUB_DISABLE_PROGRESS_BARS="1", HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_XET="1",
               HF_HUB_DISABLE_UPDATE_CHECK="1")
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit("%s: exit %d, %s" % (" ".join(command), done.returncode, done.stderr[-300:]))
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def best(command, cache, endpoint, runs):
    times = [run(command, cache, endpoint) for _ in range(runs)]
    return min(t[0] for t in times), min(t[1] for t in times)


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("build")
    ap.add_argument("--workers", type=int, default=8)
    ap.add_argument("--runs", type=int, default=3)
    ap.add_argument("--size", type=int, default=512, help="MB together")
    args = ap.parse_args()
    hf = os.environ.get("TARE_HF") or shutil.which("hf")
    work = tempfile.mkdtemp(prefix="tare-pull-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    files = {"model-%05d-of-00008.safetensors" % (k + 1): {"fill": args.size * 125000, "seed": k} for k in range(8)}
    files["config.json"] = {"text": "{}"}
    try:
        with Hub() as hub:
            hub.repo("bench/pull", files=files)
            tare = best([os.path.join(args.build, "tare"), "pull", "bench/pull", "--max-workers", str(args.workers)], work, hub.hub, args.runs)
            print("tare pull     %5.2f s  %5.2f CPU seconds  (%d MB, %d workers, hashed)" % (*tare, args.size, args.workers))
            if not hf:
                print("no hf: not compared")
                return 77
            peer = best([hf, "download", "bench/pull", "--max-workers", str(args.workers), "--quiet"], work, hub.hub, args.runs)
            print("hf download   %5.2f s  %5.2f CPU seconds  (not hashed)" % peer)
            print("tare takes %.2f of the time and %.2f of the CPU time" % (tare[0] / peer[0], tare[1] / peer[1]))
            return tare[0] > peer[0] or tare[1] > peer[1] / 2
    finally:
        shutil.rmtree(work, True)


if __name__ == "__main__":
    sys.exit(main())
