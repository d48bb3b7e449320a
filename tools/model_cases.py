#!/usr/bin/env python3
"""Copy the small cases of the golden data that tests/models needs: tests/data/models/<model_type>.json.

    model_cases.py GOLDEN [NAME ...]       NAME: a file of golden/trees; without names: every line of src/models/models.def

trees        base, an untied and a tied tree, and the last variant: config, rows of the parameters
checkpoints  "hf" as published, "awq" with every linear packed: config, rows of the tensors

A row is [name, shape] or [name, shape, dtype], float32 being left out; names that differ by one or two numbers only are one row, with
"{0-3}" for the numbers ("model.layers.{0-1}.mlp.experts.{0-3}.up_proj.weight"). A config is what differs from that of the first tree: a key
of null there and absent here is told by "-": [key]. tests/models/check_models.py reads them back.
"""
import json, os, re, sys

# Cases that no loader of the model takes, mlx-lm neither.
REFUSED = {("bitnet", "hf"), ("bitnet", "awq"),  # dense master weights; the model's own are four ternary rows a byte
           ("prism_hadamard_qwen35", "awq")}  # names two tensors alike

root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def known():
    """Golden files of all lines: by model_type, and by module where the architecture chooses."""
    with open(os.path.join(root, "src/models/models.def")) as f:
        lines = re.findall(r"^(ARCH|ALIAS|NAMED|CHOSEN)\(([\w-]+)(?:, *(\w+))?(?:, *(\w+))?\)$", f.read(), re.M)
    return [module if kind == "CHOSEN" else name for kind, name, _, module in lines]


def pick(cases):
    """base, the explicit flags, and the last variant of what config may switch."""
    good = [c for c in cases if "parameters" in c]
    names = ["base", "tie:true", "tie:false"] + [c["case"] for c in good if c["case"].startswith("variant:")][-1:]
    return [c for c in good if c["case"] in names]


def fold(rows, at):
    """Rows that differ in the number at place `at` of their names only, and count from 0: one row."""
    groups = {}
    for name, *rest in rows:
        parts = re.split(r"(?<=\.)(\d+)(?=\.)", name)
        numbers = parts[1::2]
        if len(numbers) <= at:
            groups[name, json.dumps(rest)] = [name, rest, None]
            continue
        k = 2 * at + 1
        key = "".join(parts[:k]) + "#" + "".join(parts[k + 1:])
        groups.setdefault((key, json.dumps(rest)), [key, rest, []])[2].append(int(parts[k]))
    out = []
    for key, rest, numbers in groups.values():
        if numbers is None:
            out.append([key, *rest])
        elif len(numbers) > 1 and sorted(numbers) == list(range(min(numbers), max(numbers) + 1)):
            out.append([key.replace("#", "{%d-%d}" % (min(numbers), max(numbers))), *rest])
        else:
            out += [[key.replace("#", str(n)), *rest] for n in numbers]
    return out


def rows(tensors, dtypes):
    short = [[t[0], t[1]] + ([t[2]] if dtypes and t[2] != "float32" else []) for t in tensors]
    return sorted(fold(fold(short, 1), 0), key=lambda r: r[0])


def difference(config, base):
    out = {k: v for k, v in config.items() if k not in base or base[k] != v}
    gone = [k for k in base if k not in config]
    return {**out, "-": gone} if gone else out


def main():
    golden, names = sys.argv[1], sys.argv[2:] or known()
    for name in names:
        with open(os.path.join(golden, "trees", name + ".json")) as f:
            trees = pick(json.load(f)["cases"])
        with open(os.path.join(golden, "sanitize", name + ".json")) as f:
            cases = {c["case"]: c for c in json.load(f)["cases"]}
        base = trees[0]["config"]
        doc = {"config": base,
               "trees": [{"case": c["case"], "config": difference(c["config"], base), "rows": rows(c["parameters"], False)} for c in trees],
               "checkpoints": [{"case": k, "config": difference(cases[k]["config"], base), "rows": rows(cases[k]["input"], True)}
                               for k in ("hf", "awq") if k in cases and (name, k) not in REFUSED]}
        with open(os.path.join(root, "tests/data/models", name + ".json"), "w") as f:
            f.write(json.dumps(doc, sort_keys=True, separators=(",", ":")).replace('],["', '],\n["').replace('{"', '\n{"').lstrip())
            f.write("\n")


main()
