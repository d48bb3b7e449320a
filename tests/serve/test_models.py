#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test_models.py TARE [CLASS..]: models that are loaded on demand, and states that are kept. Standard library only."""
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from kit import CHAT, TARE, TEXT, Server, copy_fable, make_model

MIB = 1 << 20


def ask_text(server, model, **fields):
    return server.ask(TEXT, {"model": model, "prompt": "Once upon a time", "temperature": 0, "max_tokens": 8, **fields})


class Folder(unittest.TestCase):
    """tare serve --models-dir"""

    @classmethod
    def setUpClass(cls):
        cls.room = tempfile.TemporaryDirectory()
        folder = cls.folder = cls.room.name
        for name in ("b", "c", "d"):
            copy_fable(folder, name)
        make_model(folder, "a-mamba", "mamba")
        broken = copy_fable(folder, "broken")
        os.truncate(os.path.join(broken, "model.safetensors"), 100000)
        for name in (".hidden", "empty", "notes.txt", "part-00002-of-00002.gguf"):
            if name[0] in ".e":
                os.mkdir(os.path.join(folder, name))
            else:
                with open(os.path.join(folder, name), "w", encoding="utf-8"):
                    pass
        subprocess.run([TARE, "convert", os.path.join(folder, "d"), "-o", os.path.join(folder, "e.gguf"), "--to", "gguf"],
                       check=True, capture_output=True)

    @classmethod
    def tearDownClass(cls):
        cls.room.cleanup()

    def states(self, server):
        return {m["id"]: m["status"]["value"] for m in server.ask("/v1/models")[1]["data"]}

    def test_by_name(self):
        """Every model is offered by its name alone, and loaded when a request names it."""
        with Server("--models-dir", self.folder) as server:
            self.assertEqual(self.states(server), dict.fromkeys(("a-mamba", "b", "broken", "c", "d", "e"), "unloaded"))
            self.assertNotIn(self.folder, json.dumps(server.ask("/v1/models")[1]))
            texts = [ask_text(server, name) for name in ("b", "d", "e", "a-mamba")]
            self.assertEqual([status for status, _ in texts], 4 * [200])
            self.assertEqual(texts[0][1]["choices"][0]["text"], texts[1][1]["choices"][0]["text"])
            self.assertEqual(texts[0][1]["model"], "b")
            self.assertEqual(self.states(server), {"a-mamba": "loaded", "b": "loaded", "broken": "unloaded", "c": "unloaded", "d": "loaded", "e": "loaded"})
            self.assertEqual(server.ask("/v1/models/b")[1]["max_model_len"], 256)
            for name in ("f", "../models/fable", self.folder + "/b", "b/", "", "notes.txt", ".hidden", "empty"):
                status, answer = ask_text(server, name)
                self.assertEqual((status, answer["error"]["code"]), (404, "model_not_found"), name)
            self.assertEqual(ask_text(server, 5)[0], 400)
            self.assertEqual(server.ask(TEXT, {"prompt": "Hi", "max_tokens": 1})[1]["model"], "a-mamba")  # the first one

    def test_other_paths(self):
        """Whatever needs a model loads it."""
        with Server("--models-dir", self.folder) as server:
            self.assertEqual(server.ask("/tokenize", {"model": "b", "content": "Hi"})[0], 200)
            self.assertEqual(server.ask("/tare/plan", {"model": "c"})[1]["plan"]["model"], "c")
            self.assertEqual(server.ask("/v1/embeddings", {"model": "d", "input": "Hi"})[0], 200)
            self.assertEqual(server.ask("/v1/messages", {"model": "e", "max_tokens": 4, "messages": [{"role": "user", "content": "Hi"}]})[0], 200)

    def test_broken(self):
        """A broken model is an error of the request that names it, told without a path."""
        with Server("--models-dir", self.folder) as server:
            for _ in range(2):
                status, answer = ask_text(server, "broken")
                self.assertEqual((status, answer["error"]["type"]), (500, "server_error"), answer)
                self.assertIn("broken", answer["error"]["message"])
                self.assertNotIn(self.folder, answer["error"]["message"])
            self.assertEqual(ask_text(server, "b")[0], 200)
            metrics = server.metrics()
            self.assertEqual(metrics["tare_model_failures_total"], 1)  # the second time it is not tried again so soon
            self.assertEqual((metrics['tare_model_loaded{model="b"}'], metrics['tare_model_loaded{model="broken"}']), (1, 0))

    def test_budget(self):
        """The model that nobody used for longest goes when another one needs the memory."""
        with Server("--models-dir", self.folder, "--models-memory", "6", "--memory", "1") as server:
            for name in "bc":
                self.assertEqual(ask_text(server, name)[0], 200)
            ask_text(server, "b")
            self.assertEqual(ask_text(server, "d")[0], 200)
            states = self.states(server)
            self.assertEqual((states["b"], states["c"], states["d"]), ("loaded", "unloaded", "loaded"), states)
            for name in 3 * "bcd":
                self.assertEqual(ask_text(server, name)[0], 200)
            metrics = server.metrics()
            self.assertLessEqual(metrics["tare_models_bytes"], metrics["tare_models_limit_bytes"])
            self.assertGreater(metrics["tare_model_unloads_total"], 3)

    def test_too_large(self):
        """What cannot fit is refused, with numbers, and alone."""
        with Server("--models-dir", self.folder, "--models-memory", "2", "--memory", "1") as server:
            status, answer = ask_text(server, "b")
            self.assertEqual((status, answer["error"]["type"]), (503, "unavailable_error"), answer)
            self.assertIn("GiB", answer["error"]["message"])
            self.assertEqual(ask_text(server, "a-mamba")[0], 200)

    def test_in_use(self):
        """A model whose texts are running stays; the request for another one waits for their end."""
        with Server("--models-dir", self.folder, "--models-memory", "4", "--memory", "1") as server:
            ask_text(server, "b")
            body = json.dumps({"model": "b", "prompt": "Hi", "max_tokens": 200, "ignore_eos": True, "n": 16, "stream": True}).encode()
            with socket.create_connection(("127.0.0.1", server.port), timeout=30) as s:
                s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                stream = s.makefile("rb")
                self.assertIn(b"200", stream.readline())
                found = []
                other = threading.Thread(target=lambda: found.append(ask_text(server, "c")))
                other.start()
                self.assertTrue(stream.read().rstrip().endswith(b"0"))  # whole, with its last chunk
            other.join()
            self.assertEqual(found[0][0], 200)
            self.assertEqual(self.states(server)["b"], "unloaded")

    def test_beside(self):
        """Texts of a model go on while another one is loaded, and many may ask for it."""
        with Server("b", "--models-dir", self.folder, cwd=self.folder) as server:
            stop, counts = threading.Event(), []

            def go_on():
                while not stop.is_set():
                    counts.append(ask_text(server, "b")[0])

            beside = threading.Thread(target=go_on)
            beside.start()
            found = []
            threads = [threading.Thread(target=lambda name=name: found.append(ask_text(server, name)[0])) for name in 8 * ["c", "d", "e", "broken"]]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            stop.set()
            beside.join()
            self.assertEqual(sorted(found), 24 * [200] + 8 * [500])
            self.assertEqual(set(counts), {200})
            self.assertEqual(server.metric("tare_model_loads_total"), 4)

    def test_leaving(self):
        """A client that leaves while its model is loaded leaves nothing behind, and neither does a server that ends then."""
        with Server("--models-dir", self.folder) as server:
            body = json.dumps({"model": "c", "prompt": "Hi"}).encode()
            for _ in range(8):
                with socket.create_connection(("127.0.0.1", server.port), timeout=30) as s:
                    s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            self.assertEqual(ask_text(server, "c")[0], 200)
            for name in "bde":
                s = socket.create_connection(("127.0.0.1", server.port), timeout=30)
                data = body.replace(b'"c"', b'"%s"' % name.encode())
                s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
                s.close()
        self.assertEqual(server.process.returncode, 0)


class Start(unittest.TestCase):
    def refused(self, *flags):
        return subprocess.run([TARE, "serve", "--port", "0", *flags], capture_output=True, text=True, check=False)

    def test_together(self):
        """Models that do not fit together are refused at the start, with a sentence."""
        done = self.refused("models/fable", "fable", "--alias", "a", "--alias", "b", "--models-memory", "4", "--memory", "1")
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertRegex(done.stderr, r"b: takes [\d.]+ GiB for its weights; of the [\d.]+ GiB for all models")
        with Server("models/fable", "fable", "--alias", "a", "--alias", "b", "--models-memory", "8", "--memory", "1") as server:
            self.assertEqual(server.ask("/v1/models")[0], 200)

    def test_folder(self):
        """A folder that is not there, or has no model, is refused."""
        self.assertEqual(self.refused("--models-dir", "nothing").returncode, 3)
        self.assertEqual(self.refused("--models-dir", "tests/data/serve").returncode, 2)
        with Server(TARE_SERVE_MODELS_DIR="models", TARE_SERVE_MODELS_MEMORY="100") as server:
            self.assertEqual(ask_text(server, "fable")[0], 200)
            self.assertEqual(server.metric("tare_models_limit_bytes"), 100 * MIB)


class Prefixes(unittest.TestCase):
    """States that are kept: in cached_tokens, in /metrics, and in answers that stay the same."""

    def prompts(self, system, n, tail=8):
        return [[3 + i % 90 for i in range(system)] + [100 + 7 * k + i for i in range(tail)] for k in range(n)]

    def ask(self, server, ids, **fields):
        status, answer = server.ask(TEXT, {"prompt": ids, "temperature": 0, "max_tokens": 6, "logprobs": 1, **fields})
        self.assertEqual(status, 200, answer)
        return answer["choices"][0], answer["usage"]["prompt_tokens_details"]["cached_tokens"]

    def test_system_prompt(self):
        """What requests share is read once, also after all that follows it was let go; a branch point is kept."""
        with Server("--memory", "1") as server, Server() as other:
            prompts = self.prompts(160, 30)
            cached = [self.ask(server, ids)[1] for ids in prompts]
            self.assertEqual(cached, [0] + 29 * [160])
            metrics = server.metrics()
            self.assertGreater(metrics['tare_prefix_evictions_total{model="fable"}'], 0)
            self.assertLessEqual(metrics['tare_state_bytes{model="fable"}'], metrics['tare_state_limit_bytes{model="fable"}'])
            self.assertEqual(metrics['tare_prefix_hits_total{model="fable"}'], 29)
            for ids in prompts[:3]:
                self.assertEqual(self.ask(server, ids)[0], self.ask(other, ids)[0])

    def test_many(self):
        """Far more states are kept than there are places, since they share what they have in common."""
        with Server() as server:
            prompts = self.prompts(200, 150)
            for ids in prompts:
                self.ask(server, ids)
            self.assertEqual([self.ask(server, ids)[1] for ids in prompts], 150 * [207])
            self.assertGreaterEqual(server.metric('tare_cached_states{model="fable"}'), 150)

    def test_beside(self):
        """A running text's state is continued, too."""
        for _ in range(10):
            with Server() as server:
                ids, events = self.prompts(100, 2), []
                body = {"prompt": ids[0], "max_tokens": 140, "ignore_eos": True, "temperature": 0, "n": 16}
                thread = threading.Thread(target=lambda events=events, body=body: events.extend(server.events(TEXT, body)))
                thread.start()
                while server.metric("tare_generated_tokens_total") == 0:
                    time.sleep(0.001)
                cached = self.ask(server, ids[1], max_tokens=1)[1]
                running = server.metric('tare_slots_used{model="fable"}')
                thread.join()
            if running == 16:
                self.assertEqual(cached, 100)
                return
        self.fail("the texts had always ended before")

    def test_sums(self):
        """A recurrence cannot be rewound: it is continued from where prompts parted before, and the text is the same."""
        with tempfile.TemporaryDirectory() as folder:
            for table in ("mamba", "lfm2"):
                path = make_model(folder, table, table)
                with Server(path) as server, Server(path) as other:
                    prompts = self.prompts(300, 5)
                    cached = [self.ask(server, ids)[1] for ids in prompts]
                    self.assertEqual(cached, [0, 0, 300, 300, 300], table)
                    for ids in prompts[3:]:
                        self.assertEqual(self.ask(server, ids)[0], self.ask(other, ids)[0])
                    repeated = [self.ask(server, prompts[4])[1] for _ in range(3)]
                    self.assertEqual(repeated[-1], 300)
                    choices = server.ask(TEXT, {"prompt": prompts[0][::-1], "n": 3, "temperature": 0, "max_tokens": 6})[1]["choices"]
                    self.assertEqual(len({c["text"] for c in choices}), 1)

    def test_turns(self):
        """Each turn of a chat continues the state of the one before."""
        with tempfile.TemporaryDirectory() as folder:
            for path in (make_model(folder, "mamba2", "mamba2"), "models/fable"):
                with Server(path) as server:
                    messages, cached = [], []
                    for turn in range(4):
                        messages.append({"role": "user", "content": "Tell me about a fox, please." if turn == 0 else "And then?"})
                        answer = server.ask(CHAT, {"messages": messages, "temperature": 0, "max_tokens": 12, "ignore_eos": True})[1]
                        messages.append({"role": "assistant", "content": answer["choices"][0]["message"]["content"]})
                        cached.append((answer["usage"]["prompt_tokens_details"]["cached_tokens"], answer["usage"]["prompt_tokens"]))
                    if path == "models/fable":
                        for (held, _), (_, before) in zip(cached[1:], cached):
                            self.assertGreaterEqual(held, before)
                    else:
                        self.assertGreater(cached[3][0], cached[0][1], cached)

    def test_metrics(self):
        """Every figure has its help and type, no label is a client's, and what ends is given back."""
        with Server() as server:
            self.ask(server, self.prompts(50, 1)[0], user='x"y', model="fable")
            text = server.ask("/metrics")[1].decode()
            names = set(re.findall(r"^([a-z_]+?)(?:_bucket|_sum|_count)?(?:\{.*\})? ", text, re.M))
            self.assertEqual(names, set(re.findall(r"^# TYPE (\S+)", text, re.M)))
            self.assertEqual(names, set(re.findall(r"^# HELP (\S+) \S", text, re.M)))
            self.assertEqual(set(re.findall(r'(\w+)="', text)), {"le", "status", "model"})
            metrics = server.metrics()
            self.assertEqual((metrics['tare_slots{model="fable"}'], metrics['tare_slots_used{model="fable"}']), (32, 0))
            self.assertGreater(metrics["process_resident_memory_bytes"], MIB)
            self.assertGreater(metrics["process_open_fds"], 5)


if __name__ == "__main__":
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../.."))
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
