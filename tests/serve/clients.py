#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""clients.py TARE: the examples of examples/clients against a running tare serve, each by the real client

Every example runs with this Python, which has the packages that they import (PyPI: openai, anthropic, litellm, langchain-openai). What a client
prints is held against the server's answer to the same question, asked by hand.
"""
import http.client
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CLIENTS = os.path.join(ROOT, "examples/clients")
QUESTION = {"messages": [{"role": "user", "content": "Tell me a story about a fox."}], "max_tokens": 30, "temperature": 0}
# what each example prints, and where the same text stands in an answer by hand
TEXTS = {"chat": "chat", "stream": "chat", "response": "chat", "text": "text"}


def ask(path, body):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer["choices"][0]


def printed(output):
    """{word: what stands behind it}, of lines that begin with a word and a colon."""
    parts = re.split(r"^(\w+): ", output, flags=re.M)
    return {word: text[:-1] for word, text in zip(parts[1::2], parts[2::2])}


def hold(name, output, expected):
    """Complaints about what an example printed."""
    found = printed(output)
    bad = ["%s: %r in place of %r" % (word, text, expected[TEXTS[word]]) for word, text in found.items()
           if word in TEXTS and text != expected[TEXTS[word]]]
    for word, pattern in (("schema", r"""\{.animal.: .(fox|hen).*\}"""), ("tool", r"""(remember )?\{.animal.: ?.(fox|hen).*\}"""), ("embeddings", "2 of 192")):
        if word in found and not re.fullmatch(pattern, found[word]):
            bad.append("%s: %r" % (word, found[word]))
    if not {"chat", "stream"} <= found.keys():
        bad.append("chat and stream are missing")
    return ["%s: %s" % (name, text) for text in bad]


def hold_curl(output, expected):
    """The chat, its stream and Anthropic's form, as curl printed them."""
    lines = output.splitlines()
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    texts = ["".join(e["choices"][0]["delta"].get("content", "") for e in events), json.loads(lines[1])["choices"][0]["message"]["content"],
             json.loads(lines[-1])["content"][0]["text"]]
    bad = ["curl.sh: %r" % text for text in texts if text != expected["chat"]]
    return bad + ([] if lines[0] == '{"status":"ok"}' and "data: [DONE]" in lines else ["curl.sh: health or the stream's end"])


server = subprocess.Popen([os.path.abspath(sys.argv[1]), "serve", "--port", "0"], stderr=subprocess.PIPE, text=True)
complaints = []
try:
    port = int(re.search(r":(\d+)$", server.stderr.readline().strip())[1])
    wanted = {"chat": ask("/v1/chat/completions", QUESTION)["message"]["content"],
              "text": ask("/v1/completions", {"prompt": "Once upon a time", "max_tokens": 30, "temperature": 0})["text"]}
    for example in sorted(os.listdir(CLIENTS)):
        command = [os.path.join(CLIENTS, example)] if example.endswith(".sh") else [sys.executable, "-W", "ignore", os.path.join(CLIENTS, example)]
        done = subprocess.run(command + ["http://127.0.0.1:%d" % port], capture_output=True, text=True, timeout=300,
                              env={k: v for k, v in os.environ.items() if "API_KEY" not in k and "proxy" not in k.lower()})
        if done.returncode:
            new = ["%s: exit %d: %s" % (example, done.returncode, done.stderr.strip()[-600:])]
        else:
            new = hold_curl(done.stdout, wanted) if example == "curl.sh" else hold(example, done.stdout, wanted)
        complaints += new
        print("%-22s %s" % (example, "FAILED" if new else "ok"), flush=True)
finally:
    server.terminate()
    server.wait()
print("\n".join(complaints), end="\n" if complaints else "")
sys.exit(1 if complaints else 0)
