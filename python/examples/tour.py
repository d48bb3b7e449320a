"""A tour of the package libtare, one block after another: python tour.py [CHECKPOINT [FOLDER]]

Each block prints what it found. The tests run it on the built-in model and compare what it prints with tour.txt.
"""
# %% Open: the plan is made from headers; no weight is read but the head's and the embedding's, to compare the two.
import json
import pathlib
import sys
import tempfile

import numpy as np

import libtare

checkpoint = sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).resolve().parents[2] / "models/fable"
folder = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp(prefix="libtare-tour-"))
model = libtare.open(checkpoint)
print("formats:", [(row["packing"], row["bits"], row["modules"]) for row in model.report["formats"]])

# %% The head: is the packed lm_head a second embedding, and what says so?
for head in model.report["head"]:
    print("head:", head["prefix"], head["decision"], "by", head["evidence"], "- compared with the embedding:", head["proof"])
print(model.explain("lm_head.qweight").strip())

# %% A tensor: its numbers, its rows, its codes. weight = scale * code + offset.
up = model["model.layers.0.mlp.up_proj.weight"]
print("tensor:", up.name, up.info.packing, up.info.bits, "bits, groups of", up.info.group_size, up.shape)
weight, rows, codes = up.numpy(), up.numpy(rows=slice(10, 12)), up.codes()
again = codes.scales[:, codes.group_of_column] * codes.codes + codes.offsets[:, codes.group_of_column]
print("rows are parts of the whole:", np.array_equal(rows, weight[10:12]), "- codes give the numbers:", np.allclose(again, weight, atol=1e-6))

# %% A histogram without a plot: how often each of the 16 codes occurs.
counts = np.bincount(codes.codes.ravel(), minlength=16)
for code, count in enumerate(counts):
    print("%2d %6d %s" % (code, count, "#" * int(round(50 * count / counts.max()))))

# %% A text, and one that must meet a JSON schema. An exact session computes in float32, alike on every machine.
print("text:", "Once upon a time" + model.generate("Once upon a time", max_tokens=24, session=model.session(exact=True)).text())
schema = {"type": "object", "properties": {"name": {"enum": ["Lily", "Tom"]}, "happy": {"type": "boolean"}}, "required": ["name", "happy"],
          "additionalProperties": False}
print("answer:", json.loads(model.generate("Once upon a time", schema=schema, max_tokens=40).text()))

# %% Convert, and hold the two against each other.
notes = model.convert(folder / "gptq", to="gptq")
report = model.diff(libtare.open(folder / "gptq"))
print("gptq:", {same: n for same, n in report["counts"].items() if n}, "equal:", report["equal"], "notes:", len(notes))

# %% mlx-lm: its own model class, filled from the plan. Nothing is written.
try:
    import mlx.core as mx
    import mlx_lm
    import libtare.mlx
except ImportError:
    print("mlx: not installed")
else:
    mx.set_default_device(mx.cpu)
    lm, tokenizer = libtare.mlx.load(folder / "gptq")
    print("mlx:", type(lm.model.layers[0].mlp.up_proj).__name__, repr(mlx_lm.generate(lm, tokenizer, "Once upon a time", max_tokens=8)))

# %% transformers: dense weights, the head tied as the plan decided.
try:
    import torch
    import transformers  # noqa: F401
    import libtare.torch
except ImportError:
    print("torch: not installed")
else:
    lm = libtare.torch.load(model, dtype=torch.float32)
    with torch.no_grad():
        logits = lm(torch.tensor([model.tokenizer.encode("Once upon a time")])).logits[0, -1].numpy()
    own = model.session(exact=True).feed(model.tokenizer.encode("Once upon a time"))
    print("torch: tied", lm.get_output_embeddings().weight is lm.get_input_embeddings().weight, "- logits agree:",
          bool(np.abs(logits - own).max() < 1e-4 * np.abs(own).max()))
