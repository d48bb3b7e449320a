"""make_binding.py TARE_H OUT [CC]: the C code of libtare._libtare, by cffi in API mode. The declarations are tare.h's own."""
import os
import subprocess
import sys
import tempfile

import cffi

CALLBACKS = """
extern "Python" int libtare_progress(void *user, const char *stage, uint64_t done, uint64_t total);
extern "Python" void libtare_note(void *user, const char *where, const char *text);
"""


def declarations(header, compiler):
    """tare.h without its includes, comments and macros: what the preprocessor leaves when the system headers are empty."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("stdbool.h", "stddef.h", "stdint.h"):
            open(os.path.join(folder, name), "w").close()
        done = subprocess.run([compiler, "-E", "-P", "-nostdinc", "-I" + folder, "-DTARE_API=", header], check=True,
                              capture_output=True, text=True)
    return done.stdout


def main():
    header, out = sys.argv[1:3]
    compiler = sys.argv[3] if len(sys.argv) > 3 else "cc"
    ffi = cffi.FFI()
    ffi.set_source("libtare._libtare", '#include "tare.h"\n')
    ffi.cdef(declarations(header, compiler) + CALLBACKS)
    ffi.emit_c_code(out)


if __name__ == "__main__":
    main()
