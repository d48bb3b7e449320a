"""What the package libtare promises, on the built-in model: pytest tests/python (after pip install .)."""
import io
import json
import os
import pickle
import sys

import numpy as np
import pytest

import libtare
from conftest import FABLE

UP = "model.layers.0.mlp.up_proj.weight"


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


def test_quantize(fable, tmp_path):
    fable.convert(tmp_path / "floats", to="dense")
    floats = libtare.open(tmp_path / "floats")
    done = floats.quantize(tmp_path / "mlx", group=32, keep_head=True, rules={"model.layers.0": "float", "**.down_proj": "8:64"})
    assert done.modules == 56 and done.kept == 0 and done.rounded == 35
    config = json.loads((tmp_path / "mlx" / "config.json").read_text())["quantization"]
    assert config["group_size"] == 32 and config["model.layers.1.mlp.down_proj"]["bits"] == 8
    rows = floats.diff(libtare.open(tmp_path / "mlx"), relative=True)["parameters"]
    apart = {row["name"]: row["relative"] for row in rows if row["same"] == "different"}
    assert len(apart) == done.rounded and 0 < apart["model.layers.1.mlp.down_proj.weight"] < apart["model.layers.1.mlp.up_proj.weight"] < 0.2
    assert floats.quantize(tmp_path / "q.gguf", to="gguf", type="Q4_K_M").rounded == 43
    assert len(libtare.open(tmp_path / "q.gguf")) == 56
    for wrong in (dict(bits=7), dict(type="Q4_0"), dict(rules={"no.such": "8"}), dict(to="nothing")):
        with pytest.raises(libtare.Error):
            floats.quantize(tmp_path / "no", **wrong)
    with pytest.raises(libtare.Error) as caught:
        fable.quantize(tmp_path / "no")
    assert caught.value.code == libtare.Code.TARGET and "packed already" in caught.value.text


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


def test_bfloat16(fable):
    """Of the package ml_dtypes where that is there, else words; the same bits either way: the upper half of float32, rounded."""
    words = np.asarray(fable[UP].numpy(dtype="bfloat16")).view(np.uint16)
    exact = fable[UP].numpy().view(np.uint32).astype(np.uint64)
    assert (words == ((exact + 0x7FFF + (exact >> 16 & 1)) >> 16)).all()


def test_arrays_of_numpy(fable):
    tensor = fable["model.norm"]
    assert (np.asarray(tensor) == tensor.numpy()).all() and np.asarray(tensor, np.float64).dtype == np.float64
    with pytest.raises(ValueError):
        tensor.__array__(copy=False)


def test_files_and_explain(fable):
    fates = {row.fate for row in fable.files}
    assert fates == {"used", "set aside"} and fable.files[0].file == "model.safetensors"
    aside = [row for row in fable.files if row.fate == "set aside"]
    assert {row.name for row in aside} == {row["name"] for row in fable.report["set_aside"]} and all(row.rule for row in aside)
    assert "up_proj.qzeros" in fable.explain(UP)
    with pytest.raises(KeyError):
        fable.explain("nothing")


def test_errors_travel(fable):
    try:
        fable.file("nothing.json")
    except libtare.Error as e:
        again = pickle.loads(pickle.dumps(e))
        assert (again.code, again.where, again.text) == (e.code, e.where, e.text) and e.code == libtare.Code.ABSENT


def test_a_plan_that_does_not_load_has_a_report(tmp_path):
    config = json.loads(open(os.path.join(FABLE, "config.json")).read())
    files = {name: open(os.path.join(FABLE, name), "rb").read() for name in os.listdir(FABLE)}
    files["config.json"] = json.dumps({**config, "intermediate_size": 64}).encode()
    with pytest.raises(libtare.Error) as caught:
        libtare.open("memory", files=files)
    model = libtare.open("memory", files=files, check=False)
    assert not model.loads and model.report["misshapen"] and caught.value.code == libtare.Code.SHAPE


def test_verify_and_diff(fable, tmp_path):
    stages = set()
    report = fable.verify(progress=lambda stage, done, total: stages.add(stage))
    assert report["exit"] in (0, 1) and report["bytes_hashed"] > 0 and stages
    fable.convert(tmp_path / "dense", to="dense", dtype="float32")
    assert fable.diff(libtare.open(tmp_path / "dense"))["equal"] is True


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("stream, progress, shown", ((Terminal(), None, True), (io.StringIO(), None, False), (Terminal(), False, False),
                                                     (io.StringIO(), True, True)))
def test_bars(fable, monkeypatch, stream, progress, shown):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys, "stderr", stream)
    fable.verify(progress=progress)
    libtare.open(FABLE, progress=progress)
    assert bool(stream.getvalue()) == shown


def test_generation(fable):
    generation = fable.generate("Once upon a time", max_tokens=12)
    pieces = list(generation)
    assert generation.finish == "length" and len(generation.ids) == 12 and next(generation, None) is None
    assert fable.tokenizer.decode(generation.ids) == "".join(pieces)
    assert fable.generate("Once upon a time", max_tokens=12, draft="lookup").text() == "".join(pieces)
    assert fable.generate("Once upon a time", max_tokens=12, draft=fable.session(exact=True)).text() == "".join(pieces)
    stopped = fable.generate("Once upon a time", max_tokens=40, stop="little")
    assert "little" not in stopped.text() and stopped.finish == "stop"
    first = generation.ids[0]
    assert fable.generate("Once upon a time", max_tokens=3, bias={first: -100.0}).text() != "".join(pieces)[:5]
    with pytest.raises(TypeError):
        fable.generate("Once", heat=1)
    with pytest.raises(libtare.Error) as caught:
        fable.generate("Once", schema={"type": "nonsense"})
    assert caught.value.code in (libtare.Code.FORMAT, libtare.Code.UNKNOWN)


def test_schema(fable):
    schema = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 8}, "small": {"type": "boolean"}},
              "required": ["name", "small"], "additionalProperties": False}
    answer = json.loads(fable.generate("Once upon a time", max_tokens=60, schema=schema).text())
    assert set(answer) == {"name", "small"} and isinstance(answer["small"], bool)
    grammar = libtare.Grammar(fable.tokenizer, gbnf='root ::= "yes" | "no"')
    assert fable.generate("Once", grammar=grammar).text() in ("yes", "no")


def test_templates(fable):
    template = libtare.Template(text="{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}{{ extra }}")
    assert template.render([{"role": "user", "content": "hi"}], extra="x") == "[user] hi\nx"
    with pytest.raises(libtare.Error) as caught:
        libtare.Template(text="{{ raise_exception('no system message') }}").render([])
    assert "no system message" in caught.value.text


def test_chat(fable):
    """The built-in model has no template, and says so; with one it answers."""
    files = {name: open(os.path.join(FABLE, name), "rb").read() for name in os.listdir(FABLE)}
    files.pop("chat_template.jinja", None)
    config = json.loads(files["tokenizer_config.json"])
    config.pop("chat_template", None)
    files["tokenizer_config.json"] = json.dumps(config).encode()
    with pytest.raises(libtare.Error) as caught:
        libtare.open("memory", files=files).chat([{"role": "user", "content": "Once upon a time"}])
    assert caught.value.code == libtare.Code.ABSENT
    files["chat_template.jinja"] = b"{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}"
    model = libtare.open("memory", files=files)
    answer = model.chat([{"role": "user", "content": "Once upon a time"}], max_tokens=8).text()
    assert answer == model.generate("Once upon a time", max_tokens=8).text()


def test_forks_and_saved_sessions(fable, tmp_path):
    ids = fable.tokenizer.encode("Once upon a time, there was")
    session = fable.session(context=64)
    session.feed(ids)
    fork = session.fork()
    session.save(tmp_path / "session")
    other = fable.session(context=64)
    other.load(tmp_path / "session")
    logits = session.feed([5])
    assert np.array_equal(fork.feed([5]), logits) and np.array_equal(other.feed([5]), logits) and other.ids == ids + [5]
    one, two = libtare.feed_each([session, other], [[6], [7, 8]])
    assert np.array_equal(one, fork.feed([6])) and len(other) == len(ids) + 3 and two.shape == one.shape


def test_again(fable):
    dense = fable.again(dequantize="model.layers.0.mlp.up_proj")
    assert not dense[UP].mlx_info().packed and fable[UP].mlx_info().packed
    assert UP.replace("layers.0", "layers.1") in dense and dense.again(dequantize="model.layers.1.*")[UP].mlx_info().packed is False


def test_log_probabilities(fable):
    generation = fable.generate("Once upon a time", max_tokens=5, logprobs=3, session=fable.session(exact=True))
    generation.text()
    session, ids = fable.session(exact=True), fable.tokenizer.encode("Once upon a time")
    assert len(generation.logprobs) == len(generation.top) == 5
    for token, logprob, top in zip(generation.ids, generation.logprobs, generation.top):
        logits = session.feed(ids).astype(np.float64)
        want = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
        assert abs(want[token] - logprob) < 1e-4 and [row[0] for row in top] == list(np.argsort(-want, kind="stable")[:3])
        ids = [token]


def test_many_texts_at_once(fable):
    prompts = ("Once upon a time", "The dog", "A girl named")
    alone = [fable.generate(prompt, max_tokens=6 + k).text() for k, prompt in enumerate(prompts)]
    together = [fable.generate(prompt, max_tokens=6 + k) for k, prompt in enumerate(prompts)]
    texts = [""] * len(prompts)
    while any(generation.finish is None for generation in together):
        texts = [text + piece for text, piece in zip(texts, libtare.generate_each(together))]
    assert texts == alone and libtare.generate_each(together) == ["", "", ""]


def test_hidden_states(fable):
    session = fable.session(exact=True)
    states = session.hidden([1, 2, 3], all=True)
    assert states.shape == (3, session.width) == (3, 192)
    logits = states @ fable["model.embed_tokens"].numpy().T
    want = fable.session(exact=True).feed([1, 2, 3], all=True)
    assert np.abs(logits - want).max() < 1e-3 * np.abs(want).max()


def test_tokens(fable):
    tokenizer = fable.tokenizer
    end = next(i for i in range(len(tokenizer)) if tokenizer.ends(i))
    assert tokenizer.id(tokenizer.token(end).decode()) == end and tokenizer.id(tokenizer.token(end).decode()) < len(tokenizer)
    ids = tokenizer.encode("a small dog", special=False)
    assert b"".join(tokenizer.token(i) for i in ids).decode().strip() == "a small dog"
    with pytest.raises(KeyError):
        tokenizer.id("no such token at all")
    with pytest.raises(KeyError):
        tokenizer.token(10**6)


def test_cancel_a_generation(fable):
    generation = fable.generate("Once upon a time", max_tokens=50)
    next(generation)
    generation.cancel()
    generation.text()
    assert generation.finish == "cancelled"
