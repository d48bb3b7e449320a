"""make_binding.py TARE_H OUT [CC]: the C code of libtare._libtare, by cffi in API mode, into OUT, and its types into the .pyi beside it.

The declarations are tare.h's own. The module uses Python's limited API, so that one build serves every Python 3 from 3.9 on.
"""
import os
import subprocess
import sys
import tempfile

import cffi
from cffi import model

CALLBACKS = """
extern "Python" int libtare_progress(void *user, const char *stage, uint64_t done, uint64_t total);
extern "Python" void libtare_note(void *user, const char *where, const char *text);
extern "Python" int libtare_read(void *user, const char *name, uint64_t offset, void *dst, size_t length, struct tare_error *err);
"""
# Python's word for what C returns or takes, where there is one; pointers and structs are cffi's own objects.
WORDS = {"void": "None", "_Bool": "bool", "float": "float", "double": "float"}
STUB_HEAD = '''# Made from tare.h by make_binding.py.
from typing import Any, Callable, Final, TypeVar

_F = TypeVar("_F")


class _FFI:
    def def_extern(self, name: str = ..., error: Any = ..., onerror: Any = ...) -> Callable[[_F], _F]: ...
    def __getattr__(self, name: str) -> Any: ...


'''


def declarations(header, compiler):
    """tare.h without its includes, comments and macros: what the preprocessor leaves when the system headers are empty."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("stdbool.h", "stddef.h", "stdint.h"):
            open(os.path.join(folder, name), "w").close()
        done = subprocess.run([compiler, "-E", "-P", "-nostdinc", "-I" + folder, "-DTARE_API=", header], check=True,
                              capture_output=True, text=True)
    return done.stdout


def python_type(c):
    if isinstance(c, model.EnumType):
        return "int"
    if isinstance(c, (model.PrimitiveType, model.VoidType)):
        return WORDS.get(getattr(c, "name", "void"), "int")
    return "Any"


def stub(ffi):
    """The types of the module as mypy reads them: each function with the number of its parameters, each enumerator."""
    lines = [STUB_HEAD, "class _Lib:"]
    for key, (c, _) in ffi._parser._declarations.items():
        kind, _, name = key.partition(" ")
        if kind == "function":
            names = ["_%d: %s" % (i, python_type(a)) for i, a in enumerate(c.args)]
            lines.append("    def %s(%s) -> %s: ..." % (name, ", ".join(["self"] + names + ["/"] * bool(names)), python_type(c.result)))
        elif kind == "enum":
            lines += ["    %s: Final[int]" % enumerator for enumerator in c.enumerators]
        elif kind == "extern_python":
            lines.append("    %s: Final[Any]" % name)
    return "\n".join(lines + ["", "", "ffi: _FFI", "lib: _Lib", ""])


def main():
    header, out = sys.argv[1:3]
    compiler = sys.argv[3] if len(sys.argv) > 3 else "cc"
    ffi = cffi.FFI()
    ffi.set_source("libtare._libtare", '#include "tare.h"\n', py_limited_api=True)
    ffi.cdef(declarations(header, compiler) + CALLBACKS)
    ffi.emit_c_code(out)
    os.utime(out)  # cffi leaves a file alone that is right already, and the build would make it again and again
    with open(os.path.splitext(out)[0] + ".pyi", "w", encoding="utf-8") as f:
        f.write(stub(ffi))


if __name__ == "__main__":
    main()
