#!/usr/bin/env python3
"""check_hub.py TARE [--client PYTHON] [--only REGEX] [--part K/N] [--quick] [--list] [--keep] [--verbose]: the verbs that speak with the
hub, held against fakehub.py, a hub of our own on the loopback.

With --client, an interpreter that has huggingface_hub, the tests that hold tare's cache against the real client run too.
--quick leaves out those that wait for seconds. One line a test: 'ok NAME', 'FAIL NAME: what was seen' or 'not run NAME: why';
last line 'hub: N of M'; exit 0 when all that ran passed. Standard library only.
"""
import argparse
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import models
from fakehub import Hub

RESEND_CUT = 1 << 20        # bytes that may be sent again after a cut connection, per cut (nothing in memory need be lost)
RESEND_KILL = 8 << 20       # after kill -9: what had not reached the file
TIME_7B = 1.0               # seconds for a header-only check of a 7B shape at 20 ms latency
CONNECTIONS = 16            # at once, at most
MEMORY = 400 << 20          # resident, at most, whatever a server sends
GIVE_UP = 60                # seconds after which a broken hub must have ended a command (timeouts are set to 3 s)
FIRST = 100001              # bytes that a header-only check may ask for at first, a file (the real client asks for as many)
OVERHEAD = 128 << 10        # and what it may read beyond config, index, headers and those
REFUSED, NOT_THERE, SPACE = (4,), (3,), (5,)

ARGS = None
TESTS = []                  # (name, function)
SLOW, CLIENT = set(), set()  # names: waits for seconds; needs the real client


class Skip(Exception):
    pass


def test(f):
    TESTS.append((f.__name__, f))
    return f


def slow(f):
    SLOW.add(f.__name__)
    return f


def client(f):
    CLIENT.add(f.__name__)
    return f


class Result:
    def __init__(self, rc, out, err, secs, rss):
        self.rc, self.out, self.err, self.secs, self.rss = rc, out, err, secs, rss

    @property
    def path(self):
        lines = self.out.rstrip("\n").split("\n")
        return lines[-1]

    def __str__(self):
        return f"exit {self.rc} in {self.secs:.1f} s, stdout ends {self.out[-160:]!r}, stderr ends {self.err[-240:]!r}"


class Case:
    """A sandbox of one test: its folders, its environment, and the hub."""

    def __init__(self, hub, root):
        self.hub, self.root = hub, root
        for d in ("cwd", "hf", "home", "tmp", "cwd/out"):
            os.makedirs(f"{root}/{d}")
        self.cache = root + "/hf/hub"
        self.procs, self.mounts, self.expect_in = [], [], []
        hub.faults("*")
        hub.reset()

    def env(self, **more):
        e = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING", "TRANSFORMERS", "XDG_")) and "proxy" not in k.lower()}
        e.update(HF_ENDPOINT=self.hub.hub, HF_HOME=self.root + "/hf", HOME=self.root + "/home", TMPDIR=self.root + "/tmp", NO_COLOR="1",
                 HF_HUB_DOWNLOAD_TIMEOUT="3", HF_HUB_ETAG_TIMEOUT="3", HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_PROGRESS_BARS="1",
                 HF_HUB_DISABLE_UPDATE_CHECK="1")
        for k, v in more.items():
            e.pop(k, None) if v is None else e.__setitem__(k, v)
        return e

    def start(self, *args, **env):
        p = subprocess.Popen([ARGS.tare, *args], cwd=self.root + "/cwd", env=self.env(**env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, start_new_session=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)))
        p.t0 = time.time()
        self.procs.append(p)
        return p

    def end(self, p, limit=GIVE_UP + 30):
        """Waits for it; a Result. Whatever happened: no signal, no token in what it says."""
        out, rss, stop = {}, [0], threading.Event()

        def watch():  # peak memory, of a child that forked nothing
            while not stop.wait(0.05):
                try:
                    text = open(f"/proc/{p.pid}/status").read()
                    rss[0] = max(rss[0], int(re.search(r"VmHWM:\s+(\d+)", text)[1]) << 10)
                except (OSError, TypeError):
                    pass
        t = threading.Thread(target=watch, daemon=True)
        t.start()
        try:
            so, se = p.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            so, se = p.communicate()
            raise AssertionError(f"no end after {limit} s; stderr ends {se[-200:]!r}")
        finally:
            stop.set()
        r = Result(p.returncode, so.decode(errors="replace"), se.decode(errors="replace"), time.time() - p.t0, rss[0])
        for secret in ("hf_alice", "hf_bob", "hf_wrongtoken"):
            assert secret not in r.out + r.err, f"it prints the token: {r}"
        assert r.rc >= 0 or p.killed_by_us if hasattr(p, "killed_by_us") else r.rc >= 0, f"it died of signal {-r.rc}: {r.err[-200:]!r}"
        return r

    def tare(self, *args, limit=GIVE_UP + 30, **env):
        r = self.end(self.start(*args, **env), limit)
        if ARGS.verbose:
            print("   $ tare", *args, "->", r)
        return r

    def py(self, code, limit=120, **env):
        """The real client: the value of an expression, or of `out` after some lines; {"exc": ..} when it raised."""
        lines = "out = " + code if "\n" not in code and not code.startswith("out") else code
        text = ("import json, os, huggingface_hub as h\nfrom huggingface_hub import *\ntry:\n" + "".join("    " + x + "\n" for x in lines.split("\n")) +
                "except Exception as e:\n    out = {'exc': type(e).__name__, 'msg': str(e)[:400]}\nprint('\\n@@' + json.dumps(out, default=str))\n")
        p = subprocess.run([ARGS.client, "-c", text], env=self.env(HF_HUB_DISABLE_XET="1", **env), capture_output=True, text=True, timeout=limit)
        assert "\n@@" in p.stdout, "the real client: " + p.stderr[-500:]
        return json.loads(p.stdout.rsplit("@@", 1)[1])

    def fault(self, rid, *faults):
        self.hub.faults(rid, *faults)

    def close(self):
        for p in self.procs:
            if p.poll() is None:
                try:
                    os.killpg(p.pid, signal.SIGKILL)
                except OSError:
                    pass
                p.wait()
        for m in reversed(self.mounts):
            subprocess.run(["umount", "-l", m], stderr=subprocess.DEVNULL)

    def mount(self, path, *options):
        os.makedirs(path, exist_ok=True)
        if subprocess.run(["mount", *options, path], stderr=subprocess.DEVNULL).returncode:
            raise Skip("no right to mount")
        self.mounts.append(path)

    def folder(self, rid):
        return f"{self.cache}/models--{rid.replace('/', '--')}"


# ---- what is asked again and again ----

def eq(a, b, what=""):
    assert a == b, f"{what + ': ' if what else ''}{a!r} is not {b!r}"


def exits(r, *codes):
    assert r.rc in codes, f"wanted exit {' or '.join(map(str, codes))}: {r}"


def ok(r):
    exits(r, 0)
    return r


def fails(r, codes, *words):
    """It failed as it should: the code, and stderr says something, with at least one of the words."""
    exits(r, *codes)
    assert r.err.strip(), "nothing on stderr"
    assert "Traceback" not in r.err and "AddressSanitizer" not in r.err, r.err[-300:]
    assert not words or any(w.lower() in r.err.lower() for w in words), f"stderr has none of {words}: {r.err[-300:]!r}"
    return r


def sha(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        for part in iter(lambda: f.read(1 << 20), b""):
            h.update(part)
    return h.hexdigest()


def git_sha(path):
    data = open(path, "rb").read()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def walk(root):
    """Every file and link below root (links are not followed), relative."""
    out = []
    for base, dirs, names in os.walk(root):
        for n in names + [d for d in dirs if os.path.islink(os.path.join(base, d))]:
            out.append(os.path.relpath(os.path.join(base, n), root))
    return sorted(out)


def partial(c, rid):
    """Files in blobs/ that are not under a final name (40 or 64 hex digits)."""
    d = c.folder(rid) + "/blobs"
    return [n for n in (os.listdir(d) if os.path.isdir(d) else []) if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", n)]


def blobs_true(c, rid):
    """Every blob under a final name has the content that its name says."""
    d = c.folder(rid) + "/blobs"
    for n in os.listdir(d) if os.path.isdir(d) else []:
        if re.fullmatch(r"[0-9a-f]{64}", n):
            assert sha(f"{d}/{n}") == n, f"blobs/{n[:12]}.. holds other content"
        elif re.fullmatch(r"[0-9a-f]{40}", n):
            assert git_sha(f"{d}/{n}") == n, f"blobs/{n[:12]}.. holds other content"


def cached(c, rid, rev="main", files=None, commit=0):
    """The cache holds this revision as the hub's own client would have written it; its snapshot's path."""
    about = next(x for x in c.hub.ctl("repos") if x["id"] == rid)
    root = c.folder(rid)
    hashes = [x["hash"] for x in about["commits"]]
    want = about["refs"].get(rev, rev if rev in hashes else None)
    snap = f"{root}/snapshots/{want}"
    assert os.path.isdir(snap), f"no snapshot {want}: {walk(root)[:8]}"
    if rev in about["refs"]:
        assert os.path.isfile(f"{root}/refs/{rev}"), f"no refs/{rev}"
        eq(open(f"{root}/refs/{rev}").read(), want, f"refs/{rev}")
    known = next(x for x in about["commits"] if x["hash"] == want)["files"]
    have = walk(snap)
    for p in files or []:
        assert p in have, f"{p} is not in the snapshot: {have}"
    for p in have:
        assert p in known, f"{p} is in the snapshot, but not in the repository"
        link = os.readlink(f"{snap}/{p}")
        assert not os.path.isabs(link), f"{p} is an absolute link"
        eq(os.path.normpath(os.path.join(os.path.dirname(f"{snap}/{p}"), link)), f"{root}/blobs/{known[p]['etag']}", p)
        size, real = known[p]["size"], os.path.realpath(f"{snap}/{p}")
        eq(os.path.getsize(real), size, p)
        assert sha(real) == known[p]["sha256"], f"{p}: wrong content"
    eq(partial(c, rid), [], "left in blobs/")
    return snap


def nothing_outside(c, *roots):
    """No file of the sandbox is outside of the cache folders of these repositories (and .locks, CACHEDIR.TAG)."""
    for p in walk(c.root):
        inside = p.startswith(tuple(f"hf/hub/models--{r.replace('/', '--')}/" for r in roots) + ("hf/hub/.locks/", "tmp/"))
        if not inside and p not in ("hf/hub/CACHEDIR.TAG",) and not p.startswith(tuple(c.expect_in) or ("\0",)):
            raise AssertionError(f"a file outside of the cache: {p!r}")
    for r in roots:
        for p in walk(c.folder(r)):
            assert re.match(r"refs/|snapshots/[0-9a-f]{40}/|blobs/[^/]+$|\.no_exist/|trees/", p), f"a file out of its place: {p!r}"


def client_agrees(c, rid, snap, rev=None, files=()):
    """The real client, offline, finds the same snapshot and files, and the scan of the cache has no complaint."""
    more = f', revision="{rev}"' if rev else ""
    out = c.py(f'i = scan_cache_dir()\nout = [snapshot_download("{rid}", local_files_only=True{more}), '
               f'[try_to_load_from_cache("{rid}", f{more}) for f in {list(files)!r}], [str(w) for w in i.warnings], [r.repo_id for r in i.repos]]', HF_HUB_OFFLINE="1")
    assert isinstance(out, list), f"the real client: {out}"
    eq(out[0], snap, "snapshot_download(local_files_only=True)")
    eq(out[1], [f"{snap}/{f}" for f in files], "try_to_load_from_cache")
    eq(out[2], [], "scan_cache_dir")
    assert rid in out[3]


def token_stayed(c):
    """Authorization and cookies were seen by the hub only."""
    for r in c.hub.log():
        assert r["host"] == "hub" or not r["auth"], f"Authorization sent to {r['host']}: {r['method']} {r['path']}"
        assert r["host"] == "hub" or not r["cookie"], f"a cookie sent to {r['host']}"


def sent(c, **want):
    return sum(r["bytes"] for r in c.hub.log(**want))


def settle(c):
    """Waits until no answer is being sent any more (a client that was killed), then the log is whole."""
    n = -1
    for _ in range(40):
        now = len(c.hub.log())
        if now == n:
            return
        n = now
        time.sleep(0.1)


def parallel(rows):
    """How many of these requests were under way at once."""
    marks = sorted([(r["t0"], 1) for r in rows] + [(r["t1"], -1) for r in rows])
    now = most = 0
    for _, d in marks:
        now += d
        most = max(most, now)
    return most


def subset(a, b, at=""):
    """Everything in a is in b (b may say more: a remote plan has its own keys)."""
    if isinstance(a, dict):
        assert isinstance(b, dict), f"{at}: {b!r:.60} is no object"
        for k, v in a.items():
            assert k in b, f"{at}.{k} is missing"
            subset(v, b[k], f"{at}.{k}")
    elif isinstance(a, list):
        assert isinstance(b, list) and len(a) == len(b), f"{at}: {len(b) if isinstance(b, list) else b!r} instead of {len(a)} rows"
        for i, (x, y) in enumerate(zip(a, b)):
            subset(x, y, f"{at}[{i}]")
    else:
        assert a == b, f"{at}: {b!r:.80} instead of {a!r:.80}"


def same_plan(c, rid, folder, verb="explain"):
    """The plan of a repository that is not in the cache is the plan of the folder, from headers."""
    there = c.tare(verb, rid, "--json")
    here = c.tare(verb, folder, "--json", "--no-data")
    eq(there.rc, here.rc, f"exit of {verb} (remote, local)")
    try:
        a, b = json.loads(here.out.replace(folder, rid)), json.loads(there.out)
    except ValueError:
        raise AssertionError(f"no JSON: {there}")
    subset(a, b, verb)
    return there


def headers_only(c, rid, extra=OVERHEAD):
    """What was read for it: no more than its small files and headers; and no weights came into the cache."""
    settle(c)
    about = next(x for x in c.hub.ctl("repos") if x["id"] == rid)
    files = next(x for x in about["commits"] if x["hash"] == about["refs"]["main"])["files"]
    small = sum(f["size"] for p, f in files.items() if p in ("config.json", "generation_config.json", "quantize_config.json", "model.safetensors.index.json"))
    got = sum(r["bytes"] for r in c.hub.log())
    cdn = [r for r in c.hub.log(host="cdn") if r["method"] == "GET"]
    weights = sum(f["size"] for f in files.values() if f["lfs"])
    n = sum(1 for f in files.values() if f["lfs"])
    header = getattr(c, "header_bytes", None) or min(weights, n * 131072)
    assert got <= small + header + n * FIRST + extra, f"{got} bytes were sent; config and index are {small}, the headers of {n} files {header}"
    assert all(r["range"] for r in cdn), "a request to the second host without a range"
    for p in walk(c.root):
        if p.startswith("hf/"):
            assert os.path.getsize(os.path.join(c.root, p)) < 1 << 20, f"{p} is in the cache after a header-only check"
            assert not p.endswith(".safetensors"), p
    return got


def until(what, seconds=20):
    t0 = time.time()
    while time.time() - t0 < seconds:
        if what():
            return True
        time.sleep(0.02)
    raise AssertionError("it did not come to that in %d s" % seconds)


def disk(root):
    return sum(os.lstat(os.path.join(root, p)).st_blocks * 512 for p in walk(root))


def kill(p, sig=signal.SIGKILL):
    p.killed_by_us = True
    os.killpg(p.pid, sig)


WEIGHTS = "model.safetensors"


def big_file(c, rid="t/large", size=48_000_000, seed=7, **spec):
    """A repository with one large file of no sense; pull does not look into it."""
    c.hub.repo(rid, files={"config.json": {"text": '{"model_type": "llama"}'}, WEIGHTS: {"fill": size, "seed": seed}}, **spec)
    return rid


# ---- pull ----

@test
def pull_one_file_model(c):
    c.hub.repo("t/fable", dir=models.FABLE)
    r = ok(c.tare("pull", "t/fable"))
    snap = cached(c, "t/fable", files=["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json"])
    eq(r.path, snap, "last line of stdout")
    nothing_outside(c, "t/fable")


@test
def pull_two_shards(c):
    c.hub.repo("t/two", **models.folder(models.LOAD + "llama_untied_2shards"))
    eq(ok(c.tare("pull", "t/two")).path, cached(c, "t/two", files=["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]))


@test
def pull_branch_and_tag(c):
    c.hub.repo("t/revs", commits=[{"dir": models.FABLE}, {"files": {"generation_config.json": {"text": '{"eos_token_id": 1}'}}}], refs={"main": 1, "v1.0": 0})
    ok(c.tare("pull", "t/revs@v1.0"))
    old = cached(c, "t/revs", "v1.0")
    ok(c.tare("pull", "t/revs"))
    new = cached(c, "t/revs", "main")
    assert old != new
    eq(len([x for x in c.hub.log(host="cdn", method="GET")]) <= 2 and sent(c, host="cdn") < 1.2 * os.path.getsize(models.FABLE + "/model.safetensors"), True,
       "the weights of the second revision, the same blob, are not downloaded again")


@test
def gguf_by_a_word_of_its_name(c):
    ok(c.tare("convert", models.FABLE, "-o", "out/g", "--to", "gguf"))
    gguf = {"file": c.root + "/cwd/out/g/model.gguf"}
    c.expect_in.append("cwd/out/")
    c.hub.repo("t/g", files={"README.md": {"text": "x"}, "fable-Q4_K_M.gguf": gguf, "Q8_0/fable-Q8_0.gguf": gguf, "mmproj-x.gguf": {"fill": 1000},
                             "parts/p-Q2_K-00001-of-00002.gguf": {"fill": 1000}, "parts/p-Q2_K-00002-of-00002.gguf": {"fill": 2000}})
    for verb in ("pull", "check"):
        fails(c.tare(verb, "t/g"), (2,), "Q8_0/fable-Q8_0.gguf")
        fails(c.tare(verb, "t/g:Q5_K"), (2,), "Q8_0/fable-Q8_0.gguf")
    exits(c.tare("check", "t/g:q8_0"), 0, 1)
    ok(c.tare("pull", "t/g:Q4_K_M"))
    eq(walk(cached(c, "t/g")), ["README.md", "fable-Q4_K_M.gguf"])
    ok(c.tare("run", "t/g:Q8_0", "Once", "--max-tokens", "2"))  # the cache has another one
    ok(c.tare("pull", "t/g:Q2_K"))
    eq(walk(cached(c, "t/g")), ["Q8_0/fable-Q8_0.gguf", "README.md", "fable-Q4_K_M.gguf", "parts/p-Q2_K-00001-of-00002.gguf", "parts/p-Q2_K-00002-of-00002.gguf"])
    c.hub.reset()
    exits(c.tare("check", "t/g:Q4_K_M"), 0, 1)
    eq(c.hub.log(), [], "requests for what is in the cache")
    nothing_outside(c, "t/g")


@test
def plain_http_gets_no_token(c):
    c.hub.repo("t/fable", dir=models.FABLE)
    ok(c.tare("pull", "t/fable", http_proxy=c.hub.hub, HF_ENDPOINT="http://hub.example", HF_TOKEN="hf_bob"))
    eq([r["path"] for r in c.hub.log() if r["auth"]], [], "Authorization over plain http")
    assert all(r["proxied"] for r in c.hub.log())


@test
def pull_paged_tree(c):
    files = {f"notes/n{i:03d}.md": {"text": "x"} for i in range(40)}
    c.hub.repo("t/pages", dir=models.FABLE, files=files, page_size=5)
    ok(c.tare("pull", "t/pages"))
    cached(c, "t/pages", files=["config.json", "model.safetensors", "tokenizer.json"])


@test
def pull_again_reads_nothing(c):
    c.hub.repo("t/again", dir=models.FABLE)
    a = ok(c.tare("pull", "t/again"))
    c.hub.reset()
    b = ok(c.tare("pull", "t/again"))
    eq(b.path, a.path)
    eq(sent(c, host="cdn"), 0, "bytes from the second host")
    assert not [r for r in c.hub.log(method="GET") if r["kind"] == "resolve"], "files were asked for again"


@test
def pull_moved_repository(c):
    c.hub.repo("t/new-name", dir=models.FABLE)
    c.hub.repo("t/old-name", dir=models.FABLE, moved_to="t/new-name")
    r = ok(c.tare("pull", "t/old-name"))
    assert sha(r.path + "/model.safetensors") == sha(models.FABLE + "/model.safetensors")


@test
def pull_with_xet_announced(c):
    c.hub.repo("t/xet", dir=models.FABLE, xet=True)
    ok(c.tare("pull", "t/xet"))
    cached(c, "t/xet", files=["model.safetensors"])


@test
@slow
def pull_signed_address_works_once(c):
    big_file(c, "t/signed", 24_000_000, sign_uses=2)
    c.fault("t/signed", {"on": "cdn", "method": "GET", "cut": 3000000, "times": 1})
    ok(c.tare("pull", "t/signed"))
    cached(c, "t/signed")


# ---- with the real client ----

@test
@client
def client_reads_our_cache(c):
    c.hub.repo("t/two", **models.folder(models.LOAD + "llama_untied_2shards"), files={"pytorch_model.bin": {"fill": 1000}})
    snap = ok(c.tare("pull", "t/two")).path
    client_agrees(c, "t/two", snap, files=["config.json", "model-00001-of-00002.safetensors", "model.safetensors.index.json"])


@test
@client
def client_goes_on_from_our_cache(c):
    c.hub.repo("t/fable", dir=models.FABLE)
    snap = ok(c.tare("pull", "t/fable")).path
    c.hub.reset()
    eq(c.py('snapshot_download("t/fable")'), snap)
    eq(sent(c, host="cdn"), 0, "bytes the real client downloaded again")


@test
@client
def we_read_the_clients_cache(c):
    c.hub.repo("t/fable", dir=models.FABLE)
    snap = c.py('snapshot_download("t/fable")')
    c.hub.reset()
    eq(ok(c.tare("pull", "t/fable", HF_HUB_OFFLINE="1")).path, snap)
    exits(c.tare("check", "t/fable", HF_HUB_OFFLINE="1"), 0, 1)
    ok(c.tare("explain", "t/fable", "--json", HF_HUB_OFFLINE="1"))
    eq(c.hub.log(), [], "requests when offline")


@test
@slow
def lock_of_another_is_waited_for(c):
    c.hub.repo("t/lock", dir=models.FABLE)
    etag = sha(models.FABLE + "/model.safetensors")
    d = f"{c.cache}/.locks/models--t--lock"
    os.makedirs(d)
    code = f"import fcntl, os, time\nf = os.open({d + '/' + etag + '.lock'!r}, os.O_RDWR | os.O_CREAT, 0o664)\nfcntl.flock(f, fcntl.LOCK_EX)\nprint('held', flush=True)\ntime.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        holder.stdout.readline()
        p = c.start("pull", "t/lock")
        time.sleep(2.5)
        assert p.poll() is None, "it did not wait for the lock (flock on .locks/models--ORG--NAME/ETAG.lock)"
        assert not os.path.exists(f"{c.folder('t/lock')}/blobs/{etag}"), "the blob was written while another held its lock"
    finally:
        holder.kill()
        holder.wait()
    ok(c.end(p))
    cached(c, "t/lock")


# ---- resume ----

@test
def cut_once_goes_on(c):
    big_file(c)
    c.fault("t/large", {"on": "cdn", "method": "GET", "cut": 2000000, "times": 1})
    ok(c.tare("pull", "t/large"))
    cached(c, "t/large")
    got = sent(c, host="cdn")
    assert got <= 48_000_000 + RESEND_CUT + 65536, f"{got} bytes were sent for a file of 48,000,000 after one cut"


@test
def killed_and_again(c):
    big_file(c)
    c.fault("t/large", {"on": "cdn", "method": "GET", "rate": 6_000_000})
    p = c.start("pull", "t/large")
    blobs = c.folder("t/large") + "/blobs"
    until(lambda: os.path.isdir(blobs) and disk(blobs) > 16_000_000)
    kill(p)
    c.end(p)
    settle(c)
    have = disk(blobs)
    assert not [b for b in os.listdir(blobs) if len(b) == 64], "a final name before it was complete"
    snap = [x for x in walk(c.folder("t/large")) if x.startswith("snapshots/") and x.endswith(WEIGHTS)]
    eq(snap, [], "a link to a file that is not complete")
    c.fault("t/large")
    c.hub.reset()
    ok(c.tare("pull", "t/large"))
    cached(c, "t/large")
    got = sent(c, host="cdn")
    assert got <= 48_000_000 - have + RESEND_KILL, f"{got} bytes were sent the second time; {have} of 48,000,000 were on disk"


@test
def poisoned_incomplete(c):
    c.hub.repo("t/fable", dir=models.FABLE)
    blobs = c.folder("t/fable") + "/blobs"
    os.makedirs(blobs)
    etag = sha(models.FABLE + "/model.safetensors")
    with open(f"{blobs}/{etag}.incomplete", "wb") as f:  # the name that older clients used
        f.write(os.urandom(1_000_000))
    r = c.tare("pull", "t/fable")
    blobs_true(c, "t/fable")
    if r.rc:
        fails(r, REFUSED + NOT_THERE)
        ok(c.tare("pull", "t/fable"))
    blobs_true(c, "t/fable")
    assert sha(c.tare("pull", "t/fable").path + "/model.safetensors") == etag


@test
def resume_answered_with_200(c):
    big_file(c, "t/large", 20_000_000)
    c.fault("t/large", {"on": "cdn", "method": "GET", "cut": 1500000, "times": 1}, {"on": "cdn", "ignore_range": True, "skip": 1, "times": 2})
    r = c.tare("pull", "t/large")
    blobs_true(c, "t/large")
    if r.rc:
        fails(r, REFUSED + NOT_THERE)
        c.fault("t/large")
        ok(c.tare("pull", "t/large"))
    cached(c, "t/large")


@test
@slow
def another_version_after_the_cut(c):
    c.hub.repo("t/change", commits=[{"files": {"config.json": {"text": "{}"}, WEIGHTS: {"fill": 20_000_000, "seed": 1}}}, {"files": {WEIGHTS: {"fill": 20_000_000, "seed": 2}}}], refs={"main": 0})
    c.fault("t/change", {"on": "cdn", "method": "GET", "rate": 4_000_000})
    p = c.start("pull", "t/change")
    blobs = c.folder("t/change") + "/blobs"
    until(lambda: os.path.isdir(blobs) and disk(blobs) > 5_000_000)
    kill(p)
    c.end(p)
    c.hub.repo("t/change", commits=[{"files": {"config.json": {"text": "{}"}, WEIGHTS: {"fill": 20_000_000, "seed": 1}}}, {"files": {WEIGHTS: {"fill": 20_000_000, "seed": 2}}}], refs={"main": 1})
    r = ok(c.tare("pull", "t/change"))
    about = next(x for x in c.hub.ctl("repos") if x["id"] == "t/change")
    eq(sha(r.path + "/" + WEIGHTS), about["commits"][1]["files"][WEIGHTS]["sha256"])
    blobs_true(c, "t/change")


# ---- wrong content ----

@test
def wrong_byte_is_refused(c):
    c.hub.repo("t/bad", dir=models.FABLE)
    c.fault("t/bad", {"on": "cdn", "method": "GET", "corrupt": 1234567})
    fails(c.tare("pull", "t/bad"), REFUSED + NOT_THERE, "sha256", "hash", "checksum", "mismatch", "differs", "content")
    assert not os.path.exists(f"{c.folder('t/bad')}/blobs/{sha(models.FABLE + '/model.safetensors')}"), "it is under its final name"
    assert not [x for x in walk(c.folder("t/bad")) if x.startswith("snapshots/") and x.endswith(WEIGHTS)], "a link in the snapshot"
    blobs_true(c, "t/bad")
    c.fault("t/bad")
    ok(c.tare("pull", "t/bad"))
    cached(c, "t/bad")


@test
def short_body_is_refused(c):
    c.hub.repo("t/short", dir=models.FABLE)
    c.fault("t/short", {"on": "cdn", "method": "GET", "end": 500000})
    fails(c.tare("pull", "t/short"), REFUSED + NOT_THERE)
    blobs_true(c, "t/short")


@test
def gzipped_weights(c):
    c.hub.repo("t/gz", dir=models.FABLE)
    c.fault("t/gz", {"on": "cdn", "method": "GET", "gzip": True})
    r = c.tare("pull", "t/gz")
    exits(r, 0, 3, 4)
    blobs_true(c, "t/gz")
    cached(c, "t/gz") if not r.rc else None


@test
def endless_body(c):
    c.hub.repo("t/endless", dir=models.FABLE)
    c.fault("t/endless", {"on": "cdn", "method": "GET", "endless": True, "rate": 40_000_000})
    r = fails(c.tare("pull", "t/endless"), REFUSED + NOT_THERE)
    settle(c)
    assert r.rss < MEMORY, f"{r.rss >> 20} MiB resident"
    assert disk(c.root) < 40_000_000, f"{disk(c.root)} bytes on disk"
    blobs_true(c, "t/endless")


@test
def length_that_lies(c):
    c.hub.repo("t/lie", dir=models.FABLE)
    c.fault("t/lie", {"on": "cdn", "method": "GET", "content_length": 5_000_000_000})
    r = c.tare("pull", "t/lie")
    exits(r, 0, 3, 4)
    blobs_true(c, "t/lie")
    big = [p for p in walk(c.root) if os.lstat(os.path.join(c.root, p)).st_size > 100_000_000]
    eq(big, [], "files of the promised size")
    assert r.rss < MEMORY


# ---- errors ----

@test
def no_such_repository(c):
    fails(c.tare("pull", "t/nothing-here"), NOT_THERE, "t/nothing-here")
    fails(c.tare("check", "t/nothing-here"), NOT_THERE, "t/nothing-here")
    fails(c.tare("pull", "t/nothing-here", HF_TOKEN="hf_alice"), NOT_THERE, "t/nothing-here")
    eq([p for p in walk(c.root) if "models--" in p], [], "files of a repository that is not there")


@test
def gated_without_a_token(c):
    c.hub.repo("t/gated", dir=models.FABLE, gated="manual", granted=["alice"])
    for verb in ("pull", "check"):
        fails(c.tare(verb, "t/gated"), NOT_THERE, "gated", "HF_TOKEN", "token", "restricted")
    ok(c.tare("pull", "t/gated", HF_TOKEN="hf_alice"))
    token_stayed(c)


@test
def private_with_a_token(c):
    c.hub.repo("t/private", dir=models.FABLE, private=True, granted=["alice"])
    fails(c.tare("pull", "t/private"), NOT_THERE)
    snap = ok(c.tare("pull", "t/private", HF_TOKEN="hf_alice")).path
    eq(snap, cached(c, "t/private"))
    token_stayed(c)


@test
def a_token_that_is_wrong(c):
    c.hub.repo("t/fable", dir=models.FABLE)
    fails(c.tare("pull", "t/fable", HF_TOKEN="hf_wrongtoken"), NOT_THERE, "token", "credential", "HF_TOKEN")


@test
@slow
def rate_limit_for_ever(c):
    c.hub.repo("t/limit", dir=models.FABLE)
    c.fault("t/limit", {"on": "any", "status": 429, "headers": {"Retry-After": "1"}})
    r = fails(c.tare("pull", "t/limit"), NOT_THERE, "429", "rate", "too many", "limit")
    assert r.secs < GIVE_UP, f"{r.secs:.0f} s"
    n = len(c.hub.log())
    assert n <= 20, f"{n} requests at a hub that says 429"


@test
@slow
def server_error_twice(c):
    c.hub.repo("t/err", dir=models.FABLE)
    c.fault("t/err", {"on": "tree", "status": 502, "times": 1}, {"on": "info", "status": 500, "times": 1}, {"on": "cdn", "status": 503, "times": 2})
    ok(c.tare("pull", "t/err"))
    cached(c, "t/err")


@test
def offline_and_not_cached(c):
    c.hub.repo("t/fable", dir=models.FABLE)
    for value in ("1", "on", "TRUE", "Yes"):
        fails(c.tare("pull", "t/fable", HF_HUB_OFFLINE=value), NOT_THERE, "offline")
    fails(c.tare("check", "t/fable", HF_HUB_OFFLINE="1"), NOT_THERE)
    eq(c.hub.log(), [], "requests when offline")
    ok(c.tare("pull", "t/fable", HF_HUB_OFFLINE="0"))


@test
@slow
def nobody_listens(c):
    r = fails(c.tare("pull", "t/fable", HF_ENDPOINT="http://127.0.0.1:9"), NOT_THERE, "connect", "reach", "network", "refused")
    assert r.secs < GIVE_UP


@test
@slow
def nobody_listens_and_it_is_cached(c):
    c.hub.repo("t/fable", dir=models.FABLE)
    a = ok(c.tare("pull", "t/fable"))
    b = ok(c.tare("pull", "t/fable", HF_ENDPOINT="http://127.0.0.1:9"))
    eq(b.path, a.path)
    assert "cannot be reached" in b.err, b


@test
@slow
def a_hub_that_says_nothing(c):
    c.hub.repo("t/hang", dir=models.FABLE)
    c.fault("t/hang", {"on": "any", "hang": 100})
    r = fails(c.tare("pull", "t/hang", HF_HUB_ETAG_TIMEOUT="2", HF_HUB_DOWNLOAD_TIMEOUT="2"), NOT_THERE, "time", "answer", "reach")
    assert r.secs < GIVE_UP, f"{r.secs:.0f} s"


@test
def not_a_hub(c):
    c.hub.repo("t/portal", dir=models.FABLE)
    c.fault("t/portal", {"on": "api", "text": "<html><body>Please log in to the WiFi</body></html>", "headers": {"Content-Type": "text/html"}})
    fails(c.tare("pull", "t/portal"), REFUSED + NOT_THERE)
    fails(c.tare("check", "t/portal"), REFUSED + NOT_THERE)


# ---- the token, redirects ----

@test
def token_goes_to_the_hub_only(c):
    c.hub.repo("t/fable", dir=models.FABLE)
    ok(c.tare("pull", "t/fable", HF_TOKEN="hf_bob"))
    rows = c.hub.log()
    assert any(r["auth"] for r in rows if r["host"] == "hub"), "the token was not used"
    assert [r for r in rows if r["host"] == "cdn"]
    token_stayed(c)
    assert all(r["auth_value"] == "Bearer hf_bob" for r in rows if r["auth"])


@test
def second_host_sends_elsewhere(c):
    c.hub.repo("t/else", dir=models.FABLE)
    c.fault("t/else", {"on": "cdn", "redirect": "{other}/latest/meta-data"})
    fails(c.tare("pull", "t/else", HF_TOKEN="hf_bob"), REFUSED + NOT_THERE)
    token_stayed(c)
    blobs_true(c, "t/else")


@test
def redirect_to_a_file(c):
    c.hub.repo("t/file", dir=models.FABLE)
    c.fault("t/file", {"on": "resolve", "redirect": "file:///etc/passwd"})
    fails(c.tare("pull", "t/file"), REFUSED + NOT_THERE)
    fails(c.tare("check", "t/file"), REFUSED + NOT_THERE)
    c.hub.repo("t/true", dir=models.FABLE)  # a file of the right content: to follow is wrong all the same
    c.fault("t/true", {"on": "resolve", "path": r"^config\.json$", "redirect": "file://" + models.FABLE + "/config.json"}, {"on": "resolve", "path": r"model\.safe", "redirect": "file://" + models.FABLE + "/model.safetensors"})
    fails(c.tare("pull", "t/true"), REFUSED + NOT_THERE)
    fails(c.tare("check", "t/true"), REFUSED + NOT_THERE)
    text = open("/etc/passwd", "rb").read()
    for p in walk(c.root):
        f = os.path.join(c.root, p)
        assert os.path.islink(f) or open(f, "rb").read(200) != text[:200], f"/etc/passwd was read into {p}"


@test
def certificates_and_no_way_down(c):
    """https with a certificate of nobody's; with SSL_CERT_FILE; and a redirect from there to http."""
    import http.server
    import ssl
    if not shutil.which("openssl"):
        raise Skip("no openssl to make a certificate")
    key, cert, seen = c.root + "/tmp/k.pem", c.root + "/tmp/c.pem", []
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost"], check=True, stderr=subprocess.DEVNULL)

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.headers.get("authorization"))
            self.send_response(302 if "down" in self.path else 404)
            self.send_header("Location", c.hub.hub + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    env = {"HF_ENDPOINT": "https://localhost:%d" % server.server_address[1], "HF_TOKEN": "hf_bob"}
    c.hub.repo("t/down", dir=models.FABLE)
    fails(c.tare("pull", "t/down", **env), REFUSED, "SSL_CERT_FILE")
    eq(seen, [], "requests over a connection that is not trusted")
    fails(c.tare("pull", "t/else", **env, SSL_CERT_FILE=cert), NOT_THERE, "t/else")
    fails(c.tare("pull", "t/down", **env, SSL_CERT_FILE=cert), REFUSED, "https to http")
    eq(seen, ["Bearer hf_bob"] * 2)
    eq(c.hub.log(), [], "requests below https")
    server.shutdown()


# ---- on a terminal ----

@test
def bar_on_a_terminal(c):
    import pty
    big_file(c, "t/large", 12_000_000)
    c.fault("t/large", {"on": "cdn", "method": "GET", "rate": 3_000_000})
    for off in ("0", "1"):
        ours, theirs = pty.openpty()
        p = subprocess.Popen([ARGS.tare, "pull", "t/large"], env=c.env(HF_HUB_DISABLE_PROGRESS_BARS=off), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs)
        out = p.communicate(timeout=GIVE_UP)[0].decode()
        os.close(theirs)
        text = b""
        try:
            while part := os.read(ours, 65536):
                text += part
        except OSError:
            pass
        os.close(ours)
        eq(out, c.folder("t/large") + "/snapshots/" + os.listdir(c.folder("t/large") + "/snapshots")[0] + "\n")
        eq(bool(re.search(rb"download \[[#.]+\] +\d+% [\d.]+ .?B of 12.0 MB, [\d.]+ .?B/s, \d+ s left", text)), off == "0", text[-200:])
        shutil.rmtree(c.folder("t/large"))


# ---- two at once, many connections ----

@test
def two_pulls_at_once(c):
    big_file(c, "t/large", 24_000_000)
    c.fault("t/large", {"on": "cdn", "method": "GET", "rate": 8_000_000})
    p, q = c.start("pull", "t/large"), c.start("pull", "t/large")
    a, b = ok(c.end(p)), ok(c.end(q))
    eq(a.path, b.path)
    eq(cached(c, "t/large"), a.path)
    got = sent(c, host="cdn")
    assert got <= 24_000_000 * 1.2 + RESEND_CUT, f"{got} bytes were sent to the two for one file of 24,000,000: the second did not wait"


@test
def parallel_ranges(c):
    big_file(c)
    c.fault("t/large", {"on": "cdn", "method": "GET", "rate": 6_000_000})
    r = ok(c.tare("pull", "t/large"))
    cached(c, "t/large")
    n = parallel(c.hub.log())
    assert n <= CONNECTIONS, f"{n} requests at once"
    assert r.secs < 5.5, f"{r.secs:.1f} s for 48 MB at 6 MB/s a connection: one connection takes 8"


# ---- which files ----

JUNK = {"pytorch_model.bin": {"fill": 300000}, "model.pt": {"fill": 1000}, "original/consolidated.00.pth": {"fill": 300000}, "weights.pkl": {"fill": 1000},
        "onnx/model.onnx": {"fill": 200000}, "flax_model.msgpack": {"fill": 100000}, "tf_model.h5": {"fill": 100000}, ".gitattributes": {"text": "*.bin filter=lfs\n"}}


@test
def only_what_a_model_needs(c):
    c.hub.repo("t/junk", dir=models.FABLE, files=dict(JUNK, **{"chat_template.jinja": {"text": "{{ messages }}"}, "special_tokens_map.json": {"text": "{}"}}))
    ok(c.tare("pull", "t/junk"))
    cached(c, "t/junk", files=["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json"])
    asked = {r["file"] for r in c.hub.log() if r.get("file")}
    bad = [f for f in asked if f in JUNK]
    eq(bad, [], "asked for")


@test
def only_pickle_is_refused(c):
    c.hub.repo("t/pickle", files={"config.json": {"text": "{}"}, "pytorch_model.bin": {"fill": 300000}, "tokenizer.json": {"text": "{}"}})
    for verb in ("pull", "check"):
        fails(c.tare(verb, "t/pickle"), REFUSED + NOT_THERE, "safetensors", "pickle", ".bin")
    assert "pytorch_model.bin" not in {r["file"] for r in c.hub.log()}, "the pickle file was asked for"


# ---- disk ----

@test
def cache_is_full(c):
    c.mount(c.cache, "-t", "tmpfs", "-o", "size=8m", "tmpfs")
    big_file(c, "t/large", 24_000_000)
    fails(c.tare("pull", "t/large"), SPACE, "space")
    blobs_true(c, "t/large")
    assert not [x for x in walk(c.cache) if x.endswith(WEIGHTS)], "a link to what is not there"


@test
def cache_is_read_only(c):
    c.hub.repo("t/fable", dir=models.FABLE)
    os.makedirs(c.cache)
    c.mount(c.cache, "--bind", c.cache)
    if subprocess.run(["mount", "-o", "remount,bind,ro", c.cache]).returncode:
        raise Skip("no right to mount")
    fails(c.tare("pull", "t/fable"), (3, 4, 5), "read-only", "write", "permission", "cannot")


# ---- malicious answers ----

@test
def names_that_leave_the_folder(c):
    for i, name in enumerate(("../escape.json", "../../refs.json", "../../../../../../../../../../tmp/tare-hub-escape.json", "/tmp/tare-hub-escape.json", "sub/../../../escape.safetensors", "..")):
        rid = f"t/evil{i}"
        c.hub.repo(rid, dir=models.FABLE, files={name: {"text": "{}"}})
        r = c.tare("pull", rid)
        exits(r, 0, 3, 4)
        fails(r, REFUSED + NOT_THERE) if r.rc else cached(c, rid, files=["model.safetensors"])
        exits(c.tare("check", rid), 0, 1, 3, 4)
    nothing_outside(c, *[f"t/evil{i}" for i in range(6)])
    assert not os.path.exists("/tmp/tare-hub-escape.json")


@test
def etag_that_leaves_the_folder(c):
    for i, f in enumerate((WEIGHTS, "config.json")):
        rid = f"t/etag{i}"
        c.hub.repo(rid, dir=models.FABLE)
        c.fault(rid, {"on": "resolve", "path": f.replace(".", r"\."), "headers": {"X-Linked-ETag": '"../../../escaped"', "ETag": '"../../../escaped"'}})
        exits(c.tare("pull", rid), 0, 3, 4)
        blobs_true(c, rid)
        assert not [p for p in walk(c.root) if "escaped" in p], [p for p in walk(c.root) if "escaped" in p]
    nothing_outside(c, "t/etag0", "t/etag1")


@test
def revision_that_leaves_the_folder(c):
    c.hub.repo("t/fable", dir=models.FABLE)
    for rev in ("../../../escaped", "refs/../../../x", "/etc/passwd", "..", "a\nb"):
        exits(c.tare("pull", "t/fable@" + rev), 2, 3, 4)
    for name in ("../t/fable", "t/../fable", "t/..", "t//fable", ".t/fable"):
        exits(c.tare("pull", name), 2, 3, 4)
    nothing_outside(c)


# ---- check and explain, not in the cache ----

@test
def explain_remote_fable(c):
    c.hub.repo("t/fable", dir=models.FABLE)
    same_plan(c, "t/fable", models.FABLE)
    headers_only(c, "t/fable")
    nothing_outside(c, "t/fable")


@test
def explain_remote_two_shards(c):
    folder = models.LOAD + "llama_untied_2shards"
    c.hub.repo("t/two", **models.folder(folder))
    same_plan(c, "t/two", folder)
    headers_only(c, "t/two")


@test
def check_remote_others(c):
    for name in ("gemma3_text_tied_redundant_head", "qwen3_moe"):
        folder = c.root + "/tmp/" + name
        shutil.copytree(models.LOAD + name, folder, ignore=shutil.ignore_patterns(*models.NOT_OF_A_REPO))
        c.hub.repo("t/" + name, dir=folder)
        same_plan(c, "t/" + name, folder, "check")


@test
def check_remote_7b(c):
    c.hub.repo("t/big7b", **models.big_repo())
    c.header_bytes = sum(len(h) for h, _ in models.awq_7b()[1].values())
    c.fault("t/big7b", {"on": "any", "latency": 0.02})
    r = c.tare("check", "t/big7b")
    exits(r, 0, 1)
    got = headers_only(c, "t/big7b")
    print(f"   note: 7B, 2 shards, 20 ms latency: {r.secs:.2f} s, {got} bytes, {len(c.hub.log())} requests, {parallel(c.hub.log())} at once")
    assert r.secs < TIME_7B, f"{r.secs:.2f} s for a header-only check at 20 ms latency ({len(c.hub.log())} requests)"
    assert re.search(r"\d[\d.,]* ?(k|K|M|G)?i?B", r.out), f"no size in what it says: {r.out[-200:]!r}"


@test
def check_cached_model_asks_nothing(c):
    c.hub.repo("t/fable", dir=models.FABLE)
    ok(c.tare("pull", "t/fable"))
    c.hub.reset()
    exits(c.tare("check", "t/fable"), 0, 1)
    eq(sent(c, host="cdn"), 0, "bytes of weights for a model that is in the cache")


@test
def diff_of_headers(c):
    c.hub.repo("t/big7b", **models.big_repo())
    c.hub.repo("t/big7b-g64", **models.big_repo(group=64))
    c.header_bytes = 1 << 20
    r = c.tare("diff", "t/big7b", "t/big7b-g64", "--headers", "--json")
    exits(r, 1)
    d = json.loads(r.out)
    eq((d["equal"], d["differ"]), (67, 224))
    assert all(p["how"] == "another format" and "4/128" in p["a"] and "4/64" in p["b"] for p in d["parameters"]), d["parameters"][:2]
    exits(c.tare("diff", "t/big7b", "t/big7b", "--headers"), 0)
    assert sent(c) < 4 << 20, sent(c)
    eq([p for p in walk(c.root) if p.endswith(".safetensors")], [], "weights in the cache")


@test
def says_what_it_costs(c):
    c.hub.repo("t/big7b", **models.big_repo())
    r = c.tare("check", "t/big7b", "--json")
    exits(r, 0, 1)
    hub = json.loads(r.out)["hub"]
    files = c.hub.ctl("repos")
    files = next(x for x in files if x["id"] == "t/big7b")["commits"][0]["files"]
    eq((hub["files"], hub["bytes"]), (len(files), sum(f["size"] for f in files.values())))
    assert 0 < hub["bytes_read"] < 1 << 20 and "weights" in hub["memory"] and "convert" in hub["verbs"], hub
    assert "a download is" in c.tare("check", "t/big7b").out


@test
def header_that_lies(c):
    import base64
    import struct
    for i, (length, size) in enumerate(((1 << 40, 5 << 30), (1 << 63, 1000), (200_000_000, 5 << 30), (1000, 500))):
        rid = f"t/head{i}"
        c.hub.repo(rid, files={"config.json": {"file": models.FABLE + "/config.json"}, WEIGHTS: {"header_b64": base64.b64encode(struct.pack("<Q", length) + b'{"a":').decode(), "size": size}})
        r = fails(c.tare("check", rid), REFUSED + NOT_THERE)
        assert r.rss < MEMORY, f"{r.rss >> 20} MiB"
    assert sent(c) < 4 << 20, f"{sent(c)} bytes were sent"


# ---- convert, run ----

@test
def convert_remote(c):
    c.hub.repo("t/fable", dir=models.FABLE)
    ok(c.tare("convert", models.FABLE, "-o", "out/here"))
    ok(c.tare("convert", "t/fable", "-o", "out/there"))
    out = c.root + "/cwd/out/"
    for n in ("model.safetensors", "config.json", "tokenizer.json"):
        eq(sha(out + "there/" + n), sha(out + "here/" + n), n)
    size = os.path.getsize(models.FABLE + "/model.safetensors")
    assert sent(c, host="cdn") <= 1.2 * size + (1 << 20), f"{sent(c, host='cdn')} bytes for a file of {size}: one pass"


@test
def convert_remote_of_wrong_content(c):
    c.hub.repo("t/bad", dir=models.FABLE)
    c.fault("t/bad", {"on": "cdn", "method": "GET", "corrupt": 2000000})
    fails(c.tare("convert", "t/bad", "-o", "out/bad"), REFUSED + NOT_THERE)
    assert not os.path.exists(c.root + "/cwd/out/bad/config.json"), "a folder that looks complete"
    assert not os.path.exists(c.root + "/cwd/out/bad/model.safetensors"), "weights whose hash is wrong"


@test
def run_remote(c):
    c.hub.repo("t/fable", dir=models.FABLE)
    args = ["Once upon a time", "--temp", "0", "--max-tokens", "12"]
    here, there = ok(c.tare("run", models.FABLE, *args)), ok(c.tare("run", "t/fable", *args))
    eq(there.out, here.out)


# ---- ls, rm, environment ----

@test
def ls_lists(c):
    ok(c.tare("ls"))
    c.hub.repo("t/fable", dir=models.FABLE)
    c.hub.repo("u/two", **models.folder(models.LOAD + "llama_untied_2shards"))
    ok(c.tare("pull", "t/fable"))
    ok(c.tare("pull", "u/two"))
    c.hub.reset()
    r = ok(c.tare("ls"))
    assert "t/fable" in r.out and "u/two" in r.out, r
    eq(c.hub.log(), [], "requests of ls")


@test
def search_finds(c):
    c.hub.repo("t/search-small", files={"config.json": {"text": "{}"}}, tags=["gguf", "4-bit", "x"], downloads=5)
    c.hub.repo("t/search-large", dir=models.FABLE, gated="auto", downloads=90)
    c.hub.repo("t/search-hidden", dir=models.FABLE, private=True)
    rows = json.loads(ok(c.tare("search", "t/search", "--json")).out)
    eq([(r["model"], r["formats"], r["downloads"], r["gated"]) for r in rows],
       [("t/search-large", "safetensors", 90, True), ("t/search-small", "gguf, 4-bit", 5, False)])
    eq(rows[1]["bytes"], 2)
    assert "t/search-small" in ok(c.tare("search", "search", "small")).out
    fails(c.tare("search", "search", HF_HUB_OFFLINE="1"), NOT_THERE, "offline")


@test
def rm_removes_one(c):
    c.hub.repo("t/fable", dir=models.FABLE)
    c.hub.repo("t/fable-2", dir=models.FABLE)
    ok(c.tare("pull", "t/fable"))
    ok(c.tare("pull", "t/fable-2"))
    r = c.tare("rm", "t/fable")
    assert os.path.exists(c.folder("t/fable") + "/refs/main") and r.rc != 0, "rm without --yes and without a terminal removed it"
    ok(c.tare("rm", "t/fable", "--yes"))
    assert not os.path.exists(c.folder("t/fable")), walk(c.folder("t/fable"))
    cached(c, "t/fable-2")
    assert "t/fable-2" in ok(c.tare("ls")).out


@test
def rm_of_one_revision(c):
    c.hub.repo("t/revs", commits=[{"dir": models.FABLE}, {"files": {"generation_config.json": {"text": '{"eos_token_id": 1}'}}}], refs={"main": 1, "v1.0": 0})
    ok(c.tare("pull", "t/revs@v1.0"))
    ok(c.tare("pull", "t/revs"))
    rows = json.loads(ok(c.tare("ls", "--json")).out)
    eq(sorted((r["model"], r["revisions"], r["state"], r["bits"]) for r in rows), [("t/revs", "main", "sound", 4), ("t/revs", "v1.0", "sound", 4)])
    ok(c.tare("rm", "t/revs@v1.0", "--yes"))
    cached(c, "t/revs", files=["model.safetensors"])
    eq(len(os.listdir(c.folder("t/revs") + "/snapshots")), 1)
    eq(os.listdir(c.folder("t/revs") + "/refs"), ["main"])
    fails(c.tare("rm", "t/revs@v1.0", "--yes"), NOT_THERE)


@test
def rm_leaves_what_is_elsewhere(c):
    c.hub.repo("t/fable", dir=models.FABLE)
    ok(c.tare("pull", "t/fable"))
    c.expect_in.append("home/")
    os.makedirs(c.root + "/home/store")
    with open(c.root + "/home/store/precious", "w") as f:
        f.write("mine")
    os.symlink(c.root + "/home/store/precious", c.folder("t/fable") + "/blobs/" + "a" * 64)
    os.symlink(c.root + "/home/store", c.folder("t/fable") + "/snapshots/" + "b" * 40)
    ok(c.tare("rm", "t/fable", "--yes"))
    eq(os.listdir(c.root + "/home/store"), ["precious"], "the folder a link pointed to")


@test
def environment_of_the_cache(c):
    c.hub.repo("t/fable", dir=models.FABLE)
    c.expect_in += ["other/", "home/"]
    r = ok(c.tare("pull", "t/fable", HF_HUB_CACHE=c.root + "/other"))
    assert r.path.startswith(c.root + "/other/models--t--fable/snapshots/"), r.path
    nothing_outside(c)
    r = ok(c.tare("pull", "t/fable", HF_HOME=None))
    assert r.path.startswith(c.root + "/home/.cache/huggingface/hub/models--t--fable/"), r.path


@test
def token_from_a_file(c):
    c.hub.repo("t/private", dir=models.FABLE, private=True, granted=["alice"])
    c.expect_in += ["hf/token", "hf/mine"]
    with open(c.root + "/hf/token", "w") as f:
        f.write("hf_alice\n")
    ok(c.tare("check", "t/private"))
    os.rename(c.root + "/hf/token", c.root + "/hf/mine")
    fails(c.tare("pull", "t/private"), NOT_THERE)
    ok(c.tare("pull", "t/private", HF_TOKEN_PATH=c.root + "/hf/mine"))
    token_stayed(c)


@test
def proxy_is_left_alone_for_loopback(c):
    c.hub.repo("t/fable", dir=models.FABLE)
    ok(c.tare("pull", "t/fable", http_proxy="http://127.0.0.1:9", no_proxy="127.0.0.1,localhost", NO_PROXY="127.0.0.1,localhost"))


def choose():
    part, parts = (int(x) for x in ARGS.part.split("/"))
    some = [t for t in TESTS if (not ARGS.only or re.search(ARGS.only, t[0])) and not (ARGS.quick and t[0] in SLOW)]
    return [t for i, t in enumerate(some) if i % parts == part % parts]


def one(hub, name, f, base):
    """'ok', 'FAIL' or 'not run', and its line."""
    c = Case(hub, f"{base}/{name}")
    try:
        if name in CLIENT and not ARGS.client:
            raise Skip("it needs --client, an interpreter with huggingface_hub")
        f(c)
        return "ok", f"ok {name}"
    except Skip as e:
        return "not run", f"not run {name}: {e}"
    except Exception as e:
        if ARGS.verbose:
            traceback.print_exc()
        return "FAIL", f"FAIL {name}: " + ("" if isinstance(e, AssertionError) else type(e).__name__ + ": ") + " ".join(str(e).split())[:600]
    finally:
        c.close()


def main():
    global ARGS
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("tare")
    ap.add_argument("--client", help="an interpreter that has huggingface_hub")
    ap.add_argument("--only", help="names that match this expression")
    ap.add_argument("--part", default="0/1", metavar="K/N", help="each N-th test, from the K-th on")
    for flag in ("quick", "list", "keep", "verbose"):
        ap.add_argument("--" + flag, action="store_true")
    ARGS = ap.parse_args()
    ARGS.tare = os.path.abspath(ARGS.tare)
    tests, count = choose(), {"ok": 0, "FAIL": 0, "not run": 0}
    if ARGS.list:
        print("\n".join(name for name, _ in tests))
        return 0
    base = tempfile.mkdtemp(prefix="hub-")
    with Hub() as hub:
        for name, f in tests:
            t0 = time.time()
            how, line = one(hub, name, f, base)
            count[how] += 1
            print(line + (f"   [{time.time() - t0:.1f} s]" if ARGS.verbose else ""), flush=True)
            if how != "FAIL" or not ARGS.keep:
                shutil.rmtree(f"{base}/{name}", ignore_errors=True)
    if not ARGS.keep:
        shutil.rmtree(base, ignore_errors=True)
    ran = count["ok"] + count["FAIL"]
    print(f"hub: {count['ok']} of {ran}" + (f", {count['not run']} not run" if count["not run"] else ""))
    return count["FAIL"] != 0 or not ran


if __name__ == "__main__":
    sys.exit(main())
