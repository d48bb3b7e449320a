"""models.py - repositories for the tests: folders of this tree, and a 7B-shape model that exists only as headers."""
import base64
import json
import os
import struct

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FABLE = ROOT + "/models/fable"
LOAD = ROOT + "/tests/data/load/"
NOT_OF_A_REPO = ["expected.json", "logits*.f32", "truth.safetensors"]  # what lies beside a model for other tests


def folder(path):
    return {"dir": path, "skip": NOT_OF_A_REPO}


ITEM = {"F16": 2, "I32": 4, "BF16": 2}


def awq_7b(layers=32, hidden=4096, inter=11008, vocab=32000, kv=32, group=128, shards=2, bits=4):
    """(config, {file: (header bytes, size)}, index) of a Llama in AWQ gemm: headers real, data zeros."""
    pack = 32 // bits
    head_dim = hidden // 32
    rows = [("model.embed_tokens.weight", "F16", [vocab, hidden])]

    def linear(name, n_in, n_out):
        return [(name + ".qweight", "I32", [n_in, n_out // pack]), (name + ".qzeros", "I32", [n_in // group, n_out // pack]),
                (name + ".scales", "F16", [n_in // group, n_out])]
    for i in range(layers):
        p = f"model.layers.{i}."
        rows += [(p + "input_layernorm.weight", "F16", [hidden]), (p + "post_attention_layernorm.weight", "F16", [hidden])]
        for n, a, b in (("self_attn.q_proj", hidden, hidden), ("self_attn.k_proj", hidden, kv * head_dim), ("self_attn.v_proj", hidden, kv * head_dim),
                        ("self_attn.o_proj", hidden, hidden), ("mlp.gate_proj", hidden, inter), ("mlp.up_proj", hidden, inter), ("mlp.down_proj", inter, hidden)):
            rows += linear(p + n, a, b)
    rows += [("model.norm.weight", "F16", [hidden]), ("lm_head.weight", "F16", [vocab, hidden])]
    size = lambda r: ITEM[r[1]] * (r[2][0] * (r[2][1] if len(r[2]) > 1 else 1))
    total = sum(map(size, rows))
    parts, at = [[] for _ in range(shards)], 0
    for r in rows:
        parts[min(shards - 1, at * shards // total)].append(r)
        at += size(r)
    files, where = {}, {}
    for k, part in enumerate(parts):
        name = f"model-{k + 1:05d}-of-{shards:05d}.safetensors" if shards > 1 else "model.safetensors"
        head, at = {"__metadata__": {"format": "pt"}}, 0
        for n, d, s in part:
            b = size((n, d, s))
            head[n] = {"dtype": d, "shape": s, "data_offsets": [at, at + b]}
            where[n] = name
            at += b
        text = json.dumps(head, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        files[name] = (struct.pack("<Q", len(text)) + text, 8 + len(text) + at)
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden, "num_hidden_layers": layers,
              "intermediate_size": inter, "num_attention_heads": 32, "num_key_value_heads": kv, "vocab_size": vocab, "rms_norm_eps": 1e-5,
              "rope_theta": 10000.0, "max_position_embeddings": 4096, "hidden_act": "silu", "tie_word_embeddings": False, "bos_token_id": 1,
              "eos_token_id": 2, "torch_dtype": "float16",
              "quantization_config": {"quant_method": "awq", "bits": bits, "group_size": group, "version": "gemm", "zero_point": True, "modules_to_not_convert": None}}
    index = {"metadata": {"total_size": total}, "weight_map": where} if shards > 1 else None
    return config, files, index


def big_repo(**shape):
    """The specification of such a repository for fakehub."""
    config, files, index = awq_7b(**shape)
    out = {"config.json": {"text": json.dumps(config, indent=2)}, "generation_config.json": {"text": '{"bos_token_id": 1, "eos_token_id": 2}\n'},
           "tokenizer_config.json": {"text": '{"bos_token": "<s>", "eos_token": "</s>", "model_max_length": 4096}\n'},
           "tokenizer.json": {"text": open(FABLE + "/tokenizer.json").read()}, "README.md": {"text": "# a model\n"}}
    for name, (head, size) in files.items():
        out[name] = {"header_b64": base64.b64encode(head).decode(), "size": size}
    if index:
        out["model.safetensors.index.json"] = {"text": json.dumps(index, indent=2)}
    return {"files": out}


def big_folder(root, **shape):
    """The same on disk, with holes."""
    config, files, index = awq_7b(**shape)
    os.makedirs(root, exist_ok=True)
    for name, what in big_repo(**shape)["files"].items():
        if "text" in what:
            with open(os.path.join(root, name), "w") as f:
                f.write(what["text"])
    for name, (head, size) in files.items():
        with open(os.path.join(root, name), "wb") as f:
            f.write(head)
            f.truncate(size)
    return root
