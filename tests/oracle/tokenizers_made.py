#!/usr/bin/env python3
"""tokenizers_made.py BUILD TEXT [--made N] [--texts N] [--seed N]: tokenizers put together at random against PyPI tokenizers.

Small models of each kind are trained on the file TEXT; around them stand normalizers, pre-tokenizers, post-processors, decoders and
added tokens with options drawn at random. Ids and texts must be equal; a stage that tare refuses by name is counted as wrong.
"""
import argparse
import json
import random
import sys
import tempfile

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

import tokens

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("build")
parser.add_argument("text")
parser.add_argument("--made", type=int, default=400)
parser.add_argument("--texts", type=int, default=25)
parser.add_argument("--seed", type=int, default=1)
args = parser.parse_args()
known = open(args.text, encoding="utf-8").read()
rng = random.Random(args.seed)
flag = lambda: rng.random() < 0.5
BEHAVIOR = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
REGEX = [r"\s+", r"\p{L}+|\p{N}", r"[^\s]+", r"\d{1,3}", r" ?\w+", r"(?i:'s|'t)|\p{P}", r"\b", r"[a-f]|[^a-z]", r"\s+(?!\S)|\s+", r"\n|\r", r"x*"]  # from the seventh on they may match nothing, or tear characters that were made of one
WORDS = ["<s>", "</s>", "[CLS]", "[SEP]", "<unk>", "the", " and", "\u00e9", "new\nline", "<|x|>", "<|x|>y", "  ", "\u2581\u2581", "THE"]


def base(kind):
    """A trained model as tokenizer.json has it."""
    if kind == "BPE":
        made, trainer = models.BPE(unk_token="<unk>", fuse_unk=flag()), trainers.BpeTrainer(vocab_size=700, special_tokens=["<unk>"], show_progress=False)
    elif kind == "Unigram":
        made, trainer = models.Unigram(), trainers.UnigramTrainer(vocab_size=700, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False)
    elif kind == "WordPiece":
        made, trainer = models.WordPiece(unk_token="<unk>"), trainers.WordPieceTrainer(vocab_size=900, special_tokens=["<unk>"], show_progress=False)
    else:
        made, trainer = models.WordLevel(unk_token="<unk>"), trainers.WordLevelTrainer(vocab_size=900, special_tokens=["<unk>"], show_progress=False)
    whole = Tokenizer(made)
    whole.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace()] if kind in ("Unigram", "BPE") else [pre_tokenizers.Whitespace()])
    whole.train_from_iterator([line for line in known.splitlines() if line.isascii()], trainer)
    return json.loads(whole.to_str())["model"]


def pattern(regex=REGEX):
    return {"Regex": rng.choice(regex)} if flag() else {"String": rng.choice([" ", "e", "\n", "--", "\u2581"])}


def normalizer():
    return rng.choice([
        lambda: {"type": rng.choice(["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt"])},
        lambda: {"type": "Strip", "strip_left": flag(), "strip_right": flag()},
        lambda: {"type": "Prepend", "prepend": rng.choice(["\u2581", "a", "> "])},
        lambda: {"type": "Replace", "pattern": pattern(REGEX[:6]), "content": rng.choice(["", "\u2581", "_", "xy"])},
        lambda: {"type": "BertNormalizer", "clean_text": flag(), "handle_chinese_chars": flag(), "strip_accents": rng.choice([None, True, False]),
                 "lowercase": flag()}])()


def pre_tokenizer():
    return rng.choice([
        lambda: {"type": "ByteLevel", "add_prefix_space": flag(), "trim_offsets": flag(), "use_regex": flag()},
        lambda: {"type": rng.choice(["Whitespace", "WhitespaceSplit", "BertPreTokenizer", "UnicodeScripts"])},
        lambda: {"type": "Metaspace", "replacement": rng.choice(["\u2581", "_"]), "prepend_scheme": rng.choice(["always", "first", "never"]), "split": flag()},
        lambda: {"type": "Digits", "individual_digits": flag()},
        lambda: {"type": "Punctuation", "behavior": rng.choice(BEHAVIOR)},
        lambda: {"type": "CharDelimiterSplit", "delimiter": rng.choice([" ", "e", ","])},
        lambda: {"type": "FixedLength", "length": rng.randrange(1, 6)},
        lambda: {"type": "Split", "pattern": pattern(), "behavior": rng.choice(BEHAVIOR), "invert": flag()}])()


def decoder():
    return rng.choice([
        lambda: {"type": "ByteLevel", "add_prefix_space": flag(), "trim_offsets": flag(), "use_regex": flag()},
        lambda: {"type": rng.choice(["Fuse", "ByteFallback"])},
        lambda: {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": rng.choice(["always", "first", "never"]), "split": flag()},
        lambda: {"type": "Strip", "content": rng.choice([" ", "a", "\u2581"]), "start": rng.randrange(3), "stop": rng.randrange(3)},
        lambda: {"type": "Replace", "pattern": pattern(), "content": rng.choice(["", " ", "_"])},
        lambda: {"type": "BPEDecoder", "suffix": rng.choice(["</w>", "e"])},
        lambda: {"type": "WordPiece", "prefix": "##", "cleanup": flag()}])()


def post(ids):
    name = rng.choice(sorted(ids))
    return rng.choice([
        lambda: None,
        lambda: {"type": "ByteLevel", "add_prefix_space": flag(), "trim_offsets": flag(), "use_regex": flag()},
        lambda: {"type": "BertProcessing", "sep": [name, ids[name]], "cls": ["<unk>", 0]},
        lambda: {"type": "RobertaProcessing", "sep": [name, ids[name]], "cls": ["<unk>", 0], "trim_offsets": flag(), "add_prefix_space": flag()},
        lambda: {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "B", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                 "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                 "special_tokens": {"B": {"id": "B", "ids": [ids[name], 0], "tokens": [name, "<unk>"]}}}])()


def stage(one, key):
    some = [one() for _ in range(rng.choice([0, 1, 1, 2, 3]))]
    return None if not some else some[0] if len(some) == 1 else {"type": "Sequence", key: some}


def made(base_model):
    model = json.loads(json.dumps(base_model))
    n = len(model["vocab"])
    in_vocab = model["vocab"] if isinstance(model["vocab"], dict) else {w: i for i, (w, _) in enumerate(model["vocab"])}
    if model["type"] == "BPE":
        model.update(fuse_unk=flag(), byte_fallback=flag(), ignore_merges=flag())
    if model["type"] == "WordPiece":
        model["max_input_chars_per_word"] = rng.choice([3, 100])
    added, ids = [], {}
    for word in rng.sample(WORDS, rng.randrange(1, 7)):
        ids[word] = in_vocab.get(word, n)
        n += ids[word] == n
        added.append({"id": ids[word], "content": word, "single_word": flag(), "lstrip": flag(), "rstrip": flag(), "normalized": flag(), "special": flag()})
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": sorted(added, key=lambda t: t["id"]), "normalizer": stage(normalizer, "normalizers"),
            "pre_tokenizer": stage(pre_tokenizer, "pretokenizers"), "post_processor": post(ids), "decoder": stage(decoder, "decoders"), "model": model}


def definite(data):
    """Left out: a token that becomes nothing when it is normalized cuts the reference's text at every byte, or makes it panic; which of
    two that become the same is found, is random there; a space that BertNormalizer put in front hides from Metaspace that it was stripped.
    Not as the reference has it: for Metaspace's "first", what was put in front, or made of the first character, is one place with it."""
    normalizer, stages, cuts = Tokenizer.from_str(data).normalizer, *(json.dumps(json.loads(data)[key]) for key in ("normalizer", "pre_tokenizer"))
    if '"first"' in cuts and ("Prepend" in stages or "ByteLevel" in cuts):
        return False
    contents = [normalizer.normalize_str(t["content"]) if normalizer else t["content"] for t in json.loads(data)["added_tokens"] if t["normalized"]]
    return all(contents) and len(set(contents)) == len(contents) and not ("Bert" in stages and "Strip\"" in stages)


def outcome(call):
    """What a call gives, or that it fails."""
    try:
        return call()
    except Exception as problem:  # the reference's have no class of their own; a panic in it has not even that
        return "fails: %s" % problem
    except BaseException as problem:
        if type(problem).__name__ != "PanicException":
            raise
        return "fails: panic"


def agree(got, want):
    if want == "fails: panic":
        return True
    failing = [isinstance(x, str) and x.startswith("fails: ") for x in (got, want)]
    return all(failing) or (not any(failing) and got == (want.encode().split(b"\0")[0] if isinstance(want, str) else want))


def apart(want, got):
    """Where the two begin to differ."""
    if type(want) is not type(got) or isinstance(want, str):
        return "want %r, got %r" % (want[:300], got[:300])
    at = next((i for i, (a, b) in enumerate(zip(want, got)) if a != b), min(len(want), len(got)))
    return "at %d want %r, got %r" % (at, want[max(0, at - 4) : at + 12], got[max(0, at - 4) : at + 12])


def difference(tare, peer, text):
    for special in (False, True):
        want, got = outcome(lambda: peer.encode(text, add_special_tokens=special).ids), outcome(lambda: tare.encode(text.encode(), special))
        if not agree(got, want):
            return "%r: %s" % (text, apart(want, got))
        if isinstance(want, list):
            back, own = outcome(lambda: peer.decode(want, skip_special_tokens=special)), outcome(lambda: tare.decode(want, special))
            if not agree(own, back):
                return "%s: back %s" % (want[:10], apart(back.encode() if isinstance(own, bytes) and isinstance(back, str) else back, own))
    return None


wrong = 0
bases = [base(kind) for kind in ("BPE", "Unigram", "WordPiece", "WordLevel")]
with tempfile.TemporaryDirectory(prefix="tare-made-") as folder:
    for number in range(args.made):
        data = json.dumps(made(bases[number % 4]))
        with open(folder + "/tokenizer.json", "w", encoding="utf-8") as f:
            f.write(data)
        if not definite(data):
            continue
        peer, tare = outcome(lambda: Tokenizer.from_str(data)), outcome(lambda: tokens.Tokenizer(args.build, folder))
        if isinstance(peer, str):
            continue
        problem = tare if isinstance(tare, str) else None
        for text in tokens.texts(args.seed + number, args.texts, known) if not problem else ():
            at = rng.randrange(len(text) + 1)
            problem = problem or difference(tare, peer, text[:at] + rng.choice(WORDS) + text[at:])
        wrong += problem is not None
        if problem:
            shown = json.loads(data)
            shown["model"] = {k: v for k, v in shown["model"].items() if k not in ("vocab", "merges")}
            print("%d %s\n    %s" % (number, problem[:1500], json.dumps({k: v for k, v in shown.items() if v})), flush=True)
print("made: %d of %d" % (args.made - wrong, args.made))
sys.exit(bool(wrong))
