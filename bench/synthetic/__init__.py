"""synthetic.py - checkpoints of real shapes and random content, for the benches: they time the way of bytes, not their meaning."""
import json
import os
import random
import struct

SIZE = {"F8_E4M3": 1, "F16": 2, "BF16": 2, "F32": 4, "I32": 4, "U32": 4}
QWEN_1_5B = dict(model_type="qwen2", architectures=["Qwen2ForCausalLM"], hidden_size=1536, intermediate_size=8960,
                 num_hidden_layers=28, num_attention_heads=12, num_key_value_heads=2, vocab_size=151936,
                 max_position_embeddings=32768, rms_norm_eps=1e-6, rope_theta=1000000.0, tie_word_embeddings=True,
                 torch_dtype="float16")
LLAMA_7B = dict(model_type="llama", architectures=["LlamaForCausalLM"], hidden_size=4096, intermediate_size=11008,
                num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=32, vocab_size=32000,
                max_position_embeddings=4096, rms_norm_eps=1e-5, tie_word_embeddings=False, torch_dtype="float16")
TINYLLAMA_1_1B = dict(LLAMA_7B, hidden_size=2048, intermediate_size=5632, num_hidden_layers=22, num_attention_heads=32,
                      num_key_value_heads=4, max_position_embeddings=2048)
SMOLLM2_135M = dict(LLAMA_7B, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
                    num_key_value_heads=3, vocab_size=49152, max_position_embeddings=8192, rope_theta=100000.0,
                    tie_word_embeddings=True)
GEMMA3_270M = dict(model_type="gemma3_text", architectures=["Gemma3ForCausalLM"], hidden_size=640, intermediate_size=2048,
                   num_hidden_layers=18, num_attention_heads=4, num_key_value_heads=1, head_dim=256, vocab_size=262144,
                   max_position_embeddings=32768, rms_norm_eps=1e-6, rope_theta=1000000.0, rope_local_base_freq=10000.0,
                   sliding_window=512, sliding_window_pattern=6, query_pre_attn_scalar=256, tie_word_embeddings=True,
                   torch_dtype="float16")
AWQ = dict(quant_method="awq", bits=4, group_size=128, version="gemm", zero_point=True, modules_to_not_convert=None)


def tensors(config, group=128):
    """(name, dtype, shape) of an AutoAWQ checkpoint of a llama, qwen2 or gemma3_text."""
    dim, ff, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    head = config.get("head_dim", dim // heads)
    kv, inner, gemma = config["num_key_value_heads"] * head, heads * head, config["model_type"] == "gemma3_text"
    rows = []

    def linear(path, out, inner, bias=False):
        rows.extend([(path + ".qweight", "I32", [inner, out // 8]), (path + ".qzeros", "I32", [inner // group, out // 8]),
                     (path + ".scales", "F16", [inner // group, out])])
        if bias:
            rows.append((path + ".bias", "F16", [out]))

    rows.append(("model.embed_tokens.weight", "F16", [config["vocab_size"], dim]))
    for i in range(config["num_hidden_layers"]):
        at, bias = "model.layers.%d." % i, config["model_type"] == "qwen2"
        rows += [(at + "input_layernorm.weight", "F16", [dim]), (at + "post_attention_layernorm.weight", "F16", [dim])]
        if gemma:
            rows += [(at + "pre_feedforward_layernorm.weight", "F16", [dim]), (at + "post_feedforward_layernorm.weight", "F16", [dim]),
                     (at + "self_attn.q_norm.weight", "F16", [head]), (at + "self_attn.k_norm.weight", "F16", [head])]
        linear(at + "self_attn.q_proj", inner, dim, bias)
        linear(at + "self_attn.k_proj", kv, dim, bias)
        linear(at + "self_attn.v_proj", kv, dim, bias)
        linear(at + "self_attn.o_proj", dim, inner)
        linear(at + "mlp.gate_proj", ff, dim)
        linear(at + "mlp.up_proj", ff, dim)
        linear(at + "mlp.down_proj", dim, ff)
    rows.append(("model.norm.weight", "F16", [dim]))
    if not config["tie_word_embeddings"]:
        rows.append(("lm_head.weight", "F16", [config["vocab_size"], dim]))
    return rows


def count(shape):
    n = 1
    for k in shape:
        n *= k
    return n


def write(folder, config, rows, sparse=False, name="model.safetensors"):
    """One file; sparse: a hole in place of the data. Returns the bytes of its tensors."""
    os.makedirs(folder, exist_ok=True)
    head, at = {}, 0
    for tensor, dtype, shape in rows:
        size = count(shape) * SIZE[dtype]
        head[tensor] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    draw = random.Random(1)
    codes = draw.randbytes(4 << 20)
    halves = struct.pack("<65536e", *(draw.uniform(0.001, 0.02) * draw.choice((-1, 1)) for _ in range(65536)))
    with open(os.path.join(folder, name), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for tensor, dtype, shape in () if sparse else rows:
            size, block = count(shape) * SIZE[dtype], codes if dtype == "I32" else halves
            while size:
                size -= f.write(block[:size])
        f.truncate(8 + len(text) + at)
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(config, f)
    return at
