"""libtare - loads, checks, converts and runs pre-quantized language-model checkpoints (AWQ, GPTQ and their kin).

    import libtare
    model = libtare.open("path/to/checkpoint")
    model["model.layers.0.mlp.up_proj.weight"].numpy()
"""
from typing import Any

from libtare._base import Code, Error, Host, Threads, string
from libtare._libtare import lib
from libtare._model import Model, Path, Quantized, Source
from libtare._tensor import Codes, Info, MLXInfo, Rows, Tensor
from libtare._text import Generation, Grammar, Session, Stream, Template, Tokenizer, feed_each, generate_each

__version__ = string(lib.tare_version())
__all__ = ["Code", "Codes", "Error", "Generation", "Grammar", "Host", "Info", "MLXInfo", "Model", "Quantized", "Rows", "Session", "Source", "Stream",
           "Template", "Tensor", "Threads", "Tokenizer", "feed_each", "generate_each", "open"]


def open(path: Path, **options: Any) -> Model:
    """Plan a checkpoint: a folder, a .safetensors or .gguf file, a folder of the Hugging Face cache. Error: it does not load
    (check=False gives the model all the same, for its report). options, which Model lists: tie, zeros, dequantize, no_data, no_map,
    threads, files ({name: bytes} of a checkpoint in memory), host (a Host that reads the bytes: an archive, HTTP), progress."""
    return Model(path, **options)
