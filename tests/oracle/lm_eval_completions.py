#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The log-likelihoods that lm-eval gets from tare serve against those of tare perplexity: lm_eval_completions.py TARE [MODEL ...]

PyPI's lm-eval asks the running server through its model `local-completions`, with ids and with texts, on two tasks of its own form that lie in local files:
rolling log-likelihoods of paragraphs, and of continuations, of which one is the model's greedy one. `tare perplexity` scores the very texts that were sent.
The sums must agree to a millionth of a nat for each token, with the server's usual way of computing (--as-run) and with --exact, and lm-eval must call the greedy
continuations greedy. MODEL is a folder or a GGUF file, of which tare convert makes the tokenizer that lm-eval counts with; default models/fable. Needs
PyPI lm-eval and transformers; no network.
"""
import argparse
import http.client
import json
import os
import re
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STORIES = os.path.join(ROOT, "tests/data/fable/stories.txt")
BEGINNINGS = ("Once upon a time, there was a little", "The old king looked out of the window and", "A dog and a cat went to the", "It was dark, and the boy")
OTHER = " quite another ending"
CLOSE = 1e-6  # nats for each token: tare perplexity prints four digits, and answers have float32

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("tare")
parser.add_argument("models", nargs="*", default=[os.path.join(ROOT, "models/fable")])
args = parser.parse_args()
tare = os.path.abspath(args.tare)
for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE", "TQDM_DISABLE"):
    os.environ[name] = "1"
os.environ.update(LMEVAL_LOG_LEVEL="ERROR", TRANSFORMERS_VERBOSITY="error", HF_DATASETS_DISABLE_PROGRESS_BARS="1")
failed = 0


class Server:
    def __init__(self, model, *flags):
        self.process = subprocess.Popen([tare, "serve", model, "--port", "0", "--alias", "model", *flags], stderr=subprocess.PIPE, text=True)
        self.port = int(re.search(r":(\d+)$", self.process.stderr.readline().strip())[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.process.stderr.close()

    def ask(self, path, body):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer


def perplexity(model, text, context, flags):
    """The sum of the log-probabilities of a text's tokens but the first, and how many there are."""
    path = os.path.join(work, "text.txt")
    with open(path, "w", encoding="utf-8", newline="") as f:
        f.write(text)
    done = subprocess.run([tare, "perplexity", model, path, "--context", str(context), "--json", *flags], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert found["left_out"] == 0, "the text has more than one window"
    return -found["nats"] * found["tokens"], found["tokens"]


def write_task(name, kind, documents, target):
    """A task of lm-eval over documents in a local file."""
    with open(os.path.join(work, name + ".json"), "w", encoding="utf-8") as f:
        json.dump(documents, f)
    metric = "word_perplexity, aggregation: weighted_perplexity" if kind == "loglikelihood_rolling" else "acc, aggregation: mean"
    with open(os.path.join(work, name + ".yaml"), "w", encoding="utf-8") as f:
        f.write("task: %s\ndataset_path: json\ndataset_kwargs: {data_files: {test: %s}}\ntest_split: test\noutput_type: %s\n"
                "doc_to_text: '%s'\ndoc_to_target: '%s'\ntarget_delimiter: ''\nmetric_list: [{metric: %s, higher_is_better: %s}]\n" % (
                    name, os.path.join(work, name + ".json"), kind, "" if "rolling" in kind else "{{beginning}}", target, metric, "acc" in metric))


def evaluate(task, port, tokenizer, with_ids, begins):
    """What lm-eval got for each document, in their order."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager
    model = {"base_url": "http://127.0.0.1:%d/v1/completions" % port, "model": "model", "tokenizer": tokenizer, "tokenizer_backend": "huggingface",
             "tokenized_requests": with_ids, "add_bos_token": begins, "max_length": 4096, "num_concurrent": 1, "max_retries": 1}
    found = simple_evaluate(model="local-completions", model_args=model, tasks=[task], log_samples=True, bootstrap_iters=0,
                            task_manager=TaskManager(include_path=work, include_defaults=False))
    return [row["filtered_resps"][0] for row in sorted(found["samples"][task], key=lambda row: row["doc_id"])]


def hold(what, got, want, n):
    """Sums of n log-probabilities."""
    global failed
    same = abs(got - want) <= n * CLOSE
    failed += not same
    print("  %-6s %-56s lm-eval %.6f, perplexity %.6f" % ("same" if same else "DIFFER", " ".join(what.split()), got, want))


def check(model, tokenizer, flags, paragraphs):
    """One model, computed in one way."""
    global failed
    how = [] if "--exact" in flags else ["--as-run"]
    with Server(model, *flags) as server:
        endings = []
        for text in BEGINNINGS:
            [choice] = server.ask("/v1/completions", {"prompt": text, "temperature": 0, "max_tokens": 6})["choices"]
            endings += [dict(beginning=text, ending=choice["text"], greedy=True), dict(beginning=text, ending=OTHER, greedy=False)]
        write_task("rolling", "loglikelihood_rolling", [dict(text=text) for text in paragraphs], "{{text}}")
        write_task("continuations", "loglikelihood", endings, "{{ending}}")
        begin = server.ask("/tokenize", {"content": "", "add_special": True})["tokens"]  # what the tokenizer puts before a text
        for with_ids in (True, False):
            sent = "ids" if with_ids else "text"
            # lm-eval puts its prefix token before a text that is rolled over, and before others only what add_bos_token says
            found = evaluate("rolling", server.port, tokenizer, with_ids, False)
            compare_rolling(model, found, paragraphs, tokenizer, begin if with_ids else [], how, sent)
            if begin and not with_ids:
                continue  # the server puts a token before the text that lm-eval does not count, so it takes the wrong ones
            for document, (got, greedy) in zip(endings, evaluate("continuations", server.port, tokenizer, with_ids, bool(begin))):
                whole, n = perplexity(model, document["beginning"] + document["ending"], 4096, how)
                first, m = perplexity(model, document["beginning"], 4096, how)
                hold("%s: %s|%s" % (sent, document["beginning"][-20:], document["ending"][:24].strip()), float(got), whole - first, n - m)
                if str(greedy) != str(document["greedy"]):
                    failed += 1
                    print("  DIFFER %s: greedy is %s for %r" % (sent, greedy, document["ending"]))


def compare_rolling(model, found, paragraphs, tokenizer, begin, how, sent):
    """What was sent begins with lm-eval's prefix token, which stands for what a tokenizer puts before a text itself."""
    from transformers import AutoTokenizer
    words = AutoTokenizer.from_pretrained(tokenizer)
    prefix = "" if begin else words.decode([words.bos_token_id if words.bos_token_id is not None else words.eos_token_id])
    for text, got in zip(paragraphs, found):
        want, n = perplexity(model, prefix + text, 4096, how)
        hold("%s: %s.." % (sent, text[:44]), float(got), want, n)


with tempfile.TemporaryDirectory() as work:
    os.environ["HF_HOME"] = os.path.join(work, "hf")
    with open(STORIES, encoding="utf-8") as stories:
        some = [part.strip() for part in re.split(r"\n\s*\n|<\|endoftext\|>", stories.read()) if len(part.strip()) > 40][:4]
    some = [text[:500] for text in some] + ["Füchse, 狐 and 🦊: it's 3.50 €!"]
    for name in args.models:
        counts = name
        if not os.path.isdir(name):
            counts = os.path.join(work, "tokenizer")
            subprocess.run([tare, "convert", name, "-o", counts, "--to", "mlx"], check=True, capture_output=True)
        for more in ([], ["--exact"]):
            print("%s, tare serve %s" % (name, " ".join(more) or "as it computes by default"))
            check(os.path.abspath(name), os.path.abspath(counts), more, some)
print("%d differences" % failed if failed else "all log-likelihoods are equal")
raise SystemExit(1 if failed else 0)
