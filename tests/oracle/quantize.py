#!/usr/bin/env python3
"""quantize.py TARE [GGML] [--models FOLDER...] | --fixture GGML FILE: does tare quantize write the bytes that mlx-lm and ggml write?

Small random models of floats (llama untied, qwen2 tied, a mixture of experts), in float16, bfloat16 and float32, with rows
that are all alike, all 0, tiny, of one sign, and halfway between codes. mlx-lm's convert() quantizes them in every mode, bits
and group size, and by every mixed recipe; each tensor must have the same name, dtype, shape and bytes, and config.json the
same form for each module. For GGUF the reference is ggml's own
function, where GGML is a shared library with ggml_quantize_chunk() (cc -O2 -shared -fPIC ggml-quants.c ggml.c -lm, of llama.cpp's
ggml/src; tests/oracle/llama_quantize.py holds whole files against the program); without one only Q8_0 is compared, with gguf-py, because gguf-py's other types round like processors that fuse a
product and a sum, and llama.cpp's ordinary build does not.
Each FOLDER holds checkpoints of any architecture, which become floats first where they are packed; those that tare and mlx-lm
both take are compared at 4 bits in groups of 32. Exit status 77: no mlx-lm."""
import contextlib
import ctypes
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile

try:
    import gguf
    import mlx.core as mx
    import mlx_lm
    import numpy as np
    import tokenizers
except ImportError:
    other = next((p for p in (os.environ.get("TARE_ORACLE"), "/opt/oracle/v/bin/python") if p and os.path.exists(p)), None)
    if other and not os.environ.get("TARE_ORACLE_TRIED"):
        os.environ["TARE_ORACLE_TRIED"] = "1"
        os.execv(other, [other] + sys.argv)
    print("no mlx-lm here: skipped")
    sys.exit(77)

mx.set_default_device(mx.cpu)
BLOCKS = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q6_K", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "IQ4_NL", "IQ4_XS")  # of the fixture
DTYPES = {"float16": mx.float16, "bfloat16": mx.bfloat16, "float32": mx.float32}
LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 128, "num_hidden_layers": 8, "intermediate_size": 256,
         "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 96, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
         "max_position_embeddings": 256, "tie_word_embeddings": False, "hidden_act": "silu", "bos_token_id": 0, "eos_token_id": 1}
MIXED = {**LLAMA, "model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"], "num_hidden_layers": 2, "num_experts": 4,
         "num_experts_per_tok": 2, "decoder_sparse_step": 1, "mlp_only_layers": [], "moe_intermediate_size": 128, "head_dim": 32,
         "norm_topk_prob": True, "num_key_value_heads": 2}
TIED = {**LLAMA, "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "tie_word_embeddings": True, "num_hidden_layers": 2,
        "hidden_size": 256}


def odd(values, rng):
    """Rows that rounding is hardest for, in the place of the first ones."""
    rows = values.reshape(-1, values.shape[-1])
    made = [0 * rows[0], 0 * rows[0] + 0.25, 0 * rows[0] - 1e-6, abs(rows[0]), -abs(rows[0]), rows[0] * 1e-7, rows[0] * 2e4, 0 * rows[0] + 3000, rng.integers(-12, 13, rows[0].shape) / 4,
            np.where(rng.random(rows[0].shape) < 0.5, 6e-5, -6e-5), np.exp2(rng.integers(-9, 3, rows[0].shape).astype(np.float32))]
    for k, row in enumerate(made[:len(rows) // 2]):
        rows[k] = row
    return values


def shapes(config):
    """Names and shapes, as transformers saves them."""
    h, v, kv = config["hidden_size"], config["vocab_size"], config["num_key_value_heads"] * config["hidden_size"] // config["num_attention_heads"]
    found = {"model.embed_tokens.weight": (v, h), "model.norm.weight": (h,)}
    if not config["tie_word_embeddings"]:
        found["lm_head.weight"] = (v, h)
    for i in range(config["num_hidden_layers"]):
        at = "model.layers.%d." % i
        for norm in ("input_layernorm", "post_attention_layernorm"):
            found[at + norm + ".weight"] = (h,)
        for name, rows in (("q", h), ("k", kv), ("v", kv), ("o", h)):
            found[at + "self_attn.%s_proj.weight" % name] = (rows, h)
            if config["model_type"] == "qwen2" and name != "o":
                found[at + "self_attn.%s_proj.bias" % name] = (rows,)
        places, width = [at + "mlp."], config["intermediate_size"]
        if "num_experts" in config:
            width = config["moe_intermediate_size"]
            places = [at + "mlp.experts.%d." % e for e in range(config["num_experts"])]
            found[at + "mlp.gate.weight"] = (config["num_experts"], h)
            for name in ("q_norm", "k_norm"):
                found[at + "self_attn.%s.weight" % name] = (config["head_dim"],)
        for place in places:
            found.update({place + "gate_proj.weight": (width, h), place + "up_proj.weight": (width, h), place + "down_proj.weight": (h, width)})
    return found


def make(folder, config, dtype, said, seed):
    """A model whose floats are of one dtype, and a config that says another, or none."""
    rng = np.random.default_rng(seed)
    tensors = {name: mx.array(odd(rng.standard_normal(shape).astype(np.float32) * 0.05, rng) if len(shape) > 1 else
                              rng.standard_normal(shape).astype(np.float32)).astype(DTYPES[dtype]) for name, shape in shapes(config).items()}
    os.makedirs(folder)
    mx.save_safetensors(folder + "/model.safetensors", tensors, metadata={"format": "pt"})
    config = {**config, **({"torch_dtype": said} if said else {})}
    with open(folder + "/config.json", "w", encoding="utf-8") as f:
        json.dump(config, f)
    words = {"<s>": 0, "</s>": 1, **{"t%d" % k: k for k in range(2, config["vocab_size"])}}
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=words, merges=[], unk_token="<s>"))
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.save(folder + "/tokenizer.json")
    with open(folder + "/tokenizer_config.json", "w", encoding="utf-8") as f:
        json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>"}, f)


def read(folder):
    """Every tensor of a folder: dtype, shape and bytes."""
    found = {}
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".safetensors"):
            continue
        with open(os.path.join(folder, name), "rb") as f:
            size = struct.unpack("<Q", f.read(8))[0]
            header, data = json.loads(f.read(size)), f.read()
        for key, value in header.items():
            if key != "__metadata__":
                begin, end = value["data_offsets"]
                found[key] = (value["dtype"], value["shape"], data[begin:end])
    return found


def forms(folder, tensors):
    """The form of each packed module, as a reader of config.json has it."""
    with open(folder + "/config.json", encoding="utf-8") as f:
        all_ = json.load(f)["quantization"]
    form = lambda d: (d.get("bits", 4), d.get("group_size") or 64, d.get("mode", "affine"))
    return {k[:-7]: form(all_.get(k[:-7], all_)) for k in tensors if k.endswith(".scales")}


class Count:
    def __init__(self):
        self.models = self.tensors = self.bytes = self.wrong = self.left = 0

    def compare(self, what, ours, theirs):
        self.models += 1
        for name in sorted(set(ours) | set(theirs)):
            a, b = ours.get(name), theirs.get(name)
            if a == b:
                self.tensors += 1
                self.bytes += len(a[2])
                continue
            self.wrong += 1
            if self.wrong > 20:
                continue
            differ = "" if not a or not b or a[:2] != b[:2] else "; %d of %d bytes differ" % (sum(x != y for x, y in zip(a[2], b[2])), len(a[2]))
            print("%s: %s: %s, and the reference has %s%s" % (what, name, a and a[:2], b and b[:2], differ))


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit("%s: %s" % (" ".join(words), done.stderr))


def hold_mlx(count, tare, folder, source, what, flags, **asked):
    ours, theirs = os.path.join(folder, "ours"), os.path.join(folder, "theirs")
    run(tare, "quantize", source, "-o", ours, "--no-sums", *flags)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        mlx_lm.convert(source, theirs, quantize=True, **asked)
    a, b = read(ours), read(theirs)
    count.compare(what, a, b)
    if forms(ours, a) != forms(theirs, b):
        count.wrong += 1
        print("%s: config.json has other forms" % what)
    for made in (ours, theirs):
        subprocess.run(["rm", "-r", made], check=True)


def mlx_cases():
    for bits in (2, 3, 4, 5, 6, 8):
        for group in (32, 64, 128):
            yield ["--bits", str(bits), "--group", str(group)], {"q_bits": bits, "q_group_size": group}
    for mode in ("mxfp4", "mxfp8", "nvfp4"):
        yield ["--mode", mode], {"q_mode": mode}
    for recipe in ("mixed_2_6", "mixed_3_4", "mixed_3_6", "mixed_4_6"):
        yield ["--recipe", recipe], {"quant_predicate": recipe}
    yield [], {}


def permuted(values, name, config):
    """Rows of q and k of the llama family change places (llama.cpp, LlamaModel.permute)."""
    heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}.get(name.split(".")[-2])
    if config["model_type"] != "llama" or not heads:
        return values
    n, rows = config[heads], values.shape[0]
    return values.reshape(n, 2, rows // n // 2, -1).swapaxes(1, 2).reshape(values.shape)


def blocks(ggml, values, type_):
    """Rows as ggml rounds them; without ggml, as gguf-py does, or None where that has the rounding of other processors."""
    if not ggml:
        return gguf.quants.quantize(values, type_) if type_.name == "Q8_0" else None
    rows = np.ascontiguousarray(values, np.float32)
    columns, size = gguf.GGML_QUANT_SIZES[type_]
    made = np.zeros(rows.size // columns * size, np.uint8)
    pointer = lambda a: a.ctypes.data_as(ctypes.c_void_p)
    ggml.ggml_quantize_chunk(int(type_), pointer(rows), pointer(made), ctypes.c_int64(0), ctypes.c_int64(rows.shape[0]), ctypes.c_int64(rows.shape[1]), None)
    return made


def hold_gguf(count, tare, folder, source, config, type_, ggml):
    made = os.path.join(folder, "ours.gguf")
    run(tare, "quantize", source, "-o", made, "--to", "gguf", "--type", type_, "--no-sums")
    floats = {name: np.array(a.astype(mx.float32)) for name, a in mx.load(source + "/model.safetensors").items()}
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH[config["model_type"].upper()], config["num_hidden_layers"])
    ours = {t.name: t for t in gguf.GGUFReader(made).tensors}
    expected, found = {}, {}
    for name, values in floats.items():
        key = names.get_name(name, try_suffixes=(".weight", ".bias"))
        tensor, head = ours.pop(key), "embed_tokens" in name if config["tie_word_embeddings"] else "lm_head" in name
        want = gguf.GGMLQuantizationType[type_]
        if head and type_ != "Q8_0":
            want = gguf.GGMLQuantizationType["Q8_0" if values.shape[-1] % 256 else "Q6_K"]
        if values.ndim < 2:
            want = gguf.GGMLQuantizationType.F32
        data = permuted(values, name, config)
        if values.ndim > 1:
            data = blocks(ggml, data, want)
        if data is None:
            count.left += 1
            continue
        expected[key] = (want.name, list(values.shape), data.tobytes())
        found[key] = (tensor.tensor_type.name, [int(n) for n in reversed(tensor.shape)], tensor.data.tobytes())
    if ours:
        count.wrong += 1
        print("%s: tensors that the model has not: %s" % (type_, ", ".join(ours)))
    count.compare("gguf %s %s" % (config["model_type"], type_), found, expected)
    os.remove(made)


# Computed parameters whose last bit is the maths library's own: norms of the head's rows.
COMPUTED = {"baichuan_m1": ("lm_head.scales", "lm_head.biases")}


def hold_models(count, tare, folder, given):
    """Which architectures' modules are quantized, and how."""
    make(os.path.join(folder, "words"), LLAMA, "float16", None, 0)
    for path in sorted(os.path.join(f, n) for f in given for n in os.listdir(f) if os.path.exists(os.path.join(f, n, "config.json"))):
        source, ours, theirs = (os.path.join(folder, n) for n in ("source", "ours", "theirs"))
        for made in (source, ours, theirs):
            shutil.rmtree(made, True)
        with open(path + "/config.json", encoding="utf-8") as f:
            packed = json.load(f)
        if "quantization" in packed or "quantization_config" in packed:
            subprocess.run([tare, "convert", path, "-o", source, "--to", "dense"], capture_output=True, check=False)
        else:
            shutil.copytree(path, source, ignore=shutil.ignore_patterns("truth*", "logits*", "expected*"))
        try:
            for name in ("tokenizer.json", "tokenizer_config.json"):
                shutil.copy(os.path.join(folder, "words", name), source)
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                mlx_lm.convert(source, theirs, quantize=True, q_group_size=32)
        except (Exception, SystemExit):  # mlx-lm raises what it likes about a model that it does not take
            count.left += 1
            continue
        if subprocess.run([tare, "quantize", source, "-o", ours, "--group", "32", "--no-sums"], capture_output=True, check=False).returncode:
            count.left += 1
            continue
        a, b, computed = read(ours), read(theirs), COMPUTED.get(packed["model_type"], ())
        count.compare(os.path.basename(path), *({k: v for k, v in t.items() if k not in computed} for t in (a, b)))
        if forms(ours, a) != forms(theirs, b):
            count.wrong += 1
            print("%s: config.json has other forms" % path)


def write_fixture(file, ggml):
    """tests/data/quantize/rounded.bin: what tests/unit/quantize/test_round.c reads, in this order, all floats as float32."""
    rng = np.random.default_rng(7)
    rows = odd(rng.standard_normal((16, 256)).astype(np.float32) * 0.05, rng)[[1, 2, 4, 5, 7, 9, 10, 11, 12, 14]]
    single = lambda a: np.array(a.astype(mx.float32)).tobytes()
    with open(file, "wb") as f:
        for d, dtype in enumerate(DTYPES.values()):
            floats = mx.array(rows).astype(dtype)
            f.write(single(floats))
            for b, bits in enumerate((2, 3, 4, 5, 6, 8)):
                made = mx.quantize(floats, bits=bits, group_size=(32, 64, 128)[(b + d) % 3])
                f.write(np.array(made[0]).tobytes() + single(made[1]) + single(made[2]))
            for mode in ("mxfp4", "mxfp8", "nvfp4"):
                made = mx.quantize(floats, mode=mode)
                f.write(np.array(made[0]).tobytes() + np.array(made[1]).tobytes())
        for type_ in BLOCKS:
            f.write(blocks(ggml, rows, gguf.GGMLQuantizationType[type_]).tobytes())


def main():
    if sys.argv[1] == "--fixture":
        write_fixture(sys.argv[3], ctypes.CDLL(sys.argv[2]))
        return 0
    words = sys.argv[1:]
    given = words[words.index("--models") + 1:] if "--models" in words else []
    words = words[:len(words) - len(given) - bool(given)]
    tare, ggml, count = words[0], ctypes.CDLL(words[1]) if len(words) > 1 else None, Count()
    with tempfile.TemporaryDirectory() as folder:
        models = []
        for seed, (dtype, said) in enumerate([("float16", None), ("bfloat16", "bfloat16"), ("float32", None), ("float32", "bfloat16"), ("bfloat16", "float16")]):
            for config in (LLAMA, TIED, MIXED) if seed < 3 else (LLAMA,):
                source = os.path.join(folder, "%s-%s-%s" % (config["model_type"], dtype, said))
                make(source, config, dtype, said, seed)
                models.append((source, config, dtype, said))
        for source, config, dtype, said in models:
            for flags, asked in mlx_cases() if config is LLAMA else list(mlx_cases())[6::5]:
                hold_mlx(count, tare, folder, source, " ".join(["mlx", os.path.basename(source), *flags]), flags, **asked)
        print("mlx-lm: %d models, %d tensors, %d bytes are equal; %d differences" % (count.models, count.tensors, count.bytes, count.wrong))
        wrong, count = count.wrong, Count()
        for source, config, dtype, said in models:
            for type_ in ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0") if config is not MIXED else ():
                hold_gguf(count, tare, folder, source, config, type_, ggml)
        print("gguf: %d models, %d tensors, %d bytes are equal; %d differences; %d tensors not compared" %
              (count.models, count.tensors, count.bytes, count.wrong, count.left))
        wrong, count = wrong + count.wrong, Count()
        hold_models(count, tare, folder, given)
        print("architectures: %d models, %d tensors, %d bytes are equal; %d differences; %d not taken by one of the two" %
              (count.models, count.tensors, count.bytes, count.wrong, count.left))
    return 1 if wrong + count.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
