"""Checkpoints as transformers models with dense weights: libtare.torch.load(path)."""
import contextlib
import json
import os
from typing import Any, Dict, Iterator, List, Set, Union

import numpy as np
import torch
import transformers
from transformers.pytorch_utils import Conv1D

import libtare
from libtare._base import Progress, read_ahead

WORDS = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}
Checkpoint = Union[str, "os.PathLike[str]", libtare.Model]
# What the output head is called in transformers' models.
HEADS = ("lm_head.weight", "embed_out.weight", "output.weight")


def _tensor(tensor: libtare.Tensor, dtype: Any) -> Any:
    values = tensor.numpy(dtype=WORDS[dtype])
    if dtype == torch.bfloat16:
        return torch.from_numpy(np.asarray(values).view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(values)


def _used(plan: libtare.Model) -> List[str]:
    """The names of plan.sources without what the plan set aside: a redundant head, biases of zeros, tables."""
    aside: Set[str] = {row["name"] for row in plan.report["set_aside"]}
    whole: Set[str] = {row.name for row in plan.files} - aside
    modules = {name.rpartition(".")[0] for name in whole if not name.endswith(".bias")}
    names = []
    for name in plan.sources:
        plain, module = name in whole or name in aside, name.rpartition(".")[0]
        out = name in aside if plain else module not in modules and any(row.startswith(module + ".") for row in aside)
        if not out:
            names.append(name)
    return names


def _config(plan: libtare.Model, names: List[str]) -> Any:
    """transformers' config without what it would quantize by, and with the ties of the plan."""
    values = plan.convert_config("dense")
    tied = any(row["decision"] == "drop" for row in plan.report["head"]) or not any(name.endswith(HEADS) for name in names)
    for fragment in (values, values.get("text_config") or {}):
        fragment.pop("quantization_config", None)
        fragment.pop("quantization", None)
        fragment["tie_word_embeddings"] = tied
    config = transformers.AutoConfig.for_model(values.pop("model_type"), **values)
    pad, size = getattr(config, "pad_token_id", None), getattr(config, "vocab_size", None)
    if isinstance(pad, int) and isinstance(size, int) and not 0 <= pad < size:
        config.pad_token_id = None  # a default of the class, which this vocabulary is too small for
    return config


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """transformers without its own bar and its table of differences, which load() tells as an error."""
    log = transformers.utils.logging
    bar, level = log.is_progress_bar_enabled(), log.get_verbosity()
    log.disable_progress_bar()
    log.set_verbosity_error()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bar:
            log.enable_progress_bar()


def _model_class(config: Any, where: str) -> Any:
    """The class that AutoModelForCausalLM would take."""
    classes = transformers.AutoModelForCausalLM._model_mapping
    if type(config) not in classes:
        raise libtare.Error(libtare.Code.UNKNOWN, where, "transformers has no causal language model for the type %s; name another "
                            "class with model_class=" % config.model_type)
    return classes[type(config)]


def _text_config(config: Any, model_class: Any) -> Any:
    """The part of a wrapper's config that a class of the text alone takes, as AutoModelForCausalLM chooses it."""
    text = config.get_text_config()
    return text if model_class.config_class is type(text) else config


def _convolutions(model_class: Any, config: Any) -> List[str]:
    """The last names of gpt2's Conv1D modules, which keep their weights as (in, out)."""
    with torch.device("meta"):
        modules = model_class(config).named_modules()
        return [name.partition(".h.")[2].partition(".")[2] for name, module in modules if isinstance(module, Conv1D)]


def _of_parameters(plan: libtare.Model, state: Dict[str, Any], missing: List[str], dtype: Any) -> bool:
    """What transformers has in one and a checkpoint in several (phi3's gate_up_proj of GPTQModel), as rewriting makes it of them."""
    rows, found = {row["name"]: row for row in plan.report["parameters"]}, False
    for name in missing:
        if name not in rows:
            continue
        found, state[name] = True, _tensor(plan[name], dtype)
        for source in rows[name]["sources"]:
            state.pop(source.rpartition(".")[0] + ".weight", None)
    return found


def load(path: Checkpoint, dtype: Any = torch.float32, model_class: Any = None, progress: Progress = None, **options: Any) -> Any:
    """The transformers model of a checkpoint, weights dense in dtype, head and ties as the plan decided. Every parameter must
    be there, and every module of the plan must have its parameter; else libtare.Error. options: those of libtare.open."""
    plan = path if isinstance(path, libtare.Model) else libtare.open(path, progress=progress, **options)
    if dtype not in WORDS:
        raise ValueError("dtype %s; there are %s" % (dtype, ", ".join(map(str, WORDS))))
    where, names = os.path.basename(plan.path.rstrip("/")), _used(plan)
    config = _config(plan, names)
    model_class = model_class or _model_class(config, where)
    config = _text_config(config, model_class)
    turned = tuple(set(_convolutions(model_class, config)))
    state: Dict[str, Any] = {}

    def read(name: str) -> Any:
        tensor = plan.sources[name]
        value = _tensor(tensor, dtype)
        return value.T.contiguous() if turned and tensor.info.packed and name[:-len(".weight")].endswith(turned) else value

    for name, value in zip(names, read_ahead(read, names, len(names), "load", progress)):
        state[name] = value

    def fill() -> Any:
        with _quiet():
            return model_class.from_pretrained(None, config=config, state_dict=dict(state), dtype=dtype, output_loading_info=True)

    model, said = fill()
    if said.get("missing_keys") and _of_parameters(plan, state, sorted(said["missing_keys"]), dtype):
        model, said = fill()
    missing, over, wrong = (sorted(map(str, said.get(key) or ())) for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    if missing or over or wrong:
        raise libtare.Error(libtare.Code.STRICT, where, "transformers' %s lacks %s, has no place for %s and another shape for %s"
                            % (type(model).__name__, json.dumps(missing[:5]), json.dumps(over[:5]), json.dumps(wrong[:5])))
    return model.eval()
