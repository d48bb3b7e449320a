"""Producers' truth: the numbers of checkpoints that real producers wrote, by sha256."""
import hashlib

import numpy as np

import libtare


def test_weights(golden):
    path, expected, _ = golden
    model = libtare.open(path)
    assert expected["weights_sha256"]
    for name, digest in expected["weights_sha256"].items():
        tensor = model.sources[name]
        values, codes = tensor.numpy(), tensor.codes()
        assert hashlib.sha256((values + np.float32(0)).tobytes()).hexdigest() == digest, name
        group = codes.group_of_column
        assert np.abs(codes.scales[:, group] * codes.codes + codes.offsets[:, group] - values).max() < 1e-6, name


def test_logits(golden):
    path, expected, want = golden
    got = libtare.open(path).session(exact=True).feed(expected["prompt"], all=True)
    assert np.abs(got - want).max() < 1e-4 * np.abs(want).max()


def test_rows_are_parts_of_the_whole(golden):
    path, _, _ = golden
    for tensor in libtare.open(path).values():
        whole = tensor.numpy().reshape(tensor.info.rows, tensor.info.columns)
        part = slice(tensor.info.rows // 3, tensor.info.rows // 3 + 2)
        assert np.array_equal(tensor.numpy(rows=part), whole[part]), tensor.name
