#!/usr/bin/env python3
"""tie_defaults.py SOURCE GOLDEN: is transformers_tied of each record in src/models what golden/tie_defaults.json says of transformers?

A type that transformers does not know counts as tied where mlx-lm takes silence for tied and has a flag for it (a head that differs is then
refused with both readings), else either way. Standard library only.
"""
import json
import os
import re
import sys

source, golden = sys.argv[1:]
with open(os.path.join(golden, "tie_defaults.json"), encoding="utf-8") as f:
    rows = {row["file"] if row["file"] == "bailing_moe_v3" else row["model_type"]: row for row in json.load(f)}
wrong = seen = 0
for name in sorted(os.listdir(os.path.join(source, "src/models"))):
    if not name.endswith(".c"):
        continue
    with open(os.path.join(source, "src/models", name), encoding="utf-8") as f:
        text = f.read()
    for record in re.findall(r"^const struct tare_arch tare_arch_\w+ = \{(.*?)^\};", text, re.S | re.M):
        model = re.search(r'\.name = "([^"]+)"', record).group(1)
        row, ours = rows[model], ".transformers_tied = true" in record
        silent = any(v is True for v in (row.get("mlx_args") or {}).values())
        theirs = bool(row["transformers"]["top"]) if row["transformers"] else silent
        seen += 1
        if ours != theirs:
            wrong += 1
            print("%s: %s, transformers says %s" % (model, ours, theirs))
print("%d of %d records agree" % (seen - wrong, seen))
sys.exit(1 if wrong or not seen else 0)
