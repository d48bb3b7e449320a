"""stub.py: a stand-in for `tare serve` that answers the page's requests with made-up text, so that the page is tested without
a model. It serves src/serve/page under the same policy as the server and notes what was asked of it."""
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
TEXT = ("Here is **bold** text and `code`.\n\n```python\nprint('<b>not bold</b>')\n```\n\n- one\n- two\n\n"
        "<img src=x onerror=alert(1)> <script>alert(2)</script> [bad](javascript:alert(3)) [good](https://example.org/)\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n")
METRICS = """# HELP tare_requests_running Requests that are being answered.
# TYPE tare_requests_running gauge
tare_requests_running 2
tare_requests_waiting 1
tare_requests_total{status="200"} 40
tare_requests_total{status="400"} 2
tare_prompt_tokens_total 1000
tare_cached_prompt_tokens_total 250
tare_generated_tokens_total %d
tare_cancelled_requests_total 3
tare_kv_cache_usage_ratio 0.125
tare_time_to_first_token_seconds_sum 2
tare_time_to_first_token_seconds_count 40
tare_inter_token_seconds_sum %d
tare_inter_token_seconds_count %d
"""
MODULE = json.dumps({"rows": 8, "rows_read": 4, "scale_dtype": "float16", "codes": [1, 2, 3, 4] * 4, "scales": {"least": 0.1, "most": 0.9, "mean": 0.4, "bins": [1, 5, 2]}})


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, data, kind="application/json", status=200):
        data = data if isinstance(data, bytes) else data.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.send_header("content-security-policy", POLICY)
        self.send_header("x-content-type-options", "nosniff")
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        path = self.path.partition("?")[0]
        server = self.server
        if path == "/v1/models":
            return self.answer(json.dumps({"object": "list", "data": [{"id": "fable", "object": "model", "created": 1, "owned_by": "tare"}]}))
        if path == "/metrics":
            server.ticks += 1
            return self.answer(METRICS % (server.ticks * 50, server.ticks, server.ticks * 50), "text/plain; version=0.0.4")
        name = path.lstrip("/") or "index.html"
        file = os.path.join(server.folder, name)
        if "/" in name or not os.path.exists(file):
            return self.answer('{"error": {"message": "no such path"}}', status=404)
        with open(file, "rb") as f:
            return self.answer(f.read(), TYPES[os.path.splitext(name)[1]])

    def chunk(self, text):
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def event(self, **more):
        self.chunk("data: " + json.dumps({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "fable", "usage": None, **more}) + "\n\n")

    def delta(self, delta, finish=None, token=None):
        logprobs = {"content": [{"token": token, "logprob": -0.5, "bytes": [], "top_logprobs": [{"token": token, "logprob": -0.5, "bytes": []}, {"token": "other", "logprob": -1.5, "bytes": []}]}]} if token else None
        self.event(choices=[{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": logprobs}])

    def do_POST(self):
        server = self.server
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/tare/plan":
            return self.answer(server.plan)
        if self.path == "/tare/module":
            return self.answer(MODULE)
        server.requests.append(request)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        question = request["messages"][-1]["content"]
        text = '{"name": "Ada"}' if "response_format" in request else "slow " * 400 if "slow" in question else TEXT
        try:
            self.delta({"role": "assistant", "content": ""})
            for at in range(0, len(text), 5):
                self.delta({"content": text[at:at + 5]}, token=text[at:at + 5] if request.get("logprobs") else None)
                time.sleep(0.03 if "slow" in question else 0.01)
            self.delta({}, "stop")
            self.event(choices=[], usage={"prompt_tokens": 5, "completion_tokens": len(text) // 5, "total_tokens": 9, "prompt_tokens_details": {"cached_tokens": 3}})
            self.chunk("data: [DONE]\n\n")
            self.wfile.write(b"0\r\n\r\n")
        except OSError:
            server.stopped.append(time.monotonic())


def start(folder, plan):
    """A server on a free port of 127.0.0.1, already answering. `plan` is the JSON text of POST /tare/plan."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.folder, server.plan, server.ticks, server.requests, server.stopped = folder, plan, 0, [], []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
