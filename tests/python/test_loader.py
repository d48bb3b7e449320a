"""examples/loader.py reads what the producers' own libraries read: pytest tests/python (after pip install .)."""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def test_loader():
    program = "%s %s" % (sys.executable, os.path.join(HERE, "../../examples/loader.py"))
    done = subprocess.run([sys.executable, os.path.join(HERE, "../oracle/loaders.py"), "--data", os.path.join(HERE, "../data/loader"), program],
                          stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("data: 4 of 4 checkpoints, 42 modules")
