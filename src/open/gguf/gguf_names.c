/* SPDX-License-Identifier: MIT
 * gguf_names.c - GGUF's names of tensors -> those of the model's own files (of mlx-lm where experts are stacked).
 * Source: gguf-py, gguf/tensor_mapping.py. */
#include <string.h>

#include "open/gguf/gguf.h"

/* A stem before ".weight" or ".bias"; of layers, what follows "blk.N.". */
struct row {
    const char *gguf, *own;
};

static const struct row tops[] = {
    {"token_embd", "model.embed_tokens"},
    {"output_norm", "model.norm"},
    {"output", "lm_head"},
};

/* Every family has these, if it has such a part and does not say otherwise below. */
static const struct row usual[] = {
    {"attn_norm", "input_layernorm"},    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},      {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"}, {"attn_q_norm", "self_attn.q_norm"},
    {"attn_k_norm", "self_attn.k_norm"}, {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},       {NULL, NULL},
};
static const struct row four_norms[] = {
    {"post_attention_norm", "post_attention_layernorm"},
    {"ffn_norm", "pre_feedforward_layernorm"},
    {"post_ffw_norm", "post_feedforward_layernorm"},
    {NULL, NULL},
};
static const struct row fused[] = {
    {"attn_qkv", "self_attn.qkv_proj"},
    {"ffn_up", "mlp.gate_up_proj"},
    {NULL, NULL},
};
static const struct row mixtral[] = {
    {"ffn_gate_inp", "block_sparse_moe.gate"},
    {"ffn_gate_exps", "block_sparse_moe.switch_mlp.gate_proj"},
    {"ffn_up_exps", "block_sparse_moe.switch_mlp.up_proj"},
    {"ffn_down_exps", "block_sparse_moe.switch_mlp.down_proj"},
    {NULL, NULL},
};
static const struct row sparse[] = {
    {"ffn_gate_inp", "mlp.gate"},
    {"ffn_gate_exps", "mlp.switch_mlp.gate_proj"},
    {"ffn_up_exps", "mlp.switch_mlp.up_proj"},
    {"ffn_down_exps", "mlp.switch_mlp.down_proj"},
    {"ffn_gate_inp_shexp", "mlp.shared_expert_gate"},
    {"ffn_gate_shexp", "mlp.shared_expert.gate_proj"},
    {"ffn_up_shexp", "mlp.shared_expert.up_proj"},
    {"ffn_down_shexp", "mlp.shared_expert.down_proj"},
    {NULL, NULL},
};

static const struct {
    const char *architecture;
    const struct row *rows;
} families[] = {
    {"llama", mixtral},     {"mistral", mixtral},   {"qwen2moe", sparse}, {"qwen3moe", sparse},
    {"gemma2", four_norms}, {"gemma3", four_norms}, {"phi3", fused},
};

static const char *look_up(const struct row *rows, const char *stem, size_t n)
{
    for (; rows->gguf; rows++)
        if (strlen(rows->gguf) == n && !memcmp(rows->gguf, stem, n))
            return rows->own;
    return NULL;
}

static const char *of_layer(const char *architecture, const char *stem, size_t n)
{
    const char *own = NULL;
    for (size_t i = 0; i < sizeof families / sizeof *families && !own; i++)
        if (!strcmp(families[i].architecture, architecture))
            own = look_up(families[i].rows, stem, n);
    return own ? own : look_up(usual, stem, n);
}

/* "blk.3.ffn_gate.7.weight", before experts were stacked: their number, and *n without it; else NULL. */
static const char *expert_of(const char *stem, size_t *n)
{
    size_t digits = 0;
    while (digits < *n && stem[*n - 1 - digits] >= '0' && stem[*n - 1 - digits] <= '9')
        digits++;
    if (!digits || digits >= *n || stem[*n - 1 - digits] != '.')
        return NULL;
    const char *number = stem + *n - digits;
    *n -= digits + 1;
    return number;
}

static const char *name_expert(const char *name, int layer, const char *stem, size_t n, const char *number,
                               struct tare_arena *arena)
{
    static const struct row parts[] = {{"ffn_gate", "w1"}, {"ffn_down", "w2"}, {"ffn_up", "w3"}, {NULL, NULL}};
    const char *part = look_up(parts, stem, n);
    return part ? tare_arena_format(arena, "model.layers.%.*s.block_sparse_moe.experts.%.*s.%s.weight", layer, name + 4,
                                    (int)strspn(number, "0123456789"), number, part)
                : name;
}

const char *tare_gguf_name(const char *architecture, const char *name, struct tare_arena *arena)
{
    const char *end = strrchr(name, '.');
    if (!end || (strcmp(end, ".weight") != 0 && strcmp(end, ".bias") != 0))
        return name;
    for (size_t i = 0; i < sizeof tops / sizeof *tops; i++)
        if (strlen(tops[i].gguf) == (size_t)(end - name) && !memcmp(tops[i].gguf, name, (size_t)(end - name)))
            return tare_arena_format(arena, "%s%s", tops[i].own, end);
    const size_t digits = strncmp(name, "blk.", 4) ? 0 : strspn(name + 4, "0123456789");
    if (!digits || digits > 9 || name[4 + digits] != '.' || name + 4 + digits == end)
        return name;
    const char *stem = name + 5 + digits;
    size_t n = (size_t)(end - stem);
    const char *own = of_layer(architecture, stem, n);
    if (own)
        return tare_arena_format(arena, "model.layers.%.*s.%s%s", (int)digits, name + 4, own, end);
    const char *number = expert_of(stem, &n);
    return number ? name_expert(name, (int)digits, stem, n, number, arena) : name;
}

/* ---- the way back ---------------------------------------------------------------------------------------------- */

static const char *look_back(const struct row *rows, const char *own, size_t n)
{
    for (; rows->gguf; rows++)
        if (strlen(rows->own) == n && !memcmp(rows->own, own, n))
            return rows->gguf;
    return NULL;
}

static const char *back_of_layer(const char *architecture, const char *own, size_t n)
{
    const char *stem = NULL;
    for (size_t i = 0; i < sizeof families / sizeof *families && !stem; i++)
        if (!strcmp(families[i].architecture, architecture))
            stem = look_back(families[i].rows, own, n);
    return stem ? stem : look_back(usual, own, n);
}

const char *tare_gguf_name_of(const char *architecture, const char *own, struct tare_arena *arena)
{
    static const char layers[] = "model.layers.";
    const char *end = strrchr(own, '.');
    if (!end || (strcmp(end, ".weight") != 0 && strcmp(end, ".bias") != 0))
        return NULL;
    for (size_t i = 0; i < sizeof tops / sizeof *tops; i++)
        if (strlen(tops[i].own) == (size_t)(end - own) && !memcmp(tops[i].own, own, (size_t)(end - own)))
            return tare_arena_format(arena, "%s%s", tops[i].gguf, end);
    const char *number = own + sizeof layers - 1;
    const size_t digits = strncmp(own, layers, sizeof layers - 1) ? 0 : strspn(number, "0123456789");
    if (!digits || digits > 9 || number[digits] != '.' || number + digits >= end)
        return NULL;
    const char *stem = back_of_layer(architecture, number + digits + 1, (size_t)(end - number) - digits - 1);
    return stem ? tare_arena_format(arena, "blk.%.*s.%s%s", (int)digits, number, stem, end) : NULL;
}
