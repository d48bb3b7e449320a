"""gguf_made.py - small GGUF files and the checkpoints they would be made of, written by hand: no gguf-py is needed."""
import json
import os
import struct

import numpy as np

U32, I32, F32, BOOL, TEXT, LIST = 4, 5, 6, 7, 8, 9
FORMS = {U32: "<I", I32: "<i", F32: "<f", BOOL: "<?"}


def text(word):
    raw = word if isinstance(word, bytes) else word.encode()
    return struct.pack("<Q", len(raw)) + raw


def one(kind, value):
    return text(value) if kind == TEXT else struct.pack(FORMS[kind], value)


def kind_of(value):
    if isinstance(value, bool):
        return BOOL
    return {int: U32, float: F32, str: TEXT, bytes: TEXT}[type(value)]


def pair(key, value):
    if isinstance(value, list):
        kind = kind_of(value[0]) if value else U32
        return text(key) + struct.pack("<IIQ", LIST, kind, len(value)) + b"".join(one(kind, v) for v in value)
    return text(key) + struct.pack("<I", kind_of(value)) + one(kind_of(value), value)


def gguf(metadata, tensors, alignment=32):
    """metadata: {key: value}; tensors: {name: float32 array, or (ggml's type, shape, bytes)}."""
    head, data = b"", b""
    for name, tensor in tensors.items():
        kind, shape, raw = tensor if isinstance(tensor, tuple) else (0, tensor.shape, tensor.astype("<f4").tobytes())
        data += bytes(-len(data) % alignment)
        head += text(name) + struct.pack("<I", len(shape)) + struct.pack("<%dQ" % len(shape), *shape[::-1])
        head += struct.pack("<IQ", kind, len(data))
        data += raw
    pairs = b"".join(pair(k, v) for k, v in metadata.items())
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)) + pairs + head
    return head + bytes(-len(head) % alignment) + data + bytes(-len(data) % alignment)


def safetensors(path, tensors):
    head, data = {}, b""
    for name, x in tensors.items():
        raw = np.ascontiguousarray(x, dtype="<f4").tobytes()
        head[name] = {"dtype": "F32", "shape": list(x.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    raw = json.dumps(head).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(raw)) + raw + data)


def read_safetensors(path):
    """F32 only."""
    with open(path, "rb") as f:
        raw = f.read()
    n = struct.unpack("<Q", raw[:8])[0]
    head = json.loads(raw[8:8 + n])
    head.pop("__metadata__", None)
    return {name: np.frombuffer(raw[8 + n + e["data_offsets"][0]:8 + n + e["data_offsets"][1]], "<f4").reshape(e["shape"])
            for name, e in head.items()}


def q4_0(x):
    """Blocks of x, and what they stand for."""
    flat = x.reshape(-1, 32)
    scale = (np.abs(flat).max(1, keepdims=True) / 7).astype(np.float16)
    code = np.clip(np.round(flat / np.maximum(scale.astype(np.float32), 1e-8)) + 8, 0, 15).astype(np.uint8)
    raw = np.concatenate([scale.astype("<f2").view(np.uint8), code[:, :16] | code[:, 16:] << 4], 1).tobytes()
    return (2, x.shape, raw), ((code.astype(np.float32) - 8) * scale.astype(np.float32)).reshape(x.shape)


def q8_0(x):
    flat = x.reshape(-1, 32)
    scale = (np.abs(flat).max(1, keepdims=True) / 127).astype(np.float16)
    code = np.round(flat / np.maximum(scale.astype(np.float32), 1e-8)).astype(np.int8)
    raw = np.concatenate([scale.astype("<f2").view(np.uint8), code.view(np.uint8)], 1).tobytes()
    return (8, x.shape, raw), (code.astype(np.float32) * scale.astype(np.float32)).reshape(x.shape)


# Columns and bytes of a block, and where its float16 numbers stand.
KINDS = {"Q4_0": (2, 32, 18, (0,)), "Q4_1": (3, 32, 20, (0, 2)), "Q5_0": (6, 32, 22, (0,)), "Q5_1": (7, 32, 24, (0, 2)),
         "Q8_0": (8, 32, 34, (0,)), "Q2_K": (10, 256, 84, (80, 82)), "Q3_K": (11, 256, 110, (108,)),
         "Q4_K": (12, 256, 144, (0, 2)), "Q5_K": (13, 256, 176, (0, 2)), "Q6_K": (14, 256, 210, (208,)), "MXFP4": (39, 32, 17, ()),
         "IQ1_S": (19, 256, 50, (0,)), "IQ1_M": (29, 256, 56, ()), "IQ2_XXS": (16, 256, 66, (0,)), "IQ2_XS": (17, 256, 74, (0,)),
         "IQ2_S": (22, 256, 82, (0,)), "IQ3_XXS": (18, 256, 98, (0,)), "IQ3_S": (21, 256, 110, (0,)), "IQ4_NL": (20, 32, 18, (0,)),
         "IQ4_XS": (23, 256, 136, (0,)), "TQ1_0": (34, 256, 54, (52,)), "TQ2_0": (35, 256, 66, (64,)), "Q1_0": (41, 128, 18, (0,)),
         "Q2_0": (42, 64, 18, (0,))}


def random_blocks(rng, kind, shape):
    """A tensor of random bits, of sizes as weights have them."""
    number, columns, size, halves = KINDS[kind]
    blocks = rng.integers(0, 256, (int(np.prod(shape)) // columns, size), dtype=np.uint8)
    for at in halves:
        blocks[:, at:at + 2] = (rng.standard_normal((len(blocks), 1)) / 50).astype("<f2").view(np.uint8)
    if kind == "MXFP4":
        blocks[:, 0] = rng.integers(110, 122, len(blocks))
    if kind in ("TQ2_0", "Q2_0"):  # what weights have: -1, 0 and 1, seldom 2
        codes = blocks[:, 2:] if kind == "Q2_0" else blocks[:, :64]
        codes &= ~((codes & codes >> 1 & 0x55) << 1)
    if kind == "IQ1_M":  # four bits of its scale are above each twelve
        half = (rng.standard_normal((len(blocks), 1)) / 50).astype("<f2").view(np.uint16)
        scales = blocks[:, 48:].copy().view("<u2")
        blocks[:, 48:] = (scales & 0xfff | (half >> np.array([0, 4, 8, 12], np.uint16) & 15) << 12).astype("<u2").view(np.uint8)
    return number, shape, blocks.tobytes()


def permute(x, heads):
    """As llama.cpp's converter does with q and k of llama models."""
    return x.reshape(heads, 2, x.shape[0] // heads // 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)


LAYER = {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
         "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
         "self_attn.k_norm": "attn_k_norm", "self_attn.qkv_proj": "attn_qkv", "mlp.gate_proj": "ffn_gate",
         "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "mlp.gate_up_proj": "ffn_up"}
TWO = {"post_attention_layernorm": "ffn_norm"}
FOUR = {"post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
        "post_feedforward_layernorm": "post_ffw_norm"}
TOP = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def gguf_name(name, four):
    stem, end = name.rsplit(".", 1)
    if stem in TOP:
        return "%s.%s" % (TOP[stem], end)
    _, _, layer, rest = stem.split(".", 3)
    return "blk.%s.%s.%s" % (layer, {**LAYER, **(FOUR if four else TWO)}[rest], end)


class Model:
    """A random model of a family: `folder` as published, `file` as GGUF."""

    def __init__(self, where, architecture, model_type, tied=False, bias=(), quantize=None, config=None, metadata=None):
        rng, dim, hidden, heads, kv, size, layers, vocab = np.random.default_rng(3), 64, 96, 4, 2, 16, 2, 40
        gemma, phi = architecture.startswith("gemma"), architecture == "phi3"
        four = architecture in ("gemma2", "gemma3")
        draw = lambda *shape: (rng.standard_normal(shape) * 0.2).astype(np.float32)
        self.weights = {"model.embed_tokens.weight": draw(vocab, dim), "model.norm.weight": draw(dim)}
        if not tied:
            self.weights["lm_head.weight"] = draw(vocab, dim)
        for i in range(layers):
            at = "model.layers.%d." % i
            shapes = {"self_attn.o_proj": (dim, heads * size), "mlp.down_proj": (dim, hidden)}
            if phi:
                shapes.update({"self_attn.qkv_proj": ((heads + 2 * kv) * size, dim), "mlp.gate_up_proj": (2 * hidden, dim)})
            else:
                shapes.update({"self_attn.q_proj": (heads * size, dim), "self_attn.k_proj": (kv * size, dim),
                               "self_attn.v_proj": (kv * size, dim), "mlp.gate_proj": (hidden, dim),
                               "mlp.up_proj": (hidden, dim)})
            for name, shape in shapes.items():
                self.weights[at + name + ".weight"] = draw(*shape)
                if name.rsplit(".", 1)[1] in bias:
                    self.weights[at + name + ".bias"] = draw(shape[0])
            norms = ["input_layernorm"] + list(FOUR if four else TWO)
            for name in norms:
                self.weights[at + name + ".weight"] = draw(dim)
            for name in ("q_norm", "k_norm") if architecture in ("qwen3", "gemma3") else ():
                self.weights[at + "self_attn." + name + ".weight"] = draw(size)
        tensors = {}
        for name, x in list(self.weights.items()):
            if gemma and name.endswith("norm.weight"):
                x = x.astype(np.float32)
                self.weights[name] = (x + np.float32(1)) - np.float32(1)  # what the sum leaves of it
                stored = x + np.float32(1)
            elif x.ndim == 2 and quantize:
                heads_of = heads if "q_proj" in name else kv
                rows = architecture == "llama" and name.split(".")[-2] in ("q_proj", "k_proj")
                stored, back = quantize(permute(x, heads_of) if rows else x)
                if rows:
                    back = back.reshape(heads_of, size // 2, 2, dim).swapaxes(1, 2).reshape(x.shape)
                self.weights[name] = back
            elif architecture == "llama" and name.split(".")[-2] in ("q_proj", "k_proj"):
                stored = permute(x, heads if "q_proj" in name else kv)
            else:
                stored = x
            tensors[gguf_name(name, four)] = stored
        a = architecture + "."
        self.metadata = {"general.architecture": architecture, a + "embedding_length": dim, a + "block_count": layers,
                         a + "feed_forward_length": hidden, a + "attention.head_count": heads,
                         a + "attention.head_count_kv": kv, a + "attention.key_length": size,
                         a + "attention.layer_norm_rms_epsilon": 1e-5, a + "context_length": 128,
                         a + "rope.freq_base": 10000.0}
        self.metadata.update(metadata or {})
        self.tensors = tensors
        self.folder, self.file = os.path.join(where, "published"), os.path.join(where, "model.gguf")
        os.makedirs(self.folder)
        self.config = {"model_type": model_type, "hidden_size": dim, "num_hidden_layers": layers,
                       "intermediate_size": hidden, "num_attention_heads": heads, "num_key_value_heads": kv,
                       "head_dim": size, "rms_norm_eps": 1e-5, "vocab_size": vocab, "rope_theta": 10000.0,
                       "max_position_embeddings": 128, "tie_word_embeddings": tied, **(config or {})}
        with open(os.path.join(self.folder, "config.json"), "w") as f:
            json.dump(self.config, f)
        safetensors(os.path.join(self.folder, "model.safetensors"), self.weights)
        self.write(self.file)

    def write(self, path, metadata=None, tensors=None):
        with open(path, "wb") as f:
            f.write(gguf({**self.metadata, **(metadata or {})}, self.tensors if tensors is None else tensors))
