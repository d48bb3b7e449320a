"""libtare.mlx against tare's own conversion and the stock mlx_lm.load: the same parameters to the bit, the same tokens."""
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

import libtare
from conftest import FABLE, HOSTS, LOAD, ROOT

mx = pytest.importorskip("mlx.core")
mlx_lm = pytest.importorskip("mlx_lm")

import libtare.mlx  # noqa: E402
import mlx.nn as nn  # noqa: E402
from mlx.utils import tree_flatten  # noqa: E402
from mlx_lm.generate import generate_step  # noqa: E402
from mlx_lm.utils import load_model  # noqa: E402

PROMPT = [1, 2, 3, 5, 8]
TEXT = "Once upon a time, there was 1 small dog."


@pytest.fixture(autouse=True)
def on_the_processor():
    mx.set_default_device(mx.cpu)


def same(ours, theirs):
    one, other = dict(tree_flatten(ours.parameters())), dict(tree_flatten(theirs.parameters()))
    assert one.keys() == other.keys()
    for name, value in other.items():
        assert (one[name].dtype, one[name].shape) == (value.dtype, value.shape), name
        assert np.array_equal(np.array(one[name].reshape(-1).view(mx.uint8)), np.array(value.reshape(-1).view(mx.uint8))), name
    tokens = [[int(t) for t, _ in generate_step(mx.array(PROMPT), model, max_tokens=12)] for model in (ours, theirs)]
    assert tokens[0] == tokens[1] and len(tokens[0]) == 12


@pytest.mark.parametrize("path", [ROOT / "models/fable"] + HOSTS + LOAD, ids=lambda path: path.name)
def test_load_is_convert_and_load(path, tmp_path):
    plan = libtare.mlx.plan(path)
    plan.convert(tmp_path / "mlx")
    theirs, their_config = load_model(tmp_path / "mlx")
    ours, config = libtare.mlx.load_model(path)
    assert config == their_config
    same(ours, theirs)


def test_act_order_beside_floats():
    """q_proj has no packed form, and floats are not read in the order that a sorted down_proj asks for."""
    plan = libtare.open(HOSTS[0])
    assert all(plan[name].info.act_order == ("_proj" in name) for name in plan)
    assert sorted(libtare.mlx.without_form(plan)) == sorted(name[:-len(".weight")] for name in plan if "_proj" in name)
    assert libtare.mlx.without_form(libtare.open(FABLE)) == []


def test_act_order_stays_packed(tmp_path):
    """Where down_proj alone is in act-order its columns are sorted, the rows of gate_proj and up_proj follow, and all stay packed."""
    shutil.copytree(HOSTS[0], tmp_path / "plain")
    with open(tmp_path / "plain/model.safetensors", "r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        for name, row in json.loads(file.read(size)).items():
            if name.endswith(".g_idx") and "down_proj" not in name:
                group_size = libtare.open(HOSTS[0]).sources[name[:-len(".g_idx")]].info.group_size
                file.seek(8 + size + row["data_offsets"][0])
                file.write((np.arange(row["shape"][0]) // group_size).astype("<i4").tobytes())
    plan = libtare.open(tmp_path / "plain")
    assert [name for name in plan if plan[name].info.act_order] == ["model.layers.%d.mlp.down_proj.weight" % k for k in (0, 1)]
    assert libtare.mlx.without_form(plan) == []
    plan.convert(tmp_path / "mlx")
    theirs, their_config = load_model(tmp_path / "mlx")
    ours, config = libtare.mlx.load_model(tmp_path / "plain")
    assert config == their_config and ours.layers[0].mlp.down_proj["weight"].dtype == mx.uint32
    same(ours, theirs)


def test_dequantize_beside_act_order(tmp_path):
    """What the caller wants as floats, and what is in act-order, becomes floats together."""
    ours, config = libtare.mlx.load_model(HOSTS[0], dequantize="model.layers.0.mlp.up_proj")
    libtare.mlx.plan(HOSTS[0], dequantize="model.layers.0.mlp.up_proj").convert(tmp_path / "mlx")
    theirs, their_config = load_model(tmp_path / "mlx")
    assert config == their_config and "scales" not in ours.layers[0].mlp.up_proj
    same(ours, theirs)


def test_experts_with_global_scales(tmp_path):
    """nvfp4 experts have a scale for each matrix of their stack, which mlx-lm's experts take."""
    from mlx_lm.models import mixtral
    config = dict(model_type="mixtral", vocab_size=64, hidden_size=64, intermediate_size=128, num_hidden_layers=1, num_attention_heads=2,
                  num_key_value_heads=1, num_local_experts=2, num_experts_per_tok=1, rms_norm_eps=1e-5, rope_theta=1e4,
                  tie_word_embeddings=False)
    made = mixtral.Model(mixtral.ModelArgs.from_dict(config))
    packed = {name: {"group_size": 16, "bits": 4, "mode": "nvfp4", "global_scale": True} if "switch_mlp" in name else False
              for name, module in made.named_modules() if hasattr(module, "to_quantized")}
    nn.quantize(made, class_predicate=lambda name, module: packed.get(name, False))
    arrays = dict(tree_flatten(made.parameters()))
    assert sum(name.endswith(".global_scale") for name in arrays) == 3
    mx.save_safetensors(str(tmp_path / "model.safetensors"), arrays, {"format": "mlx"})
    (tmp_path / "config.json").write_text(json.dumps({**config, "quantization": {"group_size": 16, "bits": 4, "mode": "nvfp4", **packed}}))
    info = libtare.open(tmp_path)["model.layers.0.block_sparse_moe.switch_mlp.up_proj.weight"].mlx_info()
    assert info.global_scale == 0 and info.global_scales.shape == (2,)
    ours, _ = libtare.mlx.load_model(tmp_path)
    got = dict(tree_flatten(ours.parameters()))
    assert got.keys() == arrays.keys()
    assert all(np.array_equal(np.array(got[name]), np.array(value)) for name, value in arrays.items())


def test_tokenizer_and_text(tmp_path):
    libtare.open(FABLE).convert(tmp_path / "mlx")
    theirs, their_tokenizer = mlx_lm.load(str(tmp_path / "mlx"))
    ours, tokenizer, config = libtare.mlx.load(FABLE, return_config=True)
    assert tokenizer.encode(TEXT) == their_tokenizer.encode(TEXT) and tokenizer.eos_token_ids == their_tokenizer.eos_token_ids
    assert mlx_lm.generate(ours, tokenizer, TEXT, max_tokens=12) == mlx_lm.generate(theirs, their_tokenizer, TEXT, max_tokens=12)
    assert config["model_type"] == "llama"


def test_gguf(gguf, tmp_path):
    libtare.open(gguf).convert(tmp_path / "mlx")
    theirs, their_tokenizer = mlx_lm.load(str(tmp_path / "mlx"))
    ours, tokenizer = libtare.mlx.load(str(gguf))
    same(ours, theirs)
    assert tokenizer.encode(TEXT) == their_tokenizer.encode(TEXT) == libtare.mlx.load_tokenizer(FABLE).encode(TEXT)
    assert mlx_lm.generate(ours, tokenizer, TEXT, max_tokens=12) == mlx_lm.generate(theirs, their_tokenizer, TEXT, max_tokens=12)


@pytest.mark.parametrize("kind", ("awq", "gptq", "compressed-tensors", "gguf"))
def test_generate_command(kind, gguf):
    """python -m libtare.mlx generate: mlx-lm's own command on what it cannot load itself."""
    path = {"awq": FABLE, "gptq": None, "compressed-tensors": str(HOSTS[1]), "gguf": str(gguf)}[kind]
    if kind == "gptq":
        path = str(gguf.parent / "gptq")
        libtare.open(FABLE).convert(path, to="gptq")
    arguments = ["generate", "--model", path, "--prompt", "Once upon a time", "--max-tokens", "8", "--ignore-chat-template", "--temp", "0",
                 "--verbose", "False"]
    done = subprocess.run([sys.executable, "-m", "libtare.mlx"] + arguments, capture_output=True, text=True, timeout=300)
    assert not done.returncode, done.stderr[-2000:]
    model, tokenizer = libtare.mlx.load(path)
    assert done.stdout.strip() == mlx_lm.generate(model, tokenizer, "Once upon a time", max_tokens=8).strip()


def test_server_and_perplexity_take_it(gguf):
    """What the entry points call is replaced while `installed` lasts, and only then."""
    import mlx_lm.perplexity
    import mlx_lm.server
    stock = mlx_lm.utils.load
    with libtare.mlx.installed():
        for module in (mlx_lm, mlx_lm.utils, mlx_lm.server, mlx_lm.perplexity, sys.modules["mlx_lm.generate"]):
            assert module.load is libtare.mlx.load
        model, tokenizer = mlx_lm.perplexity.load(str(gguf), tokenizer_config={"trust_remote_code": False}, trust_remote_code=False)
        loss, error = mlx_lm.perplexity.eval_ppl(model, mx.array([tokenizer.encode(TEXT * 3)] * 2), batch_size=2)
        assert 1 < loss < 1e5 and error >= 0
    assert mlx_lm.load is mlx_lm.server.load is stock


def test_server(gguf):
    """mlx_lm.server answers a completion from a GGUF file."""
    import json
    import socket
    import time
    import urllib.request
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-m", "libtare.mlx", "server", "--model", str(gguf), "--port", str(port)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    body = json.dumps({"prompt": "Once upon a time", "max_tokens": 8, "temperature": 0}).encode()
    try:
        for _ in range(240):
            try:
                with urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:%d/v1/completions" % port, body,
                                                                   {"Content-Type": "application/json"}), timeout=60) as answer:
                    text = json.load(answer)["choices"][0]["text"]
                break
            except OSError:
                assert server.poll() is None
                time.sleep(0.5)
        model, tokenizer = libtare.mlx.load(str(gguf))
        assert text == mlx_lm.generate(model, tokenizer, "Once upon a time", max_tokens=8)
    finally:
        server.terminate()
        server.wait()
