"""Checkpoints as transformers models with dense weights: libtare.torch.load(path)."""
import json
import os

import numpy as np
import torch
import transformers

import libtare

WORDS = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}


def _without_initialization():
    """transformers' way to leave weights as they are allocated: every one is replaced."""
    try:
        from transformers.initialization import no_init_weights
    except ImportError:  # before 5
        from transformers.modeling_utils import no_init_weights
    return no_init_weights()


def _config(plan):
    """transformers' config without what it would quantize by."""
    values = plan.convert_config("dense")
    for fragment in (values, values.get("text_config") or {}):
        fragment.pop("quantization_config", None)
        fragment.pop("quantization", None)
    return transformers.AutoConfig.for_model(values.pop("model_type"), **values)


def _tensor(tensor, dtype):
    values = tensor.numpy(dtype=WORDS[dtype])
    if dtype == torch.bfloat16:
        return torch.from_numpy(np.asarray(values).view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(values)


def _unused(plan):
    """Modules that the plan set aside: their tensors' names without the last part."""
    return {row["name"].rpartition(".")[0] for row in plan.report["set_aside"]}


def load(path, dtype=torch.float32, model_class=None, **options):
    """The transformers model of a checkpoint, weights dense in dtype, head and ties as the plan decided. Every parameter must
    be there, and every module of the plan must have its parameter; else libtare.Error. options: those of libtare.open."""
    plan = path if isinstance(path, libtare.Model) else libtare.open(path, **options)
    if dtype not in WORDS:
        raise ValueError("dtype %s; there are %s" % (dtype, ", ".join(map(str, WORDS))))
    config = _config(plan)
    with _without_initialization():
        model = (model_class or transformers.AutoModelForCausalLM).from_config(config, dtype=dtype)
    aside, state = _unused(plan), {}
    for name in plan.sources:
        if name.rpartition(".")[0] not in aside:
            state[name] = _tensor(plan.sources[name], dtype)
    report = model.load_state_dict(state, strict=False, assign=True)
    model.tie_weights()
    tied = {name for names in [getattr(model, "_tied_weights_keys", None) or ()] for name in names}
    missing = [name for name in report.missing_keys if name not in tied]
    if missing or report.unexpected_keys:
        raise libtare.Error(libtare.Code.STRICT, os.path.basename(plan.path),
                            "transformers' %s lacks %s and has no place for %s" % (type(model).__name__, json.dumps(missing[:5]),
                                                                                   json.dumps(report.unexpected_keys[:5])))
    return model.eval()
