"""The example runs, and prints what python/examples/tour.txt says; README's excerpt is true."""
import doctest
import importlib.util
import re
import subprocess
import sys

from conftest import FABLE, ROOT

PACKAGES = {"mlx": ("mlx", "mlx_lm"), "torch": ("torch", "transformers")}


def test_tour(tmp_path):
    done = subprocess.run([sys.executable, str(ROOT / "python/examples/tour.py"), FABLE, str(tmp_path)], capture_output=True, text=True)
    assert not done.returncode, done.stderr[-2000:]
    want = (ROOT / "python/examples/tour.txt").read_text().splitlines()
    for k, line in enumerate(want):
        name = line.partition(":")[0]
        if not all(importlib.util.find_spec(package) for package in PACKAGES.get(name, ())):
            want[k] = name + ": not installed"
    assert done.stdout.splitlines() == want


def test_readme(monkeypatch):
    monkeypatch.chdir(ROOT)
    text = "\n".join(re.findall(r"```python\n(.*?)```", (ROOT / "python/README.md").read_text(), re.S))
    example = doctest.DocTestParser().get_doctest(text, {}, "README", "python/README.md", 0)
    assert len(example.examples) >= 6
    assert doctest.DocTestRunner().run(example).failed == 0
