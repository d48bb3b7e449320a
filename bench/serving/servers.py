"""servers.py - tare serve and llama-server, started with the same threads, context and places, and ended."""
import http.client
import os
import re
import socket
import subprocess
import tempfile
import time

LOADING = 180  # seconds that a server may take until it answers


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A server that runs while the block lasts."""

    def __init__(self, name, command, port, model):
        self.name, self.command, self.port, self.model = name, [str(word) for word in command], port, model

    def __enter__(self):
        self.log = tempfile.TemporaryFile("w+", errors="replace")
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        end = time.monotonic() + LOADING
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > end:
                self.log.seek(0)
                raise RuntimeError("%s did not start:\n%s" % (" ".join(self.command), self.log.read()[-2000:]))
            time.sleep(0.1)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def answers(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def cpu_seconds(self):
        """What its threads have computed so far."""
        with open("/proc/%d/stat" % self.process.pid) as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_bytes(self):
        with open("/proc/%d/status" % self.process.pid) as f:
            return 1024 * int(re.search(r"VmHWM:\s+(\d+)", f.read())[1])


def tare(program, model, threads, context, places):
    port = free_port()
    return Server("tare", [program, "serve", model, "--port", port, "--alias", "model", "--threads", threads, "--context", context,
                           "--parallel", places], port, "model")


def llama(program, name, model, threads, context, places):
    """Its -c is what all places have together."""
    port = free_port()
    return Server(name, [program, "-m", model, "--host", "127.0.0.1", "--port", port, "-a", "model", "-t", threads, "-tb", threads,
                         "-c", context * places, "-np", places, "--no-ui"], port, "model")
