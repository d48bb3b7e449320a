"""libtare - loads, checks, converts and runs pre-quantized language-model checkpoints (AWQ, GPTQ and their kin).

    import libtare
    model = libtare.open("path/to/checkpoint")
    model["model.layers.0.mlp.up_proj.weight"].numpy()
"""
from libtare._base import Code, Error, lib, string
from libtare._model import Model
from libtare._tensor import Codes, Info, MLXInfo, Rows, Tensor
from libtare._text import Session, Template, Tokenizer

__version__ = string(lib.tare_version())
__all__ = ["Code", "Codes", "Error", "Info", "MLXInfo", "Model", "Rows", "Session", "Template", "Tensor", "Tokenizer", "open"]


def open(path, **options):
    """Plan a checkpoint: a folder, a .safetensors or .gguf file. Error: it does not load (check=False gives the model all the
    same, for its report). options: tie, zeros, dequantize, no_data, no_map, threads."""
    return Model(path, **options)
