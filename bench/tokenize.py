#!/usr/bin/env python3
"""tokenize.py BUILD [--golden DIR, or $GOLDEN] [--only NAME,NAME] [--megabytes N] [--runs N]: how fast is text made ids?

Ten megabytes of text (of the system's documentation and programs, of shared/fable and of golden/tokenizer, some of it in every script)
are encoded by tare and by PyPI tokenizers, each with one thread, in turn, in CPU seconds; the ids must be equal. tare is to be at
least as fast. Then a tokenizer.json of 30 MB (gemma's, laid out as it is published) is to be opened in 0.4 seconds.
Python with tokenizers is $TARE_ORACLE, /opt/oracle/v/bin/python or python3. Best of three. Exit status 1 when a target is missed.
"""
import argparse
import glob
import json
import lzma
import os
import subprocess
import sys
import tempfile
import time

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/oracle"))
import tokens  # noqa: E402

PEER = os.environ.get("TARE_ORACLE") or next((p for p in ("/opt/oracle/v/bin/python",) if os.path.exists(p)), sys.executable)
NAMES = "gpt2,llama3,qwen2,gpt_neox,starcoder,deepseek_v4,llama2,gemma4,bert_bge,syn_unigram_t5,syn_unigram_nmt_nfkc"


def corpus(size, golden):
    """Texts of many kinds, each file once, as far as they go."""
    files = [os.path.join(golden, "tokenizer/mixed.txt"), os.path.join(golden, "../fable/validation.txt")]
    for pattern in ("/usr/share/common-licenses/*", "/usr/lib/python3*/pydoc_data/*.py", "/usr/lib/python3*/**/*.py", "/usr/share/perl/**/*.p[lm]"):
        files += sorted(glob.glob(pattern, recursive=True))
    text, have = [], 0
    for path in dict.fromkeys(os.path.realpath(f) for f in files):
        try:
            with open(path, encoding="utf-8", newline="") as f:
                text.append(f.read(400_000))
        except (OSError, UnicodeDecodeError):
            continue
        have += len(text[-1].encode())
        if have >= size:
            break
    return "".join(text).encode()[:size].decode(errors="ignore")


def compare(build, folder, text, runs):
    """Best CPU seconds of tare and of the peer, and whether the ids are equal."""
    import tokenizers
    peer = tokenizers.Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    peer.no_truncation()
    peer.no_padding()
    own, data, best = tokens.Tokenizer(build, folder), text.encode(), [1e9, 1e9]
    for _ in range(runs):
        ids = own.encode(data)
        best[0] = min(best[0], own.spent)
        begun = time.process_time()
        want = peer.encode(text, add_special_tokens=False)
        best[1] = min(best[1], time.process_time() - begun)
    return best, ids == want.ids, len(ids)


def load_time(build, folder, runs):
    best = 1e9
    for _ in range(runs):
        begun = time.perf_counter()
        tokens.Tokenizer(build, folder)
        best = min(best, time.perf_counter() - begun)
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build")
    parser.add_argument("--golden", default=os.environ.get("GOLDEN"))
    parser.add_argument("--only", default=NAMES)
    parser.add_argument("--megabytes", type=float, default=10)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    if not args.golden:
        print("no GOLDEN: not run")
        return 0
    text, missed = corpus(int(args.megabytes * 1e6), args.golden), 0
    print(f"{len(text.encode()) / 1e6:.1f} MB of text, CPU seconds, best of {args.runs}\n{'':24}    tare  tokenizers  ratio  MB/s")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tokenizer.json")
        for name in args.only.split(","):
            with lzma.open(os.path.join(args.golden, "tokenizer", name, "tokenizer.json.xz")) as f, open(path, "wb") as to:
                to.write(f.read())
            (own, peer), equal, n = compare(args.build, folder, text, args.runs)
            missed += own > peer or not equal
            print(f"{name:24}{own:8.2f}{peer:12.2f}{peer / own:7.1f}{len(text.encode()) / 1e6 / own:6.1f}  "
                  f"{n} ids{'' if equal else ': NOT the same'}", flush=True)
        with lzma.open(os.path.join(args.golden, "tokenizer/gemma4/tokenizer.json.xz")) as f, open(path, "w", encoding="utf-8") as to:
            json.dump(json.load(f), to, indent=2, ensure_ascii=False)
        spent = load_time(args.build, folder, args.runs)
        missed += spent > 0.4
        print(f"open, {os.path.getsize(path) / 1e6:.0f} MB of tokenizer.json: {spent:.3f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    os.environ.update(RAYON_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")
    if PEER != sys.executable and not os.environ.get("TARE_BENCH_INNER"):
        sys.exit(subprocess.call([PEER, *sys.argv], env={**os.environ, "TARE_BENCH_INNER": "1"}))
    sys.exit(main())
