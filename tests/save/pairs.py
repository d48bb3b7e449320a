#!/usr/bin/env python3
"""pairs.py TARE [SEED]: every pair of layouts that docs/formats.md calls exact, over random shapes, groups and bits, odd sizes too.

A checkpoint is made of random codes, zeros and scales by an encoder of the test's own (layouts.py) and converted; each tensor must be
what that encoder makes of the same codes in the other layout, to the byte. So the way back gives the source's bytes as well.
"""
import os
import random
import shutil
import subprocess
import sys
import tempfile

import numpy as np

import layouts

TRIALS = 4
tare, seed = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 5
work = tempfile.mkdtemp(prefix="tare-pairs-")
BITS = {"awq": (4,), "gptq": (2, 3, 4, 8), "gptq_v2": (2, 3, 4, 8), "compressed-tensors": (2, 3, 4, 5, 6, 7, 8), "mlx": (2, 3, 4, 5, 6, 8)}
LAYOUTS = ("awq", "gptq", "gptq_v2", "compressed-tensors", "mlx")


def draw(rng, source, target):
    """Sizes, bits and group that both layouts have; of compressed-tensors alone any size."""
    bits = rng.choice(sorted(set(BITS[source]) & set(BITS[target])))
    if {source, target} == {"compressed-tensors"}:
        group = rng.choice([1, 3, 8, 20, 32])
        return dict(hidden=group * rng.randint(1, 9), ff=group * rng.randint(1, 40), heads=group, kv=1, head=rng.choice([2, 6, 34])), bits, group
    group = rng.choice([32, 64] if "mlx" in (source, target) else [8, 32, 48, 64] if bits == 4 else [32, 64])
    unit = 32 if bits != 4 or group % 32 == 0 else group
    return dict(hidden=group * rng.randint(1, 4) * unit // unit, ff=group * rng.randint(1, 9), heads=rng.randint(1, 3), kv=1,
                head=group), bits, group


def convert(source, target, *flags):
    shutil.rmtree(target, True)
    return subprocess.run([tare, "convert", source, "-o", target, "--threads", "2", *flags], capture_output=True, text=True)


WIDE = -1  # rows so long that a matrix takes several tiles


def trial(source, target, number):
    rng, random_codes = random.Random("%d %s %s %d" % (seed, source, target, number)), np.random.default_rng([seed, number + 1])
    shape, bits, group = draw(rng, source, target)
    if number == WIDE:
        shape, group = dict(hidden=65536, ff=160, heads=1, kv=1, head=32), 32
    symmetric = rng.random() < 0.3 and "mlx" not in (source, target) and "awq" not in (source, target)
    order = number != WIDE and source in layouts.GPTQ and target in layouts.GPTQ and rng.random() < 0.5
    exact = "mlx" in (source, target)
    whole = not order and not exact and group % 32 == 0 and rng.random() < 0.2  # else headers do not tell the columns
    mixed = not whole and not order and rng.random() < 0.4 and {source, target} <= {"gptq", "gptq_v2", "compressed-tensors"}
    linears = {}
    for path, (out, into) in layouts.sizes(shape).items():
        b = 8 if mixed and path.endswith("down_proj") else bits
        linears[path] = layouts.Linear(random_codes, out, into, b, into if whole else group, 1 if "gptq" in (source, target) else 0,
                                       symmetric, order)
    tensors, want = layouts.rest(shape), layouts.rest(shape)
    for path, linear in linears.items():
        tensors.update(linear.tensors(path, source, symmetric, exact))
        want.update(linear.tensors(path, target, symmetric, exact))
    about = "%s -> %s: %d bits, group %d, %s%s%s%s%s" % (source, target, bits, group, shape, " symmetric" * symmetric, " order" * order,
                                                         " mixed" * mixed, " whole" * whole)
    into, out = os.path.join(work, "in"), os.path.join(work, "out")
    shutil.rmtree(into, True)
    layouts.write(into, layouts.config(source, shape, linears, symmetric, order), tensors)
    done = convert(into, out, "--to", target, *(["--exact"] if target == "mlx" else ["--dtype", "float16"] if source == "mlx" else []))
    if done.returncode:
        return "%s: exit %d: %s" % (about, done.returncode, done.stderr.strip())
    got, image = layouts.read(out), layouts.image(want)
    bad = sorted(set(got) ^ set(image)) or [n for n in image if got[n] != image[n]]
    if bad:
        return "%s: %s" % (about, bad[:4])
    done = convert(out, os.path.join(work, "back"), "--to", source, *(["--exact"] if source == "mlx" else ["--dtype", "float16"]))
    if done.returncode:
        return "%s: the way back: exit %d: %s" % (about, done.returncode, done.stderr.strip())
    back = layouts.read(os.path.join(work, "back"))
    bad = [n for n, t in layouts.image(tensors).items() if back.get(n) != t]
    return "%s: the way back differs: %s" % (about, bad[:4]) if bad else None


failed = passed = 0
for source in LAYOUTS:
    for target in LAYOUTS:
        wide = (source, target) in (("gptq_v2", "awq"), ("awq", "gptq_v2"), ("gptq_v2", "compressed-tensors"), ("compressed-tensors", "gptq_v2"))
        for number in [WIDE] * wide + list(range(TRIALS)):
            problem = trial(source, target, number)
            passed, failed = passed + (not problem), failed + bool(problem)
            if problem:
                print(problem)
shutil.rmtree(work, True)
print("%d passed, %d failed" % (passed, failed))
sys.exit(bool(failed))
