#!/usr/bin/env python3
"""vocabularies.py BUILD TEXT [--texts N] [--seed N] [--write DIR]: tokenizer.model against PyPI sentencepiece, tekken.json against mistral-common.

Models are trained on the file TEXT (Unigram and BPE, each option of the normalizer and of the vocabulary), and those that mistral-common
ships are read too. Random texts must get the same ids and the same text back. What control pieces a text has is no text for
SentencePiece, so texts are made without. What is not installed is not run, and said. --write: nothing but tests/data/tokenizer's small
vocabularies with the peers' results, trained on TEXT (which must be free to copy).
"""
import argparse
import base64
import collections
import io
import json
import os
import sys
import tempfile

import tokens

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("build")
parser.add_argument("text")
parser.add_argument("--texts", type=int, default=2000)
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--write")
args = parser.parse_args()
known = open(args.text, encoding="utf-8").read()
bad = 0


def compare(name, tare, want, back, controls, loose=False):
    """want, back: the peer's text -> ids and ids -> text. loose: of cuts with the same pieces in another order either will do."""
    global bad
    wrong, first, n = 0, None, 0
    for text in tokens.texts(args.seed, args.texts, known):
        if any(c in text for c in controls) or "\0" in text:
            continue
        n += 1
        ids = want(text)
        got = tare.encode(text.encode())
        problem = None
        if got != ids and not (loose and sorted(got) == sorted(ids)):
            problem = "%r: want %s, got %s" % (text, ids, got)
        elif back and tare.decode(ids).decode() != back(ids):
            problem = "%r: back %r, got %r" % (text, back(ids), tare.decode(ids).decode())
        wrong += problem is not None
        first = first or problem
    bad += wrong
    print("%-34s %d of %d" % (name, n - wrong, n) + (", first %s" % first[:600] if first else ""), flush=True)


def write(folder, name, data):
    for old in os.listdir(folder):
        os.remove(os.path.join(folder, old))
    with open(os.path.join(folder, name), "wb") as f:
        f.write(data)


def pieces_of(model, kind):
    import sentencepiece
    sp = sentencepiece.SentencePieceProcessor(model_proto=model)
    return sp, [sp.id_to_piece(i) for i in range(sp.vocab_size()) if kind(sp, i)]


def check_sentencepiece(name, model, folder):
    sp, controls = pieces_of(model, lambda sp, i: sp.is_control(i) or sp.is_unknown(i))
    write(folder, "tokenizer.model", model)
    tare = tokens.Tokenizer(args.build, folder)
    unknown = sp.unk_id()
    # Behind a user-defined piece, sums of float32 scores that are equal but for their rounding are told apart otherwise.
    compare(name, tare, sp.encode, lambda ids: sp.decode(ids) if unknown not in ids else tare.decode(ids).decode(), controls,
            name == "unigram bytes")


def trained():
    import sentencepiece
    base = {"character_coverage": 0.98, "num_threads": 2, "minloglevel": 2}
    plain = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}
    cases = {
        "bpe": {"model_type": "bpe"}, "unigram": {"model_type": "unigram"},
        "bpe llama": {"model_type": "bpe", "byte_fallback": True, "split_digits": True, **plain},
        "bpe gemma": {"model_type": "bpe", "byte_fallback": True, "add_dummy_prefix": False, **plain,
                      "user_defined_symbols": ["<mask>", "\n\n", "\u2581\u2581", "\u2581\u2581\u2581", "\t", "<h1>"]},
        "unigram bytes": {"model_type": "unigram", "byte_fallback": True, "user_defined_symbols": ["<sep>", "the", "\ufb01", "\u2581\u2581"]},
        "unigram identity": {"model_type": "unigram", **plain},
        "unigram cf": {"model_type": "unigram", "normalization_rule_name": "nmt_nfkc_cf"},
        "bpe nfkc": {"model_type": "bpe", "normalization_rule_name": "nfkc", "user_defined_symbols": ["\ufb01", "a b"]},
        "bpe suffix": {"model_type": "bpe", "treat_whitespace_as_suffix": True},
        "unigram suffix": {"model_type": "unigram", "treat_whitespace_as_suffix": True, "remove_extra_whitespaces": False},
        "bpe spaces": {"model_type": "bpe", "allow_whitespace_only_pieces": True, "remove_extra_whitespaces": False},
        "unigram no prefix": {"model_type": "unigram", "add_dummy_prefix": False},
    }
    lines = [line for line in known.splitlines() if line.strip()]
    for name, options in cases.items():
        model = io.BytesIO()
        size = 3000 + 256 * options.get("byte_fallback", False)
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=model, vocab_size=size,
                                                 hard_vocab_limit=False, **base, **options)
        yield name, model.getvalue()


def shipped():
    """Files of mistral-common."""
    try:
        import mistral_common
    except ImportError:
        print("no mistral-common: its files are not read")
        return []
    folder = os.path.join(os.path.dirname(mistral_common.__file__), "data")
    return [(name, os.path.join(folder, name)) for name in sorted(os.listdir(folder))]


def check_tekken(name, path, folder):
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer
    peer = Tekkenizer.from_file(path)
    write(folder, "tekken.json", open(path, "rb").read())
    tare = tokens.Tokenizer(args.build, folder)
    controls = [peer.id_to_piece(i) for i in range(peer.num_special_tokens)]
    compare(name, tare, lambda text: peer.encode(text, bos=False, eos=False), peer.decode, controls)


# ---- small ones for tests/data

SAMPLE = ["", " ", "a", "  two  spaces ", "Once upon a time, there was a little girl.", "The cat's hat\n\nwas red.\tYes", "\u00dcber \ufb01n \u2460 na\u00efve",
          "\u4f60\u597d \U0001f600\U0001f600!", "zzzzqqqq 12345", "<sep>and<sep>", "\u2581\u2581 x", "A\u0301 \u0130stanbul", "x" * 70, "a\r\nb\u00a0c\u3000d",
          "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "she said \"no\" and went home. " * 3]
RULES = "41\t61\nFB01\t66 69\n2460\t31\n00A0\t20\n3000\t20\n000A\t20\n61 0301\t00E1\n200B\t\n"


def put(name, file, data, encode, decode, before, after):
    folder = os.path.join(args.write, name)
    os.makedirs(folder, exist_ok=True)
    cases = [{"text": text, "ids": encode(text), "ids_special": before + encode(text) + after, "decoded": decode(encode(text)),
              "decoded_skip": decode(encode(text))} for text in SAMPLE]
    for path, content in (file, data), ("cases.json", json.dumps(cases, ensure_ascii=False, separators=(",", ":")).encode()):
        with open(os.path.join(folder, path), "wb") as f:
            f.write(content)


def write_small():
    import sentencepiece
    import tiktoken
    lines = [line for line in known.splitlines() if line.strip()]
    with tempfile.NamedTemporaryFile("w", suffix=".tsv", encoding="utf-8") as rules:
        rules.write(RULES)
        rules.flush()
        for name, options in {
                "spm_bpe": {"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity",
                            "remove_extra_whitespaces": False, "user_defined_symbols": ["<sep>", "\n\n", "\u2581\u2581"]},
                "spm_unigram": {"model_type": "unigram", "normalization_rule_tsv": rules.name, "byte_fallback": True,
                                "user_defined_symbols": ["<sep>", "\u00dc"]}}.items():
            model = io.BytesIO()
            sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_writer=model, vocab_size=700, num_threads=2,
                                                     hard_vocab_limit=False, minloglevel=2, **options)
            sp = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
            bpe = options["model_type"] == "bpe"
            put(name, "tokenizer.model", model.getvalue(), sp.encode, sp.decode, [sp.bos_id()] if bpe else [], [] if bpe else [sp.eos_id()])
    count = collections.Counter(w[i:j] for w in known.encode().split() for i in range(len(w)) for j in range(i + 2, min(i + 7, len(w) + 1)))
    words = [bytes([i]) for i in range(256)] + [w for w, _ in count.most_common(300)] + [b" the", b"  ", b"\xe4\xbd\xa0"]
    pattern = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    peer = tiktoken.Encoding("small", pat_str=pattern, mergeable_ranks={w: i for i, w in enumerate(words[:-1])}, special_tokens={})
    made = {"config": {"pattern": pattern, "num_vocab_tokens": len(words), "default_vocab_size": len(words) + 5, "default_num_special_tokens": 6,
                       "version": "v11"},
            "vocab": [{"rank": i, "token_bytes": base64.b64encode(w).decode(), "token_str": None} for i, w in enumerate(words)],
            "special_tokens": [{"rank": i, "token_str": w, "is_control": True} for i, w in enumerate(["<unk>", "<s>", "</s>", "[INST]"])]}
    put("tekken", "tekken.json", json.dumps(made, separators=(",", ":")).encode(), lambda t: [6 + i for i in peer.encode(t)],
        lambda ids: peer.decode([i - 6 for i in ids]), [1], [])


if args.write:
    write_small()
    sys.exit(0)
with tempfile.TemporaryDirectory(prefix="tare-vocabularies-") as folder:
    try:
        import sentencepiece
        for name, model in trained():
            check_sentencepiece(name, model, folder)
        for name, path in shipped():
            if ".model" in name:
                check_sentencepiece(name, open(path, "rb").read(), folder)
    except ImportError:
        print("no sentencepiece: not run")
    for name, path in shipped():
        if name.endswith(".json"):
            check_tekken(name, path, folder)
sys.exit(bool(bad))
