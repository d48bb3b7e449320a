"""What the package libtare promises, on the built-in model: pytest tests/python (after pip install .)."""
import json
import os
import threading

import numpy as np
import pytest

import libtare

HERE = os.path.dirname(os.path.abspath(__file__))
FABLE = os.path.join(HERE, "../../models/fable")
UP = "model.layers.0.mlp.up_proj.weight"


@pytest.fixture(scope="module")
def fable():
    return libtare.open(FABLE)


def test_mapping(fable):
    assert len(fable) == len(list(fable)) == 56
    assert UP in fable and "nothing" not in fable
    assert fable["model.norm"].shape == (192,)
    with pytest.raises(KeyError):
        fable["nothing"]


def test_head_is_set_aside_and_readable(fable):
    assert fable.report["head"][0]["decision"] == "drop"
    assert "lm_head.weight" not in fable
    head, embedding = fable.sources["lm_head"].numpy(), fable["model.embed_tokens.weight"].numpy()
    assert np.abs(head - embedding).max() < 0.1


def test_floats_codes_and_rows_agree(fable):
    tensor = fable[UP]
    whole, codes = tensor.numpy(), tensor.codes()
    again = codes.scales[:, codes.group_of_column] * codes.codes + codes.offsets[:, codes.group_of_column]
    assert np.abs(whole - again).max() < 1e-6
    assert (tensor.numpy(rows=slice(5, 9)) == whole[5:9]).all()
    assert (tensor.numpy(dtype="float16") == whole.astype(np.float16)).all()
    assert tensor.info.packing == "awq-gemm" and tensor.info.group_size == 64 and tensor.info.has_zeros


def test_mlx_rows_are_what_convert_writes(fable, tmp_path):
    fable.convert(tmp_path / "mlx")
    made = libtare.open(tmp_path / "mlx")
    for name in fable:
        if fable[name].mlx_info().packed:
            for one, other in zip(fable[name].mlx()[:3], made[name].mlx()[:3]):
                assert (one == other).all()
    config = json.loads((tmp_path / "mlx" / "config.json").read_text())
    assert fable.convert_config() == config
    assert fable.diff(made)["equal"] in (True, False)


def test_errors(tmp_path):
    with pytest.raises(libtare.Error) as caught:
        libtare.open(tmp_path)
    assert caught.value.code == libtare.Code.ABSENT and caught.value.text
    with pytest.raises(libtare.Error) as caught:
        libtare.open(FABLE)[UP].numpy(dtype="float64")
    assert caught.value.code == libtare.Code.ARGUMENT


def test_progress_may_cancel(fable, tmp_path):
    def stop(stage, done, total):
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        fable.convert(tmp_path / "out", progress=stop)
    assert not (tmp_path / "out").exists()


def test_notes_come_beside_progress(fable, tmp_path):
    stages = []
    notes = fable.convert(tmp_path / "out.gguf", to="gguf", progress=lambda stage, done, total: stages.append(stage))
    assert stages and any("rounded" in text for _, text in notes)


def test_texts(fable):
    ids = fable.tokenizer.encode("Once upon a time")
    assert fable.tokenizer.decode(ids, skip_special=True) == "Once upon a time"
    one, two = ("".join(fable.generate("Once upon a time", max_tokens=12)) for _ in range(2))
    assert one == two and one
    answer = "".join(fable.generate("Once", max_tokens=40, schema={"type": "boolean"}))
    assert answer in ("true", "false")


def test_session(fable):
    session = fable.session(context=64)
    ids = fable.tokenizer.encode("Once upon")
    logits = session.feed(ids, all=True)
    session.rewind(1)
    assert np.array_equal(session.feed(ids[1:]), logits[-1]) and len(session) == len(ids)


def test_threads_share_a_model(fable):
    want, failed = fable[UP].numpy(), []

    def read():
        for _ in range(5):
            if not (fable[UP].numpy() == want).all():
                failed.append(1)
    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
