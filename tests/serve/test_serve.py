#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test_serve.py TARE [CLASS..]: tare serve with fable, by requests and raw sockets. Standard library only."""
import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import unittest

from kit import CHAT, TARE, TEXT, Server


class One(unittest.TestCase):
    """Tests that share a server."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server()

    @classmethod
    def tearDownClass(cls):
        with cls.server:
            pass

    def text(self, **fields):
        status, answer = self.server.ask(TEXT, {"prompt": "Once upon a time", "temperature": 0, "max_tokens": 16, **fields})
        self.assertEqual(status, 200, answer)
        return answer


class Answers(One):
    def test_models(self):
        status, answer = self.server.ask("/v1/models")
        self.assertEqual((status, answer["data"][0]["id"], answer["data"][0]["max_model_len"]), (200, "fable", 256))
        self.assertEqual(self.server.ask("/v1/models/fable")[0], 200)
        self.assertEqual(self.server.ask("/v1/models/other")[1]["error"]["code"], "model_not_found")

    def test_as_run(self):
        """The greedy text is that of tare run."""
        done = subprocess.run([TARE, "run", "Once upon a time", "--max-tokens", "16"], capture_output=True, text=True, check=True,
                              stdin=subprocess.DEVNULL)
        self.assertEqual("Once upon a time" + self.text()["choices"][0]["text"] + "\n", done.stdout)

    def test_stream(self):
        """A stream's pieces are the whole text, and its logprobs are those of the whole answer."""
        body = {"messages": [{"role": "user", "content": "Hi"}], "temperature": 0, "max_tokens": 12, "logprobs": True}
        whole = self.server.ask(CHAT, body)[1]["choices"][0]
        events = self.server.events(CHAT, body)
        self.assertEqual(events.pop(), "[DONE]")
        chunks = [json.loads(e)["choices"][0] for e in events]
        self.assertEqual(chunks[0]["delta"], {"role": "assistant", "content": ""})
        self.assertEqual("".join(c["delta"].get("content", "") for c in chunks), whole["message"]["content"])
        self.assertEqual([l for c in chunks if c["logprobs"] for l in c["logprobs"]["content"]], whole["logprobs"]["content"])
        self.assertEqual(chunks[-1]["finish_reason"], whole["finish_reason"])

    def test_echo(self):
        """Greedy tokens are told by lm-eval's comparison: the logprob equals the best one."""
        ids = self.server.ask("/tokenize", {"content": "Once upon a time", "add_special": True})[1]["tokens"]
        found = self.text(prompt=ids, echo=True, logprobs=1, max_tokens=1)["choices"][0]["logprobs"]
        self.assertEqual(len(found["tokens"]), len(ids) + 1)
        self.assertIsNone(found["token_logprobs"][0])
        self.assertEqual(found["token_logprobs"][-1], max(found["top_logprobs"][-1].values()))

    def test_schema(self):
        schema = {"type": "object", "properties": {"a": {"enum": ["x", "y"]}}, "required": ["a"], "additionalProperties": False}
        form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
        for seed in range(3):
            answer = self.text(response_format=form, temperature=2, seed=seed, max_tokens=64)["choices"][0]
            self.assertEqual(answer["finish_reason"], "stop")
            self.assertIn(json.loads(answer["text"]), [{"a": "x"}, {"a": "y"}])

    def test_tool(self):
        tool = {"type": "function", "function": {"name": "go", "parameters": {
            "type": "object", "properties": {"to": {"enum": ["N", "S"]}}, "required": ["to"], "additionalProperties": False}}}
        body = {"messages": [{"role": "user", "content": "Hi"}], "tools": [tool], "tool_choice": "required", "temperature": 0}
        choice = self.server.ask(CHAT, body)[1]["choices"][0]
        [call] = choice["message"]["tool_calls"]
        self.assertEqual((choice["finish_reason"], call["function"]["name"]), ("tool_calls", "go"))
        self.assertIn(json.loads(call["function"]["arguments"])["to"], "NS")

    def test_other_forms(self):
        message = self.server.ask("/v1/messages", {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8, "temperature": 0})[1]
        answer = self.server.ask("/v1/responses", {"input": "Hi", "max_output_tokens": 8, "temperature": 0})[1]
        chat = self.server.ask(CHAT, {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8, "temperature": 0})[1]
        text = chat["choices"][0]["message"]["content"]
        self.assertEqual((message["content"][0]["text"], message["stop_reason"]), (text, "max_tokens"))
        self.assertEqual((answer["output"][0]["content"][0]["text"], answer["status"]), (text, "incomplete"))
        self.assertEqual(self.server.ask("/v1/messages", {"max_tokens": 0})[1]["type"], "error")

    def test_embeddings(self):
        a, b = self.server.ask("/v1/embeddings", {"input": ["A fox", "Two hens"]})[1]["data"]
        self.assertAlmostEqual(sum(x * x for x in a["embedding"]), 1, 4)
        self.assertNotEqual(a["embedding"], b["embedding"])

    def test_refused(self):
        """A field that is wrong is named, and nothing is converted."""
        for field, value in [("temperature", "1"), ("n", 17), ("max_tokens", 1.0), ("stop", [""]), ("logit_bias", {"99999": 1}),
                             ("top_p", True), ("seed", 1.5), ("response_format", {"type": "x"})]:
            status, answer = self.server.ask(TEXT, {"prompt": "Hi", field: value})
            self.assertEqual((status, answer["error"]["param"]), (400, field), answer)
        self.assertEqual(self.server.ask(TEXT, {"prompt": [1] * 256})[1]["error"]["code"], "context_length_exceeded")


class Http(One):
    def test_framing(self):
        """What two readers could understand differently is refused."""
        post = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        for data, status in [(post + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", 400), (post + b"Content-Length: +2\r\n\r\n{}", 400),
                             (post + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400), (post + b"Content-Length: 99999999\r\n\r\n", 413),
                             (post + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\n", 400), (b"GET /health HTTP/1.1\r\n\r\n", 400),
                             (b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n", 403), (b"GET /health HTTP/1.1\r\nHost : localhost\r\n\r\n", 400),
                             (b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 70000 + b"\r\n\r\n", 431),
                             (b"GET /health HTTP/2.0\r\nHost: localhost\r\n\r\n", 505), (b"GET /health HTTP/1.0\r\n\r\n", 200)]:
            with self.subTest(data[:120]):
                self.assertEqual(self.server.raw(data), status)

    def test_paths(self):
        self.assertEqual(self.server.ask("/nothing")[0], 404)
        self.assertEqual(self.server.ask(TEXT)[0], 405)
        self.assertEqual(self.server.ask("/../../etc/passwd")[0], 404)

    def test_bodies(self):
        for body in (b"", b"[]", b'{"prompt":"a","prompt":"b"}', b'{"prompt":"\xff"}', b'{"x":1e999}', b'{"x":' + b"[" * 300 + b"]" * 300 + b"}"):
            self.assertEqual(self.server.ask(TEXT, body)[0], 400, body[:40])
        self.assertEqual(self.server.ask(TEXT, {"prompt": "a"}, headers={"Content-Type": "text/plain"})[0], 415)


class Together(One):
    def test_neighbours(self):
        """Greedy and seeded texts beside 31 others are what they are alone, bit for bit: text and logprobs."""
        asked = [{"prompt": "Once upon a time, a %s" % w, "max_tokens": 24, "logprobs": 2, "ignore_eos": True, "seed": i,
                  "temperature": 0 if i % 2 else 0.9} for i, w in enumerate("bear fox cat dog king queen hen boat".split())] * 4
        alone = [self.server.ask(TEXT, body)[1]["choices"] for body in asked[:8]]
        found = [None] * len(asked)

        def go(i):
            found[i] = self.server.ask(TEXT, asked[i])[1]["choices"]

        threads = [threading.Thread(target=go, args=(i,)) for i in range(len(asked))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for i, choices in enumerate(found):
            self.assertEqual(choices, alone[i % 8])

    def test_prefix(self):
        """A prompt that was read is not read again, and the answer is the same."""
        prompt = "The old captain looked at the sea and thought of his"
        first, second = (self.text(prompt=prompt, logprobs=1) for _ in range(2))
        self.assertEqual(first["choices"], second["choices"])
        self.assertGreater(second["usage"]["prompt_tokens_details"]["cached_tokens"], 5)

    def test_shared(self):
        """Prompts that come together and begin alike are read once: all but one wait for the one that reads."""
        with Server("--parallel", "8") as server:
            prompts = [[5 + i % 90 for i in range(220)] + [100 + k] for k in range(6)]
            found = [None] * 6

            def go(i):
                found[i] = server.ask(TEXT, {"prompt": prompts[i], "temperature": 0, "max_tokens": 8, "logprobs": 1})[1]

            threads = [threading.Thread(target=go, args=(i,)) for i in range(6)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            self.assertEqual(sorted(f["usage"]["prompt_tokens_details"]["cached_tokens"] for f in found), [0] + 5 * [220])
        for prompt, answer in zip(prompts, found):
            self.assertEqual(self.text(prompt=prompt, max_tokens=8, logprobs=1, echo=False)["choices"], answer["choices"])

    def test_leave(self):
        """Clients that leave free their places."""
        body = json.dumps({"prompt": "Hi", "max_tokens": 250, "ignore_eos": True, "stream": True}).encode()
        head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        for _ in range(40):
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=30) as s:
                s.sendall(head + body)
                s.recv(10)
        end = time.monotonic() + 10
        while self.server.metric("tare_requests_running") and time.monotonic() < end:
            time.sleep(0.05)
        self.assertEqual(self.server.metric("tare_requests_running"), 0)
        self.assertEqual(self.server.metric("tare_requests_waiting"), 0)


class Process(unittest.TestCase):
    def test_flags_from_the_environment(self):
        with Server("--alias", "mine", TARE_SERVE_NO_PAGE="1", TARE_SERVE_ALIAS="theirs", TARE_SERVE_API_KEY="k", TARE_SERVE_PORT="1") as server:
            self.assertEqual(server.ask("/", headers={"Authorization": "Bearer k"})[0], 404)
            self.assertEqual(server.ask("/v1/models")[0], 401)
            status, models = server.ask("/v1/models", headers={"Authorization": "Bearer k"})
            self.assertEqual((status, models["data"][0]["id"]), (200, "mine"))  # a flag comes before a variable
        for name, value in (("PARALLEL", "0"), ("TIMEOUT", "soon"), ("EXACT", "yes"), ("TIE", "never")):
            done = subprocess.run([TARE, "serve", "--port", "0"], capture_output=True, text=True, env={**os.environ, "TARE_SERVE_" + name: value})
            self.assertEqual(done.returncode, 2)
            self.assertIn("TARE_SERVE_" + name, done.stderr)

    def test_key(self):
        with Server("--api-key", "secret") as server:
            self.assertEqual(server.ask("/health")[0], 200)
            self.assertEqual(server.ask("/v1/models")[0], 401)
            self.assertEqual(server.ask(TEXT, b"{bad")[0], 401)
            for key in ({"Authorization": "bearer secret"}, {"x-api-key": "secret"}):
                self.assertEqual(server.ask("/v1/models", headers=key)[0], 200)
            self.assertEqual(server.ask("/v1/models", headers={"Authorization": "Bearer secre"})[0], 401)

    def test_drain(self):
        """After SIGTERM what runs ends whole, and then the process does, with 0."""
        with Server("--parallel", "2") as server:
            found = []
            body = {"prompt": "Hi", "max_tokens": 240, "ignore_eos": True, "temperature": 0}
            threads = [threading.Thread(target=lambda: found.append(server.events(TEXT, body))) for _ in range(8)]
            for t in threads:
                t.start()
            while server.metric("tare_requests_running") + server.metric("tare_requests_waiting") + len(found) < 8:
                time.sleep(0.001)
            server.process.send_signal(signal.SIGTERM)
            for t in threads:
                t.join()
            self.assertTrue(found)
            self.assertTrue(all(f[-1] == "[DONE]" for f in found))
            self.assertEqual(server.process.wait(40), 0)

    def test_tls(self):
        """A stream over TLS is whole, and a client that breaks off harms nobody."""
        pem = "tests/data/serve/"  # for localhost, made by openssl req -x509 -newkey ec
        with Server("--cert", pem + "cert.pem", "--key", pem + "key.pem") as server:
            context = ssl.create_default_context(cafile=pem + "cert.pem")
            for _ in range(2):
                connection = http.client.HTTPSConnection("localhost", server.port, timeout=60, context=context)
                connection.request("POST", TEXT, json.dumps({"prompt": "Hi", "stream": True}), {"Content-Type": "application/json"})
                self.assertTrue(connection.getresponse().read().endswith(b"data: [DONE]\n\n"))
                connection.close()
                with socket.create_connection(("127.0.0.1", server.port)) as s:
                    s.sendall(b"GET /health HTTP/1.1\r\n\r\n")
                    with contextlib.suppress(ConnectionError):
                        s.recv(100)

    def test_cors(self):
        """Without --cors no header lets other origins in, and with it one origin's pages may ask."""
        with Server("--cors", "https://a.example") as server, Server() as shut:
            asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
            self.assertEqual(server.ask(CHAT, method="OPTIONS", headers=asked)[0], 204)
            self.assertEqual(shut.ask(CHAT, method="OPTIONS", headers=asked)[0], 405)

    def test_queue(self):
        """What neither runs nor may wait is refused with 429, and all else is answered."""
        with Server("--parallel", "1", "--max-queue", "2") as server:
            found = []
            body = {"prompt": "Hi", "max_tokens": 200, "ignore_eos": True}
            threads = [threading.Thread(target=lambda: found.append(server.ask(TEXT, body)[0])) for _ in range(24)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            self.assertEqual(set(found), {200, 429})

    def test_several(self):
        with Server("models/fable", "fable", "--alias", "a", "--alias", "b") as server:
            self.assertEqual([m["id"] for m in server.ask("/v1/models")[1]["data"]], ["a", "b"])
            texts = {server.ask(TEXT, {"model": m, "prompt": "Hi", "temperature": 0})[1]["choices"][0]["text"] for m in "ab"}
            self.assertEqual(len(texts), 1)


if __name__ == "__main__":
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
