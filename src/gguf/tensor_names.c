/* SPDX-License-Identifier: MIT
 * tensor_names.c - the table of the names that tensors have in GGUF and in the model's own files (mlx-lm's names where
 * experts are stacked), and its search in both directions. Source: gguf-py, gguf/tensor_mapping.py. */
#include <string.h>

#include "gguf/spelling.h"

/* Outside the layers. */
static const struct tare_gguf_stem tops[] = {
    {"token_embd", "model.embed_tokens"},
    {"output_norm", "model.norm"},
    {"output", "lm_head"},
    {NULL, NULL},
};

/* Stems that all families share. A family's own list below is searched first. */
static const struct tare_gguf_stem usual[] = {
    {"attn_norm", "input_layernorm"},    {"attn_q", "self_attn.q_proj"},
    {"attn_k", "self_attn.k_proj"},      {"attn_v", "self_attn.v_proj"},
    {"attn_output", "self_attn.o_proj"}, {"attn_q_norm", "self_attn.q_norm"},
    {"attn_k_norm", "self_attn.k_norm"}, {"ffn_norm", "post_attention_layernorm"},
    {"ffn_gate", "mlp.gate_proj"},       {"ffn_up", "mlp.up_proj"},
    {"ffn_down", "mlp.down_proj"},       {NULL, NULL},
};
const struct tare_gguf_stem tare_gguf_stems_four_norms[] = {
    {"post_attention_norm", "post_attention_layernorm"},
    {"ffn_norm", "pre_feedforward_layernorm"},
    {"post_ffw_norm", "post_feedforward_layernorm"},
    {NULL, NULL},
};
const struct tare_gguf_stem tare_gguf_stems_fused[] = {
    {"attn_qkv", "self_attn.qkv_proj"},
    {"ffn_up", "mlp.gate_up_proj"},
    {NULL, NULL},
};
const struct tare_gguf_stem tare_gguf_stems_mixtral[] = {
    {"ffn_gate_inp", "block_sparse_moe.gate"},
    {"ffn_gate_exps", "block_sparse_moe.switch_mlp.gate_proj"},
    {"ffn_up_exps", "block_sparse_moe.switch_mlp.up_proj"},
    {"ffn_down_exps", "block_sparse_moe.switch_mlp.down_proj"},
    {NULL, NULL},
};
const struct tare_gguf_stem tare_gguf_stems_sparse[] = {
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

/* The stems that the families of an architecture share; all of its lines in families.def have the same. */
static const struct tare_gguf_stem *stems_of(const char *architecture)
{
    const struct tare_gguf_family *family;
    for (size_t k = 0; (family = tare_gguf_family_at(k)); k++)
        if (!strcmp(family->architecture, architecture))
            return family->stems;
    return NULL;
}

static bool is_word(const char *word, const char *text, size_t n)
{
    return strlen(word) == n && !memcmp(word, text, n);
}

/* The other spelling of a stem of n bytes: the model's own of GGUF's, or with `back` GGUF's of the model's own. */
static const char *look_up(const struct tare_gguf_stem *list, const char *stem, size_t n, bool back)
{
    for (; list && list->gguf; list++)
        if (is_word(back ? list->own : list->gguf, stem, n))
            return back ? list->gguf : list->own;
    return NULL;
}

static const char *of_layer(const char *architecture, const char *stem, size_t n, bool back)
{
    const char *other = look_up(stems_of(architecture), stem, n, back);
    return other ? other : look_up(usual, stem, n, back);
}

/* The ".weight" or ".bias" that a name ends with; NULL: it ends with neither. */
static const char *end_of(const char *name)
{
    const char *end = strrchr(name, '.');
    return end && (!strcmp(end, ".weight") || !strcmp(end, ".bias")) ? end : NULL;
}

/* How many digits of a layer's number stand at `number`, before a dot and a stem; 0: it is no layer's name. */
static size_t layer_digits(const char *number, const char *end)
{
    const size_t digits = strspn(number, "0123456789");
    return digits > 9 || number[digits] != '.' || number + digits >= end ? 0 : digits;
}

/* Old files have one tensor an expert: "blk.3.ffn_gate.7.weight". Returns the expert's number within the stem and takes
 * it off *n; NULL: the stem has none. */
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
    static const struct tare_gguf_stem parts[] = {
        {"ffn_gate", "w1"}, {"ffn_down", "w2"}, {"ffn_up", "w3"}, {NULL, NULL}};
    const char *part = look_up(parts, stem, n, false);
    return part ? tare_arena_format(arena, "model.layers.%.*s.block_sparse_moe.experts.%.*s.%s.weight", layer, name + 4,
                                    (int)strspn(number, "0123456789"), number, part)
                : name;
}

const char *tare_gguf_name(const char *architecture, const char *name, struct tare_arena *arena)
{
    const char *end = end_of(name);
    if (!end)
        return name;
    const char *own = look_up(tops, name, (size_t)(end - name), false);
    if (own)
        return tare_arena_format(arena, "%s%s", own, end);
    const size_t digits = strncmp(name, "blk.", 4) ? 0 : layer_digits(name + 4, end);
    if (!digits)
        return name;
    const char *stem = name + 5 + digits;
    size_t n = (size_t)(end - stem);
    own = of_layer(architecture, stem, n, false);
    if (own)
        return tare_arena_format(arena, "model.layers.%.*s.%s%s", (int)digits, name + 4, own, end);
    const char *number = expert_of(stem, &n);
    return number ? name_expert(name, (int)digits, stem, n, number, arena) : name;
}

const char *tare_gguf_name_of(const char *architecture, const char *own, struct tare_arena *arena)
{
    static const char layers[] = "model.layers.";
    const char *end = end_of(own);
    if (!end)
        return NULL;
    const char *stem = look_up(tops, own, (size_t)(end - own), true);
    if (stem)
        return tare_arena_format(arena, "%s%s", stem, end);
    const char *number = own + sizeof layers - 1;
    const size_t digits = strncmp(own, layers, sizeof layers - 1) ? 0 : layer_digits(number, end);
    if (!digits)
        return NULL;
    stem = of_layer(architecture, number + digits + 1, (size_t)(end - number) - digits - 1, true);
    return stem ? tare_arena_format(arena, "blk.%.*s.%s%s", (int)digits, number, stem, end) : NULL;
}
