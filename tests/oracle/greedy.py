#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Greedy fable against transformers: greedy.py TARE [--write FILE]

Dequantizes models/fable in numpy ((code - zero) * scale, float32), lets transformers continue "Once upon a time, a little fox"
greedily on those weights, and compares with `tare run`, token for token. Needs torch, transformers, numpy. --write records the
reference's ids and text for tests/cli/test_greedy.py, which needs none of them.
"""
import json, subprocess, sys
import torch
import fable_model

PROMPT, TOKENS = "Once upon a time, a little fox", 128
config, model, tokenizer = fable_model.config(), fable_model.model(), fable_model.tokenizer()
ids = tokenizer(PROMPT)["input_ids"]
with torch.no_grad():
    for _ in range(TOKENS):
        best = int(model(torch.tensor([ids])).logits[0, -1].argmax())
        if best == config["eos_token_id"]:
            break
        ids.append(best)
text = tokenizer.decode(ids, skip_special_tokens=True)
got = subprocess.run([sys.argv[1], "run", PROMPT, "--max-tokens", str(TOKENS)], capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout
same = got.strip() == text.strip() and tokenizer(got.strip())["input_ids"] == tokenizer(text.strip())["input_ids"]
if "--write" in sys.argv:
    json.dump({"transformers": fable_model.VERSION, "prompt": PROMPT, "tokens": TOKENS, "ids": ids, "text": text},
              open(sys.argv[sys.argv.index("--write") + 1], "w"), indent=1)
print("greedy: %d tokens, %s" % (len(ids), "equal" if same else "DIFFERENT\n tare: %s\n transformers: %s" % (got, text)))
sys.exit(0 if same else 1)
