"""gguf.py - the shapes of synthetic as GGUF with random blocks, in the types that llama-quantize (--dry-run) gives each tensor: Q4_0 or Q4_K_M.

llama.cpp loads it without a vocabulary ("no_vocab"); a server needs one (words.py)."""
import os
import random
import struct

from . import words

# type: (number in GGUF, elements of a block, its bytes, where float16 factors stand in it)
TYPES = {"F32": (0, 1, 4, ()), "Q4_0": (2, 32, 18, (0,)), "Q5_0": (6, 32, 22, (0,)), "Q8_0": (8, 32, 34, (0,)),
         "Q4_K": (12, 256, 144, (0, 2)), "Q6_K": (14, 256, 210, (208,))}
FALLBACK = {"Q4_K": "Q5_0", "Q6_K": "Q8_0"}  # of rows that are no multiple of 256
FILE_TYPE = {"Q4_0": 2, "Q4_K_M": 15}
ALIGNMENT = 32
U32, I32, F32, TEXT, LIST = 4, 5, 6, 8, 9  # kinds of metadata
FORMATS = {U32: "<I", I32: "<i", F32: "<f"}


def more_bits(i, n):
    """Layers whose values and down projections Q4_K_M keeps in 6 bits: the first and last eighth, and every third between."""
    return i < n // 8 or i >= 7 * n // 8 or (i - n // 8) % 3 == 2


def kind(mix, inner, high=False):
    name = ("Q6_K" if high else "Q4_K") if mix == "Q4_K_M" else "Q6_K" if high else "Q4_0"
    return FALLBACK[name] if inner % TYPES[name][1] else name


def tensors(config, mix):
    """(name, type, [inner, outer]), GGUF's order of axes."""
    dim, ff, heads, n = (config[k] for k in ("hidden_size", "intermediate_size", "num_attention_heads", "num_hidden_layers"))
    head = config.get("head_dim", dim // heads)
    kv, wide, tied = config["num_key_value_heads"] * head, heads * head, config["tie_word_embeddings"]
    rows = [("token_embd.weight", kind(mix, dim, tied), [dim, config["vocab_size"]]), ("output_norm.weight", "F32", [dim])]
    if not tied:
        rows.append(("output.weight", kind(mix, dim, True), [dim, config["vocab_size"]]))
    for i in range(n):
        high = mix == "Q4_K_M" and more_bits(i, n)
        norms = [("attn_norm", dim), ("ffn_norm", dim)]
        if config["model_type"] == "gemma3_text":
            norms += [("post_attention_norm", dim), ("post_ffw_norm", dim), ("attn_q_norm", head), ("attn_k_norm", head)]
        linears = [("attn_q", dim, wide, False), ("attn_k", dim, kv, False), ("attn_v", dim, kv, high), ("attn_output", wide, dim, False),
                   ("ffn_gate", dim, ff, False), ("ffn_up", dim, ff, False), ("ffn_down", ff, dim, high)]
        rows += [("blk.%d.%s.weight" % (i, name), "F32", [width]) for name, width in norms]
        rows += [("blk.%d.%s.weight" % (i, name), kind(mix, inner, more), [inner, out]) for name, inner, out, more in linears]
    return rows


def vocabulary(size):
    """Metadata of the words; a list has its kind before its values."""
    numbers = (("bos", words.BEGIN), ("eos", words.END), ("unknown", words.UNKNOWN))
    return [("tokenizer.ggml.model", TEXT, "llama"), ("tokenizer.ggml.tokens", LIST, (TEXT, words.tokens(size))),
            ("tokenizer.ggml.scores", LIST, (F32, [-float(i) for i in range(size)])), ("tokenizer.ggml.token_type", LIST, (I32, words.kinds(size))),
            *(("tokenizer.ggml.%s_token_id" % name, U32, value) for name, value in numbers)]


def metadata(config, mix, speaks):
    gemma = config["model_type"] == "gemma3_text"
    at = "gemma3." if gemma else "llama."
    head = config.get("head_dim", config["hidden_size"] // config["num_attention_heads"])
    rows = [("general.architecture", TEXT, at[:-1]), ("general.file_type", U32, FILE_TYPE[mix])]
    rows += vocabulary(config["vocab_size"]) if speaks else [("tokenizer.ggml.model", TEXT, "no_vocab")]
    rows += [(at + key, U32, config[ours]) for key, ours in (
        ("vocab_size", "vocab_size"), ("context_length", "max_position_embeddings"), ("embedding_length", "hidden_size"),
        ("block_count", "num_hidden_layers"), ("feed_forward_length", "intermediate_size"), ("attention.head_count", "num_attention_heads"),
        ("attention.head_count_kv", "num_key_value_heads"))]
    rows += [(at + "rope.dimension_count", U32, head), (at + "attention.layer_norm_rms_epsilon", F32, config["rms_norm_eps"]),
             (at + "rope.freq_base", F32, config.get("rope_theta", 10000.0))]
    if gemma:
        rows += [(at + "attention.key_length", U32, head), (at + "attention.value_length", U32, head),
                 (at + "attention.sliding_window", U32, config["sliding_window"])]
    return rows


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def bare(kind_of, value):
    if kind_of != LIST:
        return text(value) if kind_of == TEXT else struct.pack(FORMATS[kind_of], value)
    inner, values = value
    return struct.pack("<IQ", inner, len(values)) + b"".join(bare(inner, one) for one in values)


def packed(kind_of, value):
    return struct.pack("<I", kind_of) + bare(kind_of, value)


def random_blocks(name, draw, n=4096):
    """n blocks of a type; factors small and of both signs, codes anything; F32 is ones, as norms are."""
    _, _, size, factors = TYPES[name]
    if name == "F32":
        return struct.pack("<f", 1.0) * n
    data, most = bytearray(draw.randbytes(size * n)), 0.02 if name in ("Q4_0", "Q5_0") else 0.0005
    for block in range(n):
        for at in factors:
            struct.pack_into("<e", data, block * size + at, draw.uniform(most / 20, most))
    return bytes(data)


def write(path, config, mix, speaks=False):
    """speaks: with a vocabulary. Returns the bytes of its tensors."""
    rows, draw, place = tensors(config, mix), random.Random(1), 0
    about = metadata(config, mix, speaks)
    head = b"GGUF" + struct.pack("<IQQ", 3, len(rows), len(about))
    head += b"".join(text(key) + packed(kind_of, value) for key, kind_of, value in about)
    sizes = []
    for name, of, shape in rows:
        number, elements, size, _ = TYPES[of]
        count = size
        for k in shape:
            count *= k
        sizes.append(count // elements)
        head += text(name) + struct.pack("<I%dQIQ" % len(shape), len(shape), *shape, number, place)
        place += -(-sizes[-1] // ALIGNMENT) * ALIGNMENT
    blocks = {}
    with open(path + ".part", "wb") as f:
        f.write(head + b"\0" * (-len(head) % ALIGNMENT))
        for (_, of, _), size in zip(rows, sizes):
            if of not in blocks:
                blocks[of] = random_blocks(of, draw)
            while size:
                size -= f.write(blocks[of][:size])
            f.write(b"\0" * (-f.tell() % ALIGNMENT))
    os.replace(path + ".part", path)
    return place
