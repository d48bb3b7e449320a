#!/usr/bin/env python3
"""quantize_torch.py TARE: does tare quantize --to fp8 and --to bitsandbytes write what transformers and bitsandbytes write?

fable as floats, and random models with the rows that rounding is hardest for, in float16, bfloat16 and float32. fp8: each weight and its
scales have the bytes of transformers' Fp8Quantize; blocks that are not whole are padded with zeros for it. nf4: codes, absmax, table and
state have the bytes of bitsandbytes' quantize_4bit on a CPU, and transformers loads the folder and continues a text as the dequantized
weights do. Needs torch, transformers and bitsandbytes (pip install --no-deps --target FOLDER bitsandbytes accelerate psutil; PYTHONPATH=FOLDER). Exit
status 77: one is missing."""
import os
import subprocess
import sys
import tempfile
import types

try:
    import bitsandbytes
    import torch
    import transformers
    from safetensors.torch import load_file
    from transformers.integrations.finegrained_fp8 import Fp8Quantize
except ImportError as missing:
    other = next((p for p in (os.environ.get("TARE_ORACLE"), "/opt/oracle/v/bin/python") if p and os.path.exists(p)), None)
    if other and not os.environ.get("TARE_ORACLE_TRIED"):
        os.environ["TARE_ORACLE_TRIED"] = "1"
        os.execv(other, [other] + sys.argv)
    print("%s: skipped" % missing)
    sys.exit(77)

here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.append(os.path.join(here, "save"))  # at the end: a file there is called as the package gguf is
import llama_quantize  # noqa: E402
import quantize_models  # noqa: E402


def raw(tensor):
    return tensor.contiguous().view(torch.uint8).numpy().tobytes() if tensor.dim() else b""


def fp8(weight):
    rows, columns = weight.shape
    padded = torch.nn.functional.pad(weight.float(), (0, -columns % 128, 0, -rows % 128))
    config = types.SimpleNamespace(weight_block_size=[128, 128], scale_fmt=None)
    made = Fp8Quantize(types.SimpleNamespace(quantization_config=config))._quantize_one("x.weight", padded)
    return {"": made["x.weight"][:rows, :columns], "_scale_inv": made["x.weight_scale_inv"]}


def nf4(weight):
    codes, state = bitsandbytes.functional.quantize_4bit(weight, blocksize=64, quant_type="nf4")
    return {"": codes, **{"." + key: value for key, value in state.as_dict(packed=True).items()}}


class Count:
    equal = size = wrong = 0

    def hold(self, what, ours, theirs):
        if ours is not None and ours.dtype == theirs.dtype and ours.shape == theirs.shape and raw(ours) == raw(theirs):
            self.equal += 1
            self.size += len(raw(ours))
            return
        self.wrong += 1
        if self.wrong < 20:
            print("%s: %s, and the reference has %s" % (what, ours is not None and (ours.dtype, list(ours.shape)), (theirs.dtype, list(theirs.shape))))


def hold_folder(count, tare, source, folder, words, quantize):
    out = os.path.join(folder, "out")
    done = subprocess.run([tare, "quantize", source, "-o", out, "--no-sums", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    floats, made, seen = load_file(source + "/model.safetensors"), load_file(out + "/model.safetensors"), 0
    for name, weight in floats.items():
        if not name.endswith("_proj.weight"):
            count.hold(name, made.pop(name, None), weight)
            continue
        for end, tensor in quantize(weight).items():
            count.hold("%s %s%s" % (words[1], name, end), made.pop(name + end, None), tensor)
        seen += 1
    if made or not seen:
        count.wrong += 1
        print("%s: more tensors: %s" % (source, sorted(made)[:5]))
    return out


def hold_loaded(count, out, source):
    """transformers with bitsandbytes on the folder, against the same weights dequantized by bitsandbytes."""
    ids = torch.arange(1, 33)[None]
    loaded = transformers.AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    plain = transformers.AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    layers = [m for m in loaded.modules() if isinstance(m, bitsandbytes.nn.Linear4bit)]
    with torch.no_grad():
        for name, module in plain.named_modules():
            if isinstance(module, torch.nn.Linear) and name != "lm_head":
                codes, state = bitsandbytes.functional.quantize_4bit(module.weight.data.to(torch.float16), blocksize=64, quant_type="nf4")
                module.weight.data = bitsandbytes.functional.dequantize_4bit(codes, state).float()
        apart = (loaded(ids).logits.float() - plain(ids).logits).abs().max().item()
    print("transformers and bitsandbytes: %d layers of 4 bits, logits apart by %.3g" % (len(layers), apart))
    if not layers or not apart < 0.5:
        count.wrong += 1


def main():
    tare, count = sys.argv[1], Count()
    with tempfile.TemporaryDirectory() as folder:
        sources = [os.path.join(folder, "fable")]
        subprocess.run([tare, "convert", quantize_models.FABLE, "-o", sources[0], "--to", "dense"], check=True, capture_output=True)
        for seed, dtype in enumerate(("F16", "BF16", "F32")):
            for case in ("tied", "odd"):
                sources.append(os.path.join(folder, case + dtype))
                quantize_models.write(sources[-1], quantize_models.CASES[case], dtype, llama_quantize.maker(dtype, seed))
        for source in sources:
            for words, quantize in ((["--to", "fp8"], fp8), (["--to", "bitsandbytes", "--type", "nf4"], nf4)):
                out = hold_folder(count, tare, source, folder, words, quantize)
                if source == sources[0] and quantize is nf4:
                    hold_loaded(count, out, source)
                subprocess.run(["rm", "-r", out], check=True)
    print("%d tensors, %d bytes are equal; %d differences" % (count.equal, count.size, count.wrong))
    return 1 if count.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
