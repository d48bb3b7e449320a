"""quantize_models.py - small models of floats for the tests of tare quantize: their configs and the shapes of their tensors, as
transformers saves them, and a writer that needs nothing but Python. tests/save/quantize.py and tests/oracle/llama_quantize.py read it."""
import json
import os
import shutil
import struct

FABLE = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "models", "fable")
LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 256, "num_hidden_layers": 16, "intermediate_size": 512,
         "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
         "max_position_embeddings": 256, "tie_word_embeddings": False, "hidden_act": "silu", "bos_token_id": 0, "eos_token_id": 0}
MIXTRAL = {**LLAMA, "model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "num_hidden_layers": 8, "intermediate_size": 256,
           "num_local_experts": 8, "num_experts_per_tok": 2}
# What chooses experts has another name than in mixtral.
GRANITE = {**MIXTRAL, "model_type": "granitemoe", "architectures": ["GraniteMoeForCausalLM"], "num_hidden_layers": 2, "num_local_experts": 4,
           "attention_bias": False, "attention_multiplier": 1.0, "embedding_multiplier": 1.0, "logits_scaling": 1.0, "residual_multiplier": 1.0}
# Each asks for another line of src/quantize/gguf_types.def.
CASES = {
    "plain": LLAMA,
    "shared": {**LLAMA, "num_hidden_layers": 10, "num_attention_heads": 8, "num_key_value_heads": 2},
    "tied": {**LLAMA, "num_hidden_layers": 3, "tie_word_embeddings": True},
    "eight": MIXTRAL,
    "four": {**MIXTRAL, "num_local_experts": 4, "num_key_value_heads": 1},
    "narrow": {**LLAMA, "num_hidden_layers": 4, "hidden_size": 96, "num_attention_heads": 3, "num_key_value_heads": 1, "intermediate_size": 288},
    "odd": {**LLAMA, "num_hidden_layers": 2, "hidden_size": 80, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 176},
    "odd-tied": {**LLAMA, "num_hidden_layers": 2, "hidden_size": 96, "num_attention_heads": 3, "num_key_value_heads": 1, "tie_word_embeddings": True},
    "seventy": {**LLAMA, "num_hidden_layers": 80, "intermediate_size": 256},
}


def shapes(config):
    """Names and shapes."""
    h, v, width = config["hidden_size"], config["vocab_size"], config["intermediate_size"]
    kv = config["num_key_value_heads"] * h // config["num_attention_heads"]
    found = {"model.embed_tokens.weight": (v, h), "model.norm.weight": (h,)}
    if not config["tie_word_embeddings"]:
        found["lm_head.weight"] = (v, h)
    for i in range(config["num_hidden_layers"]):
        at = "model.layers.%d." % i
        for norm in ("input_layernorm", "post_attention_layernorm"):
            found[at + norm + ".weight"] = (h,)
        for name, rows in (("q", h), ("k", kv), ("v", kv), ("o", h)):
            found[at + "self_attn.%s_proj.weight" % name] = (rows, h)
        names = {"gate_proj": (width, h), "up_proj": (width, h), "down_proj": (h, width)}
        places = {at + "mlp.": ("gate_proj", "up_proj", "down_proj")}
        if config["model_type"] == "granitemoe":
            n, block = config["num_local_experts"], at + "block_sparse_moe."
            found.update({block + "router.layer.weight": (n, h), block + "input_linear.weight": (n, 2 * width, h), block + "output_linear.weight": (n, h, width)})
            continue
        if "num_local_experts" in config:
            found[at + "block_sparse_moe.gate.weight"] = (config["num_local_experts"], h)
            places = {at + "block_sparse_moe.experts.%d." % e: ("w1", "w3", "w2") for e in range(config["num_local_experts"])}
        for place, own in places.items():
            for name, shape in zip(own, names.values()):
                found["%s%s.weight" % (place, name)] = shape
    return found


def write(folder, config, dtype="F16", values=None):
    """A checkpoint with fable's tokenizer. values(name, shape) gives a tensor's bytes; without it all are 0."""
    size, at, header, data = {"F16": 2, "BF16": 2, "F32": 4}[dtype], 0, {"__metadata__": {"format": "pt"}}, []
    for name, shape in shapes(config).items():
        n = size
        for length in shape:
            n *= length
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + n]}
        data.append(values(name, shape) if values else bytes(n))
        at += n
    os.makedirs(folder)
    text = json.dumps(header).encode()
    with open(os.path.join(folder, "model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        f.writelines(data)
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as f:
        json.dump(config, f)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(os.path.join(FABLE, name), folder)


def gguf_types(path):
    """The type of each tensor of a GGUF file by its number, and general.file_type."""
    with open(path, "rb") as f:
        data = f.read(8 << 20)
    at = 24
    tensors, pairs = struct.unpack_from("<QQ", data, 8)
    sizes = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

    def string(at):
        n = struct.unpack_from("<Q", data, at)[0]
        return data[at + 8:at + 8 + n].decode(errors="replace"), at + 8 + n

    def skip(kind, at):
        if kind == 8:
            return string(at)[1]
        if kind == 9:
            kind, n = struct.unpack_from("<IQ", data, at)
            at += 12
            for _ in range(n):
                at = skip(kind, at)
            return at
        return at + sizes[kind]

    found, file_type = {}, None
    for _ in range(pairs):
        key, at = string(at)
        kind = struct.unpack_from("<I", data, at)[0]
        if key == "general.file_type":
            file_type = struct.unpack_from("<I", data, at + 4)[0]
        at = skip(kind, at + 4)
    for _ in range(tensors):
        name, at = string(at)
        rank = struct.unpack_from("<I", data, at)[0]
        found[name] = struct.unpack_from("<I", data, at + 4 + 8 * rank)[0]
        at += 4 + 8 * rank + 12
    return found, file_type
