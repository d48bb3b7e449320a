#!/usr/bin/env python3
"""Copy the small cases of the golden data that tests/models needs: tests/data/models/<model_type>.json.

    model_cases.py GOLDEN [MODEL_TYPE ...]       without names: every line of src/models/models.def

trees        base, an untied and a tied tree, and the last variant: config, [name, shape] of each parameter
checkpoints  "hf" as published, "awq" with every linear packed: config, [name, shape, dtype]
"""
import json, os, re, sys

root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def known():
    with open(os.path.join(root, "src/models/models.def")) as f:
        return re.findall(r"^(?:ARCH|ALIAS)\((\w+)", f.read(), re.M)


def pick(cases):
    """base, the explicit flags, and the last variant of what config may switch."""
    good = [c for c in cases if "parameters" in c]
    names = ["base", "tie:true", "tie:false"] + [c["case"] for c in good if c["case"].startswith("variant:")][-1:]
    return [{"case": c["case"], "config": c["config"], "parameters": [p[:2] for p in c["parameters"]]}
            for c in good if c["case"] in names]


def main():
    golden, names = sys.argv[1], sys.argv[2:] or known()
    for name in names:
        doc = {"model_type": name}
        with open(os.path.join(golden, "trees", name + ".json")) as f:
            doc["trees"] = pick(json.load(f)["cases"])
        with open(os.path.join(golden, "sanitize", name + ".json")) as f:
            cases = {c["case"]: c for c in json.load(f)["cases"]}
        doc["checkpoints"] = [{"case": k, "config": cases[k]["config"], "tensors": [t[:3] for t in cases[k]["input"]]}
                              for k in ("hf", "awq") if k in cases]
        with open(os.path.join(root, "tests/data/models", name + ".json"), "w") as f:
            f.write(json.dumps(doc, sort_keys=True, separators=(",", ":")).replace('],["', '],\n["').replace('{"', '\n{"'))
            f.write("\n")


main()
