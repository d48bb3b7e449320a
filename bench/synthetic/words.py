"""words.py - a vocabulary of made-up words for the synthetic models, in the two forms that servers read: tokenizer.json and GGUF's metadata.

As Llama's: <unk>, <s>, </s>, the 256 bytes, and then words of letters, each with a space before it. Nothing merges: a text that is no such word is read
by bytes. Benches send ids; what a server has to do is to write the text of the ids that come out."""
import json
import os

SPECIAL = ("<unk>", "<s>", "</s>")
UNKNOWN, BEGIN, END = range(3)
FIRST_WORD = len(SPECIAL) + 256
SPACE = "▁"
NORMAL_KIND, UNKNOWN_KIND, CONTROL_KIND, BYTE_KIND = 1, 2, 3, 6  # of tokens, in GGUF


def word(n):
    letters = ""
    for _ in range(4):
        n, k = divmod(n, 26)
        letters += chr(ord("a") + k)
    return SPACE + letters


def tokens(size):
    return list(SPECIAL) + ["<0x%02X>" % byte for byte in range(256)] + [word(n) for n in range(size - FIRST_WORD)]


def kinds(size):
    return [UNKNOWN_KIND, CONTROL_KIND, CONTROL_KIND] + [BYTE_KIND] * 256 + [NORMAL_KIND] * (size - FIRST_WORD)


def write_tokenizer(folder, size):
    """tokenizer.json beside a checkpoint of that vocabulary."""
    special = [dict(id=i, content=text, special=True, single_word=False, lstrip=False, rstrip=False, normalized=False) for i, text in enumerate(SPECIAL)]
    document = dict(
        version="1.0", truncation=None, padding=None, added_tokens=special,
        normalizer=dict(type="Sequence", normalizers=[dict(type="Prepend", prepend=SPACE), dict(type="Replace", pattern=dict(String=" "), content=SPACE)]),
        pre_tokenizer=None, post_processor=None,
        decoder=dict(type="Sequence", decoders=[dict(type="Replace", pattern=dict(String=SPACE), content=" "), dict(type="ByteFallback"), dict(type="Fuse"),
                                                dict(type="Strip", content=" ", start=1, stop=0)]),
        model=dict(type="BPE", dropout=None, unk_token="<unk>", continuing_subword_prefix=None, end_of_word_suffix=None, fuse_unk=True,
                   byte_fallback=True, vocab={text: i for i, text in enumerate(tokens(size))}, merges=[]))
    with open(os.path.join(folder, "tokenizer.json"), "w", encoding="utf-8") as f:
        json.dump(document, f)
