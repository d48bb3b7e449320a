#!/usr/bin/env python3
"""quantize.py TARE MODEL --text FILE [--llama LLAMA_QUANTIZE] [--characters N] [--runs N] [--threads N]: what each type costs, as a table.

MODEL is a folder of floats. It is quantized with every type of file of gguf and every mode and recipe of mlx, and to fp8, and of each the table
has the size, the relative error of all modules, perplexity and KL divergence on the first N characters of the text (tare quantize
--report), and how fast tare then continues a text (tare bench). With --llama, llama-quantize and tare quantize the same GGUF file of
floats to the same type, one after the other, N times; the table has the processor's seconds of both, the least of all runs: wall time
says little on a machine that does other work, too."""
import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile

parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
parser.add_argument("tare")
parser.add_argument("model")
parser.add_argument("--text", required=True)
parser.add_argument("--llama")
parser.add_argument("--characters", type=int, default=40000)
parser.add_argument("--runs", type=int, default=3)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--only", default="", help="types whose words begin so")
args = parser.parse_args()

GGUF = "Q8_0 Q6_K Q5_K_M Q5_K_S Q5_1 Q5_0 Q4_K_M Q4_K_S IQ4_NL IQ4_XS Q4_1 Q4_0 Q3_K_L Q3_K_M Q3_K_S Q2_K".split()
MLX = ([["--bits", str(bits)] for bits in (8, 6, 5, 4, 3, 2)] + [["--mode", mode] for mode in ("mxfp8", "mxfp4", "nvfp4")] +
       [["--recipe", recipe] for recipe in ("mixed_4_6", "mixed_3_6", "mixed_3_4", "mixed_2_6")])


def run(*words):
    """Standard output, and the processor's seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit("%s: %s" % (" ".join(words), (done.stderr or done.stdout)[-1000:]))
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def error_of(report):
    squares = elements = 0
    for row in report["modules"]:
        n = row["before"]["bytes"]
        squares, elements = squares + row["relative"] ** 2 * n, elements + n
    return (squares / elements) ** 0.5 if elements else 0


def remove(path):
    subprocess.run(["rm", "-rf", path, path + ".tare.json"], check=True)


def measure(folder, words, name):
    out = os.path.join(folder, "out" + (".gguf" if "gguf" in words else ""))
    report = json.loads(run(args.tare, "quantize", args.model, "-o", out, "--json", "--text", os.path.join(folder, "text"), "--threads", str(args.threads),
                            *words)[0])
    speed = json.loads(run(args.tare, "bench", out, "--json", "--no-read", "--threads", str(args.threads))[0])
    remove(out)
    text = report["text"]
    return {"name": name, "size": report["bytes"][1], "of": report["bytes"][0], "error": error_of(report), "before": text["before"]["perplexity"],
            "perplexity": text["after"]["perplexity"], "kl": text["kl"], "same": text["same_best"], "tokens": text["tokens"], "speed": speed}


def race(folder, type_):
    """The processor's seconds of tare and of llama-quantize, the least of all runs."""
    floats, least = os.path.join(folder, "floats.gguf"), [float("inf")] * 2
    out = os.path.join(folder, "race.gguf")
    if not os.path.exists(floats):
        run(args.tare, "convert", args.model, "-o", floats, "--to", "gguf")
    for _ in range(args.runs):
        for k, words in enumerate(((args.tare, "quantize", floats, "-o", out, "--to", "gguf", "--type", type_, "--threads", str(args.threads)),
                                   (args.llama, floats, out, type_, str(args.threads)))):
            least[k] = min(least[k], run(*words)[1])
            remove(out)
    return least


def decode(speed):
    return speed["runs"][-1]["decode"]["tokens_per_second"]


def main():
    print("| `--to` | type | size | bits a weight | relative error | perplexity | KL | same best | tokens/s |%s" % (" tare, s | llama-quantize, s | |" if args.llama else ""))
    print("|---|---|---|---|---|---|---|---|---|%s" % ("---|---|---|" if args.llama else ""))
    with tempfile.TemporaryDirectory() as folder:
        with open(args.text, encoding="utf-8") as f, open(os.path.join(folder, "text"), "w", encoding="utf-8") as out:
            out.write(f.read(args.characters))
        cases = [("gguf", ["--to", "gguf", "--type", type_], type_) for type_ in GGUF]
        cases += [("mlx", words + ([] if words[0] == "--mode" else ["--group", "64"]), " ".join(words).replace("--", "")) for words in MLX]
        cases += [("fp8", ["--to", "fp8"], "128 x 128"), ("bitsandbytes", ["--to", "bitsandbytes"], "nf4")]
        last = None
        for to, words, name in cases:
            if not name.startswith(args.only):
                continue
            m = measure(folder, words, name)
            line = "| %s | %s | %.1f MB | %.2f | %.5f | %.3f | %.5f | %.1f%% | %.0f |" % (
                to, name, m["size"] / 1e6, 16 * m["size"] / m["of"], m["error"], m["perplexity"], m["kl"], 100 * m["same"], decode(m["speed"]))
            if args.llama:
                line += " %.2f | %.2f | %.2f times as fast |" % (*(pair := race(folder, name)), pair[1] / pair[0]) if to == "gguf" else " | | |"
            print(line, flush=True)
            last = m
    if last:
        print("\nBefore: %.1f MB, perplexity %.3f, on %d tokens." % (last["of"] / 1e6, last["before"], last["tokens"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
