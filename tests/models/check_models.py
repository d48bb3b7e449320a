#!/usr/bin/env python3
"""Walk models.def: each line has its file and its cases (tests/data/models), and the cases plan. Standard library only.

    check_models.py TARE SOURCE [MODEL_TYPE ...]

lines        every ARCH has src/models/NAME.c, which defines tare_arch_NAME; every alias leads to an ARCH; every model_type has cases
trees        a checkpoint that holds exactly the parameters of mlx-lm's model plans, with the same names and shapes
checkpoints  one with the published names loads, and so does its AWQ form
"""
import json, os, re, struct, subprocess, sys, tempfile

from folded import config_of, unfold

ITEM = {"float32": ("F32", 4), "float16": ("F16", 2), "bfloat16": ("BF16", 2), "int32": ("I32", 4), "uint32": ("U32", 4), "uint8": ("U8", 1)}
tare, source, only = os.path.abspath(sys.argv[1]), sys.argv[2], sys.argv[3:]
failures = []


def fail(where, what):
    failures.append("%s: %s" % (where, what))


def write(folder, config, rows):
    """A checkpoint of the given [name, shape, dtype]; its data is a hole."""
    head, at = {}, 0
    for name, shape, dtype in rows:
        code, size = ITEM[dtype]
        for n in shape:
            size *= n
        head[name] = {"dtype": code, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(head).encode()
    with open(os.path.join(folder, "model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        f.truncate(8 + len(text) + at)
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(config, f)


def plan(where, config, rows):
    with tempfile.TemporaryDirectory(prefix="tare-models-") as folder:
        write(folder, config, rows)
        p = subprocess.run([tare, "explain", folder, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    try:
        return json.loads(p.stdout)
    except ValueError:
        fail(where, "exit %d: %s" % (p.returncode, p.stderr.decode(errors="replace").strip()))
        return None


def check_tree(where, config, rows):
    got = plan(where, config, rows)
    if got is None:
        return
    want = {n: s for n, s, _ in rows}
    have = {p["name"]: list(p["shape"]) for p in got.get("parameters", []) + got.get("missing", [])}
    heads = {n for n in {**want, **have} if n.endswith("lm_head.weight")}  # tare treats them alike everywhere: tests/cli/test_head.py
    packed = {n[:-len(".scales")] for n in want if n.endswith(".scales")}  # one module, of its logical shape
    want = {n: s for n, s in want.items() if n.rpartition(".")[0] not in packed or not n.endswith((".scales", ".biases"))}
    for name in sorted((set(want) ^ set(have)) - heads):
        fail(where, "%s is %s" % (name, "not declared" if name in want else "declared, but no parameter of mlx-lm's"))
    for name in sorted(set(want) & set(have)):
        if want[name] != have[name] and name.rpartition(".")[0] not in packed:
            fail(where, "%s: %s, want %s" % (name, have[name], want[name]))
    if got.get("loads") is not True:
        fail(where, "does not load: %s" % got.get("findings"))


def check_checkpoint(where, config, rows):
    got = plan(where, config, rows)
    if got is not None and got.get("loads") is not True:
        fail(where, "does not load: %s" % got.get("findings"))


def check_lines(lines):
    files = {}
    for kind, name, second, third in lines:
        files[name] = {"ARCH": name, "NAMED": second, "ALIAS": None, "CHOSEN": third}[kind]
    for kind, name, second, third in lines:
        if kind == "ALIAS":
            if second not in files.values():
                fail(name, "alias of %s, which has no line of its own" % second)
            continue
        c_name = third if kind == "CHOSEN" else second if kind == "NAMED" else name
        path = os.path.join(source, "src/models", c_name + ".c")
        if not os.path.exists(path) or "tare_arch_%s = {" % c_name not in open(path).read():
            fail(name, "src/models/%s.c does not define tare_arch_%s" % (c_name, c_name))
    order = [name.lower() for kind, name, _, _ in lines if kind in ("ARCH", "NAMED")]
    if order != sorted(order):
        fail("models.def", "not in alphabetical order: %s" % [a for a, b in zip(order, sorted(order)) if a != b][:2])


def case_names(lines):
    return [third if kind == "CHOSEN" else name for kind, name, _, third in lines]


def main():
    with open(os.path.join(source, "src/models/models.def")) as f:
        lines = re.findall(r"^(ARCH|ALIAS|NAMED|CHOSEN)\(([\w-]+)(?:, *(\w+))?(?:, *(\w+))?\)$", f.read(), re.M)
    check_lines(lines)
    names, n = case_names(lines), 0
    for f in os.listdir(os.path.join(source, "tests/data/models")):
        if f[:-5] not in names:
            fail(f, "cases of a model that models.def does not list")
    for name in names:
        path = os.path.join(source, "tests/data/models", name + ".json")
        if only and name not in only:
            continue
        if not os.path.exists(path):
            fail(name, "no cases; tools/model_cases.py makes tests/data/models/%s.json" % name)
            continue
        with open(path) as f:
            doc = json.load(f)
        for kind, check in (("trees", check_tree), ("checkpoints", check_checkpoint)):
            for case in doc[kind]:
                check("%s, %s %s" % (name, kind, case["case"]), config_of(doc, case), list(unfold(case["rows"])))
                n += 1
    print("\n".join(failures) or "%d cases" % n)
    return 1 if failures else 0


sys.exit(main())
