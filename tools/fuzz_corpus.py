#!/usr/bin/env python3
"""fuzz_corpus.py [--check]: write the seeds of tests/fuzz/corpus/TARGET/ (or say whether they are as this script writes them).

A seed is one small input, sound or broken, named after what it shows. Inputs that a fuzzer found are added by hand, with a name
that does not begin with "seed-"; they stay."""
import base64
import json
import os
import struct
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CORPUS = os.path.join(ROOT, "tests/fuzz/corpus")


def safetensors(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else (header if isinstance(header, str) else json.dumps(header)).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def seeds_safetensors():
    one = {"a": entry("F32", [2, 2], 0, 16)}
    two = {"__metadata__": {"format": "pt"}, "model.embed_tokens.weight": entry("BF16", [4, 2], 0, 16),
           "model.layers.0.q_proj.qweight": entry("I32", [2, 1], 16, 24)}
    sound = json.dumps(one)
    yield "one", safetensors(one, bytes(16))
    yield "two", safetensors(two, bytes(24))
    yield "padded", safetensors(sound + " " * 7, bytes(16))
    yield "scalar", safetensors({"a": entry("F16", [], 0, 2)}, bytes(2))
    yield "empty-tensor", safetensors({"a": entry("F64", [0, 3], 0, 0), "b": entry("U8", [1], 0, 1)}, bytes(1))
    yield "no-tensor", safetensors({})
    yield "metadata-only", safetensors({"__metadata__": {"k": "v"}})
    yield "escapes", safetensors('{"\\u00e4\\ud83d\\ude00\\n": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}', bytes(1))
    yield "all-dtypes", safetensors({d: entry(d, [0], 0, 0) for d in (
        "BOOL U8 I8 I16 U16 I32 U32 I64 U64 F8_E4M3 F8_E5M2 F8_E8M0 F16 BF16 F32 F64").split()})
    yield "bad-nothing", b""
    yield "bad-short", b"\x02\0\0"
    yield "bad-no-json", safetensors("not json")
    yield "bad-header-cut", safetensors(sound[:20], b"", 62)
    yield "bad-data-cut", safetensors(one, bytes(15))
    yield "bad-data-over", safetensors(one, bytes(17))
    yield "bad-length-huge", safetensors("{}", b"", 2 ** 64 - 8)
    yield "bad-length-limit", safetensors("{}", b"", 100000001)
    yield "bad-twice", safetensors(sound[:-1] + ", " + sound[1:], bytes(32))
    yield "bad-nul", safetensors('{"a\\u0000": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}', bytes(1))
    yield "bad-surrogate", safetensors('{"\\ud800": {}}')
    yield "bad-utf8", safetensors(b'{"\xc0\x80": {}}')
    yield "bad-hole", safetensors({"a": entry("U8", [1], 1, 2)}, bytes(2))
    yield "bad-overlap", safetensors({"a": entry("U8", [4], 0, 4), "b": entry("U8", [4], 2, 6)}, bytes(6))
    yield "bad-backwards", safetensors({"a": entry("U8", [4], 4, 0)}, bytes(4))
    yield "bad-overflow", safetensors({"a": entry("F64", [2 ** 62, 4], 0, 0)})
    yield "bad-offset-63", safetensors({"a": entry("U8", [2 ** 63 - 1], 0, 2 ** 63 - 1)}, bytes(4))
    yield "bad-offset-64", safetensors({"a": entry("U8", [1], 0, 2 ** 64 + 1)}, bytes(1))
    yield "bad-float", safetensors({"a": entry("U8", [1.0], 0, 1)}, bytes(1))
    yield "bad-negative", safetensors({"a": entry("U8", [-1], 0, 1)}, bytes(1))
    yield "bad-dtype", safetensors({"a": entry("F4", [2], 0, 1)}, bytes(1))
    yield "bad-entry-null", safetensors({"a": None})
    yield "bad-entry-key", safetensors({"a": dict(entry("U8", [1], 0, 1), stride=[1])}, bytes(1))
    yield "bad-deep", safetensors('{"a": ' + "[" * 300)
    yield "bad-lfs", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
    yield "bad-pickle", b"PK\x03\x04\x14\0\x08\x08\0\0"


def seeds_index():
    def index(weights, **more):
        return json.dumps(dict(more, weight_map=weights)).encode()
    a, b = "a.safetensors", "b.safetensors"
    yield "sound", index({"a": a, "b": b}, metadata={"total_size": 2})
    yield "one-shard", index({"a": a})
    yield "more-keys", index({"b": b}, metadata={"total_size": -1.5e3, "l": [[], {}, [{"k": None}]]}, other=[1, True, "x"])
    yield "escapes", b'{"weight_map": {"\\u0061": "\\u0061.safetensors"}}'
    yield "bad-empty-map", index({})
    yield "bad-no-map", b"{}"
    yield "bad-swapped", index({"a": b, "b": a})
    yield "bad-missing", index({"a": a, "b": b, "c": b})
    yield "bad-extra", index({"a": a, "c": b})
    yield "bad-absent", index({"a": a, "c": "c.safetensors"})
    yield "bad-up", index({"a": "../a.safetensors"})
    yield "bad-absolute", index({"a": "/etc/passwd"})
    yield "bad-nul", b'{"weight_map": {"a": "a.safetensors\\u0000"}}'
    yield "bad-name-nul", b'{"weight_map": {"a\\u0000": "a.safetensors"}}'
    yield "bad-twice", b'{"weight_map": {"a": "a.safetensors", "a": "a.safetensors"}}'
    yield "bad-map-twice", b'{"weight_map": {"a": "a.safetensors"}, "weight_map": {}}'
    yield "bad-inner-twice", b'{"metadata": {"x": {"k": 1, "k": 1}}, "weight_map": {"a": "a.safetensors"}}'
    yield "bad-number", index({"a": 1})
    yield "bad-nested", index({"a": {"file": a}})
    yield "bad-list", b'{"weight_map": ["a.safetensors"]}'
    yield "bad-cut", b'{"weight_map": {"a": "a.safe'
    yield "bad-deep", b'{"metadata": ' + b"[" * 100
    yield "bad-nothing", b""


def seeds_json():
    yield "llama", json.dumps({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2,
        "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "rope_scaling": None, "tie_word_embeddings": False,
        "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": True, "version": "gemm",
                                "modules_to_not_convert": None}}, indent=2).encode()
    yield "words", b'{"time_step_limit": [0.0, Infinity], "a": -Infinity, "b":NaN}'
    yield "words-in-strings", b'{"NaN": "Infinity, \\"NaN", "b": ["-Infinity\\\\", NaN]}'
    yield "float-wrapped", b'{"a": {"__float__": "Infinity"}, "b": [{"__float__": "NaN"}], "c": {"__float__": {"__float__": "NaN"}}}'
    yield "escapes", b'{"\\u00e4": "\\ud83d\\ude00\\/\\b\\f\\n\\r\\t"}'
    yield "numbers", b"[0, -0, 9223372036854775807, -9223372036854775808, 1e-400, 1.7976931348623157e308, 0.1]"
    yield "root-word", b"NaN"
    yield "bad-word-key", b"{NaN: 1}"
    yield "bad-word-glued", b'{"a": NaNaN}'
    yield "bad-twice", b'{"a": 1, "\\u0061": 1}'
    yield "bad-nul", b'{"a\\u0000": 1}'
    yield "bad-nul-byte", b'{"a": "\0"}'
    yield "bad-utf8", b'{"a": "\xed\xa0\x80"}'
    yield "bad-surrogate", b'{"a": "\\udc00"}'
    yield "bad-bom", b"\xef\xbb\xbf{}"
    yield "bad-range", b'{"a": 1e999}'
    yield "bad-integer", b'{"a": 9223372036854775808}'
    yield "bad-trailing", b"{} {}"
    yield "bad-comma", b'{"a": [1, 2,],}'
    yield "bad-python", b"{'a': None, 'b': True}"
    yield "bad-cut", b'{"a": "\\'
    yield "bad-deep", b"[" * 3000
    yield "bad-nothing", b""


def charsmap(entries, texts):
    """A double array whose keys are single bytes: byte -> place in texts."""
    units = [0] * 2048
    units[0] = 512 << 10
    for byte, place in entries.items():
        units[512 ^ byte] = (512 ^ byte ^ (1024 + byte)) << 10 | 1 << 8 | byte
        units[1024 + byte] = 1 << 31 | place
    blob = (4 * len(units)).to_bytes(4, "little") + b"".join(u.to_bytes(4, "little") for u in units) + texts
    return base64.b64encode(blob).decode()


def seeds_tokenizer():
    def file(model, text=b"", **stages):
        return json.dumps(dict(stages, model=model)).encode() + (b"\0" + text if text else b"")
    words = {"[UNK]": 0, "h": 1, "##e": 2, "##l": 3, "##lo": 4, "w": 5, "!": 6}
    scores = [["<unk>", 0.0], ["\u2581", -1.5], ["l", -2.0], ["lo", -2.5], ["Hel", -3.25], ["<0xC3>", 0], ["<0xB6>", 0]]
    bpe = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}
    unigram = {"type": "Unigram", "unk_id": 0, "vocab": scores}
    bert = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}
    meta = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}
    yield "bpe", file(bpe, b"abba")
    yield "byte-level", file(bpe, b"ab", pre_tokenizer={"type": "ByteLevel", "add_prefix_space": True}, decoder={"type": "ByteLevel"})
    yield "word-piece", file({"type": "WordPiece", "unk_token": "[UNK]", "vocab": words}, b"hello", normalizer=bert,
                             pre_tokenizer={"type": "BertPreTokenizer"}, decoder={"type": "WordPiece", "prefix": "##"})
    yield "word-level", file({"type": "WordLevel", "unk_token": "[UNK]", "vocab": words}, b"h w x", pre_tokenizer={"type": "Whitespace"})
    yield "unigram", file(unigram, "H\u00f6llo".encode(), pre_tokenizer=meta, decoder=meta)
    yield "unigram-bytes", file(dict(unigram, byte_fallback=True), "\u00f6".encode(), decoder={"type": "ByteFallback"})
    yield "charsmap", file(unigram, normalizer={"type": "Precompiled", "precompiled_charsmap": charsmap({97: 0, 0xE4: 2}, b"x\0yz\0")})
    yield "bad-charsmap", file(unigram, normalizer={"type": "Precompiled", "precompiled_charsmap": charsmap({97: 99999, 98: 1}, "\u00e4".encode())})
    yield "bad-base64", file(unigram, normalizer={"type": "Precompiled", "precompiled_charsmap": "AAA*"})
    yield "bad-charsmap-size", file(unigram, normalizer={"type": "Precompiled", "precompiled_charsmap": "/////w=="})
    yield "bad-score", file({"type": "Unigram", "unk_id": 0, "vocab": [["a", "b"]]})
    yield "bad-pair", file({"type": "Unigram", "unk_id": 0, "vocab": [["a", 1, 2]]})
    yield "bad-unk", file({"type": "Unigram", "unk_id": 9, "vocab": scores})
    yield "bad-nothing", b""
    yield from seeds_vocabulary()


def proto(*fields):
    """A protobuf message: (number, value) of a whole number, a float32 or bytes; numbers below 16, or two-byte tags."""
    out = b""
    for number, value in fields:
        wire = 0 if isinstance(value, int) else 5 if isinstance(value, float) else 2
        tag = number << 3 | wire
        out += bytes([tag]) if tag < 128 else bytes([tag & 127 | 128, tag >> 7])
        if wire == 0:
            out += bytes([value])
        elif wire == 5:
            out += struct.pack("<f", value)
        else:
            out += bytes([len(value) & 127 | 128, len(value) >> 7]) + value
    return out


def seeds_vocabulary():
    """tokenizer.model, and tekken.json behind a T."""
    def pieces(*more):
        plain = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)] + list(more)
        return b"".join(proto((1, proto((1, text.encode()), (2, score), (3, kind)))) for text, score, kind in plain)
    words = [("\u2581", -1.0, 1), ("h", -2.0, 1), ("e", -2.5, 1), ("l", -3.0, 1), ("he", -1.5, 1), ("ll", -1.25, 1), ("\u2581he", -0.5, 1)]
    single = [("<0x%02X>" % i, 0.0, 6) for i in range(256)]
    bpe, unigram = proto((2, proto((3, 2), (35, 1)))), proto((2, proto((3, 1))))
    once = proto((3, proto((3, 1), (4, 0), (5, 1))))
    trie = struct.pack("<I", 4 * 1024)
    array = [0] * 1024
    array[0] = 0 << 10
    array[ord("e")] = (1 << 8 | ord("e")) | ((ord("e") ^ 512) << 10)
    array[512] = 1 << 31
    table = trie + b"".join(struct.pack("<I", u & 0xFFFFFFFF) for u in array) + b"he\0"
    yield "model-bpe", pieces(*words) + bpe + once
    yield "model-bpe-bytes", pieces(*(words + single)) + bpe + once
    yield "model-unigram", pieces(*words) + unigram
    yield "model-kept", pieces(*(words + [("<sep>", 0.0, 4), ("H", 0.0, 4)])) + bpe
    yield "model-unigram-kept", pieces(*(words + [("<sep>", 0.0, 4), ("x", 0.0, 5)])) + unigram
    yield "model-charsmap", pieces(*words) + unigram + proto((3, proto((2, table), (3, 1))))
    yield "model-suffix", pieces(*words) + proto((2, proto((3, 1), (24, 1))))
    yield "bad-model-cut", (pieces(*words) + bpe)[:-3]
    yield "bad-model-kind", pieces(*words) + proto((2, proto((3, 3))))
    yield "bad-model-unknown", proto((1, proto((1, b"a"), (2, 0.0)))) + bpe
    yield "bad-model-nan", pieces(("a", float("nan"), 1)) + bpe
    yield "bad-model-twice", pieces(("a", 0.0, 1), ("a", 0.0, 1)) + bpe
    yield "bad-model-charsmap", pieces(*words) + unigram + proto((3, proto((2, b"\xff\xff\xff\xffxx"))))
    yield "bad-model-utf8", b"\n\x06\n\x04\xff\xfe\xff\xfe" + bpe

    def tekken(words, specials=("<unk>", "<s>", "</s>"), size=None, **more):
        vocab = [{"rank": i, "token_bytes": base64.b64encode(w).decode(), "token_str": None} for i, w in enumerate(words)]
        config = {"pattern": "\\\\p{L}+|\\\\s+|.".replace("\\\\", "\\"), "default_vocab_size": size or len(words) + 3, "default_num_special_tokens": 3}
        listed = [{"rank": i, "token_str": w, "is_control": True} for i, w in enumerate(specials)]
        return b"T" + json.dumps(dict({"config": config, "vocab": vocab, "special_tokens": listed}, **more)).encode()
    letters = [bytes([i]) for i in range(256)] + [b"he", b"ll", b"hell", b"\xc3\xb6"]
    yield "tekken", tekken(letters)
    yield "tekken-old", tekken(letters[:3] + [b"aa"], special_tokens=None)
    yield "tekken-fewer", tekken(letters[:8], size=7)
    yield "bad-tekken-more", tekken(letters[:8], size=70)
    yield "bad-tekken-specials", tekken(letters[:2], ("a", "b", "c", "d"))
    yield "bad-tekken-base64", tekken([b"a"], vocab=[{"rank": 0, "token_bytes": "a"}])
    yield "bad-tekken-rank", tekken([b"a"], vocab=[{"rank": 1, "token_bytes": "YQ=="}])


TARGETS = {"fuzz_tokenizer": seeds_tokenizer, "fuzz_safetensors": seeds_safetensors, "fuzz_index": seeds_index, "fuzz_json": seeds_json}


def main():
    check = sys.argv[1:] == ["--check"]
    bad = []
    for target, seeds in TARGETS.items():
        folder = os.path.join(CORPUS, target)
        want = {"seed-" + name: data for name, data in seeds()}
        os.makedirs(folder, exist_ok=True)
        for name in sorted(set(want) | {f for f in os.listdir(folder) if f.startswith("seed-")}):
            path = os.path.join(folder, name)
            have = open(path, "rb").read() if os.path.exists(path) else None
            if have == want.get(name):
                continue
            bad.append(os.path.relpath(path, ROOT))
            if check:
                continue
            if name in want:
                with open(path, "wb") as f:
                    f.write(want[name])
            else:
                os.remove(path)
    for path in bad:
        print(("differs: " if check else "wrote: ") + path)
    return 1 if check and bad else 0


if __name__ == "__main__":
    sys.exit(main())
