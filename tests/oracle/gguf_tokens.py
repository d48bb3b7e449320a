#!/usr/bin/env python3
"""gguf_tokens.py LIBTARE.SO GOLDEN/tokenizer: vocabularies written into GGUF files must encode as their tokenizer.json does.

Each tokenizer.json becomes metadata as llama.cpp's converter writes it (BPE with merges and the word for its pre-tokenizer, or
SentencePiece's pieces with scores), and the ids of cases.json are asked for. Needs gguf (PyPI). Exit 77: gguf is not there.
"""
import ctypes
import json
import lzma
import os
import re
import sys
import tempfile

try:
    import gguf
except ImportError:
    print("no gguf: not run")
    sys.exit(77)

KINDS = {"llama2": None, "gemma4": None, "llama3": "llama-bpe", "qwen2": "qwen2", "gpt2": "gpt-2", "smollm2": "smollm",
         "starcoder": "starcoder", "deepseek_llm": "deepseek-llm", "deepseek_v4": "deepseek-v3"}
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
tare, golden = ctypes.CDLL(os.path.abspath(sys.argv[1])), sys.argv[2]


class Error(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("where", ctypes.c_char * 256), ("text", ctypes.c_char * 512)]


def scores(merges, words):
    """A piece is as good as the first merge that makes it; one that no merge makes is worse than all of them."""
    rank = {}
    for i, merge in enumerate(merges):
        rank.setdefault("".join(merge if isinstance(merge, list) else merge.split(" ")), i)
    return [-float(rank.get(word, 10**6 + i)) for i, word in enumerate(words)]


def write(name, path):
    with lzma.open(os.path.join(golden, name, "tokenizer.json.xz")) as f:
        made = json.load(f)
    vocab, merges, added = made["model"]["vocab"], made["model"]["merges"], made["added_tokens"]
    n = 1 + max(list(vocab.values()) + [token["id"] for token in added])
    words, types = ["[PAD%d]" % i for i in range(n)], [UNUSED] * n
    for word, i in vocab.items():
        words[i], types[i] = word, BYTE if re.fullmatch("<0x[0-9A-F]{2}>", word) else NORMAL
    for token in added:
        words[token["id"]], types[token["id"]] = token["content"], CONTROL if token["special"] else USER_DEFINED
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_embedding_length(64), writer.add_block_count(1), writer.add_feed_forward_length(64)
    writer.add_head_count(4), writer.add_layer_norm_rms_eps(1e-5)
    if KINDS[name]:
        writer.add_tokenizer_model("gpt2"), writer.add_tokenizer_pre(KINDS[name])
        writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    else:
        types[vocab["<unk>"]] = UNKNOWN
        writer.add_tokenizer_model("llama"), writer.add_token_scores(scores(merges, words))
        writer.add_unk_token_id(vocab["<unk>"]), writer.add_add_space_prefix("Prepend" in json.dumps(made["normalizer"]))
    writer.add_token_list(words), writer.add_token_types(types)
    first = re.search(r'"SpecialToken": \{"id": ("(?:[^"\\]|\\.)*")', json.dumps(made["post_processor"]))
    writer.add_add_bos_token(bool(first))
    if first:
        writer.add_bos_token_id(words.index(json.loads(first[1])))
    writer.write_header_to_file(), writer.write_kv_data_to_file(), writer.write_tensors_to_file(), writer.close()


def encode(tokenizer, text, special):
    ids, n, error = ctypes.POINTER(ctypes.c_int32)(), ctypes.c_size_t(), Error()
    code = tare.tare_tokenizer_encode(tokenizer, text, ctypes.c_size_t(len(text)), ctypes.c_bool(special), ctypes.byref(ids),
                                      ctypes.byref(n), ctypes.byref(error))
    found = error.text if code else [ids[i] for i in range(n.value)]
    tare.tare_ids_free(ids)
    return found


def check(name, path):
    tokenizer, error = ctypes.c_void_p(), Error()
    write(name, path)
    if tare.tare_tokenizer_open(ctypes.byref(tokenizer), path.encode(), None, ctypes.byref(error)):
        return "%s: %s" % (error.where.decode(), error.text.decode())
    with open(os.path.join(golden, name, "cases.json")) as f:
        cases = [case for case in json.load(f) if "text" in case]
    bad = [case["text"][:60] for case in cases
           if [encode(tokenizer, case["text"].encode(), s) for s in (False, True)] != [case["ids"], case["ids_special"]]]
    tare.tare_tokenizer_free(tokenizer)
    return "%d of %d texts, the first %r" % (len(bad), len(cases), bad[0]) if bad else None


wrong = 0
with tempfile.TemporaryDirectory(prefix="tare-gguf-tokens-") as work:
    for name in KINDS:
        problem = check(name, os.path.join(work, name + ".gguf"))
        wrong += bool(problem)
        if problem:
            print("%s: %s" % (name, problem))
print("as tokenizer.json: %d of %d" % (len(KINDS) - wrong, len(KINDS)))
sys.exit(bool(wrong))
