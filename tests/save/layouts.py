"""Small llama checkpoints in any of the packed layouts, made of random codes by an encoder of its own (numpy, from docs/layouts.md), for the
tests of conversions: what tare makes of one layout must be what this makes of the other."""
import json
import os

import numpy as np

NIBBLE = [0, 4, 1, 5, 2, 6, 3, 7]  # awq: column j of eight lies in this nibble
CODES = {"float32": "F32", "float16": "F16", "int32": "I32", "uint32": "U32", "int64": "I64", "uint8": "U8"}
GPTQ = ("gptq", "gptq_v2")


def stream(codes, bits, axis):
    """One stream of bits along an axis, the lowest first, padded to whole words of 32."""
    rows = np.moveaxis(codes, axis, -1)
    n = rows.shape[-1]
    bit = (rows[..., None] >> np.arange(bits, dtype=np.uint8)) & 1
    bit = bit.reshape(*rows.shape[:-1], n * bits)
    bit = np.concatenate([bit, np.zeros((*rows.shape[:-1], -n * bits % 32), bit.dtype)], -1)
    words = np.packbits(bit.astype(np.uint8), axis=-1, bitorder="little").view("<u4")
    return np.ascontiguousarray(np.moveaxis(words, -1, axis))


def awq_words(columns):
    """(rows, out) of 4-bit codes -> int32 (rows, out / 8)."""
    words = np.zeros((columns.shape[0], columns.shape[1] // 8), np.uint32)
    for j, nibble in enumerate(NIBBLE):
        words |= columns[:, j::8].astype(np.uint32) << np.uint32(4 * nibble)
    return words.view(np.int32)


class Linear:
    """Codes (out, in), zeros and scales (out, groups), and the group of each column."""

    def __init__(self, rng, out, into, bits, group, least=0, symmetric=False, order=False):
        self.bits, self.group, self.out, self.into = bits, group, out, into
        groups = into // group
        self.codes = rng.integers(0, 1 << bits, (out, into)).astype(np.uint8)
        self.zeros = np.full((out, groups), 1 << bits - 1) if symmetric else rng.integers(least, 1 << bits, (out, groups))
        self.zeros = self.zeros.astype(np.uint8)
        self.scales = (rng.integers(0x0800, 0x3000, (out, groups)).astype(np.uint16)).view(np.float16)
        self.columns = np.arange(into) // group
        if order:
            rng.shuffle(self.columns)

    def floats(self):
        zeros, scales = self.zeros[:, self.columns], self.scales.astype(np.float32)[:, self.columns]
        return (self.codes.astype(np.float32) - zeros) * scales

    def tensors(self, path, layout, symmetric=False, exact=False):
        codes, zeros, scales, bits = self.codes, self.zeros, self.scales, self.bits
        if layout == "awq":
            return {path + ".qweight": awq_words(codes.T), path + ".qzeros": awq_words(zeros.T), path + ".scales": scales.T}
        if layout in GPTQ:
            fields = zeros - (layout == "gptq")
            return {path + ".qweight": stream(codes, bits, 1).T.view("<i4"), path + ".qzeros": stream(fields.T, bits, 1).view("<i4"),
                    path + ".scales": scales.T, path + ".g_idx": self.columns.astype("<i4")}
        if layout == "compressed-tensors":
            made = {path + ".weight_packed": stream(codes, bits, 1).view("<i4"), path + ".weight_scale": scales,
                    path + ".weight_shape": np.array([self.out, self.into], "<i8")}
            if not symmetric:
                made[path + ".weight_zero_point"] = stream(zeros, bits, 0).view("<i4")
            return made
        assert layout == "mlx"
        kind = np.float32 if exact else np.float16
        wide = scales.astype(np.float32)
        return {path + ".weight": stream(codes, bits, 1), path + ".scales": wide.astype(kind),
                path + ".biases": (-zeros.astype(np.float32) * wide).astype(kind)}


def config(layout, shape, linears, symmetric=False, order=False):
    """config.json of a llama with these linears: path -> Linear; the first one's bits and group are the general ones."""
    first = next(iter(linears.values()))
    whole = all(l.group == l.into for l in linears.values())
    group = -1 if whole else first.group
    odd = {p: l for p, l in linears.items() if (l.bits, l.group) != (first.bits, first.group) and not whole}
    quantization = {"quant_method": layout, "bits": first.bits, "group_size": group}
    if layout == "awq":
        quantization.update(version="gemm", zero_point=not symmetric)
    elif layout in GPTQ:
        quantization.update(quant_method="gptq", checkpoint_format=layout, sym=symmetric, desc_act=order)
        if odd:
            quantization["dynamic"] = {"+:^%s$" % p.replace(".", r"\."): {"bits": l.bits, "group_size": l.group} for p, l in odd.items()}
    elif layout == "compressed-tensors":
        def weights(bits, size):
            return {"num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": "channel" if size < 0 else "group",
                    "group_size": None if size < 0 else size, "dynamic": False}
        groups = {"group_0": {"targets": [p for p in linears if p not in odd] if odd else ["Linear"], "weights": weights(first.bits, group)}}
        for k, (p, l) in enumerate(odd.items()):
            groups["group_%d" % (k + 1)] = {"targets": [p], "weights": weights(l.bits, l.group)}
        quantization = {"quant_method": layout, "format": "pack-quantized", "quantization_status": "compressed", "config_groups": groups,
                        "ignore": ["lm_head"]}
    made = {"model_type": "llama", "hidden_size": shape["hidden"], "intermediate_size": shape["ff"], "num_attention_heads": shape["heads"],
            "num_key_value_heads": shape["kv"], "head_dim": shape["head"], "num_hidden_layers": 1, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
            "vocab_size": 48, "max_position_embeddings": 512, "tie_word_embeddings": True}
    if layout == "mlx":
        form = {"group_size": first.into if group < 0 else group, "bits": first.bits}
        made["quantization"] = dict(form, **{p: {"group_size": l.group, "bits": l.bits} for p, l in odd.items()})
    elif layout:
        made["quantization_config"] = quantization
    return made


def sizes(shape):
    """path -> (out, in) of the linears of the one layer."""
    h, ff, q, kv = shape["hidden"], shape["ff"], shape["heads"] * shape["head"], shape["kv"] * shape["head"]
    p = "model.layers.0."
    return {p + "mlp.up_proj": (ff, h), p + "mlp.gate_proj": (ff, h), p + "mlp.down_proj": (h, ff), p + "self_attn.q_proj": (q, h),
            p + "self_attn.k_proj": (kv, h), p + "self_attn.v_proj": (kv, h), p + "self_attn.o_proj": (h, q)}


def rest(shape):
    """The tensors that no layout packs."""
    rng, p = np.random.default_rng(7), "model.layers.0."
    floats = lambda *n: rng.standard_normal(n).astype(np.float16)
    return {"model.embed_tokens.weight": floats(48, shape["hidden"]), "model.norm.weight": floats(shape["hidden"]),
            p + "input_layernorm.weight": floats(shape["hidden"]), p + "post_attention_layernorm.weight": floats(shape["hidden"])}


def write(folder, made, tensors):
    """A folder; tensors: name -> array, or (dtype, array of its bytes)."""
    os.makedirs(folder)
    header, data = {}, b""
    for name, array in sorted(tensors.items(), key=lambda t: (-t[1][1].itemsize if isinstance(t[1], tuple) else -t[1].itemsize, t[0])):
        dtype, array = array if isinstance(array, tuple) else (CODES[array.dtype.name], array)
        raw = np.ascontiguousarray(array).tobytes()
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + data)
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(made, file)


def read(folder):
    """name -> (dtype, shape, bytes)."""
    raw = open(os.path.join(folder, "model.safetensors"), "rb").read()
    n = int.from_bytes(raw[:8], "little")
    return {name: (e["dtype"], tuple(e["shape"]), raw[8 + n + e["data_offsets"][0]:8 + n + e["data_offsets"][1]])
            for name, e in json.loads(raw[8:8 + n]).items() if name != "__metadata__"}


def image(tensors):
    """What read() gives of a folder with these tensors."""
    return {name: (CODES[a.dtype.name], a.shape, np.ascontiguousarray(a).tobytes()) for name, a in tensors.items()}
