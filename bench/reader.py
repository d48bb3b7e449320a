#!/usr/bin/env python3
"""reader.py BUILD [--threads N] [--runs N] [--json]: how fast do rows come from the reader (tare/reader.h)?

Synthetic checkpoints of TinyLlama-1.1B's shape (AWQ and GPTQ of 4 bits, group size 128, random codes) lie in memory (/dev/shm).
bench/reader.c reads every packed parameter; in the same run stand against it:
memcpy    the same bytes of output, from memory to memory, by as many threads: floats are to reach a third of its speed
numpy     the same module out of safetensors, dequantized by numpy to float32 as AutoAWQ's and GPTQModel's own formulas say, by one
          thread and in CPU time: the reader is to take a twentieth at most, and a hundredth is the goal
Best of N runs each. Rows by one call a row are printed too, without a target. Exit status 1 when a target is missed. numpy is that of
$TARE_ORACLE, /opt/oracle/v/bin/python or python3.
"""
import argparse
import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile

import synthetic

NUMPY = """
import json, mmap, sys, time
import numpy as np
folder, method, module = sys.argv[1:]
with open(folder + "/model.safetensors", "rb") as f:
    data = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
size = int.from_bytes(data[:8], "little")
head = json.loads(data[8:8 + size])

def tensor(part, dtype):
    row = head[module + part]
    begin, end = row["data_offsets"]
    return np.frombuffer(data, dtype, (end - begin) // np.dtype(dtype).itemsize, 8 + size + begin).reshape(row["shape"])

def nibbles(words, order):
    return ((words[:, :, None] >> order) & 15).reshape(words.shape[0], -1)

best = 1e9
for _ in range(3):
    start = time.process_time()
    qweight, qzeros, scales = tensor(".qweight", np.uint32), tensor(".qzeros", np.uint32), tensor(".scales", np.float16)
    order = np.array([0, 4, 1, 5, 2, 6, 3, 7] if method == "awq" else range(8), np.uint32) * np.uint32(4)
    codes = nibbles(qweight, order) if method == "awq" else nibbles(qweight.T, order).T
    group = codes.shape[0] // scales.shape[0]
    zeros = np.repeat(nibbles(qzeros, order), group, 0).astype(np.float32)
    weights = (codes.astype(np.float32) - zeros) * np.repeat(scales.astype(np.float32), group, 0)
    weights = np.ascontiguousarray(weights.T)
    best = min(best, time.process_time() - start)
print(best, weights.shape[0])
"""
PARTS = ("float32", "float16", "bfloat16", "mlx", "codes")
MODULE = "model.layers.0.mlp.down_proj"
parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("build")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--runs", type=int, default=5)
parser.add_argument("--json", action="store_true")
args = parser.parse_args()

here = os.path.dirname(os.path.abspath(__file__))
work = tempfile.mkdtemp(prefix="tare-bench-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
atexit.register(shutil.rmtree, work, True)
program = os.path.join(work, "reader")


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit("%s: exit %d" % (" ".join(command[:3]), done.returncode))
    return done.stdout


def read(folder, what, rows=0, threads=args.threads):
    """{"seconds", "cpu_seconds", "rows_per_second", "gb_per_second"} of all packed parameters."""
    wall, cpu, rows, size = map(float, run(program, folder, str(threads), what, str(rows), str(args.runs)).split())
    return {"seconds": wall, "cpu_seconds": cpu, "rows": int(rows), "rows_per_second": rows / wall, "gb_per_second": size / wall / 1e9}


def python():
    for found in (os.environ.get("TARE_ORACLE"), "/opt/oracle/v/bin/python", shutil.which("python3")):
        if found and os.path.exists(found) and not subprocess.run([found, "-c", "import numpy"], stderr=subprocess.DEVNULL).returncode:
            return found
    sys.exit("bench/reader.py needs a Python with numpy")


def gptq(rows):
    """The tensors of AWQ with qweight packed along the input."""
    return [(name, dtype, [shape[0] // 8, shape[1] * 8] if name.endswith(".qweight") else shape) for name, dtype, shape in rows]


def measure(method, folder):
    """All figures of one checkpoint, with their ratios and targets."""
    # The time of one module is the share of its numbers in those of all packed parameters, which one thread reads.
    ours = {part: read(folder, part) for part in ("memcpy", "memcpy16") + PARTS}
    one, single = read(folder, "float32", threads=1), {part: read(folder, part, 1) for part in ("float32", "mlx")}
    took, rows = map(float, run(python(), "-c", NUMPY, folder, method, MODULE).split())
    dim, ff = (synthetic.TINYLLAMA_1_1B[key] for key in ("hidden_size", "intermediate_size"))
    kv = dim // synthetic.TINYLLAMA_1_1B["num_attention_heads"] * synthetic.TINYLLAMA_1_1B["num_key_value_heads"]
    numbers = synthetic.TINYLLAMA_1_1B["num_hidden_layers"] * (2 * dim * dim + 2 * dim * kv + 3 * dim * ff)
    share = one["cpu_seconds"] * dim * ff / numbers
    checks = [(part + " of memcpy", ours[part]["gb_per_second"] / ours[copy]["gb_per_second"], 1 / 3)
              for part, copy in (("float32", "memcpy"), ("float16", "memcpy16"), ("bfloat16", "memcpy16"))]
    checks.append(("CPU time of numpy's", took / share, 20))
    return {"checkpoint": method, "threads": args.threads, "whole": ours, "single_rows": single,
            "numpy": {"cpu_seconds": took, "rows_per_second": rows / took}, "module_cpu_seconds": share,
            "checks": [{"what": what, "ratio": ratio, "target": target, "pass": ratio >= target} for what, ratio, target in checks]}


def show(figures):
    print("%s, %d threads, best of %d" % (figures["checkpoint"], figures["threads"], args.runs))
    for word, row in list(figures["whole"].items()) + [(k + " 1 row", v) for k, v in figures["single_rows"].items()]:
        print("  %-16s %10.0f rows/s  %6.2f GB/s of output  %7.3f CPU s" % (word, row["rows_per_second"], row["gb_per_second"], row["cpu_seconds"]))
    print("  %-16s %10.0f rows/s  in CPU time, of %s: %.3f s; the reader's share is %.4f s" % (
        "numpy", figures["numpy"]["rows_per_second"], MODULE, figures["numpy"]["cpu_seconds"], figures["module_cpu_seconds"]))
    for check in figures["checks"]:
        print("  ratio %-20s %7.2f (target %.2f): %s" % (check["what"], check["ratio"], check["target"], "pass" if check["pass"] else "miss"))


def main():
    library = os.path.join(os.path.abspath(args.build), "libtare.so")
    run(os.environ.get("CC", "cc"), "-std=c11", "-O2", "-pthread", "-o", program, os.path.join(here, "reader.c"), "-I",
        os.path.join(here, "..", "include"), library, "-Wl,-rpath," + os.path.dirname(library))
    rows, all_figures = synthetic.tensors(synthetic.TINYLLAMA_1_1B), []
    two = dict(quant_method="gptq", checkpoint_format="gptq_v2", bits=4, group_size=128, desc_act=False, sym=False)
    for method, tensors, config in (("awq", rows, synthetic.AWQ), ("gptq", gptq(rows), two)):
        folder = os.path.join(work, method)
        synthetic.write(folder, dict(synthetic.TINYLLAMA_1_1B, quantization_config=config), tensors)
        all_figures.append(measure(method, folder))
        shutil.rmtree(folder)
        if not args.json:
            show(all_figures[-1])
    if args.json:
        print(json.dumps(all_figures, indent=1))
    sys.exit(not all(check["pass"] for figures in all_figures for check in figures["checks"]))


if __name__ == "__main__":
    main()
