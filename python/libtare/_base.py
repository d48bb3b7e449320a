"""What all modules of the package share: errors, texts of C, owners of C objects, progress."""
import concurrent.futures
import enum
import functools
import itertools
import os
import sys
import threading
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple, TypeVar, Union

from libtare._libtare import ffi, lib

# A function of (stage, bytes done, bytes in all); True: a bar; False: nothing; None: a bar where stderr is a terminal and tqdm is there.
Progress = Union[None, bool, Callable[[str, int, int], Any]]
# What ffi.new() and the library's pointers are.
CData = Any
T = TypeVar("T")
R = TypeVar("R")


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

    def __init__(self, code: int, where: str, text: str) -> None:
        super().__init__(("%s: %s" % (where, text)) if where else text)
        self.code, self.where, self.text = Code(code), where, text

    def __reduce__(self) -> Tuple[Any, ...]:
        return Error, (int(self.code), self.where, self.text)


def optional(pointer: CData) -> Optional[str]:
    """A C string as str; None of NULL."""
    return None if pointer == ffi.NULL else string(pointer)


def string(pointer: CData) -> str:
    """A C string as str."""
    data: bytes = ffi.string(pointer)
    return data.decode("utf-8", "surrogateescape")


def utf8(text: Union[str, "os.PathLike[str]", bytes]) -> bytes:
    """A name or a path as C takes it."""
    return text.encode("utf-8", "surrogateescape") if isinstance(text, str) else os.fsencode(text)


def word(text: Optional[str]) -> CData:
    """A C string that lives as long as the result does; NULL of None."""
    return ffi.NULL if text is None else ffi.new("char[]", text.encode())


def taken(pointer: CData) -> str:
    """A text that the caller owns, as str; the C memory is freed."""
    if pointer == ffi.NULL:
        raise MemoryError("libtare")
    try:
        return string(pointer)
    finally:
        lib.tare_text_free(pointer)


def sized(kind: str) -> CData:
    """A new struct that begins with its size."""
    struct = ffi.new("struct %s *" % kind)
    struct.size = ffi.sizeof("struct " + kind)
    return struct


def new_error() -> CData:
    return ffi.new("struct tare_error *")


def check(code: int, err: CData) -> None:
    if code != lib.TARE_OK:
        raise Error(code, string(err.where), string(err.text))


def call(function: Callable[..., int], *arguments: Any) -> None:
    """Call a function whose last argument is a struct tare_error, and raise what it says. cffi releases the GIL meanwhile."""
    err = new_error()
    check(function(*arguments, err), err)


def _free(function: Callable[[CData], None], _kept: Tuple[Any, ...], pointer: CData) -> None:
    function(pointer)


def own(pointer: CData, free: Callable[[CData], None], *kept: Any) -> CData:
    """The C object behind a pointer, which free() ends with the last reference to it. kept: what must outlive it. Whoever passes the
    object to C holds a reference for the length of the call, so that closing in another thread frees nothing in use."""
    return ffi.gc(pointer, functools.partial(_free, free, kept))


class Threads:
    """Threads that plans, sessions and conversions share: give it where `threads` is asked for. n: how many work on one call, 0: one
    for each core."""

    def __init__(self, n: int = 0) -> None:
        at = ffi.new("tare_threads **")
        call(lib.tare_threads_open, at, n)
        self.handle = own(at[0], lib.tare_threads_free)

    def __len__(self) -> int:
        return lib.tare_threads_count(self.handle)

    def put(self, options: CData) -> None:
        options.pool = self.handle  # C holds a reference of its own


def put_threads(options: CData, threads: Union[int, Threads]) -> None:
    """Set the threads of an options struct."""
    if isinstance(threads, Threads):
        threads.put(options)
    else:
        options.threads = threads


class Host:
    """A checkpoint whose bytes a Python function reads: read(name, offset, length) -> bytes, from any thread, one call at a time."""

    def __init__(self, sizes: Mapping[str, int], read: Callable[[str, int, int], bytes]) -> None:
        self.read, self.handle = read, ffi.new_handle(self)
        self.names = [word(name) for name in sizes]
        self.files, self.host = ffi.new("struct tare_host_file[]", len(sizes)), sized("tare_host")
        for row, name, size in zip(self.files, self.names, sizes.values()):
            row.name, row.bytes = name, size
        self.host.files, self.host.n_files, self.host.files_stride = self.files, len(sizes), ffi.sizeof("struct tare_host_file")
        self.host.read, self.host.user = lib.libtare_read, self.handle


@ffi.def_extern(error=3)
def libtare_read(user: CData, name: CData, offset: int, dst: CData, length: int, err: CData) -> int:
    try:
        data = ffi.from_handle(user).read(string(name), offset, length)
        if len(data) != length:
            raise OSError("%d bytes were read of %d" % (len(data), length))
        ffi.memmove(dst, data, length)
    except BaseException as e:
        text = ("%s: %s" % (type(e).__name__, e)).encode("utf-8", "replace")[:ffi.sizeof(err.text) - 1]
        ffi.memmove(err.text, text, len(text))
        return Code.IO
    return 0


class Watch:
    """The callbacks of one long call. Progress goes to function(stage, done, total); what that raises cancels, and is raised again;
    notes are collected as (where, text). The call runs in a thread of its own where it is made from the main thread, because only
    a main thread that waits in Python sees Ctrl-C, which cancels too."""

    def __init__(self, progress: Progress) -> None:
        self.function = bar(progress)
        self.raised: Optional[BaseException] = None
        self.notes: List[Tuple[str, str]] = []
        self.handle = ffi.new_handle(self)

    def put(self, options: CData) -> None:
        options.user, options.progress = self.handle, lib.libtare_progress

    def call(self, function: Callable[..., int], *arguments: Any) -> None:
        err = new_error()
        code = self.run(function, *arguments, err)
        if self.raised is not None:
            raise self.raised
        check(code, err)

    def run(self, function: Callable[..., int], *arguments: Any) -> int:
        if threading.current_thread() is not threading.main_thread():
            return function(*arguments)
        result: List[int] = []
        done = threading.Event()

        def work() -> None:
            try:
                result.append(function(*arguments))
            finally:
                done.set()

        threading.Thread(target=work, name="libtare").start()
        while not done.is_set():
            try:
                done.wait()
            except BaseException as e:  # KeyboardInterrupt, or what another handler of signals raises
                self.raised = e
        return result[0]


@ffi.def_extern(error=1)
def libtare_progress(user: CData, stage: CData, done: int, total: int) -> int:
    watch: Watch = ffi.from_handle(user)
    if watch.raised is None and watch.function is not None:
        try:
            watch.function(string(stage), done, total)
        except BaseException as e:
            watch.raised = e
    return watch.raised is not None


@ffi.def_extern()
def libtare_note(user: CData, where: CData, text: CData) -> None:
    ffi.from_handle(user).notes.append((string(where), string(text)))


def wanted(progress: Progress) -> bool:
    """Does a person wait who may look at a bar? ImportError: one is asked for (True), and the package tqdm is not there."""
    if progress is None and sys.stderr is not None and sys.stderr.isatty():
        try:
            import tqdm  # noqa: F401
        except ImportError:
            return False
        return True
    return progress is True


def bar(progress: Progress) -> Optional[Callable[[str, int, int], Any]]:
    """The function that progress stands for."""
    if callable(progress):
        return progress
    if not wanted(progress):
        return None
    from tqdm.auto import tqdm
    shown: Dict[str, Any] = {}

    def show(stage: str, done: int, total: int) -> None:
        if stage not in shown:
            shown[stage] = tqdm(total=total, desc=stage, unit="B", unit_scale=True, leave=False)
        shown[stage].update(done - shown[stage].n)
        if done >= total:
            shown[stage].close()
    return show


def read_ahead(function: Callable[[T], R], items: Iterable[T], total: int, stage: str, progress: Progress) -> Iterator[R]:
    """function(item) of each item in order, computed by a few threads. No more results wait than there are threads."""
    threads = min(os.cpu_count() or 1, 8)
    show, show_each = (progress, True) if callable(progress) else (None, wanted(progress))
    queue = iter(items)
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        waiting = [pool.submit(function, item) for item in itertools.islice(queue, threads)]
        steps: Iterable[int] = range(total)
        if show_each:
            from tqdm.auto import tqdm
            steps = tqdm(steps, desc=stage, unit=" tensors", leave=False)
        for done in steps:
            result = waiting.pop(0).result()
            waiting.extend(pool.submit(function, item) for item in itertools.islice(queue, 1))
            yield result
            if show is not None:
                show(stage, done + 1, total)
