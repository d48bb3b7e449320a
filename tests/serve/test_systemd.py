#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""test_systemd.py TARE: plays systemd's part: hands over listening sockets and hears READY and STOPPING. Standard library only."""
import configparser
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

from kit import ROOT, TARE, copy_fable


class Systemd(unittest.TestCase):
    def setUp(self):
        self.room = tempfile.TemporaryDirectory()
        self.addCleanup(self.room.cleanup)
        self.path = os.path.join(self.room.name, "notify")
        self.heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.heard.close)
        self.heard.settimeout(30)

    def listening(self, family=socket.AF_INET, address=("127.0.0.1", 0)):
        s = socket.socket(family)
        self.addCleanup(s.close)
        s.bind(address)
        s.listen(16)
        return s

    def start(self, sockets, *flags, pid="$$", notify=None, **variables):
        """tare serve with these descriptors from 3 on. A shell sets LISTEN_PID, which it keeps when it becomes tare."""
        numbers = [s.fileno() for s in sockets]

        def hand_over():
            spare = [os.dup(n) for n in numbers]
            spare = [os.dup2(n, 200 + i) for i, n in enumerate(spare)]
            for i, n in enumerate(spare):
                os.dup2(n, 3 + i)

        script = "LISTEN_PID=%s exec \"$@\"" % pid
        process = subprocess.Popen(["sh", "-c", "export LISTEN_PID; " + script, "sh", TARE, "serve", "--port", "0", *flags], preexec_fn=hand_over,
                                   pass_fds=range(3, 3 + len(numbers)), stderr=subprocess.PIPE, text=True,
                                   env={**os.environ, "LISTEN_FDS": str(len(numbers)), "LISTEN_FDNAMES": "tare", "NOTIFY_SOCKET": notify or self.path, **variables})
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait, 60)
        self.addCleanup(process.terminate)
        return process

    def ask(self, address):
        connection = http.client.HTTPConnection(*address, timeout=30)
        self.addCleanup(connection.close)
        connection.request("GET", "/health")
        return connection.getresponse().status

    def test_handed(self):
        """A connection that came before the server did is answered by it, on any of the sockets; systemd hears how it is."""
        self.heard.bind(self.path)
        one, two = self.listening(), self.listening()
        early = socket.create_connection(one.getsockname())
        self.addCleanup(early.close)
        early.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        process = self.start([one, two])
        self.assertEqual(self.heard.recv(1000).split(b"\n")[0], b"READY=1")
        self.assertTrue(early.recv(1000).startswith(b"HTTP/1.1 200"))
        self.assertEqual((self.ask(one.getsockname()), self.ask(two.getsockname())), (200, 200))
        self.assertIn(":%d" % one.getsockname()[1], process.stderr.readline())
        process.send_signal(signal.SIGTERM)
        self.assertEqual(self.heard.recv(1000), b"STOPPING=1")
        early.close()
        self.assertEqual(process.wait(30), 0)
        one.settimeout(1)
        with socket.create_connection(one.getsockname()):  # it still listens, for the next server
            one.accept()[0].close()

    def test_unix(self):
        """Sockets of the file system serve as well, and the notice may go to an abstract name."""
        name = "tare-test-%d" % os.getpid()
        self.heard.bind("\0" + name)
        path = os.path.join(self.room.name, "http")
        process = self.start([self.listening(socket.AF_UNIX, path)], notify="@" + name)
        self.assertEqual(self.heard.recv(1000).split(b"\n")[0], b"READY=1")
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(path)
            s.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            self.assertTrue(s.makefile("rb").read().endswith(b'{"status":"ok"}'))
        process.terminate()
        self.assertEqual(process.wait(30), 0)

    def test_other_process(self):
        """Sockets for another process are not this one's."""
        self.heard.bind(self.path)
        process = self.start([self.listening()], pid="1")
        self.assertEqual(self.heard.recv(1000).split(b"\n")[0], b"READY=1")
        port = int(re.search(r":(\d+)$", process.stderr.readline())[1])
        self.assertEqual(self.ask(("127.0.0.1", port)), 200)

    def test_wrong(self):
        """What is no listening socket is refused, with a sentence."""
        with open(os.devnull, "rb") as nothing, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            for wrong in (nothing, datagrams):
                process = self.start([wrong])
                self.assertIn("descriptor 3", process.stderr.read())
                self.assertEqual(process.wait(30), 4)

    def test_silence(self):
        """Nobody listens at NOTIFY_SOCKET: the server serves nevertheless."""
        for notify in (self.path, "relative", "/" + "x" * 300):
            process = self.start([], notify=notify)
            self.assertIn("http://", process.stderr.readline())
            process.terminate()
            self.assertEqual(process.wait(30), 0)

    def test_units(self):
        """The unit files say what the server understands."""
        units = {}
        for name in ("tare.service", "tare.socket"):
            units[name] = configparser.ConfigParser(interpolation=None, strict=False)
            units[name].optionxform = str
            units[name].read(os.path.join(ROOT, "examples/systemd", name))
        service = units["tare.service"]["Service"]
        self.assertEqual((service["Type"], units["tare.socket"]["Socket"]["ListenStream"]), ("notify", "127.0.0.1:8080"))
        words = service["ExecStart"].split()
        self.assertEqual(words[:2], ["/usr/bin/tare", "serve"])
        flags = subprocess.run([TARE, "serve", "--help"], capture_output=True, text=True, check=True).stdout
        for flag in [w for w in words if w.startswith("--")] + ["--" + re.match(r"TARE_SERVE_(\w+)=", service["Environment"])[1].lower().replace("_", "-")]:
            self.assertIn(flag + " ", flags)
        with tempfile.TemporaryDirectory() as folder:  # as the unit starts it
            copy_fable(folder, "one")
            keys = os.path.join(folder, "keys")
            with open(keys, "w", encoding="utf-8") as f:
                f.write("secret\n")
            self.heard.bind(self.path)
            one = self.listening()
            self.start([one], "--models-dir", folder, TARE_SERVE_API_KEY_FILE=keys)
            self.assertEqual(self.heard.recv(1000).split(b"\n")[0], b"READY=1")
            connection = http.client.HTTPConnection(*one.getsockname(), timeout=30)
            self.addCleanup(connection.close)
            for headers, status in (({}, 401), ({"Authorization": "Bearer secret"}, 200)):
                connection.request("GET", "/v1/models", headers=headers)
                answer = connection.getresponse()
                answer.read()
                self.assertEqual(answer.status, status)


if __name__ == "__main__":
    os.chdir(ROOT)
    unittest.main(argv=[sys.argv[0], *sys.argv[2:]])
