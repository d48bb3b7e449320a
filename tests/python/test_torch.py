"""libtare.torch against golden logits and the plan's numbers."""
import numpy as np
import pytest

import libtare
from conftest import FABLE

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import libtare.torch  # noqa: E402


def test_golden_logits(golden):
    path, expected, want = golden
    with torch.no_grad():
        got = libtare.torch.load(path)(torch.tensor([expected["prompt"]])).logits[0].numpy()
    assert np.abs(got - want).max() < 1e-4 * np.abs(want).max()


@pytest.mark.parametrize("dtype", (torch.float32, torch.float16, torch.bfloat16))
def test_weights_and_ties(fable, dtype):
    model = libtare.torch.load(FABLE, dtype=dtype)
    head, embedding = model.get_output_embeddings().weight, model.get_input_embeddings().weight
    assert fable.report["head"][0]["decision"] == "drop" and head.data_ptr() == embedding.data_ptr() and model.config.tie_word_embeddings
    for name, value in model.named_parameters():
        assert value.dtype == dtype and torch.equal(value, torch.from_numpy(fable.sources[name].numpy()).to(dtype)), name


def test_tokens_are_those_of_a_session(fable):
    ids = fable.tokenizer.encode("Once upon a time")
    model = libtare.torch.load(FABLE)
    got = model.generate(torch.tensor([ids]), max_new_tokens=8, do_sample=False)[0, len(ids):].tolist()
    assert got == list_of(fable, ids)


def list_of(fable, ids):
    generation = fable.generate(ids, max_tokens=8, session=fable.session(exact=True))
    generation.text()
    return generation.ids


def test_gguf(gguf, fable):
    with torch.no_grad():
        one = libtare.torch.load(gguf)(torch.tensor([[1, 2, 3]])).logits.numpy()
    other = libtare.open(gguf).session(exact=True).feed([1, 2, 3], all=True)
    assert np.abs(one - other).max() < 1e-4 * np.abs(other).max()


def test_what_does_not_fit_is_an_error():
    with pytest.raises(ValueError):
        libtare.torch.load(FABLE, dtype=torch.float64)
