"""The installed package passes mypy --strict, and what it calls of the library has the types that tare.h gives it."""
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

import libtare
from conftest import ROOT

pytest.importorskip("mypy")


def mypy(folder):
    return subprocess.run([sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(folder)], capture_output=True,
                          text=True, env={**os.environ, "MYPYPATH": str(pathlib.Path(folder).parent)})


def test_strict(tmp_path):
    source = pathlib.Path(libtare.__file__).parent
    assert (source / "py.typed").exists()
    shutil.copytree(source, tmp_path / "libtare", ignore=shutil.ignore_patterns("__pycache__"))
    done = mypy(tmp_path / "libtare")
    assert not done.returncode, done.stdout
    with open(tmp_path / "libtare" / "_text.py", "a") as f:
        f.write("\nlib.tare_session_rewind(1)\n")
    assert "Too few arguments" in mypy(tmp_path / "libtare").stdout
