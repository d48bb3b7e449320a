#!/usr/bin/env python3
"""check_arguments.py SOURCE SHARED CC: what public functions say to NULL, and to structs of another size.

Every function that tare.h declares is called with all its pointers NULL, and then with one pointer NULL in turn and the rest valid. Each
call runs in a process of its own. A function that returns a code must say TARE_E_ARGUMENT, unless the pointer is listed as OPTIONAL;
one that returns something else must return 0, NULL or false. Every struct that a host makes is passed with a size of 0, with a size
that is too large but whose unknown part is 0, and with an unknown part that is not 0. Functions are taken from the header, so a new
one is tested without being listed; an object that nobody makes here is an error.
"""
import ctypes
import os
import re
import sys
import tempfile

from header import Header

source, shared, compiler = sys.argv[1:4]
header = Header(source, compiler)
lib = ctypes.CDLL(shared)
FABLE = os.path.join(source, "models/fable").encode()
ARGUMENT = 1
TAIL = 64  # bytes that a newer version of a struct might have

# Pointers that may be NULL, as the header says: (function, parameter). `err` and `options` may be NULL everywhere.
OPTIONAL = {("tare_session_feed", "logits"), ("tare_sample_adjust", "sampling"), ("tare_sample", "sampling"), ("tare_repair_undo", "n"),
            ("tare_convert_config", "to"), ("tare_read_mlx", "biases"), ("tare_model_names", "names"), ("tare_model_sources", "out"),
            ("tare_read_codes", "codes"), ("tare_grammar_mask", "allowed"), ("tare_sample_adjust", "recent"), ("tare_tokenizer_decode", "size"),
            ("tare_tokenizer_token", "special"), ("tare_stream_put", "size"), ("tare_stream_end", "size")}
# A struct of zeros is not enough for these, so only a size of 0 is tried: a host's pool needs run(), and texts are needed beside steps.
NEEDS_MORE = {"tare_threads_open_host", "tare_generate_each"}
INTEGERS = {"int": 1, "size_t": 1, "int32_t": 1, "int64_t": 1, "uint64_t": 0, "bool": 0, "_Bool": 0}
TEXTS = {"path": FABLE, "name": b"model.embed_tokens", "to": b"mlx", "dtype": b"float32", "schema": b"{}", "text": b"{}"}


def type_of(kind):
    if kind.endswith("*"):
        return ctypes.c_void_p
    word = kind.replace("const ", "").strip()
    return {"void": None, "int": ctypes.c_int, "size_t": ctypes.c_size_t, "int32_t": ctypes.c_int32, "int64_t": ctypes.c_int64,
            "uint64_t": ctypes.c_uint64, "bool": ctypes.c_bool, "_Bool": ctypes.c_bool, "float": ctypes.c_float,
            "double": ctypes.c_double}.get(word, ctypes.c_int)


for result, name, parameters in header.functions:
    function = getattr(lib, name)
    function.restype, function.argtypes = type_of(result), [type_of(kind) for kind, _ in parameters]

keep = []  # ctypes objects whose addresses were handed out


def place(size=1 << 16):
    keep.append(ctypes.create_string_buffer(size))
    return ctypes.addressof(keep[-1])


def text(data):
    keep.append(ctypes.create_string_buffer(data))
    return ctypes.addressof(keep[-1])


def sized(tail=b""):
    """A struct of a version with more fields: its size, zeros, and a tail."""
    data = bytearray(4096) + tail
    data[0:8] = len(data).to_bytes(8, "little")
    keep.append(ctypes.create_string_buffer(bytes(data), len(data)))
    return ctypes.addressof(keep[-1])


def opened(function, *arguments):
    at = ctypes.c_void_p()
    keep.append(at)
    code = getattr(lib, function)(ctypes.addressof(at), *arguments, None)
    if code or not at.value:
        raise SystemExit("%s gave code %d: this test needs it" % (function, code))
    return at.value


class Objects:
    """One object of each kind, made when it is asked for."""

    def __init__(self):
        self.made = {}

    def of(self, kind):
        if kind not in self.made:
            maker = getattr(self, "make_" + kind[5:], None)
            if not maker:
                raise SystemExit("check_arguments.py does not know how to make a %s: add make_%s()" % (kind, kind[5:]))
            self.made[kind] = maker()
        return self.made[kind]

    def make_model(self):
        return opened("tare_plan", FABLE, None)

    def make_reader(self):
        return opened("tare_reader_open", self.of("tare_model"), b"model.embed_tokens", 0)

    def make_session(self):
        return opened("tare_session_open", self.of("tare_model"), None)

    def make_tokenizer(self):
        return opened("tare_tokenizer_open", FABLE, None)

    def make_stream(self):
        return opened("tare_stream_open", self.of("tare_tokenizer"), False)

    def make_template(self):
        return opened("tare_template_from_text", b"x", 1)

    def make_grammar(self):
        return opened("tare_grammar_open", self.of("tare_tokenizer"), 1, b"{}", 2)

    def make_grammar_state(self):
        return opened("tare_grammar_state_open", self.of("tare_grammar"))

    def make_generate(self):
        ids = (ctypes.c_int32 * 1)(1)
        keep.append(ids)
        return opened("tare_generate_open", self.of("tare_session"), self.of("tare_tokenizer"), ctypes.addressof(ids), 1, None)

    def make_diff(self):
        return opened("tare_diff_open", self.of("tare_model"), self.of("tare_model"), None)

    def make_verify(self):
        return opened("tare_verify_open", self.of("tare_model"), None)

    def make_repair(self):
        return opened("tare_repair_open", FABLE, None)

    def make_threads(self):
        return opened("tare_threads_open", 1)


objects = Objects()


def is_sized(kind):
    """Is it a struct that begins with its size and that the host makes?"""
    tag = re.match(r"(?:const )?struct (tare_\w+) \*$", kind)
    return tag and tag.group(1) in header.structs and header.structs[tag.group(1)][0][1] == "size"


def valid(function, kind, name, folder):
    """A value that the function takes for this parameter."""
    plain = re.sub(r"^const ", "", kind).strip()
    if not kind.endswith("*"):
        return INTEGERS.get(plain, 0)
    tag = re.match(r"(tare_\w+) \*$", plain)
    if tag and tag.group(1) in header.objects:
        return objects.of(tag.group(1))
    if is_sized(kind):
        return sized()
    if plain == "char *" and kind.startswith("const"):
        return text(os.path.join(folder, "out").encode() if name in ("folder",) or function in ("tare_session_save", "tare_session_load")
                    else TEXTS.get(name, b"x"))
    if name == "err":
        return place()
    return place()  # ids, floats, places for what is returned


def call(function, arguments):
    """(status of the process, what the function returned); the process ends at once, with nothing cleaned up."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, 2)
        value = getattr(lib, function)(*arguments)
        os.write(writing, repr(value or 0).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as f:
        said = f.read()
    status = os.waitpid(child, 0)[1]
    return status, int(said) if re.fullmatch(rb"-?\d+", said) else said.decode()


def is_code(result):
    return result == "enum tare_code"


def optional(function, name):
    return name in ("err", "options", "threads") or (function, name) in OPTIONAL or function.endswith("_free")


def check(folder):
    bad, calls = [], 0
    for result, name, parameters in header.functions:
        pointers = [i for i, (kind, _) in enumerate(parameters) if kind.endswith("*")]
        if not pointers:
            continue
        arguments = [valid(name, kind, field, folder) for kind, field in parameters]
        tries = [("all pointers", pointers)] + [(parameters[i][1], [i]) for i in pointers]
        for what, nulls in tries:
            given = [None if i in nulls else value for i, value in enumerate(arguments)]
            status, value = call(name, given)
            calls += 1
            may = all(optional(name, parameters[i][1]) for i in nulls)
            if status:
                bad.append("%s: ended by signal %d with %s NULL" % (name, status & 127, what))
            elif is_code(result) and not may and value != ARGUMENT:
                bad.append("%s: returned %s and not TARE_E_ARGUMENT with %s NULL" % (name, value, what))
            elif not is_code(result) and not may and result != "void" and value != 0:
                bad.append("%s: returned %s and not 0 with %s NULL" % (name, value, what))
        for i, (kind, field) in enumerate(parameters):
            if not is_sized(kind) or not is_code(result):
                continue
            constant = kind.startswith("const")
            for what, struct, refused in (("a size of 0", place(), True), ("a larger size", sized(), False),
                                          ("an unknown field that is set", sized(b"\1" * TAIL), constant)):
                if name in NEEDS_MORE and what != "a size of 0":
                    continue
                given = arguments[:i] + [struct] + arguments[i + 1:]
                status, value = call(name, given)
                calls += 1
                if status or (value == ARGUMENT) != refused:
                    bad.append("%s: %s of %s: status %d, code %s" % (name, what, field, status, value))
    return bad, calls


with tempfile.TemporaryDirectory() as scratch:
    wrong, tried = check(scratch)
print("\n".join(wrong) if wrong else "%d calls of %d functions" % (tried, len(header.functions)))
sys.exit(1 if wrong else 0)
