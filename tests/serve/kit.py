# SPDX-License-Identifier: MIT
"""What the server's tests share: a running server, and small models made of tables in tests/data. Standard library only."""
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys

TARE = os.path.abspath(sys.argv[1])
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FABLE = os.path.join(ROOT, "models/fable")
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"


class Server:
    """A running server; `with` ends it and says how."""

    def __init__(self, *flags, cwd=None, **variables):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("TARE_SERVE_")}
        self.process = subprocess.Popen([TARE, "serve", "--port", "0", *flags], stderr=subprocess.PIPE, text=True, cwd=cwd,
                                        env={**clean, **variables})
        line = self.process.stderr.readline()
        found = re.search(r"https?://127\.0\.0\.1:(\d+)", line)
        assert found, line
        self.port = int(found[1])

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        said = self.process.stderr.read()
        self.process.wait(60)
        self.process.stderr.close()
        assert kind or self.process.returncode == 0, said  # also where a sanitizer has found something

    def ask(self, path, body=None, method=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method or ("GET" if body is None else "POST"), path, data,
                           {**({} if body is None else {"Content-Type": "application/json"}), **(headers or {})})
        answer = connection.getresponse()
        raw = answer.read()
        connection.close()
        return answer.status, raw if answer.getheader("Content-Type") != "application/json" else json.loads(raw or "null")

    def events(self, path, body):
        """The events of a stream, without their framing."""
        status, raw = self.ask(path, {**body, "stream": True})
        assert status == 200, raw
        return [block[6:] for block in raw.decode().split("\n\n") if block.startswith("data: ")]

    def raw(self, data):
        """The status of the answer to some bytes; None: none came."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as s:
            s.sendall(data)
            line = s.makefile("rb").readline()
        return int(line.split()[1]) if line else None

    def metrics(self):
        """{name or name{labels}: number}"""
        text = self.ask("/metrics")[1].decode()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if not line.startswith("#")}

    def metric(self, name):
        return self.metrics()[name]


def copy_fable(folder, name):
    """fable under another name."""
    path = os.path.join(folder, name)
    shutil.copytree(FABLE, path)
    return path


def make_model(folder, name, table):
    """A model of random numbers with the shapes of tests/data/models/TABLE.json, and fable's vocabulary."""
    path = os.path.join(folder, name)
    os.mkdir(path)
    with open(os.path.join(ROOT, "tests/data/models", table + ".json"), encoding="utf-8") as f:
        data = json.load(f)
    [rows] = [case["rows"] for case in data["checkpoints"] if case["case"] == "hf"]
    config = {**data["config"], "max_position_embeddings": 1024}
    vocabulary = config["vocab_size"]
    config["vocab_size"] = 2048
    with open(os.path.join(path, "config.json"), "w", encoding="utf-8") as f:
        json.dump({**config, "bos_token_id": 0, "eos_token_id": 0}, f)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(os.path.join(FABLE, file), path)
    draw = random.Random(1)
    header, blob = {}, bytearray()
    for pattern, shape, _ in rows:
        found = re.search(r"\{(\d+)-(\d+)\}", pattern)
        names = [pattern.replace(found[0], str(i)) for i in range(int(found[1]), int(found[2]) + 1)] if found else [pattern]
        shape = [2048 if size == vocabulary and at == 0 else size for at, size in enumerate(shape)]
        count = 1
        for size in shape:
            count *= size
        for one in names:
            header[one] = {"dtype": "F32", "shape": shape, "data_offsets": [len(blob), len(blob) + 4 * count]}
            blob += struct.pack("<%df" % count, *(draw.gauss(0, 0.3) for _ in range(count)))
    head = json.dumps(header).encode()
    with open(os.path.join(path, "model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head + blob)
    return path
