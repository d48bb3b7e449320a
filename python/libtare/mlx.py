"""Checkpoints as mlx-lm's own models, filled from memory: libtare.mlx.load(path) is mlx_lm.load(path) for all that tare plans.

    python -m libtare.mlx generate|server|perplexity|chat --model PATH ..   mlx-lm's own commands, with this loader in them
"""
import contextlib
import importlib
import inspect
import json
import os
import pathlib
import sys
import tempfile
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

import mlx.core as mx
import mlx.nn as nn
import mlx_lm
import numpy as np
from mlx_lm import utils

import libtare
from libtare._base import Progress, read_ahead

SIDE_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "tekken.json", "special_tokens_map.json", "added_tokens.json",
              "vocab.json", "merges.txt", "chat_template.jinja", "chat_template.json", "generation_config.json", "config.json")
FLOATS = ("float32", "float16", "bfloat16")
COMMANDS = ("generate", "server", "perplexity", "chat", "benchmark", "evaluate", "cache_prompt")
Checkpoint = Union[str, "os.PathLike[str]", libtare.Model]


def _array(values: Any, dtype: str) -> Any:
    """numpy -> mx.array; bfloat16 comes as words of 16 bits."""
    if dtype != "bfloat16":
        return mx.array(values)
    return mx.array(np.asarray(values).view(np.uint16)).view(mx.bfloat16)


def _read(tensor: libtare.Tensor) -> Tuple[libtare.MLXInfo, Any]:
    """A tensor's numpy arrays in the form that they have in MLX."""
    info = tensor.mlx_info()
    if info.packed:
        return info, tensor.mlx()
    return info, tensor.numpy(dtype=info.dtype) if info.dtype in FLOATS else tensor.numpy().astype(info.dtype)


def weights(model: libtare.Model, progress: Progress = None) -> Tuple[Dict[str, Any], Dict[str, Dict[str, Any]]]:
    """(arrays by name, quantization by module path) of a planned model, as convert(to="mlx") would write them."""
    arrays: Dict[str, Any] = {}
    packed: Dict[str, Dict[str, Any]] = {}
    names = list(model)
    for name, (info, read) in zip(names, read_ahead(lambda name: _read(model[name]), names, len(names), "load", progress)):
        if not info.packed:
            arrays[name] = _array(read, info.dtype)
            continue
        path = name[:-len(".weight")]
        arrays[name] = mx.array(read.weight)
        arrays[path + ".scales"] = _array(read.scales, info.dtype)
        if read.biases is not None:
            arrays[path + ".biases"] = _array(read.biases, info.dtype)
        packed[path] = {"group_size": info.group_size, "bits": info.bits, "mode": info.mode}
        if info.global_scale:
            arrays[path + ".global_scale"] = mx.array(info.global_scale, mx.float32)
            packed[path]["global_scale"] = True
    return arrays, packed


def without_form(plan: libtare.Model, asked: bool = False) -> List[str]:
    """Modules that become floats: those that MLX has no packed form for, and nvfp4 with a scale of the whole where this mlx has none.

    A module in act-order stays packed, as in a conversion: its columns are sorted, and the rows of what feeds it follow. Floats are
    not read in that order, so where any module becomes floats (asked: the caller named some), those in act-order do, too."""
    global_scales = "global_scale" in inspect.signature(nn.Linear.to_quantized).parameters
    modules, ordered = [], []
    for name in plan:
        tensor = plan[name]
        module = name[:-len(".weight")] if name.endswith(".weight") else name
        try:
            info = tensor.mlx_info()
        except libtare.Error as e:
            if e.code != libtare.Code.TARGET:
                raise
            modules.append(module)
            continue
        if info.packed and bool(info.global_scale) and not global_scales:
            modules.append(module)
        elif info.packed and tensor.info.act_order:
            ordered.append(module)
    return modules + ordered if modules or asked else []


def plan(path: Checkpoint, **options: Any) -> libtare.Model:
    """The plan that load() fills a model from: what MLX has no packed form for becomes floats, as with `tare convert --dequantize`.
    options: those of libtare.open."""
    model = path if isinstance(path, libtare.Model) else libtare.open(path, **options)
    modules = without_form(model, bool(options.get("dequantize")))
    return model.again(dequantize=",".join(modules)) if modules else model


def load_model(path: Checkpoint, lazy: bool = False, strict: bool = True, model_config: Optional[Dict[str, Any]] = None,
               progress: Progress = None, **options: Any) -> Tuple[Any, Dict[str, Any]]:
    """(model, config) as mlx_lm.utils.load_model gives them. options: those of libtare.open."""
    checkpoint = plan(path, progress=progress, **options)
    config: Dict[str, Any] = utils._decode_tagged_floats(checkpoint.convert_config())
    with contextlib.suppress(libtare.Error, ValueError):
        eos = json.loads(checkpoint.file("generation_config.json")).get("eos_token_id", False)
        config.update({"eos_token_id": eos} if eos else {})
    config.update(model_config or {})
    model_class, args_class = utils._get_classes(config=config)
    model = model_class(args_class.from_dict(config))
    arrays, packed = weights(checkpoint, progress)
    if hasattr(model, "sanitize"):
        arrays = model.sanitize(arrays)
    if packed:
        nn.quantize(model, class_predicate=lambda name, module: hasattr(module, "to_quantized") and packed.get(name, False))
    model.eval()
    model.load_weights(list(arrays.items()), strict=strict)
    if not lazy:
        mx.eval(model.parameters())
    return model, config


def load_tokenizer(path: Checkpoint, tokenizer_config: Optional[Dict[str, Any]] = None, eos_token_ids: Any = None) -> Any:
    """mlx-lm's tokenizer, a TokenizerWrapper. That of a GGUF file is made of its metadata, in a folder that is gone afterwards."""
    checkpoint = path if isinstance(path, libtare.Model) else libtare.open(path, no_data=True)
    if os.path.isfile(os.path.join(checkpoint.path, "config.json")):
        return utils.load_tokenizer(pathlib.Path(checkpoint.path), tokenizer_config, eos_token_ids=eos_token_ids)
    with tempfile.TemporaryDirectory(prefix="libtare-") as folder:
        for name in SIDE_FILES:
            try:
                pathlib.Path(folder, name).write_bytes(checkpoint.file(name))
            except libtare.Error as e:
                if e.code != libtare.Code.ABSENT:
                    raise
        return utils.load_tokenizer(pathlib.Path(folder), tokenizer_config, eos_token_ids=eos_token_ids)


def load(path_or_hf_repo: Checkpoint, tokenizer_config: Optional[Dict[str, Any]] = None, model_config: Optional[Dict[str, Any]] = None,
         adapter_path: Optional[str] = None, lazy: bool = False, return_config: bool = False, revision: Optional[str] = None,
         trust_remote_code: bool = False, progress: Progress = None, **options: Any) -> Any:
    """(model, tokenizer) as mlx_lm.load gives them, and with return_config the config, of any checkpoint that tare plans and mlx-lm
    has a class for: AWQ with a redundant head, GPTQ, compressed-tensors, GGUF. No weight is written to disk. What is no path is
    downloaded as mlx_lm.load does. Code of a checkpoint is not run, whatever trust_remote_code says of its tokenizer's. options:
    those of libtare.open."""
    path = path_or_hf_repo
    if not isinstance(path, libtare.Model) and not os.path.exists(path):
        path = utils._download(str(path), revision=revision)
    checkpoint = plan(path, progress=progress, **options)
    model, config = load_model(checkpoint, lazy, model_config=model_config, progress=progress)
    if adapter_path is not None:
        model = utils.load_adapters(model, adapter_path)
        model.eval()
    tokenizer = load_tokenizer(checkpoint, tokenizer_config, config.get("eos_token_id"))
    return (model, tokenizer, config) if return_config else (model, tokenizer)


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """While it lasts, mlx-lm's modules load through libtare: mlx_lm.load, and the commands that call it."""
    original, changed = utils.load, []
    for module in [mlx_lm, utils] + [module for name, module in sys.modules.items() if name.startswith("mlx_lm.")]:
        if getattr(module, "load", None) is original:
            changed.append(module)
            setattr(module, "load", load)
    try:
        yield
    finally:
        for module in changed:
            setattr(module, "load", original)


def main(arguments: List[str]) -> int:
    """Run one of mlx-lm's commands with this loader."""
    if not arguments or arguments[0] not in COMMANDS:
        print("usage: python -m libtare.mlx %s ..\n(the arguments are those of python -m mlx_lm ..)" % "|".join(COMMANDS), file=sys.stderr)
        return 2
    module = importlib.import_module("mlx_lm." + arguments[0])
    kept, sys.argv = sys.argv, ["libtare.mlx " + arguments[0]] + arguments[1:]
    try:
        with installed():
            module.main()
    finally:
        sys.argv = kept
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
