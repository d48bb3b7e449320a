"""What the tests of the package share: where the checkpoints lie."""
import json
import os
import pathlib

import numpy as np
import pytest

import libtare

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FABLE = str(ROOT / "models/fable")
# Checkpoints with golden data: prompt, logits_torch.f32, sha256 of each module's numbers.
HOSTS = [ROOT / "tests/data/hosts/gptq_4bit_desc_act", ROOT / "tests/data/hosts/ct-w4a16-g32-smol"]
LOAD = [ROOT / "tests/data/load/gemma3_text_tied_redundant_head", ROOT / "tests/data/load/llama_untied_2shards", ROOT / "tests/data/load/qwen3_moe"]


@pytest.fixture(scope="session")
def fable():
    return libtare.open(FABLE)


@pytest.fixture(params=HOSTS, ids=lambda path: path.name)
def golden(request):
    """(path, what is expected, logits) of a checkpoint with golden data."""
    expected = json.loads((request.param / "expected.json").read_text())
    return request.param, expected, np.fromfile(request.param / "logits_torch.f32", "<f4").reshape(len(expected["prompt"]), -1)


@pytest.fixture(scope="session")
def gguf(fable, tmp_path_factory):
    """The built-in model as a GGUF file."""
    path = tmp_path_factory.mktemp("gguf") / "fable.gguf"
    fable.convert(path, to="gguf")
    return path


os.environ.setdefault("HF_HUB_OFFLINE", "1")
