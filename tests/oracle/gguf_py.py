#!/usr/bin/env python3
"""gguf_py.py TARE GOLDEN/logits [NAME..]: tiny models written as GGUF by gguf-py, with its own map of names, and run.

float32: the logits must be those that the reference gave for the model (meta.json), or, where GGUF has no place for a setting
(Gemma's query_pre_attn_scalar), those of the model with the setting that llama.cpp takes. Then, for each kind of block, a llama of
random blocks against the same model of what gguf-py dequantizes. Needs gguf (PyPI) and numpy. Exit 77: gguf is not there.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli"))
try:
    import gguf
    import numpy as np
except ImportError:
    print("no gguf: not run")
    sys.exit(77)
import gguf_made

ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma": "gemma", "gemma2": "gemma2",
                 "gemma3_text": "gemma3", "phi3": "phi3"}
# A window by layer and dynamic scaling have no key in GGUF.
NOT_IN_GGUF = ("llama-dynamic", "llama-window", "qwen2-window", "qwen3-window")
tare, golden, only = sys.argv[1], sys.argv[2], sys.argv[3:]
work = tempfile.mkdtemp(prefix="tare-gguf-py-")


def load(path):
    with open(path, "rb") as f:
        raw = f.read()
    n = int.from_bytes(raw[:8], "little")
    found = {}
    for name, e in json.loads(raw[8:8 + n]).items():
        if name != "__metadata__":
            part = raw[8 + n + e["data_offsets"][0]:8 + n + e["data_offsets"][1]]
            flat = (np.frombuffer(part, "<u2").astype(np.uint32) << 16).view(np.float32) if e["dtype"] == "BF16" else \
                np.frombuffer(part, {"F32": "<f4", "F16": "<f2"}[e["dtype"]]).astype(np.float32)
            found[name] = flat.reshape(e["shape"])
    return found


def put_scaling(writer, config, head):
    scaling = config.get("rope_scaling")
    if not scaling:
        return
    kind = scaling.get("rope_type", scaling.get("type"))
    if kind == "llama3":
        wave = 2 * np.pi * config.get("rope_theta", 10000.0) ** (np.arange(0, head, 2) / head)
        low, high, old = scaling["low_freq_factor"], scaling["high_freq_factor"], scaling["original_max_position_embeddings"]
        smooth = np.clip((old / wave - low) / (high - low), 0, 1)
        writer.add_tensor("rope_freqs.weight", (1 / ((1 - smooth) / scaling["factor"] + smooth)).astype(np.float32))
    elif kind == "longrope":
        for name in ("long", "short"):
            writer.add_tensor("rope_factors_%s.weight" % name, np.array(scaling[name + "_factor"], np.float32))
        writer.add_rope_scaling_orig_ctx_len(config.get("original_max_position_embeddings")
                                             or scaling["original_max_position_embeddings"])
    else:
        writer.add_rope_scaling_type(gguf.RopeScalingType(kind))
        writer.add_rope_scaling_factor(scaling["factor"])
        if "original_max_position_embeddings" in scaling:
            writer.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])


def write(config, weights, path, kind=None):
    """A GGUF file; of kind, matrices are random blocks. What its tensors stand for comes back."""
    name = ARCHITECTURES[config["model_type"]]
    heads, layers, size = config["num_attention_heads"], config["num_hidden_layers"], config["hidden_size"]
    kv, head = config.get("num_key_value_heads") or heads, config.get("head_dim") or size // heads
    names = gguf.get_tensor_name_map({v: k for k, v in gguf.MODEL_ARCH_NAMES.items()}[name], layers)
    writer, rng, back = gguf.GGUFWriter(path, name), np.random.default_rng(7), {}
    writer.add_embedding_length(size), writer.add_block_count(layers), writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads), writer.add_head_count_kv(kv), writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_key_length(head), writer.add_value_length(head)
    writer.add_context_length(config.get("max_position_embeddings") or 2048)
    if "rope_theta" in config:
        writer.add_rope_freq_base(config["rope_theta"])
    writer.add_rope_dimension_count(int(head * config.get("partial_rotary_factor", 1)))
    if config.get("sliding_window") and config["model_type"] in ("mistral", "phi3", "gemma2", "gemma3_text"):
        writer.add_sliding_window(config["sliding_window"])
    if config.get("sliding_window_pattern"):
        writer.add_uint32(name + ".attention.sliding_window_pattern", config["sliding_window_pattern"])
    if name == "gemma2":
        writer.add_attn_logit_softcapping(config["attn_logit_softcapping"])
        writer.add_final_logit_softcapping(config["final_logit_softcapping"])
    put_scaling(writer, config, head)
    for own, x in weights.items():
        moved = re.search(r"\.(q|k)_proj\.", own) if name == "llama" else None
        n = heads if moved and moved[1] == "q" else kv
        y = gguf_made.permute(x, n) if moved else x + 1 if name.startswith("gemma") and own.endswith("norm.weight") else x
        there = names.get_name(own, try_suffixes=(".weight", ".bias"))
        if kind and x.ndim == 2:
            _, _, raw = gguf_made.random_blocks(rng, kind, y.shape)
            number = gguf.GGMLQuantizationType[kind]
            data = np.frombuffer(raw, np.uint8).reshape(y.shape[0], -1)
            writer.add_tensor(there, data, raw_dtype=number)
            y = gguf.quants.dequantize(data, number).astype(np.float32)
            x = y.reshape(n, head // 2, 2, -1).swapaxes(1, 2).reshape(y.shape) if moved else y
        else:
            writer.add_tensor(there, np.ascontiguousarray(y, dtype=np.float32))
        back[own] = x
    writer.write_header_to_file(), writer.write_kv_data_to_file(), writer.write_tensors_to_file(), writer.close()
    return back


def logits(model, ids):
    out = os.path.join(work, "out.npy")
    done = subprocess.run([tare, "logits", model, "--ids", ",".join(map(str, ids)), "-o", out], capture_output=True, text=True)
    if done.returncode:
        raise AssertionError("exit %d: %s" % (done.returncode, done.stderr.strip()[-300:]))
    found = np.load(out)
    os.unlink(out)
    return found


def save(folder, config, weights):
    os.makedirs(folder)
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(config, f)
    gguf_made.safetensors(os.path.join(folder, "model.safetensors"), weights)


def read(*path):
    with open(os.path.join(*path)) as f:
        return json.load(f)


def check_golden(name):
    folder, path = os.path.join(golden, name), os.path.join(work, name + ".gguf")
    config, meta = read(folder, "config.json"), read(folder, "meta.json")
    ids, weights = read(folder, "prompt.json")["ids"], load(os.path.join(folder, "model.safetensors"))
    if "query_pre_attn_scalar" in config:
        config["query_pre_attn_scalar"] = config["head_dim"]
        save(os.path.join(work, name), config, weights)
        want = logits(os.path.join(work, name), ids)
    else:
        want = np.fromfile(os.path.join(folder, meta["truth"]), "<f4").reshape(-1, meta["vocab"])
    write(config, weights, path)
    worst = np.abs(logits(path, ids) - want).max()
    assert worst <= meta["tolerance"], "off by %g, tolerance %g" % (worst, meta["tolerance"])


def check_kind(kind):
    rng, folder, path = np.random.default_rng(1), os.path.join(work, kind), os.path.join(work, kind + ".gguf")
    config = {"model_type": "llama", "hidden_size": 256, "num_hidden_layers": 2, "intermediate_size": 512, "vocab_size": 100,
              "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
              "max_position_embeddings": 256, "tie_word_embeddings": False}
    shapes = {"model.embed_tokens": (100, 256), "model.norm": (256,), "lm_head": (100, 256)}
    for i in range(2):
        for end, shape in (("input_layernorm", (256,)), ("post_attention_layernorm", (256,)), ("self_attn.q_proj", (256, 256)),
                           ("self_attn.k_proj", (128, 256)), ("self_attn.v_proj", (128, 256)), ("self_attn.o_proj", (256, 256)),
                           ("mlp.gate_proj", (512, 256)), ("mlp.up_proj", (512, 256)), ("mlp.down_proj", (256, 512))):
            shapes["model.layers.%d.%s" % (i, end)] = shape
    weights = {name + ".weight": rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    save(folder, config, write(config, weights, path, kind))
    ids = [1, 5, 9, 22, 50, 99, 3]
    assert np.array_equal(logits(path, ids), logits(folder, ids)), "other logits than those of the dequantized weights"


bad = seen = 0
cases = [(check_golden, n) for n in sorted(os.listdir(golden))
         if n not in NOT_IN_GGUF and read(golden, n, "config.json").get("model_type") in ARCHITECTURES]
for check, name in cases + [(check_kind, kind) for kind in gguf_made.KINDS]:
    if only and name not in only:
        continue
    seen += 1
    try:
        check(name)
    except AssertionError as e:
        bad += 1
        print("%s: %s" % (name, e))
shutil.rmtree(work)
print("as gguf-py: %d of %d" % (seen - bad, seen))
sys.exit(0 if seen and not bad else 1)
