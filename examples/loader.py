#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""loader.py CHECKPOINT: loader.c through the Python package: every module of a checkpoint as floats and as codes, and their sums.

    pip install .          (in the folder of tare: the package libtare)
    python examples/loader.py CHECKPOINT

A line a module, as loader.c prints it."""
import hashlib
import sys

import libtare
import numpy as np


def distance(tensor, values):
    """The largest difference between the floats and scales * codes + offsets."""
    codes, scales, offsets, group = tensor.codes()
    numbers = tensor.info.table[codes] if tensor.info.codes == "float" else codes
    weights = scales.astype(np.float64)[:, group] * numbers + offsets[:, group]
    return np.abs(weights - values.reshape(weights.shape)).max(initial=0)


def load(tensor):
    values = tensor.numpy()
    most = "-" if tensor.info.codes is None else "%.3g" % distance(tensor, values)
    # -0 + 0 is 0: producers differ in the sign of a zero
    print(hashlib.sha256((values + np.float32(0)).tobytes()).hexdigest(), tensor.name, tensor.info.packing, most)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: loader.py CHECKPOINT")
    try:
        for tensor in libtare.open(sys.argv[1]).sources.values():
            load(tensor)
    except libtare.Error as error:
        sys.exit("loader: %s" % error)


if __name__ == "__main__":
    main()
