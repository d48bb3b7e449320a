#!/usr/bin/env python3
"""abi_table.py SOURCE CC [--write]: the binary interface, ABI 1, held against tests/abi/abi1.txt.

The table has every public function with its types, every struct with its size and the offset of each field, and every value of an
enum, as the compiler lays them out on a 64-bit machine. Hosts are compiled against it: a line may be added, at the end of its struct
or enum, but none may change or go. `make abi` writes the table anew, so that an addition is seen in the diff.
"""
import os
import subprocess
import sys
import tempfile

from header import Header

source, compiler = sys.argv[1:3]
path = os.path.join(source, "tests/abi/abi1.txt")
header = Header(source, compiler)


def layout():
    """Offsets, sizes and values, from a program that the compiler makes."""
    lines = ['#include "tare.h"', "#include <stdio.h>", "int main(void) {"]
    for name, fields in sorted(header.structs.items()):
        lines.append('printf("struct %s: %%zu bytes\\n", sizeof(struct %s));' % (name, name))
        for kind, field in fields:
            lines.append('printf("struct %s.%s: at %%zu, %%zu bytes, %s\\n", offsetof(struct %s, %s), sizeof(((struct %s *)0)->%s));'
                         % (name, field, kind, name, field, name, field))
    for name, values in sorted(header.enums.items()):
        for value in values:
            lines.append('printf("enum %s: %s = %%d\\n", (int)%s);' % (name, value, value))
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "layout")
        with open(program + ".c", "w", encoding="utf-8") as f:
            f.write("\n".join(lines + ["return 0; }", ""]))
        subprocess.run([compiler, "-I", source + "/include", "-o", program, program + ".c"], check=True)
        return subprocess.run([program], check=True, capture_output=True, text=True).stdout.splitlines()


def table():
    rows = ["function %s: %s(%s)" % (name, result, ", ".join(kind for kind, _ in parameters))
            for result, name, parameters in sorted(header.functions, key=lambda f: f[1])]
    return rows + ["callback %s" % text for text in sorted(header.callbacks)] + layout()


def is_size(row):
    return row.startswith("struct ") and row.endswith(" bytes") and ": at " not in row


now = table()
if "--write" in sys.argv:
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(now) + "\n")
    sys.exit(0)
with open(path, encoding="utf-8") as f:
    frozen = f.read().splitlines()
bad = ["gone or changed: " + row for row in frozen if row not in set(now) and not is_size(row)]
bad += ["not in the table yet (make abi): " + row for row in now if row not in set(frozen)]
for name in ("tare_error",):  # it has no size field, so it can't grow
    bad += ["it may never grow: " + row for row in frozen if row.startswith("struct %s:" % name) and row not in now]
print("\n".join(bad) if bad else "%d functions, %d structs, %d rows" % (len(header.functions), len(header.structs), len(now)))
sys.exit(1 if bad else 0)
