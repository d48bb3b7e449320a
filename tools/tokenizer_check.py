#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs test_tokenizer_golden over a golden folder, unpacking what is compressed.

    tokenizer_check.py BUILD/tests/test_tokenizer_golden GOLDEN/tokenizer [-v] [NAME ..]
"""
import lzma
import os
import shutil
import subprocess
import sys
import tempfile


def main():
    program, root = os.path.abspath(sys.argv[1]), sys.argv[2]
    names = [a for a in sys.argv[3:] if a != "-v"]
    flags = ["-v"] if "-v" in sys.argv[3:] else []
    with tempfile.TemporaryDirectory() as top:
        shutil.copy(os.path.join(root, "mixed.txt"), top)
        names = names or sorted(n for n in os.listdir(root) if os.path.isdir(os.path.join(root, n)))
        for name in names:
            target = os.path.join(top, name)
            os.mkdir(target)
            for file in os.listdir(os.path.join(root, name)):
                path = os.path.join(root, name, file)
                if file.endswith(".xz"):
                    with open(os.path.join(target, file[:-3]), "wb") as f:
                        f.write(lzma.open(path).read())
                else:
                    os.symlink(os.path.abspath(path), os.path.join(target, file))
        return subprocess.run([program] + flags + names, cwd=top).returncode


if __name__ == "__main__":
    sys.exit(main())
