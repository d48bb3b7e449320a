#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test_wire.py TARE [CLASS..]: what comes over the wire, byte by byte: framing, limits, deadlines, hosts, keys and clients that
misbehave, by docs/serve.md. Standard library only."""
import json
import os
import re
import socket
import struct
import sys
import threading
import time
import unittest

from kit import CHAT, TEXT, Server

HOST = b"Host: localhost\r\n"
GET = b"GET /health HTTP/1.1\r\n" + HOST
POST = b"POST /tokenize HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
BODY = b'{"content":"Hi"}'
LENGTH = b"Content-Length: %d\r\n" % len(BODY)


def post(fields, body=b""):
    return POST + fields + b"\r\n" + body


def chunked(body, fields=b""):
    return post(fields + b"Transfer-Encoding: chunked\r\n", body)


class Wire(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()

    @classmethod
    def tearDownClass(cls):
        with cls.server:
            pass

    def connect(self, small=False):
        s = socket.socket()
        if small:  # so that little of an answer is on its way
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.settimeout(60)
        s.connect(("127.0.0.1", self.server.port))
        return s

    def answers(self, data, server=None):
        """The statuses of all answers to some bytes, until the server closes; our side stays open."""
        with socket.create_connection(("127.0.0.1", (server or self.server).port), timeout=30) as s:
            s.sendall(data)
            got = b""
            while piece := s.recv(65536):
                got += piece
        return [int(one) for one in re.findall(rb"HTTP/1\.1 (\d{3}) [A-Z]", got)]

    def check(self, cases, more=b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"):
        """Each is refused with one answer, and what follows on the connection is not taken for a request."""
        for data, status in cases:
            with self.subTest(data[:300]):
                self.assertEqual(self.answers(data + more), [status] if isinstance(status, int) else status)


class Framing(Wire):
    def test_length(self):
        self.check([(post(b"Content-Length: %s\r\n" % value, BODY), 400) for value in
                    (b"16, 16", b"+16", b"-16", b"0x10", b"1e1", b"16 16", b"", b"18446744073709551632", b"99999999999999999999999", b"\xef\xbc\x91", b"16;", b"'16'")])
        self.check([(post(2 * LENGTH, BODY), 400), (post(LENGTH + b"Content-Length: 3\r\n", BODY), 400),
                    (post(LENGTH + b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400), (chunked(b"0\r\n\r\n", LENGTH), 400),
                    (post(b"Content-Length: 16777217\r\n"), 413), (post(b"Content-Length: 16777217\r\nExpect: 100-continue\r\n"), 413)])

    def test_coding(self):
        for value in (b"gzip", b"xchunked", b"chunked, chunked", b"gzip, chunked", b"identity", b"", b'"chunked"', b"chunked;q=1"):
            found = self.answers(post(b"Transfer-Encoding: %s\r\n" % value, b"0\r\n\r\n"))
            self.assertIn(found, ([400], [501]), value)
        self.check([(chunked(b"0\r\n\r\n", b"Transfer-Encoding: chunked\r\n"), 400), (post(b"Transfer-Encoding: \x0bchunked\r\n"), 400),
                    (post(b"Transfer-Encoding : chunked\r\n"), 400), (b"POST /tokenize HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)])

    def test_chunks(self):
        for size in (b"-1", b"+10", b"0x10", b"g", b"", b" 10", b"10 ", b"1 0", b"00000000000000010", b"ffffffffffffffffff", b"10\t", b"10;a\x01", b"10\x00"):
            self.assertEqual(self.answers(chunked(size + b"\r\n" + BODY + b"\r\n0\r\n\r\n")), [400], size)
        close = b"Connection: close\r\n"
        self.check([(chunked(b"10\n" + BODY + b"\r\n0\r\n\r\n"), 400), (chunked(b"10\r\n" + BODY + b"\n0\r\n\r\n"), 400), (chunked(b"10\r\n" + BODY + b"xx0\r\n\r\n"), 400),
                    (chunked(b"1000001\r\n"), 413), (chunked(b"fffffff\r\n"), 413), (chunked(b"ffffffffffffffff\r\n"), 413), (chunked(b"10;" + 2000 * b"a" + b"\r\n"), 400),
                    (chunked(b"10\r\n" + BODY + b"\r\n0\r\nbad trailer\r\n\r\n"), 400), (chunked(b"10\r\n" + BODY + b"\r\n0\r\n" + 200 * b"a: b\r\n" + b"\r\n"), 400),
                    (chunked(b"10\r\n" + BODY + b"\r\n0\r\nContent-Length: 5\r\n\r\n", close), 200), (chunked(b"A;x=y\r\n" + BODY[:10] + b"\r\n006 ; z\r\n" + BODY[10:] + b"\r\n0\r\nT: v\r\n\r\n", close), 200)])

    def test_lines(self):
        self.check([(GET + line + b"\r\n\r\n", 400) for line in
                    (b"X: a\r\n b", b"X: a\r\n\tb", b" X: a", b"X : a", b"X\t: a", b"X", b": a", b"X\x00: a", b"X: a\x00b", b"X: a\x7fb", b"X: a\x1fb", b"X: a\rb", b"X(: a",
                     b"X\xe9: a", b"X: a\r\r", b"\rX: a", b"@: a", b"a b: c", b"[x]: c")])
        for line in (b"X: a\n", b"X: a\nY: b\r\n"):  # a bare LF may be taken or refused, but never seen in two ways
            self.assertIn(self.answers(GET + line + b"Connection: close\r\n\r\n"), ([200], [400]))
        self.assertEqual(self.answers(GET + b"X:\r\nY: \xc3\xa9\t!\r\nConnection: close\r\n\r\n"), [200])
        self.assertEqual(self.answers(b"\r\n\r\n" + GET + b"Connection: close\r\n\r\n"), [200])

    def test_first_line(self):
        self.check([(line + b"\r\n" + HOST + b"\r\n", status) for line, status in
                    ((b"GET /health", 400), (b"GET  /health HTTP/1.1", 400), (b"GET /health  HTTP/1.1", 400), (b"GET /health HTTP/1.1 ", 400), (b"GET\t/health\tHTTP/1.1", 400),
                     (b" GET /health HTTP/1.1", 400), (b"G@T /health HTTP/1.1", 400), (b"GET /he\x01lth HTTP/1.1", 400), (b"GET /he\x00lth HTTP/1.1", 400), (b"GET health HTTP/1.1", 400),
                     (b"GET /health http/1.1", 400), (b"GET /health HTTP/1.x", 505), (b"GET /health HTTP/0.9", 505), (b"GET /health HTTP/3.0", 505), (b"GET /health HTTP/11.1", 400),
                     (b"PRI * HTTP/2.0", 505), (b"CONNECT localhost:80 HTTP/1.1", 501), (b"TRACE /health HTTP/1.1", 501), (b"GET /" + 70000 * b"a" + b" HTTP/1.1", 414), (40 * b"A" + b" / HTTP/1.1", 400))],
                   more=b"")
        self.assertEqual(self.answers(b"\x16\x03\x01\x02\x00\x01\x00\r\n"), [400])

    def test_limits(self):
        near = b"".join(b"X-%d: %s\r\n" % (i, 600 * b"a") for i in range(97))
        self.assertEqual(self.answers(GET + near + b"Connection: close\r\n\r\n"), [200])
        self.check([(GET + 100 * b"X: a\r\n" + b"\r\n", 431), (GET + b"X: " + 66000 * b"a" + b"\r\n\r\n", 431), (GET + near + b"X: " + 9000 * b"a" + b"\r\n\r\n", 431)])
        deep = b'{"content":"a","x":%s}'
        for n, status in ((198, 200), (300, 400), (100000, 400)):
            body = deep % (n * b"[" + n * b"]")
            self.assertEqual(self.answers(post(b"Connection: close\r\nContent-Length: %d\r\n" % len(body), body)), [status], n)
        body = b'{"content":"Hi","x":"' + b"a" * ((16 << 20) - 23) + b'"}'
        self.assertEqual(len(body), 16 << 20)
        self.assertEqual(self.answers(post(b"Connection: close\r\nContent-Length: %d\r\n" % len(body), body)), [200])


class Requests(Wire):
    def test_targets(self):
        close = b"Connection: close\r\n\r\n"
        for target, host, status in ((b"http://localhost/health", b"localhost", 200), (b"HTTP://LOCALHOST:1/health?x", b"evil.example", 200), (b"http://evil.example/health", b"localhost", 403),
                                     (b"http://localhost?x", b"localhost", 200), (b"http://localhost@evil.example/", b"localhost", 403), (b"http:///health", b"localhost", 400),
                                     (b"ftp://localhost/", b"localhost", 400), (b"/health?key=a/../b", b"localhost", 200), (b"/health/", b"localhost", 404), (b"/%68ealth", b"localhost", 404),
                                     (b"//health", b"localhost", 404), (b"/health#x", b"localhost", 404), (b"/v1/models/%2e%2e", b"localhost", 404), (b"*", b"localhost", 404)):
            self.assertEqual(self.answers(b"GET %s HTTP/1.1\r\nHost: %s\r\n" % (target, host) + close), [status], target)

    def test_hosts(self):
        for host, status in ((b"localhost", 200), (b"LocalHost:99", 200), (b"127.0.0.1", 200), (b"[::1]", 200), (b"[::1]:80", 200), (b"localhost:", 200), (b"evil.example", 403), (b"", 403),
                             (b"localhost.evil.example", 403), (b"127.0.0.1.evil.example", 403), (b"[::1", 403), (b"[::1]evil.example", 403), (b"localhost:evil.example", 403), (b"localhost:80:90", 403),
                             (b"localhost:-1", 403), (b"0.0.0.0", 403), (b"[::1]:80evil", 403), (b"localhost, evil.example", 403), (b"localhost/evil", 403), (b"a@localhost", 403)):
            self.assertEqual(self.answers(b"GET /health HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % host), [status], host)
        self.check([(b"GET /health HTTP/1.1\r\n\r\n", 400), (GET + HOST + b"\r\n", 400), (b"GET http://localhost/health HTTP/1.1\r\n\r\n", 400)])
        with Server("--allow-host", "tare.example", "--allow-host", "fe80::1") as server:
            for host, status in ((b"tare.example", 200), (b"TARE.example:443", 200), (b"tare.example.org", 403), (b"[fe80::1]", 200), (b"fe80::1", 403)):
                self.assertEqual(self.answers(b"GET /health HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % host, server), [status], host)

    def test_types(self):
        for value, status in ((b"application/json", 200), (b"Application/JSON; Charset=UTF-8", 200), (b'application/json;charset="utf-8"', 200), (b"application/json; charset=latin1", 415),
                              (b"application/json; charset=utf-80", 415), (b"application/jsonp", 415), (b"text/plain", 415), (b"application/x-www-form-urlencoded", 415), (b"application/json, text/plain", 415), (b"", 415)):
            data = b"POST /tokenize HTTP/1.1\r\n" + HOST + b"Connection: close\r\nContent-Type: %s\r\n" % value + LENGTH + b"\r\n" + BODY
            self.assertEqual(self.answers(data), [status], value)
        self.check([(post(b"Content-Encoding: gzip\r\n" + LENGTH, BODY), 415), (b"POST /tokenize HTTP/1.1\r\n" + HOST + LENGTH + b"\r\n" + BODY, 415)])

    def test_expect(self):
        with self.connect() as s:
            s.sendall(post(LENGTH + b"Expect: 100-Continue\r\n"))
            self.assertEqual(s.recv(1000), b"HTTP/1.1 100 Continue\r\n\r\n")
            s.sendall(BODY)
            self.assertTrue(s.recv(1000).startswith(b"HTTP/1.1 200"))
        self.check([(post(LENGTH + b"Expect: 200-ok\r\n"), 417), (b"POST /nothing HTTP/1.1\r\n" + HOST + LENGTH + b"Expect: 100-continue\r\n\r\n", 404)])

    def test_order(self):
        """Pipelined requests are answered in order, and refusals without a body leave the connection open."""
        data = post(LENGTH, BODY) + GET + b"\r\n" + b"GET /nothing HTTP/1.1\r\n" + HOST + b"\r\n" + b"HEAD /health HTTP/1.1\r\n" + HOST + b"\r\n" + post(LENGTH, b"x" * 16) + \
            b"GET /v1/completions HTTP/1.1\r\n" + HOST + b"\r\n" + GET + b"Connection: close\r\n\r\n" + GET + b"\r\n"
        self.assertEqual(self.answers(data), [200, 200, 404, 200, 400, 405, 200])

    def test_bytewise(self):
        """A request that comes byte by byte is the same request."""
        for data in (post(b"Connection: close\r\n" + LENGTH, BODY), chunked(b"10\r\n" + BODY + b"\r\n0\r\nA: b\r\n\r\n", b"Connection: close\r\n")):
            with self.connect() as s:
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for i in range(len(data)):
                    s.sendall(data[i:i + 1])
                self.assertTrue(s.makefile("rb").read().startswith(b"HTTP/1.1 200"))

    def test_old(self):
        with self.connect() as s:
            s.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            self.assertTrue(s.makefile("rb").read().endswith(b'{"status":"ok"}'))
        self.assertEqual(self.answers(b"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /health HTTP/1.0\r\n\r\n"), [200, 200])
        body = json.dumps({"prompt": "Hi", "stream": True, "max_tokens": 3}).encode()
        with self.connect() as s:
            s.sendall(b"POST /v1/completions HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            got = s.makefile("rb").read()
        self.assertNotIn(b"chunked", got)
        self.assertTrue(got.endswith(b"data: [DONE]\n\n"))

    def test_errors(self):
        """An error is one object with four keys, and quotes little of the request."""
        for path, body in ((TEXT, {"prompt": "Hi", "temperature": 9}), ("/nothing" + 900 * "x%7f", None), (CHAT, {"model": 700 * "\u00e9\n", "messages": []})):
            status, answer = self.server.ask(path, body)
            self.assertIn(status, (400, 404))
            self.assertEqual(set(answer["error"]), {"message", "type", "param", "code"})
            self.assertLess(len(answer["error"]["message"].encode()), 400)
            self.assertNotRegex(answer["error"]["message"], r"[\x00-\x1f\x7f]")

    def test_cors(self):
        """Without --cors there is no word about other origins; with it that origin's alone."""
        ask = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        with Server("--cors", "https://a.example") as open_one:
            for server, origin, allowed in ((self.server, "https://evil.example", False), (open_one, "https://evil.example", False), (open_one, "https://a.example", True)):
                with socket.create_connection(("127.0.0.1", server.port), timeout=30) as s:
                    s.sendall(b"GET /v1/models HTTP/1.1\r\n" + HOST + b"Connection: close\r\nOrigin: %s\r\n\r\n" % origin.encode())
                    got = s.makefile("rb").read().lower()
                self.assertEqual(b"access-control" in got, allowed)
            self.assertIn(self.server.ask(CHAT, method="OPTIONS", headers=ask)[0], (403, 405))

    def test_keys(self):
        with Server("--api-key", "right", "--api-key", "other") as server:
            for fields, status in ((b"", 401), (b"Authorization: Bearer right\r\n", 200), (b"authorization: BEARER   other\r\n", 200), (b"x-api-key: right\r\n", 200), (b"Authorization: right\r\n", 401),
                                   (b"Authorization: Basic right\r\n", 401), (b"Authorization: Bearer\r\n", 401), (b"Authorization: Bearer righ\r\n", 401), (b"Authorization: Bearer rightright\r\n", 401),
                                   (b"Authorization: Bearer right right\r\n", 401), (b"x-api-key:\r\n", 401), (b"x-api-key: rightx\r\n", 401)):
                self.assertEqual(self.answers(b"GET /v1/models?api_key=right HTTP/1.1\r\n" + HOST + b"Connection: close\r\n" + fields + b"\r\n", server), [status], fields)
            for path in (b"/nothing", b"/metrics", b"/v1/models/x"):
                self.assertEqual(self.answers(b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n", server), [401], path)
            self.assertEqual(self.answers(post(b"Content-Encoding: gzip\r\n" + LENGTH, b"{" * 16), server), [401])
            self.assertEqual(self.answers(GET + b"Connection: close\r\n\r\n", server), [200])


class Clients(Wire):
    """Clients that leave, stall, or send what nobody asked for."""

    def long(self, **fields):
        body = json.dumps({"prompt": "Hi", "max_tokens": 240, "ignore_eos": True, "temperature": 0, **fields}).encode()
        return b"POST /v1/completions HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body), b"\r\n" + body

    def until(self, true, seconds=10):
        end = time.monotonic() + seconds
        while not true() and time.monotonic() < end:
            time.sleep(0.01)
        self.assertTrue(true())

    def idle(self):
        metrics = self.server.metrics()
        return not metrics["tare_requests_running"] and not metrics["tare_requests_waiting"] and metrics["tare_connections"] == 1

    def test_pipeline_unread(self):
        """Answers that nobody reads are not heaped up: further requests are left unread."""
        before = self.server.metric("process_resident_memory_bytes")
        one = b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n"
        with self.connect(small=True) as s:
            s.settimeout(1)
            sent = 0
            try:
                for _ in range(400):
                    s.sendall(one * 1000)  # of answers that is some 8 MB
                    sent += 1000
            except socket.timeout:
                pass
            self.assertLess(sent, 100000)
            self.assertLess(self.server.metric("process_resident_memory_bytes") - before, 32 << 20)
        self.until(self.idle)

    def test_pipeline_read(self):
        """The same requests are all answered when the client reads."""
        one = b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n"
        with self.connect() as s:
            sender = threading.Thread(target=lambda: s.sendall(one * 2000 + GET + b"Connection: close\r\n\r\n"))
            sender.start()
            got = s.makefile("rb").read()
            sender.join()
        self.assertEqual(got.count(b"HTTP/1.1 200 OK"), 2001)

    def test_half_close_large(self):
        """A client that shuts its side after an answer began gets all of it."""
        head, body = self.long(n=16, logprobs=20)
        with self.connect(small=True) as s:
            s.sendall(head + body)
            first = s.recv(1000)
            s.shutdown(socket.SHUT_WR)
            time.sleep(0.3)
            got = first + s.makefile("rb").read()
        start = got.index(b"\r\n\r\n") + 4
        self.assertEqual(len(got) - start, int(re.search(rb"Content-Length: (\d+)", got)[1]))
        self.assertEqual(len(json.loads(got[start:])["choices"]), 16)

    def test_leave(self):
        """However a client leaves, and whenever: its places are free at once."""
        for stream in (True, False):
            for how in ("close", "reset", "half"):
                for wait in (0, 0.005, 0.02):
                    head, body = self.long(stream=stream, n=8)
                    with self.connect() as s:
                        if how == "reset":
                            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        s.sendall(head + body)
                        time.sleep(wait)
                        if how == "half":
                            s.shutdown(socket.SHUT_WR)
                            self.until(self.idle_of_texts, 2)
                    self.until(self.idle_of_texts, 2)
        self.until(self.idle)

    def idle_of_texts(self):
        metrics = self.server.metrics()
        return not metrics["tare_requests_running"] and not metrics["tare_requests_waiting"]

    def test_garbage(self):
        """Bytes at random, also within requests, end no server."""
        state = 7
        for round_ in range(300):
            data = bytearray(chunked(b"10\r\n" + BODY + b"\r\n0\r\n\r\n") if round_ % 2 else post(LENGTH, BODY))
            for _ in range(1 + round_ % 5):
                state = (state * 1103515245 + 12345) % (1 << 31)
                data[state % len(data)] = (state >> 16) % 256
            with self.connect() as s:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                s.makefile("rb").read()
        self.until(self.idle)
        self.assertEqual(self.server.ask("/health")[0], 200)

    def test_large_texts(self):
        """Texts that take seconds to read hold up nobody who asks for little."""
        with Server() as server:
            large = json.dumps({"content": "a" * (6 << 20)}).encode()
            ended = []
            threads = [threading.Thread(target=lambda: ended.append(server.ask("/tokenize", large)[0])) for _ in range(4)]
            for t in threads:
                t.start()
            time.sleep(0.5)
            start = time.monotonic()
            for _ in range(5):
                self.assertEqual(server.ask(TEXT, {"prompt": "Hi", "max_tokens": 4})[0], 200)
            took = time.monotonic() - start
            for t in threads:
                t.join()
            self.assertEqual(ended, 4 * [200])
            self.assertLess(took, 2)

    def test_shares(self):
        """Without keys a client cannot make itself several by sending several."""
        with Server("--parallel", "2") as server:
            order = []

            def ask(name, host, fields, tokens):
                body = json.dumps({"prompt": "Hi", "max_tokens": tokens, "ignore_eos": True}).encode()
                with socket.socket() as s:
                    s.bind((host, 0))
                    s.connect(("127.0.0.1", server.port))
                    s.sendall(b"POST /v1/completions HTTP/1.1\r\n" + HOST + fields + b"Connection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                    s.makefile("rb").read()
                order.append(name)

            threads = [threading.Thread(target=ask, args=("many", "127.0.0.1", b"Authorization: Bearer %d\r\n" % i, 240)) for i in range(40)]
            for t in threads:
                t.start()
            while server.metric("tare_requests_waiting") < 30:
                time.sleep(0.001)
            ask("few", "127.0.0.2", b"", 8)
            for t in threads:
                t.join()
            self.assertLess(order.index("few"), 20, order)


class Slow(Wire):
    """Deadlines; these take their time."""

    def test_slow_download(self):
        """An answer that takes long to read is given whole, longer than all deadlines for requests."""
        body = json.dumps({"prompt": "Hi", "max_tokens": 240, "ignore_eos": True, "temperature": 0, "n": 16, "logprobs": 20}).encode()
        found = {}

        def download(keep):
            fields = b"" if keep else b"Connection: close\r\n"
            with self.connect(small=True) as s:
                s.sendall(b"POST /v1/completions HTTP/1.1\r\n" + HOST + fields + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                got, start = b"", time.monotonic()
                while b"\r\n\r\n" not in got or len(got) < got.index(b"\r\n\r\n") + 4 + int(re.search(rb"Content-Length: (\d+)", got)[1]):
                    piece = s.recv(16384)
                    if not piece:
                        break
                    got += piece
                    time.sleep(0.1 if time.monotonic() - start < (13 if keep else 33) else 0)
                found[keep] = json.loads(got[got.index(b"\r\n\r\n") + 4:])

        threads = [threading.Thread(target=download, args=(keep,)) for keep in (True, False)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual([len(found[keep]["choices"]) for keep in (True, False)], [16, 16])

    def test_deadlines(self):
        """A header has ten seconds, whatever comes of it; nothing else has to wait for it."""
        connections = [self.connect() for _ in range(5)]
        for s, data in zip(connections, (b"", b"GET /hea", GET, GET + b"X: ", post(b""))):
            s.sendall(data)
        start = time.monotonic()
        while time.monotonic() - start < 9:
            self.assertEqual(self.server.ask("/health")[0], 200)
            for s in connections[2:4]:
                s.sendall(b"X: a\r\n" if s is connections[2] else b"a")
            time.sleep(0.5)
        ends = []
        for s in connections[:4]:
            got = s.makefile("rb").read()
            ends.append(int(got.split()[1]) if got else None)
        self.assertEqual(ends, [None, 408, 408, 408])
        self.assertLess(time.monotonic() - start, 15)
        for s in connections:
            s.close()


if __name__ == "__main__":
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
