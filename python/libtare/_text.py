"""Tokenizers, chat templates and texts that a model continues."""
import json
import time

import numpy as np

from libtare._base import Error, call, check, ffi, lib, new_error, string, utf8


class Tokenizer:
    """The tokenizer of a checkpoint: encode and decode. Threads may share it."""

    def __init__(self, path):
        at = ffi.new("tare_tokenizer **")
        call(lib.tare_tokenizer_open, at, utf8(path), ffi.NULL)
        self._tokenizer = ffi.gc(at[0], lib.tare_tokenizer_free)

    def encode(self, text, special=True):
        """The ids of a text as a list; special: with the ones that the tokenizer adds (bos ..)."""
        data = text.encode("utf-8")
        ids, n = ffi.new("int32_t **"), ffi.new("size_t *")
        call(lib.tare_tokenizer_encode, self._tokenizer, data, len(data), special, ids, n)
        try:
            return list(ids[0][0:n[0]])
        finally:
            lib.tare_ids_free(ids[0])

    def decode(self, ids, skip_special=False):
        """The text of ids."""
        at, pieces = ffi.new("tare_stream **"), []
        call(lib.tare_stream_open, at, self._tokenizer, skip_special)
        stream, piece, size = ffi.gc(at[0], lib.tare_stream_free), ffi.new("const char **"), ffi.new("size_t *")
        for i in ids:
            call(lib.tare_stream_put, stream, int(i), piece, size)
            pieces.append(ffi.buffer(piece[0], size[0])[:])
        call(lib.tare_stream_end, stream, piece, size)
        pieces.append(ffi.buffer(piece[0], size[0])[:])
        return b"".join(pieces).decode("utf-8", "replace")

    def ends(self, token):
        """Does this id end a text?"""
        return lib.tare_tokenizer_ends(self._tokenizer, token)


class Template:
    """The chat template of a checkpoint, or one given as text."""

    def __init__(self, path=None, text=None):
        at = ffi.new("tare_template **")
        if text is not None:
            data = text.encode("utf-8")
            call(lib.tare_template_from_text, at, data, len(data))
        else:
            call(lib.tare_template_open, at, utf8(path), ffi.NULL)
        self._template = ffi.gc(at[0], lib.tare_template_free)

    def render(self, messages, tools=None, add_generation_prompt=True, **variables):
        """The text of a conversation; messages as for transformers' apply_chat_template."""
        request = ffi.new("struct tare_template_request *")
        request.size = ffi.sizeof("struct tare_template_request")
        keep = [ffi.new("char[]", json.dumps(messages).encode()), ffi.new("char[]", json.dumps(tools).encode()),
                ffi.new("char[]", json.dumps(variables).encode()), ffi.new("char[]", time.strftime("%Y-%m-%dT%H:%M:%S").encode())]
        request.messages, request.variables, request.clock = keep[0], keep[2], keep[3]
        request.tools = keep[1] if tools is not None else ffi.NULL
        request.add_generation_prompt = add_generation_prompt
        text, size = ffi.new("char **"), ffi.new("size_t *")
        call(lib.tare_template_render, self._template, request, text, size)
        try:
            return ffi.buffer(text[0], size[0])[:].decode("utf-8", "replace")
        finally:
            lib.tare_text_free(text[0])


class Session:
    """One text going through a model: feed ids, get logits. One thread at a time."""

    def __init__(self, model, context=0, threads=0, exact=False, kv_bits=0, memory=0, kernels=None):
        options = ffi.new("struct tare_session_options *")
        options.size = ffi.sizeof("struct tare_session_options")
        name = ffi.new("char[]", kernels.encode()) if kernels else ffi.NULL
        options.context, options.threads, options.exact, options.kv_bits = context, threads, exact, kv_bits
        options.memory, options.kernels = memory, name
        self.cancel = ffi.new("int *")
        options.cancel = self.cancel
        at = ffi.new("tare_session **")
        call(lib.tare_session_open, at, model._model, options)
        self._session = ffi.gc(at[0], lib.tare_session_free)

    vocabulary = property(lambda self: lib.tare_session_vocabulary(self._session))
    context = property(lambda self: lib.tare_session_context(self._session))
    kernels = property(lambda self: string(lib.tare_session_kernels(self._session)))

    def __len__(self):
        return lib.tare_session_length(self._session)

    def feed(self, ids, all=False):
        """Feed ids; the logits (n, vocabulary) of all, or (vocabulary,) of the last one."""
        ids = np.ascontiguousarray(ids, np.int32)
        logits = np.empty((len(ids), self.vocabulary) if all else (self.vocabulary,), np.float32)
        call(lib.tare_session_feed, self._session, ffi.from_buffer("int32_t[]", ids), len(ids), all, ffi.from_buffer("float[]", logits))
        return logits

    def rewind(self, length):
        """Forget all but the first `length` tokens."""
        call(lib.tare_session_rewind, self._session, length)


def _options(sampling, max_tokens, stop, grammar):
    options = ffi.new("struct tare_generate_options *")
    options.size = ffi.sizeof("struct tare_generate_options")
    s = options.sampling = ffi.new("struct tare_sampling *")
    s.size = ffi.sizeof("struct tare_sampling")
    names = {"temperature", "top_p", "top_k", "min_p", "typical_p", "seed", "repetition_penalty", "presence_penalty", "frequency_penalty",
             "penalty_window"}
    for name, value in sampling.items():
        if name not in names:
            raise TypeError("%s is no sampling option; there are %s" % (name, ", ".join(sorted(names))))
        setattr(s, name, value)
    stops = [ffi.new("char[]", text.encode()) for text in ([stop] if isinstance(stop, str) else stop or [])]
    array = ffi.new("const char *[]", stops)
    options.max_tokens, options.stops, options.n_stops = max_tokens, array, len(stops)
    if grammar is not None:
        options.grammar = grammar
    return options, (stops, array, s)


def _open_grammar(tokenizer, schema, grammar):
    if schema is None and grammar is None:
        return None
    text = (json.dumps(schema) if not isinstance(schema, str) else schema) if schema is not None else grammar
    data, at = text.encode(), ffi.new("tare_grammar **")
    kind = lib.TARE_GRAMMAR_SCHEMA if schema is not None else lib.TARE_GRAMMAR_GBNF
    call(lib.tare_grammar_open, at, tokenizer._tokenizer, kind, data, len(data))
    return ffi.gc(at[0], lib.tare_grammar_free)


def generate(session, tokenizer, ids, max_tokens=0, stop=None, schema=None, grammar=None, **sampling):
    """The pieces of a text that continues ids, one after another."""
    constraint = _open_grammar(tokenizer, schema, grammar)
    options, keep = _options(sampling, max_tokens, stop, constraint)
    ids = np.ascontiguousarray(ids, np.int32)
    at, step = ffi.new("tare_generate **"), ffi.new("struct tare_generated *")
    step.size = ffi.sizeof("struct tare_generated")
    call(lib.tare_generate_open, at, session._session, tokenizer._tokenizer, ffi.from_buffer("int32_t[]", ids), len(ids), options)
    generation = ffi.gc(at[0], lib.tare_generate_free)
    del keep
    try:
        while step.finish == lib.TARE_FINISH_NONE:
            err = new_error()
            check(lib.tare_generate_next(generation, step, err), err)
            if step.bytes:
                yield ffi.buffer(step.text, step.bytes)[:].decode("utf-8", "replace")
    finally:
        ffi.release(generation)


__all__ = ["Error", "Session", "Template", "Tokenizer", "generate"]
