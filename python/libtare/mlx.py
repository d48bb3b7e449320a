"""Checkpoints as mlx-lm's own models, filled from memory: libtare.mlx.load(path) is mlx_lm.load(path) for all that tare plans."""
import json
import os
import pathlib
import tempfile

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx_lm import tokenizer_utils, utils

import libtare

SIDE_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "tekken.json", "special_tokens_map.json", "added_tokens.json",
              "vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json", "generation_config.json", "config.json")


def _array(values, dtype):
    """numpy -> mx.array; bfloat16 comes as words of 16 bits."""
    if dtype != "bfloat16":
        return mx.array(values)
    return mx.array(np.asarray(values).view(np.uint16)).view(mx.bfloat16)


def _dense(tensor, dtype):
    if dtype not in ("float32", "float16", "bfloat16"):
        return mx.array(tensor.numpy().astype(dtype))
    return _array(tensor.numpy(dtype=dtype), dtype)


def weights(model):
    """(arrays by name, quantization by module path) of a planned model, as convert(to="mlx") would write them."""
    arrays, packed = {}, {}
    for name in model:
        tensor = model[name]
        info = tensor.mlx_info()
        if not info.packed:
            arrays[name] = _dense(tensor, info.dtype)
            continue
        rows, path = tensor.mlx(), name.removesuffix(".weight")
        arrays[name] = mx.array(rows.weight)
        arrays[path + ".scales"] = _array(rows.scales, info.dtype)
        if rows.biases is not None:
            arrays[path + ".biases"] = _array(rows.biases, info.dtype)
        packed[path] = {"group_size": info.group_size, "bits": info.bits, "mode": info.mode}
        if info.global_scale:
            arrays[path + ".global_scale"] = mx.array(info.global_scale, mx.float32)
            packed[path]["global_scale"] = True
    return arrays, packed


def load_model(path, lazy=False, strict=True, model_config=None, **options):
    """(model, config) as mlx_lm.utils.load_model gives them; path may be an open libtare.Model."""
    plan = path if isinstance(path, libtare.Model) else libtare.open(path, **options)
    config = utils._decode_tagged_floats(plan.convert_config()) if hasattr(utils, "_decode_tagged_floats") else plan.convert_config()
    try:
        eos = json.loads(plan.file("generation_config.json")).get("eos_token_id", False)
        config.update({"eos_token_id": eos} if eos else {})
    except (libtare.Error, ValueError):
        pass
    config.update(model_config or {})
    model_class, args_class = utils._get_classes(config=config)
    model = model_class(args_class.from_dict(config))
    arrays, packed = weights(plan)
    if hasattr(model, "sanitize"):
        arrays = model.sanitize(arrays)
    if packed:
        nn.quantize(model, class_predicate=lambda name, module: hasattr(module, "to_quantized") and packed.get(name, False))
    model.eval()
    model.load_weights(list(arrays.items()), strict=strict)
    if not lazy:
        mx.eval(model.parameters())
    return model, config


def load_tokenizer(path, config, tokenizer_config=None):
    """mlx-lm's tokenizer. That of a GGUF file is made of its metadata, through a folder that is gone afterwards."""
    plan = path if isinstance(path, libtare.Model) else libtare.open(path, no_data=True)
    eos = config.get("eos_token_id")
    if os.path.isdir(plan.path):
        return tokenizer_utils.load(pathlib.Path(plan.path), tokenizer_config, eos_token_ids=eos)
    with tempfile.TemporaryDirectory() as folder:
        for name in SIDE_FILES:
            try:
                pathlib.Path(folder, name).write_bytes(plan.file(name))
            except libtare.Error as e:
                if e.code != libtare.Code.ABSENT:
                    raise
        return tokenizer_utils.load(pathlib.Path(folder), tokenizer_config, eos_token_ids=eos)


def load(path, tokenizer_config=None, model_config=None, lazy=False, return_config=False, **options):
    """(model, tokenizer) as mlx_lm.load gives them, of any checkpoint that tare plans and mlx-lm has a class for: AWQ with a
    redundant head, GPTQ, compressed-tensors, GGUF. No weight is written to disk. options: those of libtare.open."""
    plan = path if isinstance(path, libtare.Model) else libtare.open(path, **options)
    model, config = load_model(plan, lazy, model_config=model_config)
    tokenizer = load_tokenizer(plan, config, tokenizer_config)
    return (model, tokenizer, config) if return_config else (model, tokenizer)
