#!/usr/bin/env python3
"""fakehub.py - a server on loopback that behaves like the Hugging Face hub, and can be told to misbehave.

    fakehub.py [--port N] [--cdn-port N] [--other-port N] [--log FILE] [--spec FILE]

Standard library only. It prints one JSON line on stdout once it listens:
    {"hub": "http://127.0.0.1:P1", "cdn": "http://localhost:P2", "other": "http://127.0.0.1:P3", "pid": ...}
hub   is what HF_ENDPOINT is set to. cdn is where large (LFS) files are: another host name and port, signed queries.
other is a third, private service: nobody should send a token or anything secret there.

As a module: `with Hub() as hub: hub.repo("org/name", dir="..."); hub.fault("org/name", on="cdn", cut=1000, times=1); hub.log()`.

Control (never logged): POST /__ctl__/repo SPEC, POST /__ctl__/faults {"repo": ID or "*", "faults": [..], "add": bool},
POST /__ctl__/config {"tokens": {..}}, GET /__ctl__/log, POST /__ctl__/reset, GET /__ctl__/repos, POST /__ctl__/quit.

SPEC of a repository
    id            "org/name" ("name" alone is legal too)
    commits       list; each {"dir": FOLDER, "files": {PATH: FILE}, "remove": [PATH], "skip": [GLOB]}: on top of the one before
                  (or dir/files/skip at the top level: one commit)
    refs          {"main": index, "v1": index, "refs/pr/1": index}; default {"main": last}
    private, gated ("auto"/"manual"), disabled: as on the hub; granted: tokens that may read
    page_size     entries in a page of the tree (default 1000)
    xet           announce Xet storage beside plain LFS
    moved_to      answers 307 to another repository's address
    inline        small files are answered at /resolve itself (default: a relative 307 to /api/resolve-cache, as the hub does)
    tags, downloads: what a search says of it
    gzip_text     compressible small files are sent gzipped to clients that accept it (default true)
    cdn_host      "localhost" (default) or "127.0.0.1" (same name as the hub, other port)
    sign_uses     a signed address works so many times, then 403 (default: always)
    sign_seconds  a signed address works so long, then 403
FILE: {"text": S} {"b64": S} {"file": PATH} {"fill": N, "seed": K} (N pseudo-random bytes)
      {"header_b64": S, "size": N} or {"header_file": PATH, "size": N} (these bytes, then zeros up to N; nothing is stored;
      its sha256 is then invented, unless "true_sha": true); any with "lfs": bool, "etag": S.
A fault: {"on": "any" api info tree resolve cdn, "method": "GET"|"HEAD", "path": REGEX on the file's path (or the request's),
    "ranged": bool, "times": N, "skip": N, and actions:}
    latency S · rate BYTES_PER_S · trickle [BYTES, S] · status N (headers {}, body S) · raw_b64 S · redirect URL · loop true
    location URL · headers {NAME: VALUE or null} · big_headers N · cookie S · ignore_range true · range_shift N
    cut N (rst bool) · corrupt OFFSET · end N (the file ends there, whatever was said) · short N · long N · content_length N · gzip true · gzip_bomb N · endless true
    alt true (every answer another content and ETag) · json VALUE (body of an API answer) · text S
    tree_add [ENTRY..] · tree_set {PATH: {..}} · hang S (accept, say nothing)
  In URLs {hub} {cdn} {other} {self} are replaced.
Repositories of the organisation `fault` need no control: `fault/NAME` is the first repository of the spec named "fault/base",
with the preset NAME of PRESETS below (fault/cut-once, fault/corrupt, fault/gzip-bomb ...).
"""
import argparse
import base64
import fnmatch
import gzip
import hashlib
import hmac
import json
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
import zlib
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

REASON = {200: "OK", 206: "Partial Content", 302: "Found", 307: "Temporary Redirect", 308: "Permanent Redirect", 400: "Bad Request",
          401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout",
          416: "Range Not Satisfiable", 429: "Too Many Requests", 500: "Internal Server Error", 502: "Bad Gateway",
          503: "Service Unavailable", 504: "Gateway Timeout"}
LFS = ("*.safetensors", "*.bin", "*.pt", "*.pth", "*.pkl", "*.onnx", "*.gguf", "*.h5", "*.msgpack", "*.ckpt", "*.model", "*.npz",
       "*.tflite", "*.zip", "*.gz", "*.f32")
PRESETS = {
    "cut-once": [{"on": "cdn", "method": "GET", "cut": 100000, "times": 1}],
    "cut-always": [{"on": "cdn", "method": "GET", "cut": 1000}],
    "corrupt": [{"on": "cdn", "method": "GET", "corrupt": 5000}],
    "corrupt-small": [{"on": "resolve", "method": "GET", "path": r"config\.json$", "corrupt": 3}],
    "short": [{"on": "cdn", "method": "GET", "short": 5000}],
    "long": [{"on": "cdn", "method": "GET", "long": 16}],
    "lying-length": [{"on": "cdn", "method": "GET", "content_length": 5000000000}],
    "500": [{"on": "any", "status": 500}],
    "500-twice": [{"on": "any", "status": 500, "times": 2}],
    "503": [{"on": "any", "status": 503, "headers": {"Retry-After": "1"}}],
    "429": [{"on": "any", "status": 429, "headers": {"Retry-After": "1"}}],
    "429-once": [{"on": "any", "status": 429, "headers": {"Retry-After": "1"}, "times": 1}],
    "gzip": [{"on": "cdn", "method": "GET", "gzip": True}],
    "gzip-bomb": [{"on": "any", "method": "GET", "gzip_bomb": 1 << 30}],
    "loop": [{"on": "resolve", "loop": True}],
    "to-file": [{"on": "resolve", "location": "file:///etc/passwd", "redirect": "file:///etc/passwd"}],
    "to-private": [{"on": "cdn", "redirect": "{other}/latest/meta-data"}],
    "cookies": [{"on": "any", "cookie": "session=stolen; Path=/"}],
    "huge-headers": [{"on": "any", "big_headers": 2000000}],
    "range-ignored": [{"on": "cdn", "ignore_range": True}],
    "etag-changes": [{"on": "cdn", "method": "GET", "alt": True}],
    "trickle": [{"on": "cdn", "method": "GET", "trickle": [1, 1.0]}],
    "endless": [{"on": "any", "method": "GET", "endless": True}],
}


# ---- what a file is made of ----

class Bytes:
    def __init__(self, data):
        self.data, self.size = data, len(data)

    def read(self, at, n):
        return self.data[at:at + n]


class Disk:
    def __init__(self, path):
        self.path, self.size = path, os.path.getsize(path)

    def read(self, at, n):
        with open(self.path, "rb") as f:
            f.seek(at)
            return f.read(n)


class Zeros:
    """Some bytes, then zeros up to size: a 7B model without a disk."""

    def __init__(self, head, size):
        self.head, self.size = head, size

    def read(self, at, n):
        n = max(0, min(n, self.size - at))
        part = self.head[at:at + n]
        return part + bytes(n - len(part))


class Fill:
    """Pseudo-random bytes: a block of 1 MiB, each repetition of it marked with its number."""

    def __init__(self, size, seed):
        self.size, self.block = size, random.Random(seed).randbytes(1 << 20)

    def read(self, at, n):
        n, out = max(0, min(n, self.size - at)), bytearray()
        while len(out) < n:
            i, o = divmod(at + len(out), 1 << 20)
            block = i.to_bytes(8, "big") + self.block[8:]
            out += block[o:o + n - len(out)]
        return bytes(out)


_sha_cache = {}


class Entry:
    def __init__(self, path, what):
        self.path, self.fake = path, False
        if "text" in what:
            self.src = Bytes(what["text"].encode())
        elif "b64" in what:
            self.src = Bytes(base64.b64decode(what["b64"]))
        elif "file" in what:
            self.src = Disk(what["file"])
        elif "fill" in what:
            self.src = Fill(what["fill"], what.get("seed", 1))
        else:
            head = base64.b64decode(what["header_b64"]) if "header_b64" in what else open(what["header_file"], "rb").read()
            self.src, self.fake = Zeros(head, what["size"]), not what.get("true_sha")
        self.size = self.src.size
        self.lfs = what.get("lfs", self.size > 10_000_000 or any(fnmatch.fnmatch(path.lower(), p) for p in LFS))
        self.etag_override = what.get("etag")
        self.sha256, self.oid = self._hashes(what)
        self.xet_hash = hashlib.sha256(b"xet" + self.sha256.encode()).hexdigest()

    def _hashes(self, what):
        if self.fake:
            sha = hashlib.sha256(self.src.head + str(self.size).encode()).hexdigest()
            return sha, self._pointer_oid(sha)
        key = None
        if isinstance(self.src, Disk):
            st = os.stat(self.src.path)
            key = (self.src.path, st.st_mtime_ns, st.st_size, self.lfs)
            if key in _sha_cache:
                return _sha_cache[key]
        h, g, at = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % self.size), 0
        while at < self.size:
            part = self.src.read(at, 1 << 20)
            h.update(part)
            g.update(part)
            at += len(part)
        got = (h.hexdigest(), self._pointer_oid(h.hexdigest()) if self.lfs else g.hexdigest())
        if key:
            _sha_cache[key] = got
        return got

    def _pointer_oid(self, sha):
        text = b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n" % (sha.encode(), self.size)
        return hashlib.sha1(b"blob %d\0" % len(text) + text).hexdigest()

    @property
    def etag(self):
        return self.etag_override or (self.sha256 if self.lfs else self.oid)

    def tree(self, xet):
        out = {"type": "file", "oid": self.oid, "size": self.size, "path": self.path}
        if self.lfs:
            out["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": 120 + len(str(self.size))}
            if xet:
                out["xetHash"] = self.xet_hash
        return out


class Repo:
    def __init__(self, spec):
        self.id, self.spec = spec["id"], spec
        self.faults, self.signed, self.count, self.lock = [], {}, {}, threading.Lock()
        self.commits, files = [], {}
        for n, c in enumerate(spec.get("commits") or [spec]):
            files = {p: e for p, e in files.items() if p not in c.get("remove", [])}
            if c.get("dir"):
                for base, _, names in os.walk(c["dir"]):
                    for name in sorted(names):
                        full = os.path.join(base, name)
                        rel = os.path.relpath(full, c["dir"])
                        if not any(fnmatch.fnmatch(rel, g) for g in c.get("skip", [])):
                            files[rel] = Entry(rel, {"file": full})
            for path, what in (c.get("files") or {}).items():
                files[path] = Entry(path, what)
            text = json.dumps([self.id, n, sorted((p, e.etag) for p, e in files.items())])
            self.commits.append((hashlib.sha1(text.encode()).hexdigest(), dict(files)))
        self.refs = spec.get("refs") or {"main": len(self.commits) - 1}
        for f in spec.get("faults", []):
            self.add_fault(f)

    def add_fault(self, fault):
        self.faults.append(dict(fault, _left=fault.get("times"), _skip=fault.get("skip", 0)))

    def resolve(self, rev):
        """(commit hash, files) or None; a commit may be shortened to 7 characters."""
        if rev in self.refs:
            return self.commits[self.refs[rev]]
        for c in self.commits:
            if len(rev) >= 7 and c[0].startswith(rev):
                return c
        return None


# ---- the server ----

class State:
    def __init__(self, args):
        self.repos, self.global_faults, self.records, self.lock = {}, [], [], threading.Lock()
        self.tokens = {"hf_alice": "alice", "hf_bob": "bob"}
        self.log_file = open(args.log, "a", buffering=1) if args.log else None
        self.open, self.serial, self.key, self.stop = 0, 0, os.urandom(16), threading.Event()
        self.hub = self.cdn = self.other = ""
        self.cdn_keys = {}

    def repo(self, rid):
        if rid in self.repos:
            return self.repos[rid]
        if rid.startswith("fault/") and rid[6:] in PRESETS and "fault/base" in self.repos:
            spec = dict(self.repos["fault/base"].spec, id=rid, faults=PRESETS[rid[6:]])
            with self.lock:
                return self.repos.setdefault(rid, Repo(spec))
        return None

    def url(self, text, here=""):
        return text.replace("{hub}", self.hub).replace("{cdn}", self.cdn).replace("{other}", self.other).replace("{self}", here)


class Answer:
    def __init__(self, status, headers=(), body=b"", src=None, at=0, n=0):
        self.status, self.headers, self.body = status, list(headers), body
        self.src, self.at, self.n = src, at, len(body) if src is None else n
        self.chunked = self.close = False

    def set(self, name, value):
        self.headers = [(k, v) for k, v in self.headers if k.lower() != name.lower()]
        if value is not None:
            self.headers.append((name, value))

    def get(self, name):
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)


def ascii_name(path):
    return re.sub(r'[^ -!#-~]', "_", os.path.basename(path))


def error(status, code=None, message="", extra=()):
    head = [("Content-Type", "application/json; charset=utf-8")] + list(extra)
    if code:
        head.append(("X-Error-Code", code))
    if message:
        head.append(("X-Error-Message", message))
    return Answer(status, head, json.dumps({"error": message or REASON.get(status, "error")}).encode())


class Connection(threading.Thread):
    def __init__(self, state, sock, host):
        super().__init__(daemon=True)
        self.state, self.sock, self.host = state, sock, host
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(120)
        self.rfile = sock.makefile("rb", 65536)

    def run(self):
        try:
            while not self.state.stop.is_set() and self.one():
                pass
        except (OSError, ValueError):
            pass
        finally:
            try:
                self.rfile.close()
                self.sock.close()
            except OSError:
                pass

    def one(self):
        line = self.rfile.readline(65537)
        if not line or line in (b"\r\n", b"\n"):
            return bool(line)
        words = line.decode("latin-1").split()
        if len(words) != 3:
            return False
        head = {}
        while True:
            h = self.rfile.readline(65537)
            if h in (b"\r\n", b"\n", b""):
                break
            name, _, value = h.decode("latin-1").partition(":")
            head[name.strip().lower()] = value.strip()
        body = self.rfile.read(int(head.get("content-length") or 0))
        method, target = words[0], words[1]
        self.where, proxied = self.host, target.startswith("http://")
        if proxied:  # used as a proxy: for whatever host, but the cdn's own address means the cdn
            netloc, _, rest = target[7:].partition("/")
            self.where = "cdn" if netloc == self.state.cdn[7:] else "other" if netloc == self.state.other[7:] else self.host
            target = "/" + rest
        parts = urlsplit(target)
        if parts.path.startswith("/__ctl__/") and self.host == "hub":
            return self.control(method, parts.path[9:], body)
        st = self.state
        with st.lock:
            st.serial += 1
            st.open += 1
            rec = {"n": st.serial, "host": self.where, "proxied": proxied, "host_header": head.get("host"), "method": method, "path": unquote(parts.path),
                   "raw": target, "query": parts.query, "range": head.get("range"), "if_range": head.get("if-range"),
                   "auth": "authorization" in head, "auth_value": head.get("authorization"), "cookie": head.get("cookie"),
                   "accept_encoding": head.get("accept-encoding"), "ua": head.get("user-agent"), "t0": time.time(),
                   "parallel": st.open, "header_bytes": sum(len(k) + len(v) + 4 for k, v in head.items())}
        rec["status"], rec["bytes"], rec["cut"] = 0, 0, False
        keep = False
        try:
            keep = self.answer(method, parts, head, body, rec)
        finally:
            rec["t1"] = time.time()
            with st.lock:
                st.open -= 1
                st.records.append(rec)
                if st.log_file:
                    st.log_file.write(json.dumps(rec) + "\n")
        return keep and head.get("connection", "").lower() != "close"

    # -- control --
    def control(self, method, what, body):
        st, out = self.state, {"ok": True}
        data = json.loads(body) if body else {}
        if what == "repo":
            repo = Repo(data)
            with st.lock:
                st.repos[repo.id] = repo
            out = self.describe(repo)
        elif what == "faults":
            repos = list(st.repos.values()) if data["repo"] == "*" else [st.repos[data["repo"]]]
            for repo in repos:
                with repo.lock:
                    if not data.get("add"):
                        repo.faults = []
                    for f in data["faults"]:
                        repo.add_fault(f)
        elif what == "config":
            st.tokens.update(data.get("tokens", {}))
        elif what == "log":
            with st.lock:
                out = list(st.records)
        elif what == "reset":
            with st.lock:
                st.records = []
        elif what == "repos":
            out = [self.describe(r) for r in st.repos.values()]
        elif what == "quit":
            st.stop.set()
        text = json.dumps(out).encode()
        self.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
        return what != "quit"

    @staticmethod
    def describe(repo):
        return {"id": repo.id, "refs": {r: repo.commits[i][0] for r, i in repo.refs.items()}, "commits": [
            {"hash": h, "files": {p: {"size": e.size, "etag": e.etag, "sha256": e.sha256, "lfs": e.lfs, "oid": e.oid}
                                  for p, e in files.items()}} for h, files in repo.commits]}

    # -- answers --
    def answer(self, method, parts, head, body, rec):
        st = self.state
        if method not in ("GET", "HEAD", "POST"):
            return self.send(error(405), method, {}, rec)
        if self.where == "other":
            return self.send(Answer(200, [("Content-Type", "text/plain")], b"secret of the private service\n"), method, {}, rec)
        if self.where == "cdn":
            kind, repo, path, ans = self.cdn_answer(parts, head)
        else:
            kind, repo, path, ans = self.hub_answer(method, parts, head, body)
        rec["kind"], rec["repo"], rec["file"] = kind, repo.id if repo else None, path
        act = self.faults(kind, repo, path, method, head, parts)
        rec["fault"] = sorted(k for k in act)
        if act.get("ignore_range") and ans.src is not None:
            head = {k: v for k, v in head.items() if k != "range"}
            kind, repo, path, ans = self.cdn_answer(parts, head, uses=False) if self.where == "cdn" else self.hub_answer(method, parts, head, body)
        return self.send(ans, method, act, rec)

    def faults(self, kind, repo, path, method, head, parts):
        act = {}
        if repo is None:
            return act
        with repo.lock:
            for f in repo.faults:
                on = f.get("on", "any")
                if on != "any" and on != kind and not (on == "api" and kind in ("info", "tree", "api")):
                    continue
                if f.get("method") and f["method"] != method:
                    continue
                if "ranged" in f and f["ranged"] != ("range" in head):
                    continue
                if f.get("path") and not re.search(f["path"], path or unquote(parts.path)):
                    continue
                if f["_skip"] > 0:
                    f["_skip"] -= 1
                    continue
                if f["_left"] is not None:
                    if f["_left"] <= 0:
                        continue
                    f["_left"] -= 1
                act.update({k: v for k, v in f.items() if k not in ("on", "method", "path", "times", "skip", "ranged", "_left", "_skip")})
            if "alt" in act:
                n = repo.count.get(path, 0)
                repo.count[path] = n + 1
                act["alt"] = n
        return act

    def token(self, head):
        """(is a token there, its user or None)"""
        value = head.get("authorization", "")
        if not value:
            return False, None
        scheme, _, token = value.partition(" ")
        return True, self.state.tokens.get(token.strip()) if scheme.lower() == "bearer" else None

    def may(self, repo, head):
        """None, or the answer that says why not. On the hub a repository that is private looks like one that is not there."""
        there, user = self.token(head)
        if there and user is None:
            return error(401, None, "Invalid credentials in Authorization header", [("WWW-Authenticate", 'Bearer realm="Authentication required", charset="UTF-8"')])
        granted = repo is not None and user in repo.spec.get("granted", [])
        if repo is None or (repo.spec.get("private") and not granted):
            if not there:
                return error(401, "RepoNotFound", "Invalid username or password.", [("WWW-Authenticate", 'Bearer realm="Authentication required", charset="UTF-8"')])
            return error(404, "RepoNotFound", "Repository not found")
        if repo.spec.get("disabled"):
            return error(403, None, "Access to this resource is disabled.")
        return None

    def gated(self, repo, head):
        there, user = self.token(head)
        if not repo.spec.get("gated") or user in repo.spec.get("granted", []):
            return None
        if not there:
            return error(401, "GatedRepo", f"Access to model {repo.id} is restricted. You must have access to it and be authenticated to access it. Please log in.")
        return error(403, "GatedRepo", f"Access to model {repo.id} is restricted and you are not in the authorized list. Visit {self.state.hub}/{repo.id} to ask for access.")

    def hub_answer(self, method, parts, head, body):
        st, path = self.state, parts.path
        m = re.fullmatch(r"/api/resolve-cache/models/([^/]+(?:/[^/]+)?)/([0-9a-f]{40})/(.+)", path)
        if m:
            repo = st.repo(unquote(m[1]))
            return self.resolve(repo, unquote(m[2]), unquote(m[3]), parts, head, True)
        m = re.fullmatch(r"/((?!api/)[^/]+(?:/[^/]+)?)/resolve/([^/]+)/(.*)", path)
        if m:
            return self.resolve(st.repo(unquote(m[1])), unquote(m[2]), unquote(m[3]), parts, head, False, m[3])
        m = re.fullmatch(r"/api/models/([^/]+(?:/[^/]+)?)/(revision|tree|paths-info|xet-read-token)/([^/]+)(?:/(.*))?", path)
        if m:
            return self.api(st.repo(unquote(m[1])), m[2], unquote(m[3]), unquote(m[4] or ""), parts, head, body, m)
        m = re.fullmatch(r"/api/models/([^/]+(?:/[^/]+)?)/refs", path)
        if m:
            repo = st.repo(unquote(m[1]))
            no = self.may(repo, head)
            if no:
                return "api", repo, None, no
            row = [{"name": r, "ref": "refs/heads/" + r, "targetCommit": repo.commits[i][0]} for r, i in repo.refs.items()]
            return "api", repo, None, self.json({"branches": [r for r in row if r["name"] == "main"], "tags": [r for r in row if r["name"] != "main"], "converts": []})
        if path == "/api/models":
            return "api", None, None, self.search(parse_qs(parts.query))
        m = re.fullmatch(r"/api/models/([^/]+(?:/[^/]+)?)", path)
        if m:
            return self.api(st.repo(unquote(m[1])), "revision", "main", "", parts, head, body, m)
        if path == "/api/whoami-v2":
            there, user = self.token(head)
            return "api", None, None, self.json({"type": "user", "name": user, "auth": {"type": "access_token"}}) if user else error(401, None, "Invalid username or password.")
        return "none", None, None, error(404, None, "Sorry, we can't find the page you are looking for.")

    def search(self, query):
        words, limit = query.get("search", [""])[0].lower().split(), int(query.get("limit", ["1000"])[0])
        found = [r for r in self.state.repos.values() if not r.spec.get("private") and all(w in r.id.lower() for w in words)]
        rows = [{"_id": "65", "id": r.id, "modelId": r.id, "tags": r.spec.get("tags", ["safetensors"]), "downloads": r.spec.get("downloads", 1), "likes": 2,
                 "gated": r.spec.get("gated") or False, "usedStorage": sum(e.size for e in r.commits[-1][1].values())} for r in found]
        return self.json(sorted(rows, key=lambda r: -r["downloads"])[:limit])

    @staticmethod
    def json(value, extra=()):
        return Answer(200, [("Content-Type", "application/json; charset=utf-8"), *extra], json.dumps(value).encode())

    def moved(self, repo, parts, kind):
        to = repo.spec["moved_to"]
        where = parts.path.replace("/" + repo.id + "/", "/" + to + "/", 1) if "/" + repo.id + "/" in parts.path else parts.path.replace(repo.id, to, 1)
        where += "?" + parts.query if parts.query else ""
        return kind, repo, None, Answer(307, [("Location", where), ("Content-Type", "text/plain")], b"Temporary Redirect")

    def api(self, repo, what, rev, sub, parts, head, body, m):
        kind = {"revision": "info", "tree": "tree"}.get(what, "api")
        no = self.may(repo, head)
        if no:
            return kind, repo, None, no
        if repo.spec.get("moved_to"):
            return self.moved(repo, parts, kind)
        found = repo.resolve(rev)
        if not found:
            return kind, repo, None, error(404, "RevisionNotFound", f"Invalid rev id: {rev}")
        commit, files = found
        query = parse_qs(parts.query)
        commit_head = [("X-Repo-Commit", commit)]
        xet = repo.spec.get("xet")
        if what == "xet-read-token":
            return kind, repo, None, self.json({"accessToken": "xet_token", "exp": int(time.time()) + 3600, "casUrl": self.state.other},
                [("X-Xet-Cas-Url", self.state.other), ("X-Xet-Access-Token", "xet_token"), ("X-Xet-Token-Expiration", str(int(time.time()) + 3600))])
        extra = [f for f in repo.faults if ("tree_add" in f or "tree_set" in f)]
        entries = [files[p].tree(xet) for p in sorted(files)]
        for f in extra:
            entries = [dict(e, **f.get("tree_set", {}).get(e["path"], {})) for e in entries] + [dict({"type": "file", "oid": "0" * 40, "size": 1}, **e) for e in f.get("tree_add", [])]
        if what == "revision":
            blobs = query.get("blobs", [""])[0].lower() in ("true", "1")
            sib = []
            for e in entries:
                s = {"rfilename": e["path"]}
                if blobs:
                    s.update(size=e["size"], blobId=e["oid"])
                    if "lfs" in e:
                        s["lfs"] = {"sha256": e["lfs"]["oid"], "size": e["lfs"]["size"], "pointerSize": e["lfs"]["pointerSize"]}
                sib.append(s)
            info = {"_id": "65" + commit[:22], "id": repo.id, "modelId": repo.id, "author": repo.id.split("/")[0], "sha": commit,
                    "lastModified": "2026-01-02T03:04:05.000Z", "createdAt": "2026-01-01T00:00:00.000Z", "private": bool(repo.spec.get("private")),
                    "gated": repo.spec.get("gated") or False, "disabled": False, "downloads": 1, "likes": 0, "tags": ["safetensors"],
                    "library_name": "transformers", "pipeline_tag": "text-generation", "siblings": sib, "usedStorage": sum(e["size"] for e in entries)}
            return kind, repo, None, self.json(info, commit_head)
        if what == "paths-info":
            form = parse_qs(body.decode())
            paths = form.get("paths") or json.loads(body).get("paths", []) if body[:1] == b"{" else form.get("paths", [])
            return kind, repo, None, self.json([e for e in entries if e["path"] in paths], commit_head)
        recursive = query.get("recursive", [""])[0].lower() in ("true", "1")
        sub = unquote(sub).strip("/")
        rows, dirs = [], {}
        for e in entries:
            p = e["path"]
            if sub and not p.startswith(sub + "/"):
                continue
            rest = p[len(sub) + 1:] if sub else p
            steps = rest.split("/")
            for i in range(1, len(steps)):
                d = "/".join(([sub] if sub else []) + steps[:i])
                if (recursive or i == 1) and d and d not in dirs and not p.startswith("/"):
                    dirs[d] = 1
                    rows.append({"type": "directory", "oid": hashlib.sha1(d.encode()).hexdigest(), "size": 0, "path": d})
            if recursive or len(steps) == 1:
                rows.append(e)
        if sub and not rows:
            return kind, repo, None, error(404, "EntryNotFound", f"{sub} does not exist on \"{rev}\"", commit_head)
        size = min(repo.spec.get("page_size", 1000), int(query.get("limit", ["1000"])[0] or 1000))
        at = int(base64.urlsafe_b64decode(query["cursor"][0])) if "cursor" in query else 0
        if at + size < len(rows):
            q = {k: v[0] for k, v in query.items()}
            q["cursor"] = base64.urlsafe_b64encode(str(at + size).encode()).decode()
            commit_head.append(("Link", f'<{self.state.hub}{parts.path}?{urlencode(q)}>; rel="next"'))
        return kind, repo, None, self.json(rows[at:at + size], commit_head)

    def resolve(self, repo, rev, path, parts, head, cached, rawpath=""):
        no = self.may(repo, head)
        if no:
            return "resolve", repo, path, no
        if repo.spec.get("moved_to"):
            return self.moved(repo, parts, "resolve")
        no = self.gated(repo, head)
        if no:
            return "resolve", repo, path, no
        found = repo.resolve(rev)
        if not found:
            return "resolve", repo, path, error(404, "RevisionNotFound", f"Invalid rev id: {rev}")
        commit, files = found
        entry = files.get(path)
        if entry is None:
            return "resolve", repo, path, error(404, "EntryNotFound", "Entry not found", [("X-Repo-Commit", commit)])
        st, common = self.state, [("X-Repo-Commit", commit), ("Accept-Ranges", "bytes"),
                                  ("Access-Control-Expose-Headers", "X-Repo-Commit,X-Request-Id,X-Error-Code,X-Error-Message,X-Total-Count,ETag,Link,Accept-Ranges,Content-Range,X-Linked-Size,X-Linked-ETag,X-Xet-Hash")]
        if entry.lfs:
            where = self.sign(repo, entry)
            if repo.spec.get("xet"):
                route = f"{st.hub}/api/models/{repo.id}/xet-read-token/{commit}"
                common += [("X-Xet-Hash", entry.xet_hash), ("Link", f'<{route}>; rel="xet-auth", <{st.other}/v1/reconstructions/{entry.xet_hash}>; rel="xet-reconstruction-info"')]
            text = f"Found. Redirecting to {where}".encode()
            return "resolve", repo, path, Answer(302, common + [("Location", where), ("X-Linked-Size", str(entry.size)),
                ("X-Linked-ETag", f'"{entry.etag}"'), ("Vary", "Origin, Accept"), ("Content-Type", "text/plain; charset=utf-8")], text)
        if not cached and not repo.spec.get("inline"):
            where = f"/api/resolve-cache/models/{quote(repo.id)}/{commit}/{quote(path)}?{urlencode({'etag': chr(34) + entry.etag + chr(34)})}"
            text = f"Temporary Redirect. Redirecting to {where}".encode()
            return "resolve", repo, path, Answer(307, common + [("Location", where), ("X-Linked-Size", str(entry.size)), ("X-Linked-ETag", f'"{entry.etag}"'),
                ("Content-Type", "text/plain; charset=utf-8")], text)
        ans = self.content(entry, head, common + [("ETag", f'"{entry.etag}"'), ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Disposition", f"inline; filename*=UTF-8''{quote(os.path.basename(path))}; filename=\"{ascii_name(path)}\";")])
        if (repo.spec.get("gzip_text", True) and ans.status == 200 and "gzip" in head.get("accept-encoding", "") and entry.size > 1000 and not isinstance(entry.src, Zeros)):
            ans.body, ans.src = gzip.compress(entry.src.read(0, entry.size), 6), None
            ans.n, ans.chunked = len(ans.body), True
            ans.set("Content-Encoding", "gzip")
            ans.set("ETag", f'W/"{entry.etag}"')
        return "resolve", repo, path, ans

    def sign(self, repo, entry):
        st = self.state
        key = hashlib.sha1(repo.id.encode()).hexdigest()[:24]
        st.cdn_keys[key] = repo.id
        nonce, until = os.urandom(6).hex(), int(time.time() + repo.spec.get("sign_seconds", 3600))
        base = f"/repos/{key[:2]}/{key[2:4]}/{key}/{entry.sha256}"
        mac = hmac.new(st.key, f"{base}|{nonce}|{until}".encode(), "sha256").hexdigest()
        with repo.lock:
            repo.signed[nonce] = [repo.spec.get("sign_uses", 1 << 60), entry]
        host = f"http://{repo.spec.get('cdn_host', 'localhost')}:{st.cdn_port}"
        disposition = f"inline; filename*=UTF-8''{quote(os.path.basename(entry.path))}; filename=\"{ascii_name(entry.path)}\";"
        return host + base + "?" + urlencode({"response-content-disposition": disposition, "Expires": until, "Policy": nonce,
                                              "Signature": mac, "Key-Pair-Id": "K24J24Z295AEI9"})

    def cdn_answer(self, parts, head, uses=True):
        m = re.fullmatch(r"/repos/../../([0-9a-f]{24})/([0-9a-f]{64})", parts.path)
        denied = Answer(403, [("Content-Type", "application/xml")], b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
        if not m or m[1] not in self.state.cdn_keys:
            return "cdn", None, None, denied
        repo, q = self.state.repos[self.state.cdn_keys[m[1]]], {k: v[0] for k, v in parse_qs(parts.query).items()}
        nonce, until = q.get("Policy", ""), q.get("Expires", "0")
        mac = hmac.new(self.state.key, f"{parts.path}|{nonce}|{until}".encode(), "sha256").hexdigest()
        with repo.lock:
            left = repo.signed.get(nonce)
            if left is None or not hmac.compare_digest(mac, q.get("Signature", "")) or int(until) < time.time() or left[0] <= 0:
                return "cdn", repo, left[1].path if left else None, denied
            if uses:
                left[0] -= 1
        if "authorization" in head:  # S3 wants one mechanism of authorization only
            return "cdn", repo, left[1].path, Answer(400, [("Content-Type", "application/xml")],
                b"<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>")
        entry = left[1]
        etag = hashlib.md5(entry.sha256.encode()).hexdigest()  # a bucket's own ETag: not the hub's
        return "cdn", repo, entry.path, self.content(entry, head, [("ETag", f'"{etag}"'), ("Accept-Ranges", "bytes"),
            ("Content-Type", "binary/octet-stream"), ("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")])

    @staticmethod
    def content(entry, head, headers):
        size, ask = entry.size, head.get("range")
        if ask and head.get("if-range") and head["if-range"] != next((v for k, v in headers if k == "ETag"), None):
            ask = None
        m = re.fullmatch(r"\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*", ask or "")
        if m and (m[1] or m[2]):
            first, last = (int(m[1]), int(m[2]) if m[2] else size - 1) if m[1] else (max(0, size - int(m[2])), size - 1)
            last = min(last, size - 1)
            if first >= size or first > last:
                return Answer(416, headers + [("Content-Range", f"bytes */{size}")])
            return Answer(206, headers + [("Content-Range", f"bytes {first}-{last}/{size}")], src=entry.src, at=first, n=last - first + 1)
        return Answer(200, headers, src=entry.src, at=0, n=size)

    # -- sending, with what goes wrong --
    def send(self, ans, method, act, rec):
        st, here = self.state, rec["path"]
        if act.get("hang"):  # a client that leaves ends it
            time.sleep(act["hang"])
            return False
        if act.get("latency"):
            time.sleep(act["latency"])
        if "raw_b64" in act:
            raw = base64.b64decode(act["raw_b64"])
            rec["bytes"] = len(raw)
            self.sock.sendall(raw)
            return False
        if "status" in act:
            ans = error(act["status"], act.get("code"), act.get("message", ""))
            if "body" in act:
                ans.body = act["body"].encode()
                ans.n = len(ans.body)
        if "redirect" in act:
            ans = Answer(302, [h for h in ans.headers if h[0].lower().startswith("x-")] + [("Location", st.url(act["redirect"], here))], b"Found.")
        if act.get("loop"):
            n = int((parse_qs(rec["query"]).get("n") or ["0"])[0])
            ans = Answer(302, [h for h in ans.headers if h[0].lower().startswith("x-")] + [("Location", f"{quote(here)}?n={n + 1}")], b"Found.")
        if "location" in act and ans.get("Location"):
            ans.set("Location", st.url(act["location"], here))
        if "json" in act or "text" in act:
            ans.body = act["text"].encode() if "text" in act else json.dumps(act["json"]).encode()
            ans.src, ans.n = None, len(ans.body)
        if "range_shift" in act and ans.status == 206:
            d = act["range_shift"]
            ans.at = max(0, min(ans.at + d, ans.src.size - ans.n))
            ans.set("Content-Range", f"bytes {ans.at}-{ans.at + ans.n - 1}/{ans.src.size}")
        bomb = None
        if "alt" in act and ans.src is not None:
            n = act["alt"]
            whole = bytearray(ans.src.read(ans.at, ans.n))
            for i in range(0, len(whole), 512):
                whole[i] ^= n & 0xff
            ans.body, ans.src = bytes(whole), None
            ans.set("ETag", f'"version-{n}"')
        if "corrupt" in act and ans.status in (200, 206):
            data = bytearray(ans.body if ans.src is None else ans.src.read(ans.at, ans.n))
            at = act["corrupt"] - (ans.at if ans.src is not None else 0)
            if 0 <= at < len(data):
                data[at] ^= 0xff
            ans.body, ans.src = bytes(data), None
        if "end" in act and ans.src is not None and ans.status in (200, 206):
            end = min(act["end"], ans.src.size)
            if ans.at >= end:
                ans = Answer(416, [("Content-Range", f"bytes */{end}")])
            else:
                ans.n = min(ans.n, end - ans.at)
                if ans.status == 206:
                    ans.set("Content-Range", f"bytes {ans.at}-{ans.at + ans.n - 1}/{end}")
        if "short" in act and ans.status in (200, 206):
            total = min(act["short"], ans.n)
            data = ans.body if ans.src is None else ans.src.read(ans.at, total)
            ans.body, ans.src, ans.n = data[:total], None, total
        if "long" in act and ans.status in (200, 206):
            data = (ans.body if ans.src is None else ans.src.read(ans.at, ans.n)) + b"\0" * act["long"]
            ans.body, ans.src, ans.n = data, None, len(data)
        if act.get("gzip") and ans.status in (200, 206):
            data = ans.body if ans.src is None else ans.src.read(ans.at, ans.n)
            ans.body, ans.src, ans.chunked = gzip.compress(data, 1), None, True
            ans.n = len(ans.body)
            ans.set("Content-Encoding", "gzip")
        if act.get("gzip_bomb"):
            bomb, ans.chunked = act["gzip_bomb"], True
            ans.status = 200 if ans.status in (301, 302, 307, 308) else ans.status
            ans.set("Content-Encoding", "gzip")
            ans.set("Location", None)
        if act.get("endless"):
            ans.status, ans.chunked = (200 if ans.status in (301, 302, 307, 308) else ans.status), True
            ans.set("Location", None)
        for k, v in (act.get("headers") or {}).items():
            ans.set(k, st.url(v, here) if isinstance(v, str) else v)
        if "cookie" in act:
            ans.headers.append(("Set-Cookie", act["cookie"]))
        if "big_headers" in act:
            ans.headers += [(f"X-Filler-{i}", "x" * 4000) for i in range(act["big_headers"] // 4000 + 1)]
        length = act.get("content_length", ans.n)
        lines = [f"HTTP/1.1 {ans.status} {REASON.get(ans.status, 'Unknown')}", "Date: " + time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()),
                 "X-Request-Id: Root=1-%08x" % rec["n"], 'RateLimit: "api";r=%d;t=200' % (0 if ans.status == 429 and act.get("status") != 429 else 480), 'RateLimit-Policy: "fixed window";"api";q=500;w=300']
        if any(k.lower() in ("ratelimit",) for k, _ in ans.headers):
            lines = [x for x in lines if not x.startswith("RateLimit:")]
        lines += [f"{k}: {v}" for k, v in ans.headers]
        if method == "HEAD" or not ans.chunked:
            if not (method == "HEAD" and ans.chunked):
                lines.append(f"Content-Length: {length}")
        else:
            lines.append("Transfer-Encoding: chunked")
        rec["status"] = ans.status
        block = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
        rec["head_bytes"] = len(block)
        if method == "HEAD":
            self.sock.sendall(block)
            return True
        return self.body(ans, act, rec, block, bomb, length)

    def body(self, ans, act, rec, block, bomb, length):
        cut, sent, rate = act.get("cut"), 0, act.get("rate")
        step = int(min(1 << 18, max(1024, rate / 20))) if rate else 1 << 18
        if act.get("trickle"):
            step = act["trickle"][0]
        t0 = time.time()

        def pieces():
            if act.get("endless"):
                while True:
                    yield bytes(65536)
            if bomb:
                z, left = zlib.compressobj(9, zlib.DEFLATED, 31), bomb
                while left > 0:
                    part = z.compress(bytes(min(left, 1 << 20)))
                    left -= 1 << 20
                    if part:
                        yield part
                yield z.flush()
                return
            at = 0
            while at < ans.n:
                n = min(step, ans.n - at)
                if cut is not None:
                    n = min(n, cut - at)
                    if n <= 0:
                        return
                part = ans.body[at:at + n] if ans.src is None else ans.src.read(ans.at + at, n)
                if not part:
                    return
                yield part
                at += n

        first, ended = block, False
        try:
            for part in pieces():
                data = (b"%x\r\n" % len(part) + part + b"\r\n") if ans.chunked else part
                self.sock.sendall(first + data)
                first = b""
                sent += len(part)
                rec["bytes"] = sent
                if act.get("trickle"):
                    time.sleep(act["trickle"][1])
                if rate:
                    ahead = sent / rate - (time.time() - t0)
                    if ahead > 0:
                        time.sleep(ahead)
                if self.state.stop.is_set():
                    return False
            if first:
                self.sock.sendall(first)
            ended = cut is None or cut >= ans.n
            if ended and ans.chunked:
                self.sock.sendall(b"0\r\n\r\n")
        except OSError:
            rec["client_gone"] = True
            return False
        if not ended:
            rec["cut"] = True
            if act.get("rst"):
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            return False
        return length == ans.n


def listen(state, port, host):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", port))
    s.listen(512)

    def loop():
        while not state.stop.is_set():
            try:
                c, _ = s.accept()
            except OSError:
                return
            Connection(state, c, host).start()
    threading.Thread(target=loop, daemon=True).start()
    return s.getsockname()[1]


def serve():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name in ("port", "cdn-port", "other-port"):
        ap.add_argument("--" + name, type=int, default=0)
    ap.add_argument("--log")
    ap.add_argument("--spec", help="a JSON file: a list of repositories")
    args = ap.parse_args()
    st = State(args)
    port = listen(st, args.port, "hub")
    st.cdn_port = listen(st, args.cdn_port, "cdn")
    other = listen(st, args.other_port, "other")
    st.hub, st.cdn, st.other = f"http://127.0.0.1:{port}", f"http://localhost:{st.cdn_port}", f"http://127.0.0.1:{other}"
    for spec in json.load(open(args.spec)) if args.spec else []:
        st.repos[spec["id"]] = Repo(spec)
    print(json.dumps({"hub": st.hub, "cdn": st.cdn, "other": st.other, "pid": os.getpid()}), flush=True)
    parent = os.getppid()
    while not st.stop.wait(1):
        if os.getppid() != parent:  # whoever started this is gone
            break


# ---- the same from a test ----

class Hub:
    """Starts the server as a process of its own; `with Hub() as hub:`."""

    def __init__(self, log=None):
        self.process = subprocess.Popen([sys.executable, os.path.abspath(__file__)] + (["--log", log] if log else []), stdout=subprocess.PIPE, text=True)
        for k, v in json.loads(self.process.stdout.readline()).items():
            setattr(self, k, v)
        self.port = int(self.hub.rsplit(":", 1)[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def ctl(self, what, data=None):
        import http.client
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        c.request("GET" if data is None else "POST", "/__ctl__/" + what, None if data is None else json.dumps(data))
        out = json.loads(c.getresponse().read())
        c.close()
        return out

    def repo(self, rid, **spec):
        return self.ctl("repo", dict(spec, id=rid))

    def faults(self, rid, *faults, add=False):
        return self.ctl("faults", {"repo": rid, "faults": list(faults), "add": add})

    def log(self, **want):
        """The requests so far, those that match: log(host="cdn", method="GET"). Waits for answers that are still being sent."""
        rows = self.ctl("log")
        return [r for r in rows if all(r.get(k) == v for k, v in want.items())]

    def reset(self):
        self.ctl("reset", {})


if __name__ == "__main__":
    serve()
