#!/usr/bin/env python3
"""loaders.py SHARED PROGRAM.. | loaders.py --data FOLDER PROGRAM.. | loaders.py --cut SHARED FOLDER: do the example loaders
read what the producers' own libraries read?

SHARED   the folder with producers/ (MANIFEST.json) and golden/gptq: all of them
--data   the few checkpoints of tests/data/loader, whose sums.json has the same sums
--cut    makes that folder: of the producers' checkpoints the first layer and some rows of the embedding, of gptq all
PROGRAM  a command that takes a checkpoint and prints a line a module, as examples/loader.c says; "python3 examples/loader.py" is
         one too. Several are also compared with one another

Each module that has a sum must be there with that sum, and where it has codes, scale * code + offset must be within 1e-6 of the
floats. Of the producers' checkpoints, the one without truth and the one whose truth is disputed must be refused; another one has
no sums, because its producer's own numbers are off by a rounding: of it only the codes are looked at.
"""
import json
import os
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile

NEAR = 1e-6
CUT = ("awq-gemm-g32-smol", "ct-nvfp4a16-smol")
WHOLE = ("gptq_3bit", "gptq_4bit_desc_act")
VOCABULARY = 32


def bare(name):
    return name[:-len(".weight")] if name.endswith(".weight") else name


def producers(shared):
    """(name, folder, sums) of each, None where it is to be refused; truth.safetensors is no part of the checkpoint."""
    with open(os.path.join(shared, "producers", "MANIFEST.json")) as f:
        for row in json.load(f)["fixtures"]:
            refused = row["truth"] == "none" or row.get("note", "").startswith("disputed")
            sums = None if refused else row.get("weights_sha256", {})
            yield row["name"], os.path.join(shared, "producers", row["name"]), sums


def golden(shared):
    top = os.path.join(shared, "golden", "gptq")
    for name in sorted(os.listdir(top)):
        with open(os.path.join(top, name, "expected.json")) as f:
            yield name, os.path.join(top, name), {row[0]: row[2] for row in json.load(f)["dequantized"]}


def data(folder):
    with open(os.path.join(folder, "sums.json")) as f:
        for name, sums in json.load(f).items():
            yield name, os.path.join(folder, name), sums


def output(program, folder):
    """(exit status, lines, what went to stderr) of a program on a copy without the truth."""
    with tempfile.TemporaryDirectory() as work:
        for file in os.listdir(folder):
            if file != "truth.safetensors":
                os.symlink(os.path.abspath(os.path.join(folder, file)), os.path.join(work, file))
        done = subprocess.run(shlex.split(program) + [work], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return done.returncode, done.stdout.splitlines(), done.stderr.replace(work, "").strip()


def wrong(done, sums):
    """What is wrong with an output; None: nothing."""
    code, lines, error = done
    if sums is None:
        return None if code == 1 and error else "exit %d: it is to be refused" % code
    if code:
        return "exit %d: %s" % (code, error)
    far = [line for line in lines if not near(line)[3]]
    if far or not lines:
        return "codes are far from the floats: %s" % far[0] if far else "no module was printed"
    got = {bare(line.split(" ")[1]): line.split(" ") for line in lines}
    for name, sum in sums.items():
        line = got.get(bare(name))
        if line is None:
            return "%s is not there" % name
        if line[0] != sum:
            return "%s: sha256 %s.., expected %s.." % (name, line[0][:12], sum[:12])
    return None


def near(line):
    """A line with the distance as whether it is near: libraries may add in another order."""
    words = line.split(" ")
    return words[:3] + [words[3] if words[3] == "-" else float(words[3]) <= NEAR]


def check(rows, programs):
    """Returns (checkpoints that all programs read right, all of them, modules)."""
    good = total = modules = 0
    for name, folder, sums in rows:
        total += 1
        outputs = [output(program, folder) for program in programs]
        why = [(p, wrong(o, sums)) for p, o in zip(programs, outputs)]
        why = ["%s: %s" % row for row in why if row[1]]
        if any([near(a) for a in o[1]] != [near(a) for a in outputs[0][1]] for o in outputs):
            why.append("the programs differ from one another")
        for text in why:
            print("%s: %s" % (name, text))
        good += not why
        modules += 0 if why else len(sums or ())
    return good, total, modules


def read_safetensors(path):
    with open(path, "rb") as f:
        head = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        body = f.read()
    head.pop("__metadata__", None)
    return {k: (v["dtype"], v["shape"], body[slice(*v["data_offsets"])]) for k, v in head.items()}


def write_safetensors(path, tensors):
    head, body = {"__metadata__": {"format": "pt"}}, b""
    for name, (dtype, shape, content) in tensors.items():
        head[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(content)]}
        body += content
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + body)


def cut(shared, out):
    sums = {}
    for name, folder, all_sums in producers(shared):
        if name not in CUT:
            continue
        tensors = {k: v for k, v in read_safetensors(os.path.join(folder, "model.safetensors")).items() if ".layers.1." not in k}
        for key in ("model.embed_tokens.weight", "lm_head.weight"):
            if key in tensors:
                dtype, shape, content = tensors[key]
                tensors[key] = (dtype, [VOCABULARY, shape[1]], content[:len(content) // shape[0] * VOCABULARY])
        with open(os.path.join(folder, "config.json")) as f:
            config = json.load(f)
        config.update(num_hidden_layers=1, vocab_size=VOCABULARY)
        os.makedirs(os.path.join(out, name))
        write_safetensors(os.path.join(out, name, "model.safetensors"), tensors)
        with open(os.path.join(out, name, "config.json"), "w") as f:
            json.dump(config, f, indent=1)
        sums[name] = {k: v for k, v in all_sums.items() if ".layers.0." in k}
    for name, folder, all_sums in golden(shared):
        if name in WHOLE:
            os.makedirs(os.path.join(out, name))
            for file in ("config.json", "model.safetensors"):
                shutil.copyfile(os.path.join(folder, file), os.path.join(out, name, file))
            sums[name] = all_sums
    with open(os.path.join(out, "sums.json"), "w") as f:
        json.dump(sums, f, indent=1)
        f.write("\n")


def main(args):
    if len(args) == 3 and args[0] == "--cut":
        return cut(*args[1:])
    few = args[:1] == ["--data"]
    args = args[1:] if few else args
    if len(args) < 2:
        sys.exit(__doc__)
    bad = False
    for word, rows in (("data", data(args[0])),) if few else (("producers", producers(args[0])), ("golden/gptq", golden(args[0]))):
        good, total, modules = check(rows, args[1:])
        print("%s: %d of %d checkpoints, %d modules, %d programs" % (word, good, total, modules, len(args) - 1))
        bad |= good < total or not modules
    sys.exit(bad)


if __name__ == "__main__":
    main(sys.argv[1:])
