#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""soak.py TARE MINUTES [--cancelled N] [--idle N] [--active N]: tare serve under mixed load, and what is left of it.

Idle connections ask for /health now and then. Active clients ask for whole answers, streams, choices, schemas and embeddings of
models that come and go; some leave in the middle, by FIN or RST, and some read slowly. Every answer that is not left must be
whole, memory must stay flat, and at the end /metrics must have no text, no connection and no descriptor too many. With MINUTES 0
only the cancelled streams are run. Prints the figures; exit 1 where one of them is wrong. Standard library only."""
import argparse
import http.client
import json
import random
import resource
import socket
import struct
import sys
import tempfile
import threading
import time

from kit import TEXT, Server, copy_fable

SCHEMA = {"type": "object", "properties": {"a": {"enum": ["x", "y"]}}, "required": ["a"], "additionalProperties": False}
RESET = struct.pack("ii", 1, 0)


class Load:
    def __init__(self, server, models):
        self.server, self.models = server, models
        self.stop = threading.Event()
        self.lock = threading.Lock()
        self.counts, self.wrong = {}, []

    def count(self, what):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def fail(self, what):
        with self.lock:
            self.wrong.append(what)

    def body(self, draw, **fields):
        words = " ".join(draw.choice("fox hen river boat king queen storm mouse".split()) for _ in range(draw.choice((4, 12, 40))))
        system = "You are a kind narrator who tells short stories for children. " if draw.random() < 0.5 else ""
        return {"model": draw.choice(self.models), "prompt": system + words, "max_tokens": draw.choice((4, 24, 60)), "temperature": 0.8, "seed": draw.randrange(1000), **fields}

    def send(self, body, path=TEXT):
        s = socket.create_connection(("127.0.0.1", self.server.port), timeout=120)
        data = json.dumps(body).encode()
        s.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (path.encode(), len(data)) + data)
        return s

    def whole(self, s, ends, pause=0.0):
        got = b""
        while piece := s.recv(1024 if pause else 65536):
            got += piece
            if pause:
                time.sleep(pause)
        status = got[9:12]
        if status in (b"429", b"503"):
            self.count("refused " + status.decode())
        elif status != b"200" or not got.endswith(ends):
            self.fail(got[:200] + b" .. " + got[-100:])
        else:
            self.count("whole")

    def leave(self, draw):
        with self.send(self.body(draw, stream=True, ignore_eos=True, max_tokens=200)) as s:
            for _ in range(draw.randrange(4)):
                s.recv(2048)
            if draw.random() < 0.5:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.count("left")

    def one(self, draw):
        kind = draw.randrange(8)
        if kind < 2:
            self.leave(draw)
        elif kind == 2:
            with self.send(self.body(draw, stream=True, n=2)) as s:
                self.whole(s, b"data: [DONE]\n\n\r\n0\r\n\r\n")
        elif kind == 3:
            with self.send(self.body(draw, stream=True, logprobs=5)) as s:
                self.whole(s, b"data: [DONE]\n\n\r\n0\r\n\r\n", pause=0.005)
        elif kind == 4:
            with self.send(self.body(draw, response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}, max_tokens=40)) as s:
                self.whole(s, b"}")
        elif kind == 5:
            with self.send({"model": draw.choice(self.models), "input": ["A fox", "Two hens"]}, "/v1/embeddings") as s:
                self.whole(s, b"}")
        else:
            with self.send(self.body(draw)) as s:
                self.whole(s, b"}")

    def active(self, seed):
        draw = random.Random(seed)
        while not self.stop.is_set():
            try:
                self.one(draw)
            except OSError as e:
                self.fail(repr(e))

    def idle(self, n):
        """One thread keeps them all, since they do next to nothing."""
        connections = [None] * n
        at = 0
        while not self.stop.is_set():
            for _ in range(max(1, n // 50)):  # each about every five seconds
                at = (at + 1) % n
                try:
                    if not connections[at]:
                        connections[at] = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
                    connections[at].request("GET", "/health")
                    answer = connections[at].getresponse()
                    if answer.read() != b'{"status":"ok"}':
                        self.fail("health: %d" % answer.status)
                    self.count("idle")
                except (OSError, http.client.HTTPException):  # it was closed, since we came too late
                    connections[at].close()
                    connections[at] = None
                    self.count("reconnected")
            self.stop.wait(0.1)
        for c in connections:
            if c:
                c.close()


def settled(server):
    """The metrics once all texts and connections have ended."""
    for _ in range(200):
        m = server.metrics()
        if not m["tare_requests_running"] and not m["tare_requests_waiting"] and not m["tare_requests_waiting_for_model"] and m["tare_connections"] == 1:
            break
        time.sleep(0.1)
    return m


def show(name, m):
    print("%s: %.1f MiB resident, %d descriptors, %d connections, %d running, %d waiting, %.1f MiB of states, %d states kept" % (
        name, m["process_resident_memory_bytes"] / 2 ** 20, m["process_open_fds"], m["tare_connections"], m["tare_requests_running"], m["tare_requests_waiting"],
        sum(v for k, v in m.items() if k.startswith("tare_state_bytes")) / 2 ** 20, sum(v for k, v in m.items() if k.startswith("tare_cached_states"))), flush=True)


def cancelled(load, n):
    """Streams that are left by many clients at the same moment."""
    todo = iter(range(n))
    before = settled(load.server)

    def go(seed):
        draw = random.Random(seed)
        while True:
            with load.lock:
                if next(todo, None) is None:
                    return
            try:
                load.leave(draw)
            except OSError as e:
                load.fail(repr(e))

    start = time.monotonic()
    threads = [threading.Thread(target=go, args=(i,)) for i in range(50)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    after = settled(load.server)
    print("%d cancelled streams in %.1f s" % (n, time.monotonic() - start))
    show("before", before)
    show("after", after)
    return before, after


def soak(load, minutes, idle, active):
    samples = []
    threads = [threading.Thread(target=load.idle, args=(idle,))] + [threading.Thread(target=load.active, args=(i,)) for i in range(active)]
    for t in threads:
        t.start()
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        time.sleep(min(5, 60 * minutes / 20))
        m = load.server.metrics()
        samples.append(m["process_resident_memory_bytes"])
        if len(samples) % 12 == 1:
            show("%4.1f minutes left" % ((end - time.monotonic()) / 60), m)
    load.stop.set()
    for t in threads:
        t.join()
    fifth = max(1, len(samples) // 5)
    return sum(samples[fifth:2 * fifth]) / fifth, sum(samples[-fifth:]) / fifth


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("tare")
    p.add_argument("minutes", type=float)
    p.add_argument("--cancelled", type=int, default=0)
    p.add_argument("--idle", type=int, default=1000)
    p.add_argument("--active", type=int, default=100)
    o = p.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        for name in "abc":
            copy_fable(folder, name)
        # Two of the three fit at the same moment, and states are few: both come and go.
        with Server("--models-dir", folder, "--models-memory", "9", "--memory", "4", "--parallel", "16", "--max-queue", "4000") as server:
            load = Load(server, ["a", "b"] if not o.minutes else ["a"] * 60 + ["b", "c"])
            for model in "ab":
                server.ask(TEXT, {"model": model, "prompt": "Hi", "max_tokens": 4})
            if o.cancelled:
                cancelled(load, o.cancelled // 2)  # until what is allocated once is there
                before, after = cancelled(load, o.cancelled)
                if after["process_resident_memory_bytes"] > 1.05 * before["process_resident_memory_bytes"] + (4 << 20):
                    wrong.append("memory grew")
            if o.minutes:
                early, late = soak(load, o.minutes, o.idle, o.active)
                print("resident: %.1f MiB in the second fifth, %.1f MiB in the last: %+.1f %%" % (early / 2 ** 20, late / 2 ** 20, 100 * (late / early - 1)))
                if late > 1.05 * early + (4 << 20):
                    wrong.append("memory grew")
            m = settled(server)
            show("at the end", m)
            print("requests:", dict(sorted(load.counts.items())), "models loaded: %d, unloaded: %d" % (m["tare_model_loads_total"], m["tare_model_unloads_total"]))
            if m["tare_requests_running"] or m["tare_requests_waiting"] or m["tare_connections"] != 1 or any(v for k, v in m.items() if k.startswith("tare_slots_used")):
                wrong.append("something is left")
            wrong += load.wrong[:5]
    for one in wrong:
        print("wrong:", one)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
