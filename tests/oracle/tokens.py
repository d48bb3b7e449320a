"""tokens.py - tokenizers of libtare.so for Python, and texts to try them with."""
import ctypes
import os
import random
import time


class Error(ctypes.Structure):
    _fields_ = [("code", ctypes.c_int), ("where", ctypes.c_char * 256), ("text", ctypes.c_char * 512)]

    def __str__(self):
        return "%s: %s" % (self.where.decode(errors="replace"), self.text.decode(errors="replace"))


class Refused(Exception):
    pass


class Tokenizer:
    """tare_tokenizer_open() and its kin; path: a folder or a .gguf file."""

    def __init__(self, build, path):
        self.lib = ctypes.CDLL(os.path.join(os.path.abspath(build), "libtare.so"))
        self.lib.tare_tokenizer_free.argtypes = [ctypes.c_void_p]
        self.lib.tare_ids_free.argtypes = [ctypes.POINTER(ctypes.c_int32)]
        self.lib.tare_text_free.argtypes = [ctypes.c_void_p]
        self.own, error = ctypes.c_void_p(), Error()
        if self.lib.tare_tokenizer_open(ctypes.byref(self.own), os.fsencode(path), None, ctypes.byref(error)):
            raise Refused(str(error))

    def __del__(self):
        if getattr(self, "own", None):
            self.lib.tare_tokenizer_free(self.own)

    def encode(self, data, special=False):
        """Ids of UTF-8."""
        ids, n, error = ctypes.POINTER(ctypes.c_int32)(), ctypes.c_size_t(), Error()
        begun = time.process_time()
        code = self.lib.tare_tokenizer_encode(self.own, data, ctypes.c_size_t(len(data)), ctypes.c_bool(special), ctypes.byref(ids),
                                              ctypes.byref(n), ctypes.byref(error))
        self.spent = time.process_time() - begun  # CPU seconds
        if code:
            raise Refused(str(error))
        found = ids[: n.value]
        self.lib.tare_ids_free(ids)
        return found

    def decode(self, ids, skip_special=False):
        """UTF-8, up to its first NUL."""
        text, error = ctypes.c_void_p(), Error()
        if self.lib.tare_tokenizer_decode(self.own, (ctypes.c_int32 * len(ids))(*ids), ctypes.c_size_t(len(ids)),
                                          ctypes.c_bool(skip_special), ctypes.byref(text), ctypes.byref(error)):
            raise Refused(str(error))
        found = ctypes.string_at(text)
        self.lib.tare_text_free(text)
        return found


BLOCKS = [(0x20, 0x7E), (0x20, 0x7E), (0x20, 0x7E), (0, 0x1F), (0x80, 0x24F), (0x2B0, 0x36F), (0x370, 0x52F), (0x590, 0x6FF), (0x900, 0xDFF),
          (0xE00, 0xFFF), (0x1100, 0x11FF), (0x1E00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x27BF), (0x3000, 0x30FF), (0x4E00, 0x9FFF),
          (0xAC00, 0xD7A3), (0xE000, 0xF8FF), (0xFB00, 0xFFEF), (0x10000, 0x103FF), (0x1D400, 0x1D7FF), (0x1F1E6, 0x1F1FF),
          (0x1F300, 0x1FAFF), (0x20000, 0x2A6DF), (0xE0000, 0xE01EF), (0, 0x10FFFF)]
WORDS = [" ", "  ", "    ", "\n", "\n\n", "\r\n", "\t", "'s", "'LL", "n't", "\u2581", "\u00a0", "\u3000", "\u200d", "\ufe0f", "\u0301", "the", "The",
         " of", "ing", "123", "1234567", "0x1F", "www.", "()", "};", "//", "<s>", "</s>", "<unk>", "<|endoftext|>", "[INST]", "\u4f60\u597d", "\ufb01",
         "\u1e9b\u0323", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\uac00\u11a8", "\u0e33", "\u0130", "\u00df", "\u03c2"]


def texts(seed, n, known):
    """n texts: pieces of `known`, characters of every block, bytes as UTF-8 that was mended, words that pre-tokenizers know."""
    rng = random.Random(seed)

    def piece():
        kind = rng.random()
        if kind < 0.3 and known:
            at = rng.randrange(len(known))
            return known[at : at + rng.randrange(1, 60)]
        if kind < 0.6:
            return rng.choice(WORDS)
        if kind < 0.7:
            return rng.randbytes(rng.randrange(1, 12)).decode("utf-8", "replace")
        low, high = rng.choice(BLOCKS)
        many = rng.randrange(1, 4) if kind < 0.95 else rng.randrange(1, 40)
        return "".join(c for c in (chr(rng.randint(low, high)) for _ in range(many)) if not 0xD800 <= ord(c) <= 0xDFFF)

    for _ in range(n):
        yield "".join(piece() for _ in range(rng.randrange(1, 14)))
