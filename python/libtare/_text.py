"""Tokenizers, chat templates and texts that a model continues."""
import contextlib
import json
import threading
import time
from typing import TYPE_CHECKING, Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from libtare._base import CData, Code, Error, Threads, call, own, put_threads, sized, string, utf8, word
from libtare._libtare import ffi, lib
from libtare._tensor import Array

if TYPE_CHECKING:
    from libtare._model import Model, Path

SAMPLING = ("temperature", "top_p", "top_k", "min_p", "typical_p", "seed", "repetition_penalty", "presence_penalty", "frequency_penalty",
            "penalty_window")
DRAFTS = {None: lib.TARE_DRAFT_NONE, "lookup": lib.TARE_DRAFT_LOOKUP}


class Tokenizer:
    """The tokenizer of a checkpoint: encode and decode. Threads may share it."""

    def __init__(self, path: "Path", options: CData = ffi.NULL) -> None:
        at = ffi.new("tare_tokenizer **")
        call(lib.tare_tokenizer_open, at, utf8(path), options)
        self.handle = own(at[0], lib.tare_tokenizer_free)

    def encode(self, text: str, special: bool = True) -> List[int]:
        """The ids of a text; special: with the ones that the tokenizer adds (bos ..)."""
        data = text.encode("utf-8")
        ids, n = ffi.new("int32_t **"), ffi.new("size_t *")
        call(lib.tare_tokenizer_encode, self.handle, data, len(data), special, ids, n)
        try:
            return list(ids[0][0:n[0]])
        finally:
            lib.tare_ids_free(ids[0])

    def stream(self, skip_special: bool = False) -> "Stream":
        """Decode ids one after another."""
        return Stream(self, skip_special)

    def decode(self, ids: Sequence[int], skip_special: bool = False) -> str:
        """The text of ids."""
        stream = self.stream(skip_special)
        return "".join([stream.put(i) for i in ids] + [stream.end()])

    def __len__(self) -> int:
        """One more than the largest id that has a token."""
        return int(lib.tare_tokenizer_size(self.handle))

    def id(self, token: str) -> int:
        """The id of a token as the vocabulary writes it: "<|im_end|>". KeyError: there is none."""
        data, at = token.encode("utf-8"), ffi.new("int32_t *")
        try:
            call(lib.tare_tokenizer_id, self.handle, data, len(data), at)
        except Error as e:
            raise KeyError(token) if e.code == Code.ABSENT else e
        return int(at[0])

    def token(self, token: int) -> bytes:
        """The bytes that an id adds in the middle of a text. KeyError: no token has it."""
        at, size = ffi.new("const char **"), ffi.new("size_t *")
        try:
            call(lib.tare_tokenizer_token, self.handle, token, at, size, ffi.NULL)
        except Error as e:
            raise KeyError(token) if e.code == Code.ABSENT else e
        data: bytes = ffi.buffer(at[0], size[0])[:]
        return data

    def ends(self, token: int) -> bool:
        """Does this id end a text?"""
        return bool(lib.tare_tokenizer_ends(self.handle, token))


class Stream:
    """Decoding one id after another: whole characters only. One thread at a time."""

    def __init__(self, tokenizer: Tokenizer, skip_special: bool = False) -> None:
        at = ffi.new("tare_stream **")
        call(lib.tare_stream_open, at, tokenizer.handle, skip_special)
        self._stream = own(at[0], lib.tare_stream_free, tokenizer.handle)
        self._piece, self._size = ffi.new("const char **"), ffi.new("size_t *")

    def _text(self) -> str:
        data: bytes = ffi.buffer(self._piece[0], self._size[0])[:]
        return data.decode("utf-8", "replace")

    def put(self, token: int) -> str:
        """Add an id: the text that is new."""
        call(lib.tare_stream_put, self._stream, int(token), self._piece, self._size)
        return self._text()

    def end(self) -> str:
        """End the text: what was held back."""
        call(lib.tare_stream_end, self._stream, self._piece, self._size)
        return self._text()


class Template:
    """The chat template of a checkpoint, or one given as text. Threads may share it."""

    def __init__(self, path: Optional["Path"] = None, text: Optional[str] = None, options: CData = ffi.NULL) -> None:
        at = ffi.new("tare_template **")
        if text is not None:
            data = text.encode("utf-8")
            call(lib.tare_template_from_text, at, data, len(data))
        elif path is not None:
            call(lib.tare_template_open, at, utf8(path), options)
        else:
            raise TypeError("Template: path or text")
        self._template = own(at[0], lib.tare_template_free)

    def render(self, messages: Sequence[Mapping[str, Any]], tools: Optional[Sequence[Any]] = None, add_generation_prompt: bool = True,
               **variables: Any) -> str:
        """The text of a conversation; messages as for transformers' apply_chat_template."""
        request = sized("tare_template_request")
        kept = [word(json.dumps(messages)), word(json.dumps(tools)), word(json.dumps(variables)), word(time.strftime("%Y-%m-%dT%H:%M:%S"))]
        request.messages, request.variables, request.clock = kept[0], kept[2], kept[3]
        request.tools = kept[1] if tools is not None else ffi.NULL
        request.add_generation_prompt = add_generation_prompt
        text, size = ffi.new("char **"), ffi.new("size_t *")
        call(lib.tare_template_render, self._template, request, text, size)
        try:
            data: bytes = ffi.buffer(text[0], size[0])[:]
            return data.decode("utf-8", "replace")
        finally:
            lib.tare_text_free(text[0])


class Session:
    """One text going through a model, which it keeps alive: feed ids, get logits. Calls of several threads wait for one another."""

    def __init__(self, model: "Model", context: int = 0, threads: Union[int, Threads] = 0, exact: bool = False, kv_bits: int = 0, memory: int = 0,
                 kernels: Optional[str] = None) -> None:
        options, name, plan = sized("tare_session_options"), word(kernels), model.handle()
        put_threads(options, threads)
        options.context, options.exact, options.kv_bits = context, exact, kv_bits
        options.memory, options.kernels = memory, name
        self._cancel = options.cancel = ffi.new("int *")
        at = ffi.new("tare_session **")
        call(lib.tare_session_open, at, plan, options)
        self._session: Optional[CData] = own(at[0], lib.tare_session_free, plan, self._cancel)
        self.lock = threading.RLock()  # one for a session and its forks, which share their work memory

    def handle(self) -> CData:
        """The tare_session of C. ValueError: the session is closed."""
        session = self._session
        if session is None:
            raise ValueError("the session is closed")
        return session

    def close(self) -> None:
        """Let go of the text; its memory is freed when no generation, fork or call uses it any more."""
        self._session = None

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def vocabulary(self) -> int:
        """The number of columns of logits."""
        return int(lib.tare_session_vocabulary(self.handle()))

    @property
    def context(self) -> int:
        """The most tokens that the session takes."""
        return int(lib.tare_session_context(self.handle()))

    @property
    def kernels(self) -> str:
        """The set of kernels in use."""
        return string(lib.tare_session_kernels(self.handle()))

    @property
    def ids(self) -> List[int]:
        """What was fed so far."""
        with self.lock:
            session = self.handle()
            return list(lib.tare_session_ids(session)[0:lib.tare_session_length(session)])

    def __len__(self) -> int:
        return int(lib.tare_session_length(self.handle()))

    def __bool__(self) -> bool:
        return True

    def feed(self, ids: Sequence[int], all: bool = False) -> Array:
        """Feed ids; the logits (n, vocabulary) of all, or (vocabulary,) of the last one."""
        array = np.ascontiguousarray(ids, np.int32)
        with self.lock:
            session = self.handle()
            logits = np.empty((len(array), self.vocabulary) if all else (self.vocabulary,), np.float32)
            call(lib.tare_session_feed, session, ffi.from_buffer("int32_t[]", array), len(array), all, ffi.from_buffer("float[]", logits))
        return logits

    @property
    def width(self) -> int:
        """The number of columns of hidden states."""
        return int(lib.tare_session_width(self.handle()))

    def hidden(self, ids: Sequence[int], all: bool = False) -> Array:
        """Feed ids; the hidden states after the final norm, which the head is multiplied with: (n, width) of all, or (width,)."""
        array = np.ascontiguousarray(ids, np.int32)
        with self.lock:
            session = self.handle()
            states = np.empty((len(array), self.width) if all else (self.width,), np.float32)
            call(lib.tare_session_hidden, session, ffi.from_buffer("int32_t[]", array), len(array), all, ffi.from_buffer("float[]", states))
        return states

    def reserve(self, tokens: int) -> None:
        """Make room for a text of that many tokens."""
        with self.lock:
            call(lib.tare_session_reserve, self.handle(), tokens)

    def rewind(self, length: int) -> None:
        """Forget all but the first `length` tokens."""
        with self.lock:
            call(lib.tare_session_rewind, self.handle(), length)

    def fork(self) -> "Session":
        """A second text that starts as this one does."""
        at, other = ffi.new("tare_session **"), Session.__new__(Session)
        with self.lock:
            origin = self.handle()
            call(lib.tare_session_fork, at, origin)
        other._session, other._cancel, other.lock = own(at[0], lib.tare_session_free, origin), self._cancel, self.lock
        return other

    def save(self, path: "Path") -> None:
        """Write the session into a file, so that a long prompt is computed once."""
        with self.lock:
            call(lib.tare_session_save, self.handle(), utf8(path))

    def load(self, path: "Path") -> None:
        """Read a saved session in the place of what this one holds."""
        with self.lock:
            call(lib.tare_session_load, self.handle(), utf8(path))

    def cancel(self, now: bool = True) -> None:
        """From any thread: what is fed ends with Error CANCELLED, and a generation with finish "cancelled"; False takes it back."""
        self._cancel[0] = now


def feed_each(sessions: Sequence[Session], ids: Sequence[Sequence[int]]) -> List[Array]:
    """Feed several sessions of one model in one step, which reads the weights once: the last logits of each."""
    if len(sessions) != len(ids):
        raise ValueError("%d sessions and %d lists of ids" % (len(sessions), len(ids)))
    arrays = [np.ascontiguousarray(one, np.int32) for one in ids]
    logits = [np.empty(session.vocabulary, np.float32) for session in sessions]
    feeds, kept = ffi.new("struct tare_feed[]", len(sessions)), []
    with contextlib.ExitStack() as locks:
        for lock in sorted({session.lock for session in sessions}, key=id):
            locks.enter_context(lock)
        for feed, session, array, row in zip(feeds, sessions, arrays, logits):
            held = (session.handle(), ffi.from_buffer("int32_t[]", array), ffi.from_buffer("float[]", row))
            kept.append(held)
            feed.session, feed.ids, feed.logits, feed.n = held[0], held[1], held[2], len(array)
        call(lib.tare_session_feed_each, feeds, len(sessions), ffi.sizeof("struct tare_feed"))
    return logits


class Grammar:
    """What a text may look like: a JSON schema (dict or text), or llama.cpp's notation. Threads may share it."""

    def __init__(self, tokenizer: Tokenizer, schema: Union[None, str, bool, Mapping[str, Any]] = None, gbnf: Optional[str] = None) -> None:
        if (schema is None) == (gbnf is None):
            raise TypeError("Grammar: either a schema or a text in GBNF")
        text = gbnf if gbnf is not None else schema if isinstance(schema, str) else json.dumps(schema)
        assert text is not None
        data, at = text.encode(), ffi.new("tare_grammar **")
        kind = lib.TARE_GRAMMAR_GBNF if gbnf is not None else lib.TARE_GRAMMAR_SCHEMA
        call(lib.tare_grammar_open, at, tokenizer.handle, kind, data, len(data))
        self.handle = own(at[0], lib.tare_grammar_free)


def _sampling(values: Dict[str, Any], bias: Optional[Mapping[int, float]]) -> Tuple[CData, CData]:
    sampling, rows = sized("tare_sampling"), ffi.new("struct tare_bias[]", [tuple(row) for row in (bias or {}).items()])
    for name, value in values.items():
        if name not in SAMPLING:
            raise TypeError("%s is no option of sampling; there are %s" % (name, ", ".join(sorted(SAMPLING))))
        setattr(sampling, name, value)
    sampling.bias, sampling.n_bias, sampling.bias_stride = rows, len(rows), ffi.sizeof("struct tare_bias")
    return sampling, rows


class Generation(Iterator[str]):
    """A text that is being continued: an iterator over its new pieces, in whole characters. Beside them: `ids`, the ids that were
    chosen so far, and `finish`, why the text ended ("end", "stop", "length", "grammar" ..), None before that. logprobs=True: also
    `logprobs`, the log-probability of each; logprobs=k: and `top`, for each id the k likeliest as (id, log-probability).

    stop: texts that end it; schema, grammar: a JSON schema, GBNF or a Grammar that it must meet; bias: {id: what its logit gets};
    draft: "lookup" guesses from the text so far, a Session of a smaller model with the same tokenizer lets that one guess, and the text
    is the same; sampling: temperature (0: greedy), top_p, top_k, min_p, typical_p, seed,
    repetition_penalty, presence_penalty, frequency_penalty, penalty_window."""

    def __init__(self, session: Session, tokenizer: Tokenizer, ids: Sequence[int], max_tokens: int = 0,
                 stop: Union[None, str, Sequence[str]] = None, schema: Union[None, str, bool, Mapping[str, Any]] = None,
                 grammar: Union[None, str, Grammar] = None, bias: Optional[Mapping[int, float]] = None, draft: Union[None, str, Session] = None,
                 ignore_ends: bool = False, logprobs: Union[bool, int] = False, prompt_chunk: int = 0, **sampling: Any) -> None:
        if schema is not None and grammar is not None:
            raise TypeError("either a schema or a grammar")
        if schema is not None:
            grammar = Grammar(tokenizer, schema)
        elif isinstance(grammar, str):
            grammar = Grammar(tokenizer, gbnf=grammar)
        options, (chosen, rows) = sized("tare_generate_options"), _sampling(sampling, bias)
        stops = [word(text) for text in ([stop] if isinstance(stop, str) else stop or [])]
        array, prompt = ffi.new("const char *[]", stops), np.ascontiguousarray(ids, np.int32)
        options.sampling, options.max_tokens, options.stops, options.n_stops = chosen, max_tokens, array, len(stops)
        drafter = draft.handle() if isinstance(draft, Session) else ffi.NULL
        options.draft, options.drafter = lib.TARE_DRAFT_MODEL if isinstance(draft, Session) else DRAFTS[draft], drafter
        options.ignore_ends, options.prompt_chunk = ignore_ends, prompt_chunk
        options.logprobs, options.top_logprobs = logprobs is not False, 0 if isinstance(logprobs, bool) else logprobs
        constraint = grammar.handle if grammar is not None else ffi.NULL
        options.grammar = constraint
        at, text = ffi.new("tare_generate **"), session.handle()
        call(lib.tare_generate_open, at, text, tokenizer.handle, ffi.from_buffer("int32_t[]", prompt), len(prompt), options)
        self._generation: Optional[CData] = own(at[0], lib.tare_generate_free, text, tokenizer.handle, constraint, drafter)
        self._step, self.lock, self._wants = sized("tare_generated"), session.lock, options.logprobs
        self.ids: List[int] = []
        self.logprobs: List[float] = []
        self.top: List[List[Tuple[int, float]]] = []
        self.finish: Optional[str] = None
        del rows  # it, and all that options points to, is copied by now

    def close(self) -> None:
        """End the text here; the session goes on from where it stands."""
        self._generation = None

    def __enter__(self) -> "Generation":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> "Generation":
        return self

    def cancel(self) -> None:
        """From any thread: the text ends with what was held back."""
        generation = self._generation
        if generation is not None:
            lib.tare_generate_cancel(generation)

    def take(self, step: CData) -> str:
        """Note what a step of C says: its new text."""
        if step.id >= 0:
            self.ids.append(step.id)
            if self._wants:
                rows = ffi.cast("char *", step.top)
                each = [ffi.cast("struct tare_logprob *", rows + k * step.top_stride) for k in range(step.n_top)]
                self.logprobs.append(step.logprob)
                self.top.append([(row.id, row.logprob) for row in each])
        if step.finish != lib.TARE_FINISH_NONE:
            self.finish = string(lib.tare_finish_name(step.finish))
        data: bytes = ffi.buffer(step.text, step.bytes)[:] if step.bytes else b""
        return data.decode("utf-8", "replace")

    def __next__(self) -> str:
        with self.lock:
            while self.finish is None and self._generation is not None:
                call(lib.tare_generate_next, self._generation, self._step)
                piece = self.take(self._step)
                if piece:
                    return piece
        self.close()
        raise StopIteration

    def text(self) -> str:
        """All that follows from here, at once."""
        return "".join(self)

    @property
    def handle(self) -> Optional[CData]:
        """The tare_generate of C; None: the text is over or closed."""
        return None if self.finish is not None else self._generation


def generate_each(generations: Sequence[Generation]) -> List[str]:
    """Continue several texts of one model by one step, with one pass over the weights: the new piece of each, "" of those that are
    over. A text that fails ends with finish "failed", and the others continue."""
    live = [(generation, handle) for generation in generations for handle in [generation.handle] if handle is not None]
    pieces = {id(generation): "" for generation in generations}
    if live:
        steps, handles = ffi.new("struct tare_generated[]", len(live)), ffi.new("tare_generate *[]", [handle for _, handle in live])
        for step in steps:
            step.size = ffi.sizeof("struct tare_generated")
        with contextlib.ExitStack() as locks:
            for lock in sorted({generation.lock for generation, _ in live}, key=id):
                locks.enter_context(lock)
            call(lib.tare_generate_each, handles, len(live), steps, ffi.sizeof("struct tare_generated"))
            for (generation, _), step in zip(live, steps):
                pieces[id(generation)] = generation.take(step)
    return [pieces[id(generation)] for generation in generations]
