#!/usr/bin/env python3
"""errors_doc.py [--check]: write docs/errors.md from TARE_CODES in include/tare.h, or say whether it is up to date."""
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
EXITS = [(0, "all is well; `explain`, `convert`, `run` and `logits` also with warnings"),
         (1, "`check`, `verify`: it loads, but with findings; `diff`: they differ; `repair`: there is a patch"),
         (2, "wrong usage: an unknown verb or flag, a value out of range, an unknown tensor"),
         (3, "a file is not there"),
         (4, "refused: it does not load, or is ambiguous or unsafe"),
         (5, "out of memory or space"),
         (130, "interrupted (Ctrl-C)")]


def text():
    header = open(os.path.join(ROOT, "include/tare/base.h"), encoding="utf-8").read()
    codes = re.findall(r'^\s*X\((\d+), (\w+), (\d+), "([^"]*)"\)', header, re.M)
    lines = ["# Errors", "",
             "Made by `tools/errors_doc.py` from `TARE_CODES` in `include/tare/base.h`; numbers never change.", "",
             "An error is one line on stderr: `tare: <file, tensor or key>: <what was found, what was expected, what to do>`.",
             "In the library it is a `struct tare_error` with the code, the place and the sentence.", "",
             "| number | code | exit | meaning |", "|---|---|---|---|"]
    lines += ["| %s | `TARE_%s` | %s | %s |" % (number, name, status, meaning) for number, name, status, meaning in codes]
    lines += ["", "## Exit codes of the command", "", "| exit | meaning |", "|---|---|"]
    lines += ["| %d | %s |" % row for row in EXITS]
    return "\n".join(lines) + "\n"


def main():
    path = os.path.join(ROOT, "docs/errors.md")
    want = text()
    if sys.argv[1:] == ["--check"]:
        if not os.path.exists(path) or open(path, encoding="utf-8").read() != want:
            print("docs/errors.md is not up to date: run tools/errors_doc.py")
            return 1
        return 0
    with open(path, "w", encoding="utf-8") as f:
        f.write(want)
    return 0


if __name__ == "__main__":
    sys.exit(main())
