#!/usr/bin/env python3
"""architectures_doc.py TARE [--check]: write docs/architectures.md from `tare models --json`, or say whether it is up to date.

What stands above the table is kept as it is there.
"""
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PATH = os.path.join(ROOT, "docs/architectures.md")
MARK = "<!-- table: tools/architectures_doc.py -->\n"


def table(tare):
    types = json.loads(subprocess.run([tare, "models", "--json"], check=True, stdout=subprocess.PIPE).stdout)
    yes = lambda works: "yes" if works else "-"
    lines = ["| model_type | file | text model | plan | convert | run |", "|---|---|---|---|---|---|"]
    for t in types:
        name = "`%s`" % t["model_type"] + (" with `%s`" % t["architecture"] if t["architecture"] else "")
        lines.append("| %s | [%s](../src/models/%s.c) | %s | %s | %s | %s |" % (
            name, t["module"], t["module"].replace("-", "_"), t["text_model"] or "", yes(t["plan"]), yes(t["convert"]), yes(t["run"])))
    return "\n".join(lines) + "\n\n%d model types, %d of them run.\n" % (len(types), sum(t["run"] for t in types))


def main():
    with open(PATH, encoding="utf-8") as f:
        now = f.read()
    want = now.split(MARK)[0] + MARK + table(sys.argv[1])
    if sys.argv[2:] == ["--check"]:
        if now != want:
            print("docs/architectures.md is not up to date: run tools/architectures_doc.py build/tare")
        return int(now != want)
    with open(PATH, "w", encoding="utf-8") as f:
        f.write(want)
    return 0


sys.exit(main())
