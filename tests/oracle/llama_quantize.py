#!/usr/bin/env python3
"""llama_quantize.py TARE LLAMA_QUANTIZE [--write FILE]: does tare quantize --to gguf write the tensors that llama-quantize writes?

LLAMA_QUANTIZE is llama.cpp's own program (tools/peers.sh builds it). Random models of every case of tests/save/quantize_models.py, in
float16, bfloat16 and float32, with the rows that rounding is hardest for, become GGUF files of floats by tare convert, which
llama-quantize then quantizes with each type of file; tare quantizes the checkpoint, and once the GGUF file of floats. Each tensor must
have the same type and the same bytes, and general.file_type the same number. So must --pure, --keep-head (--leave-output-tensor) and
--rule (--tensor-type). --write FILE: also the types as a table, tests/data/quantize/mixtures.json. Exit status 77: no numpy."""
import json
import os
import subprocess
import sys
import tempfile

try:
    import gguf
    import numpy as np
except ImportError:
    other = next((p for p in (os.environ.get("TARE_ORACLE"), "/opt/oracle/v/bin/python") if p and os.path.exists(p)), None)
    if other and not os.environ.get("TARE_ORACLE_TRIED"):
        os.environ["TARE_ORACLE_TRIED"] = "1"
        os.execv(other, [other] + sys.argv)
    print("no numpy and gguf here: skipped")
    sys.exit(77)

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "save"))
import quantize_models  # noqa: E402

TYPES = ("Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q6_K Q2_K Q3_K_S Q3_K_M Q3_K_L Q4_K_S Q4_K_M Q5_K_S Q5_K_M IQ4_NL IQ4_XS").split()
KEEP = "model.layers.*.mlp.down_proj=Q8_0"


def odd_rows(values, rng):
    """Rows that rounding is hardest for, in the place of the first ones."""
    rows = values.reshape(-1, values.shape[-1])
    n = rows[0].shape
    made = [0 * rows[0], 0 * rows[0] + 0.25, 0 * rows[0] - 1e-6, abs(rows[0]), -abs(rows[0]), rows[0] * 1e-7, rows[0] * 2e4, 0 * rows[0] + 3000,
            rng.integers(-12, 13, n) / 4, np.where(rng.random(n) < 0.5, 6e-5, -6e-5), np.exp2(rng.integers(-9, 3, n).astype(np.float32)),
            np.where(rng.random(n) < 0.02, 8 * rows[0], rows[0] / 50), np.where(np.arange(n[0]) % 64 < 32, 0, rows[0])]
    for k, row in enumerate(made[:len(rows) // 2]):
        rows[k] = row
    return values


def maker(dtype, seed):
    rng = np.random.default_rng(seed)

    def values(name, shape):
        made = odd_rows(rng.standard_normal(shape).astype(np.float32) * 0.05, rng) if len(shape) > 1 else rng.random(shape, np.float32)
        if dtype == "BF16":
            bits = made.astype(np.float32).view(np.uint32)
            return ((bits + 0x7fff + (bits >> 16 & 1)) >> 16).astype(np.uint16).tobytes()
        return made.astype(np.float16 if dtype == "F16" else np.float32).tobytes()
    return values


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit("%s: %s" % (" ".join(words), (done.stderr or done.stdout)[-2000:]))


def read(path):
    reader = gguf.GGUFReader(path)
    return {t.name: (t.tensor_type.name, [int(n) for n in t.shape], t.data.tobytes()) for t in reader.tensors}, reader.fields["general.file_type"].contents()


class Hold:
    def __init__(self, tare, llama, folder):
        self.tare, self.llama, self.folder = tare, llama, folder
        self.files = self.tensors = self.bytes = self.wrong = 0

    def compare(self, what, source, floats, ours, theirs):
        """One file of each; returns the types, by tensor."""
        made, wanted = (os.path.join(self.folder, n) for n in ("ours.gguf", "theirs.gguf"))
        run(self.tare, "quantize", source, "-o", made, "--to", "gguf", "--no-sums", *ours)
        run(self.llama, *theirs[:-1], floats, wanted, theirs[-1])
        a, b = read(made), read(wanted)
        for path in (made, wanted):
            os.remove(path)
        self.files += 1
        if a[1] != b[1]:
            self.wrong += 1
            print("%s: general.file_type is %s, and the reference has %s" % (what, a[1], b[1]))
        for name in sorted(set(a[0]) | set(b[0])):
            x, y = a[0].get(name), b[0].get(name)
            if x == y:
                self.tensors += 1
                self.bytes += len(x[2])
                continue
            self.wrong += 1
            if self.wrong <= 20:
                print("%s: %s: %s, and the reference has %s" % (what, name, x and x[:2], y and y[:2]))
        return {name: x[0] for name, x in b[0].items()}


def in_runs(types):
    """A table as it is stored: for each name without its number, runs of types over the layers."""
    table = {}
    for name, type_ in sorted(types.items(), key=lambda i: (int(i[0].split(".")[1]) if i[0].startswith("blk.") else -1, i[0])):
        key = ".".join(name.split(".")[2:]) if name.startswith("blk.") else name
        runs = table.setdefault(key, [])
        if runs and runs[-1][0] == type_:
            runs[-1][1] += 1
        else:
            runs.append([type_, 1])
    return {key: " ".join("%s*%d" % tuple(run) for run in runs) for key, runs in sorted(table.items())}


def main():
    tare, llama = sys.argv[1:3]
    table = {}
    with tempfile.TemporaryDirectory() as folder:
        hold = Hold(tare, llama, folder)
        for seed, (case, config) in enumerate(quantize_models.CASES.items()):
            for dtype in ("F16", "BF16", "F32") if case not in ("seventy", "eight") else ("F16",):
                source = os.path.join(folder, "%s-%s" % (case, dtype))
                quantize_models.write(source, config, dtype, maker(dtype, seed))
                floats = source + ".gguf"
                run(tare, "convert", source, "-o", floats, "--to", "gguf", "--no-sums")
                what = "%s %s " % (case, dtype)
                for type_ in TYPES:
                    types = hold.compare(what + type_, source, floats, ["--type", type_], [type_])
                    table.setdefault(case, {})[type_] = in_runs(types)
                hold.compare(what + "from GGUF", floats, floats, ["--type", "Q4_K_M"], ["Q4_K_M"])
                hold.compare(what + "pure", source, floats, ["--type", "Q4_K_S", "--pure"], ["--pure", "Q4_K_S"])
                hold.compare(what + "pure", source, floats, ["--type", "Q6_K", "--pure"], ["--pure", "Q6_K"])
                if not config["tie_word_embeddings"]:
                    hold.compare(what + "head", source, floats, ["--type", "Q4_K_M", "--keep-head"], ["--leave-output-tensor", "Q4_K_M"])
                if "num_local_experts" not in config and config["hidden_size"] % 32 == 0:
                    hold.compare(what + "rule", source, floats, ["--type", "Q3_K_M", "--rule", KEEP], ["--tensor-type", "ffn_down=q8_0", "Q3_K_M"])
                os.remove(floats)
                subprocess.run(["rm", "-r", source], check=True)
            print("%s: %d files, %d tensors, %d bytes are equal; %d differences" % (case, hold.files, hold.tensors, hold.bytes, hold.wrong), flush=True)
        if sys.argv[3:4] == ["--write"] and not hold.wrong:
            table.pop("seventy")
            with open(sys.argv[4], "w", encoding="utf-8") as f:
                json.dump(table, f, indent=0, sort_keys=True)
                f.write("\n")
    return 1 if hold.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
