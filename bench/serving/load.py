"""load.py - clients that ask a server for streamed completions, each one request after another, in one thread so that they cost the machine little."""
import json
import random
import selectors
import socket
import time

SHORT, MIDDLE, LONG = (8, 50), (60, 35), (400, 15)  # ids of a prompt, and how many in a hundred are of that length
COMMON = 24  # ids that a third of the prompts begin with
LIMIT = 900  # seconds that a round may take


def prompts(seed, count, answer, first, last):
    """[(ids, tokens to make)] of a seed; ids are drawn from first to last, answers are of half to the whole of `answer` tokens."""
    draw = random.Random(seed)
    common = [draw.randint(first, last) for _ in range(COMMON)]
    made = []
    for _ in range(count):
        (length, _), = draw.choices((SHORT, MIDDLE, LONG), (SHORT[1], MIDDLE[1], LONG[1]))
        ids = [draw.randint(first, last) for _ in range(int(length * draw.uniform(0.7, 1.3)))]
        made.append(((common if draw.random() < 1 / 3 else []) + ids, draw.randint((answer + 1) // 2, answer)))
    return made


class Answer:
    """One request and what comes back: when the first text came, when the others did, and the tokens that the server counted."""

    def __init__(self, port, model, ids, tokens):
        body = json.dumps({"model": model, "prompt": ids, "max_tokens": tokens, "temperature": 0, "ignore_eos": True, "stream": True,
                           "stream_options": {"include_usage": True}}).encode()
        self.asked, self.times, self.usage, self.error = time.monotonic(), [], None, None
        self.raw, self.body, self.status, self.over = b"", b"", None, False
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
                            b"Content-Length: %d\r\nConnection: close\r\n\r\n" % (port, len(body)) + body)
        self.socket.setblocking(False)

    def read(self):
        """Takes what came. True when the answer is over."""
        try:
            data = self.socket.recv(1 << 16)
        except BlockingIOError:
            return False
        now = time.monotonic()
        self.raw += data
        if self.status is None and b"\r\n\r\n" in self.raw:
            head, self.raw = self.raw.split(b"\r\n\r\n", 1)
            self.status = int(head.split(None, 2)[1])
        if self.status is not None:
            self.take_chunks()
            self.take_events(now)
        if not data and not self.over:
            self.error = self.error or "status %s: %s" % (self.status, (self.body + self.raw)[:200])
        if self.over or not data:
            self.ended = now
            self.socket.close()
        return self.over or not data

    def take_chunks(self):
        """Chunked framing off; a refusal has none, and its words stay in raw."""
        while b"\r\n" in self.raw and self.status == 200:
            line, rest = self.raw.split(b"\r\n", 1)
            size = int(line.split(b";")[0], 16)
            if len(rest) < size + 2:
                return
            self.body, self.raw = self.body + rest[:size], rest[size + 2:]

    def take_events(self, now):
        while b"\n\n" in self.body:
            event, self.body = self.body.split(b"\n\n", 1)
            if event == b"data: [DONE]":
                self.over = True
            elif event.startswith(b"data: "):
                found = json.loads(event[6:])
                self.usage = found.get("usage") or self.usage
                self.error = str(found["error"]) if "error" in found else self.error
                if any(choice.get("text") for choice in found.get("choices", ())):
                    self.times.append(now)


def ask(port, model, ids, tokens):
    """One answer, waited for."""
    answer = Answer(port, model, ids, tokens)
    answer.socket.settimeout(LIMIT)
    while not answer.read():
        pass
    if answer.error or not answer.times:
        raise RuntimeError(answer.error or "an answer without text")
    return answer


def run(port, model, clients, requests):
    """All requests by that many clients at once: (seconds, answers). An answer that fails ends the measurement."""
    waiting, answers = list(reversed(requests)), []
    start = time.monotonic()
    with selectors.DefaultSelector() as selector:
        def begin():
            if waiting:
                answer = Answer(port, model, *waiting.pop())
                selector.register(answer.socket, selectors.EVENT_READ, answer)

        for _ in range(clients):
            begin()
        while selector.get_map():
            if time.monotonic() - start > LIMIT:
                raise RuntimeError("not over after %d seconds" % LIMIT)
            for key, _ in selector.select(1):
                answer = key.data
                if not answer.read():
                    continue
                selector.unregister(key.fileobj)
                if answer.error or not answer.times:
                    raise RuntimeError(answer.error or "an answer without text")
                answers.append(answer)
                begin()
    return time.monotonic() - start, answers
