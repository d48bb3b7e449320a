/* SPDX-License-Identifier: MIT
 * deepseek_v32.c - DeepSeek-V3.2: an indexer chooses the keys (mlx-lm: models/deepseek_v32.py). */
#include "models/family/config_words.h"
#include "models/family/deepseek_family.h"

#define ARGS(ARG)                                                                                                      \
    TARE_DEEPSEEK_ARGS(ARG)                                                                                            \
    TARE_DEEPSEEK_ROUTER_ARGS(ARG)                                                                                     \
    ARG(INT, index_head_dim, 128)                                                                                      \
    ARG(INT, index_n_heads, 64)                                                                                        \
    ARG(INT, index_topk, 2048)                                                                                         \
    ARG(FLAG, indexer_rope_interleave, false)                                                                          \
    ARG(JSON, mlp_layer_types, ABSENT)
TARE_ARGS(ARGS);

static struct tare_deepseek_desc describe(const struct args *a)
{
    return (struct tare_deepseek_desc){TARE_DEEPSEEK_DENSE(a, 1e-6),
                                       TARE_DEEPSEEK_ROUTED(a),
                                       TARE_DEEPSEEK_ROUTER(a),
                                       .index_top = a->index_topk,
                                       .index_halves = !a->indexer_rope_interleave,
                                       .frequency = a->moe_layer_freq,
                                       .kinds = a->mlp_layer_types,
                                       .selection_bias = true,
                                       .predicts = TARE_PREDICTS_ALL,
                                       .index_heads = a->index_n_heads,
                                       .index_dim = a->index_head_dim,
                                       .head = TARE_HEAD_OWN};
}

static void declare(struct tare_at root, const void *args, struct tare_decoder *d)
{
    const struct tare_deepseek_desc desc = describe(args);
    tare_deepseek(root, d, &desc);
}

static void sanitize(struct tare_weights *w, const void *args)
{
    const struct tare_deepseek_desc desc = describe(args);
    tare_deepseek_rewrite(w, &desc);
}

static enum tare_code derive(void *args, const struct tare_derive *d)
{
    struct args *a = args;
    tare_null_number(&a->q_lora_rank, "q_lora_rank", d);
    if (a->q_lora_rank < 1 || a->index_n_heads < 1)
        return tare_fail(d->err, TARE_E_CONFIG, d->place, "q_lora_rank and index_n_heads must be at least 1");
    const struct tare_deepseek_desc desc = describe(a);
    return tare_deepseek_check(&desc, a->topk_method, d);
}

const struct tare_arch tare_arch_deepseek_v32 = {
    .name = "deepseek_v32",
    .args = &args_info,
    .derive = derive,
    .declare = declare,
    .sanitize = sanitize,
    .runs = true,
};
