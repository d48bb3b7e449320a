#!/usr/bin/env python3
"""test_chat.py TARE: tare chat, by lines from a pipe and on a terminal; tare run --prompt-cache. Standard library only."""
import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

TARE = ""
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TEMPLATE = ("{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}")


class Chat(unittest.TestCase):
    def setUp(self):
        self.work = tempfile.mkdtemp()
        self.model = os.path.join(self.work, "model")
        shutil.copytree(os.path.join(ROOT, "models/fable"), self.model)

    def tearDown(self):
        shutil.rmtree(self.work)

    def chat(self, lines, *flags, code=0):
        p = subprocess.run([TARE, "chat", self.model, "--max-tokens", "12", *flags], input="\n".join(lines) + "\n", text=True,
                           capture_output=True, timeout=60)
        self.assertEqual(p.returncode, code, p.stdout + p.stderr)
        return p.stdout, p.stderr

    def with_template(self):
        with open(os.path.join(self.model, "chat_template.jinja"), "w", encoding="utf-8") as f:
            f.write(TEMPLATE)

    def saved(self, lines, *flags):
        path = os.path.join(self.work, "said.json")
        self.chat([*lines, "/save " + path], *flags)
        with open(path, encoding="utf-8") as f:
            return json.load(f)

    def test_turns_are_kept(self):
        self.with_template()
        said = self.saved(["Hello there", "And then?"], "--system", "Be kind.")
        self.assertEqual([t["role"] for t in said], ["system", "user", "assistant", "user", "assistant"])
        self.assertEqual([said[i]["content"] for i in (0, 1, 3)], ["Be kind.", "Hello there", "And then?"])
        self.assertTrue(said[2]["content"])

    def test_plain_turns_say_so(self):
        out, err = self.chat(["Hello"])
        self.assertIn("no chat template", err)
        self.assertTrue(out.strip())

    def test_only_what_is_new_is_read(self):
        self.with_template()
        out, _ = self.chat(["Tell me of a little girl who lived in a house by the sea. " * 5, "/stats", "Go on", "/stats"])
        read = [int(n) for n in re.findall(r"last: (\d+) tokens read", out)]
        self.assertEqual(len(read), 2)
        self.assertLess(2 * read[1], read[0])

    def test_commands(self):
        self.with_template()
        said = self.saved(["/system Be brief.", "Hello", "/reset", "/system Be long.", "Again"])
        self.assertEqual([t["content"] for t in said[:2]], ["Be long.", "Again"])
        self.assertEqual(len(said), 3)
        self.assertIn("/reset", self.chat(["/help"])[0])
        out, err = self.chat(["/save", "/save " + self.model])
        self.assertIn("needs the name", err)
        self.assertEqual(self.chat(["/quit", "never said", "/stats"])[0], "")

    def test_lines_that_belong_together(self):
        said = self.saved(["one \\", "two", '"""', "three", "four", '"""'])
        self.assertEqual([t["content"] for t in said if t["role"] == "user"], ["one \ntwo", "three\nfour\n"])

    def test_full_context(self):
        self.with_template()
        out, err = self.chat(["Tell me a story about a cat and a dog"] * 8 + ["/stats"], "--context", "120")
        self.assertIn("oldest turns are forgotten", err)
        out, err = self.chat(["word " * 300], "--context", "120", code=2)
        self.assertIn("this turn alone has", err)

    def test_interrupt_stops_the_answer_and_not_the_program(self):
        self.with_template()
        pid, terminal = pty.fork()
        if pid == 0:
            os.environ["TERM"] = "dumb"
            os.execv(TARE, [TARE, "chat", self.model, "--max-tokens", "200", "--temp", "1", "--seed", "1"])
        seen = b""

        def until(what):
            nonlocal seen
            end = time.time() + 20
            while what not in seen and time.time() < end:
                if select.select([terminal], [], [], 1)[0]:
                    seen += os.read(terminal, 4096)
            self.assertIn(what, seen)
            seen = seen[seen.index(what) + len(what):]
        until(b"> ")
        for _ in range(5):
            os.write(terminal, b"half a line\x03")
            until(b"> ")
        os.write(terminal, b"Hello\n")
        os.write(terminal, b"/stats\n")
        until(b"tokens of the context")
        os.write(terminal, b"/quit\n")
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0)
        os.close(terminal)

    def test_prompt_cache(self):
        cache = os.path.join(self.work, "cache")
        def run(prompt, *flags, code=0):
            p = subprocess.run([TARE, "run", self.model, "--max-tokens", "20", *flags, prompt], text=True, capture_output=True, timeout=60)
            self.assertEqual(p.returncode, code, p.stderr)
            return p.stdout if code == 0 else p.stderr
        for prompt in ("Once upon a time", "Once upon a time", "Once upon a day there was", "Lily"):
            self.assertEqual(run(prompt, "--prompt-cache", cache), run(prompt))
            self.assertTrue(os.path.getsize(cache) > 1000)
        with open(cache, "r+b") as f:
            f.seek(200)
            f.write(b"damage")
        self.assertIn("damaged", run("Lily", "--prompt-cache", cache, code=4))


if __name__ == "__main__":
    TARE = os.path.abspath(sys.argv.pop(1))
    unittest.main()
