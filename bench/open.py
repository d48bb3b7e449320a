#!/usr/bin/env python3
"""open.py BUILD [--runs N]: how fast is a plan? (tare check --no-data, less the start of the program)

A checkpoint of 100,000 tensors (a mixture of experts in AWQ) is to be planned in under a second, a usual 7B in under 10 ms, DeepSeek-V3
with its 92,000 tensors in half a second and 300 MiB. All are sparse files: headers are all that a plan reads. Best of five. Exit status 1 when a target is missed.
"""
import argparse
import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import time

import synthetic

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("build")
parser.add_argument("--runs", type=int, default=5)
args = parser.parse_args()
work = tempfile.mkdtemp(prefix="tare-bench-")
atexit.register(shutil.rmtree, work, True)
tare = os.path.join(args.build, "tare")


def seconds(*command):
    least = float("inf")
    for _ in range(args.runs):
        start = time.monotonic()
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        least = min(least, time.monotonic() - start)
        if done.returncode not in (0, 1):
            sys.exit("%s: exit %d: %s" % (" ".join(command), done.returncode, done.stderr.strip()))
    return least


def mixtral(layers, experts):
    """(config, tensors) with experts * 3 packed modules a layer: 9 tensors each."""
    config = dict(synthetic.LLAMA_7B, model_type="mixtral", architectures=["MixtralForCausalLM"], hidden_size=256,
                  intermediate_size=256, num_hidden_layers=layers, num_attention_heads=4, num_key_value_heads=4,
                  num_local_experts=experts, num_experts_per_tok=2, vocab_size=1000, rope_theta=1e6)
    rows = []
    for name, dtype, shape in synthetic.tensors(config):
        if ".mlp." not in name:
            rows.append((name, dtype, shape))
        elif ".mlp.gate_proj." in name:
            at, part = name.split(".mlp.gate_proj.")
            rows += [("%s.block_sparse_moe.experts.%d.%s.%s" % (at, e, w, part), dtype, shape)
                     for e in range(experts) for w in ("w1", "w2", "w3")]
    rows += [("model.layers.%d.block_sparse_moe.gate.weight" % i, "F16", [experts, 256]) for i in range(layers)]
    return config, rows


def deepseek():
    """(config, tensors) of DeepSeek-V3's shape: 671B parameters in FP8 blocks, the real names, shapes and count of tensors."""
    config = dict(model_type="deepseek_v3", architectures=["DeepseekV3ForCausalLM"], hidden_size=7168, intermediate_size=18432,
                  moe_intermediate_size=2048, num_hidden_layers=61, num_attention_heads=128, num_key_value_heads=128, n_shared_experts=1,
                  n_routed_experts=256, num_experts_per_tok=8, routed_scaling_factor=2.5, kv_lora_rank=512, q_lora_rank=1536,
                  qk_rope_head_dim=64, qk_nope_head_dim=128, v_head_dim=128, n_group=8, topk_group=4, topk_method="noaux_tc",
                  scoring_func="sigmoid", norm_topk_prob=True, first_k_dense_replace=3, moe_layer_freq=1, vocab_size=129280,
                  max_position_embeddings=163840, rms_norm_eps=1e-6, rope_theta=10000, attention_bias=False, tie_word_embeddings=False,
                  hidden_act="silu", num_nextn_predict_layers=1,
                  quantization_config={"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128], "activation_scheme": "dynamic"})
    rows = [("model.embed_tokens.weight", "BF16", [129280, 7168]), ("lm_head.weight", "BF16", [129280, 7168]), ("model.norm.weight", "BF16", [7168])]

    def linear(name, out, inputs):
        rows.append((name + ".weight", "F8_E4M3", [out, inputs]))
        rows.append((name + ".weight_scale_inv", "F32", [-(-out // 128), -(-inputs // 128)]))

    def glu(name, hidden):
        linear(name + ".gate_proj", hidden, 7168)
        linear(name + ".up_proj", hidden, 7168)
        linear(name + ".down_proj", 7168, hidden)

    for i in range(62):  # layer 61 predicts the token after next
        at = "model.layers.%d." % i
        linear(at + "self_attn.q_a_proj", 1536, 7168)
        linear(at + "self_attn.q_b_proj", 24576, 1536)
        linear(at + "self_attn.kv_a_proj_with_mqa", 576, 7168)
        linear(at + "self_attn.kv_b_proj", 32768, 512)
        linear(at + "self_attn.o_proj", 7168, 16384)
        for norm, size in (("self_attn.q_a_layernorm", 1536), ("self_attn.kv_a_layernorm", 512), ("input_layernorm", 7168),
                           ("post_attention_layernorm", 7168)):
            rows.append((at + norm + ".weight", "BF16", [size]))
        if i < 3:
            glu(at + "mlp", 18432)
            continue
        rows.append((at + "mlp.gate.weight", "BF16", [256, 7168]))
        rows.append((at + "mlp.gate.e_score_correction_bias", "F32", [256]))
        glu(at + "mlp.shared_experts", 2048)
        for e in range(256):
            glu(at + "mlp.experts.%d" % e, 2048)
    rows.append(("model.layers.61.eh_proj.weight", "BF16", [7168, 14336]))
    for name in ("enorm", "hnorm", "shared_head.norm"):
        rows.append(("model.layers.61.%s.weight" % name, "BF16", [7168]))
    return config, rows


def most_memory(*command):
    """Peak resident bytes of a command, sampled (getrusage would count this program's own pages before exec)."""
    child, most = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL), 0
    while child.poll() is None:
        try:
            with open("/proc/%d/status" % child.pid) as f:
                text = f.read()
            if text.startswith("Name:\ttare"):
                most = max([most] + [int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmHWM")])
        except (OSError, ValueError):
            pass
    return most


start = seconds(tare, "--version")
missed = False
AWQ = {"quantization_config": synthetic.AWQ}
for name, (config, rows), target, most in (
        ("a 7B", ({**synthetic.LLAMA_7B, **AWQ}, synthetic.tensors(synthetic.LLAMA_7B)), 0.010, 64),
        ("large", ({**mixtral(85, 128)[0], **AWQ}, mixtral(85, 128)[1]), 1.0, 300),
        ("DeepSeek-V3, 671B", deepseek(), 0.5, 300)):
    folder = os.path.join(work, name.split()[-1])
    synthetic.write(folder, config, rows, sparse=True)
    took = seconds(tare, "check", "--no-data", folder) - start
    room = most_memory(tare, "check", "--no-data", folder) / 2**20
    missed |= took >= target or room >= most
    print("%-18s %6d tensors: %8.2f ms (target %g ms), %4.0f MiB (target %d MiB)" % (name, len(rows), took * 1e3, target * 1e3, room, most))
sys.exit(1 if missed else 0)
