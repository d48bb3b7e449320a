#!/usr/bin/env python3
"""test_readme.py TARE CC: what README.md shows is what the program does today. Standard library only.

An indented block of README.md that begins with "$ " is a terminal: each command after a "$ " is run in a shell, and the lines below it are what it
must print. White space is not compared, since README wraps long lines. "..." alone on a line stands for the rest. Numbers may differ in their
fourth digit, because instruction sets round differently, and speeds may differ altogether."""
import os
import re
import subprocess
import sys
import tempfile
import unittest

TARE = CC = ""
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SPEED = re.compile(r"[\d.]+ (?=tokens/s)")


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as f:
        return f.read()


def blocks():
    """The indented blocks of README.md, each as a list of lines."""
    found, block = [], []
    for line in read("README.md").split("\n") + ["end"]:
        if line.startswith("    "):
            block.append(line[4:])
        elif not line and block:
            block.append("")
        elif block:
            found.append("\n".join(block).strip("\n").split("\n"))
            block = []
    return found


def excerpts():
    """(command, what README says it prints) of each "$ "."""
    found = []
    for block in blocks():
        if block[0].startswith("$ "):
            for line in block:
                if line.startswith("$ "):
                    found.append((line[2:], []))
                else:
                    found[-1][1].append(line)
    return [(command, "\n".join(lines)) for command, lines in found]


def alike(a, b):
    try:
        return a == b or abs(float(a) - float(b)) <= 1e-3 * abs(float(b))
    except ValueError:
        return False


class Readme(unittest.TestCase):
    def test_terminals(self):
        with tempfile.TemporaryDirectory() as folder:
            os.mkdir(folder + "/bin")
            os.symlink(TARE, folder + "/bin/tare")
            for name in ("models", "examples", "tests"):
                os.symlink(os.path.join(ROOT, name), os.path.join(folder, name))
            env = {**os.environ, "PATH": folder + "/bin:" + os.environ["PATH"]}
            self.assertGreaterEqual(len(excerpts()), 6)
            for command, says in excerpts():
                with self.subTest(command):
                    done = subprocess.run(["bash", "-c", command], cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True,
                                          timeout=240, text=True)
                    self.assertEqual((done.returncode, done.stderr), (0, ""))
                    want, got = SPEED.sub("", says).split(), SPEED.sub("", done.stdout).split()
                    if want[-1] == "...":
                        del want[-1], got[len(want):]
                    self.assertTrue(len(want) == len(got) and all(map(alike, want, got)), "README: %s\nprinted: %s" % (says, done.stdout))

    def test_verbs(self):
        """README lists the verbs that `tare help` lists."""
        text = subprocess.run([TARE, "help"], capture_output=True, text=True, check=True).stdout
        verbs = {line.split()[1] for block in blocks() for line in block if re.match(r"tare [a-z]+ ", line)}
        self.assertEqual(verbs, set(re.findall(r"^  tare ([a-z]+) +[\[A-Z]", text, re.M)) - {"help"})

    def test_program(self):
        """README's program compiles."""
        [program] = ["\n".join(b) for b in blocks() if b[0].startswith("#include")]
        done = subprocess.run([CC, "-std=c11", "-Wall", "-Werror", "-fsyntax-only", "-I", os.path.join(ROOT, "include"), "-x", "c", "-"],
                              input=program, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_links(self):
        """What README and docs/ point to is in the repository."""
        for name in ["README.md"] + ["docs/" + f for f in os.listdir(os.path.join(ROOT, "docs")) if f.endswith(".md")]:
            text = read(name)
            for target in re.findall(r"\]\(([^)#:]+)\)", text):
                self.assertTrue(os.path.exists(os.path.join(ROOT, os.path.dirname(name), target)), "%s: %s" % (name, target))
            for target in re.findall(r"\bdocs/[\w-]+\.\w+", text):
                self.assertTrue(os.path.exists(os.path.join(ROOT, target)), "%s: %s" % (name, target))


if __name__ == "__main__":
    TARE, CC = os.path.abspath(sys.argv[1]), sys.argv[2]
    unittest.main(argv=sys.argv[:1] + sys.argv[3:])
