#!/usr/bin/env python3
"""quantize.py TARE SHIM: tare quantize, on models/fable as floats.

What is packed is refused by name, options that contradict one another are refused, an output that exists stays as it is; each format is
read again by tare itself, with the bits, types and sizes that were asked for; the types of llama-quantize's mixtures are those of
tests/data/quantize/mixtures.json, which tests/oracle/llama_quantize.py has from the program itself; rules and --keep-head are heeded; the
report says what Python computes of the same bytes; a killed run continues, and ends with the files of an
undisturbed one; the number of threads changes nothing. SHIM is the library made of kill_at.c."""
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import quantize_models  # noqa: E402

tare, shim = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
work = tempfile.mkdtemp(prefix="tare-quantize-")
wrong = []


def run(*words, **env):
    return subprocess.run([tare, *words], capture_output=True, text=True, check=False, env={**os.environ, **env})


def expect(what, condition, more=""):
    if not condition:
        wrong.append("%s %s" % (what, more))


def at(name):
    return os.path.join(work, name)


def files(path):
    return {name: open(os.path.join(path, name), "rb").read() for name in sorted(os.listdir(path))}


def header(path):
    with open(os.path.join(path, "model.safetensors"), "rb") as f:
        return json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))


def refused(what, code, *words):
    done = run("quantize", *words, "-o", at("no"))
    expect(what, done.returncode == code and not os.path.exists(at("no")), (done.returncode, done.stderr))
    return done.stderr


def check_refusals(source):
    said = refused("packed", 4, os.path.join(root, "models/fable"))
    expect("the packed module's name", "is packed already" in said and "tare convert" in said, said)
    for words in (["--bits", "7"], ["--group", "48"], ["--mode", "mxfp4", "--bits", "8"], ["--recipe", "mixed_3_6", "--bits", "4"],
                  ["--type", "Q4_0"], ["--to", "gguf", "--bits", "4"], ["--to", "gguf", "--mode", "mxfp4"], ["--pure"],
                  ["--rule", "lm_head"], ["--rule", "=8"], ["--rule", "lm_head=7"], ["--rule", "lm_head=4:48"], ["--rule", "lm_head=Q4_K"],
                  ["--rule", "model.layers.*.mlp.no_proj=8"], ["--rule", "**.mlp=4", "--rule", "**.down_proj=8"],
                  ["--to", "fp8", "--type", "nf4"], ["--to", "fp8", "--rule", "**.mlp=8"], ["--to", "bitsandbytes", "--type", "Q4_0"],
                  ["--to", "gguf", "--rule", "**.mlp=8"], ["--to", "gguf", "--rule", "**.mlp=Q4_K_M"]):
        refused(" ".join(words), 2, source, *words)


def check_mlx(source):
    for words, bits, scales in ((["--bits", "4", "--group", "32"], 4, None), (["--bits", "3", "--group", "32"], 3, None), (["--mode", "mxfp8"], 8, "U8")):
        out = at("mlx")
        done = run("quantize", source, "-o", out, *words)
        expect(words, done.returncode == 0, done.stderr)
        found, config = header(out), json.load(open(out + "/config.json", encoding="utf-8"))
        packed = [name[:-7] for name in found if name.endswith(".scales")]
        expect("modules", len(packed) > 3 and config["quantization"]["bits"] == bits, (packed, config.get("quantization")))
        for name in packed:
            columns = found[name + ".weight"]["shape"][-1] * 32 // bits
            expect(name, columns == found[name + ".scales"]["shape"][-1] * 32, found[name + ".weight"])
            expect(name, (name + ".biases" in found) == (scales is None) and found[name + ".scales"]["dtype"] == (scales or found[name + ".biases"]["dtype"]))
        record = json.load(open(out + "/tare.json", encoding="utf-8"))
        expect("tare.json", "group size" in record["target"]["quantized"] and record["back"]["one-way"] == len(packed), record["target"])
        for verb in ("check", "verify"):
            done = run(verb, out)
            expect(verb, done.returncode == 0, done.stderr + done.stdout)
        before = files(out)
        expect("an output that exists", run("quantize", source, "-o", out).returncode != 0 and files(out) == before)
        shutil.rmtree(out)


def check_gguf(source):
    for type_ in ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q6_K", "Q2_K", "Q3_K_M", "Q4_K_M", "Q5_K_S", "IQ4_NL", "IQ4_XS"):
        out = at("made.gguf")
        done = run("quantize", source, "-o", out, "--to", "gguf", "--type", type_)
        expect(type_, done.returncode == 0, done.stderr)
        done = run("explain", out)
        expect(type_, done.returncode == 0 and "gguf-" in done.stdout, done.stderr + done.stdout)
        done = run("verify", out)
        expect(type_, done.returncode == 0, done.stderr + done.stdout)
        os.remove(out)


# ggml's numbers of types.
NUMBERS = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7, "Q8_0": 8, "Q2_K": 10, "Q3_K": 11, "Q4_K": 12, "Q5_K": 13, "Q6_K": 14,
           "IQ4_NL": 20, "IQ4_XS": 23}


def spread(table):
    """The types of a case by tensor, from runs over the layers."""
    found = {}
    for key, runs in table.items():
        types = [type_ for part in runs.split() for type_ in [part.split("*")[0]] * int(part.split("*")[1])]
        if key in ("token_embd.weight", "output.weight", "output_norm.weight"):
            found[key] = types[0]
        else:
            found.update({"blk.%d.%s" % (i, key): type_ for i, type_ in enumerate(types)})
    return found


def check_mixtures():
    """Matrices of zeros are enough: types do not depend on the numbers."""
    with open(os.path.join(root, "tests/data/quantize/mixtures.json"), encoding="utf-8") as f:
        wanted = json.load(f)
    for case, tables in wanted.items():
        source, out = at(case), at(case + ".gguf")
        quantize_models.write(source, quantize_models.CASES[case])
        for type_, table in tables.items():
            done = run("quantize", source, "-o", out, "--to", "gguf", "--type", type_, "--no-sums")
            expect("%s %s" % (case, type_), done.returncode == 0, done.stderr)
            if done.returncode == 0:
                types = quantize_models.gguf_types(out)[0]
                expect("%s %s: types" % (case, type_), types == {k: NUMBERS[v] for k, v in spread(table).items()})
                os.remove(out)
        shutil.rmtree(source)


def mlx_forms(path):
    """Bits and group of each module that is packed, as config.json has them."""
    with open(path + "/config.json", encoding="utf-8") as f:
        all_ = json.load(f)["quantization"]
    form = lambda d: (d["bits"], d["group_size"], d.get("mode", "affine"))
    return {name[:-7]: form(all_.get(name[:-7], all_)) for name in header(path) if name.endswith(".scales")}


def check_rules(source):
    out, gguf = at("rules"), at("rules.gguf")
    words = ["--rule", "model.layers.0.mlp.down_proj=float", "--rule", "model.layers.*.mlp.down_proj=8:64", "--rule", "**.v_proj=mxfp4"]
    done = run("quantize", source, "-o", out, "--group", "32", "--keep-head", *words)
    expect("rules", done.returncode == 0, done.stderr)
    forms = mlx_forms(out)
    expect("the first rule counts", "model.layers.0.mlp.down_proj" not in forms and forms["model.layers.1.mlp.down_proj"] == (8, 64, "affine"), forms)
    expect("a mode", forms["model.layers.2.self_attn.v_proj"] == (4, 32, "mxfp4") and forms["model.layers.2.self_attn.q_proj"] == (4, 32, "affine"), forms)
    expect("the head is the embedding, and stays", "model.embed_tokens" not in forms and "model.embed_tokens.weight" in header(out), forms)
    expect("it loads", run("check", out).returncode == 0)
    shutil.rmtree(out)
    words = ["--rule", "blk.*.ffn_down=Q5_1", "--rule", "model.layers.0=float"]
    done = run("quantize", source, "-o", gguf, "--to", "gguf", "--type", "Q4_0", "--keep-head", *words)
    expect("rules of gguf", done.returncode == 0, done.stderr)
    types = quantize_models.gguf_types(gguf)[0]
    expect("by llama.cpp's names", all(types["blk.%d.ffn_down.weight" % i] == NUMBERS["Q5_1"] for i in range(6)), types)
    expect("what lies in a layer", types["blk.0.attn_q.weight"] == NUMBERS["F16"] and types["blk.1.attn_q.weight"] == NUMBERS["Q4_0"], types)
    expect("the head", types["token_embd.weight"] == NUMBERS["F16"], types)
    os.remove(gguf)


def tensor(path, name):
    """dtype, shape and bytes."""
    with open(os.path.join(path, "model.safetensors"), "rb") as f:
        size = struct.unpack("<Q", f.read(8))[0]
        found = json.loads(f.read(size))[name]
        f.seek(8 + size + found["data_offsets"][0])
        return found["dtype"], found["shape"], f.read(found["data_offsets"][1] - found["data_offsets"][0])


def halves(data):
    return struct.unpack("<%de" % (len(data) // 2), data)


def check_report(source):
    """Relative and largest error of one module, computed from the bytes; the record has them; and perplexity of a text."""
    out, text, name = at("report"), at("text"), "model.layers.3.self_attn.k_proj"
    with open(text, "w", encoding="utf-8") as f:
        f.write("Once upon a time there was a little fox. One day the fox met a bear, and they went to the river. " * 8)
    done = run("quantize", source, "-o", out, "--group", "32", "--text", text, "--json")
    expect("a report", done.returncode == 0, done.stderr)
    said = json.loads(done.stdout)
    rows = {row["name"]: row for row in said["modules"]}
    words = struct.unpack("<%dI" % (len(tensor(out, name + ".weight")[2]) // 4), tensor(out, name + ".weight")[2])
    codes = [word >> 4 * k & 15 for word in words for k in range(8)]
    scales, biases = halves(tensor(out, name + ".scales")[2]), halves(tensor(out, name + ".biases")[2])
    floats = halves(tensor(source, name + ".weight")[2])
    apart = [codes[i] * scales[i // 32] + biases[i // 32] - floats[i] for i in range(len(floats))]
    relative = (sum(x * x for x in apart) / sum(x * x for x in floats)) ** 0.5
    row = rows[name + ".weight"]
    expect("relative", abs(row["relative"] - relative) < 1e-5 * relative, (row, relative))
    expect("largest", abs(row["largest"] - max(map(abs, apart))) < 1e-6, (row, max(map(abs, apart))))
    expect("bytes", row["before"]["bytes"] == 2 * len(floats) and row["after"]["bytes"] == len(floats) // 2 + 4 * len(scales), row)
    with open(out + "/tare.json", encoding="utf-8") as f:
        record = json.load(f)["report"]
    expect("the record", record["modules"] == said["modules"] and record["text"] == said["text"])
    for model, key in ((source, "before"), (out, "after")):
        alone = json.loads(run("perplexity", model, text, "--json").stdout)
        expect("perplexity " + key, abs(alone["perplexity"] - said["text"][key]["perplexity"]) < 1e-6 * alone["perplexity"], (alone, said["text"]))
    expect("divergence", 0 < said["text"]["kl"] < 1 and 0.5 < said["text"]["same_best"] <= 1, said["text"])
    shutil.rmtree(out)
    done = run("quantize", source, "-o", out, "--group", "32", "--report")
    expect("words", done.returncode == 0 and "43 modules rounded" in done.stdout and name not in done.stderr, done.stdout + done.stderr)
    shutil.rmtree(out)


def check_transformers(source):
    """fp8 by blocks, which tare reads again; nf4, of which the tensors' shapes and the state are looked at (tests/oracle/quantize_torch.py
    has the bytes)."""
    out, name = at("made"), "model.layers.1.mlp.down_proj.weight"
    done = run("quantize", source, "-o", out, "--to", "fp8", "--rule", "**.v_proj=float", "--json")
    expect("fp8", done.returncode == 0, done.stderr)
    rows = {row["name"]: row for row in json.loads(done.stdout)["modules"]}
    expect("what was rounded", len(rows) == 36 and all("v_proj" not in key and 0 < row["relative"] < 0.05 for key, row in rows.items()), sorted(rows))
    with open(out + "/config.json", encoding="utf-8") as f:
        config = json.load(f)["quantization_config"]
    expect("the config", config["quant_method"] == "fp8" and config["weight_block_size"] == [128, 128] and
           "model.layers.0.self_attn.v_proj" in config["modules_to_not_convert"] and "lm_head" in config["modules_to_not_convert"], config)
    found = header(out)
    expect("scales of blocks that are not whole", found[name]["dtype"] == "F8_E4M3" and found[name]["shape"] == [192, 512] and
           found[name + "_scale_inv"]["shape"] == [2, 4], found[name + "_scale_inv"])
    shutil.rmtree(out)
    done = run("quantize", source, "-o", out, "--to", "bitsandbytes")
    expect("nf4", done.returncode == 0 and run("check", out).returncode == 0, done.stderr)
    found = header(out)
    expect("codes", found[name]["shape"] == [192 * 512 // 2, 1] and found[name + ".absmax"]["shape"] == [192 * 512 // 64], found[name])
    state = json.loads(tensor(out, name + ".quant_state.bitsandbytes__nf4")[2])
    expect("the state", state == {"quant_type": "nf4", "blocksize": 64, "dtype": "float16", "shape": [192, 512]}, state)
    codes, sizes = tensor(out, name)[2], struct.unpack("<%df" % (192 * 8), tensor(out, name + ".absmax")[2])
    table, floats = struct.unpack("<16f", tensor(out, name + ".quant_map")[2]), halves(tensor(source, name)[2])
    apart = [abs(table[codes[i // 2] >> 4 * (1 - i % 2) & 15] * sizes[i // 64] - floats[i]) / sizes[i // 64] for i in range(len(floats))]
    expect("the numbers", max(apart) < 0.152, max(apart))  # half of the widest gap of the table
    shutil.rmtree(out)


def check_routers():
    """What chooses experts stays as it is, whatever its name."""
    source, out = at("granite"), at("made")
    quantize_models.write(source, quantize_models.GRANITE)
    for to in ("fp8", "bitsandbytes", "gptq"):
        done = run("quantize", source, "-o", out, "--to", to)
        expect(to, done.returncode == 0, done.stderr)
        routers = {name: row["dtype"] for name, row in header(out).items() if ".router." in name}
        expect("routers in " + to, routers == {"model.layers.%d.block_sparse_moe.router.layer.weight" % i: "F16" for i in range(2)}, routers)
        shutil.rmtree(out)


def check_parts(source):
    """Files of a size: GGUF in parts, and shards of safetensors with their index."""
    whole, out = at("whole.gguf"), at("parts")
    run("quantize", source, "-o", whole, "--to", "gguf", "--type", "Q4_K_M")
    done = run("quantize", source, "-o", out, "--to", "gguf", "--type", "Q4_K_M", "--shard-size", "600K")
    expect("parts", done.returncode == 0, done.stderr)
    names = sorted(name for name in os.listdir(out) if name.endswith(".gguf"))
    n = len(names)
    expect("names", n > 2 and names == ["model-%05d-of-%05d.gguf" % (k + 1, n) for k in range(n)], names)
    types = {}
    for k, name in enumerate(names):
        found, file_type = quantize_models.gguf_types(os.path.join(out, name))
        expect("no tensor twice", not set(found) & set(types))
        expect("the model's metadata are in the first part", (file_type is None) == (k > 0), (name, file_type))
        types.update(found)
    expect("all tensors", types == quantize_models.gguf_types(whole)[0])
    done = run("diff", out, whole)
    expect("the same model", done.returncode == 0, done.stdout + done.stderr)
    expect("a part may not be missing", not os.remove(os.path.join(out, names[1])) and run("check", out).returncode == 3)
    done = run("quantize", source, "-o", at("no.gguf"), "--to", "gguf", "--shard-size", "600K")
    expect("several files have no one name", done.returncode == 2 and not os.path.exists(at("no.gguf")), done.stderr)
    os.remove(whole)
    shutil.rmtree(out)
    for words in (["--shard-size", "0"], ["--shard-size", "5X"], ["--shard-size", "-1"], ["--shard-size", "99999999999999999999T"], ["--shard-size", ""]):
        refused(" ".join(words), 2, source, *words)
    run("quantize", source, "-o", out, "--group", "32", "--shard-size", "700KB")
    with open(out + "/model.safetensors.index.json", encoding="utf-8") as f:
        index = json.load(f)
    sizes = [os.path.getsize(os.path.join(out, name)) for name in set(index["weight_map"].values())]
    expect("shards", len(sizes) == 3 and all(size < 710000 for size in sizes), sizes)
    expect("it loads", run("check", out).returncode == 0)
    shutil.rmtree(out)


def output(path):
    if os.path.isdir(path):
        return files(path)
    with open(path, "rb") as a, open(path + ".tare.json", "rb") as b:
        return [a.read(), b.read()]


def remove(path):
    if os.path.isdir(path):
        shutil.rmtree(path)
    else:
        os.remove(path)
        os.remove(path + ".tare.json")


def check_killed(source, out, words, other):
    count = at("count")
    asked = ["quantize", source, "-o", out, *words]
    env = {"LD_PRELOAD": shim, "TARE_KILL_COUNT": count, "ASAN_OPTIONS": "verify_asan_link_order=0"}
    run(*asked, "--threads", "1", **env)
    want, calls = output(out), int(open(count, encoding="utf-8").read())
    for k in range(6):
        remove(out)
        run(*asked, "--threads", str(1 + 3 * (k % 2)), TARE_KILL_AT=str(calls * (k + 1) // 8), TARE_KILL_SIGNAL="9", **env)
        expect("killed", not os.path.exists(out))
        # Other words are another output: what the killed run left is not taken for it.
        done = run(*asked, *(other if k == 5 else []))
        expect("gone on with", done.returncode == 0, done.stderr)
        expect("the files of an undisturbed run", (output(out) == want) == (k != 5), words)
    remove(out)


def main():
    source = at("floats")
    made = run("convert", os.path.join(root, "models/fable"), "-o", source, "--to", "dense")
    expect("floats", made.returncode == 0, made.stderr)
    check_refusals(source)
    check_mlx(source)
    check_gguf(source)
    check_mixtures()
    check_rules(source)
    check_report(source)
    check_transformers(source)
    check_routers()
    check_parts(source)
    check_killed(source, at("killed"), ["--group", "32"], ["--bits", "8"])
    check_killed(source, at("killed"), ["--group", "32", "--rule", "**.mlp=8"], ["--rule", "**.v_proj=8"])
    check_killed(source, at("killed"), ["--to", "fp8"], ["--keep-head", "--rule", "**.v_proj=float"])
    check_killed(source, at("killed"), ["--to", "bitsandbytes"], ["--rule", "**.v_proj=float"])
    check_killed(source, at("killed"), ["--to", "gguf", "--shard-size", "600K"], ["--shard-size", "500K"])
    check_killed(source, at("killed.gguf"), ["--to", "gguf", "--type", "Q4_K_M"], ["--keep-head"])
    shutil.rmtree(work)
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
