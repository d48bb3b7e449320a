"""What all modules of the package share: errors, texts of C, options."""
import enum

from libtare._libtare import ffi, lib


class Code(enum.IntEnum):
    """The codes of enum tare_code."""
    OK = lib.TARE_OK
    ARGUMENT = lib.TARE_E_ARGUMENT
    MEMORY = lib.TARE_E_MEMORY
    IO = lib.TARE_E_IO
    ABSENT = lib.TARE_E_ABSENT
    FORMAT = lib.TARE_E_FORMAT
    CONFIG = lib.TARE_E_CONFIG
    UNKNOWN = lib.TARE_E_UNKNOWN
    SHAPE = lib.TARE_E_SHAPE
    STRICT = lib.TARE_E_STRICT
    HEAD = lib.TARE_E_HEAD
    TARGET = lib.TARE_E_TARGET
    SPACE = lib.TARE_E_SPACE
    EXISTS = lib.TARE_E_EXISTS
    CANCELLED = lib.TARE_E_CANCELLED
    INTERNAL = lib.TARE_E_INTERNAL


class Error(Exception):
    """What the library says when it cannot do something: `code`, `where` (file, tensor or key) and `text`."""

    def __init__(self, code, where, text):
        super().__init__(("%s: %s" % (where, text)) if where else text)
        self.code, self.where, self.text = Code(code), where, text


def string(pointer):
    """A C string as str; None of NULL."""
    return None if pointer == ffi.NULL else ffi.string(pointer).decode("utf-8", "surrogateescape")


def utf8(text):
    """str or path-like as bytes; NULL of None."""
    import os
    return ffi.NULL if text is None else os.fsencode(text) if not isinstance(text, str) else text.encode("utf-8", "surrogateescape")


def taken(pointer, what="memory"):
    """A text that the caller owns, as str; the C memory is freed."""
    if pointer == ffi.NULL:
        raise MemoryError(what)
    try:
        return string(pointer)
    finally:
        lib.tare_text_free(pointer)


def new_error():
    return ffi.new("struct tare_error *")


def check(code, err):
    if code != lib.TARE_OK:
        raise Error(code, string(err.where), string(err.text))


def call(function, *arguments):
    """Call a function whose last argument is a struct tare_error, and raise what it says."""
    err = new_error()
    check(function(*arguments, err), err)


class Watch:
    """The callbacks of one call on their way through C: progress goes to function(stage, done, total), and what that raises
    cancels and is raised again; notes are collected as (where, text)."""

    def __init__(self, function):
        self.function, self.raised, self.notes = function, None, []
        self.handle = ffi.new_handle(self)

    def put(self, options):
        options.user = self.handle
        if self.function is not None:
            options.progress = lib.libtare_progress

    def done(self):
        if self.raised is not None:
            raise self.raised


@ffi.def_extern(error=1)
def libtare_progress(user, stage, done, total):
    watch = ffi.from_handle(user)
    try:
        watch.function(string(stage), done, total)
    except BaseException as e:  # KeyboardInterrupt, too
        watch.raised = e
        return 1
    return 0


@ffi.def_extern()
def libtare_note(user, where, text):
    ffi.from_handle(user).notes.append((string(where), string(text)))


def bar(progress):
    """progress=True: a tqdm bar where the package is there; a function stays itself; None and False: nothing."""
    if progress is None or progress is False:
        return None
    if progress is not True:
        return progress
    from tqdm.auto import tqdm
    shown = {}

    def show(stage, done, total):
        if stage not in shown:
            shown[stage] = tqdm(total=total, desc=stage, unit="B", unit_scale=True)
        shown[stage].update(done - shown[stage].n)
        if done >= total:
            shown[stage].close()
    return show
